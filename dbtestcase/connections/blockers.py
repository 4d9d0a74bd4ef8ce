"""Waits until nobody is in the way of a reset, and names who is, also to a statement of a test.

Looking comes before locking: what is in the way is seen without waiting for it, what this process
left there is taken back, and what remains by the end of the bound is named, never waited for.
"""

from __future__ import annotations

from typing import Any, Iterable, List, Optional

import sqlalchemy as sa

from .. import _compat, where
from ..contracts import ControlConnection
from ..errors import BlockedDatabaseError
from . import bounds, checkouts, describe, drivers, leftovers
from .leftovers import Leak
from .settling import Running, running

LOCK_TIMEOUT, STATEMENT_TIMEOUT, DEADLOCK, FULL = "55P03", "57014", "40P01", "53300"
_FULL_TEXTS = ("too many clients", "too many connections", "remaining connection slots")
_TERMINATING = 1.0  # seconds that a backend may take to end
_NO_ANSWER = (
    "its statement got no answer, and its connection was cut: the server, or the process of it"
    " that serves this connection, is stopped or cannot be reached."
)
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
    pause, late = _FIRST_PAUSE, False
    while True:
        found = control.in_the_way(exclusive)
        pids, gids = found.pids, found.gids
        freed += leftovers.free_idle(control, found, deadline)
        if not pids and not gids:
            return freed
        done = leftovers.free_blocking(control, found, unread, deadline)
        if terminate_blockers and not done:
            done = [leak for pid in pids for leak in _terminate(control, pid)]
        freed += done
        if late:
            fact = "the reset waited %.1f s for a lock" % lock_timeout
            lines = describe.lines_about(control, pids, gids)
            lines += ["  " + str(leak) for leak in leaks if not leak.freed and leak.pid not in pids]
            raise _cannot_clear(database_name, test_name, fact, lines)
        if not done:
            unread = [
                each.pid
                for each in control.backends(pids)
                if each.state == "active" and each.waits_for == "Client"
            ]
            where.pause(max(0.0, min(pause, deadline - where.now())))
            pause = min(_LONGEST_PAUSE, pause * 2)
        late = where.now() >= deadline  # to free may have taken long, and is seen by a look


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
        lines = describe.slots(control) if full else _lines_about_everyone(control)
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


def _lines_about_everyone(control: ControlConnection) -> List[str]:
    found = control.in_the_way(exclusive=True)
    return describe.lines_about(control, found.pids, found.gids)


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
    if test is None or error is None or isinstance(error, BlockedDatabaseError):
        return None
    fairy = _compat.fairy_of(context.connection) if context.connection is not None else None
    dbapi = _compat.dbapi_connection(fairy) if fairy is not None else None
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
        found = (
            describe.slots(control)
            if full
            else _lines_about_others(control, _compat.backend_pid(dbapi), "advisory" in statement)
        )
    except Exception:  # no control connection, or it is gone: less can be said
        found = []
    return "\n".join(lines + found + [describe.advice(found, full), last])


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
    control: ControlConnection, own: Optional[int], advisory: bool
) -> List[str]:
    """Return the lines about who holds locks of tables, or else advisory ones.

    :param own: the pid of the test's own backend, whose statement failed.
    :param advisory: whether that was after an advisory lock.
    """
    found = control.in_the_way(exclusive=True)
    pids, gids = found.pids, found.gids
    if advisory or not {*pids, *gids} - {own}:
        pids, gids = control.advisory_holders(), []
    return describe.lines_about(control, [pid for pid in pids if pid != own], gids)
