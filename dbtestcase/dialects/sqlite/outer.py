"""Keeps an outer transaction on SQLite, whose driver is kept from beginning and ending its own.

https://docs.python.org/3/library/sqlite3.html#transaction-control
"""

from __future__ import annotations

import os
from typing import Any, Dict, List, Optional, Tuple

from ... import _compat
from ...connections import forget
from ...contracts import BASE_SAVEPOINT


class SQLiteOuterConnection:
    """The connection of an engine to a SQLite database, in a transaction that is never committed.

    Its methods are explained by :class:`~dbtestcase.contracts.OuterConnection`.

    :param engine: the engine: a database in memory is its pool's one connection, a file can have
        another one, which threads may use one after another.
    """

    kept = False  # a file is opened in no time, and would be in the way of who removes it
    aborted = None  # a statement that fails undoes itself alone

    def __init__(self, engine: Any) -> None:
        self._fairy = _compat.sqlite_connection(engine)
        forget(self._fairy)  # it is no test's, to be given back
        self.info = {
            key: value
            for key, value in self._fairy.info.items()
            if not str(key).startswith("dbtestcase")
        }
        self.dbapi = _compat.dbapi_connection(self._fairy)
        self.driver = engine.dialect.dbapi
        self._process = os.getpid()
        self._lasts = _compat.has_one_connection(engine.pool)
        self.one_thread = _compat.is_bound_to_thread(engine.pool)
        self.shown, self._set_back = _compat.take_sqlite_transactions(self.dbapi)
        self._cursor = self.dbapi.cursor(_compat.sqlite_cursor_class())
        self._has_deferred: Optional[bool] = None  # constraints; None where not known
        self._version = 0  # of the data, at the beginning

    @property
    def alive(self) -> bool:
        """Whether the connection can be used: a file's not by a process that forked."""
        return self._lasts or self._process == os.getpid()

    def identity(self) -> Tuple[Any, ...]:
        """Return what sessions of two engines must have in common: there is nothing in SQLite."""
        return ()

    # --- the life of one transaction -------------------------------------------------------------

    def begin(self, baseline: Any, state: Any, test: str, lock_timeout: float) -> bool:
        """Begin; tell whether all is as it was at the end of the transaction before.

        How long to wait for a lock, the engine says here.
        """
        unchanged = state is not None and state == self._state()
        self._version = self._data_version()
        self._run("BEGIN")
        self.savepoint(BASE_SAVEPOINT)
        return unchanged

    def savepoint(self, name: str) -> None:
        """Set a savepoint."""
        self._run("SAVEPOINT %s" % name)

    def release(self, name: str) -> None:
        """Keep what was done since a savepoint."""
        self._run("RELEASE SAVEPOINT %s" % name)

    def rollback_to(self, name: str, release: bool = False) -> None:
        """Undo what was done since a savepoint."""
        self._run("ROLLBACK TO SAVEPOINT %s" % name)
        if release:
            self.release(name)

    def commit_base(self) -> None:
        """Keep everything, as a commit does: what was deferred is checked now."""
        violation = self.violation()
        if violation is not None:
            self.rollback_to(BASE_SAVEPOINT)
            raise violation
        self.release(BASE_SAVEPOINT)
        self.savepoint(BASE_SAVEPOINT)

    def finish(self) -> Tuple[bool, Any]:
        """Roll back; return whether anything was committed since the beginning, and the state."""
        ended = not self.dbapi.in_transaction
        if not ended:
            self._run("ROLLBACK")
        return ended or self._version != self._data_version(), self._state()

    def commit(self) -> None:
        """Commit for real."""
        violation = self.violation()
        if violation is not None:
            raise violation
        if self.dbapi.in_transaction:
            self._run("COMMIT")

    def close(self) -> None:
        """Give the connection back as it was."""
        self._cursor.close()
        self._set_back()
        self._fairy.close()

    def closed_error(self, test: str) -> Exception:
        """Return the error for a connection that outlived its test."""
        return self.driver.ProgrammingError(  # type: ignore[no-any-return]
            "Cannot operate on a closed database: it belonged to %s, which is over" % test
        )

    # --- deferred constraints, which a commit checks and a savepoint does not --------------------

    def violation(self) -> Optional[Exception]:
        """Return the driver's IntegrityError for what is deferred, whatever of it is left."""
        if not self.dbapi.in_transaction:
            return None
        if self._has_deferred is None:
            self._has_deferred = bool(
                self._run("SELECT 1 FROM sqlite_master WHERE sql LIKE '%DEFERRED%' LIMIT 1")
            )
        if not self._has_deferred and not self._run("PRAGMA defer_foreign_keys")[0][0]:
            return None
        if not self._run("PRAGMA foreign_keys")[0][0]:
            return None
        wrong = {(str(row[0]), str(row[2])) for row in self._run("PRAGMA foreign_key_check")}
        if not wrong:
            return None
        return self.driver.IntegrityError(  # type: ignore[no-any-return]
            "FOREIGN KEY constraint failed: "
            + ", ".join("%s has rows that refer to no row of %s" % pair for pair in sorted(wrong))
        )

    def definitions_changed(self) -> None:
        """Forget what was known of the constraints."""
        self._has_deferred = None

    # --- what others commit meanwhile ------------------------------------------------------------

    def escaped_tables(self, database: Any) -> List[str]:
        """Return the tables whose rows are not those that the test started with."""
        now = _contents(database.dialect.take_baseline().copy)
        first = _contents(database.data.copy)
        return sorted(name for name in set(now) | set(first) if now.get(name) != first.get(name))

    def _state(self) -> Any:
        """Return what changes with every change, ``None`` where the connection is closed soon."""
        if not self._lasts:
            return None
        versions = self._data_version(), self._run("PRAGMA schema_version")
        return id(self.dbapi), self.dbapi.total_changes, versions

    def _data_version(self) -> int:
        return int(self._run("PRAGMA data_version")[0][0])

    def _run(self, sql: str) -> List[Tuple[Any, ...]]:
        return [tuple(row) for row in self._cursor.execute(sql).fetchall()]


def _contents(connection: Any) -> Dict[str, Any]:
    """Return the definition and the rows of every table."""
    tables = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'")
    return {
        str(name): (
            sql,
            connection.execute('SELECT * FROM "%s"' % name.replace('"', '""')).fetchall(),
        )
        for name, sql in tables.fetchall()
    }
