"""Differences between SQLAlchemy's pools and pooled connections."""

from __future__ import annotations

import gc
import time
from typing import Any, Dict, List, Optional, Tuple

import sqlalchemy as sa

from .drivers import dbapi_connection


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


def set_pool_timeout(pool: Any, seconds: Optional[float]) -> Optional[float]:
    """Set how long a pool waits for a connection to come back; return what it was, if it waits."""
    before: Optional[float] = getattr(pool, "_timeout", None)
    if before is not None and seconds is not None:
        pool._timeout = seconds
    return before


def pool_record(pool: Any, dbapi: Any, info: Dict[str, Any]) -> Any:
    """Return a pool's record of a connection that it did not make itself."""
    from sqlalchemy.pool.base import _ConnectionRecord

    record = _ConnectionRecord(pool, connect=False)
    attribute = "dbapi_connection" if hasattr(record, "dbapi_connection") else "connection"
    setattr(record, attribute, dbapi)
    record.starttime = time.time()
    record.info.update(info)
    return record


def recorded_connection(record: Any) -> Any:
    """Return the driver connection of a pool's record, ``None`` if it was taken out."""
    if hasattr(record, "dbapi_connection"):
        return record.dbapi_connection
    return record.connection


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


def is_in_memory(pool: Any) -> bool:
    """Tell whether a pool's connections are to databases in memory, which are nowhere else."""
    dialect = getattr(pool, "_dialect", None)
    return getattr(dialect, "name", None) == "sqlite" and has_one_connection(pool)
