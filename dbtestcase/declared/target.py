"""Holds what a test runs against: the engines, tables and sessions that a suite names.

It also knows which classes are set up, and against what.
"""

from __future__ import annotations

import contextlib
from typing import Any, Callable, Dict, Iterator, List, Optional

import sqlalchemy as sa

from .. import _compat, dialects
from ..connections import end_test
from ..databases import dispose
from ..errors import ConfigurationError
from .sessions import Following


class Target:
    """The part that targets with and without Flask share; a target lives for a class or a test."""

    app: Any = None
    db: Any = None
    session: Any = None
    metadata: Any = None
    built: Any = None  # the declared tables for which its databases were built

    def __init__(self) -> None:
        self._undoing = contextlib.ExitStack()
        self.databases: List[Any] = []  # what its engines lead to, once that was checked
        self.following = Following(self)

    def on_close(self, undo: Callable[[], None]) -> None:
        """Have something done when the target is closed, the last first."""
        self._undoing.callback(undo)

    @contextlib.contextmanager
    def undone_on_error(self) -> Iterator[None]:
        """Undo what was done so far if the block raises."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Dispose of the engines made here and put back what was changed."""
        self._undoing.close()

    @property
    def engines(self) -> Dict[Optional[str], Any]:
        """The engines in use at this moment, by bind key (``None``: the default)."""
        raise NotImplementedError

    def tables(self, key: Optional[str]) -> List[Any]:
        """Return the tables that are declared for a bind key."""
        raise NotImplementedError

    def create_all(self) -> None:
        """Create every declared table on its engine."""
        raise NotImplementedError

    def context(self) -> Any:
        """Return a context manager in which engines and sessions can be used."""
        return contextlib.nullcontext()

    def enter_context(self, push: bool) -> Callable[[], None]:
        """Enter the context for a test, if it wants one pushed; return what leaves it."""
        return lambda: None

    def remove_session(self) -> None:
        """Remove the session of the present scope, and close those that followed."""
        self.following.close_sessions()

    def commit_session(self) -> None:
        """Commit what was left pending in that session, as no test would see it otherwise."""
        registry = getattr(self.session, "registry", None)
        if registry is not None and registry.has():
            self.session.commit()

    def scoped_sessions(self) -> List[Any]:
        """Return the scoped sessions whose registries are emptied between tests."""
        return [self.session] if hasattr(self.session, "registry") else []

    def refusal(self) -> Optional[str]:
        """Return why nothing of this target may be cleared, whatever the database, or ``None``."""
        return None

    def origin(self, key: Optional[str]) -> str:
        """Return which setting led to the engine of a bind key."""
        raise NotImplementedError


class PlainTarget(Target):
    """An engine, its metadata and its session, without Flask.

    :param engine: an Engine, or a URL of which one is made for the class.
    :param metadata: a MetaData, a declarative base, or ``None`` where create_tables() does it all.
    :param session: a scoped session or a sessionmaker; one is made where it is ``None``.
    """

    def __init__(self, engine: Any, metadata: Any, session: Any) -> None:
        super().__init__()
        self.metadata = getattr(metadata, "metadata", metadata)
        with self.undone_on_error():
            is_url = isinstance(engine, (str, sa.engine.url.URL))
            self.engine = self._made(engine) if is_url else engine
            self.session = self._bound(session)
            self._bind_metadata()

    def _made(self, url: Any) -> Any:
        try:
            engine = sa.create_engine(url)
        except (ImportError, sa.exc.NoSuchModuleError) as error:
            raise dialects.unusable(sa.engine.url.make_url(url), error) from None
        except sa.exc.ArgumentError:  # whose text may hold the password
            raise ConfigurationError(
                "engine is a text that is not a URL of a database, such as"
                " postgresql://localhost/app_test."
            ) from None
        self.on_close(lambda: dispose(engine))
        return engine

    def _bound(self, session: Any) -> Any:
        if session is None:
            session = sa.orm.scoped_session(sa.orm.sessionmaker(bind=self.engine))
            self.on_close(session.remove)
            return session
        self.following.bind(session, self.engine)
        return session

    def _bind_metadata(self) -> None:
        metadata, bind = self.metadata, _compat.bind_of_metadata(self.metadata)
        if bind is not None and not self.following.has(bind):
            _compat.set_bind_of_metadata(metadata, self.engine)
            self.on_close(lambda: _compat.set_bind_of_metadata(metadata, bind))

    @property
    def engines(self) -> Dict[Optional[str], Any]:
        return {None: self.engine}

    def tables(self, key: Optional[str]) -> List[Any]:
        return list(self.metadata.tables.values()) if self.metadata is not None else []

    def create_all(self) -> None:
        if self.metadata is None:
            raise ConfigurationError(
                "there is nothing to create: give the class its metadata (a MetaData or a"
                " declarative base), or override create_tables()."
            )
        self.metadata.create_all(self.engine)

    def remove_session(self) -> None:
        super().remove_session()
        if hasattr(self.session, "remove"):
            self.session.remove()

    def origin(self, key: Optional[str]) -> str:
        return "the engine of the class"


# --- which classes are set up, and what their tests find under the names that they give ---------

# What each class that is set up runs against, until it is left.
_targets: Dict[type, Target] = {}


class Given:
    """An attribute for the suite to set; where it does not, the one in use is given.

    It yields to whatever a class or an instance of the suite has under its name.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, case: Any, owner: type) -> Any:
        target = getattr(case, "_dbtestcase_target", None) or _targets.get(owner)
        return getattr(target, self.name, None)


def enter_class(cls: type, target: Target) -> None:
    """Have a class run against a target until it is left."""
    _targets[cls] = target


def target_of_class(cls: type) -> Optional[Target]:
    """Return what a class runs against; ``None`` where each of its tests makes that itself."""
    return _targets.get(cls)


def leave_class(cls: type) -> None:
    """Undo what a class loaded and dispose of what it made; harmless a second time."""
    target = _targets.pop(cls, None)
    if target is not None:
        try:
            target.remove_session()
        finally:
            end_test()
            target.close()


def leave_other_classes(cls: type) -> None:
    """Undo classes whose end never came, as on Python 3.7 after a set-up that failed."""
    for other in [other for other in _targets if other is not cls]:
        leave_class(other)


def resolve(case: Any, target: Target) -> None:
    """Give the test the application or engine itself where its class has a name or URL of it."""
    name, texts = ("app", str) if target.app is not None else ("engine", (str, sa.engine.url.URL))
    if name in vars(case) and case._dbtestcase_own is not target:
        return  # the test's own, for something else
    if isinstance(getattr(case, name), texts):
        setattr(case, name, getattr(target, name))
