"""Reads what a class or a test declares: its app, its engine, its session.

What a suite has under these names is read, and never overwritten.
"""

from __future__ import annotations

import inspect
from typing import Any, Optional

import sqlalchemy as sa

from ..errors import ConfigurationError
from .flask import application, target_of
from .target import Given, PlainTarget, Target


def class_target(cls: type) -> Optional[Target]:
    """Return the target that a class declares, or ``None`` if it makes one in each test.

    :raises ConfigurationError: if what it declares cannot be used.
    """
    name = cls.__name__
    app, made_here = application(_declared(cls, "app"), name)
    if app is None and isinstance(
        inspect.getattr_static(cls, "create_app"), (classmethod, staticmethod)
    ):
        app, made_here = cls.create_app(), True  # type: ignore[attr-defined]
    return _target(cls, app, _declared(cls, "engine"), name, made_here)


def own_target(case: Any, shared: Optional[Target]) -> Optional[Target]:
    """Return the target that one test declares on itself, or ``None`` if it uses the class's.

    The names may also be taken for things of its own: a client, a second engine beside the app's.

    :param case: the test, which may have set ``self.app`` or ``self.engine``.
    :param shared: the target of its class.
    """
    app, engine = vars(case).get("app"), vars(case).get("engine")
    name = "%s.%s" % (type(case).__name__, case._testMethodName)
    if shared is None or not isinstance(app, str):  # else a text of its own
        app, _ = application(app, name)
    if shared is None and app is None:
        app, _ = application(_declared(case, "app"), name)  # a property
    if shared is None and app is None:
        app = case.create_app()  # an instance method: one app a test
    if shared is not None:
        if _is_application(app):
            is_meant = app is not shared.app
        else:
            is_meant = engine is not None and shared.app is None
        if not is_meant:
            return None
    return _target(case, app, engine, name, made_here=True)


def _target(owner: Any, app: Any, engine: Any, name: str, made_here: bool) -> Optional[Target]:
    target = _made(owner, app, engine, name, made_here)
    if target is not None:
        allowed = _declared(owner, "allowed_databases") or ()
        with target.undone_on_error():
            target.following.start((allowed,) if isinstance(allowed, str) else allowed)
    return target


def _made(owner: Any, app: Any, engine: Any, name: str, made_here: bool) -> Optional[Target]:
    if _is_application(app):
        # A test's own "config" may be anything; its class's is the one to load.
        config = _declared(owner if isinstance(owner, type) else type(owner), "config")
        db = _declared(owner, "db")
        db = db if hasattr(type(db), "init_app") else None  # it may be anything of the suite's
        return target_of(app, db, config, made_here, _declared(owner, "metadata"))
    if engine is None:
        session = _declared(owner, "session")
        factory = getattr(session, "session_factory", session)
        engine = getattr(factory, "kw", {}).get("bind")
        if isinstance(engine, sa.engine.Connection):
            engine = engine.engine
    if engine is not None:
        return PlainTarget(engine, _declared(owner, "metadata"), _declared(owner, "session"))
    if app is not None:
        raise ConfigurationError(
            "%s: app is %r, which is not a Flask application, nor a test client of one, nor"
            ' "module:attribute". Set app, or engine with metadata and session.' % (name, app)
        )
    return None


def _declared(owner: Any, name: str) -> Any:
    """Return what the suite itself has under a name, or ``None``."""
    static = inspect.getattr_static(owner, name, None)
    if isinstance(static, Given) or (isinstance(static, property) and isinstance(owner, type)):
        return None
    if inspect.isfunction(static):
        return static() if name == "app" else None
    return getattr(owner, name, None)


def _is_application(app: Any) -> bool:
    return hasattr(app, "app_context") and hasattr(app, "config")


def no_target(case: Any) -> ConfigurationError:
    """Return the error for a test that says nothing about its database."""
    return ConfigurationError(
        "%s does not say what it tests against. Give the class app (a Flask application or"
        ' "module:attribute") or create_app(), or engine, metadata and session; or set self.app'
        " before super().setUp()." % type(case).__name__
    )
