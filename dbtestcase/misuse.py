"""What would pass silently although no database was made: a wrong order of bases, a lost set-up."""

from __future__ import annotations

import functools
import inspect
import types
import unittest
from typing import Any, Callable

from .errors import ConfigurationError
from .evidence import forget_kept, keep_at_end, keep_failed, keeps_rows

__unittest = True  # keeps the wrapper of a test out of the traceback of its failure


class MisuseChecks:
    """Turns tests that would run on a database nobody reset into errors."""

    _dbtestcase_ready = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        order = cls.__mro__
        if unittest.TestCase in order:
            if order.index(unittest.TestCase) < order.index(MisuseChecks):
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
        forget_kept(self)
        setattr(self, name, _requiring_setup(self, getattr(self, name)))
        if keeps_rows(self):
            self.setUp = _keeping_rows(self, self.setUp)  # type: ignore[has-type]
        try:
            return super().run(result)  # type: ignore[misc]
        finally:
            for each in (name, "setUp"):
                vars(self).pop(each, None)
            vars(self).update(own)


def _requiring_setup(case: Any, method: Callable[..., Any]) -> Any:
    expected = _is_expected_to_fail(case, method)
    if inspect.iscoroutinefunction(method):
        checked = _requiring_setup_async(case, method, expected)
    else:
        checked = _requiring_setup_sync(case, method, expected)
    # A method as the test is one, as runners show it in what they say of it.
    return types.MethodType(checked, case)


def _requiring_setup_sync(case: Any, method: Callable[..., Any], expected: bool) -> Any:
    @functools.wraps(method)
    def checked(self: Any, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        _require_ready(case)
        try:
            returned = method(*args, **kwargs)
        except BaseException as error:
            keep_failed(case, error, expected)
            raise
        keep_at_end(case)
        return returned

    return checked


def _requiring_setup_async(case: Any, method: Callable[..., Any], expected: bool) -> Any:
    @functools.wraps(method)
    async def checked_async(self: Any, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        _require_ready(case)
        try:
            returned = await method(*args, **kwargs)
        except BaseException as error:
            keep_failed(case, error, expected)
            raise
        keep_at_end(case)
        return returned

    return checked_async


def _keeping_rows(case: Any, method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def kept(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        try:
            return method(*args, **kwargs)
        except BaseException as error:
            keep_failed(case, error, False)
            raise

    return kept


def _is_expected_to_fail(case: Any, method: Callable[..., Any]) -> bool:
    mark = "__unittest_expecting_failure__"  # what unittest.expectedFailure leaves
    return bool(getattr(type(case), mark, False) or getattr(method, mark, False))


def _require_ready(case: Any) -> None:
    if not case._dbtestcase_ready:
        raise ConfigurationError(
            "%s.setUp() does not call super().setUp(), so this test would run on whatever the"
            " test before left in the database." % type(case).__name__
        )
