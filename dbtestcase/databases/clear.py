"""Clear a checked database: look who is in the way, clear, and say who it was where that failed."""

from __future__ import annotations

from typing import Any, Callable, List, NoReturn, Optional, TypeVar

from .. import events
from ..connections import Leak, blocked, ensure_free, is_lock_timeout, retrying, warn_of_leaks
from . import check

_LOST = "the connection that clears was lost"
_LATE = 0.5  # seconds to free what is in the way, once a lock was waited for in vain

Result = TypeVar("Result")


def restore(database: Any, baseline: Any, case: Any) -> Optional[str]:
    """Make a database equal to a base line, if its rows and sequences are all that differs.

    :param database: the checked database.
    :param baseline: what it is to be like.
    :param case: the test on whose behalf.
    :return: ``None`` when it is equal, else what differs: it must be dropped and created.
    :raises BlockedDatabaseError: if something is in the way, within the bound.
    """
    changed = _restore(database, baseline, case)
    if changed is not None:
        events.note(events.CHANGED, database=database.name, reason=changed)
    return changed


def _restore(database: Any, baseline: Any, case: Any) -> Optional[str]:
    dialect = database.dialect
    if not dialect.alive:
        return _LOST

    def make_way() -> None:
        warn_of_leaks(_freed(database, case, exclusive=False))

    def work() -> Optional[str]:
        return dialect.restore(baseline, make_way)  # type: ignore[no-any-return]

    try:
        return _unblocked(database, case, "the reset", False, work)
    except Exception:
        if dialect.alive:
            raise
        return _LOST


def drop_everything(database: Any, case: Any) -> None:
    """Drop all that is found in a database.

    :param database: the checked database.
    :param case: the test on whose behalf.
    :raises BlockedDatabaseError: if something is in the way, within the bound.
    """
    check.reconnect(database, name_of(case))
    try:
        _unblocked(database, case, "the drop", True, database.dialect.drop_everything)
    except Exception:
        if database.dialect.alive:
            raise
        check.reconnect(database, name_of(case))  # the server had ended it since its last use
        _unblocked(database, case, "the drop", True, database.dialect.drop_everything)


def _unblocked(
    database: Any, case: Any, what: str, exclusive: bool, work: Callable[[], Result]
) -> Result:
    """Do what needs locks: once nobody is in the way, and once more where somebody came late."""
    control = database.dialect.control
    if control is None:
        return work()
    if exclusive:
        warn_of_leaks(_freed(database, case, exclusive))
    try:
        return retrying(work)
    except Exception as error:
        if exclusive or not is_lock_timeout(error):
            _raise_told(error, database, case, what)
    warn_of_leaks(_freed(database, case, exclusive=True, wait=_LATE))
    try:
        return retrying(work)
    except Exception as error:
        _raise_told(error, database, case, what)


def _raise_told(error: Exception, database: Any, case: Any, what: str) -> NoReturn:
    """Raise the error that names who was in the way, or the error itself if nobody was."""
    control = database.dialect.control
    told = blocked(control, error, database.name, name_of(case), what, case.lock_timeout)
    if told is None:
        raise error
    raise told from error


def _freed(database: Any, case: Any, exclusive: bool, wait: Optional[float] = None) -> List[Leak]:
    return ensure_free(
        database.dialect.control,
        database.name,
        name_of(case),
        lock_timeout=case.lock_timeout,
        terminate_blockers=case.terminate_blockers,
        exclusive=exclusive,
        wait=wait,
    )


def left_open(databases: List[Any], case: Any) -> List[Leak]:
    """Free what a test left open past SQLAlchemy; return it.

    :raises BlockedDatabaseError: if somebody else's transaction is in the way, within the bound.
    """
    return [
        leak
        for database in databases
        if database.dialect.control is not None
        for leak in _freed(database, case, exclusive=True)
    ]


def name_of(case: Any) -> str:
    """Return a test as it is called in messages: ``OrderTest.test_total``."""
    method = case._testMethodName
    return type(case).__name__ + ("" if method == "runTest" else "." + method)


def controls(databases: List[Any]) -> Any:
    """Return the control connection for each engine whose database has one."""
    return {
        engine: database.dialect.control
        for database in databases
        if database.dialect.control is not None
        for engine in database.engines
    }
