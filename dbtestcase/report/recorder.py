"""How long each test and its reset took, and how many queries the test ran."""

from __future__ import annotations

import contextlib
from typing import Any, Iterator, Optional

from .. import _where
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
    """

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self._began = Clock.now()
        self._meter = Meter()
        self._test: Optional[_Phases] = None
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

    # --- a test ----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def testing(self, case: Any) -> Iterator[_Phases]:
        """Note a test, when it is over."""
        outer = self._test
        test = self._test = _Phases(case)
        try:
            yield test
        finally:
            self._test, self._last_test = outer, test.name
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

    @contextlib.contextmanager
    def resetting(self, owner: Any) -> Iterator[None]:
        """Time what makes the database ready for a test or a class."""
        if self._reset is not None:  # a class that is set up by its first test
            yield
            return
        test = self._test
        phases = self._reset = test or _Phases(owner)
        self._resets += 1
        if test:
            test.kind = "failed"
        began = Clock.seconds()
        try:
            yield
            if test and test.kind == "failed":
                test.kind = _KINDS.get(getattr(owner, "reset", None), "verified")
        finally:
            self._reset, self._rebuilding = None, False
            ended = Clock.seconds()
            phases.reset_seconds = ended - began
            if test:
                test.began = ended
                self._meter.start()
            else:
                self._note_class(phases)

    @contextlib.contextmanager
    def leaving(self) -> Iterator[None]:
        """Time what is done with the database after a test; its rows may be kept before that."""
        began = Clock.seconds()
        test = self._test
        if test and test.began is not None:
            test.seconds = began - test.began - test.leave_seconds
            test.queries, test.database_seconds = self._meter.read()
        try:
            yield
        finally:
            if test:
                test.leave_seconds += Clock.seconds() - began

    def _note_class(self, phases: _Phases) -> None:
        seconds = phases.reset_seconds
        self.note("class", name=phases.name, at=phases.at, reset=phases.kind, reset_seconds=seconds)

    # --- what happens in a reset -----------------------------------------------------------------

    def changed(self, database: str, reason: str) -> None:
        """Note that a database is no longer as it was made."""
        self._rebuilding = True
        self.note(
            "change",
            database=database,
            reason=reason,
            after=self._last_test,
            before=_where.current_test() or (self._reset and self._reset.name),
        )

    def built(self) -> None:
        """Note that the schema is being made."""
        if self._reset is not None and self._reset.kind != "recreated":
            self._reset.kind = "recreated" if self._rebuilding else "built"

    def left_open(self, leak: Any) -> None:
        """Note what a test left open."""
        values = {name: getattr(leak, name, None) for name in ("test", "kind", "file", "line")}
        self.note("left open", text=str(leak), **values)


def _name(case: Any) -> str:
    return "%s.%s" % (type(case).__name__, getattr(case, "_testMethodName", ""))
