"""Clear a checked database: look who is in the way, clear, and say who it was where that failed."""

from __future__ import annotations

from typing import Any, Callable, List, Optional, TypeVar

from . import locks, report, safeguard, sessions

_LOST = "the connection that clears was lost"

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
        report.changed(database.name, changed)
    return changed


def _restore(database: Any, baseline: Any, case: Any) -> Optional[str]:
    dialect = database.dialect
    if not dialect.alive:
        return _LOST
    try:
        return _unblocked(database, case, "the reset", False, lambda: dialect.restore(baseline))
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
    safeguard.reconnect(database)
    _unblocked(database, case, "the drop", True, database.dialect.drop_everything)


def _unblocked(
    database: Any, case: Any, what: str, exclusive: bool, work: Callable[[], Result]
) -> Result:
    """Do what needs locks: once nobody is in the way, and once more where somebody came late."""
    control = database.dialect.control
    if control is None:
        return work()
    # Rows are emptied beside readers: only who has written, and so has a transaction id, matters.
    if exclusive or database.dialect.somebody_writes():
        _ensure_free(database, case, exclusive)
    try:
        return locks.retrying(work)
    except Exception as error:
        if locks.is_lock_timeout(error) and not exclusive:
            _ensure_free(database, case, exclusive=True)
            return work()
        told = locks.blocked(control, error, database.name, name_of(case), what, case.lock_timeout)
        if told is None:
            raise
        raise told from error


def _ensure_free(database: Any, case: Any, exclusive: bool) -> None:
    freed = locks.ensure_free(
        database.dialect.control,
        database.name,
        name_of(case),
        lock_timeout=case.lock_timeout,
        terminate_blockers=case.terminate_blockers,
        exclusive=exclusive,
    )
    sessions.warn(freed)


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
