"""Records the queries that a piece of a test runs, and asserts how many they are."""

from __future__ import annotations

import threading
import unittest
import weakref
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

from .. import _compat, where
from ..connections import QuerySubscriber
from ..errors import count
from . import describe

if TYPE_CHECKING:
    _TestCase = unittest.TestCase
else:
    _TestCase = object

__unittest = True  # a failure points at the line of the test

_MOST_LISTED = 50
_LONGEST_STATEMENT = 200
_LONGEST_PARAMETERS = 120


class QueryAssertions(_TestCase):
    """Assertions about the number of queries, on every engine of the test and in every thread.

    Savepoints and other transaction control do not count; one statement with many sets of
    parameters counts once. Both give an object whose ``queries`` (``statement``, ``parameters``,
    ``line``, ``thread``) and ``len()`` can be looked at inside the block and after it.
    """

    def assertNumQueries(self, expected: int, msg: Optional[str] = None) -> QueryBlock:
        """Return a context manager that fails unless its block runs this many queries.

        The failure lists them, with the line behind each, and names those that repeat.
        """
        return QueryBlock(self, expected, "", msg)

    def assertMaxQueries(self, most: int, msg: Optional[str] = None) -> QueryBlock:
        """Return a context manager that fails when its block runs more queries than this."""
        return QueryBlock(self, most, "at most ", msg)


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
        # An engine made by execution_options() shares the pool of the one that it came from.
        pool, engines = conn.engine.pool, self._engines
        if engines is not None and not any(each.pool is pool for each in engines):
            return
        if _compat.is_further_batch(context):
            before, self._batch = self._batch(), weakref.ref(context)
            if before is context:
                return
        line, thread = where.user_line(), threading.current_thread().name
        self.queries.append(RecordedQuery(statement, parameters, many, line, thread))


class QueryBlock(QueryRecorder):
    """The context manager of both assertions, and what it recorded."""

    def __init__(
        self, case: unittest.TestCase, expected: int, limit: str, msg: Optional[str]
    ) -> None:
        if isinstance(expected, bool) or not isinstance(expected, int) or expected < 0:
            raise TypeError(
                "a number of queries is 0, 1, 2, ...; got %s" % describe.value(expected)
            )
        engines = getattr(case, "_dbtestcase_engines", None)
        super().__init__(engines() if engines else None)
        self._case, self._expected, self._limit, self._msg = case, expected, limit, msg

    def __enter__(self) -> QueryBlock:
        self.start()
        return self

    def __exit__(self, failed: Any, error: Any, traceback: Any) -> None:
        self.stop()
        if failed is not None:
            return
        run = len(self)
        if run > self._expected or (run < self._expected and not self._limit):
            words = _failure_text(self._expected, self._limit, list(self))
            raise self._case.failureException(self._case._formatMessage(self._msg, words))


def _failure_text(expected: int, limit: str, queries: List[RecordedQuery]) -> str:
    lines = [
        "%s%s expected, %d %s run%s"
        % (
            limit,
            count(expected, "query"),
            len(queries),
            "was" if len(queries) == 1 else "were",
            ":" if queries else ".",
        )
    ]
    lines += repeated_queries(queries)
    for number, query in enumerate(queries[:_MOST_LISTED], 1):
        lines += listed_query(number, query)
    if len(queries) > _MOST_LISTED:
        lines.append("  ... and %d more" % (len(queries) - _MOST_LISTED))
    return "\n".join(lines)


def repeated_queries(queries: List[RecordedQuery]) -> List[str]:
    """Return a line for each statement that ran more than once from one line of the user's code.

    With different parameters it is the pattern called N+1: one query for the list, one more for
    each of its N items.
    """
    groups: Dict[Tuple[str, Optional[where.Line]], List[int]] = {}
    for index, query in enumerate(queries):
        groups.setdefault((query.statement, query.line), []).append(index)
    lines = []
    for (_, line), indexes in sorted(groups.items(), key=lambda group: -len(group[1])):
        if len(indexes) > 1:
            kinds = {describe.text(repr(queries[index].parameters), 1000) for index in indexes}
            what = "N+1" if len(kinds) > 1 else "the same query"
            place = " from " + str(line) if line else ""
            words = (what, len(indexes), place, _numbers(indexes))
            lines.append("  %s: %d times%s (queries %s)" % words)
    return lines


def _numbers(indexes: List[int]) -> str:
    numbers = [str(index + 1) for index in indexes]
    if indexes == list(range(indexes[0], indexes[-1] + 1)) and len(indexes) > 2:
        return "%s to %s" % (numbers[0], numbers[-1])
    if len(numbers) > 8:
        numbers[4:-1] = ["..."]
    return ", ".join(numbers)


def listed_query(number: int, query: RecordedQuery) -> List[str]:
    """Return the lines about one query: the statement, its parameters, its place."""
    lines = ["%3d. %s" % (number, describe.text(query.statement, _LONGEST_STATEMENT))]
    if query.parameters:
        sets = query.parameters if query.many else [query.parameters]
        words = describe.text(describe.value(sets[0]), _LONGEST_PARAMETERS)
        words += " and %d more sets" % (len(sets) - 1) if len(sets) > 1 else ""
        lines.append("     with " + words)
    place = "     at " + (str(query.line) if query.line else "a line outside the test")
    if query.thread != "MainThread":
        place += ", in thread %s" % query.thread
    return lines + [place]
