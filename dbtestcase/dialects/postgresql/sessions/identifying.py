"""Where does a connection lead? The server itself says so, on a live connection.

A URL is no witness: arguments in it, ``connect_args``, a ``creator``, listeners, ``PG*`` variables
and service files all lead a connection elsewhere.
"""

from __future__ import annotations

from typing import Any, Callable, Tuple

from .... import _compat
from ....contracts import Identity
from ....errors import ConfigurationError, UnsafeDatabaseError
from .control import Control

# Drivers have no code for a connection that they find closed.
_ENDED = (None, "57P01", "57P02", "08006", "08003")

# The start of a server to the microsecond tells servers apart for any role to see.
_STARTED = """
       pg_catalog.to_char(pg_catalog.pg_postmaster_start_time() AT TIME ZONE 'UTC',
                          'YYYY-MM-DD HH24:MI:SS.US')"""

_IDENTIFY = """
SELECT current_catalog::text, d.oid, d.datistemplate,
       pg_catalog.current_setting('server_version'),{started},
       pg_catalog.host(pg_catalog.inet_server_addr()), pg_catalog.inet_server_port(),
       pg_catalog.current_setting('port'), pg_catalog.pg_backend_pid()
  FROM pg_catalog.pg_database d WHERE d.datname = current_catalog
""".format(started=_STARTED)

#: Tells a database from those of other servers, as :func:`answer_of` does of what was identified.
#: By its name: it is the same to who asks for it, also after another run has made it anew.
WHICH = "SELECT {started}, current_catalog::text".format(started=_STARTED)

_PID = "SELECT pg_catalog.pg_backend_pid()"

_POOLER = """\
a pooler in transaction mode stands between the tests and the server, at {}:\
 statements that follow each other reach different sessions there, so connect to the server itself,\
 or give the pooler pool_mode = session for the tests.
  Nothing was touched."""


def answer_of(identity: Identity) -> Tuple[str, ...]:
    """Return what a connection to a database answers to :data:`WHICH`."""
    return (str(identity.key[1]), identity.name)


def identify(engine: Any) -> Identity:
    """Ask a live connection of the engine, one of its pool where there is one to spare."""
    pooled = _opened(engine, _compat.spare_connection)
    try:
        return _of_pooled(engine, pooled)
    except ConfigurationError:
        raise
    except Exception as error:
        if _compat.sqlstate(error) not in _ENDED:
            raise
        return identify_anew(engine)  # the pool's connection was ended meanwhile


def identify_anew(engine: Any) -> Identity:
    """Ask a new connection, made beside the pool."""
    return _of_pooled(engine, _opened(engine, _compat.new_connection))


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


def _opened(engine: Any, opening: Callable[[Any], Any]) -> Any:
    try:
        return opening(engine)
    except Exception as error:
        if "statement pooling mode" not in str(error):
            raise
        raise _shared_sessions(engine) from error  # PgBouncer knows no transactions in it


def _of_pooled(engine: Any, fairy: Any) -> Identity:
    try:
        dbapi = _compat.dbapi_connection(fairy)
        row, pid = _row(dbapi, _IDENTIFY), _compat.backend_pid(dbapi)
    except BaseException:
        fairy.invalidate()
        raise
    fairy.close()
    if pid is not None and pid != row[-1]:
        _refuse_shared_sessions(engine)
    return _identity(row)


def _row(dbapi: Any, sql: str) -> Any:
    cursor = dbapi.cursor()
    cursor.execute(sql)
    row = cursor.fetchone()
    cursor.close()
    return row


# --- poolers between this process and the server --------------------------------------------------


def _refuse_shared_sessions(engine: Any) -> None:
    """Refuse a pooler that gives each transaction another session.

    That there is one at all shows by the pid: what it tells its client is none of the server's. In
    session mode, a connection stays in its session, and all is as without a pooler.

    :raises ConfigurationError: if two connections use one session, or one connection two.
    """
    first, second = _compat.new_connection(engine), _compat.new_connection(engine)
    try:
        one, other = _compat.dbapi_connection(first), _compat.dbapi_connection(second)
        _compat.set_autocommit(one)
        _compat.set_autocommit(other, False)
        pid = _row(one, _PID)
        try:
            shared = _row(other, _PID) == pid  # whose transaction keeps the session for now
            other.rollback()
        except Exception:  # no transactions at all: in statement mode
            shared = True
        # The session used last, or the one not used for longest, is given to the next one.
        shared = shared or any([_row(one, _PID) != pid for _ in range(3)])
    finally:
        for each in (first, second):
            _compat.dbapi_connection(each).close()
    if shared:
        raise _shared_sessions(engine)


def _shared_sessions(engine: Any) -> ConfigurationError:
    return ConfigurationError(_POOLER.format(_compat.url_text(engine.url, hide_password=True)))


def _identity(row: Any) -> Identity:
    name, oid, template, version, started, address, port, socket_port, _ = row
    return Identity(
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
