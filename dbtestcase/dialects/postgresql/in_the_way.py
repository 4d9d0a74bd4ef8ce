"""Who is in the way of a reset? Looked at before anything is locked, and in one query."""

from __future__ import annotations

from typing import Any, List, NamedTuple, Optional

from . import prepared
from .locks import FIRST_USER_OID, WORDS

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


class InTheWay(NamedTuple):
    """What stands against a reset, and what does not but belongs to nobody if it is a test's."""

    pids: List[int]  # backends that it would wait for
    gids: List[str]  # names of prepared transactions
    readers: List[int]  # backends that have read tables: emptying these waits for nobody
    keepers: List[int]  # backends with the name of a test that hold advisory locks


def look(control: Any, exclusive: bool = False) -> InTheWay:
    """Return what is in the way, and what a test may have forgotten; it waits for nothing.

    :param exclusive: whether tables are to be dropped, which any lock on them stands against;
        else they are emptied, which only transactions that have written stand against.
    """
    rows = prepared.run(control, _sql(exclusive))

    def pids(word: Optional[str]) -> List[int]:
        return [pid for pid, gid in rows if pid is not None and gid == word]

    blocking = pids(None)
    readers = [pid for pid in pids(_READS) if pid not in blocking]
    return InTheWay(blocking, [gid for pid, gid in rows if pid is None], readers, pids(_KEEPS))


def _sql(exclusive: bool) -> str:
    """Return the query for what must end before this database can be reset; it waits for nothing.

    It has no rows where nothing is to be done. They are ``(pid, gid)``: a backend, a prepared
    transaction, or a backend with a word that says why it is not in the way.
    """
    modes, reads = "l.mode <> 'SIReadLock'", ""
    if not exclusive:
        modes = "l.mode IN (%s, %s) AND NOT %s" % (_WRITING, _READING, _ON_INDEX)
        reads = "WHEN l.mode IN (%s) THEN '%s' " % (_READING, _READS)
    return _IN_THE_WAY.format(first=FIRST_USER_OID, modes=modes, reads=reads, keeps=_KEEPS, **WORDS)
