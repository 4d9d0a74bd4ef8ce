"""What would pass silently although no database was made: a wrong order of bases, a lost set-up."""

from __future__ import annotations

import functools
import inspect
import unittest
from typing import Any, Callable

from .errors import ConfigurationError

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
        own = vars(self).get(name)
        self._dbtestcase_ready = False
        setattr(self, name, _requiring_setup(self, getattr(self, name)))
        try:
            return super().run(result)  # type: ignore[misc]
        finally:
            if own is None:
                vars(self).pop(name, None)
            else:
                setattr(self, name, own)


def _requiring_setup(case: Any, method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def checked(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        _require_ready(case)
        return method(*args, **kwargs)

    @functools.wraps(method)
    async def checked_async(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        _require_ready(case)
        return await method(*args, **kwargs)

    return checked_async if inspect.iscoroutinefunction(method) else checked


def _require_ready(case: Any) -> None:
    if not case._dbtestcase_ready:
        raise ConfigurationError(
            "%s.setUp() does not call super().setUp(), so this test would run on whatever the"
            " test before left in the database." % type(case).__name__
        )
