"""Knows which connections are open: where drivers made them, who has them out of their pools.

A check-out is known with the test and the lines of it that asked for the connection.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from typing import Any, Dict, List, Optional, Tuple
from weakref import WeakKeyDictionary

import sqlalchemy as sa
from sqlalchemy.pool import Pool

from .. import _compat, where
from . import drivers

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
        self.since = where.now()

    @property
    def elsewhere(self) -> bool:
        """Whether that was in a thread that is still alive, and not this one."""
        return self.thread is not threading.current_thread() and self.thread.is_alive()

    @property
    def in_use(self) -> bool:
        """Whether that thread is in the middle of something, and does not wait for work to do."""
        return self.elsewhere and where.is_in_user_code(self.thread.ident or 0)


class Checkout(Place):
    """One connection that somebody has checked out of a pool, and where that was."""

    __slots__ = ("record", "dbapi", "fairy", "connection", "reported")

    def __init__(self, record: Any, dbapi: Any, fairy: Any) -> None:
        super().__init__()
        self.record = record
        self.dbapi = dbapi
        self.fairy = weakref.ref(fairy)
        self.connection: Any = None  # a weak reference to the Connection, unless used raw
        self.reported = False  # as a leak

    @property
    def open(self) -> bool:
        """Whether it is still checked out: neither given back nor lost with its owner."""
        fairy = self.fairy()
        return fairy is not None and _compat.dbapi_connection(fairy) is self.dbapi

    @property
    def pool(self) -> Any:
        """The pool that it came from; None where the pooled connection was thrown away."""
        return getattr(self.fairy(), "_pool", None)

    @property
    def owner(self) -> Any:
        """The Connection that holds it; None for a raw one, or where it was thrown away."""
        return self.connection and self.connection()


# By the id of the pool's record, which outlives every checkout of it. A StaticPool hands out one
# record several times: what it had out before is kept in _more.
_open: Dict[int, Checkout] = {}
_more: List[Checkout] = []
# What a process that forked had checked out. Held for ever, since letting go of it would end the
# parent's transaction over the connection that both of them share.
_inherited: List[Tuple[Any, ...]] = []
_forked = False


def watch() -> None:
    """Know where connections are made, and when one that is out comes back or is used raw."""
    _PLACES.subscribe()
    sa.event.listen(Pool, "checkin", _checked_in)
    sa.event.listen(Pool, "detach", _detached)
    _compat.listen_to_connections(_connected)
    _compat.listen_to_raw_use(_used_raw)


def add(dbapi: Any, record: Any, fairy: Any) -> None:
    """Know of a connection that a pool has just handed out."""
    before = _open.get(id(record))
    if before is not None and before.fairy() is not fairy and before.open:
        _more.append(before)
    _open[id(record)] = Checkout(record, dbapi, fairy)


def opened() -> List[Checkout]:
    """Return what is checked out now, the oldest first."""
    if not _open and not _more:
        return []
    _more[:] = [checkout for checkout in _more if checkout.open]
    out = [checkout for checkout in known() if checkout.open]
    return sorted(out, key=lambda checkout: checkout.since)


def known() -> List[Checkout]:
    """Return what is checked out, without any change to it: for another thread."""
    return list(_open.values()) + list(_more)


def of_dbapi(dbapi: Any) -> Optional[Checkout]:
    """Return the checkout of a driver's connection, ``None`` where no pool has it out."""
    own = _compat.driver_connection(dbapi)
    found = (each for each in opened() if _compat.driver_connection(each.dbapi) is own)
    return next(found, None)


def of_pid(pid: int) -> Optional[Checkout]:
    """Return the checkout whose backend on the server has this pid."""
    return next((each for each in opened() if _compat.backend_pid(each.dbapi) == pid), None)


def our_pids() -> List[Optional[int]]:
    """Return the backends that this process is connected to, pooled or not."""
    return [_compat.backend_pid(each) for each in _compat.driver_connections()]


def is_out(record: Any) -> bool:
    """Tell whether a pool's record is checked out."""
    return id(record) in _open


def forget(fairy: Any) -> None:
    """Leave a connection that dbtestcase itself has checked out alone: it is nobody's leak."""
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
    _inherited.extend((each, each.fairy(), each.owner) for each in known())
    _open.clear()
    del _more[:]


# --- connections past SQLAlchemy: the places where they are made are all that is known of them ---


class _Places(drivers.Subscriber):
    """Remembers where connections are made, as no pool knows of those beside SQLAlchemy."""

    def opened(self, dbapi: Any) -> None:
        """Remember where a connection was made."""
        _made[dbapi] = Place()


_PLACES = _Places()
_made: "WeakKeyDictionary[Any, Place]" = WeakKeyDictionary()


def made_at(dbapi: Any) -> Optional[Place]:
    """Return where a driver's connection was made, ``None`` where that is not known."""
    return _made.get(dbapi) if dbapi is not None else None


def in_use_elsewhere() -> List[Tuple[Any, Place]]:
    """Return the connections of threads that are in the middle of something, pooled or not."""
    found: List[Tuple[Any, Place]] = [(each.dbapi, each) for each in opened() if each.in_use]
    for dbapi in made():
        place = _made.get(dbapi)
        if place is not None and place.in_use and of_dbapi(dbapi) is None:
            found.append((dbapi, place))
    return found


def made() -> List[Any]:
    """Return the connections of watched drivers, pooled or not: for another thread."""
    found = [reference() for reference in _made.keyrefs()]
    return [dbapi for dbapi in found if dbapi is not None]


def used_last(since: Optional[float], dbapi: Any = None) -> Place:
    """Return the place of something that is used past SQLAlchemy: known by the time alone.

    :param since: a time of ``where.now()`` at which it was last at work.
    :param dbapi: the driver's connection; where the test that used it last made it, that place.
    """
    place = Place()
    place.since = since or place.since
    place.test, place.lines = where.test_at(place.since), []
    made = made_at(dbapi)
    if made is None:
        return place
    place.thread = made.thread
    same = where.test_at(made.since) == where.test_at(place.since)  # also between two tests
    return made if same or made.since > place.since else place


# --- what pools and Connections report -----------------------------------------------------------


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
