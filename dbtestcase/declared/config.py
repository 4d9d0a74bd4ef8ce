"""Loads the Testing config of an app, makes its engines follow, and undoes both."""

from __future__ import annotations

import contextlib
from typing import Any, Callable, Dict, List, Mapping, Optional

import sqlalchemy as sa

from .. import _compat, dialects
from ..databases import dispose
from ..errors import ConfigurationError


def load(app: Any, config: Any) -> Callable[[], None]:
    """Load a configuration into an app that exists already.

    :param app: the Flask application.
    :param config: an import string, class or module for ``app.config.from_object()``, or a mapping.
    :return: what puts the former configuration back.
    :raises ConfigurationError: if it cannot be imported or holds no setting.
    """
    former = dict(app.config)

    def put_back() -> None:
        app.config.clear()
        app.config.update(former)

    settings = settings_of(config)
    if not settings:
        raise ConfigurationError(
            "the configuration %s holds no setting: Flask reads upper-case names only, such as"
            " SQLALCHEMY_DATABASE_URI. Did you mean another object?" % name_of(config)
        )
    app.config.update(settings)
    return put_back


def settings_of(config: Any) -> Dict[str, Any]:
    """Return the settings that a configuration holds, read as Flask reads them."""
    if isinstance(config, Mapping):
        return {key: value for key, value in config.items() if key.isupper()}
    from flask import Config

    loaded = Config("")
    try:
        loaded.from_object(config)
    except ImportError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise ConfigurationError(
            "the configuration %r cannot be imported: %s. It is what"
            " app.config.from_object() takes, for example 'webapp.config.Testing', seen from the"
            " directory the tests are started in."
            % (config, lines[-1] if lines else type(error).__name__)
        ) from error
    return dict(loaded)


def name_of(config: Any) -> str:
    """Return how a configuration is called in a message."""
    if isinstance(config, str):
        return config
    if isinstance(config, Mapping):
        return "the mapping given as config"
    if isinstance(config, type):
        return "%s.%s" % (config.__module__, config.__qualname__)
    return getattr(config, "__name__", type(config).__name__)


def engines_follow(app: Any, db: Any, renew: bool) -> Callable[[], None]:
    """Make the app's engines those of its configuration, every bind included.

    :param renew: make new ones even where the URLs agree, as other options may differ.
    :return: what disposes of the engines made here and puts the former ones back.
    :raises ConfigurationError: if no engine can be made, or they do not follow.
    """
    with contextlib.ExitStack() as undoing:
        try:
            if renew or _urls_that_differ(app, db):
                undoing.callback(_compat.renew_engines(db, app))
                for engine in _compat.live_engines(db, app).values():
                    undoing.callback(dispose, engine)
                differing = _urls_that_differ(app, db)
                if differing:
                    raise ConfigurationError(
                        "the engines of %r do not follow its configuration, so nothing was"
                        " cleared: %s. Make the app with the Testing configuration in"
                        " create_app() instead." % (app.import_name, "; ".join(differing))
                    )
        except (ImportError, sa.exc.NoSuchModuleError) as error:
            raise dialects.unusable(_first_unusable(app, db), error) from None
        return undoing.pop_all().close


def configured_urls(app: Any, db: Any) -> Dict[Optional[str], Any]:
    """Return what the app's configuration says for each bind key, as a URL.

    :raises ConfigurationError: if one is no URL of a database.
    """
    urls = {}
    for key, value in _compat.engine_settings(db, app).items():
        if isinstance(value, Mapping):  # options of create_engine()
            value = value.get("url")
        if value is None:
            continue
        try:
            if isinstance(value, Mapping):  # parts of a URL
                urls[key] = sa.engine.url.URL.create(**value)
            else:
                urls[key] = sa.engine.url.make_url(value)
        except sa.exc.ArgumentError:  # whose text may hold the password
            raise ConfigurationError(
                "%s is not a URL of a database, such as postgresql://localhost/app_test: %s"
                % (
                    _compat.engine_setting(db, key),
                    "it is empty" if not value else "it has no dialect:// that can be read",
                )
            ) from None
    return urls


def _first_unusable(app: Any, db: Any) -> Any:
    """Return the URL of which no engine can be made, as errors do not say which it was."""
    urls = configured_urls(app, db)
    for url in urls.values():
        try:
            sa.create_engine(url)
        except (ImportError, sa.exc.NoSuchModuleError):
            return url
    return next(iter(urls.values()))


def _urls_that_differ(app: Any, db: Any) -> List[str]:
    engines = _compat.live_engines(db, app)
    differing = []
    for key, url in sorted(configured_urls(app, db).items(), key=lambda item: str(item[0] or "")):
        engine = engines.get(key)
        if engine is None or not _same_place(engine.url, url):
            differing.append(
                "%s is configured as %s, its engine leads to %s"
                % (
                    "bind %r" % key if key else "the default",
                    _compat.url_text(url, hide_password=True),
                    _compat.url_text(engine.url, hide_password=True) if engine else "nowhere",
                )
            )
    return differing


def _same_place(left: Any, right: Any) -> bool:
    """Compare what decides which database a URL leads to.

    Flask-SQLAlchemy completes a URL itself: relative SQLite paths, default query arguments.
    """
    if left.get_backend_name() == "sqlite":
        one, other = (
            "" if url.database == ":memory:" else str(url.database or "") for url in (left, right)
        )
        return one.endswith(other)
    same_query = all(left.query.get(name) == value for name, value in right.query.items())
    return same_query and all(
        getattr(left, part) == getattr(right, part)
        for part in ("drivername", "username", "password", "host", "port", "database")
    )
