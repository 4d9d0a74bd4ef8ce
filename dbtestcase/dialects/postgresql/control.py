"""Which connection clears, checks and looks: one of our own, outside every pool, in autocommit."""

from __future__ import annotations

import os
from typing import Any, Dict, List, Optional, Sequence, Tuple

from ... import _compat
from . import watching

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


class Control:
    """One connection to the database of an engine, made the way that the engine makes its own.

    It stays open for the whole run: a slot on a full server, and nothing that a test does to a
    pool reaches it.

    :param engine: the engine; its pool gives the way to connect, and is left alone.
    :param lock_timeout: seconds that a statement may wait for a lock.
    """

    def __init__(self, engine: Any, lock_timeout: float = 5.0) -> None:
        self.process = os.getpid()
        self.lock_timeout = lock_timeout
        fairy = engine.pool.recreate().connect()
        fairy.detach()
        self._fairy = fairy
        self._dbapi = _compat.dbapi_connection(fairy)
        self.location = _compat.location(self._dbapi)
        self.key = watching.key_of(self._dbapi)
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
