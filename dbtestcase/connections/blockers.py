"""Waits until nobody is in the way of a reset, and names who is, also to a statement of a test.

Looking comes before locking: what is in the way is seen without waiting for it, what this process
left there is taken back, and what remains by the end of the bound is named, never waited for. A
transaction that was named once is not waited for again: the next tests say so in a line.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Optional

import sqlalchemy as sa

from .. import _compat, where
from ..contracts import ControlConnection
from ..errors import BlockedDatabaseError, brief, reported
from . import bounds, checkouts, describe, drivers, ending, leftovers
from .leaks import Leak
from .settling import Running, running

LOCK_TIMEOUT, STATEMENT_TIMEOUT, DEADLOCK, FULL = "55P03", "57014", "40P01", "53300"
_FULL_TEXTS = ("too many clients", "too many connections", "remaining connection slots")
_TERMINATING = 1.0  # seconds that a backend may take to end
_NO_ANSWER = (
    "its statement got no answer, and its connection was cut: the server, or the process of it"
    " that serves this connection, is stopped or cannot be reached."
)
_RESET, _STATEMENT = "reset", "statement"  # what waited
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.1


def ensure_free(
    control: ControlConnection,
    database_name: str,
    test_name: str,
    leaks: Iterable[Leak] = (),
    lock_timeout: float = 5.0,
    terminate_blockers: bool = False,
    exclusive: bool = False,
    wait: Optional[float] = None,
) -> List[Leak]:
    """Return when nothing is in the way of a reset; one query when nothing is.

    What connections of this process hold is rolled back first. The transactions of others, and
    statements of this process that are at work, are waited for.

    :param control: the control connection on the database.
    :param leaks: what :func:`free` found before, for the error.
    :param lock_timeout: seconds to wait at most.
    :param terminate_blockers: end other backends of the same role on this database.
    :param exclusive: whether tables are to be dropped, and not only emptied.
    :param wait: seconds to wait now, where some of the bound is over.
    :return: what had to be freed.
    :raises BlockedDatabaseError: if something is still in the way then; it names it.
    """
    deadline = where.now() + (lock_timeout if wait is None else wait)
    freed: List[Leak] = []
    unread: List[int] = []
    pause, late, fresh = _FIRST_PAUSE, False, True
    while True:
        found = control.in_the_way(exclusive)
        pids, gids = found.pids + ending.of_threads(control, found.pids), found.gids
        freed += leftovers.free_idle(control, found, deadline)
        if not pids and not gids:
            return freed
        done = leftovers.free_blocking(control, pids, gids, unread, deadline)
        if terminate_blockers and not done:
            done = [leak for pid in pids for leak in _terminate(control, pid)]
        freed += done
        if late:
            fact = "the reset waited %.1f s for a lock" % lock_timeout
            lines = _lines_about(control, pids, gids, test_name)
            lines += ["  " + str(leak) for leak in leaks if not leak.freed and leak.pid not in pids]
            raise _cannot_clear(database_name, test_name, fact, lines)
        if not done:
            if fresh:
                _refuse_known(control, pids, gids, database_name, test_name)
            fresh = False
            unread = [
                each.pid
                for each in control.backends(pids)
                if each.state == "active" and each.waits_for == "Client"
            ]
            where.pause(max(0.0, min(pause, deadline - where.now())))
            pause = min(_LONGEST_PAUSE, pause * 2)
        late = where.now() >= deadline  # to free may have taken long, and is seen by a look


def ensure_threads_over(
    control: ControlConnection,
    engines: Iterable[Any],
    database_name: str,
    test_name: str,
    lock_timeout: float,
) -> List[Leak]:
    """Return when no thread is in the middle of a transaction; end those that run no statement.

    :param control: the control connection on the database.
    :param engines: the engines on it.
    :param lock_timeout: seconds to wait for statements at most.
    :return: what had to be ended.
    :raises BlockedDatabaseError: if a statement is still running then; it names it.
    """
    deadline, freed, pause = where.now() + lock_timeout, [], _FIRST_PAUSE
    while True:
        late = where.now() >= deadline
        leaks, pids = leftovers.free_threads(engines, control, deadline)
        freed += leaks
        if not pids:
            return freed
        if late:
            fact = "the rollback waited %.1f s for a statement" % lock_timeout
            lines = describe.lines_about(control, pids, [])
            raise _cannot_clear(database_name, test_name, fact, lines)
        where.pause(max(0.0, min(pause, deadline - where.now())))
        pause = min(_LONGEST_PAUSE, pause * 2)


def blocked(
    control: ControlConnection,
    error: BaseException,
    database_name: str,
    test_name: str,
    what: str,
    lock_timeout: float,
) -> Optional[BlockedDatabaseError]:
    """Turn an error of clearing, creating or connecting into the one that says who blocks.

    :param control: the control connection, or ``None`` where there is none.
    :param error: a lock or statement timeout, a deadlock, a dry pool, a full server.
    :param what: what met it, as ``"DROP TABLE"``.
    :param lock_timeout: seconds that it was allowed to wait for a lock.
    :return: the error to raise from it, or ``None`` if it is of another kind.
    """
    full = is_full(error)
    if full:
        fact: Optional[str] = "found no free connection on the server"
    elif isinstance(error, sa.exc.TimeoutError):
        fact = "found no free connection in the pool"
    else:
        fact = {
            LOCK_TIMEOUT: "waited %.1f s for a lock" % lock_timeout,
            STATEMENT_TIMEOUT: "was cancelled after too long a time (statement_timeout)",
            DEADLOCK: "met a deadlock",
        }.get(_compat.sqlstate(error) or "")
    if fact is None:
        return None
    if isinstance(error, BlockedDatabaseError):
        return error
    try:
        lines = describe.slots(control) if full else _lines_about_everyone(control, test_name)
    except Exception:  # the connection that would tell is gone too
        lines = []
    return _cannot_clear(database_name, test_name, "%s %s" % (what, fact), lines, full)


def is_lock_timeout(error: BaseException) -> bool:
    """Tell whether an error says that a lock was not to be had in time."""
    return _compat.sqlstate(error) == LOCK_TIMEOUT


def is_full(error: BaseException) -> bool:
    """Tell whether an error says that the server has no connection left."""
    # A driver has no code for an error at connecting; the server's own words are in the text.
    return _compat.sqlstate(error) == FULL or any(text in str(error) for text in _FULL_TEXTS)


def watch() -> None:
    """Have a test's own statements that do not get a lock say who has it, from now on."""
    sa.event.listen(sa.engine.Engine, "handle_error", _explain, retval=True)
    _RAW.subscribe()


def _terminate(control: ControlConnection, pid: int) -> List[Leak]:
    if pid in checkouts.our_pids():
        return []  # a thread is at work with it
    named = control.backends([pid])
    if not named or not control.terminate(pid, _TERMINATING):
        return []
    who = named[0].application or "another process"
    return [Leak("backend", who, None, 0, "", "MainThread", pid, named[0].seconds or 0.0)]


def _refuse_known(
    control: ControlConnection, pids: List[int], gids: List[str], database: str, test: str
) -> None:
    """Raise if a transaction is still in the way that an earlier test has waited for."""
    known = {
        called: owner for called, owner in _owners(control, _RESET, pids, gids).items() if owner
    }
    if known:
        text = 'cannot clear "%s" for %s: %s' % (database, test, _still_there(known))
        raise brief(BlockedDatabaseError, text, next(iter(known.values())))


def _owners(
    control: ControlConnection, what: str, pids: List[int], gids: List[str]
) -> Dict[str, str]:
    """Return what is in the way, and for which test that was said, "" for none."""
    return {
        called: reported.earlier((what, control.location, mark)) or ""
        for called, mark in control.transactions(pids, gids)
    }


def _still_there(names: Iterable[str]) -> str:
    named = list(names)
    return "%s %s still in the way" % (" and ".join(named), "are" if len(named) > 1 else "is")


def _lines_about(
    control: ControlConnection, pids: List[int], gids: List[str], test: str, what: str = _RESET
) -> List[str]:
    """Return the lines about who was waited for, and remember that they are said."""
    for _, mark in control.transactions(pids, gids):
        reported.remember((what, control.location, mark), None, test)
    return describe.lines_about(control, pids, gids)


def _lines_about_everyone(control: ControlConnection, test: str) -> List[str]:
    found = control.in_the_way(exclusive=True)
    return _lines_about(control, found.pids, found.gids, test)


def _cannot_clear(
    database_name: str, test_name: str, fact: str, lines: List[str], full: bool = False
) -> BlockedDatabaseError:
    first = 'cannot clear "%s" for %s: %s.' % (database_name, test_name, fact)
    return BlockedDatabaseError("\n".join([first] + lines + [describe.advice(lines, full)]))


# --- statements of a test ------------------------------------------------------------------------


def _explain(context: Any) -> Optional[BaseException]:
    """Name the holder of the lock that a test's own statement did not get.

    The error remains what the caller may expect, and is a :class:`BlockedDatabaseError` too.
    """
    test, error = running(), context.sqlalchemy_exception
    fairy = _compat.fairy_of(context.connection) if context.connection is not None else None
    dbapi = _compat.dbapi_connection(fairy) if fairy is not None else None
    if isinstance(dbapi, _compat.Ended):
        context.invalidate_pool_on_disconnect = False  # the others are in order
        return None
    if test is None or error is None or isinstance(error, BlockedDatabaseError):
        return None
    if bounds.was_cut(dbapi):
        text = "%s: %s\n%s" % (test.name, _NO_ANSWER, error)
        return _compat.in_place_of(error, BlockedDatabaseError, text)  # type: ignore[no-any-return]
    original = context.original_exception
    reason = _reason(test, original, context.statement or "", dbapi, context.engine, str(error))
    if reason is None:
        return None
    return _compat.in_place_of(error, BlockedDatabaseError, reason)  # type: ignore[no-any-return]


def _reason(
    test: Running, error: BaseException, statement: str, dbapi: Any, engine: Any, last: str
) -> Optional[str]:
    """Return the words of an error after a lock or a connection that was not to be had.

    :param error: the driver's.
    :param engine: the engine whose control connection is asked, ``None`` for whichever.
    :param last: the words of the error itself.
    :return: ``None`` for an error of another kind.
    """
    statement = statement.lower()
    full = is_full(error)
    waited = is_lock_timeout(error) or (
        _compat.sqlstate(error) == STATEMENT_TIMEOUT and bounds.was_cancelled(dbapi)
    )
    if not full and (not waited or "nowait" in statement):
        return None
    fact = "its statement waited %.1f s for a lock" % test.scope.lock_timeout
    lines = ["%s: %s." % (test.name, "the server has no connection left" if full else fact)]
    try:
        control = _control_of(test, engine)
        if full:
            found = describe.slots(control)
            found.append(describe.advice(found, full))
        else:
            own = _compat.backend_pid(dbapi)
            found = _lines_about_others(control, own, "advisory" in statement, test.name)
    except Exception:  # no control connection, or it is gone: less can be said
        found = [describe.advice([], full)]
    return "\n".join(lines + found + [last])


class _Raw(drivers.Subscriber):
    """Names the holder of the lock to a statement that was sent past SQLAlchemy, too."""

    def failed(self, cursor: Any, error: BaseException) -> None:
        """Have the driver's error say who has the lock; it becomes of another class as well."""
        test = running()
        if test is None or _compat.sqlstate(error) not in (LOCK_TIMEOUT, STATEMENT_TIMEOUT):
            return
        sent, last = _compat.sent_text(cursor), str(error).strip()
        text = _reason(test, error, sent, cursor.connection, None, last)
        if text is not None:
            _compat.become(error, BlockedDatabaseError, text)


_RAW = _Raw()


def _control_of(test: Running, engine: Any) -> Any:
    for known, control in test.scope.controls.items():
        if known is engine or getattr(known, "pool", None) is getattr(engine, "pool", None):
            return control
    return next(iter(test.scope.controls.values()), None)


def _lines_about_others(
    control: ControlConnection, own: Optional[int], advisory: bool, test: str
) -> List[str]:
    """Return the lines about who holds locks of tables, or else advisory ones, and what to do.

    :param own: the pid of the test's own backend, whose statement failed.
    :param advisory: whether that was after an advisory lock.
    :param test: the name of the test.
    """
    found = control.in_the_way(exclusive=True)
    pids, gids = found.pids, found.gids
    if advisory or not {*pids, *gids} - {own}:
        pids, gids = control.advisory_holders(), []
    pids = [pid for pid in pids if pid != own]
    owners = _owners(control, _STATEMENT, pids, gids)
    if owners and all(owners.values()):
        earlier = next(iter(owners.values()))
        return ["  %s, as said for %s." % (_still_there(owners), earlier)]
    lines = _lines_about(control, pids, gids, test, _STATEMENT)
    return lines + [describe.advice(lines)]
