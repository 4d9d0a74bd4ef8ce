"""Ends waits that nothing else would end: closing what others hold, servers that stopped answering.

New connections start with the bound of the running class on their waits, also past SQLAlchemy and
in child processes.

None of a server's own limits ends a wait when it has stopped answering. So a thread looks once a
second whether a connection of the running test has waited for longer than any lock may take. What
its backend does is asked on another connection: one that has not begun what it was sent is stopped,
and one of a server that takes no connection will not answer either; one that waits for a lock has
lost its bound, and is cancelled. The same thread hears of Ctrl-C, and cancels whatever waits.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
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
    timer = Timer(max(0.1, deadline - where.now()), _compat.shut, (dbapi,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


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


# --- connections that get no answer, or wait for too long a time ---------------------------------

_PATIENCE = 2.0  # seconds over the lock timeout before anything is asked
_TO_CONNECT = 2  # seconds
_PAUSE = 1.0  # seconds between two looks

_thread: Any = None
# Where that thread hears of signals: the end that is read, and the other.
_wire: Optional[Tuple[socket.socket, socket.socket]] = None
_waiting: Dict[int, Tuple[Any, float]] = {}  # by id: the driver's connection, and since when
_cut: List[Any] = []  # what was cut off
_cancelled: List[Any] = []  # what waited for a lock for too long a time, until that is asked

#: Set while no thread looks: before the first test, and from a fork to the next test.
resting = threading.Event()
resting.set()


def watch_answers(running: Callable[[], Any]) -> None:
    """Cut off connections that get no answer, from now on; harmless a second time.

    :param running: tells the test that runs, and so whose connections are looked at.
    """
    global _thread, _wire
    if _thread is None or not _thread.is_alive():  # a forked process has none
        if _wire is None:
            _wire = socket.socketpair()
            _wire[0].settimeout(_PAUSE)
            _wire[1].setblocking(False)
        resting.clear()
        _thread = threading.Thread(
            target=_keep_looking, args=(running, _wire[0]), name="dbtestcase answers", daemon=True
        )
        _thread.start()


def _rest() -> None:
    """Let the thread end: Python warns who forks while there is one. The next test has another."""
    if _thread is not None and _thread is not threading.current_thread():
        resting.set()
        if _wire is not None:
            with contextlib.suppress(OSError):
                _wire[1].send(b"\0")
        _thread.join(0.5)


def was_cut(dbapi: Any) -> bool:
    """Tell whether a driver's connection was cut off since it got no answer."""
    return any(each is dbapi for each in _cut)


def was_cancelled(dbapi: Any) -> bool:
    """Tell, once, whether a connection's statement was cancelled since it waited for a lock."""
    found = [each for each in _cancelled if each is dbapi]
    _cancelled[:] = [each for each in _cancelled if each is not dbapi]
    return bool(found)


def _keep_looking(running: Callable[[], Any], wire: socket.socket) -> None:
    looked = where.now()
    while not resting.is_set():
        try:
            signals = wire.recv(4096)
        except socket.timeout:
            signals = b""
        except OSError:  # closed, as the process ends
            return
        try:
            if signal.SIGINT in signals:
                _interrupt(running())
            elif where.now() - looked > 0.9 * _PAUSE and not resting.is_set():
                looked = where.now()
                _look(running())
        except Exception:  # a test that ends meanwhile takes its connections with it
            _waiting.clear()


def _look(test: Any) -> None:
    if test is None:
        _waiting.clear()
        return
    now = where.now()
    active = {id(each): each for each in _connections(test) if _is_active(each)}
    seen = {id(each) for each in _of_pools(test)}
    for key in set(_waiting) - set(active):
        del _waiting[key]
    for key, dbapi in active.items():
        _waiting.setdefault(key, (dbapi, now))
    patience = test.scope.lock_timeout + _PATIENCE
    overdue = [each for each in _waiting.values() if now - each[1] > patience]
    for dbapi, is_locked_out in _asked_about(test, overdue) if overdue else ():
        if _is_active(dbapi) and is_locked_out:
            _cancelled.append(dbapi)
            dbapi.cancel()
        elif _is_active(dbapi) and id(dbapi) in seen:  # rows of others may be left unread
            _cut.append(dbapi)
            _compat.shut(dbapi)


def _connections(test: Any) -> List[Any]:
    return _of_pools(test) + checkouts.made()


def _of_pools(test: Any) -> List[Any]:
    controls = [control.dbapi for control in test.scope.controls.values()]
    return controls + [checkout.dbapi for checkout in checkouts.known()]


def _is_active(dbapi: Any) -> bool:
    return _compat.transaction_status(dbapi) == _compat.ACTIVE


def _asked_about(test: Any, overdue: List[Tuple[Any, float]]) -> List[Tuple[Any, bool]]:
    """Return those whose backends wait for a lock, or have not even begun what they wait for.

    :return: each with whether it is a lock that it waits for, whose bound was taken away.
    """
    began = where.now()
    try:
        with _compat.connect_timeout(_TO_CONNECT):
            engine, control = next(iter(test.scope.controls.items()))
            asking = control.beside(engine)
    except Exception:
        took = where.now() - began
        return [(dbapi, False) for dbapi, _ in overdue] if took >= _TO_CONNECT - 0.1 else []
    try:
        pids = {_compat.backend_pid(dbapi): (dbapi, since) for dbapi, since in overdue}
        now = where.now()
        found = []
        for each in asking.backends([pid for pid in pids if pid]):
            dbapi, since = pids[each.pid]
            if each.state == "active" and each.waits_for == "Lock":
                found.append((dbapi, True))
            elif each.state not in (None, "active") and (each.seconds or 0) > now - since:
                found.append((dbapi, False))
        return found
    finally:
        asking.close()


# --- Ctrl-C --------------------------------------------------------------------------------------

# Python handles a signal once a driver written in C has returned, which it does when the server has
# answered. But it tells at once, by a byte in a file, that there was one.
# https://docs.python.org/3/library/signal.html#signal.set_wakeup_fd
_AT_ONCE, _IN_TIME = 0.05, 0.5  # seconds to end a wait: by itself, after it was cancelled


def hear_signals() -> None:
    """Have Ctrl-C end what waits for a server, from now on; not where others hear of signals."""
    if _wire is None or threading.current_thread() is not threading.main_thread():
        return
    own = _wire[1].fileno()
    before = signal.set_wakeup_fd(own, warn_on_full_buffer=False)
    if before not in (-1, own):
        signal.set_wakeup_fd(before)


def leave_signals() -> None:
    """Hear of signals no more."""
    if _wire is None or threading.current_thread() is not threading.main_thread():
        return
    before = signal.set_wakeup_fd(-1)
    if before not in (-1, _wire[1].fileno()):
        signal.set_wakeup_fd(before)


def _interrupt(test: Any) -> None:
    """End what waits for a server, as somebody wants to end the run."""
    if test is None or not _ends_run(signal.getsignal(signal.SIGINT)):
        return
    where.pause(_AT_ONCE)
    waiting = {id(each): each for each in _connections(test) if _is_active(each)}
    for dbapi in waiting.values():  # each on its own: a server that hangs does not answer here
        threading.Thread(target=_cancel, args=(dbapi,), name="dbtestcase", daemon=True).start()
    deadline = where.now() + _IN_TIME
    while any(map(_is_active, waiting.values())) and where.now() < deadline:
        where.pause(0.02)
    for dbapi in filter(_is_active, waiting.values()):
        _compat.shut(dbapi)


def _cancel(dbapi: Any) -> None:
    with contextlib.suppress(Exception):
        dbapi.cancel()


def _ends_run(handler: Any) -> bool:
    """Tell whether a handler raises KeyboardInterrupt: Python's own, or that of asyncio's runs."""
    module = getattr(getattr(handler, "func", handler), "__module__", None) or ""
    return handler is signal.default_int_handler or module.startswith("asyncio.")


def _leave_to_parent() -> None:
    """Have a forked process hear of its own signals, and its parent of none of these."""
    global _wire, _thread
    if _wire is not None:
        with contextlib.suppress(ValueError):  # forked by another thread than the main one
            leave_signals()
        for end in _wire:
            end.close()
        _wire = _thread = None


@atexit.register
def _end() -> None:
    leave_signals()
    resting.set()
    for end in _wire or ():
        end.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_rest, after_in_child=_leave_to_parent)
