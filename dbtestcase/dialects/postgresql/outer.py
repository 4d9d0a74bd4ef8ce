"""Keeps an outer transaction on PostgreSQL, and proves that nothing got past it.

The connection is in the driver's autocommit mode and the transaction is begun by a statement: so
the driver sends no BEGIN of its own, and psycopg2's real ``commit()`` does nothing.

Three things need more than BEGIN, savepoints and ROLLBACK: constraints that only a commit checks,
sequences, which no rollback sets back, and what others commit meanwhile.
"""

from __future__ import annotations

import functools
import os
from typing import Any, List, Optional, Tuple

from ... import _compat
from ...connections import ignore, started_bounded
from ...contracts import BASE_SAVEPOINT
from ...errors import ConfigurationError
from .sessions import Settings


class PostgreSQLOuterConnection:
    """A connection like those of an engine, for one outer transaction after the other.

    Its methods are explained by :class:`~dbtestcase.contracts.OuterConnection`.

    :param engine: the engine; its pool is left alone.
    :raises ConfigurationError: if the engine works in autocommit.
    """

    kept = True  # between tests: a new connection for each would cost more than the test
    one_thread = False  # threads may use the connection one after another
    shown = {"autocommit": False}  # what users are told instead of what is so

    def __init__(self, engine: Any) -> None:
        fairy = _compat.new_connection(engine)
        self.info = {
            key: value for key, value in fairy.info.items() if not str(key).startswith("dbtestcase")
        }
        self.dbapi = _compat.dbapi_connection(fairy)
        ignore(self.dbapi)  # what is rolled back anyway need not be accounted for
        self.driver = engine.dialect.dbapi
        self._process = os.getpid()
        if self.dbapi.autocommit:
            self.close()
            raise ConfigurationError("the engine is set to AUTOCOMMIT")
        level = _compat.isolation_level_name(self.dbapi)
        self._begin = "BEGIN ISOLATION LEVEL %s" % level if level else "BEGIN"
        _compat.set_autocommit(self.dbapi)
        _compat.never_prepare(self.dbapi)
        self._run = functools.partial(_compat.run_script, _compat.plain_cursor(self.dbapi))
        name = "SET application_name = '%s'" % _NAME
        self._run("; ".join((name, _COMMITTED, _NONE_COMMITTED)))
        self._snapshot = ""  # of the beginning
        self._baseline: Any = self  # that of no test
        self._set_back = ""  # sets the sequences back that moved
        self._constraints: Optional[str] = None  # checks what is deferred; None where not known
        self._redefined = False  # by the test
        self._question = ""  # what is asked about what functions left in the session
        self._left: Any = None  # the first answer
        ((self._own_bound,),) = self._run(
            "SELECT (extract(epoch FROM pg_catalog.current_setting('lock_timeout')::interval)"
            " * 1000)::int"
        )
        if started_bounded(self.dbapi):  # that of the class, which is none of the user's
            self._own_bound = 0

    @property
    def alive(self) -> bool:
        """Whether the connection is open and belongs to this process."""
        return self._process == os.getpid() and not self.dbapi.closed

    @property
    def aborted(self) -> Optional[Exception]:
        """What the server says to every statement after one that failed, until it is undone."""
        if _compat.transaction_status(self.dbapi) != _compat.IN_ERROR:
            return None
        kinds = getattr(self.driver, "errors", None)
        kind = getattr(kinds, "InFailedSqlTransaction", self.driver.InternalError)
        return kind(  # type: ignore[no-any-return]
            "current transaction is aborted, commands ignored until end of transaction block"
        )

    def identity(self) -> Tuple[Any, ...]:
        """Return what sessions of two engines must have in common to be one session."""
        row: Tuple[Any, ...]
        (row,) = self._run("SELECT current_user::text, pg_catalog.current_setting('search_path')")
        return row

    # --- the life of one transaction -------------------------------------------------------------

    def begin(self, baseline: Any, state: Any, test: str, lock_timeout: float) -> bool:
        """Begin; tell whether all is as it was at the end of the transaction before."""
        known = baseline is self._baseline and self._constraints is not None
        if not known and (state is None or self._is_unchanged(state)):
            self._remember_sequences()
            self._constraints = None
            self._check()
            self._baseline = baseline
        question = getattr(baseline, "settings", _SETTINGS).question
        if question != self._question:
            self._question = question
            self._left = self._run("SELECT " + question) if question else None
        bound, milliseconds = "", int(lock_timeout * 1000)
        if milliseconds > 0 and not 0 < self._own_bound <= milliseconds:
            bound = "SET LOCAL lock_timeout = %d; " % milliseconds
        ((self._snapshot,),) = self._run(
            "%s; %s; %sSAVEPOINT %s; SELECT pg_catalog.txid_current_snapshot()::text"
            % (
                self._begin,
                _SETTINGS.rename("dbtestcase " + test),  # undone by the rollback, as all the rest
                bound,
                BASE_SAVEPOINT,
            )
        )
        return state is not None and (self._snapshot == state or self._is_unchanged(state))

    def savepoint(self, name: str) -> None:
        """Set a savepoint."""
        self._run("SAVEPOINT %s" % name)

    def release(self, name: str) -> None:
        """Keep what was done since a savepoint."""
        self._run("RELEASE SAVEPOINT %s" % name)

    def rollback_to(self, name: str, release: bool = False) -> None:
        """Undo what was done since a savepoint."""
        text = "ROLLBACK TO SAVEPOINT %s" % name
        self._run("%s; RELEASE SAVEPOINT %s" % (text, name) if release else text)

    def commit_base(self) -> None:
        """Keep everything, as a commit does: what was deferred is checked now."""
        try:
            self._run(
                "%sRELEASE SAVEPOINT %s; SAVEPOINT %s"
                % (self._check(), BASE_SAVEPOINT, BASE_SAVEPOINT)
            )
        except BaseException:
            self._undo_failed()
            raise

    def finish(self) -> Tuple[bool, Any]:
        """Roll back and set the sequences back; return whether anything escaped, and the state."""
        self._undo_failed()
        # Setting back is not rolled back, unless the test gave the sequence a new file.
        before, after = ("", self._set_back) if self._redefined else (self._set_back, "")
        if after:
            after = "SET LOCAL synchronous_commit = off; " + after
        ((none, state, _),) = self._run(
            "%sROLLBACK; %s%s" % (before, after, _since("none_committed", self._snapshot))
        )
        committed = None
        if not none:
            ((committed, state),) = self._run(_since("committed", self._snapshot))
        _compat.set_autocommit_again(self.dbapi)
        if self._redefined:  # what was set back afterwards is a commit of our own
            self._constraints, self._redefined, state = None, False, None
        self._keep_only_as_new()
        return bool(committed), state

    def _keep_only_as_new(self) -> None:
        """Have the next test begin on a new connection if this one was changed for good.

        The name of the test is still there if its transaction was really committed, by a COMMIT in
        a script: so is whatever else it had set. Settings that functions made are undone with the
        transaction, but a name that was new to the session stays known to it.
        """
        if self.dbapi.info.parameter_status("application_name") != _NAME:
            self.kept = False
        elif self._question and self._run("SELECT " + self._question) != self._left:
            self.kept = False

    def commit(self) -> None:
        """Commit for real, without what is not complete."""
        self._undo_failed()
        self._run("COMMIT")
        self.kept = False  # what the test had set is committed with its rows
        _compat.set_autocommit_again(self.dbapi)

    def close(self) -> None:
        """Close the connection, if it is this process's to close."""
        if self._process == os.getpid():
            self.dbapi.close()

    def closed_error(self, test: str) -> Exception:
        """Return the error for a connection that outlived its test."""
        return self.driver.InterfaceError(  # type: ignore[no-any-return]
            "connection already closed: it belonged to %s, which is over" % test
        )

    def _undo_failed(self) -> None:
        if self.aborted is not None:
            self.rollback_to(BASE_SAVEPOINT)

    # --- deferred constraints, which a commit checks and a savepoint does not --------------------

    def violation(self) -> Optional[Exception]:
        """Return the driver's IntegrityError for what is deferred, whatever of it is left."""
        self._undo_failed()
        if self._check():
            try:
                self._run(self._check() + "SELECT 1")
            except self.driver.IntegrityError as error:
                return error  # type: ignore[no-any-return]
        return None

    def definitions_changed(self) -> None:
        """Forget what was known of the constraints, now and when the change is undone."""
        self._constraints = None
        self._redefined = True

    def _check(self) -> str:
        """Return what checks deferred constraints and defers them again, as a commit does.

        Nothing where no constraint of the database can be deferred.
        """
        if self._constraints is None:
            found = self._run(_CONSTRAINTS)
            self._constraints = "SET CONSTRAINTS ALL IMMEDIATE; " if found else ""
            deferred = sorted({name for name, is_deferred in found if is_deferred})
            if deferred:
                self._constraints += "SET CONSTRAINTS %s DEFERRED; " % ", ".join(deferred)
        return self._constraints

    # --- sequences, which no rollback sets back --------------------------------------------------

    def _remember_sequences(self) -> None:
        """Remember where the sequences stand, and prepare what sets those back that move."""
        queries = [row[0] for row in self._run(_SEQUENCES)]
        found: List[Tuple[Any, ...]] = []
        for start in range(0, len(queries), _AT_ONCE):
            found += self._run(" UNION ALL ".join(queries[start : start + _AT_ONCE]))
        for (flush,) in self._run(_FLUSH):
            self._run(flush)
        if self._set_back:
            self._run("DEALLOCATE dbtestcase_set_back")
            self._set_back = ""
        if found:
            counted = self._run("SHOW track_counts") == [("on",)]
            oids, values, called = (",".join(map(str, column)) for column in zip(*found))
            self._run((_SET_BACK if counted else _SET_ALL_BACK) % (values, called, oids))
            self._set_back = "EXECUTE dbtestcase_set_back; "

    # --- what others commit meanwhile: transaction numbers tell, whoever wrote -------------------

    def _is_unchanged(self, state: str) -> bool:
        return not self._run(_since("committed", state))[0][0]

    def escaped_tables(self, database: Any) -> List[str]:
        """Return the tables with rows that others committed since the beginning."""
        control = database.dialect.control
        control.execute(_COMMITTED)
        ((numbers, _),) = control.execute(_since("committed", self._snapshot))
        control.execute("DEALLOCATE dbtestcase_committed")
        found = []
        for (table,) in control.execute(_TABLES) if numbers else ():
            # A row has the lower half of the number: the upper half is the same for years.
            rows = control.execute(
                "SELECT 1 FROM %s WHERE xmin::text::bigint ="
                " ANY (SELECT x & 4294967295 FROM pg_catalog.unnest('{%s}'::bigint[]) x) LIMIT 1"
                % (table, numbers)
            )
            if rows:
                found.append(str(table))
        return found


_SETTINGS = Settings()
_NAME = "dbtestcase"  # of the session between two tests

# --- the statements ------------------------------------------------------------------------------

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

# Which sequences were read in this transaction, by the statistics that the backend keeps of its
# own; they are sent off between transactions only, so nothing is missing from them, and a sequence
# that was read a moment earlier is set back once more.
_SET_BACK = """
PREPARE dbtestcase_set_back AS
SELECT pg_catalog.count(pg_catalog.setval(
           s.oid::regclass, ('{%s}'::bigint[])[s.number], ('{%s}'::bool[])[s.number]))
  FROM pg_catalog.unnest('{%s}'::oid[]) WITH ORDINALITY AS s (oid, number)
 WHERE pg_catalog.pg_stat_get_xact_blocks_fetched(s.oid) > 0
"""
_SET_ALL_BACK = _SET_BACK.rpartition("WHERE")[0]  # where no statistics are kept

# Have the statistics sent off now, where PostgreSQL can be asked to (from version 15 on): reading
# all sequences is not to look as if a test had used them.
_FLUSH = """
SELECT 'SELECT ' || p.oid::regproc::text || '()' FROM pg_catalog.pg_proc p
 WHERE p.proname = 'pg_stat_force_next_flush' AND p.pronamespace = 'pg_catalog'::regnamespace
"""

_AT_ONCE = 500  # each sequence that is read takes a lock, and there are only so many

_TABLES = """
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname)
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'm') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
UNION ALL SELECT 'pg_catalog.pg_largeobject_metadata'
 ORDER BY 1
"""

_NOW = """
  FROM (SELECT pg_catalog.txid_current_snapshot() AS snapshot,
               pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot()) AS following
        OFFSET 0) AS now
"""
# What rolled back has a number as well, but is known to have. Every change of rows or of the
# catalog takes a number; only moving a sequence may not.
_COMMITTED = """
PREPARE dbtestcase_committed (bigint, bigint[]) AS
SELECT (SELECT pg_catalog.string_agg(x::text, ',')
          FROM (SELECT pg_catalog.unnest($2) UNION ALL
                SELECT pg_catalog.generate_series($1, following - 1)) AS numbers (x)
         WHERE pg_catalog.txid_status(x) = 'committed'),
       snapshot::text""" + _NOW
# The same for a few numbers, without the machinery of a query: a test that committed once used two.
# The session's own advisory locks are given back, too. By one of these a run has its database: the
# control connection asks without.
_NONE_COMMITTED = """
PREPARE dbtestcase_none_committed (bigint, bigint[]) AS
SELECT $2 = '{}' AND (following <= $1 OR CASE WHEN following <= $1 + 3 THEN 'committed' NOT IN (
            pg_catalog.txid_status($1), pg_catalog.txid_status(least($1 + 1, following - 1)),
            pg_catalog.txid_status(least($1 + 2, following - 1))) ELSE false END),
       snapshot::text, pg_catalog.pg_advisory_unlock_all()::text""" + _NOW


def _since(question: str, snapshot: str) -> str:
    """Return the statement that asks one of the prepared questions about a snapshot's future."""
    _, following, running = snapshot.split(":")
    return "EXECUTE dbtestcase_%s (%s, '{%s}')" % (question, following, running)
