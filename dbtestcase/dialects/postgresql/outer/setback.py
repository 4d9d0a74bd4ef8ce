"""Sequences, which no rollback sets back: where they stood, and those that a transaction moved."""

from __future__ import annotations

from typing import Any, Callable, List, Tuple

_SEQUENCES = """
SELECT pg_catalog.format('SELECT %s::bigint, last_value, is_called FROM %I.%I',
                         c.oid, n.nspname, c.relname)
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE CASE WHEN c.relkind = 'S' AND c.relpersistence <> 't'
            THEN pg_catalog.has_sequence_privilege(c.oid, 'SELECT')
             AND pg_catalog.has_sequence_privilege(c.oid, 'UPDATE') END
"""

# Which sequences were read in this transaction, by the statistics that the backend keeps of its
# own; they are sent off between transactions only, so nothing is missing from them, and a sequence
# that was read a moment earlier is set back once more.
_SET_BACK = """
PREPARE dbtestcase_set_back AS
SELECT pg_catalog.count(pg_catalog.setval(
           s.oid::regclass, ('{%s}'::bigint[])[s.number], ('{%s}'::bool[])[s.number]))
  FROM pg_catalog.unnest('{%s}'::oid[]) WITH ORDINALITY AS s (oid, number)
 WHERE pg_catalog.pg_stat_get_xact_blocks_fetched(s.oid) > 0
"""
_SET_ALL_BACK = _SET_BACK.rpartition("WHERE")[0]  # where no statistics are kept

# Have the statistics sent off now, where PostgreSQL can be asked to (from version 15 on): reading
# all sequences is not to look as if a test had used them.
_FLUSH = """
SELECT 'SELECT ' || p.oid::regproc::text || '()' FROM pg_catalog.pg_proc p
 WHERE p.proname = 'pg_stat_force_next_flush' AND p.pronamespace = 'pg_catalog'::regnamespace
"""

_AT_ONCE = 500  # each sequence that is read takes a lock, and there are only so many


def prepare(run: Callable[[str], Any], again: bool) -> str:
    """Remember where the sequences stand; return the statement that sets back those that move.

    Nothing where there are no sequences.

    :param run: runs a query and returns its rows.
    :param again: whether the statement was prepared before.
    """
    queries = [row[0] for row in run(_SEQUENCES)]
    found: List[Tuple[Any, ...]] = []
    for start in range(0, len(queries), _AT_ONCE):
        found += run(" UNION ALL ".join(queries[start : start + _AT_ONCE]))
    for (flush,) in run(_FLUSH):
        run(flush)
    if again:
        run("DEALLOCATE dbtestcase_set_back")
    if not found:
        return ""
    counted = run("SHOW track_counts") == [("on",)]
    oids, values, called = (",".join(map(str, column)) for column in zip(*found))
    run((_SET_BACK if counted else _SET_ALL_BACK) % (values, called, oids))
    return "EXECUTE dbtestcase_set_back; "
