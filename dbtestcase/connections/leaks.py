"""Describes what a test left open, in a line about each."""

from __future__ import annotations

import warnings
from typing import Iterable, NamedTuple, Optional

from .. import events, where
from .checkouts import Place
from .describe import duration


class Leak(NamedTuple):
    """Something that a test left open; ``str()`` is a line about it."""

    kind: str  # "session", "connection", "raw connection", "prepared transaction", "backend"
    test: Optional[str]
    file: Optional[str]
    line: int
    function: str
    thread: str
    pid: Optional[int]
    seconds: float
    freed: bool = True

    def __str__(self) -> str:
        place = (
            " at %s:%d in %s" % (where.short_path(self.file), self.line, self.function)
            if self.file
            else ""
        )
        thread = "" if self.thread == "MainThread" else ', thread "%s"' % self.thread
        backend = ", backend %d" % self.pid if self.pid else ""
        return "%s left a %s open%s (%s%s%s)%s" % (
            self.test or "something outside of any test",
            self.kind,
            place,
            duration(self.seconds),
            thread,
            backend,
            "" if self.freed else ", and it is still at work",
        )


def leak_at(place: Place, kind: str, pid: Optional[int], freed: bool = True) -> Leak:
    """Return what was left open that a test opened at a place."""
    line = place.lines[0] if place.lines else None
    return Leak(
        kind,
        place.test,
        line.filename if line else None,
        line.lineno if line else 0,
        line.function if line else "",
        place.thread.name,
        pid,
        where.now() - place.since,
        freed,
    )


def note_leaks(leaks: Iterable[Leak]) -> None:
    """Have the report of the run tell about the leaks."""
    for leak in leaks:
        events.note(events.LEFT_OPEN, leak=leak)


def warn_of_leaks(leaks: Iterable[Leak]) -> None:
    """Give a ``ResourceWarning`` for each leak, at the line of the user's code that opened it."""
    for leak in leaks:
        events.note(events.LEFT_OPEN, leak=leak)
        warnings.warn_explicit(str(leak), ResourceWarning, leak.file or "sys", leak.line or 1)


def leak_text(leaks: Iterable[Leak]) -> str:
    """Return the text with which a test fails that may not leave anything open."""
    lines = ["left open at the end of the test:"]
    lines += ["  " + str(leak) for leak in leaks]
    lines.append(
        '  Close them in the test, or in a clean-up; leaks = "error" makes them its failure.'
    )
    return "\n".join(lines)
