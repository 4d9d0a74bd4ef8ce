"""What became of a test, as it tells its result: for the report, and for failures that say more."""

from __future__ import annotations

from typing import Any

from .. import events
from . import kept_rows, shown_queries

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


class WatchedRuns:
    """Sees what each test tells its ``TestResult``, where there is a use for it."""

    def run(self, result: Any = None) -> Any:
        """Run the test."""
        wanted = events.is_heard() or shown_queries.are_wanted(self) or kept_rows.is_wanted(self)
        if result is None or not wanted:
            return super().run(result)  # type: ignore[misc]
        with events.during(events.TEST, self):
            super().run(_WatchedResult(result, self))  # type: ignore[misc]
        return result


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
            outcome = self._outcome_of(error)
            if outcome != "skipped":
                shown_queries.add_to(error, self._case)
                if name == "addSubTest":
                    kept_rows.sub_test_failed(self._case, error)
        events.note(events.OUTCOME, outcome=outcome)

    def _outcome_of(self, error: BaseException) -> str:
        if isinstance(error, self._case.failureException):
            return "failed"
        return "skipped" if type(error).__name__ == "Skipped" else "error"  # by pytest.skip()
