"""Shows the queries of a test in its failure, so that nobody has to turn on ``echo``."""

from __future__ import annotations

from typing import Any, Callable, List

from .. import _compat
from ..assertions import QueryRecorder, RecordedQuery, listed_query, repeated_queries
from ..errors import count

_ATTRIBUTE = "_dbtestcase_shown_queries"
_MOST = 30  # the last ones: they are what led to the failure


def keep(case: Any) -> Callable[[], None]:
    """Keep the queries that a test runs from now on; return what stops it."""
    recorder = QueryRecorder()
    setattr(case, _ATTRIBUTE, recorder)
    recorder.start()
    return recorder.stop


def add_to(error: BaseException, case: Any) -> None:
    """Add the queries that a test has run to what its failure says.

    :param error: what the test raised; its type and traceback stay as they are.
    :param case: the test.
    """
    recorder = vars(case).get(_ATTRIBUTE)
    if recorder is not None:
        _compat.add_text(error, text(list(recorder)))


def text(run: List[RecordedQuery]) -> str:
    """Return the words for the queries of a test: what repeats, and the last ones, numbered."""
    if not run:
        return "The test had run no query."
    lines = ["The test had run %s:" % count(len(run), "query", "queries")]
    lines += repeated_queries(run)
    skipped = max(0, len(run) - _MOST)
    if skipped:
        lines.append("  ... after the first %d" % skipped)
    for number, query in enumerate(run[skipped:], skipped + 1):
        lines += listed_query(number, query)
    return "\n".join(lines)
