"""Closing connections of others, and of servers that may not answer, without waiting for ever."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from typing import Any, Callable, Iterator


def ends_in_time(close: Callable[[], Any], deadline: float) -> bool:
    """Close what another thread has: should it begin a statement just now, that may take long."""
    done = []

    def work() -> None:
        with contextlib.suppress(Exception):
            close()
            done.append(True)

    thread = threading.Thread(target=work, name="dbtestcase", daemon=True)
    thread.start()
    thread.join(max(0.1, deadline - time.monotonic()))
    return bool(done)


@contextlib.contextmanager
def cut_off_at(deadline: float, dbapi: Any) -> Iterator[None]:
    """Shut the socket of a connection whose server does not answer in time."""
    timer = threading.Timer(max(0.1, deadline - time.monotonic()), shut, (dbapi,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def shut(dbapi: Any) -> None:
    """Shut the socket of a driver's connection: whoever waits for its server gets an error."""
    with contextlib.suppress(Exception):
        with socket.socket(fileno=os.dup(dbapi.fileno())) as copy:
            copy.shutdown(socket.SHUT_RDWR)
