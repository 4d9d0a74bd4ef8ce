"""A database and its numbered siblings: their sizes, who holds them, dropping unused ones."""

from __future__ import annotations

import re
from typing import List, NamedTuple, Optional

from ..sessions.control import Control
from ..sessions.locks import LOCK
from .claim import COPYING, copying
from .kept import connected

MAXIMUM = 1001  # the highest number that a run gives

_NAMES = "SELECT datname::text FROM pg_database WHERE datallowconn AND NOT datistemplate"

# Locks of every database are in the one view. The size is shown to whom the server shows it.
_MEMBERS = """
SELECT DISTINCT ON (d.datname) d.datname::text,
       CASE WHEN has_database_privilege(d.oid, 'CONNECT') THEN pg_database_size(d.oid) END,
       (SELECT count(*)::int FROM pg_stat_activity a
         WHERE a.datid = d.oid AND a.usesysid IS NOT NULL AND a.pid <> pg_backend_pid()),
       h.pid, h.application_name, host(h.client_addr),
       extract(epoch FROM clock_timestamp() - h.backend_start)::float8
  FROM pg_database d
  LEFT JOIN (pg_locks l JOIN pg_stat_activity h USING (pid))
    ON l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 AND l.pid <> pg_backend_pid()
   AND ((l.classid, l.objid) = {lock} AND l.database = d.oid
        OR (l.classid, l.objid) = ({copying}, d.oid))
 WHERE d.datname = ANY (%s::name[])
""".format(lock=LOCK, copying=COPYING)


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
    found = _members(control, names)
    return sorted(found, key=lambda member: number_of(member.name, base) or 0)


def _members(control: Control, names: List[str]) -> List[Member]:
    return [Member(*row) for row in control.execute(_MEMBERS, [names])]


def drop_unused(control: Control, name: str, base: str) -> Optional[str]:
    """Drop a sibling that no run has; return why it was left where it was.

    Meanwhile no run takes it, as while one copies it: who finds it so goes on to the next. Without
    FORCE the server itself refuses to drop what somebody is connected to; and a run that comes a
    moment too late finds it missing, and creates it again.

    :param control: a connection to another database of the server.
    """
    if name == base or not number_of(name, base):
        return "it is no sibling"
    rows = control.execute("SELECT oid FROM pg_database WHERE datname = %s::name", [name])
    if not rows:
        return "it is gone already"
    try:
        with copying(control, int(rows[0][0])):
            return _drop_if_unused(control, name)
    except Exception as error:  # of the driver: another role owns it, somebody has connected
        return str(error).strip().splitlines()[0]


def _drop_if_unused(control: Control, name: str) -> Optional[str]:
    found = _members(control, [name])
    if not found:
        return "it is gone already"
    (member,) = found
    if member.pid is not None:
        return "a run has it"
    if member.sessions:  # a look is enough; DROP would keep newcomers waiting for five seconds
        return connected(member.sessions)
    control.execute('DROP DATABASE "%s"' % name.replace('"', '""'))
    return None
