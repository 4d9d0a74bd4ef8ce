"""A server that has stopped answering: none of its limits ends a wait then, so it is ended here.

A thread looks once a second whether a connection of the running test has waited for longer than
any lock may take. What its backend does is asked on another connection: one that has not begun
what it was sent is stopped, and one of a server that takes no connection will not answer either.
"""

from __future__ import annotations

import os
import threading
import time
from typing import Any, Dict, List, Tuple

from .. import _compat
from . import checkouts
from .bounds import shut
from .settling import running

_PATIENCE = 2.0  # seconds over the lock timeout before anything is asked
_TO_CONNECT = 2  # seconds
_PAUSE = 1.0  # seconds between two looks

_thread: Any = None
_stop = threading.Event()
_waiting: Dict[int, Tuple[Any, float]] = {}  # by id: the driver's connection, and since when
_cut: List[Any] = []  # what was cut off


def watch() -> None:
    """Cut off connections that get no answer, from now on; harmless a second time."""
    global _thread
    if _thread is None or not _thread.is_alive():  # a forked process has none
        _stop.clear()
        _thread = threading.Thread(target=_keep_looking, name="dbtestcase answers", daemon=True)
        _thread.start()


def rest() -> None:
    """Let the thread end: Python warns who forks while there is one. The next test has another."""
    if _thread is not None and _thread is not threading.current_thread():
        _stop.set()
        _thread.join(0.5)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=rest)


def was_cut(dbapi: Any) -> bool:
    """Tell whether a driver's connection was cut off since it got no answer."""
    return any(each is dbapi for each in _cut)


def _keep_looking() -> None:
    while not _stop.wait(_PAUSE):
        try:
            _look()
        except Exception:  # a test that ends meanwhile takes its connections with it
            _waiting.clear()


def _look() -> None:
    test, now = running(), time.monotonic()
    connections = [] if test is None else _connections(test)
    active = {id(each): each for each in connections if _is_active(each)}
    for key in set(_waiting) - set(active):
        del _waiting[key]
    for key, dbapi in active.items():
        _waiting.setdefault(key, (dbapi, now))
    if test is None:
        return
    patience = test.scope.lock_timeout + _PATIENCE
    overdue = [each for each in _waiting.values() if now - each[1] > patience]
    for dbapi in _unanswered(test, overdue) if overdue else ():
        if _is_active(dbapi):
            _cut.append(dbapi)
            shut(dbapi)


def _connections(test: Any) -> List[Any]:
    found = [control.dbapi for control in test.scope.controls.values()]
    return found + [checkout.dbapi for checkout in checkouts.known()]


def _is_active(dbapi: Any) -> bool:
    return _compat.transaction_status(dbapi) == _compat.ACTIVE


def _unanswered(test: Any, overdue: List[Tuple[Any, float]]) -> List[Any]:
    """Return those whose backends have not even begun what they wait for."""
    began = time.monotonic()
    try:
        with _compat.connect_timeout(_TO_CONNECT):
            engine, control = next(iter(test.scope.controls.items()))
            asking = control.beside(engine)
    except Exception:
        took = time.monotonic() - began
        return [dbapi for dbapi, _ in overdue] if took >= _TO_CONNECT - 0.1 else []
    try:
        pids = {_compat.backend_pid(dbapi): (dbapi, since) for dbapi, since in overdue}
        now = time.monotonic()
        return [
            pids[each.pid][0]
            for each in asking.backends([pid for pid in pids if pid])
            if each.state not in (None, "active") and (each.seconds or 0) > now - pids[each.pid][1]
        ]
    finally:
        asking.close()
