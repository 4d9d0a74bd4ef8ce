"""Says what sees the statements of a connection, whatever its driver, and who hears of it."""

from __future__ import annotations

from typing import Any, List, Optional, Sequence


class Observer:
    """What sees the statements of one connection, or of one cursor. This one does nothing."""

    #: Whether it is to see the statements also of connections of a class of the user's own.
    insists = False

    def before(self, cursor: Any, method: str, statement: Any, arguments: Sequence[Any]) -> bool:
        """See that a statement is about to run; return whether it is to be run at all.

        :param method: the cursor's method, as ``"execute"``.
        :param statement: what it was given, ``None`` where that is no statement.
        :param arguments: everything that it was given.
        """
        return True

    def ran(self, cursor: Any) -> None:
        """See that it did."""

    def failed(self, cursor: Any, error: BaseException) -> None:
        """See that it failed."""

    def over(self) -> None:
        """See that the connection's transaction was committed or rolled back."""

    def lost(self) -> None:
        """See that the connection's transaction ended in a way that nobody saw."""

    def unknown(self) -> None:
        """See that something happened in it of which nothing more is known."""

    def commit(self) -> None:
        """Commit, as ``executescript()`` of sqlite3 does before it runs a script."""


class Several(Observer):
    """Observers of one connection; the first one is the last to see that something is over."""

    def __init__(self, observers: List[Observer]) -> None:
        self.observers = observers

    def before(self, cursor: Any, method: str, statement: Any, arguments: Sequence[Any]) -> bool:
        return all([each.before(cursor, method, statement, arguments) for each in self.observers])

    def ran(self, cursor: Any) -> None:
        for each in reversed(self.observers):
            each.ran(cursor)

    def failed(self, cursor: Any, error: BaseException) -> None:
        for each in reversed(self.observers):
            each.failed(cursor, error)

    def over(self) -> None:
        for each in reversed(self.observers):
            each.over()

    def lost(self) -> None:
        for each in reversed(self.observers):
            each.lost()

    def unknown(self) -> None:
        for each in reversed(self.observers):
            each.unknown()


#: What hears of connections, each a :class:`drivers.Subscriber`.
subscribers: List[Any] = []


def tell_prepared(gid: Optional[str]) -> None:
    """Say that a transaction of this name was prepared (2PC)."""
    for subscriber in subscribers if gid else ():
        subscriber.prepared(str(gid))
