"""Notes how long each test and its reset took, its queries, and what is left on the servers."""

from __future__ import annotations

import atexit
import contextlib
from typing import Any, Callable, Dict, List, Optional, Tuple

from .. import _compat, events, where
from ..connections import (
    QuerySubscriber,
    open_checkouts,
)
from ..databases import used_dialects
from .parts import Event, Parts
from .run import Run

_KINDS = {"rollback": "rolled back", None: "left alone"}
_STARTED = "_dbtestcase_started"
_COUNTED = "_dbtestcase_counted"  # SQLAlchemy 2 sends a long INSERT as several statements


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
            setattr(context, _STARTED, where.now())

    def ended(self, context: Any) -> None:
        """Add the time of a query that ran or failed."""
        began = getattr(context, _STARTED, None)
        if began is not None:
            delattr(context, _STARTED)
            self._durations.append(where.now() - began)


class _Phases:
    """The numbers of a test, or of the set-up of a class, while it runs."""

    def __init__(self, owner: Any) -> None:
        self.at = where.wall()
        self.outcome = "unfinished"
        self.kind: Optional[str] = None
        self.seconds = self.reset_seconds = self.leave_seconds = 0.0
        self.queries, self.database_seconds = 0, 0.0
        self.began: Optional[float] = None
        if isinstance(owner, type):
            self.name = owner.__name__
        else:
            self.name = "%s.%s" % (type(owner).__name__, getattr(owner, "_testMethodName", ""))
        self.id = owner.id() if hasattr(owner, "_testMethodName") else self.name


class Recorder(events.Listener):
    """Notes what happens in this process.

    :param parts: where it is written to.
    :param at_exit: what is to be called when the process ends, before its servers end.
    """

    def __init__(self, parts: Parts, at_exit: Callable[[], None]) -> None:
        self.parts = parts
        self._at_exit = at_exit
        self._began = where.wall()
        self._meter = Meter()
        self._tests: List[_Phases] = []  # those that run, one within the other
        self._depth = 0  # of resets within resets
        self._reset_at = self._left = 0.0
        self._reset: Optional[_Phases] = None
        self._last_test: Optional[str] = None
        self._rebuilding = False
        self._resets = 0

    def note(self, event: str, **values: Any) -> None:
        """Write down that something happened."""
        row: Event = {"event": event, "at": where.wall(), "process": self.parts.process}
        row.update(values)
        self.parts.append(row)

    def finish(self) -> Optional[Run]:
        """Note what is left, and return the whole run if this process makes the report."""
        self._meter.stop()
        left = _left_on_servers() if self._resets else None
        if left is not None:
            self.note("server", **left)
        noted = self.parts.collect()
        return None if noted is None else Run(noted, self._began, where.wall())

    # --- what takes time -------------------------------------------------------------------------

    def began(self, what: str, owner: Any) -> None:
        """Hear that a test, a reset or the leaving of a database begins."""
        if what == events.TEST:
            self._tests.append(_Phases(owner))
        elif what == events.RESET:
            self._reset_began(owner)
        else:  # the test itself is over; its rows may be kept before it is left
            self._left, test = where.now(), self._test
            if test and test.began is not None:
                test.seconds = self._left - test.began - test.leave_seconds
                test.queries, test.database_seconds = self._meter.read()

    def ended(self, what: str, owner: Any, error: Optional[BaseException]) -> None:
        """Hear that it is over, and what it raised."""
        if what == events.TEST:
            self._test_ended()
        elif what == events.RESET:
            self._reset_ended(owner, error)
        elif self._test:
            self._test.leave_seconds += where.now() - self._left

    @property
    def _test(self) -> Optional[_Phases]:
        """The test that runs: the innermost one, where a test runs others."""
        return self._tests[-1] if self._tests else None

    def _test_ended(self) -> None:
        test = self._tests.pop()
        self._last_test = test.name
        self.note(
            "test",
            id=test.id,
            name=test.name,
            at=test.at,
            outcome=test.outcome,
            reset=test.kind,
            reset_seconds=test.reset_seconds,
            seconds=test.seconds,
            leave_seconds=test.leave_seconds,
            queries=test.queries,
            database_seconds=test.database_seconds,
        )

    def _reset_began(self, owner: Any) -> None:
        self._depth += 1
        if self._depth > 1:  # a class that is set up by its first test
            return
        # A private server ends at exit, too: register again to be called before it ends.
        atexit.unregister(self._at_exit)
        atexit.register(self._at_exit)
        self._reset = self._test or _Phases(owner)
        self._resets += 1
        if self._test:
            self._test.kind = "failed"
        self._reset_at = where.now()

    def _reset_ended(self, owner: Any, error: Optional[BaseException]) -> None:
        self._depth -= 1
        if self._depth or self._reset is None:
            return
        ended, phases, test = where.now(), self._reset, self._test
        self._reset, self._rebuilding = None, False
        phases.reset_seconds = ended - self._reset_at
        if test is None:
            seconds = phases.reset_seconds
            self.note(
                "class", name=phases.name, at=phases.at, reset=phases.kind, reset_seconds=seconds
            )
            return
        if error is None and test.kind == "failed":
            test.kind = _KINDS.get(getattr(owner, "reset", None), "verified")
        test.began = ended
        self._meter.start()

    # --- what happens ----------------------------------------------------------------------------

    def noted(self, what: str, **values: Any) -> None:
        """Hear that something happened."""
        if what == events.CHANGED:
            self._rebuilding = True
            before = where.current_test() or (self._reset and self._reset.name)
            self.note("change", after=self._last_test, before=before, **values)
        elif what == events.BUILT:
            if self._reset is not None and self._reset.kind != "recreated":
                self._reset.kind = "recreated" if self._rebuilding else "built"
        elif what == events.LEFT_OPEN:
            leak = values["leak"]
            known = {name: getattr(leak, name, None) for name in ("test", "kind", "file", "line")}
            self.note("left open", text=str(leak), **known)
        elif what == events.OUTCOME:
            if self._test and self._test.outcome in ("unfinished", "passed"):
                self._test.outcome = values["outcome"]
        elif what == events.NOTICE:
            self.note("notice", **values)


# --- what is left when the run ends -------------------------------------------------------------


def _left_on_servers() -> Optional[Dict[str, Any]]:
    """Return the databases, connections and transactions, ``None`` where no server was used."""
    dialects = [each for each in used_dialects() if each.control is not None]
    names = [name for dialect in dialects for name in _names(dialect.siblings)]
    if not names:
        return None
    controls = {dialect.control.pid for dialect in dialects}
    pids = [_compat.backend_pid(each) for each in _compat.driver_connections()]
    return {
        "databases": sorted(set(names)),
        "kept": sorted({name for dialect in dialects for name in _names(dialect.kept)}),
        "connections": len({pid for pid in pids if pid is not None} - controls),
        "transactions": [
            "%s is still in a transaction, on the connection of %s"
            % (
                checkout.test or "code outside of any test",
                checkout.lines[0] if checkout.lines else "an unknown line",
            )
            for checkout in open_checkouts()
            if _compat.transaction_status(checkout.dbapi) not in (None, _compat.IDLE)
        ],
    }


def _names(databases: Callable[[], List[str]]) -> List[str]:
    with contextlib.suppress(Exception):  # the server may have ended before the run
        return databases()
    return []
