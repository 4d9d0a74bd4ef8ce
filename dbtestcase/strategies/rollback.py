"""The outer transaction: what a test and the code under test commit is gone when the test is over.

What drop and create would give, as far as one connection can show it. It differs where it must:
``now()`` stands still during a test, other processes and engines see nothing of it, connections of
the test see what others of it have not committed yet, ``SET LOCAL``, ``ON COMMIT`` and ``NOTIFY``
wait for an end that never comes, and a rollback takes along what another connection wrote since.
"""

from __future__ import annotations

import weakref
from typing import Any, List, Tuple

from ..databases import forget_built, name_of, restore
from ..errors import DatabaseTestCaseError
from .contract import Strategy
from .outer.transaction import OuterTransaction

# For each database, the rows and the state that the last outer transaction left.
_states: "weakref.WeakKeyDictionary[Any, Tuple[Any, Any]]" = weakref.WeakKeyDictionary()


class RollbackStrategy(Strategy):
    """Run each test within one transaction on each database, and roll it back."""

    ends = True

    def __init__(self) -> None:
        self._running: List[Tuple[Any, OuterTransaction]] = []

    def begin(self, case: Any, databases: List[Any]) -> None:
        """Begin the outer transactions, on what each test of the class starts with.

        :param case: the test that is about to run.
        :param databases: the checked databases of the test.
        :raises ConfigurationError: if engines cannot share a transaction.
        """
        test = name_of(case)
        case._dbtestcase_committed_counts = False  # all connections see what none has committed
        if not all([_is_ready(database, case) for database in databases]):
            forget_built(databases)
            case._dbtestcase_build(databases)
        for database in databases:
            outer = OuterTransaction(database.engines, test, database.name, case.lock_timeout)
            if not outer.begin(database.data, _state(database)) and _state(database):
                outer.end()  # somebody has committed something since the last test
                if restore(database, database.data, case):
                    self._begin_anew(case, databases)
                    return
                outer.begin(database.data)
            self._running.append((database, outer))

    def end(self, case: Any, databases: List[Any]) -> None:
        """Roll back, and look whether anything got past the transaction.

        :param case: the test that just ran.
        :param databases: the checked databases of the test.
        :raises AssertionError: if a deferred constraint is violated.
        :raises DatabaseTestCaseError: if something was committed for real; it is cleared first.
        """
        failures = []
        while self._running:
            database, outer = self._running.pop()
            outcome = outer.end()
            _states[database] = (database.data, outcome.state)
            if outcome.violation is not None:
                failures.append(case.failureException(_violation_text(outer, outcome.violation)))
            if outcome.committed:
                escaped = _clear(database, outer, case)
                if escaped:
                    failures.append(DatabaseTestCaseError(_escape_text(outer, escaped)))
        if failures:
            raise failures[0]

    def commit(self, databases: List[Any]) -> None:
        """Commit the outer transactions for real; the next test begins with a verified reset.

        :param databases: the checked databases of the test.
        :raises Exception: the driver's IntegrityError, if a deferred constraint is violated.
        """
        for database in databases:
            _states.pop(database, None)
        while self._running:
            self._running.pop()[1].commit()

    def _begin_anew(self, case: Any, databases: List[Any]) -> None:
        while self._running:
            self._running.pop()[1].end()
        forget_built(databases)
        case._dbtestcase_build(databases)
        for database in databases:
            _states.pop(database, None)
        self.begin(case, databases)


def _is_ready(database: Any, case: Any) -> bool:
    """Make a database equal to its base line unless it is known to be; tell whether that went."""
    return bool(_state(database)) or not restore(database, database.data, case)


def _state(database: Any) -> Any:
    baseline, state = _states.get(database, (None, None))
    return state if baseline is database.data else None


def _clear(database: Any, outer: OuterTransaction, case: Any) -> List[str]:
    """Make the database equal to its base line; return what was not."""
    _states.pop(database, None)
    try:
        found: List[str] = outer.sql.escaped_tables(database)
    except Exception:
        if database.dialect.alive:
            raise
        return []  # the server was lost, and what was written with it
    reason = restore(database, database.data, case)
    if reason:
        forget_built([database])
        return found + [reason]
    # What was deleted or changed shows by the rows that had to be written anew.
    return found or list(outer.sql.escaped_tables(database))


def _violation_text(outer: OuterTransaction, error: BaseException) -> str:
    return (
        '%s left rows in "%s" that violate a deferred constraint, which a commit checks:\n  %s'
        % (outer.test, outer.database, "\n  ".join(str(error).strip().splitlines()))
    )


def _escape_text(outer: OuterTransaction, escaped: List[str]) -> str:
    return (
        '%s wrote to "%s" past its outer transaction: %s.\n'
        "  It was committed for real: by an engine or process of its own, or by a COMMIT that was"
        " sent as text. The database was cleared, so the next test starts clean.\n"
        '  A test that needs real commits belongs to a class with reset = "recreate".'
        % (outer.test, outer.database, ", ".join(escaped))
    )
