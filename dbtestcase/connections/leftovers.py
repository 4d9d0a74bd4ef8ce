"""Remove every session, and say who left what open.

A test begins on connections that nobody else has. Whatever the one before left checked out is
rolled back and given back, as politely as can be: sessions first, then connections, then what the
drivers have beside SQLAlchemy. What a thread is still at work on is left to it.
"""

from __future__ import annotations

import time
from typing import Any, Callable, Iterable, List, Mapping, Optional

from .. import _compat
from . import answers, checkouts, drivers, forks, settling
from .freeing import Freeing, held_by
from .leaks import Leak, leak_text, note, warn

__all__ = [
    "Leak",
    "begin_pause",
    "begin_test",
    "end_test",
    "forget",
    "free",
    "is_ours",
    "leak_text",
    "note",
    "take_back",
    "warn",
    "watch",
]

_BOUND = 5.0  # seconds that giving back may take, where nothing else is said

forks.watch()  # from the beginning: runners fork their workers before the first test


_OPENED = "_dbtestcase_opened"  # the attribute of a connection that says where it was made


class _Places(drivers.Subscriber):
    """Remembers where connections are made, as no pool knows of those beside SQLAlchemy."""

    def opened(self, dbapi: Any) -> None:
        """Remember where a connection was made."""
        setattr(dbapi, _OPENED, checkouts.Place())


_PLACES = _Places()


def watch() -> None:
    """Know of every checkout of this process from now on; harmless a second time."""
    checkouts.watch()
    settling.watch()
    drivers.subscribe(_PLACES)


def begin_test(
    engines: Iterable[Any],
    name: str,
    lock_timeout: float,
    controls: Optional[Mapping[Any, Any]] = None,
) -> None:
    """Have the connections of a test carry its name and wait for locks no longer than it may.

    Holds for connections checked out from now until :func:`end_test`, of these engines and of
    others on the same databases, and costs each connection one round trip a test.

    :param engines: the engines of the test.
    :param name: its name, as ``OrderTest.test_total``.
    :param lock_timeout: seconds; a shorter one that a connection already has is kept.
    :param controls: the control connection on each engine's database, for telling who blocks.
    """
    watch()
    if controls:
        answers.watch()
    settling.begin(engines, name, lock_timeout, controls or {})


def begin_pause(engines: Iterable[Any], name: str, lock_timeout: float, controls: Any) -> None:
    """Hold what a class does between its tests to the same, where all is watched already.

    :param engines: the engines of the class.
    :param name: its name.
    :param lock_timeout: seconds, as for :func:`begin_test`.
    :param controls: the control connection on each engine's database.
    """
    settling.begin(engines, name, lock_timeout, controls)


def end_test() -> None:
    """Let go of the settings, and of sessions in which the test left more than a transaction."""
    settling.end()


def forget(fairy: Any) -> None:
    """Leave a connection that dbtestcase itself has checked out alone; it is nobody's leak."""
    checkouts.forget(fairy)


def free(
    engines: Iterable[Any], scoped_sessions: Iterable[Any] = (), deadline: Optional[float] = None
) -> List[Leak]:
    """Give back what this process left open on the engines' databases.

    First the sessions of the registries, of every scope, then other sessions, then connections;
    no further than needed, and without a word to the server where nothing was left.

    :param engines: the engines of the test.
    :param scoped_sessions: its scoped sessions; their registries are empty afterwards.
    :param deadline: a time of ``time.monotonic()`` until which a rollback may take.
    :return: what had to be given back, and what could not be since a thread is at work on it.
    """
    registered = {each: _compat.registered_sessions(each) for each in scoped_sessions}
    if not any(registered.values()) and not checkouts.opened():
        return []
    freeing = Freeing(engines, deadline or time.monotonic() + _BOUND)
    for scoped, found in registered.items():
        for scope, session in found.items():
            if freeing.close_session(session):
                _compat.unregister_session(scoped, scope)
    if freeing.left():
        for session in _compat.live_sessions():
            if any(freeing.concerns(each) for each in held_by(session)):
                freeing.close_session(session)
    for checkout in freeing.left():
        freeing.give_back(checkout)
    return freeing.leaks


def take_back(
    pids: Iterable[int],
    unread: Iterable[int] = (),
    seconds: float = _BOUND,
    since: Callable[[int], Optional[float]] = lambda pid: None,
    checked_out: bool = True,
) -> List[Leak]:
    """End the transactions of connections of this process that are known by their backends only.

    Those that a driver made beside SQLAlchemy, and pooled ones that came back with a transaction.
    A forked process cannot tell its own from its parent's and leaves them all alone.

    :param pids: the backends that are in the way.
    :param unread: those that wait for this process to read a result, as when a stream or a
        pipeline was left half-way: closing is the only way to end them.
    :param seconds: how long a rollback may take.
    :param since: tells the time of ``time.monotonic()`` at which a backend was last at work.
    :param checked_out: whether those that somebody has out of a pool are meant, too.
    """
    wanted, unread = set(pids), set(unread)
    if not wanted or checkouts.was_forked():
        return []
    freeing = Freeing((), time.monotonic() + seconds)
    for dbapi in _compat.driver_connections():
        pid = _compat.backend_pid(dbapi)
        if pid in wanted:
            checkout = checkouts.of_dbapi(dbapi)
            busy = _compat.transaction_status(dbapi) == _compat.ACTIVE
            if busy and pid not in unread:
                continue
            if checkout is not None and not checked_out:
                continue
            if checkout is not None and not busy:
                freeing.give_back(checkout)
                continue
            place = checkout or _place_of(dbapi, since(pid))
            if freeing.end_transaction(dbapi, close=busy):
                freeing.tell("raw connection", place, pid)
    return freeing.leaks


def _place_of(dbapi: Any, since: Optional[float]) -> checkouts.Place:
    """Return where a driver's connection was made, if the test that used it last made it."""
    used, opened = checkouts.unseen(since), getattr(dbapi, _OPENED, None)
    return opened if opened is not None and opened.test == used.test else used


def is_ours(pid: int) -> bool:
    """Tell whether a backend is one that this process is connected to."""
    return pid in checkouts.our_pids()
