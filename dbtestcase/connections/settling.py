"""Settles every connection of a running test: it has the test's name, and a bound on its waits.

Connections are settled when they are checked out. Nothing that a test did to a session is left for
the next one: a session that it changed is thrown away with its connection.
"""

from __future__ import annotations

import contextlib
from typing import Any, Collection, Dict, Iterable, List, Mapping, Optional
from weakref import WeakValueDictionary

import sqlalchemy as sa
from sqlalchemy.pool import Pool

from .. import _compat
from ..contracts import ControlConnection, SessionSettings
from . import bounds, checkouts, describe, drivers, statements, twophase

_INFO = "dbtestcase"  # the key in the info of a pool's record, which ends with its connection
_GUARD = "_do_get"  # the method of a pool that stands in its instance where it is guarded

# --- which test runs -----------------------------------------------------------------------------


class Scope:
    """What tests that follow each other have in common: engines, and a bound on their waits."""

    def __init__(
        self, engines: List[Any], lock_timeout: float, controls: Mapping[Any, ControlConnection]
    ) -> None:
        self.engines = engines
        self.lock_timeout = lock_timeout
        self.controls = dict(controls)
        self.locations = {each.location for each in self.controls.values()}
        self.milliseconds = max(1, int(lock_timeout * 1000))
        self._guarded: List[Any] = []

    def concerns(self, pool: Any, dbapi: Any) -> bool:
        """Tell whether a connection is one of the engines', or leads to one of their databases."""
        if any(engine.pool is pool for engine in self.engines):
            return True
        return bool(self.locations) and _compat.location(dbapi) in self.locations

    def settings_for(self, dbapi: Any) -> Optional[SessionSettings]:
        """Return the statements that settle a session; ``None`` without a server."""
        controls = list(self.controls.values())
        if len(controls) > 1:
            location = _compat.location(dbapi)
            controls = [each for each in controls if each.location == location] or controls
        # Asked anew each time: what functions may leave is known once the database is built.
        return controls[0].settings if controls else None

    def guard(self, pool: Any) -> None:
        """Have a pool that runs dry say so within the bound, and say who has its connections."""
        before = _compat.set_pool_timeout(pool, None)
        if before is None:
            return
        _compat.set_pool_timeout(pool, min(before, self.lock_timeout))
        ordinary, ordinarily_anew = pool._do_get, pool.recreate

        def get() -> Any:
            try:
                return ordinary()
            except sa.exc.TimeoutError as error:
                if _running is None:
                    raise
                named = describe.dry_pool(_running.name, pool, error)
            raise named

        def recreate() -> Any:
            anew = ordinarily_anew()
            _compat.set_pool_timeout(anew, before)
            return anew

        pool._do_get, pool.recreate = get, recreate
        self._guarded.append((pool, before))

    def release(self) -> None:
        """Let the pools wait as long as they did before."""
        for pool, seconds in self._guarded:
            del pool._do_get, pool.recreate
            _compat.set_pool_timeout(pool, seconds)
        del self._guarded[:]


class Running:
    """A test while it runs, or a class between its tests."""

    def __init__(self, scope: Scope, name: str) -> None:
        self.scope = scope
        self.name = name
        self.label = "dbtestcase %s" % name
        self.used: Dict[int, Any] = {}  # records of pools, by their ids
        self.called = False  # whether it may have called a function that took an advisory lock


_running: Optional[Running] = None


def running() -> Optional[Running]:
    """Return the test that runs now."""
    return _running


def begin_test(
    engines: Iterable[Any],
    name: str,
    lock_timeout: float,
    controls: Optional[Mapping[Any, ControlConnection]] = None,
) -> None:
    """Have the connections of a test carry its name and wait for locks no longer than it may.

    Holds for connections checked out from now until :func:`end_test`, of these engines and of
    others on the same databases, and costs each connection one round trip a test. What a class
    does between its tests is held to the same, under the name of the class. The bound holds on
    whatever is connected meanwhile, also past SQLAlchemy, elsewhere, and by child processes.

    :param engines: the engines of the test.
    :param name: its name, as ``OrderTest.test_total``.
    :param lock_timeout: seconds; a shorter one that a connection already has is kept.
    :param controls: the control connection on each engine's database, for telling who blocks.
    """
    global _running
    drivers.watch()  # one may have been imported since the test before
    if controls and bounds.resting.is_set():
        bounds.watch_answers(running)
    if controls:
        bounds.hear_signals()
    wanted, controls = list(engines), controls or {}
    scope, given = _end_running(), (wanted, lock_timeout, controls)
    if scope is None or (scope.engines, scope.lock_timeout, scope.controls) != given:
        if scope is not None:
            scope.release()
        scope = Scope(wanted, lock_timeout, controls)
    _running = Running(scope, name)
    bounds.bind_at_start(scope.milliseconds, scope.controls)
    for engine in wanted:
        if _GUARD not in vars(engine.pool):
            scope.guard(engine.pool)
    for checkout in checkouts.known():
        if _is_kept(checkout, scope):
            with contextlib.suppress(sa.exc.DisconnectionError):  # its owner will see
                _settle_record(checkout.record, checkout.dbapi, _running)


def end_test() -> None:
    """Let go of the settings, and of sessions in which the test left more than a transaction.

    Those that it did not change are set back when they are checked out the next time.
    """
    scope = _end_running()
    bounds.unbind_at_start()
    bounds.leave_signals()
    if scope is None:
        return
    scope.release()
    for checkout in checkouts.known():
        session = checkout.record.info.get(_INFO)
        if session is not None and session.before is not None and _is_kept(checkout, scope):
            with contextlib.suppress(sa.exc.DisconnectionError):
                _set_back(checkout.dbapi, session)


def _is_kept(checkout: checkouts.Checkout, scope: Scope) -> bool:
    """Tell whether a connection is out of its pool for longer than a test, and free to be settled.

    Nothing can be done about one that a thread of the application may be using at this moment.
    """
    dbapi, pool = checkout.dbapi, checkout.pool
    if pool is None or checkout.elsewhere or getattr(pool, "settled", False):
        return False
    if _compat.dbapi_connection(checkout.record) is not dbapi:
        return False  # detached: it is no pool's any more
    if not hasattr(dbapi, "info") or _compat.transaction_status(dbapi) != _compat.IDLE:
        return False
    return scope.concerns(pool, dbapi)


def _end_running() -> Optional[Scope]:
    """Throw away the sessions that the test changed; return the scope that it ran in."""
    global _running
    test, _running = _running, None
    if test is None:
        return None
    for record in list(test.used.values()):
        session, dbapi = record.info.get(_INFO), _compat.dbapi_connection(record)
        if session is None or dbapi is None or _compat.is_closed(dbapi):
            continue
        changed = session.spoiled_by is not None or record.info.get(checkouts.RAW)
        if not changed and session.reported is not None:
            changed = _compat.reported_settings(dbapi) != session.reported
        if changed:
            session.spoiled_by = session.spoiled_by or test
            if not checkouts.is_out(record):
                _throw_away(record)
    for control in test.scope.controls.values():
        if test.called or (test.used and control.settings.locks):
            with contextlib.suppress(Exception):  # it is lost: its successor looks before a drop
                throw_away(control.advisory_holders())
    return test.scope


# --- what is done to the sessions of its connections ---------------------------------------------


class _Session:
    """What a connection's session was set to, and whether a test did something lasting to it."""

    __slots__ = (
        "name",
        "before",
        "milliseconds",
        "reported",
        "spoiled_by",
        "settings",
        "left",
        "made_under",
        "started",
    )

    def __init__(self) -> None:
        self.made_under = bounds.bound()  # milliseconds; 0 for no bound, or not known
        self.started = 0  # milliseconds of the bound with which the session started
        self.name: Optional[str] = None
        self.before: Any = None
        self.milliseconds = 0
        self.reported: Any = None
        self.spoiled_by: Any = None
        self.settings: Optional[SessionSettings] = None  # by which it was set
        self.left: Any = None  # the first question that it was asked, and the answer


# The records of the pools whose connections were ever settled, by their ids.
_settled: "WeakValueDictionary[int, Any]" = WeakValueDictionary()
# What a process that forked had in use, which is not to be let go of.
_inherited: List[Any] = []


def watch() -> None:
    """Settle connections when they are checked out while a test runs, from now on."""
    sa.event.listen(Pool, "connect", _made)
    sa.event.listen(Pool, "checkout", _checked_out)
    _compat.have_pools_wait_in_real_time()
    _compat.listen_to_statements(_executing)


def throw_away(pids: Collection[int]) -> None:
    """Close idle pooled connections, by their backends: tests left something in their sessions."""
    for record in list(_settled.values()):
        dbapi = _compat.dbapi_connection(record)
        if dbapi is None or _compat.backend_pid(dbapi) not in pids or checkouts.is_out(record):
            continue
        if _compat.transaction_status(dbapi) == _compat.IDLE:
            _throw_away(record)


def leave_to_parent() -> None:
    """Leave the connections that the running test uses, in a forked process, to the parent."""
    if _running is not None:
        _inherited.append((dict(_running.used), dict(_running.scope.controls)))
        _running.used.clear()
        _running.scope.controls.clear()
    _settled.clear()


def _throw_away(record: Any) -> None:
    """Close an idle pooled connection; the pool makes a new one, with all its listeners, for it.

    A server notices the end of a connection later; what it holds is given up before.
    """
    dbapi = _compat.dbapi_connection(record)
    if _compat.is_async(dbapi):  # its event loop alone could run the statement, and is not running
        _compat.shut(dbapi)
        _compat.take_out_of_record(record)
        return
    if _compat.transaction_status(dbapi) == _compat.IDLE:
        with contextlib.suppress(Exception):
            _run(dbapi, record.info[_INFO].settings.discard)
    record.invalidate()


def _made(dbapi: Any, record: Any) -> None:
    """Know with which bound a pooled connection was made: it keeps that until it is closed."""
    _compat.repair_start(record)
    milliseconds = bounds.bound()
    if milliseconds:
        session = record.info[_INFO] = _Session()
        if bounds.started_bounded(dbapi) or _compat.is_asyncpg(dbapi):
            session.started = milliseconds


def _checked_out(dbapi: Any, record: Any, fairy: Any) -> None:
    """Know of a check-out, and settle its connection the first time that a test uses it.

    It is known first: settling it takes a statement, whose answer is waited for within bounds.
    """
    checkouts.add(dbapi, record, fairy)
    pool = fairy._pool
    if getattr(pool, "settled", False):  # in an outer transaction
        return
    if drivers.is_ended(dbapi):  # in the very moment in which its thread gave it back
        raise sa.exc.DisconnectionError("this connection was ended")
    session, test = record.info.get(_INFO), _running
    if test is not None and _compat.is_of_closed_loop(dbapi):
        _compat.shut(dbapi)
        _compat.take_out_of_record(record)
        raise sa.exc.DisconnectionError("the event loop of an earlier test made this connection")
    if session is not None and session.spoiled_by not in (None, test):
        raise sa.exc.DisconnectionError("an earlier test changed this session")
    if session is not None and session.started and session.started != bounds.bound():
        raise sa.exc.DisconnectionError("it was made with the bound of a class that is over")
    if test is None:
        if session is not None and session.before is not None:
            _set_back(dbapi, session)
        return
    known = id(record) in test.used  # else even a test of the same name is another one
    if session is not None and session.name == test.label and known:
        return
    if not _compat.says_where(dbapi):
        return  # a driver whose connections do not say where they lead
    scope = test.scope
    if not scope.concerns(pool, dbapi):
        if bounds.bound() and (session is None or session.made_under != bounds.bound()):
            if _compat.location(dbapi) is not None:
                raise sa.exc.DisconnectionError("it was made without the bound of this class")
        return  # to a database that is none of the tests'
    if _GUARD not in vars(pool):
        scope.guard(pool)
    if not _settle_record(record, dbapi, test):
        _run(dbapi, record.info[_INFO].settings.discard)  # a server notices the end of it later
        raise sa.exc.DisconnectionError("a function of the database changed this session")


def _settle_record(record: Any, dbapi: Any, test: Running) -> bool:
    """Settle a connection of a pool for a test; tell whether its session is as it was when new."""
    session = record.info.setdefault(_INFO, _Session())
    test.used[id(record)] = _settled[id(record)] = record
    return _compat.transaction_status(dbapi) != _compat.IDLE or _settle(dbapi, session, test)


def _settle(dbapi: Any, session: _Session, test: Running) -> bool:
    """Give a session the name of a test and the bound on its waits.

    :return: whether functions left nothing in it since that was asked for the first time.
    """
    if session.before is not None and session.milliseconds != test.scope.milliseconds:
        _set_back(dbapi, session)
    settings = session.settings = test.scope.settings_for(dbapi)
    if settings is None:
        return True
    if session.before is None:
        row = _run(dbapi, settings.settle(test.label, test.scope.milliseconds))
        session.before, answer = row[:3], row[6:]
        session.milliseconds = test.scope.milliseconds
    else:
        answer = _run(dbapi, settings.rename(test.label))
    session.name = test.label
    left = (settings.question, answer)
    session.left = session.left or left
    if session.reported is None:  # else it is what it was at the end of the test before
        session.reported = _compat.reported_settings(dbapi)
    return bool(session.left == left)


def _set_back(dbapi: Any, session: _Session) -> None:
    if session.settings and _compat.transaction_status(dbapi) == _compat.IDLE:
        _run(dbapi, session.settings.restore(session.before))
        session.name = session.before = session.reported = None


def _run(dbapi: Any, sql: str) -> Any:
    """Run statements in a transaction of their own, on a connection that is at rest.

    :return: the row of the last one.
    :raises sqlalchemy.exc.DisconnectionError: if the connection turns out to be dead; the pool
        then makes another one in its place.
    """
    try:
        before = _compat.set_autocommit(dbapi)
        cursor = _compat.plain_cursor(dbapi)
        rows = _compat.run_script(cursor, sql)
        cursor.close()
        _compat.set_autocommit(dbapi, before)
    except Exception as error:
        if _compat.is_closed(dbapi):
            raise sa.exc.DisconnectionError(str(error)) from error
        raise
    return tuple(rows[0]) if rows else ()


def _executing(context: Any, statement: str) -> None:
    """Take note of a statement after which more than a transaction may be left."""
    if not isinstance(statement, str):
        return  # composed by a means of the driver's
    effect = statements.read_text(statement)
    if effect.leaves_nothing or context.dialect.name != "postgresql":
        return
    conn = context.root_connection
    if effect.prepares:
        twophase.know_once_done(conn, statement, effect.prepares)
    elif effect.lasts:
        conn.info.setdefault(_INFO, _Session()).spoiled_by = _running
    elif _running is not None:
        _running.called = True
