"""What a connection may know of its database without changing it: role, rights, size, sessions."""

from __future__ import annotations

from typing import Dict, Iterable, List, NamedTuple, Optional, Tuple

from ....contracts import Backend, Prepared
from ..sessions.control import Control
from .objects import installed_extensions, look

_ROLE = """
SELECT current_user::text, r.rolsuper, r.rolcreatedb,
       (SELECT pg_has_role(d.datdba, 'USAGE') FROM pg_database d
         WHERE d.datname = current_database()),
       coalesce((SELECT pg_has_role(n.nspowner, 'USAGE') FROM pg_namespace n
                  WHERE n.nspname = 'public'), false)
  FROM pg_roles r WHERE r.rolname = current_user
"""

_SESSIONS = """
SELECT pid FROM pg_stat_activity
 WHERE datid = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND pid <> pg_backend_pid() AND usesysid IS NOT NULL
"""

_MAY_DROP = "SELECT r.rolname::text, pg_has_role(r.oid, 'USAGE') FROM pg_roles r"

_BUSY = """
SELECT d.datname::text FROM pg_database d
 WHERE d.datallowconn AND NOT d.datistemplate AND has_database_privilege(d.oid, 'CONNECT')
   AND (EXISTS (SELECT FROM pg_stat_activity a
                 WHERE a.datid = d.oid AND a.usesysid IS NOT NULL AND a.pid <> pg_backend_pid())
        OR EXISTS (SELECT FROM pg_prepared_xacts p WHERE p.database = d.datname))
 ORDER BY 1
"""


class Role(NamedTuple):
    """Who a connection is to the server, and what that role may do."""

    name: str
    superuser: bool
    createdb: bool
    owns_database: bool
    owns_public: bool


class Contents(NamedTuple):
    """What a database holds, and what a reset would make of it."""

    bytes: int
    would_drop: List[Tuple[str, str]]
    cannot_drop: List[Tuple[str, str, str]]  # with the role that could
    extensions: Dict[str, str]  # they stay; names and versions


class Activity(NamedTuple):
    """Who else is at work in a database."""

    sessions: List[Backend]
    in_the_way: List[int]  # pids of those that a reset would wait for
    prepared: List[Prepared]


def read_only(control: Control) -> None:
    """Have the server itself refuse whatever would change something."""
    control.execute("SET default_transaction_read_only = on")


def role(control: Control) -> Role:
    """Return the role of a connection and its rights."""
    (row,) = control.execute(_ROLE)
    return Role(*row)


def contents(control: Control) -> Contents:
    """Return what is in the database that a reset would drop, could not drop and would keep."""
    ((size,),) = control.execute("SELECT pg_database_size(current_database())")
    found = look(control)
    mine = dict(control.execute(_MAY_DROP))
    return Contents(
        int(size),
        [(each.kind, each.identity) for each in found],
        [
            (each.kind, each.identity, each.owner)
            for each in found
            if each.owner is not None and not mine.get(each.owner, True)
        ],
        {name: version for name, (_, version) in installed_extensions(control).items()},
    )


def activity(control: Control, ours: Iterable[Optional[int]] = ()) -> Activity:
    """Return who else is connected to the database and what they hold.

    :param ours: pids of connections of this process, which are not counted.
    """
    pids = [pid for (pid,) in control.execute(_SESSIONS) if pid not in set(ours)]
    blocking = control.in_the_way(exclusive=True).pids
    return Activity(
        control.backends(pids),
        [pid for pid in blocking if pid in pids],
        control.prepared_transactions(),
    )


def busy_databases(control: Control) -> List[str]:
    """Return the names of the server's databases that somebody is connected to."""
    return [name for (name,) in control.execute(_BUSY)]


def database_name(control: Control) -> str:
    """Return the name that the server has for the database; a pooler may have another."""
    ((name,),) = control.execute("SELECT current_database()::text")
    return str(name)
