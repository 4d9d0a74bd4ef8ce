"""Finds the databases of a Flask application: its context, engines, session and tables.

An application has Flask-SQLAlchemy, or Flask-SQLAlchemy-Lite, which knows no models.
"""

from __future__ import annotations

import contextlib
import importlib
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Tuple

from .. import _compat
from ..databases import dispose
from ..errors import ConfigurationError
from . import config as configuration
from .target import Target

# So many contexts are popped; where that has not been enough, pop() does not pop them.
_MOST_CONTEXTS = 100


class FlaskTarget(Target):
    """An application, its Flask-SQLAlchemy object and the engines of all of its binds.

    :param app: the Flask application.
    :param db: the Flask-SQLAlchemy object.
    :param config: the Testing configuration to load, or ``None`` to keep what the app has.
    :param made_here: whether the app is one test's own, so that its pools end with it.
    """

    def __init__(self, app: Any, db: Any, config: Any, made_here: bool) -> None:
        super().__init__()
        self.app = app
        self.config = config
        self.db = db
        with self.undone_on_error():
            if config is not None:
                self.on_close(configuration.load(app, config))
            self._require_urls()
            self._follow()
            self._live_engines = _compat.engine_lookup(self.db, app)
            if made_here:
                self.on_close(self._dispose)

    @property
    def session(self) -> Any:
        return self.db.session

    @property
    def engines(self) -> Dict[Optional[str], Any]:
        return self._live_engines()

    def _follow(self) -> None:
        renew = self.config is not None
        self.on_close(configuration.engines_follow(self.app, self.db, renew=renew))

    def _dispose(self) -> None:
        for engine in self.engines.values():
            dispose(engine)

    def _require_urls(self) -> None:
        urls = configuration.configured_urls(self.app, self.db)
        if self.config is not None and not self._is_set_by_config(None):
            urls = {key: url for key, url in urls.items() if key or not _compat.is_filled_in(url)}
        if not urls:
            raise ConfigurationError(
                "the app %r has no %s%s: set it in the Testing configuration,"
                " for example postgresql://localhost/%s_test"
                % (
                    self.app.import_name,
                    _compat.engine_setting(self.db, None),
                    " in " + configuration.name_of(self.config) if self.config is not None else "",
                    self.app.import_name.split(".")[0].strip("_") or "app",
                )
            )

    def tables(self, key: Optional[str]) -> List[Any]:
        return _compat.tables_of_bind(self.db, key)

    def create_all(self) -> None:
        self.db.create_all()

    @contextlib.contextmanager
    def context(self) -> Iterator[None]:
        with self.app.app_context():
            yield

    def enter_context(self, push: bool) -> Callable[[], None]:
        below = _compat.current_app_context()
        request = _compat.current_request_context()
        context = None
        if push and getattr(below, "app", None) is not self.app:  # else the suite has its own
            context = self.app.app_context()
            context.push()

        def leave() -> None:  # pops also what the test left open on top of it
            for _ in range(_MOST_CONTEXTS):
                if _compat.current_app_context() in (context, below, None):
                    break
                _compat.pop_context_left_open()
            else:
                _compat.take_app_contexts_out(below if context is None else context)
            for _ in range(_MOST_CONTEXTS):
                if _compat.current_request_context() in (request, None):
                    break
                _compat.current_request_context().pop()
            else:
                _compat.take_request_contexts_out(request)
            if context is not None and _compat.current_app_context() is context:
                context.pop()

        return leave

    def remove_session(self) -> None:
        super().remove_session()
        # The scope may be the application context: without one there is nothing to remove.
        if _compat.current_app_context() is not None or not _compat.scoped_by_context(self.db):
            self.session.remove()

    def refusal(self) -> Optional[str]:
        if self.app.config.get("TESTING"):
            return None
        return 'app.config["TESTING"] is false, so %r may be serving real users' % (
            self.app.import_name
        )

    def origin(self, key: Optional[str]) -> str:
        setting = _compat.engine_setting(self.db, key)
        if self.config is None:
            return "%s of the app %r (the class loads no config)" % (setting, self.app.import_name)
        if self._is_set_by_config(key):
            return "%s of %s" % (setting, configuration.name_of(self.config))
        return "%s of the app %r (%s does not set it)" % (
            setting,
            self.app.import_name,
            configuration.name_of(self.config),
        )

    def _is_set_by_config(self, key: Optional[str]) -> bool:
        name = _compat.engine_setting(self.db, key).partition("[")[0]
        return name in configuration.settings_of(self.config)


class LiteTarget(FlaskTarget):
    """An application of Flask-SQLAlchemy-Lite, and the metadata that the suite gives.

    :param metadata: a MetaData or a declarative base; or a mapping of them by the name of their
        engine; or ``None`` where create_tables() does it all.
    """

    def __init__(self, app: Any, db: Any, config: Any, made_here: bool, metadata: Any) -> None:
        self.metadata = metadata
        super().__init__(app, db, config, made_here)

    def _follow(self) -> None:
        self._refuse_async_engines()
        former = _compat.live_engines(self.db, self.app)
        super()._follow()
        with self.app.app_context():
            sessionmaker = self.db.sessionmaker
        self.on_close(_rebind(sessionmaker, former, _compat.live_engines(self.db, self.app)))

    def _refuse_async_engines(self) -> None:
        if self.app.config.get("SQLALCHEMY_ASYNC_ENGINES"):
            raise ConfigurationError(
                "the app %r has SQLALCHEMY_ASYNC_ENGINES, whose databases cannot be checked and"
                " reset: set it to {} in the Testing configuration." % self.app.import_name
            )

    @property
    def session(self) -> Any:
        """The session of the present application context; it has none outside."""
        context = _compat.current_app_context()
        return self.db.session if getattr(context, "app", None) is self.app else None

    def commit_session(self) -> None:
        for session in _compat.lite_sessions().values():
            session.commit()

    def remove_session(self) -> None:
        self.following.close_sessions()
        if _compat.current_app_context() is not None:
            sessions = _compat.lite_sessions()
            for name in list(sessions):
                sessions.pop(name).close()

    def tables(self, key: Optional[str]) -> List[Any]:
        metadata = self._metadatas().get(key)
        return list(metadata.tables.values()) if metadata is not None else []

    def _metadatas(self) -> Dict[Optional[str], Any]:
        given = self.metadata if isinstance(self.metadata, Mapping) else {None: self.metadata}
        return {
            _compat.lite_bind_key(name): getattr(each, "metadata", each)
            for name, each in given.items()
        }

    def create_all(self) -> None:
        if self.metadata is None:
            raise ConfigurationError(
                "there is nothing to create: Flask-SQLAlchemy-Lite does not know the models of the"
                " app %r. Give the class their metadata (a MetaData or a declarative base, or a"
                " mapping of them by the name of their engine), or override create_tables()."
                % self.app.import_name
            )
        for key, metadata in self._metadatas().items():
            if key not in self.engines:
                raise ConfigurationError(
                    "metadata has tables for %s, which is not configured."
                    % _compat.engine_setting(self.db, key)
                )
            metadata.create_all(self.engines[key])


def _rebind(sessionmaker: Any, former: Dict[Any, Any], now: Dict[Any, Any]) -> Callable[[], None]:
    """Have sessions use the engines of now; return what has them use the former ones again.

    :raises ConfigurationError: if they are bound to one that there is no longer.
    """
    options = sessionmaker.kw
    before = {name: options[name] for name in ("bind", "binds") if name in options}

    def successor(engine: Any) -> Any:
        for key, each in former.items():
            if each is engine and key in now:
                return now[key]
            if each is engine:
                raise ConfigurationError(
                    'sessions are bound to the engine "%s", which the Testing configuration does'
                    " not have: add it to SQLALCHEMY_ENGINES." % (key or "default")
                )
        return engine

    if "binds" in before:
        options["binds"] = {model: successor(each) for model, each in before["binds"].items()}
    options["bind"] = now.get(None) if None in former or None in now else before.get("bind")

    def put_back() -> None:
        for name in ("bind", "binds"):
            options.pop(name, None)
        options.update(before)

    return put_back


def target_of(app: Any, db: Any, config: Any, made_here: bool, metadata: Any = None) -> Target:
    """Return the target of an application, as its extension wants it; arguments as there.

    :param metadata: what the suite gives, for an extension that does not know the models.
    """
    _compat.require_working_pairs()
    if db is None:
        db = _compat.flask_sqlalchemy_of(app)
    if db is None:
        raise ConfigurationError(
            "the app %r has no Flask-SQLAlchemy: call db.init_app(app), or give the class"
            " engine, metadata and session instead of app." % app.import_name
        )
    if _compat.is_lite(db):
        return LiteTarget(app, db, config, made_here, metadata)
    return FlaskTarget(app, db, config, made_here)


def application(found: Any, named_by: str) -> Tuple[Any, bool]:
    """Return the Flask application that a suite's ``app`` stands for, and whether it is new.

    What stands for no application is returned as it is.

    :param found: an app, ``"module:attribute"`` (an app or what makes one), or a test client,
        which knows its app.
    :param named_by: the class, for the error.
    :raises ConfigurationError: if a name cannot be imported.
    """
    if isinstance(found, str):
        named = import_object(found, "%s: app = %r" % (named_by, found))
        is_factory = callable(named) and not hasattr(named, "app_context")
        return (named(), True) if is_factory else (named, False)
    for candidate in (found, getattr(found, "application", None), getattr(found, "app", None)):
        if hasattr(candidate, "app_context") and hasattr(candidate, "config"):
            return candidate, False
    return found, False


def import_object(name: str, called: str = "") -> Any:
    """Return what a ``"module:attribute"`` names.

    :param called: how an error calls it, the name itself by default.
    :raises ConfigurationError: if it cannot be imported, for whatever reason.
    """
    module, colon, attribute = name.partition(":")
    try:
        found = importlib.import_module(module)
        for part in (attribute or "app").split("."):
            found = getattr(found, part)
    except Exception as error:
        reason = _compat.broken_pair() or _compat.missing_driver(error)
        if reason is None:
            reason = (
                "%s: %s. It is 'module:attribute', seen from the directory the tests are started"
                " in." % (type(error).__name__, error)
            )
        raise ConfigurationError(
            "%s cannot be imported: %s" % (called or repr(name), reason)
        ) from error
    return found
