"""Keeps the differences between versions of Flask, Flask-SQLAlchemy and Flask-SQLAlchemy-Lite."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional

import sqlalchemy as sa
from sqlalchemy.engine.url import make_url
from sqlalchemy.sql.util import find_tables

_MOST_PUSHED = 10000  # contexts, by one test


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


# --- contexts -----------------------------------------------------------------------------------


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
    brought = None  # the application context that a request pushes where there is none of its app
    if hasattr(request, "_cv_tokens"):
        brought = request._cv_tokens[-1][1] if request._cv_tokens else None
    elif request is not None:
        stack = request._implicit_app_ctx_stack
        brought = stack[-1] if stack else None
    (context if brought is not context else request).pop()


def take_app_contexts_out(last: Any) -> None:
    """Make an application context the one on top, without a ``pop()`` of those above it.

    :param last: that context; ``None`` for no context at all.
    """
    _take_contexts_out("_cv_app", "_app_ctx_stack", last)


def take_request_contexts_out(last: Any) -> None:
    """Do the same with the contexts of requests."""
    _take_contexts_out("_cv_request", "_request_ctx_stack", last)


def _take_contexts_out(variable: str, stack: str, last: Any) -> None:
    import flask.globals

    known: Any = flask.globals
    current = getattr(known, variable, None)
    contexts: Any = getattr(known, stack, None)
    for _ in range(_MOST_PUSHED):
        if current is None:
            if contexts.top in (last, None):
                return
            contexts.pop()
        else:
            context = current.get(None)
            if context in (last, None):
                return
            current.reset(_token_of(context))


def _token_of(context: Any) -> Any:
    """Take out what sets a context's variable back to what it was before the context."""
    token = context._cv_tokens.pop()
    return token[0] if isinstance(token, tuple) else token


def current_request_context() -> Any:
    """Return the request context that is on top, or ``None``."""
    import flask.globals

    known: Any = flask.globals
    if hasattr(known, "_cv_request"):
        return known._cv_request.get(None)
    return known._request_ctx_stack.top
