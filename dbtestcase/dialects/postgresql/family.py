"""A database and its numbered siblings: their sizes, who holds them, dropping unused ones."""

from __future__ import annotations

import re
from typing import List, NamedTuple, Optional

from .claim import LOCK
from .control import Control

MAXIMUM = 1001  # the highest number that a run gives

_NAMES = "SELECT datname::text FROM pg_database WHERE datallowconn AND NOT datistemplate"

# Locks of every database are in the one view. The size is shown to whom the server shows it.
_MEMBERS = """
SELECT d.datname::text,
       CASE WHEN has_database_privilege(d.oid, 'CONNECT') THEN pg_database_size(d.oid) END,
       (SELECT count(*)::int FROM pg_stat_activity a
         WHERE a.datid = d.oid AND a.usesysid IS NOT NULL AND a.pid <> pg_backend_pid()),
       h.pid, h.application_name, host(h.client_addr),
       extract(epoch FROM clock_timestamp() - h.backend_start)::float8
  FROM pg_database d
  LEFT JOIN (pg_locks l JOIN pg_stat_activity h USING (pid))
    ON l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
   AND (l.classid, l.objid) = {lock} AND l.database = d.oid
 WHERE d.datname = ANY (%s::name[])
""".format(lock=LOCK)


class Member(NamedTuple):
    """One database of the family; the fields from ``pid`` on are about the run that has it."""

    name: str
    bytes: Optional[int]  # None: this role may not know
    sessions: int
    pid: Optional[int]  # None: no run has it
    application: Optional[str]
    address: Optional[str]
    seconds: Optional[float]


def number_of(name: str, base: str) -> Optional[int]:
    """Return the number of a sibling; 1 for the database itself, ``None`` for any other one."""
    if name == base:
        return 1
    match = re.match(r"%s_([1-9]\d{0,3})\Z" % re.escape(base), name)
    number = int(match.group(1)) if match else 0
    return number if 2 <= number <= MAXIMUM else None


def members(control: Control, base: str) -> List[Member]:
    """Return a database and the siblings that are there, by their numbers.

    :param control: a connection to any database of the server.
    :param base: the database that is configured.
    """
    names = [name for (name,) in control.execute(_NAMES) if number_of(name, base)]
    found = [Member(*row) for row in control.execute(_MEMBERS, [names])]
    return sorted(found, key=lambda member: number_of(member.name, base) or 0)


def drop_unused(control: Control, member: Member, base: str) -> Optional[str]:
    """Drop a sibling that no run has; return why it was left where it was.

    Nothing has to be locked first: a run that has a database is connected to it, and so is one
    that is about to take it, and without FORCE the server does not drop a database that somebody
    is connected to. Who comes a moment too late finds it missing and creates it again.

    :param control: a connection to another database of the server.
    """
    if member.name == base or not number_of(member.name, base):
        return "it is no sibling"
    if member.pid is not None:
        return "a run has it"
    if member.sessions:  # a look is enough; DROP would keep newcomers waiting for five seconds
        return "%d session%s connected to it" % (
            member.sessions,
            " is" if member.sessions == 1 else "s are",
        )
    try:
        control.execute('DROP DATABASE IF EXISTS "%s"' % member.name.replace('"', '""'))
    except Exception as error:
        return str(error).strip().splitlines()[0]
    return None
