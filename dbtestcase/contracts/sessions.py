"""Says what the connection that clears can tell of the sessions in its database."""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, Optional, Tuple

if TYPE_CHECKING:
    from typing import Protocol
else:
    Protocol = getattr(typing, "Protocol", object)  # it came with Python 3.8


class Backend(NamedTuple):
    """One connection to a database, as its server sees it."""

    pid: int
    role: Optional[str]
    application: str
    address: Optional[str]
    port: Optional[int]
    state: Optional[str]  # None: this role may not know
    seconds: Optional[float]  # in that state
    waits_for: Optional[str]  # "Lock", "Client" and others; None: at work
    query: str
    blocked_by: List[int]  # pids; 0 stands for a prepared transaction
    held: List[str]  # names of relations
    wanted: List[str]  # names of relations whose lock it waits for


class Prepared(NamedTuple):
    """A transaction that was prepared (2PC) and neither committed nor ended."""

    gid: str
    role: str
    seconds: float
    held: List[str]


class InTheWay(NamedTuple):
    """What stands against a reset, and what does not but belongs to nobody if it is a test's."""

    pids: List[int]  # backends that it would wait for
    gids: List[str]  # names of prepared transactions
    readers: List[int]  # backends that have read tables: emptying these waits for nobody
    keepers: List[int]  # backends with the name of a test that hold advisory locks


class SessionSettings(Protocol):
    """The statements by which a session is settled for a test, and set back."""

    @property
    def discard(self) -> str:
        """The statement that gives back whatever a session holds beside its transaction."""

    @property
    def question(self) -> str:
        """What is asked of each session about what functions left in it, empty for nothing."""

    @property
    def locks(self) -> bool:
        """Whether functions may take locks that outlive their transaction."""

    def settle(self, name: str, milliseconds: int) -> str:
        """Return the query that gives a session a test's name and bound.

        What it remembers of sequences is discarded. The row is what it had, in three columns, and
        after six the answer to the question.
        """

    def rename(self, name: str) -> str:
        """Return the statements that give a settled session the name of another test.

        What it remembers of sequences is discarded. The row is the answer to the question.
        """

    def restore(self, before: Tuple[Any, ...]) -> str:
        """Return the statement that sets back what :meth:`settle` found."""

    def bound(self, milliseconds: int, transaction: bool = False) -> str:
        """Return the query that bounds waits again, of a session or of its transaction alone."""

    def at_start(self, milliseconds: int) -> Dict[str, str]:
        """Return the settings with which a session starts that is bounded from its beginning."""

    def options(self, own: str, milliseconds: int) -> str:
        """Return what gives sessions this bound, beside the start options of the user's own."""

    def may_unbind(self, statement: str) -> bool:
        """Tell whether a statement may change the bound on a session's waits."""


class DatabaseSessions(Protocol):
    """Who else is at work in a database, as the connection that clears it can tell."""

    @property
    def parts(self) -> Dict[str, Any]:
        """Where it leads, as parts of a URL without the password."""

    def in_the_way(self, exclusive: bool = False) -> InTheWay:
        """Return what is in the way of emptying or, if exclusive, of dropping."""

    def backends(self, pids: List[int]) -> List[Backend]:
        """Return what the server says about backends, the oldest transaction first."""

    def prepared_transactions(self) -> List[Prepared]:
        """Return the prepared transactions of this database, the oldest first."""

    def transactions(self, pids: List[int], gids: List[str]) -> List[Tuple[str, str]]:
        """Return how transactions are called, and what tells each from every other one.

        :param pids: the backends that have them.
        :param gids: the names of those that are prepared.
        """

    def prepared_by(self, pids: List[int]) -> List[str]:
        """Return the names of what backends have prepared, and have done nothing since."""

    def rollback_prepared(self, gid: str) -> None:
        """End a prepared transaction of this database."""

    def advisory_holders(self) -> List[int]:
        """Return the pids of backends that hold an advisory lock of this database."""

    def terminate(self, pid: int, seconds: float) -> bool:
        """End another backend, if it is of the same role and in the same database; tell whether."""

    def connections(self) -> List[Tuple[int, str, str, str]]:
        """Return how many connections the server has, by database, role and application name."""


class ControlConnection(DatabaseSessions, Protocol):
    """The connection that clears a database, as the watch on connections uses it."""

    @property
    def pid(self) -> int:
        """The pid of its backend."""

    @property
    def settings(self) -> SessionSettings:
        """How sessions of its kind are settled for a test."""

    @property
    def dbapi(self) -> Any:
        """The driver's connection."""

    @property
    def location(self) -> Any:
        """Host, port and name of the database, as :func:`_compat.location` gives them."""

    def beside(self, engine: Any) -> ControlConnection:
        """Return another connection of the kind, to the database of an engine."""

    def close(self) -> None:
        """Close the connection, if it is this process's to close."""
