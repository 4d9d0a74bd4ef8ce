"""Differences between the cursors of psycopg2, psycopg 3 and sqlite3, and what they are given."""

from __future__ import annotations

import functools
import re
from typing import Any, Callable, Dict, Iterator, List, Tuple

from .drivers import (
    IDLE,
    driver_connection,
    is_async,
    keeps_what_it_sent,
    set_autocommit,
    transaction_status,
)

# --- connection strings --------------------------------------------------------------------------


def conninfo_parts(driver: str, conninfo: str) -> Dict[str, str]:
    """Return the parameters of a connection string or a URL, as libpq reads it.

    :param driver: ``"psycopg2"`` or ``"psycopg"``, which is imported.
    :raises Exception: the driver's own error, if it cannot be read.
    """
    if driver == "psycopg2":
        from psycopg2 import extensions

        return dict(extensions.parse_dsn(conninfo))
    from psycopg import conninfo as strings

    return {name: str(value) for name, value in strings.conninfo_to_dict(conninfo).items()}


def conninfo_with(driver: str, conninfo: str, **parameters: str) -> str:
    """Return a connection string with some of its parameters replaced."""
    if driver == "psycopg2":
        from psycopg2 import extensions

        return str(extensions.make_dsn(conninfo, **parameters))
    from psycopg import conninfo as strings

    return strings.make_conninfo(conninfo, **parameters)


def row_at(driver: str, conninfo: str, sql: str) -> Tuple[str, ...]:
    """Return the row of a query of texts, by a connection of its own that nobody watches."""
    if driver == "psycopg2":
        from psycopg2 import _psycopg

        dbapi = _psycopg._connect(conninfo)  # type: ignore[no-untyped-call]
        try:
            cursor = dbapi.cursor()
            cursor.execute(sql)
            return tuple(cursor.fetchone())
        finally:
            dbapi.close()
    from psycopg import pq

    connection = pq.PGconn.connect(conninfo.encode("utf-8"))
    try:
        result = connection.exec_(sql.encode("utf-8"))
        values = [result.get_value(0, number) for number in range(result.nfields)]
        return tuple([(value or b"").decode("utf-8") for value in values])
    finally:
        connection.finish()


# --- cursors ------------------------------------------------------------------------------------


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

    In psycopg2 past what the connection's own class makes of cursors. Those that SQLAlchemy adapts
    give tuples of their own accord.
    """
    if is_async(dbapi):
        return dbapi.cursor()
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


def run_beside(dbapi: Any, sql: str) -> List[Tuple[Any, ...]]:
    """Run a statement past what a connection does with those of its user.

    At rest, it is outside of any transaction. In psycopg it goes by way of libpq, so that those
    for asyncio need not be waited for; the values are text then.

    :return: its rows.
    """
    pgconn = getattr(driver_connection(dbapi), "pgconn", None)
    if pgconn is not None:
        result = pgconn.exec_(sql.encode())
        if result.status not in (1, 2):  # a command that ran, or rows
            raise RuntimeError((result.error_message or b"").decode("utf-8", "replace"))
        rows = range(result.ntuples)
        values = [[result.get_value(row, each) for each in range(result.nfields)] for row in rows]
        return [tuple(each and each.decode() for each in row) for row in values]
    at_rest = transaction_status(dbapi) == IDLE
    before = set_autocommit(dbapi) if at_rest else None
    try:
        cursor = plain_cursor(dbapi) if keeps_what_it_sent(dbapi) else dbapi.cursor()
        cursor.execute(sql)
        found = [tuple(row) for row in cursor.fetchall()] if cursor.description else []
        cursor.close()
        return found
    finally:
        if before is not None:
            set_autocommit(dbapi, before)


def last_rows(cursor: Any) -> List[Any]:
    """Return the rows of the last of several statements: psycopg2 stands there already."""
    if hasattr(cursor, "pgresult"):
        while cursor.nextset():
            pass
    return list(cursor.fetchall()) if cursor.description else []


# Between statements: what follows has no odd number of quotes.
_BETWEEN = re.compile(r";\s*(?=(?:[^']*'[^']*')*[^']*\Z)")


def run_script(cursor: Any, sql: str) -> List[Any]:
    """Run several statements and return the rows of the last one: in one round trip, if it can be.

    asyncpg prepares whatever it runs, which several statements cannot be.
    """
    if hasattr(cursor, "pgresult"):
        cursor.execute(sql, prepare=False)
    elif type(cursor).__name__.startswith("AsyncAdapt_asyncpg"):
        for statement in filter(None, _BETWEEN.split(sql)):
            cursor.execute(statement)
    else:
        cursor.execute(sql)
    return last_rows(cursor)


# --- sqlite3 ------------------------------------------------------------------------------------


def sqlite_cursor_class() -> Any:
    """Return the class of SQLite cursors."""
    import sqlite3

    return sqlite3.Cursor


def split_sqlite_script(script: str) -> Iterator[str]:
    """Yield the statements of a SQLite script one by one."""
    import sqlite3

    statement = ""
    for part in re.split(r"(?<=;)", script):
        statement += part
        if statement.strip() and sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        yield statement


def take_sqlite_transactions(dbapi: Any) -> Tuple[Dict[str, Any], Callable[[], None]]:
    """Keep sqlite3 from beginning transactions by itself, in either of its two ways to do so.

    :return: the attributes as they were, and what sets them back.
    """
    attribute, value, quiet = "isolation_level", dbapi.isolation_level, None
    if getattr(dbapi, "autocommit", -1) is False:  # from Python 3.12 on, where it is asked for
        attribute, value, quiet = "autocommit", False, True
    setattr(dbapi, attribute, quiet)
    return {attribute: value}, lambda: setattr(dbapi, attribute, value)
