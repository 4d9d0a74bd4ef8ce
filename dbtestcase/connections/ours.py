"""What of this process is in the way of a reset, or would be in that of the next test: taken back.

It is the server that says so, and knows backends; this process knows which of them are its own.
"""

from __future__ import annotations

import time
from typing import Any, Callable, List, Optional, Set
from weakref import WeakKeyDictionary

from ..contracts import ControlConnection, InTheWay
from . import checkouts, leftovers, settling, twophase
from .leaks import Leak, of_place

# By the control connection: backends that have read tables, known to be of other processes.
_others: "WeakKeyDictionary[Any, Set[int]]" = WeakKeyDictionary()


def free(
    control: ControlConnection, found: InTheWay, unread: List[int], deadline: float
) -> List[Leak]:
    """Take back what is in the way; return it.

    :param unread: backends whose streams were unread at two looks, which are closed.
    :param deadline: the time of ``time.monotonic()`` until which it may take.
    """
    freed = leftovers.take_back(found.pids, unread, _left(deadline), _at_work(control))
    places = twophase.end(control, found.gids) if found.gids else []
    return freed + [of_place("prepared transaction", place, None) for place in places]


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
    return leftovers.take_back(readers, (), _left(deadline), _at_work(control), checked_out=False)


def _at_work(control: ControlConnection) -> Callable[[int], Optional[float]]:
    """Return what tells when a backend was last at work, as a time of ``time.monotonic()``."""

    def since(pid: int) -> Optional[float]:
        now = time.monotonic()  # before asking, lest it is the next test that is taken for it
        return next((now - (each.seconds or 0) for each in control.backends([pid])), None)

    return since


def _left(deadline: float) -> float:
    return max(0.1, deadline - time.monotonic())
