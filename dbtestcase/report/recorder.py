"""How long each test and its reset took, and how many queries the test ran."""

from __future__ import annotations

import atexit
from typing import Any, Callable, List, Optional

from .. import events, where
from .meter import Clock, Meter
from .parts import Event, Parts
from .run import Run

_KINDS = {"rollback": "rolled back", None: "left alone"}


class _Phases:
    """The numbers of a test, or of the set-up of a class, while it runs."""

    def __init__(self, owner: Any) -> None:
        self.at = Clock.now()
        self.outcome = "unfinished"
        self.kind: Optional[str] = None
        self.seconds = self.reset_seconds = self.leave_seconds = 0.0
        self.queries, self.database_seconds = 0, 0.0
        self.began: Optional[float] = None
        self.name = owner.__name__ if isinstance(owner, type) else _name(owner)
        self.id = owner.id() if hasattr(owner, "_testMethodName") else self.name


class Recorder:
    """Notes what happens in this process.

    :param parts: where it is written to.
    :param at_exit: what is to be called when the process ends, before its servers end.
    """

    def __init__(self, parts: Parts, at_exit: Callable[[], None]) -> None:
        self.parts = parts
        self._at_exit = at_exit
        self._began = Clock.now()
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
        row: Event = {"event": event, "at": Clock.now(), "process": self.parts.process}
        row.update(values)
        self.parts.append(row)

    def finish(self) -> Optional[Run]:
        """Note what is left, and return the whole run if it is this process that tells it."""
        self._meter.stop()
        if self._resets:
            from .server import left_on_servers

            for row in left_on_servers():
                self.note("server", **row)
        events = self.parts.collect()
        return None if events is None else Run(events, self._began, Clock.now())

    # --- what takes its time ---------------------------------------------------------------------

    def began(self, what: str, owner: Any) -> None:
        """Hear that a test, a reset or the leaving of a database begins."""
        if what == events.TEST:
            self._tests.append(_Phases(owner))
        elif what == events.RESET:
            self._reset_began(owner)
        else:
            self._leaving_began()

    def ended(self, what: str, owner: Any, error: Optional[BaseException]) -> None:
        """Hear that it is over, and what it raised."""
        if what == events.TEST:
            self._test_ended()
        elif what == events.RESET:
            self._reset_ended(owner, error)
        elif self._test:
            self._test.leave_seconds += Clock.seconds() - self._left

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
        self._reset_at = Clock.seconds()

    def _reset_ended(self, owner: Any, error: Optional[BaseException]) -> None:
        self._depth -= 1
        if self._depth or self._reset is None:
            return
        ended, phases, test = Clock.seconds(), self._reset, self._test
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

    def _leaving_began(self) -> None:
        """Know when the test itself is over; its rows may be kept before that."""
        self._left = Clock.seconds()
        test = self._test
        if test and test.began is not None:
            test.seconds = self._left - test.began - test.leave_seconds
            test.queries, test.database_seconds = self._meter.read()

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


def _name(case: Any) -> str:
    return "%s.%s" % (type(case).__name__, getattr(case, "_testMethodName", ""))
