"""Who is at work in a database: sessions, the locks they hold, transactions that were prepared.

Looked at before anything is locked; no look waits for anybody.
"""

from __future__ import annotations

from typing import Any, Callable, List, Optional, Tuple

from .... import where
from ....contracts import Backend, DatabaseSessions, InTheWay, Prepared

#: The advisory lock by which a run has a database to itself: "dbst" and "test" in ASCII.
LOCK = "(1684173939, 1952805748)"

_DATABASE = "(SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())"
_FIRST_USER_OID = 16384  # what initdb makes has lower ones

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

# A backend has another virtual id for each of its transactions, which any role sees. Who waited for
# somebody does not have to be there for long once that one is gone.
_TRANSACTIONS = """
SELECT 'pid ' || a.pid,
       pg_catalog.concat_ws(' ', a.pid, a.backend_start, pg_catalog.pg_blocking_pids(a.pid)::text,
           (SELECT pg_catalog.min(l.virtualxid) FROM pg_catalog.pg_locks l
             WHERE l.pid = a.pid AND l.locktype = 'virtualxid' AND l.mode = 'ExclusiveLock'))
  FROM pg_catalog.pg_stat_activity a WHERE a.pid IN ({pids})
UNION ALL
SELECT 'the prepared transaction "' || p.gid || '"', pg_catalog.concat_ws(' ', p.gid, p.prepared)
  FROM pg_catalog.pg_prepared_xacts p
 WHERE p.database = pg_catalog.current_database() AND p.gid IN ({gids})
"""

_CONNECTIONS = """
SELECT pg_catalog.count(*)::int, a.datname::text, a.usename::text, a.application_name
  FROM pg_catalog.pg_stat_activity a WHERE a.datid IS NOT NULL AND a.usesysid IS NOT NULL
 GROUP BY 2, 3, 4 ORDER BY 1 DESC, 2, 3, 4
"""


_COMMON = {"advisory": _ADVISORY, "database": _DATABASE}

# What stands in the way of emptying: a transaction that has written, or keeps others from
# writing. Reading, vacuuming and analyzing do not.
_WRITING = (
    "'RowExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock',"
    " 'AccessExclusiveLock'"
)
# Vacuuming locks indexes as writing does; who writes has locked the table so, too.
_ON_INDEX = (
    "(l.mode = 'RowExclusiveLock' AND EXISTS (SELECT FROM pg_catalog.pg_class c"
    " WHERE c.oid = l.relation AND c.relkind = 'i'))"
)
# What reading takes, and stands against dropping only.
_READING = "'AccessShareLock', 'RowShareLock'"
_READS, _KEEPS = "reads", "keeps"

# Background workers have no role: an ordinary autovacuum yields to whoever waits for it. Advisory
# locks are looked for in sessions alone that carry the name of a test.
_IN_THE_WAY = """
SELECT DISTINCT l.pid, CASE WHEN l.locktype = 'advisory' THEN '{keeps}' {reads}END AS gid
  FROM pg_catalog.pg_locks l
 WHERE l.pid <> pg_catalog.pg_backend_pid()
   AND (l.locktype = 'relation' AND l.database = {database} AND l.relation >= {first} AND {modes}
        OR l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock'
        OR l.database = {database} AND l.granted AND {advisory})
   AND EXISTS (SELECT FROM pg_catalog.pg_stat_get_activity(l.pid) s
                WHERE s.datid = {database} AND s.usesysid IS NOT NULL
                  AND (l.locktype <> 'advisory' OR s.application_name LIKE 'dbtestcase %'))
UNION ALL
SELECT NULL::integer, p.gid FROM pg_catalog.pg_prepared_xacts p
 WHERE p.database = pg_catalog.current_database()
"""

# The name is the server's own, for all databases: two of one name are never there at a time.
_PREPARED_BY = """
SELECT p.gid FROM pg_catalog.pg_prepared_xacts p
  JOIN pg_catalog.pg_stat_activity a ON a.datname = p.database AND a.usename = p.owner
 WHERE p.database = pg_catalog.current_database() AND a.pid IN (%s)
   AND p.prepared BETWEEN a.query_start AND a.state_change
   AND a.query ~* 'prepare\\s+transaction'
   AND pg_catalog.strpos(a.query, pg_catalog.quote_literal(p.gid)) > 0
"""


class Sessions(DatabaseSessions):
    """What a connection can tell of the other sessions of its database, and do about them."""

    execute: Callable[..., List[Tuple[Any, ...]]]
    execution: Callable[..., str]

    def in_the_way(self, exclusive: bool = False) -> InTheWay:
        """Return what is in the way, and what a test may have forgotten; it waits for nothing.

        :param exclusive: whether tables are to be dropped, which any lock on them stands against;
            else they are emptied, which only transactions that have written stand against.
        """
        modes, reads = "l.mode <> 'SIReadLock'", ""
        if not exclusive:
            modes = "l.mode IN (%s, %s) AND NOT %s" % (_WRITING, _READING, _ON_INDEX)
            reads = "WHEN l.mode IN (%s) THEN '%s' " % (_READING, _READS)
        sql = _IN_THE_WAY.format(
            first=_FIRST_USER_OID, modes=modes, reads=reads, keeps=_KEEPS, **_COMMON
        )
        rows = self.execute(self.execution(sql))

        def pids(word: Optional[str]) -> List[int]:
            return [pid for pid, gid in rows if pid is not None and gid == word]

        blocking = pids(None)
        readers = [pid for pid in pids(_READS) if pid not in blocking]
        return InTheWay(blocking, [gid for pid, gid in rows if pid is None], readers, pids(_KEEPS))

    def backends(self, pids: List[int]) -> List[Backend]:
        """Return what the server says about backends, the oldest transaction first."""
        rows = self.execute(
            _BACKENDS.format(
                held=_names("l.pid = a.pid AND l.granted"),
                wanted=_names("l.pid = a.pid AND NOT l.granted"),
                which="a.pid IN (%s)" % _listed(pids),
            )
        )
        found = [Backend(*row) for row in rows]
        return [
            each._replace(
                application=each.application or "",
                query=each.query or "",
                blocked_by=list(each.blocked_by or []),
                held=list(each.held or []),
                wanted=list(each.wanted or []),
            )
            for each in found
        ]

    def advisory_holders(self) -> List[int]:
        """Return the pids of backends that hold an advisory lock of this database."""
        return [pid for (pid,) in self.execute(_ADVISORY_HOLDERS.format(**_COMMON))]

    def connections(self) -> List[Tuple[int, str, str, str]]:
        """Return how many connections the server has, by database, role and application name."""
        return [(row[0], row[1], row[2], row[3] or "") for row in self.execute(_CONNECTIONS)]

    def terminate(self, pid: int, seconds: float) -> bool:
        """End another backend, if it is of the same role and in the same database; tell whether.

        :param seconds: how long to wait until it is gone.
        """
        rows = self.execute(
            "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity"
            " WHERE pid = %d AND usename = current_user"
            " AND datname = pg_catalog.current_database()" % pid
        )
        if not rows or not rows[0][0]:
            return False
        deadline = where.now() + seconds
        while where.now() < deadline and self.backends([pid]):
            where.pause(0.01)
        return True

    # --- transactions that were prepared (2PC) ---------------------------------------------------

    def prepared_transactions(self) -> List[Prepared]:
        """Return the prepared transactions of this database, the oldest first."""
        owns = (
            "l.pid IS NULL AND l.virtualtransaction IN (SELECT t.virtualtransaction"
            " FROM pg_catalog.pg_locks t WHERE t.pid IS NULL AND t.transactionid = p.transaction)"
        )
        rows = self.execute(_PREPARED.format(held=_names(owns)))
        return [Prepared(row[0], row[1], row[2], row[3] or []) for row in rows]

    def transactions(self, pids: List[int], gids: List[str]) -> List[Tuple[str, str]]:
        """Return how transactions are called, and what tells each from every other one."""
        named = ", ".join(["NULL"] + [_literal(gid) for gid in gids])
        rows = self.execute(_TRANSACTIONS.format(pids=_listed(pids), gids=named))
        return [(called, mark) for called, mark in rows]

    def prepared_by(self, pids: List[int]) -> List[str]:
        """Return the names of what backends have prepared, and have done nothing since."""
        return [gid for (gid,) in self.execute(_PREPARED_BY % _listed(pids))]

    def rollback_prepared(self, gid: str) -> None:
        """End a prepared transaction of this database."""
        self.execute("ROLLBACK PREPARED %s" % _literal(gid))


def _listed(pids: List[int]) -> str:
    """Return pids as a list in a statement, which may be empty."""
    return ", ".join(["NULL"] + [str(int(pid)) for pid in pids])


def _literal(text: str) -> str:
    return "'%s'" % text.replace("'", "''")


def _names(whose: str) -> str:
    return _NAMED.format(whose=whose, first=_FIRST_USER_OID, **_COMMON)
