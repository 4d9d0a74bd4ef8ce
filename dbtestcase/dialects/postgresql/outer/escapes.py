"""Did anything get past the outer transaction? Transaction numbers tell, whoever wrote."""

from __future__ import annotations

from typing import Any, List

_TABLES = """
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname)
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'm') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
UNION ALL SELECT 'pg_catalog.pg_largeobject_metadata'
 ORDER BY 1
"""

_NOW = """
  FROM (SELECT pg_catalog.txid_current_snapshot() AS snapshot,
               pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot()) AS following
        OFFSET 0) AS now
"""
# What rolled back has a number as well, but is known to have. Every change of rows or of the
# catalog takes a number; only moving a sequence may not.
_COMMITTED = """
PREPARE dbtestcase_committed (bigint, bigint[]) AS
SELECT (SELECT pg_catalog.string_agg(x::text, ',')
          FROM (SELECT pg_catalog.unnest($2) UNION ALL
                SELECT pg_catalog.generate_series($1, following - 1)) AS numbers (x)
         WHERE pg_catalog.txid_status(x) = 'committed'),
       snapshot::text""" + _NOW
# The same for a few numbers, without the machinery of a query: a test that committed once used two.
# The session's own advisory locks are given back, too. By one of these a run has its database: the
# control connection asks without.
_NONE_COMMITTED = """
PREPARE dbtestcase_none_committed (bigint, bigint[]) AS
SELECT $2 = '{}' AND (following <= $1 OR CASE WHEN following <= $1 + 3 THEN 'committed' NOT IN (
            pg_catalog.txid_status($1), pg_catalog.txid_status(least($1 + 1, following - 1)),
            pg_catalog.txid_status(least($1 + 2, following - 1))) ELSE false END),
       snapshot::text, pg_catalog.pg_advisory_unlock_all()::text""" + _NOW
PREPARE = "%s; %s" % (_COMMITTED, _NONE_COMMITTED)


def none_committed_since(snapshot: str) -> str:
    """Return a statement that costs little, for the end of a transaction.

    It asks whether it is sure that nothing was committed since a snapshot, and the next number.

    :param snapshot: what ``txid_current_snapshot()`` gave.
    """
    return _asking("none_committed", snapshot)


def committed_since(snapshot: str) -> str:
    """Return a statement: the numbers of what was committed since a snapshot, and the next one.

    The numbers are separated by commas; ``NULL`` where nothing was committed.

    :param snapshot: what ``txid_current_snapshot()`` gave.
    """
    return _asking("committed", snapshot)


def _asking(what: str, snapshot: str) -> str:
    _, following, running = snapshot.split(":")
    return "EXECUTE dbtestcase_%s (%s, '{%s}')" % (what, following, running)


def tables_written(control: Any, snapshot: str) -> List[str]:
    """Return the tables with rows that transactions since a snapshot wrote and committed.

    :param control: the control connection.
    :param snapshot: what ``txid_current_snapshot()`` gave.
    """
    control.execute(_COMMITTED)
    ((numbers, _),) = control.execute(committed_since(snapshot))
    control.execute("DEALLOCATE dbtestcase_committed")
    if not numbers:
        return []
    found = []
    for (table,) in control.execute(_TABLES):
        # A row has the lower half of the number: the upper half is the same for years.
        rows = control.execute(
            "SELECT 1 FROM %s WHERE xmin::text::bigint ="
            " ANY (SELECT x & 4294967295 FROM pg_catalog.unnest('{%s}'::bigint[]) x) LIMIT 1"
            % (table, numbers)
        )
        if rows:
            found.append(str(table))
    return found
