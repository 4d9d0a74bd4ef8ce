"""Passes on what happens in a run to whoever reports it.

Modules of the package tell here what they do, and listeners, like the report, hear it. This module
imports nothing of the package, and where nobody listens next to nothing is spent.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from threading import Timer
from typing import Any, ContextManager, Iterator, List, Optional

#: What takes time: a whole test, making the database ready for a test or a class, leaving it.
TEST, RESET, LEAVING = "test", "reset", "leaving"

#: What is noted: the schema is made, a database differs from what was made, something was left
#: open, a test came to an end, something was done that could surprise.
BUILT, CHANGED, LEFT_OPEN, OUTCOME, NOTICE = "built", "changed", "left open", "outcome", "notice"

QUIET_SECONDS = 1.0


class Listener:
    """Hears of everything that happens. This one does nothing with it."""

    def began(self, what: str, owner: Any) -> None:
        """Hear that something begins that takes time.

        :param what: ``TEST``, ``RESET`` or ``LEAVING``.
        :param owner: the test, or the class that is set up.
        """

    def ended(self, what: str, owner: Any, error: Optional[BaseException]) -> None:
        """Hear that it is over, and what it raised."""

    def noted(self, what: str, **values: Any) -> None:
        """Hear that something happened: ``BUILT`` and the like, with its particulars."""


_listeners: List[Listener] = []
_nothing: ContextManager[Any] = contextlib.nullcontext()


def listen(listener: Listener) -> None:
    """Have a listener hear of everything from now on."""
    _listeners.append(listener)


def stop_listening(listener: Listener) -> None:
    """Tell a listener nothing more."""
    _listeners.remove(listener)


def is_heard() -> bool:
    """Tell whether anybody listens."""
    return bool(_listeners)


def during(what: str, owner: Any) -> ContextManager[Any]:
    """Return a context manager that says when its block begins and ends.

    :param what: ``TEST``, ``RESET`` or ``LEAVING``.
    :param owner: the test or the class.
    """
    return _During(what, owner) if _listeners else _nothing


def note(what: str, **values: Any) -> None:
    """Say that something happened."""
    for listener in list(_listeners):
        listener.noted(what, **values)


class _During:
    """A block that listeners hear of."""

    def __init__(self, what: str, owner: Any) -> None:
        self._what, self._owner = what, owner
        self._heard_by = list(_listeners)

    def __enter__(self) -> None:
        for listener in self._heard_by:
            listener.began(self._what, self._owner)

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        for listener in self._heard_by:
            listener.ended(self._what, self._owner, error)


# --- the terminal, while tests run ---------------------------------------------------------------


@contextlib.contextmanager
def slow_work(description: str) -> Iterator[None]:
    """Say what is being done, on standard error, if the block takes more than a second.

    :param description: what is being done, as ``making 500 tables``.
    """
    timer = Timer(QUIET_SECONDS, _say_at_work, (description,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def say(sentence: str) -> None:
    """Tell the user what was done that could surprise."""
    text = "dbtestcase: %s\n" % sentence
    sys.stderr.write(text)
    if "PYTEST_CURRENT_TEST" in os.environ and sys.stderr is not sys.__stderr__:
        atexit.register(_say_at_exit, text)  # of tests that pass, pytest does not show it
    note(NOTICE, text=" ".join(sentence.split()))


def _say_at_exit(text: str) -> None:
    if sys.__stderr__ is not None:
        sys.__stderr__.write(text)


def _say_at_work(description: str) -> None:
    # The runner may be keeping what tests print: this is meant for whoever waits.
    stream = sys.__stderr__ or sys.stderr
    stream.write("dbtestcase: %s ...\n" % description)
    stream.flush()
