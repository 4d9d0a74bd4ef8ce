"""The life of one test, top to bottom.

``setUpClass`` loads the config, checks the databases and makes the tables; ``setUp`` removes the
sessions and resets; ``tearDown`` removes; clean-ups, which run even where a set-up failed, leave.
"""

from __future__ import annotations

import unittest
from functools import partial
from typing import Any, Callable, Dict, Iterable, List, Optional, Union

from . import _compat, events, where
from .assertions import ObjectStateAssertions, QueryAssertions, RowAssertions
from .connections import (
    Leak,
    begin_test,
    end_test,
    free,
    leak_text,
    note_leaks,
    warn_of_leaks,
    watch,
)
from .databases import (
    CheckedDatabase,
    allow_writing,
    check,
    controls_of,
    ensure_built,
    left_open,
    name_of,
)
from .declared import (
    Given,
    Target,
    class_target,
    enter_class,
    leave_class,
    leave_other_classes,
    no_target,
    own_target,
    resolve,
    target_of_class,
)
from .errors import DatabaseTestCaseError
from .evidence import CheckedRuns, keep_queries, wanted_of
from .strategies import Strategy, strategy_of


class DatabaseMixin(CheckedRuns):
    """Gives every test of a ``unittest.TestCase`` a database that is as good as new.

    List it before ``unittest.TestCase``. Give the class either ``app`` (or ``create_app()``) and
    ``config``, or ``engine``, ``metadata`` and ``session``.
    """

    app: Any = Given()
    """A Flask application or ``"module:attribute"``; also one that the test sets on itself."""
    config: Any = None
    """The Testing configuration: what ``app.config.from_object()`` takes, or a mapping."""
    db: Any = Given()
    """The Flask-SQLAlchemy object; the app's own where it is not set."""
    engine: Any = Given()
    """An engine or a URL, for suites without Flask."""
    metadata: Any = Given()
    """A ``MetaData`` or a declarative base, for suites without Flask."""
    session: Any = Given()
    """A scoped session or a sessionmaker, for suites without Flask."""
    reset: Optional[str] = "recreate"
    """``"recreate"``, ``"rollback"``, or ``None`` to leave the data alone."""
    recreate: str = "verified"
    """``"verified"``; ``"always"`` drops and creates; ``"compare"`` does both and compares."""
    lock_timeout: float = 5.0
    """Seconds that clearing, creating and any statement of a test may wait for a lock."""
    allowed_databases: Union[str, Iterable[str]] = ()
    """Exact names of databases that are for tests although they have no word ``test``."""
    push_app_context: bool = True
    """Whether an application context is kept pushed during each test."""
    leaks: str = "warn"
    """``"warn"`` of what a test left open, or ``"error"``: it is the failure of that test."""
    terminate_blockers: bool = False
    """Whether other processes' transactions of the same role in the test database are ended."""
    show_queries: bool = False
    """Whether a failure of a test shows the queries that the test had run."""
    keep_failed: bool = False
    """Whether the rows of a test that failed are kept in a database of their own."""

    _dbtestcase_loaded: Dict[str, Any] = {}
    _dbtestcase_own: Optional[Target] = None
    _dbtestcase_target: Any = None
    _dbtestcase_strategy: Strategy

    @classmethod
    def create_app(cls) -> Any:
        """Return the Flask application of the class; override it where ``app`` is not enough."""
        return None

    def create_tables(self) -> None:
        """Make the schema: ``create_all`` on every bind; override it to run migrations."""
        self._dbtestcase_target.create_all()

    def load_data(self) -> None:
        """Load the rows that every test starts with; runs once for the class, nothing by default.

        What it sets on ``self`` is there in every test.
        """

    # --- the class: load, check, build ----------------------------------------------------------

    @classmethod
    def setUpClass(cls) -> None:
        __tracebackhide__ = True
        super().setUpClass()  # type: ignore[misc]
        try:
            with events.during(events.RESET, cls):
                cls._dbtestcase_open_class()
        except DatabaseTestCaseError as error:
            where.end_at_user(error)
            raise

    @classmethod
    def _dbtestcase_open_class(cls) -> None:
        leave_other_classes(cls)
        watch()
        cls._dbtestcase_strategy = strategy_of(cls)
        target = class_target(cls)
        if target is None:
            return  # made by each test
        enter_class(cls, target)
        _compat.add_class_cleanup(cls, lambda: leave_class(cls))
        try:
            # An instance for create_tables() and load_data() before any test runs.
            case: Any = cls("runTest")  # type: ignore[call-arg]
            case._dbtestcase_own = case._dbtestcase_target = target
            resolve(case, target)
            if cls._dbtestcase_strategy.resets:
                case._dbtestcase_remove()
                warn_of_leaks(case._dbtestcase_freed())
                target.databases = case._dbtestcase_check(cls.__name__)
                case._dbtestcase_build(target.databases)
        except BaseException:
            leave_class(cls)
            raise

    @classmethod
    def tearDownClass(cls) -> None:
        super().tearDownClass()  # type: ignore[misc]
        if not _compat.has_class_cleanups(cls):
            leave_class(cls)

    # --- the test: remove, reset, run, remove ---------------------------------------------------

    def setUp(self) -> None:
        __tracebackhide__ = type(self).setUp is not DatabaseMixin.setUp
        self.addCleanup(self._dbtestcase_leave)  # type: ignore[attr-defined]
        try:
            with events.during(events.RESET, self):
                self._dbtestcase_enter()
        except DatabaseTestCaseError as error:
            where.end_at_user(error)
            raise
        super().setUp()

    def tearDown(self) -> None:
        self._dbtestcase_remove()
        super().tearDown()  # type: ignore[misc]

    def _dbtestcase_enter(self) -> None:
        cls, name = type(self), name_of(self)
        where.set_current_test(name)
        leaving: List[Callable[[], Any]] = [allow_writing, partial(where.set_current_test, None)]
        self._dbtestcase_leaving = leaving  # the last first
        shared = target_of_class(cls)
        if shared is None:  # also after a setUpClass() without super()
            cls._dbtestcase_open_class()
            shared = target_of_class(cls)
        own = None
        if shared is None or "app" in vars(self) or "engine" in vars(self):
            own = own_target(self, shared)
        if own is not None:
            self._dbtestcase_own = own
            leaving.append(own.close)
        target = self._dbtestcase_target = own or shared
        if target is None:
            raise no_target(self)
        resolve(self, target)
        self._dbtestcase_remove()
        left = self._dbtestcase_freed()
        if left:
            warn_of_leaks(left)
        databases = self._dbtestcase_databases = self._dbtestcase_check(name)
        leaving.append(partial(_pause, cls))
        strategy = self._dbtestcase_strategy
        if strategy.resets:
            self._dbtestcase_build(databases)
        if strategy.ends:
            leaving.append(partial(strategy.end, self, databases))
        strategy.begin(self, databases)
        leaving.append(self._dbtestcase_free)
        for attribute, value in self._dbtestcase_loaded.items():
            vars(self).setdefault(attribute, value)
        leaving.append(target.enter_context(self.push_app_context))
        leaving.append(self._dbtestcase_remove)
        _, shows_queries = wanted_of(self)
        if shows_queries:
            leaving.append(keep_queries(self))
        self._dbtestcase_ready = True

    def _dbtestcase_leave(self) -> None:
        with events.during(events.LEAVING, self):
            _run_all(self._dbtestcase_leaving)

    # --- what the steps are made of -------------------------------------------------------------

    def _dbtestcase_engines(self) -> List[Any]:
        return list(self._dbtestcase_target.engines.values())

    def _dbtestcase_remove(self) -> None:
        if self._dbtestcase_target is not None:
            self._dbtestcase_target.remove_session()

    def _dbtestcase_freed(self) -> List[Leak]:
        target = self._dbtestcase_target
        return free(target.engines.values(), target.scoped_sessions())

    def _dbtestcase_free(self) -> None:
        left = self._dbtestcase_freed()
        if self.leaks == "error":
            left += left_open(self._dbtestcase_databases, self)
        if left and self.leaks == "error":
            note_leaks(left)
            raise self.failureException(leak_text(left))  # type: ignore[attr-defined]
        if left:
            warn_of_leaks(left)

    def _dbtestcase_check(self, owner: str) -> List[CheckedDatabase]:
        allowed, bound = self.allowed_databases, self.lock_timeout
        names = (allowed,) if isinstance(allowed, str) else tuple(allowed)
        databases = check(self._dbtestcase_target, owner, names, bound)
        engines = self._dbtestcase_target.engines.values()
        begin_test(engines, owner, bound, controls_of(databases))
        return databases

    def _dbtestcase_build(self, databases: List[CheckedDatabase]) -> None:
        ensure_built(self, self._dbtestcase_target, databases, DatabaseMixin)


class DatabaseTestCase(
    DatabaseMixin,
    ObjectStateAssertions,
    RowAssertions,
    QueryAssertions,
    unittest.TestCase,
):
    """A ``unittest.TestCase`` whose tests each start with a database that is as good as new."""


def _run_all(steps: List[Callable[[], Any]]) -> None:
    """Take the steps, the last first, whatever they raise; the last error names the others."""
    try:
        while steps:
            steps.pop()()
    finally:
        if steps:
            _run_all(steps)


def _pause(cls: Any) -> None:
    """Hold what a class does between its tests to the same bounds as the tests."""
    target = target_of_class(cls)
    if target is None:
        end_test()
        return
    controls = controls_of(target.databases)
    begin_test(target.engines.values(), cls.__name__, cls.lock_timeout, controls)
