"""What holds on every connection of a running test: its name, a bound on its waits, and that
nothing which the test did to a session is left for the next one."""

from __future__ import annotations

import contextlib
from typing import Any, Collection, Iterable, List, Mapping, Optional
from weakref import WeakValueDictionary

import sqlalchemy as sa
from sqlalchemy.pool import Pool

from . import _checkouts, _compat, _twophase
from ._running import Running, Scope, running, set_running
from .dialects.postgresql import locks, settings

_INFO = "dbtestcase"  # the key in the info of a pool's record, which ends with its connection


class _Session:
    """What a connection's session was set to, and whether a test did something lasting to it."""

    __slots__ = ("name", "before", "milliseconds", "reported", "spoiled_by")

    def __init__(self) -> None:
        self.name: Optional[str] = None
        self.before: Any = None
        self.milliseconds = 0
        self.reported: Any = None
        self.spoiled_by: Any = None


_watching = False
# The records of the pools whose connections were ever settled, by their ids.
_settled: "WeakValueDictionary[int, Any]" = WeakValueDictionary()
# What a process that forked had in use, which is not to be let go of.
_inherited: List[Any] = []


def watch() -> None:
    """Settle connections when they are checked out while a test runs, from now on."""
    global _watching
    _twophase.watch()
    if not _watching:
        _watching = True
        sa.event.listen(Pool, "checkout", _checked_out)
        _compat.listen_to_statements(_executing)


def begin(
    engines: Iterable[Any], name: str, lock_timeout: float, controls: Mapping[Any, Any]
) -> None:
    """Have connections settled for a test (or for a class, between its tests) from now on."""
    scope, wanted = _finished(), list(engines)
    if scope is None or not scope.is_for(wanted, lock_timeout, controls):
        if scope is not None:
            scope.release()
        scope = Scope(wanted, lock_timeout, controls)
    set_running(Running(scope, name))
    for engine in wanted:
        scope.guard(engine.pool)


def end() -> None:
    """Throw away the sessions that the test changed; set the others back at their next checkout."""
    scope = _finished()
    if scope is not None:
        scope.release()


def _finished() -> Optional[Scope]:
    """Throw away the sessions that the test changed; return the scope that it ran in."""
    test = running()
    set_running(None)
    if test is None:
        return None
    for record in list(test.used.values()):
        session = record.info.get(_INFO)
        if session is not None and _is_spoiled(record, session):
            session.spoiled_by = session.spoiled_by or test
            if not _checkouts.is_out(record):
                _throw_away(record)
    if test.called:
        for control in test.scope.controls.values():
            with contextlib.suppress(Exception):  # it is lost: its successor looks before a drop
                throw_away(locks.advisory_holders(control))
    return test.scope


def throw_away(pids: Collection[int]) -> None:
    """Close idle pooled connections, by their backends: tests left something in their sessions."""
    for record in list(_settled.values()):
        dbapi = _compat.recorded_connection(record)
        if dbapi is None or _compat.backend_pid(dbapi) not in pids or _checkouts.is_out(record):
            continue
        if _compat.transaction_status(dbapi) == _compat.IDLE:
            _throw_away(record)


def leave_to_parent() -> None:
    """Leave the connections that the running test uses, in a forked process, to the parent."""
    test = running()
    if test is not None:
        _inherited.append((dict(test.used), dict(test.scope.controls)))
        test.used.clear()
        test.scope.controls.clear()
    _twophase.leave_to_parent()
    _settled.clear()


def _throw_away(record: Any) -> None:
    """Close an idle pooled connection; the pool makes a new one, with all its listeners, for it.

    A server notices the end of a connection later; what it holds is given up before.
    """
    dbapi = _compat.dbapi_connection(record)
    if _compat.transaction_status(dbapi) == _compat.IDLE:
        with contextlib.suppress(Exception):
            _run(dbapi, settings.DISCARD)
    record.invalidate()


def _is_spoiled(record: Any, session: _Session) -> bool:
    dbapi = _compat.dbapi_connection(record)
    if dbapi is None or dbapi.closed:
        return False
    if session.spoiled_by is not None or record.info.get(_checkouts.RAW):
        return True
    return session.reported is not None and _compat.reported_settings(dbapi) != session.reported


def _checked_out(dbapi: Any, record: Any, fairy: Any) -> None:
    if getattr(fairy._pool, "settled", False):  # in an outer transaction
        return
    session, test = record.info.get(_INFO), running()
    if session is not None and session.spoiled_by not in (None, test):
        raise sa.exc.DisconnectionError("an earlier test changed this session")
    if test is None:
        if session is not None and session.before is not None:
            _set_back(dbapi, session)
    elif session is None or session.name != test.label or id(record) not in test.used:
        if hasattr(dbapi, "info") and test.scope.concerns(fairy._pool, dbapi):
            test.scope.guard(fairy._pool)
            _settle(dbapi, record, test)


def _settle(dbapi: Any, record: Any, test: Running) -> None:
    session = record.info.setdefault(_INFO, _Session())
    test.used[id(record)] = _settled[id(record)] = record
    if session.name == test.label or _compat.transaction_status(dbapi) != _compat.IDLE:
        return
    if session.before is not None and session.milliseconds != test.scope.milliseconds:
        _set_back(dbapi, session)
    if session.before is None:
        session.before = _run(dbapi, settings.settle(test.label, test.scope.milliseconds))[:3]
        session.milliseconds = test.scope.milliseconds
    else:
        _run(dbapi, settings.rename(test.label))
    session.name = test.label
    if session.reported is None:  # else it is what it was at the end of the test before
        session.reported = _compat.reported_settings(dbapi)


def _set_back(dbapi: Any, session: _Session) -> None:
    if _compat.transaction_status(dbapi) == _compat.IDLE:
        _run(dbapi, settings.restore(session.before))
        session.name = session.before = session.reported = None


def _run(dbapi: Any, sql: str) -> Any:
    """Run a statement in a transaction of its own, on a connection just checked out.

    :raises sqlalchemy.exc.DisconnectionError: if the connection turns out to be dead; the pool
        then makes another one in its place.
    """
    try:
        before = _compat.set_autocommit(dbapi)
        cursor = _compat.plain_cursor(dbapi)
        cursor.execute(sql)
        row = cursor.fetchone() if cursor.description else None
        cursor.close()
        _compat.set_autocommit(dbapi, before)
    except Exception as error:
        if dbapi.closed:
            raise sa.exc.DisconnectionError(str(error)) from error
        raise
    return tuple(row or ())


def _executing(context: Any, statement: str) -> None:
    effect = settings.effect_of(statement)
    if effect is None or context.dialect.name != "postgresql":
        return
    conn, test = context.root_connection, running()
    if effect.prepares:
        _twophase.know_once_done(conn, statement, effect.prepares)
    elif effect.lasts:
        conn.info.setdefault(_INFO, _Session()).spoiled_by = test
    elif test is not None:
        test.called = True
