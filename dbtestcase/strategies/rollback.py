"""Runs each test in an outer transaction: what the test commits is gone when it is over.

What drop and create would give, as far as one connection can show it. It differs where it must:
``now()`` stands still during a test, other processes and engines see nothing of it, connections of
the test see what others of it have not committed yet, ``SET LOCAL``, ``ON COMMIT`` and ``NOTIFY``
wait for an end that never comes, and a rollback takes along what another connection wrote since.
"""

from __future__ import annotations

import weakref
from typing import Any, List, Tuple

from ..databases import CheckedDatabase, end_threads, forget_built, name_of, restore
from ..errors import BlockedDatabaseError, DatabaseTestCaseError
from .contract import Strategy
from .outer import OuterTransaction

_VIOLATION = (
    '{0} left rows in "{1}" that violate a deferred constraint, which a commit checks:\n  {2}'
)

_ESCAPE = """\
{0} wrote to "{1}" past its outer transaction: {2}.
  It was committed for real: by an engine or process of its own, or by a COMMIT that was\
 sent as text. The database was cleared, so the next test starts clean.
  A test that needs real commits belongs to a class with reset = "recreate"."""

# For each database, the rows and the state that the last outer transaction left.
_states: "weakref.WeakKeyDictionary[CheckedDatabase, Tuple[Any, Any]]" = weakref.WeakKeyDictionary()


class RollbackStrategy(Strategy):
    """Run each test within one transaction on each database, and roll it back."""

    ends = True

    def __init__(self) -> None:
        self._running: List[Tuple[CheckedDatabase, OuterTransaction]] = []

    def begin(self, case: Any, databases: List[Any]) -> None:
        """Begin the outer transactions, on what each test of the class starts with.

        :param case: the test that is about to run.
        :param databases: the checked databases of the test.
        :raises ConfigurationError: if engines cannot share a transaction.
        """
        case._dbtestcase_committed_counts = False  # all connections see what none has committed
        if not all(self._begin(each, case) for each in databases):
            while self._running:
                self._running.pop()[1].end()
            forget_built(databases)
            case._dbtestcase_build(databases)
            for database in databases:
                self._begin(database, case, built=True)

    def _begin(self, database: CheckedDatabase, case: Any, built: bool = False) -> bool:
        """Begin on one database; false where it differs by more than rows from its base line."""
        state = None if built else _state(database)
        if not state and not built and restore(database, database.data, case):
            return False
        outer = OuterTransaction(database.engines, name_of(case), database.name, case.lock_timeout)
        if not outer.begin(database.data, state) and state:
            outer.end()  # somebody has committed something since the last test
            if restore(database, database.data, case):
                return False
            outer.begin(database.data)
        self._running.append((database, outer))
        return True

    def end(self, case: Any, databases: List[Any]) -> None:
        """Roll back, and look whether anything got past the transaction.

        :param case: the test that just ran.
        :param databases: the checked databases of the test.
        :raises AssertionError: if a deferred constraint is violated.
        :raises DatabaseTestCaseError: if something was committed for real; it is cleared first.
        :raises BlockedDatabaseError: if a thread is at work on the connection past the bound.
        """
        failures: List[BaseException] = []
        try:
            end_threads(databases, case)
        except BlockedDatabaseError as error:
            failures.append(error)
            for _, outer in self._running:
                outer.cut()
        while self._running:
            database, outer = self._running.pop()
            outcome = outer.end()
            _states[database] = (database.data, outcome.state)
            if outcome.violation is not None:
                said = "\n  ".join(str(outcome.violation).strip().splitlines())
                text = _VIOLATION.format(outer.test, outer.database, said)
                failures.append(case.failureException(text))
            escaped = _clear(database, outer, case) if outcome.committed else []
            if escaped:
                text = _ESCAPE.format(outer.test, outer.database, ", ".join(escaped))
                failures.append(DatabaseTestCaseError(text))
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


def _state(database: CheckedDatabase) -> Any:
    """Return the state that the last outer transaction left, if on the same rows."""
    baseline, state = _states.get(database, (None, None))
    return state if baseline is database.data else None


def _clear(database: CheckedDatabase, outer: OuterTransaction, case: Any) -> List[str]:
    """Make the database equal to its base line; return what was not."""
    _states.pop(database, None)
    try:
        found = outer.connection.escaped_tables(database)
    except Exception:
        if database.dialect.alive:
            raise
        return []  # the server was lost, and what was written with it
    reason = restore(database, database.data, case)
    if reason:
        forget_built([database])
        return found + [reason]
    # What was deleted or changed shows by the rows that had to be written anew.
    return found or outer.connection.escaped_tables(database)
