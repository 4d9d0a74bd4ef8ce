"""The statements that ran while somebody listened, and the line of the user's code behind each."""

from __future__ import annotations

import threading
import weakref
from typing import Any, Callable, Iterator, List, NamedTuple, Optional

from .. import _compat, where
from ..connections import QuerySubscriber


class RecordedQuery(NamedTuple):
    """One statement: its text, its parameters as the driver got them, and where it came from.

    ``many`` tells that the parameters are a sequence of sets, each for one run of the statement.
    """

    statement: str
    parameters: Any
    many: bool
    line: Optional[where.Line]
    thread: str


class QueryRecorder(QuerySubscriber):
    """Records the statements of all threads between ``start()`` and ``stop()``.

    Arguments:
        engines: the engines to listen to; None means every engine of the process.

    A statement with many sets of parameters counts once; savepoints and other transaction control
    do not count, nor do the statements of this package's own assertions.
    """

    def __init__(self, engines: Optional[List[Any]] = None) -> None:
        self.queries: List[RecordedQuery] = []
        self._engines = engines
        self._batch: Callable[[], Any] = lambda: None

    def __len__(self) -> int:
        return len(self.queries)

    def __iter__(self) -> Iterator[RecordedQuery]:
        return iter(list(self.queries))

    def start(self) -> None:
        """Begin to listen."""
        self.subscribe()

    def stop(self) -> None:
        """Listen no more."""
        self.unsubscribe()

    def began(self, conn: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        """Record a query, unless it goes on with one that is recorded already."""
        if self._listens_to(conn.engine) and not self._same_batch(context):
            line, thread = where.user_line(), threading.current_thread().name
            self.queries.append(RecordedQuery(statement, parameters, many, line, thread))

    def _listens_to(self, engine: Any) -> bool:
        # An engine made by execution_options() shares the pool of the one that it came from.
        return self._engines is None or any(engine.pool is known.pool for known in self._engines)

    def _same_batch(self, context: Any) -> bool:
        if not _compat.is_further_batch(context):
            return False
        before, self._batch = self._batch(), weakref.ref(context)
        return before is context
