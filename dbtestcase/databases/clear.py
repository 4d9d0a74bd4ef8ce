"""Clears a checked database: looks who is in the way, clears, says who it was where that failed."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional, TypeVar

from .. import _compat, events
from ..connections import (
    Leak,
    blocked,
    ensure_free,
    ensure_threads_over,
    free,
    is_lock_timeout,
    warn_of_leaks,
)
from ..contracts import ControlConnection, Target
from .safeguard import CheckedDatabase, reconnect

_LOST = "the connection that clears was lost"
_DEADLOCK = "40P01"
_LATE = 0.5  # seconds to free what is in the way, once a lock was waited for in vain

Result = TypeVar("Result")


def restore(database: CheckedDatabase, baseline: Any, case: Any) -> Optional[str]:
    """Make a database equal to a base line, if its rows and sequences are all that differs.

    :param database: the checked database.
    :param baseline: what it is to be like.
    :param case: the test on whose behalf.
    :return: ``None`` when it is equal, else what differs: it must be dropped and created.
    :raises BlockedDatabaseError: if something is in the way, within the bound.
    """
    dialect = database.dialect
    changed: Optional[str] = _LOST

    def make_way() -> None:
        # Readers stand against a TRUNCATE. One that did is seen so without waiting for it again.
        warn_of_leaks(_freed(database, case, exclusive=database.blocked))

    if dialect.alive:
        work = lambda: dialect.restore(baseline, make_way)  # noqa: E731
        try:
            changed = _unblocked(database, case, "the reset", False, work)
        except Exception:
            if dialect.alive:
                raise
        else:
            database.blocked = False
    if changed is not None:
        events.note(events.CHANGED, database=database.name, reason=changed)
    return changed


def drop_everything(database: CheckedDatabase, case: Any) -> None:
    """Drop all that is found in a database.

    :param database: the checked database.
    :param case: the test on whose behalf.
    :raises BlockedDatabaseError: if something is in the way, within the bound.
    """

    def work() -> None:
        database.watched.drop_everything(database.dialect)

    reconnect(database, name_of(case))
    try:
        _unblocked(database, case, "the drop", True, work)
    except Exception:
        if database.dialect.alive:
            raise
        reconnect(database, name_of(case))  # the server had ended it since its last use
        _unblocked(database, case, "the drop", True, work)


def _unblocked(
    database: CheckedDatabase,
    case: Any,
    what: str,
    exclusive: bool,
    work: Callable[[], Result],
) -> Result:
    """Do what needs locks: once nobody is in the way, and once more where somebody came late."""
    control = database.dialect.control
    if control is None:
        return work()
    if exclusive:
        warn_of_leaks(_freed(database, case, exclusive))
    for last_time in (exclusive, True):
        try:
            return retrying(work)
        except Exception as error:
            if last_time or not is_lock_timeout(error):
                named = blocked(
                    control, error, database.name, name_of(case), what, case.lock_timeout
                )
                if named is None:
                    raise
                raise named from None  # it says what the driver does, and who is to blame
            database.blocked = True
        warn_of_leaks(_freed(database, case, exclusive=True, wait=_LATE))
    raise AssertionError("the last time returns or raises")


def retrying(work: Callable[[], Result], attempts: int = 3) -> Result:
    """Do some work, again where it met a deadlock with somebody's late request.

    :param work: what to do; it must have been rolled back where it fails.
    """
    for _ in range(attempts - 1):
        try:
            return work()
        except Exception as error:
            if _compat.sqlstate(error) != _DEADLOCK:
                raise
    return work()


def _freed(
    database: CheckedDatabase, case: Any, exclusive: bool, wait: Optional[float] = None
) -> List[Leak]:
    control = database.dialect.control
    if control is None:  # without a server nobody can be seen
        return []
    return ensure_free(
        control,
        database.name,
        name_of(case),
        lock_timeout=case.lock_timeout,
        terminate_blockers=case.terminate_blockers,
        exclusive=exclusive,
        wait=wait,
    )


def take_back(target: Target, databases: List[CheckedDatabase], case: Any) -> None:
    """Free what ``create_tables()`` or ``load_data()`` left open, and say so.

    :param target: what the test runs against.
    :param databases: its checked databases.
    :param case: the test on whose behalf.
    :raises BlockedDatabaseError: if somebody is in the way, within the bound.
    """
    warn_of_leaks(free(target.engines.values(), target.scoped_sessions()))
    for database in databases:
        warn_of_leaks(_freed(database, case, exclusive=False))


def end_threads(databases: List[CheckedDatabase], case: Any) -> None:
    """End what threads are in the middle of, and say so.

    :raises BlockedDatabaseError: if a statement of theirs goes on for longer than the bound.
    """
    for database in databases:
        control = database.dialect.control
        if control is not None and database.dialect.alive:
            bound, name = case.lock_timeout, name_of(case)
            warn_of_leaks(
                ensure_threads_over(control, database.engines, database.name, name, bound)
            )


def left_open(databases: List[CheckedDatabase], case: Any) -> List[Leak]:
    """Free what a test left open past SQLAlchemy; return it.

    :raises BlockedDatabaseError: if somebody else's transaction is in the way, within the bound.
    """
    return [leak for database in databases for leak in _freed(database, case, exclusive=True)]


def name_of(case: Any) -> str:
    """Return a test as it is called in messages: ``OrderTest.test_total``."""
    method = case._testMethodName
    return type(case).__name__ + ("" if method == "runTest" else "." + method)


def controls(databases: List[CheckedDatabase]) -> Dict[Any, ControlConnection]:
    """Return the control connection for each engine whose database has one."""
    return {
        engine: database.dialect.control
        for database in databases
        if database.dialect.control is not None
        for engine in database.engines
    }
