"""Every difference between versions of Python, SQLAlchemy, Flask-SQLAlchemy, Flask and the drivers."""

from __future__ import annotations

import contextlib
import gc
import inspect
import os
import re
import sys
import time
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple, Union

import sqlalchemy as sa
from sqlalchemy.engine.url import URL, make_url
from sqlalchemy.sql.util import find_tables

# --- URLs ---------------------------------------------------------------------------------------

_PASSWORD_ARGUMENT = re.compile(r"([?&](?:ssl)?password=)[^&]*")


def url_text(url: Union[str, URL], hide_password: bool = False) -> str:
    """Return a URL as text; ``str(url)`` shows the password up to SQLAlchemy 1.4 and hides it after."""
    url = make_url(url)
    if hasattr(url, "render_as_string"):
        text = url.render_as_string(hide_password=hide_password)
    else:
        text = str(url.__to_string__(hide_password=hide_password))
    # As an argument it is the driver's, and SQLAlchemy does not hide it.
    return _PASSWORD_ARGUMENT.sub(r"\1***", text) if hide_password else text


def url_with(url: Union[str, URL], **parts: Any) -> URL:
    """Return a copy of the URL with some parts replaced: URLs are mutable up to SQLAlchemy 1.3."""
    url = make_url(url)
    if hasattr(url, "set"):
        return url._replace(**parts)  # set() takes None for no change
    copied = make_url(url_text(url))
    for name, value in parts.items():
        setattr(copied, name, value)
    return copied


# --- driver connections -------------------------------------------------------------------------


def dbapi_connection(fairy: Any) -> Any:
    """Return the driver's own connection behind a pooled one."""
    return fairy.dbapi_connection if hasattr(fairy, "dbapi_connection") else fairy.connection


def set_autocommit(dbapi: Any, autocommit: bool = True) -> bool:
    """Switch a driver connection's autocommit and return what it was before."""
    before = bool(dbapi.autocommit)
    if before != autocommit:
        dbapi.autocommit = autocommit
    return before


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


@contextlib.contextmanager
def connect_timeout(seconds: int = 5) -> Iterator[None]:
    """Bound the time to connect by libpq's own variable, unless the user has set it."""
    if "PGCONNECT_TIMEOUT" in os.environ:
        yield
        return
    os.environ["PGCONNECT_TIMEOUT"] = str(seconds)
    try:
        yield
    finally:
        os.environ.pop("PGCONNECT_TIMEOUT", None)


def without_password(text: str, url: Union[str, URL]) -> str:
    """Return a message with the URL's password taken out."""
    url = make_url(url)
    for password in (url.password, url.query.get("password"), url.query.get("sslpassword")):
        if password:
            text = text.replace(str(password), "***")
    return text


# --- Flask and Flask-SQLAlchemy -----------------------------------------------------------------


def flask_sqlalchemy_of(app: Any) -> Any:
    """Return the Flask-SQLAlchemy object that an app is registered with, or ``None``.

    Version 2 keeps a state object there, version 3 the extension itself, whose attribute access
    falls through to SQLAlchemy's modules: so look at its type.
    """
    extension = app.extensions.get("sqlalchemy")
    if extension is None or hasattr(type(extension), "init_app"):
        return extension
    return getattr(extension, "db", None)


def live_engines(db: Any, app: Any) -> Dict[Optional[str], Any]:
    """Return the engines that this app uses now, by bind key (``None``: the default)."""
    return engine_lookup(db, app)()


def engine_lookup(db: Any, app: Any) -> Callable[[], Dict[Optional[str], Any]]:
    """Return what gives the engines that an app uses, at whatever moment it is called.

    Version 3 has them in a dictionary of the app, version 2 looks at its config each time.
    """
    if hasattr(type(db), "engines"):
        with app.app_context():
            live = db.engines
        if is_lite(db):
            return lambda: {lite_bind_key(name): engine for name, engine in live.items()}
        return lambda: dict(live)

    def configured() -> Dict[Optional[str], Any]:
        keys = list(app.config.get("SQLALCHEMY_BINDS") or ())
        if app.config.get("SQLALCHEMY_DATABASE_URI") is not None:
            keys.insert(0, None)
        return {key: db.get_engine(app, key) for key in keys}

    return configured


def renew_engines(db: Any, app: Any) -> Callable[[], None]:
    """Make engines from the app's config as it is now; return what puts the former ones back.

    Version 2 makes an engine when it is asked for one, so an empty cache is enough. Version 3
    makes them in ``init_app``, which an app allows once: so a second app with the same config
    has them made, by the very code that made the first.
    """
    if not hasattr(type(db), "engines"):
        state = app.extensions["sqlalchemy"]
        former, state.connectors = state.connectors, {}
        return lambda: setattr(state, "connectors", former)

    from flask import Flask

    twin = Flask(app.import_name, root_path=app.root_path, instance_path=app.instance_path)
    twin.config.update(app.config)
    db.init_app(twin)
    with twin.app_context():
        made = dict(db.engines)
    with app.app_context():
        live = db.engines
    former = dict(live)

    def put_back() -> None:
        live.clear()
        live.update(former)

    live.clear()
    live.update(made)
    return put_back


def is_filled_in(url: Any) -> bool:
    """Tell whether a URL is the one that version 2 fills in, with a warning, where none is set."""
    url = make_url(url)  # whose text has %3A in it from SQLAlchemy 2.1 on
    return (url.drivername, url.database, dict(url.query)) == ("sqlite", ":memory:", {})


def tables_of_bind(db: Any, key: Optional[str]) -> List[Any]:
    """Return the tables that the models of a bind key declare."""
    metadatas = getattr(db, "metadatas", None) if hasattr(type(db), "engines") else None
    if isinstance(metadatas, dict):
        return list(metadatas[key].tables.values()) if key in metadatas else []
    return [table for table in db.metadata.tables.values() if table.info.get("bind_key") == key]


def scoped_by_context(db: Any) -> bool:
    """Tell whether ``db.session`` belongs to an application context, as from version 3 on."""
    return hasattr(type(db), "engines")


def current_app_context() -> Any:
    """Return the application context that is on top, or ``None``."""
    import flask.globals

    known: Any = flask.globals
    if hasattr(known, "_cv_app"):
        return known._cv_app.get(None)
    return known._app_ctx_stack.top


def pop_context_left_open() -> None:
    """Pop the context on top: the request that brought it along, where there was one."""
    request, context = current_request_context(), current_app_context()
    if request is not None and _app_context_brought_by(request) is context:
        request.pop()
    else:
        context.pop()


def current_request_context() -> Any:
    """Return the request context that is on top, or ``None``."""
    import flask.globals

    known: Any = flask.globals
    if hasattr(known, "_cv_request"):
        return known._cv_request.get(None)
    return known._request_ctx_stack.top


def _app_context_brought_by(request: Any) -> Any:
    """Return the application context that a request pushed where there was none of its app."""
    tokens = getattr(request, "_cv_tokens", None)
    if tokens is not None:
        return tokens[-1][1] if tokens else None
    return request._implicit_app_ctx_stack[-1] if request._implicit_app_ctx_stack else None


# --- unittest -----------------------------------------------------------------------------------


def add_class_cleanup(case: type, function: Callable[[], Any]) -> None:
    """Have unittest run a clean-up when the class is over, where it knows such clean-ups."""
    if has_class_cleanups(case):
        case.addClassCleanup(function)  # type: ignore[attr-defined]


def has_class_cleanups(case: type) -> bool:
    """Tell whether unittest runs clean-ups of a class, as it does from Python 3.8 on."""
    return hasattr(case, "addClassCleanup")


def tells_sub_tests_at_once() -> bool:
    """Tell whether a result hears of a sub-test before its test is over, as from Python 3.11 on."""
    return sys.version_info >= (3, 11)


# --- servers ------------------------------------------------------------------------------------


def postgresql_drivername() -> Optional[str]:
    """Return the shortest name of a PostgreSQL driver that can be imported, ``None`` without any.

    Plain ``postgresql`` means psycopg2 up to SQLAlchemy 2.0 and psycopg (3) from 2.1 on.
    """
    for name in ("postgresql", "postgresql+psycopg2", "postgresql+psycopg"):
        try:
            dialect: Any = make_url(name + "://").get_dialect()
            (getattr(dialect, "import_dbapi", None) or dialect.dbapi)()
        except (ImportError, sa.exc.NoSuchModuleError):
            continue
        return name
    return None


def popen_as_user(uid: int, gid: int) -> Dict[str, Any]:
    """Return the arguments of ``Popen`` that run a program as a user, in no group but its own."""
    if sys.version_info >= (3, 9):
        return {"user": uid, "group": gid, "extra_groups": [gid]}

    def become_user() -> None:
        os.setgroups([gid])
        os.setgid(gid)
        os.setuid(uid)

    return {"preexec_fn": become_user}


# --- statements ---------------------------------------------------------------------------------


def select(*columns: Any) -> Any:
    """Return a ``select()`` of the columns, which was given them as a list up to SQLAlchemy 1.3."""
    make: Any = sa.select
    return make(*columns) if hasattr(sa.sql.Select, "add_columns") else make(columns)


def session_connection(session: Any, bind: Any) -> Any:
    """Return the connection that a session uses for an engine in its transaction."""
    if "bind_arguments" in inspect.signature(session.connection).parameters:
        return session.connection(bind_arguments={"bind": bind})
    return session.connection(bind=bind)


def bind_of_clause(session: Any, clause: Any) -> Any:
    """Return the engine or connection that a session should use for a table or statement.

    Flask-SQLAlchemy's sessions look up a bind key for mapped classes (2) and for bare tables (3),
    but not within a statement.
    """
    tables: List[Any] = [each for each in find_tables(clause) if isinstance(each, sa.Table)]
    for table in tables:
        key = table.info.get("bind_key") or table.metadata.info.get("bind_key")
        if key is not None and hasattr(session, "app"):
            return flask_sqlalchemy_of(session.app).get_engine(session.app, bind=key)
        if key is not None:
            return session.get_bind(clause=table)
    return session.get_bind(clause=clause)


def is_further_batch(context: Any) -> bool:
    """Tell whether an INSERT runs in several statements, as SQLAlchemy 2 splits long ones."""
    style = getattr(context, "execute_style", None)
    return getattr(style, "name", "") == "INSERTMANYVALUES"


def sqlstate(error: BaseException) -> Optional[str]:
    """Return the five characters by which PostgreSQL tells errors apart, ``None`` without any."""
    original = getattr(error, "orig", None) or error
    state = getattr(original, "sqlstate", None) or getattr(original, "pgcode", None)
    return str(state) if state else None


# --- what a process has open --------------------------------------------------------------------

# As libpq counts them; both drivers say the same.
IDLE, ACTIVE, IN_TRANSACTION, IN_ERROR = range(4)


def transaction_status(dbapi: Any) -> Optional[int]:
    """Return ``IDLE``, ``ACTIVE``, ``IN_TRANSACTION`` or ``IN_ERROR``, as the driver knows it.

    ``None`` for a connection that is closed. Does not wait, whatever other threads do with it.
    """
    if getattr(dbapi, "closed", False):
        return None
    status = getattr(getattr(dbapi, "info", None), "transaction_status", None)
    if status is None:
        return IN_TRANSACTION if getattr(dbapi, "in_transaction", False) else IDLE
    return int(status) if int(status) <= IN_ERROR else None


def backend_pid(dbapi: Any) -> Optional[int]:
    """Return the process id on the server of a PostgreSQL driver's connection."""
    if getattr(dbapi, "closed", False):
        return None
    return getattr(getattr(dbapi, "info", None), "backend_pid", None)


def listen_to_connections(connected: Callable[[Any], None]) -> None:
    """Have a function called with every Connection that is made, in whichever engine.

    Up to SQLAlchemy 1.4 ``execution_options()`` makes another Connection on the same checkout,
    often the only one that is kept; and a "branch" borrows what its origin holds.
    """
    engine = sa.engine.Engine
    if hasattr(sa.engine.Connection, "_branch"):

        def made(conn: Any, branch: bool) -> None:
            if not branch:
                connected(conn)

        sa.event.listen(engine, "engine_connect", made)
        sa.event.listen(
            engine, "set_connection_execution_options", lambda conn, opts: connected(conn)
        )
    else:
        sa.event.listen(engine, "engine_connect", connected)


def listen_to_raw_use(used: Callable[[Any], None]) -> None:
    """Have a function called with every pooled connection that a Connection is asked for.

    Through it statements are run that SQLAlchemy does not see. Its own requests do not count, nor
    do those of this package.
    """
    ordinary: Any = sa.engine.Connection.connection
    passed_over = tuple(os.path.dirname(os.path.abspath(name)) for name in (sa.__file__, __file__))

    def connection(self: Any) -> Any:
        fairy = ordinary.fget(self)
        if not sys._getframe(1).f_code.co_filename.startswith(passed_over):
            used(fairy)
        return fairy

    setattr(sa.engine.Connection, "connection", property(connection, doc=ordinary.__doc__))


def fairy_of(connection: Any) -> Any:
    """Return the pooled connection that a SQLAlchemy Connection holds now, or ``None``."""
    held = vars(connection)
    fairy = held.get("_dbapi_connection")
    return fairy if fairy is not None else held.get("_Connection__connection")


def live_sessions() -> List[Any]:
    """Return every ORM session that this process has, of whatever maker."""
    from sqlalchemy.orm import session

    return list(session._sessions.values())


def connections_of_session(session: Any) -> List[Any]:
    """Return the Connections that an ORM session has in its transaction, without beginning one."""
    found: List[Any] = []
    # The attribute is "transaction" up to SQLAlchemy 1.3; from 1.4 on that name is a property.
    held = vars(session)
    transaction = held.get("_transaction") or held.get("transaction")
    while transaction is not None:
        for entry in list(transaction._connections.values()):
            if entry[0] not in found:
                found.append(entry[0])
        transaction = transaction._parent
    return found


_PREPARED_STATUS = 5  # psycopg2.extensions.STATUS_PREPARED


def driver_connections() -> List[Any]:
    """Return every psycopg2 and psycopg connection of this process, pooled or not."""
    names = (("psycopg2.extensions", "connection"), ("psycopg", "Connection"))
    kinds = tuple(
        getattr(sys.modules[module], name) for module, name in names if module in sys.modules
    )
    # isinstance() would wake objects that pretend to be of another class.
    return [each for each in gc.get_objects() if issubclass(type(each), kinds)] if kinds else []


def roll_prepared_back(dbapi: Any) -> bool:
    """Roll back what a driver's connection prepared (2PC) and has not ended; tell whether."""
    state = getattr(dbapi, "_tpc", None)  # of psycopg 3: the name, and whether it was prepared
    if getattr(dbapi, "status", None) != _PREPARED_STATUS and not (state and state[1]):
        return False
    dbapi.tpc_rollback()
    return True


def registered_sessions(scoped: Any) -> Dict[Any, Any]:
    """Return a scoped session's sessions by scope; of thread-local ones, this thread's alone."""
    registry = scoped.registry
    if isinstance(registry.registry, dict):
        return dict(registry.registry)
    return {None: registry()} if registry.has() else {}


def unregister_session(scoped: Any, scope: Any) -> None:
    """Take the session of a scope out of a scoped session's registry."""
    registry = scoped.registry
    if isinstance(registry.registry, dict):
        registry.registry.pop(scope, None)
    else:
        registry.clear()


def set_pool_timeout(pool: Any, seconds: Optional[float]) -> Optional[float]:
    """Set how long a pool waits for a connection to come back; return what it was, if it waits."""
    before: Optional[float] = getattr(pool, "_timeout", None)
    if before is not None and seconds is not None:
        pool._timeout = seconds
    return before


# --- statements of the control connection -------------------------------------------------------


def never_prepare(dbapi: Any) -> None:
    """Keep psycopg 3 from preparing repeated statements by itself: several in one cannot be."""
    if hasattr(dbapi, "prepare_threshold"):
        dbapi.prepare_threshold = None


def last_rows(cursor: Any) -> List[Any]:
    """Return the rows of the last of several statements: psycopg2 stands there already."""
    if hasattr(cursor, "pgresult"):
        while cursor.nextset():
            pass
    return list(cursor.fetchall()) if cursor.description else []


def location(dbapi: Any) -> Any:
    """Return host, port and name of the database that a PostgreSQL connection leads to."""
    info: Any = getattr(dbapi, "info", None)
    if getattr(dbapi, "closed", False) or not hasattr(info, "dbname"):
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
    info = dbapi.info
    if dbapi.closed:
        return None
    return [info.parameter_status(name) for name in _REPORTED]


def in_place_of(error: Any, kind: type, text: str) -> Any:
    """Return an error that is both what a caller may expect and of another kind, with its text.

    It keeps the arguments and attributes of the first, and pickles as the second.
    """
    both: Any = type(
        kind.__name__,
        (kind, type(error)),
        {
            "__module__": kind.__module__,
            "__str__": lambda self: text,
            "__reduce__": lambda self: (kind, (text,)),
        },
    )
    made = both.__new__(both)
    made.args = error.args
    vars(made).update(vars(error))
    return made


# --- the outer transaction ----------------------------------------------------------------------


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
    """Open a PostgreSQL cursor whose rows are tuples, whatever the connection's default is."""
    if hasattr(dbapi, "server_cursor_factory"):
        from psycopg.rows import tuple_row

        return dbapi.cursor(row_factory=tuple_row)
    from psycopg2.extensions import cursor

    return dbapi.cursor(cursor_factory=cursor)


def run_script(cursor: Any, sql: str) -> List[Any]:
    """Run several statements in one round trip and return the rows of the last one."""
    if hasattr(cursor, "pgresult"):
        cursor.execute(sql, prepare=False)
    else:
        cursor.execute(sql)
    return last_rows(cursor)


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
    """Return in words what somebody sets who uses this attribute or method of a connection."""
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


def take_sqlite_transactions(dbapi: Any) -> Tuple[Dict[str, Any], Callable[[], None]]:
    """Keep sqlite3 from beginning transactions by itself, in either of its two ways to do so.

    :return: the attributes as they were, and what sets them back.
    """
    attribute, value, quiet = "isolation_level", dbapi.isolation_level, None
    if getattr(dbapi, "autocommit", -1) is False:  # from Python 3.12 on, where it is asked for
        attribute, value, quiet = "autocommit", False, True
    setattr(dbapi, attribute, quiet)
    return {attribute: value}, lambda: setattr(dbapi, attribute, value)


# --- failures -----------------------------------------------------------------------------------


def add_text(error: BaseException, text: str) -> None:
    """Add text to what an exception says, once; its type and traceback stay as they are.

    Notes came with Python 3.11. Before, the message is made longer where it is all that the
    exception says; else its class is replaced by one of the same name that says more.
    """
    known = vars(error).setdefault("_dbtestcase_added", [])
    if text in known:
        return
    known.append(text)
    if hasattr(error, "add_note"):
        error.add_note(text)
    elif len(error.args) == 1 and isinstance(error.args[0], str) and str(error) == error.args[0]:
        error.args = ("%s\n%s" % (error.args[0], text),)
    else:
        _say_more(error, text)


def _say_more(error: BaseException, text: str) -> None:
    kind = type(error)
    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
    longer = dict(names, __str__=lambda self: "%s\n%s" % (kind.__str__(self), text))
    try:
        error.__class__ = type(kind.__name__, (kind,), longer)
    except TypeError:  # one of those that are built in, as KeyError
        sys.stderr.write("%s: %s\n%s\n" % (kind.__name__, error, text))


# --- commands -----------------------------------------------------------------------------------


def connection_parts(dbapi: Any) -> Dict[str, Any]:
    """Return where a PostgreSQL connection leads, as parts of a URL; a socket's directory is a host.

    What the connection itself says: libpq has put in what the URL leaves open. No password.
    """
    info = dbapi.info
    return {
        "username": info.user,
        "host": info.host or None,
        "port": int(info.port) if info.port else None,
        "database": info.dbname,
    }


def loaded_version(module: str) -> Optional[str]:
    """Return the version of a library that this process has loaded, ``None`` if it has not.

    Flask and its extensions no longer have it as an attribute, older Pythons no metadata.
    """
    if module not in sys.modules:
        return None
    try:
        from importlib.metadata import version

        return str(version(module.replace("_", "-")))
    except Exception:  # no such module before Python 3.8, no distribution of this name
        return str(getattr(sys.modules[module], "__version__", "?")).split()[0]


# --- forked processes ---------------------------------------------------------------------------


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


# --- Flask-SQLAlchemy-Lite ----------------------------------------------------------------------


def is_lite(db: Any) -> bool:
    """Tell whether an extension is Flask-SQLAlchemy-Lite, which names its engines otherwise."""
    return hasattr(type(db), "sessionmaker")


def lite_bind_key(name: Optional[str]) -> Optional[str]:
    """Return the bind key of a named engine: there is none for the default one."""
    return None if name == "default" else name


def lite_sessions() -> Dict[str, Any]:
    """Return the sessions of the present application context; what is taken out is forgotten."""
    from flask import g

    return g.setdefault("_sqlalchemy_sessions", {})  # type: ignore[no-any-return]


def engine_settings(db: Any, app: Any) -> Dict[Optional[str], Any]:
    """Return what an app's configuration says of each engine, by bind key.

    A URL, or from version 3 on the options of ``create_engine()``, which may have the URL.
    """
    if is_lite(db):
        named = app.config.get("SQLALCHEMY_ENGINES") or {}
        return {lite_bind_key(name): setting for name, setting in named.items()}
    settings = dict(app.config.get("SQLALCHEMY_BINDS") or {})
    options = app.config.get("SQLALCHEMY_ENGINE_OPTIONS") or {}
    if app.config.get("SQLALCHEMY_DATABASE_URI") is not None:
        settings[None] = app.config["SQLALCHEMY_DATABASE_URI"]
    elif options.get("url") is not None:
        settings[None] = options["url"]
    return settings


def engine_setting(db: Any, key: Optional[str]) -> str:
    """Return how the setting is written that says where the engine of a bind key leads to."""
    if is_lite(db):
        return 'SQLALCHEMY_ENGINES["%s"]' % (key or "default")
    return 'SQLALCHEMY_BINDS["%s"]' % key if key else "SQLALCHEMY_DATABASE_URI"
