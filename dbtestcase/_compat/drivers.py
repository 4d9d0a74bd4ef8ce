"""Keeps the differences between psycopg2, psycopg 3 and sqlite3: connections and cursors."""

from __future__ import annotations

import functools
import gc
import re
import sys
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple


def set_autocommit(dbapi: Any, autocommit: bool = True) -> bool:
    """Switch a driver connection's autocommit and return what it was before."""
    before = bool(dbapi.autocommit)
    if before != autocommit:
        dbapi.autocommit = autocommit
    return before


def sqlstate(error: BaseException) -> Optional[str]:
    """Return the five characters of PostgreSQL's error code, ``None`` where there is none."""
    original = getattr(error, "orig", None) or error
    state = getattr(original, "sqlstate", None) or getattr(original, "pgcode", None)
    return str(state) if state else None


# The numbers of libpq, which both drivers use.
IDLE, ACTIVE, IN_TRANSACTION, IN_ERROR = range(4)


def transaction_status(dbapi: Any) -> Optional[int]:
    """Return ``IDLE``, ``ACTIVE``, ``IN_TRANSACTION`` or ``IN_ERROR``, as the driver knows it.

    ``None`` for a connection that is closed. Does not wait, whatever other threads do with it.
    """
    if getattr(dbapi, "closed", False):
        return None
    status = getattr(getattr(dbapi, "info", None), "transaction_status", None)
    if status is None:
        try:
            return IN_TRANSACTION if getattr(dbapi, "in_transaction", False) else IDLE
        except Exception:  # the only sign by which SQLite shows that it is closed
            return None
    return int(status) if int(status) <= IN_ERROR else None


def backend_pid(dbapi: Any) -> Optional[int]:
    """Return the process id on the server of a PostgreSQL driver's connection."""
    if getattr(dbapi, "closed", False):
        return None
    return getattr(getattr(dbapi, "info", None), "backend_pid", None)


_PREPARED_STATUS = 5  # psycopg2.extensions.STATUS_PREPARED


def driver_connections() -> List[Any]:
    """Return every psycopg2 and psycopg connection of this process, pooled or not."""
    names = (("psycopg2.extensions", "connection"), ("psycopg", "Connection"))
    kinds = tuple(
        getattr(sys.modules[module], name) for module, name in names if module in sys.modules
    )
    # isinstance() would wake objects that pretend to be of another class.
    return [each for each in gc.get_objects() if issubclass(type(each), kinds)] if kinds else []


def command_status(cursor: Any) -> Any:
    """Return the server's answer to what a cursor ran last, as text or bytes."""
    results = getattr(cursor, "_results", None)  # of psycopg 3
    if results is None:
        return getattr(cursor, "statusmessage", None)
    return results[-1].command_status if results else None


def sent_text(cursor: Any) -> str:
    """Return what a cursor sent last."""
    sent = getattr(cursor, "query", None) or getattr(getattr(cursor, "_query", None), "query", None)
    return bytes(sent or b"").decode("utf-8", "replace")


def is_asyncpg(dbapi: Any) -> bool:
    """Tell whether a connection is SQLAlchemy's adapter of one of asyncpg."""
    return type(dbapi).__module__.endswith(".asyncpg")


def start_options(dbapi: Any) -> str:
    """Return the options with which the session of a PostgreSQL connection was started."""
    return getattr(getattr(dbapi, "info", None), "options", None) or ""


def keeps_what_it_sent(dbapi: Any) -> bool:
    """Tell whether cursors of a connection know the bytes that they sent, as psycopg2's do."""
    return hasattr(dbapi, "get_dsn_parameters")


def database_key(dbapi: Any) -> Tuple[Any, ...]:
    """Return what tells the database of a PostgreSQL connection from others."""
    return dbapi.info.host, dbapi.info.port, dbapi.info.dbname


def prepared_name(dbapi: Any) -> Optional[str]:
    """Return the name of what a connection of psycopg 3 prepared (2PC) and has not ended."""
    state = getattr(dbapi, "_tpc", None)  # the name, and whether it was prepared
    return str(state[0]) if state and state[1] else None


def roll_prepared_back(dbapi: Any) -> bool:
    """Roll back what a driver's connection prepared (2PC) and has not ended; tell whether."""
    if getattr(dbapi, "status", None) != _PREPARED_STATUS and not prepared_name(dbapi):
        return False
    dbapi.tpc_rollback()
    return True


def change_function(module: str, owner: str, name: str, change: Callable[[Any], Any]) -> None:
    """Put what a change makes of a function in its place, once, if its module was imported.

    :param owner: the class that has it, ``""`` for the module itself.
    """
    holder = sys.modules.get(module)
    holder = getattr(holder, owner, None) if owner else holder
    ordinary = getattr(holder, name, None)
    if holder is not None and ordinary and not hasattr(ordinary, "_dbtestcase"):
        changed: Any = functools.wraps(ordinary)(change(ordinary))
        changed._dbtestcase = True
        setattr(holder, name, changed)


def never_prepare(dbapi: Any) -> None:
    """Keep psycopg 3 from preparing repeated statements by itself: several in one cannot be."""
    if hasattr(dbapi, "prepare_threshold"):
        dbapi.prepare_threshold = None


def location(dbapi: Any) -> Any:
    """Return host, port and name of the database that a PostgreSQL connection leads to."""
    if getattr(dbapi, "closed", False):
        return None
    info: Any = getattr(dbapi, "info", None)
    if not hasattr(info, "dbname"):
        return None
    host = info.host or ""
    local = host in ("", "localhost", "127.0.0.1", "::1") or host.startswith("/")
    return ("localhost" if local else host, int(info.port), info.dbname)


_REPORTED = (
    "TimeZone",
    "DateStyle",
    "IntervalStyle",
    "client_encoding",
    "default_transaction_read_only",
    "search_path",
    "session_authorization",
)


def reported_settings(dbapi: Any) -> Any:
    """Return the settings that a server reports by itself when they change, without asking it."""
    if dbapi.closed:
        return None
    info = dbapi.info
    return [info.parameter_status(name) for name in _REPORTED]


_PSYCOPG2_LEVELS = {
    0: "AUTOCOMMIT",
    1: "READ COMMITTED",
    2: "REPEATABLE READ",
    3: "SERIALIZABLE",
    4: "READ UNCOMMITTED",
}


def isolation_level_name(dbapi: Any) -> Optional[str]:
    """Return the isolation level that is set on a PostgreSQL connection, ``None`` for none."""
    level = dbapi.isolation_level
    return None if level is None else _level_name(level)


def _level_name(level: Any) -> str:
    if hasattr(level, "name"):
        return str(level.name).replace("_", " ")
    return _PSYCOPG2_LEVELS.get(level, str(level))


def transaction_setting(name: str, value: Any) -> str:
    """Return what an attribute or method of a connection sets, as messages call it."""
    if name.endswith("autocommit") or (name == "isolation_level" and value is None):
        return "AUTOCOMMIT"
    if name.endswith("isolation_level"):
        level = _level_name(value)
        return level if level == "AUTOCOMMIT" else "the isolation level %s" % level
    return "%s = %r" % (name.replace("set_", ""), value)


def set_autocommit_again(dbapi: Any) -> None:
    """Go back to autocommit where psycopg2 left it for a named cursor."""
    if not dbapi.autocommit:
        dbapi.rollback()
        dbapi.autocommit = True


def connection_parts(dbapi: Any) -> Dict[str, Any]:
    """Return where a PostgreSQL connection leads, as parts of a URL.

    As the connection itself says, since libpq puts in what the URL leaves open. The directory of a
    socket is a host. There is no password.
    """
    info = dbapi.info
    return {
        "username": info.user,
        "host": info.host or None,
        "port": int(info.port) if info.port else None,
        "database": info.dbname,
    }


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


def last_rows(cursor: Any) -> List[Any]:
    """Return the rows of the last of several statements: psycopg2 stands there already."""
    if hasattr(cursor, "pgresult"):
        while cursor.nextset():
            pass
    return list(cursor.fetchall()) if cursor.description else []


def run_script(cursor: Any, sql: str) -> List[Any]:
    """Run several statements in one round trip and return the rows of the last one."""
    if hasattr(cursor, "pgresult"):
        cursor.execute(sql, prepare=False)
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
