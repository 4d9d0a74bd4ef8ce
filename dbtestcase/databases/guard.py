"""Keeps tests from other databases than those that were checked, on every connection they open.

A new connection of a checked engine that leads elsewhere is refused before anything runs on it.
Any other connection of the process to a database that is not for tests may read while a test runs,
and write when it is over: its session is made read-only.

A driver's connection leads to the database that it names, at the address of its socket: libpq
reaches that one or none. Only a pooler can give a database another name, and gives it to whoever
connects. So the server is asked once for each address and name, and what it said is remembered.
"""

from __future__ import annotations

import contextlib
import os
import sys
import weakref
from typing import Any, Dict, Iterator, List, Optional, Tuple, Type

import sqlalchemy as sa
from sqlalchemy.pool import Pool

from .. import _compat, dialects, where
from ..connections import (
    Observer,
    Subscriber,
    database_made_or_dropped,
    gets_past_read_only,
    is_plain_write,
    is_temporary_table,
    observe,
    observers,
    running,
    stop_observing,
)
from ..contracts import Dialect, Identity
from ..errors import UnsafeDatabaseError, first_line
from .verdicts import ELSEWHERE, NOT_TO_BE_WRITTEN, is_test_name, may_be_written, refusal

_INFO = "dbtestcase.guard"  # the key in the info of a pool's record
_SQLALCHEMY = os.path.dirname(os.path.abspath(sa.__file__)) + os.sep


class _Run:
    """What the tests that run now were checked against."""

    def __init__(self, databases: List[Any], engines: List[Any], allowed: Tuple[str, ...]) -> None:
        self.given = (databases, engines, allowed)
        self.engines = [(engine, each) for each in databases for engine in each.engines]
        self.places = {
            _compat.peer(each.dialect.control.dbapi): each
            for each in databases
            if each.dialect.control is not None
        }

    def database_of(self, pool: Any) -> Any:
        """Return the checked database of the engine that has a pool."""
        for engine, database in self.engines:
            if pool in (engine.pool, getattr(engine.pool, "former", None)):
                return database
        return None


_run: Optional[_Run] = None
_allowed: Tuple[str, ...] = ()
_places: Dict[Any, Identity] = {}  # where connections led that were asked
_building: Optional[str] = None  # on whose behalf tables are created and rows are loaded
_asking = False  # a check asks its engines where they lead
_watching = False
_unseen: List[Tuple[Any, Any]] = []  # weakly, connections of psycopg2 from before the watch


def begin_check(allowed: Tuple[str, ...]) -> None:
    """Know of connections from now on, and which names are allowed.

    :param allowed: exact names that are allowed although they have no word ``test``.
    """
    global _allowed, _watching
    _allowed = allowed
    if not _watching:
        _watching = True
        _Opened().subscribe()
        for dbapi in _compat.driver_connections():
            _know_of_earlier(dbapi)
        sa.event.listen(Pool, "connect", _connected, insert=True)
        sa.event.listen(Pool, "checkout", _checked_out, insert=True)
        sa.event.listen(sa.engine.Engine, "handle_error", _explain, retval=True)


def checked(databases: List[Any]) -> None:
    """Hold connections from now on to what was checked."""
    global _run
    given = (databases, [engine for each in databases for engine in each.engines], _allowed)
    if _run is None or _run.given != given:
        _run = _Run(*given)
    if _unseen:
        apply_to_unseen()


def apply_to_unseen() -> None:
    """Make connections whose statements nobody sees what they are to be now: a test is over."""
    for reference, guard in list(_unseen):
        dbapi = reference()
        if dbapi is None or dbapi.closed:
            _unseen.remove((reference, guard))
        else:
            with contextlib.suppress(Exception):  # it is lost
                guard.apply(dbapi)


@contextlib.contextmanager
def asking() -> Iterator[None]:
    """Let a check find out where engines lead."""
    global _asking
    before, _asking = _asking, True
    try:
        yield
    finally:
        _asking = before


@contextlib.contextmanager
def building(owner: str) -> Iterator[None]:
    """Take a block as a part of the tests: it creates their tables or loads their rows."""
    global _building
    before, _building = _building, owner
    try:
        yield
    finally:
        _building = before


def _writer() -> Optional[str]:
    """Return the test that runs now, or the class whose tables and rows are being made."""
    name = where.current_test() or _building
    return name if name and running() is not None else None


# --- connections of checked engines --------------------------------------------------------------


def require_same(engine: Any, dbapi: Any) -> None:
    """Refuse a connection of a checked engine that leads elsewhere; nothing ran on it yet.

    :raises UnsafeDatabaseError: which names both databases.
    """
    database = _run.database_of(engine.pool) if _run is not None else None
    if database is not None:
        with _closed_on_error(dbapi):
            _require_same(database, dbapi)


@contextlib.contextmanager
def _closed_on_error(dbapi: Any) -> Iterator[None]:
    try:
        yield
    except UnsafeDatabaseError:
        with contextlib.suppress(Exception):
            dbapi.close()
        raise


def _require_same(database: Any, dbapi: Any) -> None:
    assert _run is not None
    kind, wanted = type(database.dialect), database.dialect.identity
    if kind.maintenance and _run.places.get(_compat.peer(dbapi)) is database:
        return  # to where the connection leads that clears
    found = kind.identify_connection(dbapi, database.engines[0])
    if found.key == wanted.key:
        return
    if not database.dialect.alive and (found.name, found.place) == (wanted.name, wanted.place):
        return  # its server was started anew
    owner = _writer() or getattr(running(), "name", None) or "dbtestcase"
    line = where.user_line()
    at = ": at %s in %s" % (line, line.function) if line else ""
    raise UnsafeDatabaseError(ELSEWHERE.format(owner, found.label, wanted.label, at))


def _identity_of(dbapi: Any, kind_name: Optional[str], owner: Any) -> Optional[Identity]:
    """Return where a driver's connection leads, ``None`` where nobody can tell."""
    kind = dialects.named(kind_name)
    if kind is None:
        return None
    place = _compat.peer(dbapi) if kind.maintenance else None
    known = _places.get(place)
    if known is None:
        try:
            known = kind.identify_connection(dbapi, owner)
        except Exception:  # no server of ours, such as a pooler's own console
            return None
        if place is not None:
            _places[place] = known
    return known


# --- other connections ---------------------------------------------------------------------------


class _Guard(Observer):
    """Keeps one connection to a database that is not for tests from writing while a test runs."""

    insists = True

    def __init__(self, kind: Type[Dialect], identity: Identity) -> None:
        self.kind = kind
        self.identity = identity
        self._held = False  # it was made read-only here
        self._secured: Optional[str] = None  # the test for which its transaction is read-only
        self._lent = False  # it may write for one statement

    def writer(self) -> Optional[str]:
        """Return the test that may not write here; ``None`` where whoever runs may."""
        test = _writer()
        return test if test and refusal(self.identity, _allowed) else None

    def apply(self, dbapi: Any) -> Optional[str]:
        """Make the session what it is to be now; return the test that may not write in it."""
        test, status = self.writer(), _compat.transaction_status(dbapi)
        if test is None:
            if self._held and status == _compat.IDLE:
                self._held = False
                self.kind.set_read_only(dbapi, False)
            self._secured = None
        elif status == _compat.IDLE:
            self._held = self.kind.set_read_only(dbapi, True) or self._held
            self._secured = test
        elif status == _compat.IN_TRANSACTION and self._secured != test:
            self._secured = test
            self.kind.stop_writing(dbapi)
        return test

    def error(self, dbapi: Any, error: BaseException) -> Exception:
        """Return the error of a refused write, which is of the driver's class as well."""
        made = _compat.in_place_of(error, UnsafeDatabaseError, self.text(first_line(error)))
        if _compat.sqlstate(made) is None:
            type(made).pgcode = _compat.sqlstate(error) or "25006"
        return made  # type: ignore[no-any-return]

    def text(self, said: str) -> str:
        """Return the words of the error for a refused write."""
        test, line = self.writer() or "a test", where.user_line()
        at = "At %s in %s" % (line, line.function) if line else "By no line of the suite's own"
        reason, owner = refusal(self.identity, _allowed), test.split(".")[0]
        return NOT_TO_BE_WRITTEN.format(
            test=test, label=self.identity.label, at=at, said=said, reason=reason
        ) + may_be_written(self.identity, owner)

    # --- what its cursors report ---

    def before(self, cursor: Any, method: str, statement: Any, arguments: Any) -> bool:
        """Make the session what it is to be, and refuse what would get past that."""
        dbapi = cursor.connection
        if self.apply(dbapi) is None:
            return True
        text = _text_of(cursor, statement)
        late = method in ("copy", "stream") or _compat.is_in_pipeline(dbapi)
        if gets_past_read_only(text) or (late and is_plain_write(text)):
            self._refuse(dbapi, "this statement is refused: %s" % " ".join(text.split())[:60])
        made = database_made_or_dropped(text)
        if is_temporary_table(text) or (made and (is_test_name(made) or made in _allowed)):
            if _compat.transaction_status(dbapi) == _compat.IDLE and self._held:
                self._lent = True
                self.kind.set_read_only(dbapi, False)
        return True

    def ran(self, cursor: Any) -> None:
        """Take back what was lent for one statement."""
        if self._lent:
            self._lent, self._secured = False, None
            self.apply(cursor.connection)

    def failed(self, cursor: Any, error: BaseException) -> None:
        """Say why a write was refused; SQLAlchemy is told so later, with its own error."""
        self.ran(cursor)
        if not self.kind.is_refused_write(error) or self.writer() is None:
            return
        if not sys._getframe(2).f_code.co_filename.startswith(_SQLALCHEMY):
            raise self.error(cursor.connection, error) from None

    def unknown(self) -> None:
        """Refuse large objects, which older servers let a read-only transaction write."""
        if self.writer() is not None:
            self._refuse(None, "large objects of psycopg2 are refused")

    def _refuse(self, dbapi: Any, said: str) -> None:
        raise self.error(dbapi, _compat.read_only_error(dbapi, said)) from None


def _text_of(cursor: Any, statement: Any) -> str:
    """Return a statement as text, whatever a driver's cursor was given."""
    if isinstance(statement, str):
        return statement
    try:
        return bytes(statement).decode("utf-8", "replace")
    except Exception:
        try:
            return str(statement.as_string(cursor.connection))
        except Exception:  # no statement, or none that can be put together
            return ""


def _guarded(dbapi: Any, kind_name: Optional[str], owner: Any) -> Optional[_Guard]:
    """Return what guards a connection, already in force; ``None`` where it leads to tests.

    What is allowed in one class need not be in the next: that is asked at each use.
    """
    identity = _identity_of(dbapi, kind_name, owner)
    kind = dialects.named(kind_name)
    if identity is None or kind is None or refusal(identity, ()) is None:
        return None
    guard = _Guard(kind, identity)
    with contextlib.suppress(Exception):  # a console of a pooler knows no such settings
        guard.apply(dbapi)
    return guard


class _Opened(Subscriber):
    """Hears of connections to PostgreSQL, whoever makes them."""

    def opened(self, dbapi: Any) -> Optional[Observer]:
        """Guard a connection that leads to a database that is not for tests."""
        return _guarded(dbapi, "postgresql", None)


def _know_of_earlier(dbapi: Any) -> None:
    """Guard a connection that was open before any was watched; a pool's at its check-out, too."""
    if _compat.transaction_status(dbapi) != _compat.IDLE:
        identity = _named(dbapi)
    else:
        identity = _identity_of(dbapi, "postgresql", None)
    kind = dialects.named("postgresql")
    if identity is None or kind is None or is_test_name(identity.name):
        return
    guard = _Guard(kind, identity)
    observe(dbapi, guard)
    if guard not in observers(dbapi):
        _unseen.append((weakref.ref(dbapi), guard))


def _named(dbapi: Any) -> Optional[Identity]:
    """Return where a connection leads by what its driver says, as it cannot be asked now."""
    place = _compat.location(dbapi)
    if place is None:
        return None
    host, port, name = place
    return Identity(("postgresql",) + place, name, "%s:%s" % (host, port), "PostgreSQL")


# --- what pools and engines report ---------------------------------------------------------------


def _connected(dbapi: Any, record: Any) -> None:
    if _run is not None and not _asking:
        with _closed_on_error(dbapi):
            _judge(dbapi, record, _compat.pool_of_record(record))


def _checked_out(dbapi: Any, record: Any, fairy: Any) -> None:
    known = record.info.get(_INFO)
    if known is _run:
        return
    if not _asking and not getattr(fairy._pool, "settled", False):
        _judge(dbapi, record, fairy._pool)
    guard = record.info.get(_INFO)
    if isinstance(guard, _Guard):
        guard.apply(dbapi)


def _judge(dbapi: Any, record: Any, pool: Any) -> None:
    """Refuse a checked engine's connection that leads elsewhere, and guard others that need it."""
    assert _run is not None
    database = _run.database_of(pool)
    if database is not None:
        if running() is not None:
            _require_same(database, dbapi)
            record.info[_INFO] = _run
            guard = _guard_on(dbapi)
            if guard is not None:  # as only allowed_databases says that it is for tests
                stop_observing(dbapi, guard)
        return
    if isinstance(record.info.get(_INFO), _Guard):
        return
    guard = _guard_on(dbapi)
    if guard is None:
        guard = _guarded(dbapi, _compat.dialect_name(pool), pool)
        if guard is not None and _compat.dialect_name(pool) == "postgresql":
            observe(dbapi, guard)
    record.info[_INFO] = guard if guard is not None else _run


def _guard_on(dbapi: Any) -> Optional[_Guard]:
    return next((each for each in observers(dbapi) if isinstance(each, _Guard)), None)


def _explain(context: Any) -> Optional[BaseException]:
    """Say of a statement that SQLAlchemy ran why it was refused.

    The error remains what the caller may expect, and is an :class:`UnsafeDatabaseError` too.
    """
    error, original = context.sqlalchemy_exception, context.original_exception
    if error is None or isinstance(error, UnsafeDatabaseError):
        return None
    if isinstance(original, UnsafeDatabaseError):
        text = str(original)
    else:
        guard = _guard_of(context)
        if guard is None or not guard.kind.is_refused_write(original) or guard.writer() is None:
            return None
        text = guard.text(first_line(original))
    named: BaseException = _compat.in_place_of(error, UnsafeDatabaseError, text)
    return named


def _guard_of(context: Any) -> Optional[_Guard]:
    with contextlib.suppress(Exception):  # the connection is closed
        fairy = _compat.fairy_of(context.connection)
        known = fairy.info.get(_INFO)
        return known if isinstance(known, _Guard) else _guard_on(_compat.dbapi_connection(fairy))
    return None
