"""Starts the watch on this process; one that is forked from it leaves its connections to it.

Both would talk over the same socket, and whoever closes a connection ends it for the other. So a
child begins with empty pools, its sessions with new transactions; and it holds whatever it
inherited for ever, since letting go of a connection would end it.
https://docs.sqlalchemy.org/en/20/core/pooling.html#using-connection-pools-with-multiprocessing-or-os-fork
"""

from __future__ import annotations

import contextlib
import os
from typing import Any, List

from .. import _compat
from . import blockers, checkouts, ending, leftovers, settling, twophase, unpooled

_MOST_NESTED = 100

_inherited: List[Any] = []
_new: List[Any] = []  # pools that were made in this process; some engines share one
_watching = False


def watch() -> None:
    """Know of every connection of this process, and of what it does, from now on.

    Harmless a second time. Connections that are open already are known from their next checkout on.
    """
    global _watching
    if not _watching:
        _watching = True
        checkouts.watch()
        twophase.watch()
        unpooled.watch()
        settling.watch()
        blockers.watch()


# --- in a forked process -------------------------------------------------------------------------


def _leave_to_parent() -> None:
    """Part with every connection, in the child, before any other code of it runs.

    Databases in memory are not shared by a fork: each process has its own copy and goes on with it.
    """
    checkouts.leave_to_parent()
    settling.leave_to_parent()
    twophase.leave_to_parent()
    leftovers.leave_to_parent()
    ending.leave_to_parent()
    del _new[:]  # a child's child inherits them
    engines, fairies = _compat.engines_and_pooled_connections()
    left = [fairy for fairy in fairies if not _is_copied(fairy._pool)]
    for fairy in left:
        _inherited.append(_compat.part_with_connection(fairy))
    for session in _compat.live_sessions():
        if any(_compat.fairy_of(each) in left for each in _compat.connections_of_session(session)):
            _begin_anew(session)
    for engine in engines:
        _empty_pool(engine)


def _begin_anew(session: Any) -> None:
    """Roll a session back; its objects stay, and are loaded again as others have committed them."""
    for _ in range(_MOST_NESTED):  # up to SQLAlchemy 1.4 a rollback ends the innermost transaction
        if not _compat.connections_of_session(session):
            return
        with contextlib.suppress(Exception):
            session.rollback()


def _empty_pool(engine: Any) -> None:
    """Give an engine a new pool; below the one of an outer transaction, which knows of forks."""
    owner, name = engine, "pool"
    while hasattr(getattr(owner, name), "former"):
        owner, name = getattr(owner, name), "former"
    pool = getattr(owner, name)
    if _is_copied(pool) or any(pool is new for new in _new):
        return
    with contextlib.suppress(Exception):
        setattr(owner, name, pool.recreate())
        _inherited.append(pool)
        _new.append(getattr(owner, name))


def _is_copied(pool: Any) -> bool:
    return _compat.is_in_memory(getattr(pool, "former", pool))


# From the beginning: runners fork their workers before the first test.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)
