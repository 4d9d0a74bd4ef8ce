"""The outer transaction of SQLite, whose driver has to be kept from beginning and ending its own.

https://docs.python.org/3/library/sqlite3.html#transaction-control
"""

from __future__ import annotations

import os
from typing import Any, Dict, List, Optional, Tuple

from ... import _compat


class OuterSQL:
    """The connection of an engine to a SQLite database, in a transaction that is never committed.

    :param engine: the engine: a database in memory is its pool's one connection, a file can have
        another one, which threads may use one after another.
    """

    kept = False  # a file is opened in no time, and would be in the way of who removes it

    def __init__(self, engine: Any) -> None:
        fairy = _compat.sqlite_connection(engine)
        self.fairy = fairy
        self.info = {
            key: value for key, value in fairy.info.items() if not str(key).startswith("dbtestcase")
        }
        self.dbapi = _compat.dbapi_connection(fairy)
        self.driver = engine.dialect.dbapi
        self._process = os.getpid()
        self._lasts = _compat.has_one_connection(engine.pool)
        self.one_thread = _compat.is_bound_to_thread(engine.pool)
        self.shown, self._set_back = _compat.take_sqlite_transactions(self.dbapi)
        self._cursor = self.dbapi.cursor(_compat.sqlite_cursor_class())
        self._deferred: Optional[bool] = None
        self._version = 0
        self.failed = False  # a statement that fails undoes itself alone

    def identity(self) -> Tuple[Any, ...]:
        """Return what sessions of two engines must have in common: there is nothing in SQLite."""
        return ()

    @property
    def alive(self) -> bool:
        """Whether the connection can be used: a file's not by a process that forked."""
        return self._lasts or self._process == os.getpid()

    # --- the life of one transaction -------------------------------------------------------------

    def begin(self, base: str, baseline: Any, state: Any, test: str, lock_timeout: float) -> bool:
        """Begin; tell whether all is as it was at the end of the transaction before.

        :param base: the name of the savepoint that always stands.
        :param baseline: the rows that the test starts with.
        :param test: the name of the test.
        :param lock_timeout: seconds to wait for locks; the engine says how long here.
        :param state: what :meth:`finish` left, ``None`` if there was no transaction before.
        """
        unchanged = state is not None and state == self._state()
        self._version = self._data_version()
        self._run("BEGIN")
        self._run("SAVEPOINT %s" % base)
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

    def commit_base(self, base: str) -> None:
        """Keep everything, as a commit does: what was deferred is checked now.

        :raises Exception: the driver's IntegrityError.
        """
        try:
            self._check()
        except self.driver.IntegrityError:
            self.rollback_to(base)
            raise
        self.release(base)
        self.savepoint(base)

    def definitions_changed(self) -> None:
        """Forget what was known of the constraints."""
        self._deferred = None

    def check(self, base: str) -> None:
        """Check what is deferred, whatever of it is left.

        :raises Exception: the driver's IntegrityError.
        """
        if self.dbapi.in_transaction:
            self._check()

    def commit(self, base: str) -> None:
        """Commit for real.

        :raises Exception: the driver's IntegrityError.
        """
        self.check(base)
        if self.dbapi.in_transaction:
            self._run("COMMIT")

    def finish(self, base: str) -> Tuple[bool, Any]:
        """Roll back.

        :return: whether anything was committed since the beginning, by any connection; and the
            state for the next :meth:`begin`.
        """
        ended = not self.dbapi.in_transaction
        if not ended:
            self._run("ROLLBACK")
        committed = ended or self._version != self._data_version()
        return committed, self._state()

    def escaped_tables(self, database: Any) -> List[str]:
        """Return the tables whose rows are not those that the test started with."""
        now = _contents(database.dialect.take_baseline().copy)
        first = _contents(database.data.copy)
        return sorted(name for name in set(now) | set(first) if now.get(name) != first.get(name))

    def close(self) -> None:
        """Give the connection back as it was."""
        self._cursor.close()
        self._set_back()
        self.fairy.close()

    # --- errors of the driver's own kinds --------------------------------------------------------

    def closed_error(self, test: str) -> Exception:
        """Return the error for a connection that outlived its test."""
        return self.driver.ProgrammingError(  # type: ignore[no-any-return]
            "Cannot operate on a closed database: it belonged to %s, which is over" % test
        )

    # --- what the steps are made of --------------------------------------------------------------

    def _run(self, sql: str) -> List[Tuple[Any, ...]]:
        return [tuple(row) for row in self._cursor.execute(sql).fetchall()]

    def _data_version(self) -> int:
        return int(self._run("PRAGMA data_version")[0][0])

    def _state(self) -> Any:
        """Return what changes with every change, ``None`` where the connection is closed soon."""
        if not self._lasts:
            return None
        versions = self._data_version(), self._run("PRAGMA schema_version")
        return (id(self.dbapi), self.dbapi.total_changes, versions)

    def _check(self) -> None:
        if not self._may_be_deferred() or not self._run("PRAGMA foreign_keys")[0][0]:
            return
        wrong = sorted(
            {(str(row[0]), str(row[2])) for row in self._run("PRAGMA foreign_key_check")}
        )
        if wrong:
            raise self.driver.IntegrityError(
                "FOREIGN KEY constraint failed: "
                + ", ".join("%s has rows that refer to no row of %s" % pair for pair in wrong)
            )

    def _may_be_deferred(self) -> bool:
        if self._run("PRAGMA defer_foreign_keys")[0][0]:
            return True
        if self._deferred is None:
            self._deferred = bool(
                self._run("SELECT 1 FROM sqlite_master WHERE sql LIKE '%DEFERRED%' LIMIT 1")
            )
        return self._deferred


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
