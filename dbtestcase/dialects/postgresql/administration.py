"""Looks at a server, and creates, lists and drops databases there: what is done beside a run."""

from __future__ import annotations

from typing import Iterable, List, Optional

from ...contracts import Administration, Copy, Facts, Member, Role
from . import claims
from .catalog import find_objects, installed_extensions
from .sessions import Control

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


class Server(Administration):
    """A connection to a server, for what is done beside a run.

    :param control: the connection, to any database of the server.
    """

    control: Control

    def __init__(self, control: Control) -> None:
        self.control = control

    @property
    def name(self) -> str:
        """The database that it is connected to, as the server calls it."""
        return str(self.control.name)

    def role(self) -> Role:
        """Return the role of the connection and its rights."""
        (row,) = self.control.execute(_ROLE)
        return Role(*row)

    def facts(self, ours: Iterable[Optional[int]] = ()) -> Facts:
        """Return what there is to know of the database; from now on, the server refuses changes.

        :param ours: pids of connections of this process, which are not counted.
        """
        control = self.control
        control.execute("SET default_transaction_read_only = on")
        ((size,),) = control.execute("SELECT pg_database_size(current_database())")
        found = find_objects(control)
        mine = dict(control.execute(_MAY_DROP))
        pids = [pid for (pid,) in control.execute(_SESSIONS) if pid not in set(ours)]
        return Facts(
            bytes=int(size),
            would_drop=[(each.kind, each.identity) for each in found],
            cannot_drop=[
                (each.kind, each.identity, each.owner)
                for each in found
                if each.owner is not None and not mine.get(each.owner, True)
            ],
            extensions={name: each[1] for name, each in installed_extensions(control).items()},
            claimed_by=claims.holder(control),
            sessions=control.backends(pids),
            in_the_way=[pid for pid in control.in_the_way(exclusive=True).pids if pid in pids],
            prepared=control.prepared_transactions(),
        )

    def busy_databases(self) -> List[str]:
        """Return the names of the server's databases that somebody is connected to."""
        return [name for (name,) in self.control.execute(_BUSY)]

    def ensure_database(self, name: str) -> bool:
        """Create a database where there is none of this name; tell whether it was created."""
        return claims.ensure_database(self.control, name)

    def members(self, base: str) -> List[Member]:
        """Return a configured database and the siblings of it that are there."""
        return claims.members(self.control, base)

    def drop_unused(self, name: str, base: str) -> Optional[str]:
        """Drop a sibling that no run has; return why it was left where it was."""
        return claims.drop_unused(self.control, name, base)

    def copies(self, base: str) -> List[Copy]:
        """Return what is kept of failed tests of a configured database."""
        return claims.copies(self.control, [base])

    def drop_copy(self, name: str, base: str) -> Optional[str]:
        """Drop what is kept of a test; return why it was left where it was."""
        return claims.drop_copy(self.control, name, base)

    def close(self) -> None:
        """Close the connection."""
        self.control.close()
