"""Differences between SQLAlchemy's connections, sessions and statements."""

from __future__ import annotations

import functools
import inspect
import os
import sys
from typing import Any, Callable, Dict, List

import sqlalchemy as sa


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
        _call_when_made(sa.engine.Connection, connected)


def _call_when_made(connection: Any, connected: Callable[[Any], None]) -> None:
    """Have a function called with each Connection, by other means than an event of engines.

    Where engines have any listener, SQLAlchemy looks for those of all events at each statement.
    """
    ordinary = connection.__init__

    @functools.wraps(ordinary)
    def made(self: Any, *arguments: Any, **options: Any) -> None:
        ordinary(self, *arguments, **options)
        connected(self)

    connection.__init__ = made


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
