"""Copies whole databases, to keep what a failed test has committed, and knows such copies again.

The server copies a database with its rows and all that these need. Each copy bears a comment, and
is known by it: its name alone would not do, as a database that somebody else has made may be called
alike.
"""

from __future__ import annotations

import contextlib
import re
import shlex
from typing import Any, Dict, Iterable, List, Optional
from urllib.parse import quote

from .... import where
from ....contracts import Copy
from ..sessions import Control, quoted
from .claiming import copying

# Only what bears this comment is a copy of ours, and may be dropped.
_MARK = "kept by dbtestcase: "

_KEPT_OF = re.compile(re.escape(_MARK) + r'(.*) of "(.*)", (\d{4}-\d\d-\d\d \d\d:\d\d UTC)\Z', re.S)

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
""".format(size=len(_MARK), mark=_MARK)

_BOUND = 3.0  # seconds until connections that were closed are gone from the server

_OTHERS = """
SELECT pid, application_name FROM pg_stat_activity
 WHERE datname = %s AND usesysid IS NOT NULL AND pid <> pg_backend_pid() ORDER BY pid
"""
_COMMENT = """
SELECT coalesce(shobj_description(oid, 'pg_database'), '') FROM pg_database
 WHERE datname = %s
"""


class NotCopied(Exception):
    """Why there is no copy."""


class Copier:
    """Copies a test database that this run has, over a connection beside it.

    :param control: a connection to another database of the server.
    :param source: the connection that has the database; it is closed, as nobody may be connected.
    :param oid: that of the database.
    :param name: what the copy is called.
    """

    def __init__(self, control: Control, source: Control, oid: int, name: str) -> None:
        self.pid = control.pid
        self._control = control
        self._holding = contextlib.ExitStack()
        self._holding.callback(control.close)
        self._source = source
        self._oid = oid
        self._name = name

    def copy(self, test: str, base: str) -> List[str]:
        """Copy the database in place of an earlier copy of this name.

        :param test: the test that the copy is kept of, for its comment.
        :param base: the configured database, for its comment.
        :return: how to get at the copy: its URL, without a password, and a command.
        :raises NotCopied: if somebody else is connected to either, or the name is taken.
        """
        parts = self._source.parts
        self._drop_earlier()
        self._holding.enter_context(copying(self._control, self._oid))
        self._source.close()
        _require_alone(self._control, parts["database"], _BOUND)
        self._control.execute(
            "CREATE DATABASE %s TEMPLATE %s" % (quoted(self._name), quoted(parts["database"]))
        )
        ((now,),) = self._control.execute(_NOW)
        said = '%s%s of "%s", %s' % (_MARK, test, base, now)
        literal = "E'%s'" % said.replace("\\", "\\\\").replace("'", "''")
        self._control.execute("COMMENT ON DATABASE %s IS %s" % (quoted(self._name), literal))
        return [_url(parts, self._name), _command(parts, self._name)]

    def close(self) -> None:
        """Close the connection; from now on, only the database's own claim keeps others away."""
        self._holding.close()

    def _drop_earlier(self) -> None:
        for (said,) in self._control.execute(_COMMENT, [self._name]):
            if not said.startswith(_MARK):
                raise NotCopied('the database "%s" is no copy of a test\'s' % self._name)
            _require_alone(self._control, self._name, 0)
            self._control.execute("DROP DATABASE %s" % quoted(self._name))


def _url(parts: Dict[str, Any], name: str) -> str:
    host, port = parts["host"] or "", parts["port"]
    user = quote(parts["username"], safe="")
    if host.startswith("/"):
        return "postgresql://%s@/%s?host=%s&port=%s" % (user, quote(name), host, port)
    return "postgresql://%s@%s:%s/%s" % (user, host or "localhost", port, quote(name))


def _command(parts: Dict[str, Any], name: str) -> str:
    options = [
        ("-h", parts["host"]),
        ("-p", parts["port"]),
        ("-U", parts["username"]),
        ("-d", name),
    ]
    words = [word for option in options if option[1] for word in option]
    return "psql " + " ".join(shlex.quote(str(word)) for word in words)


def _require_alone(control: Control, name: str, seconds: float) -> None:
    deadline = where.now() + seconds
    while True:
        others = control.execute(_OTHERS, [name])
        if not others:
            return
        if where.now() > deadline:
            words = ['pid %d "%s"' % (pid, application or "") for pid, application in others]
            raise NotCopied('%s has "%s" open' % (" and ".join(words), name))
        where.pause(0.02)


# --- what is kept --------------------------------------------------------------------------------


def copies(control: Control, bases: Iterable[str]) -> List[Copy]:
    """Return what is kept of tests that failed.

    :param control: a connection to any database of the server.
    :param bases: the databases that are configured for these tests.
    """
    wanted, found = set(bases), []
    for name, text, size, sessions in control.execute(_COPIES):
        match = _KEPT_OF.match(text)
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
    return drop_alone(control, name, found[0].sessions)


def drop_alone(control: Control, name: str, sessions: int) -> Optional[str]:
    """Drop a database that nobody is connected to; return why it was left where it was.

    :param sessions: how many are: to look is enough, as DROP would keep newcomers waiting for five
        seconds.
    """
    if sessions:
        return "%d session%s connected to it" % (sessions, " is" if sessions == 1 else "s are")
    try:
        control.execute("DROP DATABASE %s" % quoted(name))
    except Exception as error:  # of the driver: another role owns it, somebody has connected
        return str(error).strip().splitlines()[0]
    return None
