"""Where does a connection lead? The server itself says so, on a live connection.

A URL is no witness: arguments in it, ``connect_args``, a ``creator``, listeners, ``PG*`` variables
and service files all lead a connection elsewhere.
"""

from __future__ import annotations

from typing import Any

from .... import _compat
from ....contracts import Identity
from .control import Control

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


def identity_of(control: Control) -> Identity:
    """Ask the connection that clears."""
    (row,) = control.execute(_IDENTIFY)
    return _identity(row)


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
        template=template,
    )
