"""Watches the connections and cursors of drivers, however they were opened.

Watched are psycopg2, psycopg (3) and, for an outer transaction, sqlite3; by functions of theirs
that take note and else do what they did. Drivers' helpers written in C accept nothing but real
connections and cursors, so what is handed out is of subclasses, never a wrapper. Whoever asks
psycopg2 for a class of connections of his own gets it, and nothing is known of those; connections
that were open before are not watched either. Of asyncpg is known that it is about to connect.

Who wants to know subscribes: where connections are made (checkouts.py), which transactions are
prepared (twophase.py), what runs in a transaction (the ledger of PostgreSQL). The outer transaction
observes the cursors that it opens itself, by :func:`open_cursor`.

A driver is a section of this file and a line in ``_DRIVERS``: a function that changes what the
driver makes its connections and cursors with. A new connection is passed to :func:`_opened`, its
cursors are of a :func:`watched_cursor` class and have its observer, and the name of a transaction
that was prepared is passed to :func:`_prepared`. Drivers for asyncio can keep the same contract:
nothing that an observer or a subscriber does waits.
"""

from __future__ import annotations

import functools
import os
import sys
from typing import Any, Callable, Dict, List, Optional, Sequence, Set

import sqlalchemy as sa

from .. import _compat
from . import statements

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_SQLALCHEMY = os.path.dirname(os.path.abspath(sa.__file__)) + os.sep


class Observer:
    """What sees the statements of one connection, or of one cursor. This one does nothing."""

    def before(self, cursor: Any, method: str, statement: Any, arguments: Sequence[Any]) -> bool:
        """See that a statement is about to run; return whether it is to be run at all.

        :param method: the cursor's method, as ``"execute"``.
        :param statement: what it was given, ``None`` where that is no statement.
        :param arguments: everything that it was given.
        """
        return True

    def ran(self, cursor: Any) -> None:
        """See that it did."""

    def failed(self, cursor: Any, error: BaseException) -> None:
        """See that it failed."""

    def over(self) -> None:
        """See that the connection's transaction was committed or rolled back."""

    def lost(self) -> None:
        """See that the connection's transaction ended in a way that nobody saw."""

    def unknown(self) -> None:
        """See that something happened in it of which nothing more is known."""

    def commit(self) -> None:
        """Commit, as ``executescript()`` of sqlite3 does before it runs a script."""


class Subscriber:
    """What hears of connections; each may want a part of it. This one does nothing."""

    def opened(self, dbapi: Any) -> Optional[Observer]:
        """Hear that a connection was made; return what is to observe it."""
        return None

    def prepared(self, gid: str) -> None:
        """Hear that a transaction of this name was prepared (2PC), which outlives its connection.

        https://www.postgresql.org/docs/current/sql-prepare-transaction.html
        """

    def starting(self, settings: Dict[str, str]) -> None:
        """Hear that a connection is about to be made, with these settings; add what is missing.

        By drivers alone that do not look for any in the environment.
        """

    def was_set(self, cursor: Any, statement: str) -> None:
        """Hear that a statement, which is none of ours, has changed settings of a session."""

    def failed(self, cursor: Any, error: BaseException) -> None:
        """Hear that a statement has failed with this error, one that SQLAlchemy does not know."""

    def subscribe(self) -> None:
        """Hear of every connection that is made from now on; harmless a second time."""
        if self not in _subscribers:
            _subscribers.append(self)
        watch()


_subscribers: List[Subscriber] = []
_watched: Set[str] = set()  # the drivers that were imported by now


def watch() -> None:
    """Watch the drivers that are imported by now; harmless, and next to nothing, a second time."""
    for name in _DRIVERS:
        if name in sys.modules and name not in _watched:
            _watched.add(name)
            _DRIVERS[name]()


def ignore(dbapi: Any) -> None:
    """Observe this connection no more: it is one of our own."""
    if hasattr(dbapi, "_dbtestcase_observer"):
        dbapi._dbtestcase_observer = None
        dbapi._dbtestcase_ignored = True


def _opened(dbapi: Any) -> None:
    """Tell of a new connection; the first observer that a subscriber returns is its observer."""
    found = [subscriber.opened(dbapi) for subscriber in _subscribers]
    dbapi._dbtestcase_observer = next((each for each in found if each is not None), None)


# What the server answers where more than a transaction may be left.
_PREPARED = ("PREPARE TRANSACTION", b"PREPARE TRANSACTION")  # to one that had failed: ROLLBACK
_SET = ("SET", b"SET", "RESET", b"RESET", "DISCARD ALL", b"DISCARD ALL")
_NOTED = frozenset(_PREPARED + _SET)


def _ran(cursor: Any, status: Any) -> None:
    sent = _compat.sent_text(cursor)
    if status in _PREPARED:
        _prepared(statements.prepared_by(sent))
    elif not _caller().startswith(_PACKAGE):
        for subscriber in _subscribers:
            subscriber.was_set(cursor, sent)


def _failed(cursor: Any, error: BaseException) -> None:
    if not _caller().startswith((_PACKAGE, _SQLALCHEMY)):
        for subscriber in _subscribers:
            subscriber.failed(cursor, error)


def _caller() -> str:
    """Return the file of the code that asked a driver to run something."""
    frame: Any = sys._getframe(2)
    while frame is not None:
        module = str(frame.f_globals.get("__name__"))
        if module != __name__ and module.split(".")[0] not in _DRIVERS:
            return str(frame.f_code.co_filename)
        frame = frame.f_back
    return ""


def _prepared(gid: Optional[str]) -> None:
    for subscriber in _subscribers if gid else ():
        subscriber.prepared(str(gid))


# --- psycopg2 ------------------------------------------------------------------------------------


def _watch_psycopg2() -> None:
    _compat.change_function("psycopg2", "", "_connect", _change_connect)


def _change_connect(connect: Callable[..., Any]) -> Callable[..., Any]:
    def connected(*arguments: Any, **options: Any) -> Any:
        if len(arguments) != 1 or set(options) != {"connection_factory"}:
            return connect(*arguments, **options)  # an asynchronous one, or a call of another shape
        if options["connection_factory"]:
            return connect(*arguments, **options)
        dbapi = connect(*arguments, connection_factory=_watched_connection())
        _opened(dbapi)
        return dbapi

    return connected


@functools.lru_cache(maxsize=None)
def _watched_connection() -> type:
    """Return the class of watched connections: psycopg2 is imported where it is used."""
    from psycopg2 import extensions

    return type("WatchedConnection", (_WatchedConnection, extensions.connection), {})


class _WatchedConnection:
    """What a watched connection of psycopg2 adds: it says how its transactions end."""

    cursor_factory: Any
    _dbtestcase_ignored = False
    _dbtestcase_observer: Optional[Observer] = None
    _dbtestcase_xid: Any = None

    def cursor(self, name: Any = None, cursor_factory: Any = None, **options: Any) -> Any:
        factory = cursor_factory or self.cursor_factory
        if not self._dbtestcase_ignored:
            factory = watched_cursor(_psycopg2_cursor() if factory is None else factory)
            if not hasattr(factory, "_dbtestcase_observer"):  # a function of the user's own
                self._lost()
                self._dbtestcase_observer = None
        cursor = super().cursor(name, cursor_factory=factory, **options)  # type: ignore[misc]
        if self._dbtestcase_observer is not None:
            cursor._dbtestcase_observer = self._dbtestcase_observer
        return cursor

    def commit(self) -> None:
        self._ended(super().commit)  # type: ignore[misc]

    def rollback(self) -> None:
        self._ended(super().rollback)  # type: ignore[misc]

    def close(self) -> None:
        self._lost()
        super().close()  # type: ignore[misc]

    def reset(self) -> None:
        self._lost()
        super().reset()  # type: ignore[misc]

    def set_isolation_level(self, level: Any) -> None:
        self._lost()
        super().set_isolation_level(level)  # type: ignore[misc]

    def lobject(self, *arguments: Any, **options: Any) -> Any:
        if self._dbtestcase_observer is not None:
            self._dbtestcase_observer.unknown()
        return super().lobject(*arguments, **options)  # type: ignore[misc]

    def tpc_begin(self, xid: Any) -> None:
        self._lost()
        self._dbtestcase_observer = None
        super().tpc_begin(xid)  # type: ignore[misc]
        self._dbtestcase_xid = xid

    def tpc_prepare(self) -> None:
        super().tpc_prepare()  # type: ignore[misc]
        _prepared(str(self._dbtestcase_xid))

    def _ended(self, end: Callable[[], None]) -> None:
        observer = self._dbtestcase_observer
        if observer is None:
            return end()
        try:
            end()
        except BaseException:
            observer.lost()
            raise
        observer.over()

    def _lost(self) -> None:
        if self._dbtestcase_observer is not None:
            self._dbtestcase_observer.lost()


@functools.lru_cache(maxsize=None)
def _psycopg2_cursor() -> type:
    from psycopg2 import extensions

    return extensions.cursor


# --- psycopg 3 -----------------------------------------------------------------------------------


def _watch_psycopg() -> None:
    _compat.change_function("psycopg", "Connection", "__init__", _change_init)
    _compat.change_function("psycopg", "Connection", "cursor", _change_cursor)
    _compat.change_function("psycopg", "Connection", "tpc_prepare", _change_tpc_prepare)


def _change_init(initialize: Callable[..., None]) -> Callable[..., None]:
    def made(dbapi: Any, *arguments: Any, **options: Any) -> None:
        initialize(dbapi, *arguments, **options)
        _opened(dbapi)

    return made


def _change_cursor(cursor: Callable[..., Any]) -> Callable[..., Any]:
    def opened(dbapi: Any, *arguments: Any, **options: Any) -> Any:
        if not getattr(dbapi, "_dbtestcase_ignored", False):
            if not hasattr(dbapi.cursor_factory, "_dbtestcase_observer"):
                dbapi.cursor_factory = watched_cursor(dbapi.cursor_factory)
            if not hasattr(dbapi.server_cursor_factory, "_dbtestcase_observer"):
                dbapi.server_cursor_factory = watched_cursor(dbapi.server_cursor_factory)
        made = cursor(dbapi, *arguments, **options)
        observer = getattr(dbapi, "_dbtestcase_observer", None)
        if observer is not None:
            made._dbtestcase_observer = observer
        return made

    return opened


def _change_tpc_prepare(prepare: Callable[[Any], None]) -> Callable[[Any], None]:
    def prepared(dbapi: Any) -> None:
        prepare(dbapi)
        _prepared(_compat.prepared_name(dbapi))

    return prepared


# --- asyncpg: what its connections start with, and nothing else ----------------------------------


def _watch_asyncpg() -> None:
    _compat.change_function("asyncpg.connect_utils", "", "_connect", _change_asyncpg)


def _change_asyncpg(connect: Callable[..., Any]) -> Callable[..., Any]:
    async def connected(*arguments: Any, **options: Any) -> Any:
        settings = dict(options.get("server_settings") or {})
        for subscriber in _subscribers:
            subscriber.starting(settings)
        if settings:
            options["server_settings"] = settings
        return await connect(*arguments, **options)

    return connected


#: By the name of a driver's module: what watches it, once it was imported.
_DRIVERS: Dict[str, Callable[[], None]] = {
    "psycopg2": _watch_psycopg2,
    "psycopg": _watch_psycopg,
    "asyncpg": _watch_asyncpg,
}


# --- cursors of every driver ---------------------------------------------------------------------

# Methods that run something; with what they are given where that is the statement itself.
_WITH_STATEMENT = ("execute", "executemany", "stream", "copy", "copy_expert")
_WITHOUT_STATEMENT = ("callproc", "copy_from", "copy_to")


def open_cursor(
    dbapi: Any, observer: Observer, arguments: Sequence[Any], options: Dict[str, Any]
) -> Any:
    """Open a cursor on a driver's connection with an observer of its own.

    :param arguments: positional arguments of the driver's own ``cursor()``.
    :param options: its keyword arguments.
    """
    cursor = _compat.open_cursor_of_class(dbapi, watched_cursor, arguments, options)
    try:
        cursor._dbtestcase_observer = observer
    except AttributeError:  # made by a function of the user's own: what it runs is not seen
        observer.before(cursor, "execute", None, ())
    return cursor


def watched_cursor(base: Any) -> Any:
    """Return a subclass of a cursor class that is observed; anything else comes back as it is."""
    if not isinstance(base, type) or hasattr(base, "_dbtestcase_observer"):
        return base
    return _watched_class(base)


@functools.lru_cache(maxsize=None)
def _watched_class(base: type) -> type:
    members: Any = {"_dbtestcase_observer": None, "__module__": base.__module__}
    for name in _WITH_STATEMENT + _WITHOUT_STATEMENT:
        if hasattr(base, name):
            members[name] = _observed(getattr(base, name), name in _WITH_STATEMENT)
    if hasattr(base, "executescript"):
        members["executescript"] = _executescript
    return type(base.__name__, (base,), members)


def _observed(method: Callable[..., Any], takes_statement: bool) -> Callable[..., Any]:
    name = method.__name__

    @functools.wraps(method)
    def run(cursor: Any, *arguments: Any, **options: Any) -> Any:
        observer = cursor._dbtestcase_observer
        if observer is None:
            try:
                result = method(cursor, *arguments, **options)
            except BaseException as error:
                _failed(cursor, error)
                raise
        else:
            statement = arguments[0] if takes_statement and arguments else None
            if not observer.before(cursor, name, statement, arguments):
                return cursor
            try:
                result = method(cursor, *arguments, **options)
            except BaseException as error:
                observer.failed(cursor, error)
                _failed(cursor, error)
                raise
            observer.ran(cursor)
        status = _compat.command_status(cursor)
        if status in _NOTED:
            _ran(cursor, status)
        return result

    return run


def _executescript(cursor: Any, script: str) -> Any:
    """Run a script statement by statement: the driver's own would commit for real first."""
    observer = cursor._dbtestcase_observer
    observer.commit()
    for statement in _compat.split_sqlite_script(script):
        cursor.execute(statement)
    observer.commit()
    return cursor
