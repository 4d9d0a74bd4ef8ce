"""Reads from the catalog how each table can be read, emptied and filled."""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, NamedTuple, Set, Tuple

from ..sessions import Control

# Bits of pg_trigger.tgtype.
_ON_INSERT, _ON_DELETE, _ON_TRUNCATE = 4, 8, 32

# Tables and materialized views that have storage of their own here: not the roots of partitions,
# and not foreign tables, which are another database's and never touched.
_TABLES = """
SELECT c.oid::bigint, format('%I.%I', n.nspname, c.relname), c.relkind = 'm', c.relispopulated,
       usable AND has_table_privilege(c.oid, 'SELECT') AND NOT row_security_active(c.oid),
       usable AND has_table_privilege(c.oid, 'DELETE') AND NOT row_security_active(c.oid),
       usable AND has_table_privilege(c.oid, 'TRUNCATE') AND c.relkind = 'r',
       usable AND has_table_privilege(c.oid, 'INSERT') AND NOT row_security_active(c.oid),
       (SELECT coalesce(bit_or(tgtype::int), 0) FROM pg_trigger
         WHERE tgrelid = c.oid AND tgenabled IN ('A', '{enabled}') AND tgfoid NOT IN (
               SELECT oid FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace
                  AND proname ~ '^(RI_FKey_|unique_key_recheck$)')),
       (SELECT coalesce(string_agg(ev_type::text, ''), '') FROM pg_rewrite
         WHERE ev_class = c.oid AND ev_enabled IN ('A', '{enabled}')),
       (SELECT coalesce(array_agg(quote_ident(attname) ORDER BY attnum), '{{}}') FROM pg_attribute
         WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = '')
  FROM (SELECT *, has_schema_privilege(relnamespace, 'USAGE') AS usable FROM pg_class) c
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.oid >= 16384 AND c.relkind IN ('r', 'm') AND c.relpersistence <> 't'
 ORDER BY c.oid
"""

# A foreign key of or to a partitioned table binds its leaves. The roots are kept as well: they
# cannot be truncated without their partitions.
_REFERENCES = """
SELECT DISTINCT a::oid::bigint, b::oid::bigint
  FROM pg_constraint,
       LATERAL (SELECT conrelid AS a UNION SELECT relid FROM pg_partition_tree(conrelid)) x,
       LATERAL (SELECT confrelid AS b UNION SELECT relid FROM pg_partition_tree(confrelid)) y
 WHERE contype = 'f'
"""

# What each view or materialized view reads.
_READS = """
SELECT DISTINCT r.ev_class::bigint, d.refobjid::bigint
  FROM pg_rewrite r JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
 WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.ev_class AND r.oid >= 16384
"""

_SEQUENCES = """
SELECT seqrelid::bigint, format('%I.%I', n.nspname, c.relname),
       has_schema_privilege(n.oid, 'USAGE') AND has_sequence_privilege(c.oid, 'SELECT'),
       c.relpersistence = 'u', seqcycle
  FROM pg_sequence JOIN pg_class c ON c.oid = seqrelid JOIN pg_namespace n ON n.oid = relnamespace
 WHERE c.oid >= 16384 AND relpersistence <> 't' ORDER BY seqrelid
"""


class Table(NamedTuple):
    """A table or materialized view and what this role may do to it, triggers and rules in mind."""

    oid: int
    name: str  # quoted, with its schema
    materialized: bool
    populated: bool
    readable: bool
    may_delete: bool
    may_truncate: bool
    may_insert: bool
    triggers: int
    rules: str
    columns: List[str]

    @property
    def delete_is_plain(self) -> bool:
        """Whether DELETE takes out all rows and does nothing else, foreign keys aside."""
        return self.may_delete and not self.triggers & _ON_DELETE and "4" not in self.rules

    @property
    def truncate_is_plain(self) -> bool:
        """Whether TRUNCATE takes out all rows and does nothing else."""
        return self.may_truncate and not self.triggers & _ON_TRUNCATE

    @property
    def insert_is_plain(self) -> bool:
        """Whether INSERT puts in exactly the given rows and does nothing else."""
        return self.may_insert and not self.triggers & _ON_INSERT and "3" not in self.rules


class Sequence(NamedTuple):
    """A sequence and whether this role may ask where it stands."""

    oid: int
    name: str
    readable: bool
    unlogged: bool
    cycles: bool


class Tables:
    """The tables, sequences and references of one catalog, read once.

    :param replica: whether the control connection works under the role ``replica``.
    """

    def __init__(self, control: Control, replica: bool) -> None:
        sql = _TABLES.format(enabled="R" if replica else "O")
        self.tables: Dict[int, Table] = {row[0]: Table(*row) for row in control.execute(sql)}
        self.sequences: Dict[int, Sequence] = {
            row[0]: Sequence(*row) for row in control.execute(_SEQUENCES)
        }
        self._referring = _by_second(control.execute(_REFERENCES))
        self._reading = _by_second(control.execute(_READS))

    def referring_to(self, oids: Iterable[int]) -> Set[int]:
        """Return tables that refer to these ones by foreign keys, directly or through others."""
        return _reach(self._referring, oids)

    def in_reading_order(self, oids: Iterable[int]) -> List[int]:
        """Sort materialized views: what others read comes before them."""
        wanted = set(oids)
        return sorted(wanted, key=lambda oid: -len(_reach(self._reading, [oid]) & wanted))


def _by_second(pairs: Iterable[Tuple[Any, ...]]) -> Dict[int, Set[int]]:
    found: Dict[int, Set[int]] = {}
    for first, second in pairs:
        found.setdefault(second, set()).add(first)
    return found


def _reach(edges: Dict[int, Set[int]], start: Iterable[int]) -> Set[int]:
    """Return everything that the edges lead to from the start, the start itself left out."""
    seen: Set[int] = set(start)
    pending = list(seen)
    while pending:
        new = edges.get(pending.pop(), set()) - seen
        seen |= new
        pending.extend(new)
    return seen - set(start)
