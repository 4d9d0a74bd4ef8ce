"""Keeps the differences between psycopg2, psycopg 3, asyncpg and sqlite3."""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import socket
import sys
from typing import Any, Callable, Dict, List, Optional, Tuple


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


# --- drivers for asyncio --------------------------------------------------------------------------


def driver_connection(dbapi: Any) -> Any:
    """Return the connection of an asyncio driver that SQLAlchemy has adapted; others as they are.

    Only code that an engine runs in its greenlet can use the adapted one, as nothing else can wait.
    """
    return dbapi._connection if type(dbapi).__name__.startswith("AsyncAdapt_") else dbapi


def is_async(dbapi: Any) -> bool:
    """Tell whether a connection, adapted or not, is psycopg's for asyncio or asyncpg's."""
    own = driver_connection(dbapi)
    return _is_asyncpg(own) or any(each.__name__ == "AsyncConnection" for each in type(own).__mro__)


def is_of_closed_loop(dbapi: Any) -> bool:
    """Tell whether a connection can be used no more, as its event loop is closed."""
    loop = getattr(driver_connection(dbapi), "_loop", None)
    return loop is not None and bool(loop.is_closed())


def is_closed(dbapi: Any) -> bool:
    """Tell whether a driver's connection is known to be closed."""
    own = driver_connection(dbapi)
    return bool(own.is_closed() if _is_asyncpg(own) else own.closed)


def shut(dbapi: Any) -> None:
    """Shut the socket of a connection, whatever its driver, thread or event loop does with it.

    Whoever waits for its server gets an error, and the server ends the transaction.
    """
    own = driver_connection(dbapi)
    with contextlib.suppress(Exception):
        number = own._transport.get_extra_info("socket") if _is_asyncpg(own) else own
        with socket.socket(fileno=os.dup(number.fileno())) as copy:
            copy.shutdown(socket.SHUT_RDWR)


def close_in_loop(dbapi: Any) -> None:
    """Have an asyncio driver know that its connection, whose socket was shut, is closed.

    Its event loop, which does that, must not be running in another thread.
    """
    own = driver_connection(dbapi)
    with contextlib.suppress(Exception):
        if not _is_asyncpg(own):
            own.pgconn.finish()
        elif not own._loop.is_closed():
            own.terminate()


def _is_asyncpg(dbapi: Any) -> bool:
    return hasattr(type(dbapi), "get_server_pid")


# --- what a connection says of itself -------------------------------------------------------------


def says_where(dbapi: Any) -> bool:
    """Tell whether a driver's connections say where they lead, as those to PostgreSQL do."""
    own = driver_connection(dbapi)
    return hasattr(own, "info") or _is_asyncpg(own)


# The numbers of libpq, which psycopg2 and psycopg use.
IDLE, ACTIVE, IN_TRANSACTION, IN_ERROR = range(4)


def transaction_status(dbapi: Any) -> Optional[int]:
    """Return ``IDLE``, ``ACTIVE``, ``IN_TRANSACTION`` or ``IN_ERROR``, as the driver knows it.

    ``None`` for a connection that is closed. Does not wait, whatever other threads do with it.
    asyncpg's does not tell whether it is at work.
    """
    dbapi = driver_connection(dbapi)
    if _is_asyncpg(dbapi):
        return None if dbapi.is_closed() else IN_TRANSACTION if dbapi.is_in_transaction() else IDLE
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
    dbapi = driver_connection(dbapi)
    if _is_asyncpg(dbapi):
        return None if dbapi.is_closed() else int(dbapi.get_server_pid())
    if getattr(dbapi, "closed", False):
        return None
    return getattr(getattr(dbapi, "info", None), "backend_pid", None)


_PREPARED_STATUS = 5  # psycopg2.extensions.STATUS_PREPARED


def driver_connections() -> List[Any]:
    """Return every connection to PostgreSQL of this process, pooled or not."""
    names = (
        ("psycopg2.extensions", "connection"),
        ("psycopg", "Connection"),
        ("psycopg", "AsyncConnection"),
        ("asyncpg.connection", "Connection"),
    )
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
    """Tell whether a connection, adapted or not, is one of asyncpg's."""
    return _is_asyncpg(driver_connection(dbapi))


def start_options(dbapi: Any) -> str:
    """Return the options with which the session of a PostgreSQL connection was started."""
    return getattr(getattr(driver_connection(dbapi), "info", None), "options", None) or ""


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


def change_class_method(module: str, owner: str, name: str, change: Callable[[Any], Any]) -> None:
    """Do as :func:`change_function` does with a class method, in the class that defines it.

    :param change: is given the method's function, which takes the class first.
    """
    for holder in getattr(sys.modules.get(module), owner).__mro__:
        ordinary = getattr(vars(holder).get(name), "__func__", None)
        if ordinary is not None:
            if not hasattr(ordinary, "_dbtestcase"):
                changed: Any = functools.wraps(ordinary)(change(ordinary))
                changed._dbtestcase = True
                setattr(holder, name, classmethod(changed))
            return


def never_prepare(dbapi: Any) -> None:
    """Keep psycopg 3 from preparing repeated statements by itself: several in one cannot be."""
    if hasattr(dbapi, "prepare_threshold"):
        dbapi.prepare_threshold = None


def location(dbapi: Any) -> Any:
    """Return host, port and name of the database that a PostgreSQL connection leads to."""
    dbapi = driver_connection(dbapi)
    if _is_asyncpg(dbapi):
        address = dbapi._addr  # of a socket's file it is the path, with the port at its end
        host, port = ("", address.rpartition(".")[2]) if isinstance(address, str) else address[:2]
        name = None if dbapi.is_closed() else dbapi._params.database
    else:
        info: Any = None if getattr(dbapi, "closed", False) else getattr(dbapi, "info", None)
        name = getattr(info, "dbname", None)
        host, port = (info.host or "", info.port) if name else ("", 0)
    local = host in ("", "localhost", "127.0.0.1", "::1") or host.startswith("/")
    return ("localhost" if local else host, int(port), name) if name else None


def peer(dbapi: Any) -> Any:
    """Return the address at the other end of a PostgreSQL connection, and the database's name.

    What the connection was asked for is no witness: ``host`` stays what it was where ``hostaddr``
    leads elsewhere. ``None`` where it cannot be told.
    """
    own = driver_connection(dbapi)
    try:
        with socket.socket(fileno=os.dup(own.fileno())) as copy:
            return copy.getpeername(), own.info.dbname
    except Exception:  # it is closed, no socket of this system's, or of another driver
        place = location(own)
        return place and (place[:2], place[2])


def reported_setting(dbapi: Any, name: str) -> Optional[str]:
    """Return a setting that the server reports by itself; ``None`` where it does not."""
    own = driver_connection(dbapi)
    if hasattr(own, "get_settings"):  # asyncpg's
        return getattr(own.get_settings(), name, None)
    value: Optional[str] = own.info.parameter_status(name)
    return value


def forget_wish_to_write(dbapi: Any) -> None:
    """Have a driver begin transactions as the session says, where it was told ``READ WRITE``.

    The connection is at rest.
    """
    own = driver_connection(dbapi)
    if getattr(own, "readonly", None) is False:
        own.readonly = None
    elif getattr(own, "_read_only", None) is False:
        own._read_only, own._begin_statement = None, b""


def is_in_pipeline(dbapi: Any) -> bool:
    """Tell whether a connection of psycopg 3 is in pipeline mode, where errors come later."""
    return bool(getattr(getattr(dbapi, "pgconn", None), "pipeline_status", 0))


def read_only_error(dbapi: Any, text: str) -> Any:
    """Return a PostgreSQL driver's error for a write in a transaction that is read-only."""
    if hasattr(driver_connection(dbapi), "pgconn"):
        from psycopg.errors import ReadOnlySqlTransaction

        return ReadOnlySqlTransaction(text)
    from psycopg2 import errors

    return errors.ReadOnlySqlTransaction(text)


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
    dbapi = driver_connection(dbapi)
    if _is_asyncpg(dbapi):
        known = dbapi.get_settings()
        return [getattr(known, name, None) for name in _REPORTED]
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
