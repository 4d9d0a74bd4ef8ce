"""Which pooled connections of this process are checked out, by which test and which line of it."""

from __future__ import annotations

import os
import sys
import threading
import time
import weakref
from typing import Any, Dict, List, Optional, Tuple

import sqlalchemy as sa
from sqlalchemy.pool import Pool

from .. import _compat, where

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_SQLALCHEMY = os.path.dirname(os.path.abspath(sa.__file__)) + os.sep
RAW = "dbtestcase.raw"  # in a record's info: it was used past SQLAlchemy's Connection
_LINES = 3  # how many of the user's innermost lines are kept


class Place:
    """When something was opened: by which test, on which lines, in which thread."""

    __slots__ = ("test", "lines", "thread", "since")

    def __init__(self) -> None:
        self.test = where.current_test()
        self.lines = where.user_lines(_LINES)
        self.thread = threading.current_thread()
        self.since = time.monotonic()


def unseen(since: Optional[float]) -> Place:
    """Return the place of something opened past SQLAlchemy: the test is known by the time alone.

    :param since: a time of ``time.monotonic()`` at which it was last at work.
    """
    place = Place()
    place.since = since or place.since
    place.test, place.lines = where.test_at(place.since), []
    return place


class Checkout(Place):
    """One connection that somebody has checked out of a pool, and where that was."""

    __slots__ = ("record", "dbapi", "fairy", "connection", "told")

    def __init__(self, record: Any, dbapi: Any, fairy: Any) -> None:
        super().__init__()
        self.record = record
        self.dbapi = dbapi
        self.fairy = weakref.ref(fairy)
        self.connection: Any = None  # a weak reference to the Connection, unless used raw
        self.told = False  # whether it was reported

    @property
    def open(self) -> bool:
        """Whether it is still checked out: neither given back nor lost with its owner."""
        fairy = self.fairy()
        return fairy is not None and _compat.dbapi_connection(fairy) is self.dbapi

    @property
    def owner(self) -> Any:
        """The Connection that holds it; None for a raw one, or where it was thrown away."""
        return self.connection and self.connection()

    @property
    def elsewhere(self) -> bool:
        """Whether a thread that is still alive, and not this one, checked it out."""
        return self.thread is not threading.current_thread() and self.thread.is_alive()


# By the id of the pool's record, which outlives every checkout of it. A StaticPool hands out one
# record several times: what it had out before is kept in _more.
_open: Dict[int, Checkout] = {}
_more: List[Checkout] = []
# What a process that forked had checked out. Held for ever, since letting go of it would end the
# parent's transaction over the connection that both of them share.
_inherited: List[Tuple[Any, ...]] = []
_watching = False
_forked = False


def watch() -> None:
    """Know of every checkout, in every engine and thread of this process, from now on."""
    global _watching
    if _watching:
        return
    _watching = True
    sa.event.listen(Pool, "checkout", _checked_out)
    sa.event.listen(Pool, "checkin", _checked_in)
    sa.event.listen(Pool, "detach", _detached)
    _compat.listen_to_connections(_connected)
    _compat.listen_to_raw_use(_used_raw)


def opened() -> List[Checkout]:
    """Return what is checked out now, the oldest first."""
    if not _open and not _more:
        return []
    _more[:] = [checkout for checkout in _more if checkout.open]
    known = list(_open.values()) + _more
    return sorted((checkout for checkout in known if checkout.open), key=lambda each: each.since)


def known() -> List[Checkout]:
    """Return what is checked out, without any change to it: for another thread."""
    return list(_open.values()) + list(_more)


def of_connection(connection: Any) -> Optional[Checkout]:
    """Return the checkout that a SQLAlchemy Connection holds, if it is one of this process."""
    fairy = _compat.fairy_of(connection)
    for checkout in opened() if fairy is not None else ():
        if checkout.fairy() is fairy:
            return checkout
    return None


def of_dbapi(dbapi: Any) -> Optional[Checkout]:
    """Return the checkout of a driver's connection, ``None`` where no pool has it out."""
    for checkout in opened():
        if checkout.dbapi is dbapi:
            return checkout
    return None


def of_pid(pid: int) -> Optional[Checkout]:
    """Return the checkout whose backend on the server has this pid."""
    for checkout in opened():
        if _compat.backend_pid(checkout.dbapi) == pid:
            return checkout
    return None


def our_pids() -> List[Optional[int]]:
    """Return the backends that this process is connected to, pooled or not."""
    return [_compat.backend_pid(each) for each in _compat.driver_connections()]


def is_out(record: Any) -> bool:
    """Tell whether a pool's record is checked out."""
    return id(record) in _open


def forget(fairy: Any) -> None:
    """Take a connection that dbtestcase itself keeps out of the list: it is nobody's leak."""
    for key, checkout in list(_open.items()):
        if checkout.fairy() is fairy:
            del _open[key]
    _more[:] = [checkout for checkout in _more if checkout.fairy() is not fairy]


def was_forked() -> bool:
    """Tell whether this process was forked."""
    return _forked


def leave_to_parent() -> None:
    """Forget, in a forked process, what the parent has checked out."""
    global _forked
    _forked = True
    held = list(_open.values()) + _more
    _inherited.extend((each, each.fairy(), each.owner) for each in held)
    _open.clear()
    del _more[:]


def _checked_out(dbapi: Any, record: Any, fairy: Any) -> None:
    before = _open.get(id(record))
    if before is not None and before.fairy() is not fairy and before.open:
        _more.append(before)
    _open[id(record)] = Checkout(record, dbapi, fairy)


def _checked_in(dbapi: Any, record: Any) -> None:
    checkout = _open.pop(id(record), None)
    if checkout is not None and checkout.connection is None and not _called_by_us():
        record.info[RAW] = True


def _detached(dbapi: Any, record: Any) -> None:
    checkout = _open.pop(id(record), None)
    if checkout is not None and not _called_by_us():
        _more.append(checkout)


def _connected(connection: Any) -> None:
    record = getattr(_compat.fairy_of(connection), "_connection_record", None)
    checkout = _open.get(id(record))
    if checkout is not None:
        checkout.connection = weakref.ref(connection)


def _used_raw(fairy: Any) -> None:
    fairy.info[RAW] = True


def _called_by_us() -> bool:
    """Tell whether the code that called SQLAlchemy is a part of this package."""
    frame: Any = sys._getframe(2)
    while frame is not None and frame.f_code.co_filename.startswith(_SQLALCHEMY):
        frame = frame.f_back
    return frame is not None and frame.f_code.co_filename.startswith(_PACKAGE)
