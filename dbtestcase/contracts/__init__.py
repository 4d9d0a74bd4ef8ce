"""Writes down what the rooms of the package hand to each other.

``dialect.py``
    A database that is reset is a :class:`Dialect`: a :class:`DialectKind` tells where an engine
    leads, a :class:`ConnectedDatabase` has the connection that clears it, and the dialect itself
    empties, remembers and restores it.
``sessions.py``
    A :class:`ControlConnection` clears, and can tell who else is at work.
``outer.py``
    An :class:`OuterConnection` is shared by all engines while a test runs in one transaction.
``administration.py``
    What runs have beside a database (who has it, its siblings) is a :class:`Family`, and what is
    done beside any run is an :class:`Administration`; a database without a server has neither.
``target.py``
    What a suite declares is a :class:`Target`.

``dialects/postgresql`` and ``dialects/sqlite`` keep these. Their classes are derived from them, so
that a type checker proves it, and what a contract does by itself need not be written again.
"""

from .administration import Administration, Copier, Copy, Facts, Family, Member, Role
from .dialect import Baseline, ConnectedDatabase, Dialect, DialectKind, Environment, Identity
from .outer import BASE_SAVEPOINT, OuterConnection
from .sessions import (
    Backend,
    ControlConnection,
    DatabaseSessions,
    InTheWay,
    Prepared,
    SessionSettings,
)
from .target import Target

__all__ = [
    "Administration",
    "BASE_SAVEPOINT",
    "Backend",
    "Baseline",
    "ConnectedDatabase",
    "ControlConnection",
    "Copier",
    "Copy",
    "DatabaseSessions",
    "Dialect",
    "DialectKind",
    "Environment",
    "Facts",
    "Family",
    "Identity",
    "InTheWay",
    "Member",
    "OuterConnection",
    "Prepared",
    "Role",
    "SessionSettings",
    "Target",
]
