"""Statements that run before every test: prepared on the control connection, kept for the run."""

from __future__ import annotations

import contextlib
from typing import Any, Dict, Iterator, List, Sequence, Tuple
from weakref import WeakKeyDictionary

from ... import _compat
from . import watching
from .control import Control
from .snapshot import Snapshot

Rows = List[Tuple[Any, ...]]

#: Emptying statements differ with the set of tables that a test wrote; this many are kept.
KEPT = 200

# Planning is half of the work of these statements, and their parameters never change a plan.
_GENERIC = "SET plan_cache_mode = force_generic_plan"

# Under this role neither foreign keys nor ordinary triggers and rules interfere with putting rows
# back. It is set for the whole session, because each change of it throws all plans away.
_REPLICA = "SET session_replication_role = replica"
_MAY_REPLICA = "SELECT has_parameter_privilege('session_replication_role', 'SET')"


class Prepared:
    """The prepared statements of one control connection, and the role it works under."""

    def __init__(self, control: Control) -> None:
        self._names: Dict[Tuple[str, str], str] = {}  # by the statement and the types
        self._once: Dict[str, None] = {}
        self._number = 0
        _compat.never_prepare(control._dbapi)
        watching.ignore(control._dbapi)
        control.execute(_GENERIC)
        self.replica = _may_be_replica(control)
        if self.replica:
            control.execute(_REPLICA)

    def name(self, control: Control, sql: str, types: str = "") -> str:
        """Return the name under which the statement is prepared, preparing it if it is not."""
        name = self._names.pop((sql, types), None)
        if name is None:
            self._number += 1
            name = "dbtestcase_%d" % self._number
            control.execute("PREPARE %s%s AS %s" % (name, types and "(%s)" % types, sql))
            if len(self._names) >= KEPT:
                oldest = next(iter(self._names))
                control.execute("DEALLOCATE %s" % self._names.pop(oldest))
        self._names[sql, types] = name  # last in the order of use
        return name

    def again(self, control: Control, sql: str, types: str = "", argument: str = "") -> str:
        """Return how to run a statement that may not come again: it is prepared the second time.

        :param argument: an expression for ``$1``, if there is one.
        """
        if (sql, types) in self._names or sql in self._once:
            self._once.pop(sql, None)
            name = self.name(control, sql, types)
            return "EXECUTE %s%s" % (name, argument and "(%s)" % argument)
        if len(self._once) >= KEPT:
            self._once.clear()
        self._once[sql] = None
        return sql.replace("$1", argument) if argument else sql


_sessions: "WeakKeyDictionary[Control, Prepared]" = WeakKeyDictionary()


def session(control: Control) -> Prepared:
    """Return what is prepared on this control connection, making it ready at the first call."""
    known = _sessions.get(control)
    if known is None:
        known = _sessions[control] = Prepared(control)
    return known


def run(control: Control, sql: str, types: str = "", *arguments: str) -> Rows:
    """Run a statement, which is prepared for it, and return its rows.

    :param arguments: digits or text without quotes; nothing that a user wrote.
    """
    return control.execute(execution(control, sql, types, *arguments))


def execution(control: Control, sql: str, types: str = "", *arguments: str) -> str:
    """Return how to run a statement, which is prepared for it.

    :param sql: the statement, with ``$1`` for its arguments.
    :param types: the types of the arguments, with commas between them.
    :param arguments: digits or text without quotes; nothing that a user wrote.
    """
    name = session(control).name(control, sql, types)
    return "EXECUTE %s%s" % (name, arguments and "('%s')" % "','".join(arguments) or "")


def run_together(control: Control, statements: Sequence[str]) -> Rows:
    """Run statements in one round trip and one transaction; return the rows of the last one."""
    cursor = control._dbapi.cursor()
    try:
        cursor.execute(";\n".join(statements))
        return [tuple(row) for row in _compat.last_rows(cursor)]
    finally:
        cursor.close()


@contextlib.contextmanager
def one_snapshot(control: Control) -> Iterator[Snapshot]:
    """Look at one state of the database through several statements."""
    control.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    try:
        ((text,),) = control.execute("SELECT pg_current_snapshot()::text")
        yield Snapshot.read(text)
    finally:
        control.execute("ROLLBACK")


def _may_be_replica(control: Control) -> bool:
    if control.superuser:
        return True
    if control.server_version < 150000:  # the right cannot be granted before
        return False
    ((may,),) = control.execute(_MAY_REPLICA)
    return bool(may)
