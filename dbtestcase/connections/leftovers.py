"""Finds what a test left open, gives it back, and says what it was.

A test begins on connections that nobody else has. Whatever the one before left checked out is
rolled back and given back, as politely as can be: sessions first, then connections, then what the
drivers have beside SQLAlchemy. A statement that is still running is left to its thread.

A thread in the middle of a transaction has its connection ended, as the rest of what it does would
be in the next test; so has asyncio code, whose event loop alone could give it back.
"""

from __future__ import annotations

import collections
import contextlib
from typing import Any, Callable, Deque, Iterable, List, Optional, Set, Tuple
from weakref import WeakKeyDictionary

from .. import _compat, where
from ..contracts import ControlConnection, InTheWay
from . import checkouts, drivers, ending, settling, twophase
from .bounds import cut_off_at, ends_in_time
from .leaks import Leak, leak_at

_BOUND = 5.0  # seconds that giving back may take, where nothing else is said
_KEPT = 8  # raw connections that their owners may go on using after the test that left them

# Raw connections that were rolled back and left to their owners, the oldest first.
_left_to_owners: Deque[Any] = collections.deque()
_inherited: List[Any] = []
# By the control connection: backends that have read tables, known to be of other processes.
_others: "WeakKeyDictionary[Any, Set[int]]" = WeakKeyDictionary()

# --- what is known by its session or its checkout ------------------------------------------------


def free(
    engines: Iterable[Any], scoped_sessions: Iterable[Any] = (), deadline: Optional[float] = None
) -> List[Leak]:
    """Give back what this process left open on the engines' databases.

    First the sessions of the registries, of every scope, then other sessions, then connections;
    no further than needed, and without a word to the server where nothing was left.

    :param engines: the engines of the test.
    :param scoped_sessions: its scoped sessions; their registries are empty afterwards.
    :param deadline: a time of ``where.now()`` until which a rollback may take.
    :return: what had to be given back, and what could not be since a thread is at work on it.
    """
    registered = {each: _compat.registered_sessions(each) for each in scoped_sessions}
    if not any(registered.values()) and not checkouts.opened():
        return []
    freeing = _Freeing(engines, deadline or where.now() + _BOUND)
    for scoped, found in registered.items():
        for scope, session in found.items():
            if freeing.close_session(session):
                _compat.unregister_session(scoped, scope)
    if freeing.left():
        for session in _compat.live_sessions():
            if any(freeing.concerns(each) for each in _held_by(session)):
                freeing.close_session(session)
    for checkout in freeing.left():
        freeing.give_back(checkout)
    return freeing.leaks


def free_threads(
    engines: Iterable[Any], control: ControlConnection, deadline: float
) -> Tuple[List[Leak], List[int]]:
    """End what threads are in the middle of; return it, and the backends that are at work.

    :param engines: the engines of the test, which may share one connection.
    :param control: the control connection on their database.
    :param deadline: a time of ``where.now()`` until which a rollback may take.
    """
    if not ending.has_threads():
        return [], []
    freeing = _Freeing(engines, deadline)
    mine = [each for each in freeing.left() if each.in_use]
    busy = [each for each in mine if ending.is_at_work(each.dbapi, each)]
    for checkout in mine:
        freeing.give_back(checkout)
    pids = ending.of_threads(control, [])
    leaks = freeing.leaks + take_back(pids, (), deadline, control)
    at_work = [_compat.backend_pid(each.dbapi) for each in busy] + ending.of_threads(control, [])
    return leaks, sorted({pid for pid in at_work if pid is not None})


# --- what is known by its backend alone: it is the server that says so ---------------------------


def free_blocking(
    control: ControlConnection,
    pids: List[int],
    gids: List[str],
    unread: List[int],
    deadline: float,
) -> List[Leak]:
    """Take back what of this process is in the way of a reset; return it.

    :param pids: the backends that are in the way.
    :param gids: the names of prepared transactions that are.
    :param unread: backends whose streams were unread at two looks, which are closed.
    :param deadline: the time of ``where.now()`` until which it may take.
    """
    freed = take_back(pids, unread, deadline, control)
    places = twophase.end(control, gids) if gids else []
    return freed + [leak_at(place, "prepared transaction", None) for place in places]


def free_idle(control: ControlConnection, found: InTheWay, deadline: float) -> List[Leak]:
    """Take back what is in the way of nothing yet: a test that drops a table would wait for it.

    Sessions that keep an advisory lock, although nobody has them out of their pool, are closed.
    """
    if found.keepers:
        settling.throw_away(found.keepers)
    others = _others.setdefault(control, set())
    others.intersection_update(found.readers)
    readers = [pid for pid in found.readers if pid not in others]
    if not readers:
        return []
    others.update(set(readers).difference(checkouts.our_pids()))
    return take_back(readers, (), deadline, control, checked_out=False)


def take_back(
    pids: Iterable[int],
    unread: Iterable[int] = (),
    deadline: Optional[float] = None,
    control: Optional[ControlConnection] = None,
    checked_out: bool = True,
) -> List[Leak]:
    """End the transactions of connections of this process that are known by their backends only.

    Those that a driver made beside SQLAlchemy, and pooled ones that came back with a transaction.
    A forked process cannot tell its own from its parent's and leaves them all alone.

    :param pids: the backends that are in the way.
    :param unread: those that wait for this process to read a result, as when a stream or a
        pipeline was left half-way: closing is the only way to end them.
    :param deadline: a time of ``where.now()`` until which a rollback may take.
    :param control: what tells when a backend was last at work, and so which test left it.
    :param checked_out: whether those that somebody has out of a pool are meant, too.
    """
    wanted, unread = set(pids), set(unread)
    if not wanted or checkouts.was_forked():
        return []
    freeing = _Freeing((), deadline or where.now() + _BOUND)
    for dbapi in _compat.driver_connections():
        pid = _compat.backend_pid(dbapi)
        if pid not in wanted or drivers.is_ended(dbapi):
            continue
        checkout = checkouts.of_dbapi(dbapi)
        busy = ending.is_at_work(dbapi, checkout or checkouts.made_at(dbapi))
        if (busy and pid not in unread) or (checkout is not None and not checked_out):
            continue
        if checkout is not None and not busy:
            freeing.give_back(checkout)
            continue
        now = where.now()  # before asking, lest it is the next test that is taken for it
        backends = control.backends([pid]) if control is not None and checkout is None else []
        since = now - (backends[0].seconds or 0) if backends else None
        place = checkout or checkouts.used_last(since, dbapi)
        if checkout is None and place.in_use and place.test == where.current_test():
            place = checkouts.made_at(dbapi) or place  # it is seen while that test is made ready
        if freeing.end_transaction(dbapi, place, close=busy):
            freeing.add("raw connection", place, pid)
    return freeing.leaks


# --- giving back ---------------------------------------------------------------------------------


class _Freeing:
    """One round of giving back; what it had to do is in ``leaks``."""

    def __init__(self, engines: Iterable[Any], deadline: float) -> None:
        self.pools = [engine.pool for engine in engines]
        self.deadline = deadline
        self.leaks: List[Leak] = []
        test = settling.running()
        self.locations = set(test.scope.locations) if test else set()
        for checkout in checkouts.opened() if self.pools else ():
            if checkout.pool in self.pools:
                self.locations.add(_compat.location(checkout.dbapi))
        self.locations.discard(None)

    def concerns(self, checkout: checkouts.Checkout) -> bool:
        """Tell whether a checkout is of the engines, or of another one on the same database."""
        if checkout.pool in self.pools:
            return True
        return bool(self.locations) and _compat.location(checkout.dbapi) in self.locations

    def left(self) -> List[checkouts.Checkout]:
        """Return what is still out and would stand in the way, or would not be given back."""
        return [each for each in checkouts.opened() if self.concerns(each) and _is_left(each)]

    def close_session(self, session: Any) -> bool:
        """Close an ORM session, unless a thread is at work with it; tell whether."""
        held = _held_by(session)
        fairies = [_compat.fairy_of(each) for each in _compat.connections_of_session(session)]
        if any(ending.is_ended_elsewhere(each) for each in fairies):
            return False  # a thread is to find it as it is
        if checkouts.was_forked() and len(held) < len(_compat.connections_of_session(session)):
            return False  # they are those of the process that forked this one
        if any(self._is_busy(each) for each in held):
            return False
        if any(ending.is_meant(each) for each in held):
            for checkout in held:
                self._end(checkout, "session")
            return False
        pids = [_compat.backend_pid(each.dbapi) for each in held]
        if not self._bounded(session.close, held):
            return False
        for checkout, pid in zip(held, pids):
            self._roll_back_in_pool(checkout.dbapi)
            self.add("session", checkout, pid)
        return True

    def give_back(self, checkout: checkouts.Checkout) -> None:
        """Roll a checked out connection back, and give it back unless it is older than the test."""
        if self._is_busy(checkout):
            return
        pid = _compat.backend_pid(checkout.dbapi)
        kind = "raw connection" if checkout.connection is None else "connection"
        if ending.is_meant(checkout):
            self._end(checkout, kind)
            return
        if checkout.test is None:
            done = self._bounded(lambda: ending.roll_back(checkout.dbapi), [checkout])
        elif checkout.owner is not None:
            done = self._bounded(checkout.owner.close, [checkout])
            self._roll_back_in_pool(checkout.dbapi)
        else:
            done = self._bounded(lambda: self._leave_to_owner(checkout), [checkout])
        if done:
            self.add(kind, checkout, pid)

    def end_transaction(self, dbapi: Any, place: checkouts.Place, close: bool = False) -> bool:
        """Roll a driver's connection back, or end it; tell whether there was anything to end."""
        if place.in_use or _compat.is_async(dbapi):
            ending.end_raw(dbapi, place)
            return True
        if close:
            dbapi.close()
            return True
        with cut_off_at(self.deadline, dbapi):
            return ending.roll_back(dbapi)

    def add(
        self, kind: str, place: checkouts.Place, pid: Optional[int], freed: bool = True
    ) -> None:
        """Add to the leaks, once for each checkout."""
        if isinstance(place, checkouts.Checkout):
            if place.reported:
                return
            place.reported = True
        self.leaks.append(leak_at(place, kind, pid, freed))

    def _is_busy(self, checkout: checkouts.Checkout) -> bool:
        """Tell whether a statement is running on a connection: rolling back would wait for it."""
        if not ending.is_at_work(checkout.dbapi, checkout):
            return False
        self.add("connection", checkout, _compat.backend_pid(checkout.dbapi), freed=False)
        return True

    def _end(self, checkout: checkouts.Checkout, kind: str) -> None:
        pid = _compat.backend_pid(checkout.dbapi)
        if ending.end(checkout, self.deadline):
            self.add(kind, checkout, pid)

    def _bounded(self, close: Callable[[], Any], held: List[checkouts.Checkout]) -> bool:
        """Run what closes, no longer than until the deadline; tell whether it came to its end."""
        if any(each.elsewhere for each in held):
            return ends_in_time(close, self.deadline)
        with contextlib.ExitStack() as stack:
            for each in held:
                stack.enter_context(cut_off_at(self.deadline, each.dbapi))
            try:
                close()
            except Exception:  # a dead connection: nothing is held by it
                for each in held:
                    fairy = each.fairy()
                    if fairy is not None and each.open:
                        with contextlib.suppress(Exception):
                            fairy.invalidate()
        return True

    def _leave_to_owner(self, checkout: checkouts.Checkout) -> None:
        """Roll back what somebody uses past SQLAlchemy, and take it out of the pool for good.

        His cursors may be at it again, so nobody else may get it; and his own rollback and close
        must not fail. So that a server's connections do not run out, only some are kept so.
        """
        ending.roll_back(checkout.dbapi)
        fairy = checkout.fairy()
        if fairy is None or _compat.backend_pid(checkout.dbapi) is None:
            return
        checkouts.forget(fairy)
        fairy.detach()
        checkouts.forget(fairy)
        _left_to_owners.append(checkout.dbapi)
        while len(_left_to_owners) > _KEPT:
            _left_to_owners.popleft().close()

    def _roll_back_in_pool(self, dbapi: Any) -> None:
        # After an explicit BEGIN in autocommit a connection goes back in its transaction.
        if checkouts.of_dbapi(dbapi) is None:
            ending.roll_back(dbapi)


def leave_to_parent() -> None:
    """Leave what was left to its owners, in a forked process, to the parent: it may be in use."""
    _inherited.extend(_left_to_owners)
    _left_to_owners.clear()


def _held_by(session: Any) -> List[checkouts.Checkout]:
    known = {id(checkout.fairy()): checkout for checkout in checkouts.opened()}
    fairies = [_compat.fairy_of(each) for each in _compat.connections_of_session(session)]
    return [known[id(each)] for each in fairies if each is not None and id(each) in known]


def _is_left(checkout: checkouts.Checkout) -> bool:
    # Out of any transaction a connection holds nothing: let it be where a thread is alive that
    # may need it again, or where it is older than the test.
    if _compat.transaction_status(checkout.dbapi) != _compat.IDLE:
        return True
    return checkout.test is not None and not checkout.elsewhere
