"""Makes the connection that clears, checks and looks, tells where connections lead, settles them.

The control connection is one of our own, outside every pool and in autocommit. Where a connection
leads, the server itself says, on a live connection. A URL is no witness: arguments in it,
``connect_args``, a ``creator``, listeners, ``PG*`` variables and service files lead elsewhere.
"""

from __future__ import annotations

import os
from typing import Any, Dict, List, Optional, Sequence, Tuple

from .... import _compat
from ....connections import ignore
from ....contracts import Identity
from ....errors import UnsafeDatabaseError
from .locks import Sessions

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


_NAME_BYTES = 63  # as much as a server keeps of an application_name


class Settings:
    """How a session is settled for a test, and set back."""

    #: Gives back whatever a session holds beside its transaction.
    discard = "DISCARD ALL"

    @staticmethod
    def settle(name: str, milliseconds: int) -> str:
        """Return the query that sets a session for a test; its row is what the session had.

        A shorter ``lock_timeout`` than the test's is kept. No commit waits for a synchronous
        standby, which may be lost: that wait ends at no timeout.
        """
        return (
            "SELECT pg_catalog.current_setting('application_name') AS name,"
            " pg_catalog.current_setting('lock_timeout') AS lock_timeout,"
            " pg_catalog.current_setting('synchronous_commit') AS synchronous_commit,"
            " pg_catalog.set_config('application_name', %s, false) AS new_name,"
            " pg_catalog.set_config('lock_timeout',"
            " CASE WHEN extract(epoch from current_setting('lock_timeout')::interval) * 1000"
            " BETWEEN 1 AND %d THEN pg_catalog.current_setting('lock_timeout') ELSE '%dms' END,"
            " false)"
            " AS new_lock_timeout,"
            " pg_catalog.set_config('synchronous_commit',"
            " CASE pg_catalog.current_setting('synchronous_commit') WHEN 'off' THEN 'off'"
            " ELSE 'local' END, false) AS new_synchronous_commit"
            % (_literal(name), milliseconds, milliseconds)
        )

    @staticmethod
    def rename(name: str) -> str:
        """Return the statement that gives a settled session the name of another test."""
        name = name.encode("ascii", "replace")[:_NAME_BYTES].decode("ascii")
        return "SET application_name = '%s'" % name.replace("\\", "/").replace("'", "''")

    @staticmethod
    def restore(before: Tuple[Any, ...]) -> str:
        """Return the statements that set back what :meth:`settle` found."""
        return "; ".join(
            "SET %s = %s" % (setting, _literal(str(value)))
            for setting, value in zip(
                ("application_name", "lock_timeout", "synchronous_commit"), before
            )
        )


def quoted(name: str) -> str:
    """Return the name of an object as it stands in a statement."""
    return '"%s"' % name.replace('"', '""')


def _literal(text: str) -> str:
    """Return a text in quotes, as much of it as a server keeps of a name."""
    text = text.encode("ascii", "replace")[:_NAME_BYTES].decode("ascii")
    return "'%s'" % text.replace("\\", "/").replace("'", "''")


class Control(Sessions):
    """One connection to the database of an engine, made the way that the engine makes its own.

    It stays open for the whole run: a slot on a full server, and nothing that a test does to a
    pool reaches it.

    :param engine: the engine; its pool gives the way to connect, and is left alone.
    :param lock_timeout: seconds that a statement may wait for a lock.
    """

    settings = Settings()

    def __init__(self, engine: Any, lock_timeout: float = 5.0) -> None:
        self.process = os.getpid()
        self.lock_timeout = lock_timeout
        fairy = engine.pool.recreate().connect()
        fairy.detach()
        self._fairy = fairy
        self.dbapi = _compat.dbapi_connection(fairy)
        self.location = _compat.location(self.dbapi)
        self.key = _compat.database_key(self.dbapi)
        ignore(self.dbapi)
        self._names: Dict[Tuple[str, str], str] = {}  # of what is prepared, the last used last
        self._once: Dict[str, None] = {}  # what was run once, without being prepared
        self._number = 0  # of statements that were prepared
        #: Whether it works under the role ``replica``; not before something is prepared.
        self.replica = False
        self._is_prepared = False
        _compat.set_autocommit(self.dbapi)
        self.settle()
        (row,) = self.execute(
            "SELECT pg_backend_pid(), current_setting('is_superuser') = 'on',"
            " current_setting('server_version_num')::int, oid::bigint, datname::text"
            " FROM pg_database WHERE datname = current_database()"
        )
        self.pid, self.superuser, self.server_version, self.database, self.name = row

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
        """Run statements in one round trip.

        :param sql: the statement, or several with ``;`` between them, which are one transaction
            then; a ``%`` in it needs no doubling while ``params`` is ``None``.
        :param params: values for ``%s`` places.
        :return: the rows of the last one, an empty list where it has none.
        :raises Exception: the driver's own errors, as they come.
        """
        if self.process != os.getpid():
            raise ConnectionError("it belongs to process %d, which forked this one" % self.process)
        cursor = self.dbapi.cursor()
        try:
            if params is None:
                cursor.execute(sql)
            else:
                cursor.execute(sql, params)
            return [tuple(row) for row in _compat.last_rows(cursor)]
        finally:
            cursor.close()

    # --- statements that run before every test: prepared, and kept for the run -------------------

    def be_replica(self) -> bool:
        """Have the session plan and write as what is prepared needs it, from the first call on.

        :return: whether it works under the role ``replica``, as it does where it may.
        """
        if not self._is_prepared:
            _compat.never_prepare(self.dbapi)
            self.execute(_GENERIC)
            # Before PostgreSQL 15, the right to it could not be granted.
            self.replica = self.superuser or (
                self.server_version >= 150000 and bool(self.execute(_MAY_REPLICA)[0][0])
            )
            if self.replica:
                self.execute(_REPLICA)
            self._is_prepared = True
        return self.replica

    def execution(self, sql: str, types: str = "", *arguments: str) -> str:
        """Return how to run a statement, which is prepared for it.

        :param sql: the statement, with ``$1`` for its arguments.
        :param types: the types of the arguments, with commas between them.
        :param arguments: digits or text without quotes; nothing that a user wrote.
        """
        name = self._names.pop((sql, types), None)
        if name is None:
            self.be_replica()  # what is prepared is planned under its settings
            self._number += 1
            name = "dbtestcase_%d" % self._number
            self.execute("PREPARE %s%s AS %s" % (name, types and "(%s)" % types, sql))
            if len(self._names) >= KEPT:
                oldest = next(iter(self._names))
                self.execute("DEALLOCATE %s" % self._names.pop(oldest))
        self._names[sql, types] = name  # last in the order of use
        return "EXECUTE %s%s" % (name, arguments and "('%s')" % "','".join(arguments) or "")

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
    def parts(self) -> Dict[str, Any]:
        """Where it leads, as parts of a URL without the password."""
        return _compat.connection_parts(self.dbapi)

    def close(self) -> None:
        """Close the connection, if it is this process's to close."""
        # SQLAlchemy would log of one that is closed already that it cannot roll back.
        if self.process == os.getpid() and not self.dbapi.closed:
            self._fairy.close()


# --- where a connection leads --------------------------------------------------------------------

# Drivers have no code for a connection that they find closed.
_ENDED = (None, "57P01", "57P02", "08006", "08003")

_IDENTIFY = """
SELECT current_catalog::text, d.oid, d.datistemplate,
       pg_catalog.current_setting('server_version'),
       pg_catalog.to_char(pg_catalog.pg_postmaster_start_time() AT TIME ZONE 'UTC',
                          'YYYY-MM-DD HH24:MI:SS.US'),
       pg_catalog.host(pg_catalog.inet_server_addr()), pg_catalog.inet_server_port(),
       pg_catalog.current_setting('port')
  FROM pg_catalog.pg_database d WHERE d.datname = current_catalog
"""


def identify(engine: Any) -> Identity:
    """Ask a live connection of the engine, one of its pool where there is one to spare."""
    pooled = _compat.spare_connection(engine)
    try:
        return _of_pooled(pooled)
    except Exception as error:
        if _compat.sqlstate(error) not in _ENDED:
            raise
        return identify_anew(engine)  # the pool's connection was ended meanwhile


def identify_anew(engine: Any) -> Identity:
    """Ask a new connection, made beside the pool."""
    return _of_pooled(_compat.new_connection(engine))


def connect(engine: Any, identity: Identity, lock_timeout: float) -> Control:
    """Return the connection that clears a database.

    :param engine: an engine on the database.
    :param identity: what :func:`identify` said of it.
    :param lock_timeout: seconds that a statement may wait for a lock.
    :raises UnsafeDatabaseError: if the engine leads to another database now.
    """
    control = Control(engine, lock_timeout)
    (row,) = control.execute(_IDENTIFY)
    found = _identity(row)
    if found.key != identity.key:
        control.close()
        raise UnsafeDatabaseError(
            "%r does not always lead to the same database: first to %s, then to %s. Nothing was"
            " touched." % (engine, identity.label, found.label)
        )
    return control


def _of_pooled(fairy: Any) -> Identity:
    try:
        cursor = _compat.dbapi_connection(fairy).cursor()
        cursor.execute(_IDENTIFY)
        row = cursor.fetchone()
        cursor.close()
    except BaseException:
        fairy.invalidate()
        raise
    fairy.close()
    return _identity(row)


def _identity(row: Any) -> Identity:
    name, oid, template, version, started, address, port, socket_port = row
    return Identity(
        # The start of a server to the microsecond tells servers apart for any role to see.
        key=("postgresql", started, int(oid)),
        name=name,
        place="%s:%s" % (address, port) if address else "a local socket, port %s" % socket_port,
        version="PostgreSQL %s" % version.split()[0],
        template=template in (True, "t"),
    )


# --- sessions that only read ---------------------------------------------------------------------

_READ_ONLY = "default_transaction_read_only"


def identify_connection(dbapi: Any) -> Identity:
    """Ask a driver's own connection where it leads, whoever made it."""
    (row,) = _compat.run_beside(dbapi, _IDENTIFY)
    return _identity(row)


def set_read_only(dbapi: Any, read_only: bool) -> bool:
    """Have a session at rest write nothing, or write again; return whether it was otherwise.

    The server reports it from version 14 on; before, it is set each time.
    """
    wanted = "on" if read_only else "off"
    if read_only:
        _compat.forget_wish_to_write(dbapi)
    if _compat.reported_setting(dbapi, _READ_ONLY) == wanted or _compat.is_in_pipeline(dbapi):
        return False
    _compat.run_beside(dbapi, "SET %s = %s" % (_READ_ONLY, wanted))
    return True


def stop_writing(dbapi: Any) -> None:
    """Have the transaction that a connection is in write nothing more."""
    _compat.run_beside(dbapi, "SET TRANSACTION READ ONLY")
