"""Keeps the differences between versions of SQLAlchemy, from statements to URLs."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import re
import sys
from typing import Any, Callable, Dict, Iterator, List, Optional, Union

import sqlalchemy as sa
from sqlalchemy.engine.url import URL, make_url

_PASSWORD_ARGUMENT = re.compile(r"([?&](?:ssl)?password=)[^&]*")


def select(*columns: Any) -> Any:
    """Return a ``select()`` of the columns, which was given them as a list up to SQLAlchemy 1.3."""
    make: Any = sa.select
    return make(*columns) if hasattr(sa.sql.Select, "add_columns") else make(columns)


def session_connection(session: Any, bind: Any) -> Any:
    """Return the connection that a session uses for an engine in its transaction."""
    if "bind_arguments" in inspect.signature(session.connection).parameters:
        return session.connection(bind_arguments={"bind": bind})
    return session.connection(bind=bind)


def is_further_batch(context: Any) -> bool:
    """Tell whether an INSERT runs in several statements, as SQLAlchemy 2 splits long ones."""
    style = getattr(context, "execute_style", None)
    return getattr(style, "name", "") == "INSERTMANYVALUES"


def listen_to_connections(connected: Callable[[Any], None]) -> None:
    """Have a function called with every Connection that is made, in whichever engine.

    Up to SQLAlchemy 1.4 ``execution_options()`` makes another Connection on the same checkout,
    often the only one that is kept; and a "branch" borrows what its origin holds. From 2.0 on
    there is no event of engines for it that is free: where engines have any listener, SQLAlchemy
    looks for those of all events at each statement.
    """
    engine, connection = sa.engine.Engine, sa.engine.Connection
    if hasattr(connection, "_branch"):

        def begun(conn: Any, branch: bool) -> None:
            if not branch:
                connected(conn)

        sa.event.listen(engine, "engine_connect", begun)
        sa.event.listen(
            engine, "set_connection_execution_options", lambda conn, opts: connected(conn)
        )
        return
    ordinary: Any = connection.__init__

    @functools.wraps(ordinary)
    def made(self: Any, *arguments: Any, **options: Any) -> None:
        ordinary(self, *arguments, **options)
        connected(self)

    known: Any = connection
    known.__init__ = made


def listen_to_disposal(engine: Any, disposed: Callable[[Any], None]) -> None:
    """Have a function called when an engine is disposed of, which costs its statements nothing.

    Where an engine has any listener, SQLAlchemy looks for those of all events at each statement:
    by a flag that it does not look at when it disposes of the engine.
    """
    had = "_has_events" in vars(engine)
    sa.event.listen(engine, "engine_disposed", disposed)
    if not had:
        vars(engine).pop("_has_events", None)


def listen_to_statements(executing: Callable[[Any, str], None]) -> None:
    """Have a function called before each statement, with its context and its text.

    By events of dialects, which cost less than those of engines do.
    """

    def before(cursor: Any, statement: str, *arguments: Any) -> None:
        context = arguments[-1]
        if context is not None:  # those that SQLAlchemy 1.3 runs itself have none
            executing(context, statement)

    for event in ("do_execute", "do_executemany", "do_execute_no_params"):
        sa.event.listen(sa.engine.Engine, event, before)


def listen_to_raw_use(used: Callable[[Any], None]) -> None:
    """Have a function called with every pooled connection that a Connection is asked for.

    Through it statements are run that SQLAlchemy does not see. Its own requests do not count, nor
    do those of this package.
    """
    ordinary: Any = sa.engine.Connection.connection
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    passed_over = (os.path.dirname(os.path.abspath(sa.__file__)), package)

    def connection(self: Any) -> Any:
        fairy = ordinary.fget(self)
        if not sys._getframe(1).f_code.co_filename.startswith(passed_over):
            used(fairy)
        return fairy

    known: Any = sa.engine.Connection
    known.connection = property(connection, doc=ordinary.__doc__)


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


# --- URLs ---------------------------------------------------------------------------------------


def url_key(url: URL) -> Any:
    """Return what is equal as long as a URL is; up to SQLAlchemy 1.3 a URL can be changed."""
    return url if isinstance(url, tuple) else url_text(url)


def url_text(url: Union[str, URL], hide_password: bool = False) -> str:
    """Return a URL as text.

    ``str(url)`` shows the password up to SQLAlchemy 1.4 and hides it after.
    """
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


@contextlib.contextmanager
def connect_timeout(seconds: int = 4) -> Iterator[None]:
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
