"""What is kept of failed tests: copies of databases, known by the comment that each of them bears.

Their names alone would not do: a database that somebody else has made may be called alike.
"""

from __future__ import annotations

import re
from typing import Iterable, List, NamedTuple, Optional

from ..sessions.control import Control

# Only what bears this comment is a copy of ours, and may be dropped.
MARK = "kept by dbtestcase: "

_COMMENT = re.compile(re.escape(MARK) + r'(.*) of "(.*)", (\d{4}-\d\d-\d\d \d\d:\d\d UTC)\Z', re.S)

_NOW = "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI \"UTC\"')"

# The size is shown to whom the server shows it.
_COPIES = """
SELECT d.datname::text, shobj_description(d.oid, 'pg_database'),
       CASE WHEN has_database_privilege(d.oid, 'CONNECT') THEN pg_database_size(d.oid) END,
       (SELECT count(*)::int FROM pg_stat_activity a
         WHERE a.datid = d.oid AND a.usesysid IS NOT NULL AND a.pid <> pg_backend_pid())
  FROM pg_database d
 WHERE left(shobj_description(d.oid, 'pg_database'), {size}) = '{mark}'
 ORDER BY d.datname
""".format(size=len(MARK), mark=MARK)


class Copy(NamedTuple):
    """One copy of a database, with what a test had committed that failed."""

    name: str
    test: str
    base: str  # the configured database that the test was run against
    since: str  # by the server's clock, as 2026-01-31 12:00 UTC
    bytes: Optional[int]  # None: this role may not know
    sessions: int


def comment(control: Control, test: str, base: str) -> str:
    """Return the comment for a copy that is made now.

    :param test: the test that failed.
    :param base: the database that is configured for it.
    """
    ((now,),) = control.execute(_NOW)
    return '%s%s of "%s", %s' % (MARK, test, base, now)


def copies(control: Control, bases: Iterable[str]) -> List[Copy]:
    """Return what is kept of tests that failed.

    :param control: a connection to any database of the server.
    :param bases: the databases that are configured for these tests.
    """
    wanted, found = set(bases), []
    for name, text, size, sessions in control.execute(_COPIES):
        match = _COMMENT.match(text)
        if match and match.group(2) in wanted:
            found.append(Copy(name, match.group(1), match.group(2), match.group(3), size, sessions))
    return found


def drop_copy(control: Control, name: str, base: str) -> Optional[str]:
    """Drop what is kept of a test; return why it was left where it was.

    :param control: a connection to another database of the server.
    """
    found = [each for each in copies(control, [base]) if each.name == name]
    if not found:
        return "it is gone already"
    if found[0].sessions:  # a look is enough; DROP would keep newcomers waiting for five seconds
        return connected(found[0].sessions)
    try:
        control.execute('DROP DATABASE "%s"' % name.replace('"', '""'))
    except Exception as error:  # of the driver: another role owns it, somebody has connected
        return str(error).strip().splitlines()[0]
    return None


def connected(sessions: int) -> str:
    """Return the words for a database that somebody is connected to."""
    return "%d session%s connected to it" % (sessions, " is" if sessions == 1 else "s are")
