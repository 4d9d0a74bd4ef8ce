"""How many queries ran, and how long the database took for them."""

from __future__ import annotations

import time
from typing import Any, List, Tuple

from ..connections import QuerySubscriber

_STARTED = "_dbtestcase_started"
_COUNTED = "_dbtestcase_counted"  # SQLAlchemy 2 sends a long INSERT as several statements


class Clock:
    """The time as it is: what stops it for a test looks for these functions in modules alone."""

    now = staticmethod(time.time)
    seconds = staticmethod(time.perf_counter)


class Meter(QuerySubscriber):
    """Counts the queries of every engine and thread of this process."""

    def __init__(self) -> None:
        self._durations: List[float] = []
        self._begun: List[None] = []
        self.subscribe()

    def stop(self) -> None:
        """Listen no more."""
        self.unsubscribe()

    def start(self) -> None:
        """Count from zero."""
        self._durations, self._begun = [], []

    def read(self) -> Tuple[int, float]:
        """Return the number of queries since the start, and the seconds that they took."""
        return len(self._begun), sum(self._durations)

    def began(self, conn: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        """Count a query, and know since when it runs."""
        if context is not None:
            if not hasattr(context, _COUNTED):
                setattr(context, _COUNTED, True)
                self._begun.append(None)
            setattr(context, _STARTED, Clock.seconds())

    def ended(self, context: Any) -> None:
        """Add the time of a query that ran or failed."""
        began = getattr(context, _STARTED, None)
        if began is not None:
            delattr(context, _STARTED)
            self._durations.append(Clock.seconds() - began)
