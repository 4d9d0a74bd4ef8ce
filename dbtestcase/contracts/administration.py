"""Says what concerns more than one run: siblings and copies of a database, and its server."""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING, Any, Dict, Iterable, List, NamedTuple, Optional, Tuple

from .sessions import Backend, ControlConnection, Prepared

if TYPE_CHECKING:
    from typing import Protocol

    from .dialect import Identity
else:
    Protocol = getattr(typing, "Protocol", object)  # it came with Python 3.8


class Family(Protocol):
    """What concerns more than one run: who has a database, and its numbered siblings."""

    def claim(self, copier: int = 0) -> bool:
        """Take the database for this run until it ends; false where another run has it.

        :param copier: the backend by which this run itself has been copying it.
        """

    def holder(self) -> Optional[str]:
        """Return a line about the run that has the database."""

    def can_lead(self, engine: Any) -> bool:
        """Tell whether the connections of an engine can be led to another database."""

    def lead_here(self, taken: Identity) -> None:
        """Have this process's new connections to a database of the server lead to this one.

        Whoever makes them, and until the process ends.

        :param taken: the database that another run has.
        """

    def create_sibling(self, name: str) -> Optional[bool]:
        """Create a database like this one, if it is missing; tell whether that was needed.

        :return: ``None`` where it is missing and may not be made.
        """

    def sibling(self, engine: Any, name: str, created: bool) -> Any:
        """Return another database of the server; one just created gets this one's extensions."""

    def is_missing(self, error: BaseException, name: str) -> bool:
        """Tell whether an attempt to connect says that there is no database of a name."""

    def siblings(self) -> List[str]:
        """Return the names of this database and of its numbered siblings on the server."""

    def kept(self) -> List[str]:
        """Return the names of what is kept of failed tests of this database and its siblings."""


class Role(NamedTuple):
    """Who a connection is to the server, and what that role may do."""

    name: str
    superuser: bool
    createdb: bool
    owns_database: bool
    owns_public: bool


class Facts(NamedTuple):
    """What a database holds, what a reset would make of it, and who is at work there."""

    bytes: int
    would_drop: List[Tuple[str, str]]  # kinds and names
    cannot_drop: List[Tuple[str, str, str]]  # with the role that could
    extensions: Dict[str, str]  # they stay; names and versions
    claimed_by: Optional[str]  # a line about the run that has it
    sessions: List[Backend]
    in_the_way: List[int]  # pids of those that a reset would wait for
    prepared: List[Prepared]


class Member(NamedTuple):
    """A database or one of its siblings; the fields from ``pid`` on are of the run that has it."""

    name: str
    bytes: Optional[int]  # None: this role may not know
    sessions: int
    pid: Optional[int]  # None: no run has it
    application: Optional[str]
    address: Optional[str]
    seconds: Optional[float]


class Copy(NamedTuple):
    """One copy of a database, with what a test had committed that failed."""

    name: str
    test: str
    base: str  # the configured database that the test was run against
    since: str  # by the server's clock, as 2026-01-31 12:00 UTC
    bytes: Optional[int]  # None: this role may not know
    sessions: int


class Administration(Protocol):
    """A connection to a server for what is done beside a run: look, create, list, drop databases.

    It is not for clearing: what it drops, no run has, or nobody can miss.
    """

    control: ControlConnection

    @property
    def name(self) -> str:
        """The database that it is connected to, as the server calls it."""

    def role(self) -> Role:
        """Return the role of the connection and its rights."""

    def facts(self, ours: Iterable[Optional[int]] = ()) -> Facts:
        """Return what there is to know of the database; from now on, the server refuses changes.

        :param ours: pids of connections of this process, which are not counted.
        """

    def busy_databases(self) -> List[str]:
        """Return the names of the server's databases that somebody is connected to."""

    def ensure_database(self, name: str) -> bool:
        """Create a database where there is none of this name; tell whether it was created."""

    def members(self, base: str) -> List[Member]:
        """Return a configured database and the siblings of it that are there, by their numbers."""

    def drop_unused(self, name: str, base: str) -> Optional[str]:
        """Drop a sibling that no run has; return why it was left where it was."""

    def copies(self, base: str) -> List[Copy]:
        """Return what is kept of failed tests of a configured database."""

    def drop_copy(self, name: str, base: str) -> Optional[str]:
        """Drop what is kept of a test; return why it was left where it was."""

    def close(self) -> None:
        """Close the connection."""


class Copier(Protocol):
    """What copies a database, to keep what a test has committed."""

    @property
    def pid(self) -> int:
        """The pid of the backend that copies; 0 where there is none."""

    def copy(self, test: str, base: str) -> List[str]:
        """Copy the database in place of an earlier copy of the same name.

        :param test: the test that the copy is kept of.
        :param base: the configured database.
        :return: how to get at the copy: where it is, without a password, and a command.
        """

    def close(self) -> None:
        """Close the connection that copied; the copy stays."""
