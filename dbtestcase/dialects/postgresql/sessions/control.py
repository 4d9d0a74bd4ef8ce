"""Which connection clears, checks and looks: one of our own, outside every pool, in autocommit."""

from __future__ import annotations

import os
from typing import Any, Dict, List, Optional, Sequence, Tuple

from .... import _compat
from ....connections import ignore
from .locks import Sessions
from .settings import Settings

Rows = List[Tuple[Any, ...]]

#: Emptying statements differ with the set of tables that a test wrote; this many are kept.
KEPT = 200

# Planning is half of the work of statements that run before every test, and their parameters never
# change a plan.
_GENERIC = "SET plan_cache_mode = force_generic_plan"

# Under this role neither foreign keys nor ordinary triggers and rules interfere with putting rows
# back. It is set for the whole session, because each change of it throws all plans away.
_REPLICA = "SET session_replication_role = replica"
_MAY_REPLICA = "SELECT has_parameter_privilege('session_replication_role', 'SET')"

# What a role, a database or an option may have set is set back, so that every statement of ours
# means the same everywhere; rows are read and written in forms that lose nothing.
_SETTINGS = """
SET application_name = '{name}';
SET lock_timeout = {lock_ms};
SET statement_timeout = {statement_ms};
SET idle_in_transaction_session_timeout = 0;
SET synchronous_commit = off;
SET default_transaction_read_only = off;
SET default_transaction_isolation = 'read committed';
SET row_security = off;
SET search_path = pg_catalog;
SET client_min_messages = error;
SET client_encoding = 'UTF8';
SET DateStyle = 'ISO, YMD';
SET IntervalStyle = 'postgres';
SET TimeZone = 'UTC';
SET extra_float_digits = 3;
SET bytea_output = 'hex';
SET xmloption = 'content';
SET jit = off;
"""


class Control(Sessions):
    """One connection to the database of an engine, made the way that the engine makes its own.

    It stays open for the whole run: a slot on a full server, and nothing that a test does to a
    pool reaches it.

    :param engine: the engine; its pool gives the way to connect, and is left alone.
    :param lock_timeout: seconds that a statement may wait for a lock.
    """

    settings = Settings()  # the base line of the database has others, for its functions

    def __init__(self, engine: Any, lock_timeout: float = 5.0) -> None:
        self.process = os.getpid()
        self.lock_timeout = lock_timeout
        fairy = engine.pool.recreate().connect()
        fairy.detach()
        self._fairy = fairy
        self._dbapi = _compat.dbapi_connection(fairy)
        self.location = _compat.location(self._dbapi)
        self.key = _compat.database_key(self._dbapi)
        ignore(self._dbapi)
        self._names: Dict[Tuple[str, str], str] = {}  # of what is prepared, the last used last
        self._once: Dict[str, None] = {}
        self._number = 0
        self._replica: Optional[bool] = None  # not known before something is prepared
        _compat.set_autocommit(self._dbapi)
        self.settle()
        ((self.pid, self.superuser, self.server_version, self.database),) = self.execute(
            "SELECT pg_backend_pid(), current_setting('is_superuser') = 'on',"
            " current_setting('server_version_num')::int, oid::bigint"
            " FROM pg_database WHERE datname = current_database()"
        )

    def settle(self) -> None:
        """Give the session the settings that every statement of ours relies on."""
        milliseconds = max(1, int(self.lock_timeout * 1000))
        self.execute(
            _SETTINGS.format(
                name="dbtestcase control %d" % os.getpid(),
                lock_ms=milliseconds,
                statement_ms=max(60000, 12 * milliseconds),
            )
        )

    def execute(self, sql: str, params: Optional[Sequence[Any]] = None) -> List[Tuple[Any, ...]]:
        """Run a statement and return its rows, an empty list where it has none.

        :param sql: the statement; a ``%`` in it needs no doubling while ``params`` is ``None``.
        :param params: values for ``%s`` places.
        :raises Exception: the driver's own errors, as they come.
        """
        if self.process != os.getpid():
            raise ConnectionError("it belongs to process %d, which forked this one" % self.process)
        cursor = self._dbapi.cursor()
        try:
            if params is None:
                cursor.execute(sql)
            else:
                cursor.execute(sql, params)
            return [tuple(row) for row in cursor.fetchall()] if cursor.description else []
        finally:
            cursor.close()

    def run_together(self, statements: Sequence[str]) -> Rows:
        """Run statements in one round trip and one transaction; return the rows of the last one."""
        cursor = self._dbapi.cursor()
        try:
            cursor.execute(";\n".join(statements))
            return [tuple(row) for row in _compat.last_rows(cursor)]
        finally:
            cursor.close()

    # --- statements that run before every test: prepared, and kept for the run -------------------

    @property
    def replica(self) -> bool:
        """Whether the connection works under the role ``replica``, as it does where it may."""
        if self._replica is None:
            _compat.never_prepare(self._dbapi)
            self.execute(_GENERIC)
            self._replica = self._may_be_replica()
            if self._replica:
                self.execute(_REPLICA)
        return self._replica

    def _may_be_replica(self) -> bool:
        if self.superuser:
            return True
        if self.server_version < 150000:  # the right cannot be granted before
            return False
        return bool(self.execute(_MAY_REPLICA)[0][0])

    def run_prepared(self, sql: str, types: str = "", *arguments: str) -> Rows:
        """Run a statement, which is prepared for it, and return its rows.

        :param sql: the statement, with ``$1`` for its arguments.
        :param types: the types of the arguments, with commas between them.
        :param arguments: digits or text without quotes; nothing that a user wrote.
        """
        return self.execute(self.execution(sql, types, *arguments))

    def execution(self, sql: str, types: str = "", *arguments: str) -> str:
        """Return how to run a statement, which is prepared for it; parameters as there."""
        name = self._names.pop((sql, types), None)
        if name is None:
            name = self._prepare(sql, types)
        self._names[sql, types] = name  # last in the order of use
        return "EXECUTE %s%s" % (name, arguments and "('%s')" % "','".join(arguments) or "")

    def _prepare(self, sql: str, types: str) -> str:
        assert self.replica is not None  # what is prepared is planned under its settings
        self._number += 1
        name = "dbtestcase_%d" % self._number
        self.execute("PREPARE %s%s AS %s" % (name, types and "(%s)" % types, sql))
        if len(self._names) >= KEPT:
            oldest = next(iter(self._names))
            self.execute("DEALLOCATE %s" % self._names.pop(oldest))
        return name

    def execution_again(self, sql: str, types: str = "", argument: str = "") -> str:
        """Return how to run a statement that may not come again: it is prepared the second time.

        :param argument: an expression for ``$1``, if there is one.
        """
        if (sql, types) in self._names or sql in self._once:
            self._once.pop(sql, None)
            return self.execution(sql, types) + (argument and "(%s)" % argument)
        if len(self._once) >= KEPT:
            self._once.clear()
        self._once[sql] = None
        return sql.replace("$1", argument) if argument else sql

    # --- what it is ------------------------------------------------------------------------------

    def beside(self, engine: Any) -> "Control":
        """Return another connection of the kind, to the database of an engine."""
        return Control(engine, self.lock_timeout)

    @property
    def dbapi(self) -> Any:
        """The driver's connection."""
        return self._dbapi

    @property
    def alive(self) -> bool:
        """Whether the connection is open and belongs to this process, not to one that forked."""
        return self.process == os.getpid() and not self._dbapi.closed

    @property
    def lost(self) -> bool:
        """Whether the connection, which is this process's, is known to be closed."""
        return self.process == os.getpid() and bool(self._dbapi.closed)

    @property
    def parts(self) -> Dict[str, Any]:
        """Where it leads, as parts of a URL without the password."""
        return _compat.connection_parts(self._dbapi)

    def close(self) -> None:
        """Close the connection, if it is this process's to close."""
        if self.alive:  # else SQLAlchemy would log that it cannot roll back
            self._fairy.close()
