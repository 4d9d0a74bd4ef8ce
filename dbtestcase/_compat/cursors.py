"""Differences between the cursors of psycopg2, psycopg 3 and sqlite3."""

from __future__ import annotations

import functools
from typing import Any, List, Tuple

from .python import sqlite_cursor_class


def open_cursor_of_class(dbapi: Any, change: Any, arguments: Any, options: Any) -> Any:
    """Open a cursor whose class is what it would be, changed by a function.

    psycopg 3 keeps its classes on the connection, psycopg2 takes one as an argument as well, and
    sqlite3 takes one as its only argument.
    """
    if hasattr(dbapi, "server_cursor_factory"):
        dbapi.cursor_factory = change(dbapi.cursor_factory)
        dbapi.server_cursor_factory = change(dbapi.server_cursor_factory)
        return dbapi.cursor(*arguments, **options)
    if not hasattr(dbapi, "cursor_factory"):
        factory = options.get("factory") or (arguments[0] if arguments else sqlite_cursor_class())
        return dbapi.cursor(change(factory))
    if dbapi.cursor_factory is None:
        dbapi.cursor_factory = type(dbapi.cursor())
    dbapi.cursor_factory = change(dbapi.cursor_factory)
    if not arguments and not options:
        return dbapi.cursor()
    options = dict(zip(("name", "cursor_factory", "withhold"), arguments), **options)
    if options.get("name"):
        dbapi.autocommit = False  # psycopg2 has no named cursor in autocommit
    if options.get("cursor_factory") is not None:
        options["cursor_factory"] = change(options["cursor_factory"])
    return dbapi.cursor(**options)


def plain_cursor(dbapi: Any) -> Any:
    """Open a PostgreSQL cursor whose rows are tuples, whatever the connection's default is.

    In psycopg2 past what the connection's own class makes of cursors.
    """
    if hasattr(dbapi, "server_cursor_factory"):
        from psycopg.rows import tuple_row

        return dbapi.cursor(row_factory=tuple_row)
    connection, cursor = _psycopg2_classes()
    if isinstance(dbapi, connection):
        return connection.cursor(dbapi, cursor_factory=cursor)
    return dbapi.cursor(cursor_factory=cursor)


@functools.lru_cache(maxsize=None)
def _psycopg2_classes() -> Tuple[Any, Any]:
    from psycopg2 import extensions

    return extensions.connection, extensions.cursor


def run_script(cursor: Any, sql: str) -> List[Any]:
    """Run several statements in one round trip and return the rows of the last one."""
    if hasattr(cursor, "pgresult"):
        cursor.execute(sql, prepare=False)
    else:
        cursor.execute(sql)
    return last_rows(cursor)


def last_rows(cursor: Any) -> List[Any]:
    """Return the rows of the last of several statements: psycopg2 stands there already."""
    if hasattr(cursor, "pgresult"):
        while cursor.nextset():
            pass
    return list(cursor.fetchall()) if cursor.description else []
