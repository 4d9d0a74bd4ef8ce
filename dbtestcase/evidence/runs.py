"""Runs a test so that nothing passes unseen: a set-up that was never reached, what became of it."""

from __future__ import annotations

import functools
import inspect
import os
import types
import unittest
from typing import Any, Callable, Tuple

from .. import events, where
from ..errors import ConfigurationError, DatabaseTestCaseError, is_brief
from . import kept_rows, shown_queries

KEEP_FAILED = "DBTESTCASE_KEEP_FAILED"
SHOW_QUERIES = "DBTESTCASE_SHOW_QUERIES"

__unittest = True  # keeps the wrapper of a test out of the traceback of its failure

_OUTCOMES = {
    "addSuccess": "passed",
    "addFailure": "failed",
    "addError": "error",
    "addSkip": "skipped",
    "addExpectedFailure": "expected failure",
    "addUnexpectedSuccess": "unexpected success",
    "addSubTest": "passed",
}
_FAILURES = ("addFailure", "addError", "addSubTest")


def wanted_of(case: Any) -> Tuple[bool, bool]:
    """Tell whether a failure is to keep the rows of a test, and whether to show its queries."""
    return (
        bool(case.keep_failed or where.is_on(KEEP_FAILED)),
        bool(case.show_queries or where.is_on(SHOW_QUERIES)),
    )


class CheckedRuns:
    """Makes errors of tests that would run on a database nobody reset, and sees what tests become.

    What would pass silently otherwise: a wrong order of bases, a set-up without ``super()``.
    """

    _dbtestcase_ready = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        order = cls.__mro__
        if unittest.TestCase in order:
            if order.index(unittest.TestCase) < order.index(CheckedRuns):
                raise ConfigurationError(
                    "class %s lists unittest.TestCase before DatabaseMixin, so no test of it would"
                    " get a database: write class %s(DatabaseMixin, unittest.TestCase)."
                    % (cls.__name__, cls.__name__)
                )

    def run(self, result: Any = None) -> Any:
        """Run the test; one whose ``setUp()`` never reached ours is an error, not a pass."""
        name = self._testMethodName  # type: ignore[attr-defined]
        own = {each: vars(self)[each] for each in (name, "setUp") if each in vars(self)}
        self._dbtestcase_ready = False
        keeps_rows, shows_queries = wanted_of(self)
        setattr(self, name, _checked(self, getattr(self, name)))
        vars(self).pop(kept_rows.FAILED_PARTS, None)  # of an earlier run of the same test
        if keeps_rows:
            self.setUp = _keeping_rows(self, self.setUp)  # type: ignore[has-type]
        self.setUp = _ending_at_user(self.setUp)
        try:
            is_watched = keeps_rows or shows_queries or events.is_heard()
            if result is None or not is_watched:
                return super().run(result)  # type: ignore[misc]
            with events.during(events.TEST, self):
                super().run(_WatchedResult(result, self))  # type: ignore[misc]
            return result
        finally:
            for each in (name, "setUp"):
                vars(self).pop(each, None)
            vars(self).update(own)


# --- the method of a test, checked ---------------------------------------------------------------


def _checked(case: Any, method: Callable[..., Any]) -> Any:
    """Return a test's method that requires a set-up, and keeps the rows of what fails."""
    mark = "__unittest_expecting_failure__"  # what unittest.expectedFailure leaves
    expected = bool(getattr(type(case), mark, False) or getattr(method, mark, False))
    checked: Callable[..., Any]
    if inspect.iscoroutinefunction(method):

        @functools.wraps(method)
        async def checked_async(self: Any, *args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            if not case._dbtestcase_ready:
                raise _not_set_up(case)
            try:
                returned = await method(*args, **kwargs)
            except BaseException as error:
                if wanted_of(case)[0] and not expected:
                    kept_rows.failed(case, error)
                raise
            if wanted_of(case)[0]:
                kept_rows.ended(case)
            return returned

        checked = checked_async
    else:

        @functools.wraps(method)
        def checked_sync(self: Any, *args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            if not case._dbtestcase_ready:
                raise _not_set_up(case)
            try:
                returned = method(*args, **kwargs)
            except BaseException as error:
                if wanted_of(case)[0] and not expected:
                    kept_rows.failed(case, error)
                raise
            if wanted_of(case)[0]:
                kept_rows.ended(case)
            return returned

        checked = checked_sync
    # A method as the test is one, as runners show it in what they say of it.
    return types.MethodType(checked, case)


def _not_set_up(case: Any) -> ConfigurationError:
    return ConfigurationError(
        "%s.setUp() does not call super().setUp(), so this test would run on whatever the test"
        " before left in the database." % type(case).__name__
    )


def _keeping_rows(case: Any, method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def kept(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        try:
            return method(*args, **kwargs)
        except BaseException as error:
            if wanted_of(case)[0]:
                kept_rows.failed(case, error)
            raise

    return kept


def _ending_at_user(method: Callable[[], Any]) -> Callable[[], Any]:
    """Keep this package's frames, and all where the error refers to another, out of a failure."""

    def set_up() -> Any:
        __tracebackhide__ = True
        try:
            return method()
        except DatabaseTestCaseError as error:
            if "PYTEST_CURRENT_TEST" not in os.environ:  # which shows runners' frames if no other
                if is_brief(error) and error.__traceback__:
                    error.__traceback__.tb_next = None
                where.end_at_user(error)
            raise

    return set_up


# --- what a test tells its result ----------------------------------------------------------------


class _WatchedResult:
    """Passes everything on to the result of the runner, whichever kind of object that is."""

    def __init__(self, result: Any, case: Any) -> None:
        vars(self).update(_result=result, _case=case)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._result, name)
        if name not in _OUTCOMES:
            return value

        def add(*arguments: Any, **options: Any) -> Any:
            self._see(name, arguments)
            return value(*arguments, **options)

        return add

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._result, name, value)

    def _see(self, name: str, arguments: Any) -> None:
        outcome = _OUTCOMES[name]
        raised = arguments[-1] if name in _FAILURES and arguments else None
        if isinstance(raised, tuple):
            error = raised[1]
            outcome = (
                "skipped" if type(error).__name__ == "Skipped" else "error"
            )  # by pytest.skip()
            if isinstance(error, self._case.failureException):
                outcome = "failed"
            if outcome != "skipped":
                if wanted_of(self._case)[1]:
                    shown_queries.add_to(error, self._case)
                if name == "addSubTest":
                    kept_rows.sub_test_failed(self._case, error)
        events.note(events.OUTCOME, outcome=outcome)
