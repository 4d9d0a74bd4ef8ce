"""Who holds what in this database: locks, open transactions, prepared ones, connections."""

from __future__ import annotations

import time
from typing import Any, List, NamedTuple, Optional, Tuple

from .claim import LOCK

_DATABASE = "(SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())"
FIRST_USER_OID = 16384  # what initdb makes has lower ones

_NAMED = """
SELECT pg_catalog.array_agg(DISTINCT CASE
           WHEN l.locktype = 'advisory' AND l.objsubid = 1
           THEN 'the advisory lock ' || (l.classid::bigint << 32 | l.objid::bigint)
           WHEN l.locktype = 'advisory'
           THEN 'the advisory lock (' || l.classid || ', ' || l.objid || ')'
           WHEN c.relname IS NULL THEN 'a table that is not committed'
           WHEN n.nspname = 'public' THEN '"' || c.relname || '"'
           ELSE '"' || n.nspname || '.' || c.relname || '"' END)
  FROM pg_catalog.pg_locks l
  LEFT JOIN pg_catalog.pg_class c ON c.oid = l.relation
  LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE {whose} AND l.database = {database}
   AND (l.locktype = 'relation' AND l.relation >= {first} OR {advisory})
   AND COALESCE(c.relkind, 'r') IN ('r', 'p', 'v', 'm', 'f', 'S')
   AND COALESCE(n.nspname, '') NOT LIKE 'pg\\_toast%'
"""

# Whatever the suite uses them for; the one by which a run has the database is not the suite's.
_ADVISORY = "l.locktype = 'advisory' AND NOT (l.objsubid = 2 AND (l.classid, l.objid) = %s)" % LOCK

_ADVISORY_HOLDERS = """
SELECT DISTINCT l.pid FROM pg_catalog.pg_locks l
 WHERE {advisory} AND l.granted AND l.database = {database}
   AND l.pid <> pg_catalog.pg_backend_pid()
"""

_BACKENDS = """
SELECT a.pid, a.usename::text, a.application_name, pg_catalog.host(a.client_addr),
       a.client_port, a.state,
       extract(epoch FROM pg_catalog.clock_timestamp() - a.state_change)::float8,
       a.wait_event_type, a.query, pg_catalog.pg_blocking_pids(a.pid), ({held}), ({wanted})
  FROM pg_catalog.pg_stat_activity a
 WHERE {which}
 ORDER BY a.xact_start NULLS LAST, a.pid
"""

_PREPARED = """
SELECT p.gid, p.owner::text,
       extract(epoch FROM pg_catalog.clock_timestamp() - p.prepared)::float8, ({held})
  FROM pg_catalog.pg_prepared_xacts p
 WHERE p.database = pg_catalog.current_database() ORDER BY p.prepared
"""

_CONNECTIONS = """
SELECT pg_catalog.count(*)::int, a.datname::text, a.usename::text, a.application_name
  FROM pg_catalog.pg_stat_activity a WHERE a.datid IS NOT NULL AND a.usesysid IS NOT NULL
 GROUP BY 2, 3, 4 ORDER BY 1 DESC, 2, 3, 4
"""


WORDS = {"advisory": _ADVISORY, "database": _DATABASE}


class Backend(NamedTuple):
    """One connection to this database, as its server sees it."""

    pid: int
    role: Optional[str]
    application: str
    address: Optional[str]
    port: Optional[int]
    state: Optional[str]  # None: this role may not know
    seconds: Optional[float]  # in that state
    waits_for: Optional[str]  # "Lock", "Client" and others; None: at work
    query: str
    blocked_by: List[int]  # pids; 0 stands for a prepared transaction
    held: List[str]  # names of relations
    wanted: List[str]  # names of relations whose lock it waits for


class Prepared(NamedTuple):
    """A transaction of this database that was prepared (2PC) and neither committed nor ended."""

    gid: str
    role: str
    seconds: float
    held: List[str]


def advisory_holders(control: Any) -> List[int]:
    """Return the pids of backends that hold an advisory lock of this database."""
    return [pid for (pid,) in control.execute(_ADVISORY_HOLDERS.format(**WORDS))]


def backends(control: Any, pids: List[int]) -> List[Backend]:
    """Return what the server says about backends, the oldest transaction first."""
    rows = control.execute(
        _BACKENDS.format(
            held=_names("l.pid = a.pid AND l.granted"),
            wanted=_names("l.pid = a.pid AND NOT l.granted"),
            which="a.pid IN (%s)" % listed(pids),
        )
    )
    return [_backend(row) for row in rows]


def prepared_transactions(control: Any) -> List[Prepared]:
    """Return the prepared transactions of this database, the oldest first."""
    owns = (
        "l.pid IS NULL AND l.virtualtransaction IN (SELECT t.virtualtransaction"
        " FROM pg_catalog.pg_locks t WHERE t.pid IS NULL AND t.transactionid = p.transaction)"
    )
    rows = control.execute(_PREPARED.format(held=_names(owns)))
    return [Prepared(row[0], row[1], row[2], row[3] or []) for row in rows]


def waiting_for(control: Any, pids: List[int]) -> List[int]:
    """Return the pids that some backends wait for in turn, down to the root of the queue."""
    found: List[int] = []
    ask = list(pids)
    while ask:
        named = backends(control, ask)
        ask = sorted({pid for each in named for pid in each.blocked_by} - {0} - set(found + pids))
        found += ask
    return found


def connections(control: Any) -> List[Tuple[int, str, str, str]]:
    """Return how many connections the server has, by database, role and application name."""
    return [(row[0], row[1], row[2], row[3] or "") for row in control.execute(_CONNECTIONS)]


def terminate(control: Any, pid: int, seconds: float) -> bool:
    """End another backend, if it is of the same role and in the same database; tell whether.

    :param seconds: how long to wait until it is gone.
    """
    rows = control.execute(
        "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity"
        " WHERE pid = %d AND usename = current_user"
        " AND datname = pg_catalog.current_database()" % pid
    )
    if not rows or not rows[0][0]:
        return False
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and backends(control, [pid]):
        time.sleep(0.01)
    return True


def listed(pids: List[int]) -> str:
    """Return pids as a list in a statement, which may be empty."""
    return ", ".join(["NULL"] + [str(int(pid)) for pid in pids])


def _names(whose: str) -> str:
    return _NAMED.format(whose=whose, first=FIRST_USER_OID, **WORDS)


def _backend(row: Tuple[Any, ...]) -> Backend:
    pid, role, application, address, port, state, seconds, waits_for, query = row[:9]
    blocked_by, held, wanted = (list(array or []) for array in row[9:])
    return Backend(
        pid,
        role,
        application or "",
        address,
        port,
        state,
        seconds,
        waits_for,
        query or "",
        blocked_by,
        held,
        wanted,
    )
