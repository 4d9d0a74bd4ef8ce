"""Ends connections whose users would go on with them in the next test, and so get an error there.

A thread in the middle of a transaction would have the rest of it in the next test, were it rolled
back under its hands. What asyncio code left open its event loop alone could give back, which does
not run between tests, or never again. A thread that waits for work to do is in the middle of
nothing.
"""

from __future__ import annotations

import contextlib
import threading
from typing import Any, List, Optional

from .. import _compat, where
from ..contracts import ControlConnection
from . import bounds, checkouts, describe, drivers, settling

_NOTICING = 0.1  # seconds that a backend may take to notice that its connection is shut
_TERMINATING = 1.0  # seconds that it may take to end when it is told to
_PAUSE = 0.001

# What was taken away from threads that have yet to notice it.
_ended: List[checkouts.Checkout] = []


def is_meant(checkout: checkouts.Checkout) -> bool:
    """Tell whether a connection is to be ended, and not to be given back."""
    if _compat.is_async(checkout.dbapi):
        return True
    return checkout.in_use and (_is_shared(checkout) or _compat.says_where(checkout.dbapi))


def is_at_work(dbapi: Any, place: Optional[checkouts.Place]) -> bool:
    """Tell whether a statement is running that will end, and so is to be waited for.

    One of an event loop of this thread will not, as the loop stands still meanwhile.
    """
    if _compat.transaction_status(dbapi) != _compat.ACTIVE:
        return False
    return not _compat.is_async(dbapi) or (place is not None and place.elsewhere)


def is_ended_elsewhere(fairy: Any) -> bool:
    """Tell whether a connection was taken away from a thread that may not have noticed it."""
    return any(each.fairy() is fairy and each.elsewhere for each in _ended)


def roll_back(dbapi: Any) -> bool:
    """Roll a driver's connection back, or close it; tell whether it had a transaction."""
    if _compat.transaction_status(dbapi) in (None, _compat.IDLE, _compat.ACTIVE):
        return False
    for end_it in (dbapi.rollback, lambda: _rollback_by_statement(dbapi), dbapi.close):
        try:
            end_it()
        except Exception:  # in a two-phase transaction, or a block that forbids it
            continue
        if _compat.transaction_status(dbapi) in (None, _compat.IDLE):
            return True
    return False


def _rollback_by_statement(dbapi: Any) -> None:
    # In autocommit a driver's rollback() does nothing, even after an explicit BEGIN.
    cursor = dbapi.cursor()
    cursor.execute("ROLLBACK")
    cursor.close()


def end(checkout: checkouts.Checkout, deadline: float) -> bool:
    """End a connection that somebody has checked out; tell whether he had it still.

    :param deadline: a time of ``where.now()`` until which a rollback may take.
    """
    fairy, dbapi = checkout.fairy(), checkout.dbapi
    if fairy is None or not checkout.open:
        return False
    text, shared = describe.ended(checkout), _is_shared(checkout)
    checkouts.forget(fairy)
    _compat.end_checkout(fairy, text)
    if shared:
        bounds.ends_in_time(dbapi.close, deadline)
    else:
        end_raw(dbapi, checkout)
    for each in [each for each in _ended if each.fairy() is None or not each.elsewhere]:
        _ended.remove(each)
        if not _compat.is_async(each.dbapi):
            with contextlib.suppress(Exception):
                each.dbapi.close()
    _ended.append(checkout)
    return True


def end_raw(dbapi: Any, place: checkouts.Place) -> None:
    """End a connection of a driver that somebody uses."""
    pid, location = _compat.backend_pid(dbapi), _compat.location(dbapi)
    waiting = _compat.transaction_status(dbapi) == _compat.ACTIVE
    drivers.end(_compat.driver_connection(dbapi), describe.ended(place))
    if _compat.is_async(dbapi) and not waiting and not place.elsewhere:
        _compat.close_in_loop(dbapi)
    test = settling.running()
    for control in test.scope.controls.values() if test is not None and pid else ():
        if control.location == location:
            with contextlib.suppress(Exception):  # it is lost
                _ensure_gone(control, pid or 0)
            break


def _ensure_gone(control: ControlConnection, pid: int) -> None:
    """Wait until a backend has ended; one that has just begun a statement looks only after it."""
    deadline = where.now() + _NOTICING
    while control.backends([pid]):
        if where.now() > deadline:
            control.terminate(pid, _TERMINATING)
            return
        where.pause(_PAUSE)


def has_threads() -> bool:
    """Tell whether other threads run code of the user's."""
    others = [each for each in threading.enumerate() if each is not threading.current_thread()]
    return any(where.is_in_user_code(each.ident or 0) for each in others)


def of_threads(control: ControlConnection, pids: List[int]) -> List[int]:
    """Return the backends of threads that are in mid-transaction, whatever these have locked.

    :param pids: those that are known already.
    """
    if not has_threads():
        return []
    found = []
    for dbapi, place in checkouts.in_use_elsewhere():
        status = _compat.transaction_status(dbapi)
        if status in (None, _compat.IDLE) or drivers.is_ended(dbapi):
            continue
        if isinstance(place, checkouts.Checkout) and _is_shared(place):
            continue
        if status == _compat.ACTIVE and dbapi.autocommit:
            continue
        if _compat.location(dbapi) == control.location:
            found.append(_compat.backend_pid(dbapi))
    return [pid for pid in found if pid is not None and pid not in pids]


def leave_to_parent() -> None:
    """Leave what was ended, in a forked process, to the parent."""
    del _ended[:]


def _is_shared(checkout: checkouts.Checkout) -> bool:
    """Tell whether a checkout is one of several of one connection, in an outer transaction."""
    return bool(getattr(checkout.pool, "settled", False))
