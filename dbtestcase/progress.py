"""Long work says so on the terminal, while it is at it."""

from __future__ import annotations

import contextlib
import sys
import threading
from typing import Iterator

QUIET_SECONDS = 1.0


@contextlib.contextmanager
def told(words: str) -> Iterator[None]:
    """Say what is being done, on standard error, if the block takes more than a second.

    :param words: what is being done, as ``making 500 tables``.
    """
    timer = threading.Timer(QUIET_SECONDS, _say, (words,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _say(words: str) -> None:
    # The runner may be keeping what tests print: this is meant for whoever waits.
    stream = sys.__stderr__ or sys.stderr
    stream.write("dbtestcase: %s ...\n" % words)
    stream.flush()
