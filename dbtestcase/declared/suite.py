"""What does a suite declare? Its app, its engine, its session: read, never overwritten."""

from __future__ import annotations

import inspect
from typing import Any, Optional, Tuple

from ..errors import ConfigurationError
from .target import PlainTarget, Target, is_url


class Given:
    """An attribute for the suite to set; where it does not, the one in use is given.

    It yields to whatever a class or an instance of the suite has under its name.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, case: Any, owner: type) -> Any:
        target = owner._dbtestcase_target_of(case)  # type: ignore[attr-defined]
        return getattr(target, self.name, None)


def class_target(cls: type) -> Optional[Target]:
    """Return the target that a class declares, or ``None`` if it makes one in each test.

    :raises ConfigurationError: if what it declares cannot be used.
    """
    app, made_here = _application(_declared(cls, "app"), cls.__name__)
    if app is None and isinstance(
        inspect.getattr_static(cls, "create_app"), (classmethod, staticmethod)
    ):
        app, made_here = cls.create_app(), True  # type: ignore[attr-defined]
    return _target(cls, app, _declared(cls, "engine"), cls.__name__, made_here)


def own_target(case: Any, shared: Optional[Target]) -> Optional[Target]:
    """Return the target that one test declares on itself, or ``None`` if it uses the class's.

    :param case: the test, which may have set ``self.app`` or ``self.engine``.
    :param shared: the target of its class.
    """
    name = "%s.%s" % (type(case).__name__, case._testMethodName)
    app = vars(case).get("app")
    if shared is None or not isinstance(app, str):  # else a text of its own
        app, _ = _application(app, name)
    if shared is None and app is None:
        app, _ = _application(_declared(case, "app"), name)  # a property
    if shared is None and app is None:
        app = case.create_app()  # an instance method: one app a test
    engine = vars(case).get("engine")
    if shared is not None and not _replaces(app, engine, shared):
        return None
    return _target(case, app, engine, name, made_here=True)


def _replaces(app: Any, engine: Any, shared: Target) -> bool:
    """Tell whether what a test set on itself is meant instead of what its class has.

    The names may also be taken for things of its own: a client, a second engine beside the app's.
    """
    if not _is_application(app):
        return engine is not None and shared.app is None
    return app is not shared.app


def _target(owner: Any, app: Any, engine: Any, name: str, made_here: bool) -> Optional[Target]:
    if _is_application(app):
        from .flask import target_of

        # A test's own "config" may be anything; its class's is the one to load.
        config = _declared(owner if isinstance(owner, type) else type(owner), "config")
        metadata = _declared(owner, "metadata")
        return target_of(app, _extension(owner), config, made_here, metadata)
    if engine is None:
        engine = _engine_of_session(_declared(owner, "session"))
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


def _application(app: Any, name: str) -> Tuple[Any, bool]:
    """Return the Flask application that an ``app`` stands for, and whether it was made just now.

    What stands for none is returned as it is.
    """
    if app is None:
        return None, False
    from .flask import application

    return application(app, name)


def _is_application(app: Any) -> bool:
    return hasattr(app, "app_context") and hasattr(app, "config")


def _extension(owner: Any) -> Any:
    """Return the suite's ``db`` if it is a Flask-SQLAlchemy object, as it may be anything."""
    db = _declared(owner, "db")
    return db if hasattr(type(db), "init_app") else None


def _engine_of_session(session: Any) -> Any:
    factory = getattr(session, "session_factory", session)
    return getattr(factory, "kw", {}).get("bind")


def no_target(case: Any) -> ConfigurationError:
    """Return the error for a test that says nothing about its database."""
    return ConfigurationError(
        "%s does not say what it tests against. Give the class app (a Flask application or"
        ' "module:attribute") or create_app(), or engine, metadata and session; or set self.app'
        " before super().setUp()." % type(case).__name__
    )


def resolve(case: Any, target: Target) -> None:
    """Give the test the application or engine itself where its class has a name or URL of it."""
    if isinstance(target, PlainTarget):
        if _means(case, "engine", target) and is_url(case.engine):
            case.engine = target.engine
    elif _means(case, "app", target) and isinstance(case.app, str):
        case.app = target.app


def _means(case: Any, name: str, target: Target) -> bool:
    """Tell whether an attribute stands for the target, and is not the test's for something else."""
    return name not in vars(case) or case._dbtestcase_own is target
