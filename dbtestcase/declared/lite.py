"""Applications of Flask-SQLAlchemy-Lite, which knows engines and sessions and no models."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Optional

from .. import _compat
from ..errors import ConfigurationError
from .flask import FlaskTarget


class LiteTarget(FlaskTarget):
    """An application, its extension, and the metadata that the suite gives.

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
        if _compat.current_app_context() is not None:
            sessions = _compat.lite_sessions()
            while sessions:
                sessions.popitem()[1].close()

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
