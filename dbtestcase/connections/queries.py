"""Tells which queries engines run, for whoever counts them or shows them.

SQLAlchemy is listened to only while somebody has subscribed: where engines have any listener, it
looks for those of all events at each statement.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List

import sqlalchemy as sa

from . import statements

#: The execution option that marks a statement as the package's own, which is nobody's query.
OWN_QUERY = "dbtestcase_own"


class QuerySubscriber:
    """What hears of queries; each may want a part of it. This one does nothing."""

    def began(self, conn: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        """Hear that a query is about to run.

        :param conn: the SQLAlchemy Connection that runs it.
        :param parameters: as the driver gets them.
        :param context: SQLAlchemy's execution context.
        :param many: whether these are a sequence of sets, each for one run of the statement.
        """

    def ended(self, context: Any) -> None:
        """Hear that a query ran, or failed."""

    def subscribe(self) -> None:
        """Hear of the queries of every engine and thread from now on."""
        _subscribers.append(self)
        if len(_subscribers) == 1:
            for event, heard in _EVENTS.items():
                sa.event.listen(sa.engine.Engine, event, heard)

    def unsubscribe(self) -> None:
        """Hear nothing more."""
        _subscribers.remove(self)
        if not _subscribers:
            for event, heard in _EVENTS.items():
                sa.event.remove(sa.engine.Engine, event, heard)


_subscribers: List[QuerySubscriber] = []


def _before(
    conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
) -> None:
    if context is not None and context.execution_options.get(OWN_QUERY):
        return
    if not statements.read(statement).is_query:
        return
    for subscriber in list(_subscribers):
        subscriber.began(conn, statement, parameters, context, many)


def _after(
    conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
) -> None:
    for subscriber in list(_subscribers):
        subscriber.ended(context)


def _failed(failure: Any) -> None:
    for subscriber in list(_subscribers):
        subscriber.ended(failure.execution_context)


_EVENTS: Dict[str, Callable[..., Any]] = {
    "before_cursor_execute": _before,
    "after_cursor_execute": _after,
    "handle_error": _failed,
}
