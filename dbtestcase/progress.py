"""What is said on the terminal while tests run: work that takes long, what could surprise."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
from typing import Iterator

from . import report

QUIET_SECONDS = 1.0


@contextlib.contextmanager
def told(words: str) -> Iterator[None]:
    """Say what is being done, on standard error, if the block takes more than a second.

    :param words: what is being done, as ``making 500 tables``.
    """
    timer = threading.Timer(QUIET_SECONDS, _say_at_work, (words,))
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
    report.notice(sentence)


def _say_at_exit(text: str) -> None:
    if sys.__stderr__ is not None:
        sys.__stderr__.write(text)


def _say_at_work(words: str) -> None:
    # The runner may be keeping what tests print: this is meant for whoever waits.
    stream = sys.__stderr__ or sys.stderr
    stream.write("dbtestcase: %s ...\n" % words)
    stream.flush()
