"""Keeps the differences between versions of SQLAlchemy in pools, and in what these hand out."""

from __future__ import annotations

import gc
import sys
import types
from typing import Any, Dict, List, Optional, Tuple

import sqlalchemy as sa

from .. import where


def dbapi_connection(fairy: Any) -> Any:
    """Return the driver's own connection behind a pooled one."""
    return fairy.dbapi_connection if hasattr(fairy, "dbapi_connection") else fairy.connection


def spare_connection(engine: Any) -> Any:
    """Return a pooled connection of an engine without waiting for one that others have out."""
    pool = engine.pool
    if not getattr(pool, "checkedout", lambda: 0)():
        return engine.raw_connection()
    return new_connection(engine)


def new_connection(engine: Any) -> Any:
    """Return a new connection, made as the engine makes its own, that no pool knows."""
    fairy = engine.pool.recreate().connect()
    fairy.detach()  # closed, not pooled, when it is given back
    return fairy


def give_back_refused(fairy: Any) -> None:
    """Give back what a listener at the check-out refuses: SQLAlchemy 1.3 leaves it checked out."""
    if sa.__version__.startswith("1.3."):
        fairy.close()


def set_pool_timeout(pool: Any, seconds: Optional[float]) -> Optional[float]:
    """Set how long a pool waits for a connection to come back; return what it was, if it waits."""
    before: Optional[float] = getattr(pool, "_timeout", None)
    if before is not None and seconds is not None:
        pool._timeout = seconds
    return before


def have_pools_wait_in_real_time() -> None:
    """Have a pool that is dry wait as long as it says, also where a test stops the clocks.

    Its queue asks a global of its module for the time, where freezegun would find another one, too.
    """
    queue: Any = getattr(sys.modules.get("sqlalchemy.util.queue"), "Queue", None)
    get: Any = getattr(queue, "get", None)
    if "_time" in getattr(get, "__globals__", ()):
        names = dict(get.__globals__, _time=where.now)
        queue.get = types.FunctionType(get.__code__, names, "get", get.__defaults__)


def repair_start(record: Any) -> None:
    """Have a pool's record know when its connection was made, where ``time.time()`` was mocked."""
    if not isinstance(record.starttime, (int, float)):
        record.starttime = where.wall()


def pool_record(pool: Any, dbapi: Any, info: Dict[str, Any]) -> Any:
    """Return a pool's record of a connection that it did not make itself."""
    from sqlalchemy.pool.base import _ConnectionRecord

    record = _ConnectionRecord(pool, connect=False)
    attribute = "dbapi_connection" if hasattr(record, "dbapi_connection") else "connection"
    setattr(record, attribute, dbapi)
    record.starttime = where.wall()
    record.info.update(info)
    return record


def recorded_connection(record: Any) -> Any:
    """Return the driver connection of a pool's record, ``None`` if it was taken out."""
    if hasattr(record, "dbapi_connection"):
        return record.dbapi_connection
    return record.connection


def empty_pool(engine: Any) -> None:
    """Have an engine make new connections from now on; those of asyncio close with their loop."""
    if getattr(engine.dialect, "is_async", False):
        engine.pool = engine.pool.recreate()
    else:
        engine.dispose()


def pool_of_record(record: Any) -> Any:
    """Return the pool whose record of a connection this is."""
    return record._ConnectionRecord__pool


def dialect_name(pool: Any) -> Optional[str]:
    """Return the name of the kind of database that a pool connects to, where it is known."""
    return getattr(getattr(pool, "_dialect", None), "name", None)


def has_one_connection(pool: Any) -> bool:
    """Tell whether a pool keeps one connection (for each thread), as for databases in memory."""
    return isinstance(pool, (sa.pool.StaticPool, sa.pool.SingletonThreadPool))


def sqlite_connection(engine: Any) -> Any:
    """Return a pooled connection to a SQLite database that threads can use in turn.

    A database in memory is the pool's own connection; for a file a new one is made.
    """
    if has_one_connection(engine.pool):
        return engine.raw_connection()

    def connect(dialect: Any, record: Any, arguments: Any, options: Any) -> Any:
        return dialect.connect(*arguments, **dict(options, check_same_thread=False))

    sa.event.listen(engine, "do_connect", connect)
    try:
        return new_connection(engine)
    finally:
        sa.event.remove(engine, "do_connect", connect)


def is_bound_to_thread(pool: Any) -> bool:
    """Tell whether each thread has a database in memory of its own."""
    return isinstance(pool, sa.pool.SingletonThreadPool)


def engines_and_pooled_connections() -> Tuple[List[Any], List[Any]]:
    """Return every engine of this process, and what its pools have handed out and not got back."""
    from sqlalchemy.pool.base import _ConnectionFairy

    engines, fairies = [], []
    for each in gc.get_objects():
        kind = type(each)  # isinstance() would wake objects that pretend to be of another class
        if issubclass(kind, sa.engine.Engine):
            engines.append(each)
        elif issubclass(kind, _ConnectionFairy) and dbapi_connection(each) is not None:
            fairies.append(each)
    return engines, fairies


def part_with_connection(fairy: Any) -> Any:
    """Take the driver's connection from a pooled one, without a word to the server; return it."""
    name = "dbapi_connection" if hasattr(fairy, "dbapi_connection") else "connection"
    dbapi, record = getattr(fairy, name), fairy._connection_record
    setattr(fairy, name, None)
    if record is not None:
        setattr(record, name if hasattr(record, name) else "connection", None)
        record.fairy_ref = None  # so that nothing is rolled back when the fairy is thrown away
    return dbapi


def take_out_of_record(record: Any) -> None:
    """Have a pool's record connect anew the next time, without a word to its connection."""
    setattr(
        record, "dbapi_connection" if hasattr(record, "dbapi_connection") else "connection", None
    )


class Ended:
    """Stands where a driver's connection was that was ended while somebody was using it.

    There is nothing left to roll back or to close. All else is an error of the driver's class.
    """

    closed = True

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def rollback(self) -> None:
        """Do nothing: the server has rolled it back."""

    close = terminate = rollback

    @property
    def _connection(self) -> Ended:
        """The driver's connection, as SQLAlchemy asks of one for asyncio."""
        return self

    def is_closed(self) -> bool:
        """Return true."""
        return True

    def cursor(self, *arguments: Any, **options: Any) -> Any:
        """Raise the error, as does whatever else is asked of the connection."""
        raise self.error.with_traceback(None)

    def commit(self) -> None:
        """Raise the error."""
        self.cursor()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.cursor


def end_checkout(fairy: Any, text: str) -> None:
    """Take a pooled connection that somebody uses away from him: all he gets of it is an error.

    :param text: of the error, which is of the driver's class.
    """
    driver = fairy._pool._dialect.dbapi
    kind = getattr(driver, "OperationalError", None) or driver.Error
    fairy.detach()
    name = "dbapi_connection" if hasattr(fairy, "dbapi_connection") else "connection"
    setattr(fairy, name, Ended(kind(text)))


def is_in_memory(pool: Any) -> bool:
    """Tell whether a pool's connections are to databases in memory, which are nowhere else."""
    dialect = getattr(pool, "_dialect", None)
    return getattr(dialect, "name", None) == "sqlite" and has_one_connection(pool)
