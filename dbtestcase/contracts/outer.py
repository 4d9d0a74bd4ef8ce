"""Says what an outer transaction needs of its connection."""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

if TYPE_CHECKING:
    from typing import Protocol
else:
    Protocol = getattr(typing, "Protocol", object)  # it came with Python 3.8


BASE_SAVEPOINT = "dbtestcase"
"""The savepoint at which an outer transaction begins; it stands where the last commit was."""


class OuterConnection(Protocol):
    """A connection like those of an engine, which never commits while a test runs.

    All engines of a database share it during an outer transaction. It can begin the next one after
    :meth:`finish` or :meth:`commit`.
    """

    dbapi: Any
    """The driver's connection."""
    driver: Any
    """The driver's module, with its errors."""
    info: Dict[Any, Any]
    """What the engine's listeners noted in the ``info`` of the connection."""
    shown: Dict[str, Any]
    """Attributes of the driver's connection that users are not to see as they are."""
    kept: bool
    """Whether it stays open for the next test."""
    one_thread: bool
    """Whether no other thread than the one that opened it is to use it."""

    @property
    def alive(self) -> bool:
        """Whether it is open, and this process may use it."""

    @property
    def aborted(self) -> Optional[Exception]:
        """What the server answers to every statement until one that failed is undone, if it does.

        ``None`` where statements run.
        """

    def identity(self) -> Tuple[Any, ...]:
        """Return what the connections of two engines must have in common to be one."""

    def begin(self, baseline: Any, state: Any, test: str, lock_timeout: float) -> bool:
        """Begin, and set the base savepoint.

        :param baseline: the rows that the test starts with, for what depends on them.
        :param state: what :meth:`finish` left, ``None`` if there was no transaction before.
        :param test: the name of the test.
        :param lock_timeout: seconds that statements may wait for a lock, 0 for no bound.
        :return: whether all is proved to be as it was at the end of the transaction before.
        """

    def savepoint(self, name: str) -> None:
        """Set a savepoint."""

    def release(self, name: str) -> None:
        """Keep what was done since a savepoint."""

    def rollback_to(self, name: str, release: bool = False) -> None:
        """Undo what was done since a savepoint; if release, the savepoint is gone as well."""

    def commit_base(self) -> None:
        """Move the base savepoint here, as by a commit: what was deferred is checked now.

        :raises Exception: the driver's IntegrityError; what it is about was undone.
        """

    def definitions_changed(self) -> None:
        """Forget what was known of the constraints: a statement may change them."""

    def violation(self) -> Optional[Exception]:
        """Return the driver's IntegrityError if a deferred constraint is violated."""

    def finish(self) -> Tuple[bool, Any]:
        """Roll everything back.

        :return: whether anybody committed anything since the beginning, by any connection, or it
            cannot be told; and the state for the next :meth:`begin`.
        """

    def commit(self) -> None:
        """Commit everything for real.

        :raises Exception: the driver's IntegrityError.
        """

    def escaped_tables(self, database: Any) -> List[str]:
        """Return the tables of a checked database that others committed to since the beginning."""

    def close(self) -> None:
        """Close the connection, or give it back as it was, if it is this process's to close."""

    def closed_error(self, test: str) -> Exception:
        """Return the driver's error for the use of a connection after its test."""
