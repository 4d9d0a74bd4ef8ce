"""Giving back what was left open: sessions first, then connections, then what drivers have."""

from __future__ import annotations

import collections
import contextlib
from typing import Any, Callable, Deque, Iterable, List, Optional

from .. import _compat
from . import checkouts
from .bounds import cut_off_at, ends_in_time
from .leaks import Leak, of_place
from .settling import running

_KEPT = 8  # raw connections that their owners may go on using after the test that left them

# Raw connections that were rolled back and left to their owners, the oldest first.
_left_to_owners: Deque[Any] = collections.deque()
_inherited: List[Any] = []


class Freeing:
    """One round of giving back; what it had to do is in ``leaks``."""

    def __init__(self, engines: Iterable[Any], deadline: float) -> None:
        self.pools = [engine.pool for engine in engines]
        self.deadline = deadline
        self.leaks: List[Leak] = []
        test = running()
        self.locations = set(test.scope.locations) if test else set()
        for checkout in checkouts.opened() if self.pools else ():
            if _pool_of(checkout) in self.pools:
                self.locations.add(_compat.location(checkout.dbapi))
        self.locations.discard(None)

    def concerns(self, checkout: checkouts.Checkout) -> bool:
        """Tell whether a checkout is of the engines, or of another one on the same database."""
        if _pool_of(checkout) in self.pools:
            return True
        return bool(self.locations) and _compat.location(checkout.dbapi) in self.locations

    def left(self) -> List[checkouts.Checkout]:
        """Return what is still out and would stand in the way, or would not be given back."""
        return [each for each in checkouts.opened() if self.concerns(each) and _is_left(each)]

    def close_session(self, session: Any) -> bool:
        """Close an ORM session, unless a thread is at work with it; tell whether."""
        held = held_by(session)
        if checkouts.was_forked() and len(held) < len(_compat.connections_of_session(session)):
            return False  # they are those of the process that forked this one
        if any(self._is_busy(each) for each in held):
            return False
        pids = [_compat.backend_pid(each.dbapi) for each in held]
        if not self._bounded(session.close, held):
            return False
        for checkout, pid in zip(held, pids):
            self._end_in_pool(checkout.dbapi)
            self.tell("session", checkout, pid)
        return True

    def give_back(self, checkout: checkouts.Checkout) -> None:
        """Roll a checked out connection back, and give it back unless it is older than the test."""
        if self._is_busy(checkout):
            return
        pid = _compat.backend_pid(checkout.dbapi)
        kind = "raw connection" if checkout.connection is None else "connection"
        if checkout.test is None:
            done = self._bounded(lambda: self._end(checkout.dbapi), [checkout])
        elif checkout.owner is not None:
            done = self._bounded(checkout.owner.close, [checkout])
            self._end_in_pool(checkout.dbapi)
        else:
            done = self._bounded(lambda: self._leave_to_owner(checkout), [checkout])
        if done:
            self.tell(kind, checkout, pid)

    def end_transaction(self, dbapi: Any, close: bool = False) -> bool:
        """Roll a driver's connection back, or close it; tell whether there was anything to end."""
        if close:
            dbapi.close()
            return True
        with cut_off_at(self.deadline, dbapi):
            return self._end(dbapi)

    def tell(
        self, kind: str, place: checkouts.Place, pid: Optional[int], freed: bool = True
    ) -> None:
        """Add to the leaks, once for each checkout."""
        if getattr(place, "told", False):
            return
        if isinstance(place, checkouts.Checkout):
            place.told = True
        self.leaks.append(of_place(kind, place, pid, freed))

    def _is_busy(self, checkout: checkouts.Checkout) -> bool:
        """Tell whether a statement is running on a connection: rolling back would wait for it."""
        if _compat.transaction_status(checkout.dbapi) != _compat.ACTIVE:
            return False
        self.tell("connection", checkout, _compat.backend_pid(checkout.dbapi), freed=False)
        return True

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
                    _invalidate(each)
        return True

    def _leave_to_owner(self, checkout: checkouts.Checkout) -> None:
        """Roll back what somebody uses past SQLAlchemy, and take it out of the pool for good.

        His cursors may be at it again, so nobody else may get it; and his own rollback and close
        must not fail. So that a server's connections do not run out, only some are kept so.
        """
        self._end(checkout.dbapi)
        fairy = checkout.fairy()
        if fairy is None or _compat.backend_pid(checkout.dbapi) is None:
            return
        checkouts.forget(fairy)
        fairy.detach()
        checkouts.forget(fairy)
        _left_to_owners.append(checkout.dbapi)
        while len(_left_to_owners) > _KEPT:
            _left_to_owners.popleft().close()

    def _end_in_pool(self, dbapi: Any) -> None:
        # After an explicit BEGIN in autocommit a connection goes back in its transaction.
        if checkouts.of_dbapi(dbapi) is None:
            self._end(dbapi)

    def _end(self, dbapi: Any) -> bool:
        """End the transaction of a driver's connection; tell whether there was one."""
        if _compat.transaction_status(dbapi) in (None, _compat.IDLE, _compat.ACTIVE):
            return False
        for end in (dbapi.rollback, lambda: _rollback_by_statement(dbapi), dbapi.close):
            try:
                end()
            except Exception:  # in a two-phase transaction, or a block that forbids it
                continue
            if _compat.transaction_status(dbapi) in (None, _compat.IDLE):
                return True
        return False


def leave_to_parent() -> None:
    """Leave what was left to its owners, in a forked process, to the parent: it may be in use."""
    _inherited.extend(_left_to_owners)
    _left_to_owners.clear()


def held_by(session: Any) -> List[checkouts.Checkout]:
    found = [checkouts.of_connection(each) for each in _compat.connections_of_session(session)]
    return [each for each in found if each is not None]


def _pool_of(checkout: checkouts.Checkout) -> Any:
    return getattr(checkout.fairy(), "_pool", None)


def _is_left(checkout: checkouts.Checkout) -> bool:
    # Out of any transaction a connection holds nothing: let it be where a thread is alive that
    # may need it again, or where it is older than the test.
    if _compat.transaction_status(checkout.dbapi) != _compat.IDLE:
        return True
    return checkout.test is not None and not checkout.elsewhere


def _rollback_by_statement(dbapi: Any) -> None:
    # In autocommit a driver's rollback() does nothing, even after an explicit BEGIN.
    cursor = dbapi.cursor()
    cursor.execute("ROLLBACK")
    cursor.close()


def _invalidate(checkout: checkouts.Checkout) -> None:
    fairy = checkout.fairy()
    if fairy is not None and checkout.open:
        with contextlib.suppress(Exception):
            fairy.invalidate()
