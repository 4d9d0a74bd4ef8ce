"""The outer transaction of PostgreSQL: its statements, and the proof that nothing got past it.

The connection is in the driver's autocommit mode and the transaction is begun by a statement: so
the driver sends no BEGIN of its own, and psycopg2's real ``commit()`` does nothing.
"""

from __future__ import annotations

import os
from typing import Any, List, Optional, Tuple

from .... import _compat
from ....connections import ignore
from ....errors import ConfigurationError
from ..sessions import Settings
from . import deferred, escapes, setback


class OuterSQL:
    """A connection like those of an engine, for one outer transaction after the other.

    :param engine: the engine; its pool is left alone.
    :raises ConfigurationError: if the engine works in autocommit.
    """

    one_thread = False  # threads may use the connection one after another
    fairy = None  # no pool has anything to do with it
    kept = True  # between tests: a new connection for each would cost more than the test
    shown = {"autocommit": False}  # what users are told instead of what is so

    def __init__(self, engine: Any) -> None:
        fairy = _compat.new_connection(engine)
        self.info = {
            key: value for key, value in fairy.info.items() if not str(key).startswith("dbtestcase")
        }
        self.dbapi = _compat.dbapi_connection(fairy)
        ignore(self.dbapi)  # what is rolled back anyway need not be accounted for
        self.driver = engine.dialect.dbapi
        self.process = os.getpid()
        if self.dbapi.autocommit:
            self.close()
            raise ConfigurationError("the engine is set to AUTOCOMMIT")
        level = _compat.isolation_level_name(self.dbapi)
        self._begin = "BEGIN ISOLATION LEVEL %s" % level if level else "BEGIN"
        _compat.set_autocommit(self.dbapi)
        _compat.never_prepare(self.dbapi)
        self._cursor = _compat.plain_cursor(self.dbapi)
        self._set_back = ""
        self._run(escapes.PREPARE)
        self._baseline: Any = self
        self._constraints: Optional[str] = None
        self._redefined = False
        self._snapshot = ""
        ((self._own_bound,),) = self._run(
            "SELECT (extract(epoch FROM pg_catalog.current_setting('lock_timeout')::interval)"
            " * 1000)::int"
        )

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
        return _compat.transaction_status(self.dbapi) == _compat.IN_ERROR

    # --- the life of one transaction -------------------------------------------------------------

    def begin(self, base: str, baseline: Any, state: Any, test: str, lock_timeout: float) -> bool:
        """Begin; tell whether all is as it was at the end of the transaction before.

        :param base: the name of the savepoint that always stands.
        :param test: the name of the test, which the connection carries.
        :param lock_timeout: seconds that statements may wait for a lock, 0 for no bound.
        :param baseline: the rows that the test starts with, for what depends on them.
        :param state: what :meth:`finish` left, ``None`` if there was no transaction before.
        """
        known = baseline is self._baseline and self._constraints is not None
        if not known and (state is None or self._is_unchanged(state)):
            self._learn(baseline)
        ((self._snapshot,),) = self._run(
            "%s; %s; %sSAVEPOINT %s; SELECT pg_catalog.txid_current_snapshot()::text"
            % (
                self._begin,
                Settings.rename("dbtestcase " + test),  # undone by the rollback, as all the rest
                self._bound(int(lock_timeout * 1000)),
                base,
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

    def commit(self, base: str) -> None:
        """Commit for real, without what is not complete.

        :param base: the savepoint at which the last commit of a user is.
        :raises Exception: the driver's IntegrityError.
        """
        if self.failed:
            self.rollback_to(base)
        self._run("COMMIT")
        _compat.set_autocommit_again(self.dbapi)

    def finish(self, base: str) -> Tuple[bool, Any]:
        """Roll back and set the sequences back.

        :return: whether anybody committed anything since the beginning, by any connection; and
            the state for the next :meth:`begin`.
        """
        if self.failed:
            self.rollback_to(base)
        # Setting back is not rolled back, unless the test gave the sequence a new file.
        before, after = ("", self._set_back) if self._redefined else (self._set_back, "")
        if after:
            after = "SET LOCAL synchronous_commit = off; " + after
        ((none, state, _),) = self._run(
            "%sROLLBACK; %s%s" % (before, after, escapes.none_committed_since(self._snapshot))
        )
        committed = None
        if not none:
            ((committed, state),) = self._run(escapes.committed_since(self._snapshot))
        _compat.set_autocommit_again(self.dbapi)
        if self._redefined:  # what was set back afterwards is a commit of our own
            self._constraints, self._redefined, state = None, False, None
        return bool(committed), state

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

    def _is_unchanged(self, state: str) -> bool:
        return not self._run(escapes.committed_since(state))[0][0]

    def _bound(self, milliseconds: int) -> str:
        if milliseconds <= 0 or 0 < self._own_bound <= milliseconds:
            return ""
        return "SET LOCAL lock_timeout = %d; " % milliseconds

    def _learn(self, baseline: Any) -> None:
        self._set_back = setback.prepare(self._run, again=bool(self._set_back))
        self._constraints = None
        self._check()
        self._baseline = baseline

    def _check(self) -> str:
        """Return what checks deferred constraints and defers them again, as a commit does."""
        if self._constraints is None:
            self._constraints = deferred.check_of(self._run)
        return self._constraints
