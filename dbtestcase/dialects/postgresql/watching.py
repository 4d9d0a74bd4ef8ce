"""Watch what psycopg2 connections run, for ledger.py: connections and cursors that take note.

They also tell of each transaction that they prepare (2PC), which outlives its connection.

They are psycopg2's own classes with some methods that count, so that whatever the code under test
does with a connection, past SQLAlchemy or not, is seen. Connections that were open before, made by
a ``creator`` or with a ``connection_factory`` of the suite are left as they are, and not watched.
"""

from __future__ import annotations

import functools
from typing import Any, Callable, Dict, Optional

import sqlalchemy as sa

from . import harmless, settings
from .ledger import Key, Transaction

_IDLE = 0  # TRANSACTION_STATUS_IDLE
# What the server says when it has done so, and not rolled back a transaction that had failed.
PREPARED = "PREPARE TRANSACTION"

_watching = False
_tell_prepared: Callable[[str], Any] = str


def tell_prepared(listener: Callable[[str], Any]) -> None:
    """Have the name of each transaction that a watched connection prepares told, from now on."""
    global _tell_prepared
    _tell_prepared = listener


def watch() -> None:
    """Watch all psycopg2 connections that engines of this process make from now on."""
    global _watching
    if not _watching:
        _watching = True
        sa.event.listen(sa.engine.Engine, "do_connect", _connecting)


def key_of(dbapi: Any) -> Key:
    """Return what tells the database of a driver connection from others."""
    return dbapi.info.host, dbapi.info.port, dbapi.info.dbname


def ignore(dbapi: Any) -> None:
    """Do not watch this connection, which is one of our own."""
    if hasattr(dbapi, "_dbtestcase_transaction"):
        dbapi._dbtestcase_transaction = None
        dbapi._dbtestcase_ignored = True


def leave_uncounted(dbapi: Any) -> None:
    """Watch this connection for what it prepares alone."""
    dbapi._dbtestcase_transaction = None


def _connecting(dialect: Any, record: Any, cargs: Any, cparams: Dict[str, Any]) -> None:
    if dialect.driver == "psycopg2" and not cparams.get("async_"):
        cparams.setdefault("connection_factory", watched_connection())


@functools.lru_cache(maxsize=None)
def watched_connection() -> type:
    """Return the class of watched connections: psycopg2 is imported where it is used."""
    from psycopg2 import extensions

    return type("WatchedConnection", (_WatchingConnection, extensions.connection), {})


class _WatchingConnection:
    """What a watched connection adds: it takes note of how its transactions end."""

    cursor_factory: Any
    _dbtestcase_ignored = False
    _dbtestcase_transaction: Optional[Transaction] = None
    _dbtestcase_xid: Any = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._dbtestcase_transaction = Transaction(key_of(self))

    def cursor(self, name: Any = None, cursor_factory: Any = None, **kwargs: Any) -> Any:
        if self._dbtestcase_ignored:
            return super().cursor(name, cursor_factory=cursor_factory, **kwargs)  # type: ignore[misc]
        factory = cursor_factory or self.cursor_factory
        is_class = factory is None or isinstance(factory, type)
        watched = _watched_cursor(factory) if is_class else None
        if watched is None:
            _lose(self)
            self._dbtestcase_transaction = None
        return super().cursor(  # type: ignore[misc]
            name, cursor_factory=watched or factory, **kwargs
        )

    def commit(self) -> None:
        _end(self, super().commit)  # type: ignore[misc]

    def rollback(self) -> None:
        _end(self, super().rollback)  # type: ignore[misc]

    def close(self) -> None:
        _lose(self)
        super().close()  # type: ignore[misc]

    def reset(self) -> None:
        _lose(self)
        super().reset()  # type: ignore[misc]

    def set_isolation_level(self, level: Any) -> None:
        _lose(self)
        super().set_isolation_level(level)  # type: ignore[misc]

    def lobject(self, *args: Any, **kwargs: Any) -> Any:
        _unknown(self)
        return super().lobject(*args, **kwargs)  # type: ignore[misc]

    def tpc_begin(self, xid: Any) -> None:
        _lose(self)
        self._dbtestcase_transaction = None
        super().tpc_begin(xid)  # type: ignore[misc]
        self._dbtestcase_xid = xid

    def tpc_prepare(self) -> None:
        super().tpc_prepare()  # type: ignore[misc]
        _tell_prepared(str(self._dbtestcase_xid))


def _end(connection: Any, end: Any) -> None:
    transaction = connection._dbtestcase_transaction
    try:
        end()
    except BaseException:
        _lose(connection)
        raise
    if transaction is not None:
        transaction.over()


def _lose(connection: Any) -> None:
    transaction = connection._dbtestcase_transaction
    if transaction is not None:
        transaction.lost()


def _unknown(connection: Any) -> None:
    transaction = connection._dbtestcase_transaction
    if transaction is not None:
        transaction.unknown()


@functools.lru_cache(maxsize=None)
def _watched_cursor(factory: Any) -> Any:
    """Return a class of cursors that take note, and are otherwise what a class makes.

    :param factory: ``None`` for the driver's own.
    """
    from psycopg2 import extensions

    factory = factory or extensions.cursor
    if not issubclass(factory, extensions.cursor):
        return None
    if issubclass(factory, _Watching):
        return factory
    watched: type = type(factory.__name__, (_Watching, factory), {"__module__": factory.__module__})
    return watched


class _Watching:
    """What a watched cursor adds to a cursor."""

    def execute(self, query: Any, vars: Any = None) -> Any:
        transaction = self.connection._dbtestcase_transaction  # type: ignore[attr-defined]
        if transaction is None:
            result = super().execute(query, vars)  # type: ignore[misc]
        else:
            run = super().execute  # type: ignore[misc]
            result = self._note(transaction, True, run, query, vars)
        if self.statusmessage == PREPARED:  # type: ignore[attr-defined]
            told(self.query)  # type: ignore[attr-defined]
        return result

    def executemany(self, query: Any, vars_list: Any) -> Any:
        transaction = self.connection._dbtestcase_transaction  # type: ignore[attr-defined]
        if transaction is None:
            return super().executemany(query, vars_list)  # type: ignore[misc]
        # The driver keeps the last statement alone; the others differ from it in values only.
        known = isinstance(query, str) and harmless.all_quoted(vars_list)
        if known and harmless.verb(query.encode(), _is_standard(self)) is None:
            known = False
        run = super().executemany  # type: ignore[misc]
        return self._note(transaction, known, run, query, vars_list)

    def callproc(self, *args: Any, **kwargs: Any) -> Any:
        _unknown(self.connection)  # type: ignore[attr-defined]
        return super().callproc(*args, **kwargs)  # type: ignore[misc]

    def copy_from(self, *args: Any, **kwargs: Any) -> Any:
        _unknown(self.connection)  # type: ignore[attr-defined]
        return super().copy_from(*args, **kwargs)  # type: ignore[misc]

    def copy_to(self, *args: Any, **kwargs: Any) -> Any:
        _unknown(self.connection)  # type: ignore[attr-defined]
        return super().copy_to(*args, **kwargs)  # type: ignore[misc]

    def copy_expert(self, *args: Any, **kwargs: Any) -> Any:
        _unknown(self.connection)  # type: ignore[attr-defined]
        return super().copy_expert(*args, **kwargs)  # type: ignore[misc]

    def _note(self, transaction: Transaction, known: bool, run: Any, *args: Any) -> Any:
        connection = self.connection  # type: ignore[attr-defined]
        if connection.get_transaction_status() == _IDLE:
            transaction.lost()  # whatever was before ended in a way that was not seen
        try:
            result = run(*args)
        except BaseException as error:
            state = getattr(error, "pgcode", None)
            transaction.refused(self.query, state, _is_standard(self))  # type: ignore
            known = known and isinstance(error, Exception)
            raise
        else:
            query = self.query or b""  # type: ignore[attr-defined]
            standard = b"\\" in query and _is_standard(self)
            transaction.ran(query, self.rowcount, standard)  # type: ignore[attr-defined]
            return result
        finally:
            if not known:
                transaction.unknown()
            if connection.get_transaction_status() == _IDLE:
                transaction.over()


def told(query: Any) -> None:
    """Tell of the transaction that a statement has prepared."""
    gid = settings.prepared_by(bytes(query or b"").decode("utf-8", "replace"))
    if gid:
        _tell_prepared(gid)


def _is_standard(cursor: Any) -> bool:
    """Tell whether a backslash in a plain literal is just one: the server reports this setting."""
    status = cursor.connection.get_parameter_status("standard_conforming_strings")
    return bool(status == "on")
