"""The outer transaction of PostgreSQL: its statements, and the proof that nothing got past it.

The connection is in the driver's autocommit mode and the transaction is begun by a statement: so
the driver sends no BEGIN of its own, and psycopg2's real ``commit()`` does nothing.
"""

from __future__ import annotations

import os
from typing import Any, Dict, List, Optional, Tuple

from ... import _compat
from ...errors import ConfigurationError
from . import escapes

IDLE, IN_ERROR = 0, 3

# Which constraints can be deferred, and which of them are from the start. A name that also stands
# for another kind of constraint in its schema cannot be set back to deferred by itself.
_CONSTRAINTS = """
SELECT pg_catalog.format('%I.%I', n.nspname, c.conname), c.condeferred
  FROM pg_catalog.pg_constraint c JOIN pg_catalog.pg_namespace n ON n.oid = c.connamespace
 WHERE c.condeferrable AND NOT (c.condeferred AND EXISTS (
       SELECT 1 FROM pg_catalog.pg_constraint o
        WHERE o.connamespace = c.connamespace AND o.conname = c.conname AND NOT o.condeferred))
"""

_SEQUENCES = """
SELECT pg_catalog.format('SELECT %s::bigint, last_value, is_called FROM %I.%I',
                         c.oid, n.nspname, c.relname)
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE CASE WHEN c.relkind = 'S' AND c.relpersistence <> 't'
            THEN pg_catalog.has_sequence_privilege(c.oid, 'SELECT')
             AND pg_catalog.has_sequence_privilege(c.oid, 'UPDATE') END
"""

# nextval() and setval() take this lock and keep it to the end of the transaction, whatever is
# rolled back within: src/backend/commands/sequence.c, lock_and_open_sequence().
_TOUCHED = """
SELECT l.relation::bigint FROM pg_catalog.pg_locks l
  JOIN pg_catalog.pg_class c ON c.oid = l.relation AND c.relkind = 'S'
 WHERE l.pid = pg_catalog.pg_backend_pid() AND l.locktype = 'relation'
"""


class OuterSQL:
    """A connection like those of an engine, for one outer transaction after the other.

    :param engine: the engine; its pool is left alone.
    :raises ConfigurationError: if the engine works in autocommit.
    """

    one_thread = False  # threads may use the connection one after another
    kept = True  # between tests: a new connection for each would cost more than the test
    shown = {"autocommit": False}  # what users are told instead of what is so

    def __init__(self, engine: Any) -> None:
        fairy = _compat.new_connection(engine)
        self.info = dict(fairy.info)
        self.dbapi = _compat.dbapi_connection(fairy)
        self.driver = engine.dialect.dbapi
        self.process = os.getpid()
        if self.dbapi.autocommit:
            self.close()
            raise ConfigurationError("the engine is set to AUTOCOMMIT")
        level = _compat.isolation_level_name(self.dbapi)
        self._begin = "BEGIN ISOLATION LEVEL %s" % level if level else "BEGIN"
        _compat.set_autocommit(self.dbapi)
        self._cursor = _compat.plain_cursor(self.dbapi)
        self._sequences: Dict[int, Tuple[int, bool]] = {}
        self._baseline: Any = self
        self._constraints: Optional[str] = None
        self._redefined = False
        self._snapshot = ""

    def identity(self) -> Tuple[Any, ...]:
        """Return what sessions of two engines must have in common to be one session."""
        return self._run("SELECT current_user::text, pg_catalog.current_setting('search_path')")[0]

    @property
    def alive(self) -> bool:
        """Whether the connection is open and belongs to this process."""
        return self.process == os.getpid() and not self.dbapi.closed

    @property
    def failed(self) -> bool:
        """Whether a statement failed and nothing else runs until it is undone."""
        return _compat.transaction_status(self.dbapi) == IN_ERROR

    # --- the life of one transaction -------------------------------------------------------------

    def begin(self, base: str, baseline: Any, state: Any) -> bool:
        """Begin; tell whether all is as it was at the end of the transaction before.

        :param base: the name of the savepoint that always stands.
        :param baseline: the rows that the test starts with, for what depends on them.
        :param state: what :meth:`finish` left, ``None`` if there was no transaction before.
        """
        if baseline is not self._baseline or self._constraints is None:
            self._learn(baseline)
        ((self._snapshot, committed),) = self._run(
            "%s; SAVEPOINT %s; SELECT pg_catalog.txid_current_snapshot()::text, %s"
            % (self._begin, base, escapes.committed_since(state) if state else "NULL")
        )
        return bool(state) and not committed

    def savepoint(self, name: str) -> None:
        """Set a savepoint."""
        self._run("SAVEPOINT %s" % name)

    def release(self, name: str) -> None:
        """Keep what was done since a savepoint."""
        self._run("RELEASE SAVEPOINT %s" % name)

    def rollback_to(self, name: str, release: bool = False) -> None:
        """Undo what was done since a savepoint."""
        if self._redefined:
            self._constraints = None
        text = "ROLLBACK TO SAVEPOINT %s" % name
        self._run("%s; RELEASE SAVEPOINT %s" % (text, name) if release else text)

    def commit_base(self, base: str) -> None:
        """Keep everything, as a commit does: what was deferred is checked now.

        :raises Exception: the driver's IntegrityError.
        """
        self._run("%sRELEASE SAVEPOINT %s; SAVEPOINT %s" % (self._check(), base, base))

    def definitions_changed(self) -> None:
        """Forget what was known of the constraints, now and when the change is undone."""
        self._constraints = None
        self._redefined = True

    def check(self, base: str) -> None:
        """Check what is deferred, whatever of it is left.

        :raises Exception: the driver's IntegrityError.
        """
        if self.failed:
            self.rollback_to(base)
        if self._check():
            self._run(self._check() + "SELECT 1")

    def finish(self, base: str) -> Tuple[bool, Any]:
        """Roll back and set the sequences back.

        :return: whether anybody committed anything since the beginning, by any connection; and
            the state for the next :meth:`begin`.
        """
        touched = self._touched(base)
        moved = "".join(
            ", pg_catalog.setval(%d::oid::regclass, %d, %s)" % ((oid,) + self._sequences[oid])
            for oid in touched
            if oid in self._sequences
        )
        rows = self._run(
            "ROLLBACK; SET LOCAL synchronous_commit = off;"
            " SELECT %s, pg_catalog.txid_current_snapshot()::text,"
            " pg_catalog.pg_advisory_unlock_all()%s"
            % (escapes.committed_since(self._snapshot), moved)
        )
        _compat.set_autocommit_again(self.dbapi)
        if self._redefined:
            self._constraints, self._redefined = None, False
        committed = rows[0][0]
        # Setting a sequence back is a commit of our own, which is not to be held against anybody.
        state = self._run("SELECT pg_catalog.txid_current_snapshot()::text") if moved else rows
        return bool(committed), state[0][-1] if moved else rows[0][1]

    def escaped_tables(self, database: Any) -> List[str]:
        """Return the tables with rows that others committed since the beginning."""
        return escapes.tables_written(database.dialect.control, self._snapshot)

    def close(self) -> None:
        """Close the connection, if it is this process's to close."""
        if self.process == os.getpid():
            self.dbapi.close()

    # --- errors of the driver's own kinds --------------------------------------------------------

    def aborted_error(self) -> Exception:
        """Return what the server says to a statement after one that failed."""
        kinds = getattr(self.driver, "errors", None)
        kind = getattr(kinds, "InFailedSqlTransaction", self.driver.InternalError)
        return kind(  # type: ignore[no-any-return]
            "current transaction is aborted, commands ignored until end of transaction block"
        )

    def closed_error(self, test: str) -> Exception:
        """Return the error for a connection that outlived its test."""
        return self.driver.InterfaceError(  # type: ignore[no-any-return]
            "connection already closed: it belonged to %s, which is over" % test
        )

    # --- what the steps are made of --------------------------------------------------------------

    def _run(self, sql: str) -> List[Tuple[Any, ...]]:
        return _compat.run_script(self._cursor, sql)

    def _learn(self, baseline: Any) -> None:
        queries = [row[0] for row in self._run(_SEQUENCES)]
        self._sequences = {}
        for start in range(0, len(queries), 500):  # each takes a lock, and there are only so many
            for oid, value, called in self._run(" UNION ALL ".join(queries[start : start + 500])):
                self._sequences[oid] = (value, called)
        self._constraints = None
        self._check()
        self._baseline = baseline

    def _check(self) -> str:
        """Return what checks deferred constraints and defers them again, as a commit does."""
        if self._constraints is None:
            found = self._run(_CONSTRAINTS)
            deferred = sorted({name for name, is_deferred in found if is_deferred})
            self._constraints = "SET CONSTRAINTS ALL IMMEDIATE; " if found else ""
            if deferred:
                self._constraints += "SET CONSTRAINTS %s DEFERRED; " % ", ".join(deferred)
        return self._constraints

    def _touched(self, base: str) -> List[int]:
        if _compat.transaction_status(self.dbapi) == IDLE:
            return []  # somebody ended the transaction: what was committed will be found
        if self.failed:
            self.rollback_to(base)
        return [row[0] for row in self._run(_TOUCHED)] if self._sequences else []
