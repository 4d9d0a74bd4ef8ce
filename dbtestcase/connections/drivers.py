"""Watches the connections and cursors of drivers, however they were opened.

Watched are psycopg2, psycopg (3) and, for an outer transaction, sqlite3; by functions of theirs
that take note and else do what they did. Drivers' helpers written in C accept nothing but real
connections and cursors, so what is handed out is of subclasses, never a wrapper. Whoever asks
psycopg2 for a class of connections of his own gets it. Of those, of asyncpg's and of psycopg's for
asyncio it is only known where they are made, unless an observer insists, and of asyncpg's with what
they are about to start; connections that were open before are not watched either.

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

import contextlib
import functools
import importlib
import sys
from typing import Any, Callable, Dict, List, Optional, Set

from .. import _compat
from . import leading
from .cursors import watched_cursor
from .observers import Observer, Several, subscribers, tell_prepared


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
        if not subscribers:
            _compat.call_after_import(_DRIVERS, watch)  # a test may be the first that imports one
        if self not in subscribers:
            subscribers.append(self)
        watch()


_watched: Set[str] = set()  # the drivers that were imported by now


def watch() -> None:
    """Watch the drivers that are imported by now; harmless, and next to nothing, a second time."""
    for name in _DRIVERS:
        if name in sys.modules and name not in _watched:
            _watched.add(name)
            _DRIVERS[name]()


def watch_installed() -> None:
    """Watch also the drivers that are not imported yet: a test may be the first to import one."""
    for name in _DRIVERS:
        with contextlib.suppress(Exception):  # it is not there, or cannot be used
            importlib.import_module(name)
    watch()


def ignore(dbapi: Any) -> None:
    """Observe this connection no more: it is one of our own."""
    if hasattr(dbapi, "_dbtestcase_observer"):
        dbapi._dbtestcase_observer = None
        dbapi._dbtestcase_ignored = True


def end(dbapi: Any, text: str) -> None:
    """End a connection that a thread or an event loop uses; all it gets from now on is an error.

    :param text: of the error, which is of the driver's class.
    """

    def refuse(*arguments: Any, **options: Any) -> None:
        raise dbapi.OperationalError(text)

    with contextlib.suppress(AttributeError):  # asyncpg's takes none: its own error has to do
        dbapi._dbtestcase_ended = text
        dbapi.cursor = dbapi.execute = dbapi.commit = refuse
    _compat.shut(dbapi)


def is_ended(dbapi: Any) -> bool:
    """Tell whether a connection was ended by :func:`end`."""
    return hasattr(dbapi, "_dbtestcase_ended")


def _opened(dbapi: Any) -> None:
    """Tell of a new connection; it is observed by all that subscribers return."""
    found = [subscriber.opened(dbapi) for subscriber in subscribers]
    observers = [each for each in found if each is not None]
    dbapi._dbtestcase_observer = observers[0] if observers else None
    if len(observers) > 1:
        dbapi._dbtestcase_observer = Several(observers)


def _made(dbapi: Any) -> None:
    """Tell of a new connection whose statements are not watched, unless a subscriber wants that."""
    for subscriber in subscribers:
        observer = subscriber.opened(dbapi)
        if observer is not None and observer.insists:
            observe(dbapi, observer)


def observers(dbapi: Any) -> List[Observer]:
    """Return what observes a connection."""
    observer = getattr(dbapi, "_dbtestcase_observer", None)
    if isinstance(observer, Several):
        return observer.observers
    return [] if observer is None else [observer]


def stop_observing(dbapi: Any, observer: Observer) -> None:
    """Have an observer see nothing more of a connection."""
    others = [each for each in observers(dbapi) if each is not observer]
    dbapi._dbtestcase_observer = others[0] if others else None


def observe(dbapi: Any, observer: Observer) -> None:
    """Have an observer see the statements of a connection that is open already, if that can be."""
    if _compat.keeps_what_it_sent(dbapi) and not hasattr(dbapi, "_dbtestcase_observer"):
        with contextlib.suppress(TypeError):  # the driver's own class, as before the watch
            kind: Any = type(dbapi)
            dbapi.__class__ = _watched_subclass(kind)
    with contextlib.suppress(AttributeError):  # the driver's own class takes no attributes
        dbapi._dbtestcase_observer = observer


# --- psycopg2 ------------------------------------------------------------------------------------


def _watch_psycopg2() -> None:
    _compat.change_function("psycopg2", "", "_connect", _change_connect)


def _change_connect(connect: Callable[..., Any]) -> Callable[..., Any]:
    def connected(*arguments: Any, **options: Any) -> Any:
        if leading.leads and arguments:
            arguments = (leading.led("psycopg2", arguments[0]),) + arguments[1:]
        if len(arguments) != 1 or set(options) != {"connection_factory"}:
            return connect(*arguments, **options)  # an asynchronous one, or a call of another shape
        if options["connection_factory"]:
            dbapi = connect(*arguments, **options)
            _made(dbapi)
            return dbapi
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
        tell_prepared(str(self._dbtestcase_xid))

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
def _watched_subclass(kind: Any) -> type:
    """Return a subclass of a user's class of psycopg2 connections, whose cursors are observed."""

    def cursor(self: Any, *arguments: Any, **options: Any) -> Any:
        made = kind.cursor(self, *arguments, **options)
        if type(made) is _psycopg2_cursor():  # no class of Python's, so it cannot be changed
            options["cursor_factory"] = watched_cursor(type(made))
            made = kind.cursor(self, *arguments[:1], **options)
        else:
            made.__class__ = watched_cursor(type(made))
        made._dbtestcase_observer = self._dbtestcase_observer
        return made

    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
    members = dict(names, cursor=cursor, _dbtestcase_observer=None)
    return type(kind.__name__, (kind,), members)


@functools.lru_cache(maxsize=None)
def _psycopg2_cursor() -> type:
    from psycopg2 import extensions

    return extensions.cursor


# --- psycopg 3 -----------------------------------------------------------------------------------


def _watch_psycopg() -> None:
    _compat.change_class_method("psycopg", "Connection", "_connect_gen", _change_connect_gen)
    _compat.change_function("psycopg", "Connection", "__init__", _change_init)
    _compat.change_function("psycopg", "Connection", "cursor", _change_cursor)
    _compat.change_function("psycopg", "Connection", "tpc_prepare", _change_tpc_prepare)
    _compat.change_function("psycopg", "AsyncConnection", "__init__", _change_async_init)
    _compat.change_function("psycopg", "AsyncConnection", "cursor", _change_cursor)


def _change_connect_gen(connect: Callable[..., Any]) -> Callable[..., Any]:
    """Change what every way to connect comes by, also those of asyncio."""

    def connected(cls: type, conninfo: str = "", **options: Any) -> Any:
        if leading.leads:
            conninfo = leading.led("psycopg", conninfo)
        return connect(cls, conninfo, **options)

    return connected


def _change_init(initialize: Callable[..., None]) -> Callable[..., None]:
    def made(dbapi: Any, *arguments: Any, **options: Any) -> None:
        initialize(dbapi, *arguments, **options)
        _opened(dbapi)

    return made


def _change_async_init(initialize: Callable[..., None]) -> Callable[..., None]:
    def made(dbapi: Any, *arguments: Any, **options: Any) -> None:
        initialize(dbapi, *arguments, **options)
        _made(dbapi)

    return made


def _change_cursor(cursor: Callable[..., Any]) -> Callable[..., Any]:
    def opened(dbapi: Any, *arguments: Any, **options: Any) -> Any:
        if not getattr(dbapi, "_dbtestcase_ignored", not hasattr(dbapi, "_dbtestcase_observer")):
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
        tell_prepared(_compat.prepared_name(dbapi))

    return prepared


# --- drivers for asyncio: it is known where their connections are made, not what they run --------


def _watch_asyncpg() -> None:
    _compat.change_function("asyncpg.connection", "Connection", "__init__", _change_async_init)
    _compat.change_function("asyncpg.connect_utils", "", "_connect", _change_asyncpg)


def _change_asyncpg(connect: Callable[..., Any]) -> Callable[..., Any]:
    def connected(**options: Any) -> Any:  # a coroutine; nothing else of these is watched
        if leading.leads:
            options = leading.led_options(options)
        settings = dict(options.get("server_settings") or {})
        for subscriber in subscribers:
            subscriber.starting(settings)
        if settings:
            options = dict(options, server_settings=settings)
        return connect(**options)

    return connected


#: By the name of a driver's module: what watches it, once it was imported.
_DRIVERS: Dict[str, Callable[[], None]] = {
    "psycopg2": _watch_psycopg2,
    "psycopg": _watch_psycopg,
    "asyncpg": _watch_asyncpg,
}
