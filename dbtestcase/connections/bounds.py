"""Ends waits that nothing else would end: closing what others hold, servers that stopped answering.

None of a server's own limits ends a wait when it has stopped answering. So a thread looks once a
second whether a connection of the running test has waited for longer than any lock may take. What
its backend does is asked on another connection: one that has not begun what it was sent is stopped,
and one of a server that takes no connection will not answer either.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from threading import Timer
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Tuple

from .. import _compat, where
from ..contracts import ControlConnection
from . import checkouts

# --- closing within a time -----------------------------------------------------------------------


def ends_in_time(close: Callable[[], Any], deadline: float) -> bool:
    """Close what another thread has: should it begin a statement just now, that may take long."""
    done = []

    def work() -> None:
        with contextlib.suppress(Exception):
            close()
            done.append(True)

    thread = threading.Thread(target=work, name="dbtestcase", daemon=True)
    thread.start()
    thread.join(max(0.1, deadline - where.now()))
    return bool(done)


@contextlib.contextmanager
def cut_off_at(deadline: float, dbapi: Any) -> Iterator[None]:
    """Shut the socket of a connection whose server does not answer in time."""
    timer = Timer(max(0.1, deadline - where.now()), _shut, (dbapi,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _shut(dbapi: Any) -> None:
    """Shut the socket of a driver's connection: whoever waits for its server gets an error."""
    with contextlib.suppress(Exception):
        with socket.socket(fileno=os.dup(dbapi.fileno())) as copy:
            copy.shutdown(socket.SHUT_RDWR)


# --- connections that are made, here and by the processes that are started -----------------------

_VARIABLE = "PGOPTIONS"  # of libpq, which all drivers but those in pure Python stand upon
_bound = 0  # milliseconds with which connections start now
_added = ""  # to the variable
_value: Optional[str] = None  # of the variable, with that
_users: Optional[str] = None  # without it
_refused: Dict[Any, bool] = {}  # by host and port: whether a server refuses options


def bound() -> int:
    """Return the bound with which connections start now, in milliseconds; 0 for none."""
    return _bound


def bind_at_start(milliseconds: int, controls: Mapping[Any, ControlConnection]) -> None:
    """Bound the waits of connections that are made from now on, by libpq's own environment.

    :param controls: those of the test, by their engines. A pooler may refuse such options; where
        one does, there are none.
    """
    global _bound, _added, _value, _users
    if _bound == milliseconds and controls and os.environ.get(_VARIABLE) == _value:
        return
    unbind_at_start()
    settings = next((each.settings for each in controls.values()), None)
    if settings is None:
        return
    _users = os.environ.get(_VARIABLE)
    _added = settings.options(_users or "", milliseconds)
    _value = " ".join(filter(None, (_users, _added)))
    _bound = milliseconds
    if _added:
        os.environ[_VARIABLE] = _value
        if any(_refuses(engine, control) for engine, control in controls.items()):
            unbind_at_start()


def unbind_at_start() -> None:
    """Give the environment back as the user has it, with what was changed there meanwhile."""
    global _bound, _added, _value
    now = os.environ.get(_VARIABLE)
    if _added and now is not None:
        left = _users if now == _value else now.replace(_added, "").strip()
        if left:
            os.environ[_VARIABLE] = left
        else:
            del os.environ[_VARIABLE]
    _bound, _added, _value = 0, "", None


def started_bounded(dbapi: Any) -> bool:
    """Tell whether a driver's connection started with the bound that is added now."""
    return bool(_added) and _added in _compat.start_options(dbapi)


def _refuses(engine: Any, control: ControlConnection) -> bool:
    place = (control.location or ())[:2]
    if place not in _refused:
        try:
            control.beside(engine).close()
            _refused[place] = False
        except Exception as error:
            _refused[place] = "option" in str(error) or "parameter" in str(error)
    return _refused[place]


# --- connections that get no answer --------------------------------------------------------------

_PATIENCE = 2.0  # seconds over the lock timeout before anything is asked
_TO_CONNECT = 2  # seconds
_PAUSE = 1.0  # seconds between two looks

_thread: Any = None
_waiting: Dict[int, Tuple[Any, float]] = {}  # by id: the driver's connection, and since when
_cut: List[Any] = []  # what was cut off

#: Set while no thread looks: before the first test, and from a fork to the next test.
resting = threading.Event()
resting.set()


def watch_answers(running: Callable[[], Any]) -> None:
    """Cut off connections that get no answer, from now on; harmless a second time.

    :param running: tells the test that runs, and so whose connections are looked at.
    """
    global _thread
    if _thread is None or not _thread.is_alive():  # a forked process has none
        resting.clear()
        _thread = threading.Thread(
            target=_keep_looking, args=(running,), name="dbtestcase answers", daemon=True
        )
        _thread.start()


def _rest() -> None:
    """Let the thread end: Python warns who forks while there is one. The next test has another."""
    if _thread is not None and _thread is not threading.current_thread():
        resting.set()
        _thread.join(0.5)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_rest)


def was_cut(dbapi: Any) -> bool:
    """Tell whether a driver's connection was cut off since it got no answer."""
    return any(each is dbapi for each in _cut)


def _keep_looking(running: Callable[[], Any]) -> None:
    while not resting.wait(_PAUSE):
        try:
            _look(running())
        except Exception:  # a test that ends meanwhile takes its connections with it
            _waiting.clear()


def _look(test: Any) -> None:
    if test is None:
        _waiting.clear()
        return
    now = where.now()
    connections = [control.dbapi for control in test.scope.controls.values()]
    connections += [checkout.dbapi for checkout in checkouts.known()]
    active = {id(each): each for each in connections if _is_active(each)}
    for key in set(_waiting) - set(active):
        del _waiting[key]
    for key, dbapi in active.items():
        _waiting.setdefault(key, (dbapi, now))
    patience = test.scope.lock_timeout + _PATIENCE
    overdue = [each for each in _waiting.values() if now - each[1] > patience]
    for dbapi in _unanswered(test, overdue) if overdue else ():
        if _is_active(dbapi):
            _cut.append(dbapi)
            _shut(dbapi)


def _is_active(dbapi: Any) -> bool:
    return _compat.transaction_status(dbapi) == _compat.ACTIVE


def _unanswered(test: Any, overdue: List[Tuple[Any, float]]) -> List[Any]:
    """Return those whose backends have not even begun what they wait for."""
    began = where.now()
    try:
        with _compat.connect_timeout(_TO_CONNECT):
            engine, control = next(iter(test.scope.controls.items()))
            asking = control.beside(engine)
    except Exception:
        took = where.now() - began
        return [dbapi for dbapi, _ in overdue] if took >= _TO_CONNECT - 0.1 else []
    try:
        pids = {_compat.backend_pid(dbapi): (dbapi, since) for dbapi, since in overdue}
        now = where.now()
        return [
            pids[each.pid][0]
            for each in asking.backends([pid for pid in pids if pid])
            if each.state not in (None, "active") and (each.seconds or 0) > now - pids[each.pid][1]
        ]
    finally:
        asking.close()
