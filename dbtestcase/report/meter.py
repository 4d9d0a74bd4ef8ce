"""How many queries ran, and how long the database took for them."""

from __future__ import annotations

import time
from typing import Any, List, Tuple

import sqlalchemy as sa

from ..assertions import _recorder

_STARTED = "_dbtestcase_started"
_COUNTED = "_dbtestcase_counted"  # SQLAlchemy 2 sends a long INSERT as several statements


class Clock:
    """The time as it is: what stops it for a test looks for these functions in modules alone."""

    now = staticmethod(time.time)
    seconds = staticmethod(time.perf_counter)


class Meter:
    """Counts the queries of every engine and thread of this process."""

    def __init__(self) -> None:
        self._durations: List[float] = []
        self._begun: List[None] = []
        sa.event.listen(sa.engine.Engine, "before_cursor_execute", self._before)
        sa.event.listen(sa.engine.Engine, "after_cursor_execute", self._after)
        sa.event.listen(sa.engine.Engine, "handle_error", self._failed)

    def stop(self) -> None:
        """Listen no more."""
        sa.event.remove(sa.engine.Engine, "before_cursor_execute", self._before)
        sa.event.remove(sa.engine.Engine, "after_cursor_execute", self._after)
        sa.event.remove(sa.engine.Engine, "handle_error", self._failed)

    def start(self) -> None:
        """Count from zero."""
        self._durations, self._begun = [], []

    def read(self) -> Tuple[int, float]:
        """Return the number of queries since the start, and the seconds that they took."""
        return len(self._begun), sum(self._durations)

    def _before(
        self, conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
    ) -> None:
        if context is not None and _recorder.is_query(statement, context):
            if not hasattr(context, _COUNTED):
                setattr(context, _COUNTED, True)
                self._begun.append(None)
            setattr(context, _STARTED, Clock.seconds())

    def _after(
        self, conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
    ) -> None:
        self._ended(context)

    def _failed(self, failure: Any) -> None:
        self._ended(failure.execution_context)

    def _ended(self, context: Any) -> None:
        began = getattr(context, _STARTED, None)
        if began is not None:
            delattr(context, _STARTED)
            self._durations.append(Clock.seconds() - began)
