"""Plans how rows, sequences and large objects are put back to what they were, in one transaction.

One statement deletes from all tables that differ: foreign keys are checked when it is over, so
that their order, and circles of them, do not matter. Where a DELETE would do something else too
(triggers, rules, row security) or takes long, TRUNCATE does it; where neither can, it is said.
Nothing is ever deleted through a parent, whose children may be another database's tables.
"""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Set

from .rows import LARGE_OBJECTS, LEAVE_MARK, Rows
from .tables import Table

#: Bytes of storage from which on a table is truncated. Below it a DELETE is faster, though it
#: leaves dead rows behind; above it these make every later look at the table slow.
TRUNCATE_FROM = 1024 * 1024
#: How many times rows are deleted before the tables are vacuumed of them: autovacuum may be off,
#: or come late, and every look reads the places of dead rows as well.
VACUUM_EVERY = 200


class Impossible(Exception):
    """The rows cannot be put back by emptying and filling tables; the text says why."""


class Plan(NamedTuple):
    """The statements that put everything back, and what has to be looked at after them."""

    statements: List[str]
    asks: List[str]
    fills: bool
    writes_catalog: bool
    views: List[int]
    deleted_from: List[str]


def plan(rows: Rows, sizes: Dict[int, int], replica: bool) -> Plan:
    """Return how to put back what differs.

    :param rows: what the rows were.
    :param sizes: what differs, with its bytes of storage.
    :param replica: whether foreign keys do nothing on this connection.
    :raises Impossible: if a table can neither be emptied nor filled without doing more.
    """
    tables = rows.tables.tables
    views = rows.tables.in_reading_order(oid for oid in sizes if oid in rows.views)
    emptied = {oid for oid in sizes if oid in tables} - set(views)
    truncated = _to_truncate(rows, emptied, sizes)
    emptied |= truncated
    if not replica:
        # Their rows would go, or forbid it, when the rows that they refer to go.
        referring = rows.tables.referring_to(emptied)
        emptied |= {oid for oid in referring if oid in rows.filled}
        truncated |= _to_truncate(rows, emptied - truncated, sizes)
        emptied |= truncated
    names = [tables[oid].name for oid in sorted(truncated)]
    statements = ["TRUNCATE ONLY %s" % ", ".join(names)] if names else []
    deleted = sorted(emptied - truncated)
    statements += _delete(rows, deleted, sizes)
    statements += _fill(rows, [oid for oid in rows.filled if oid in emptied])
    statements += ["REFRESH MATERIALIZED VIEW %s" % tables[oid].name for oid in views]
    fills = any(oid in rows.filled for oid in emptied) or bool(views)
    statements += [LEAVE_MARK] if fills else []
    asks = rows.asks(emptied | set(sizes))
    names = [tables[oid].name for oid in deleted]
    return Plan(statements, asks, fills, bool(truncated or views), views, names)


def _to_truncate(rows: Rows, emptied: Set[int], sizes: Dict[int, int]) -> Set[int]:
    """Return the tables to truncate, with all that refer to them, as TRUNCATE demands."""
    found: Set[int] = set()
    for oid in emptied:
        table = rows.tables.tables[oid]
        if table.delete_is_plain and sizes.get(oid, 0) < TRUNCATE_FROM:
            continue
        group = {oid} | rows.tables.referring_to([oid])
        members = [rows.tables.tables.get(member) for member in group]  # None: a root of partitions
        if all(member is not None and member.truncate_is_plain for member in members):
            found |= group
        elif not table.delete_is_plain:
            raise Impossible("table %s cannot be emptied without side effects" % table.name)
    return found


def _delete(rows: Rows, oids: List[int], sizes: Dict[int, int]) -> List[str]:
    """Return one statement that deletes rows and sets sequences and large objects back."""
    names = [rows.tables.tables[oid].name for oid in oids]
    # The ledger relies on it that this transaction has an id, even if it only sets sequences.
    deletes = ["d%d AS (DELETE FROM ONLY %s)" % (i, name) for i, name in enumerate(names)]
    results = ["pg_current_xact_id()::text::bigint"]
    results += [
        "setval(%d, %d, %s)" % ((oid,) + rows.sequences[oid])
        for oid in sorted(sizes)
        if oid in rows.sequences
    ]
    if LARGE_OBJECTS in sizes:
        kept = "'{%s}'::oid[]" % ",".join(map(str, rows.objects))
        unlink = "SELECT count(lo_unlink(oid)) FROM pg_largeobject_metadata WHERE oid <> ALL (%s)"
        results.append("(%s)" % (unlink % kept))
    with_ = "WITH %s " % ", ".join(deletes) if deletes else ""
    # One row of at most some columns: a long list of results goes into an array.
    return ["%sSELECT ARRAY[%s]::bigint[]" % (with_, ", ".join(results))]


def _fill(rows: Rows, oids: List[int]) -> List[str]:
    inserts = []
    for number, oid in enumerate(oids):
        table = rows.tables.tables[oid]
        if not table.insert_is_plain:
            raise Impossible("table %s cannot be filled without side effects" % table.name)
        inserts.append("i%d AS (%s)" % (number, _insert(table, rows.filled[oid])))
    return ["WITH %s SELECT" % ", ".join(inserts)] if inserts else []


def _insert(table: Table, texts: List[str]) -> str:
    if not table.columns:
        return "INSERT INTO %s SELECT FROM generate_series(1, %d)" % (table.name, len(texts))
    return (
        "INSERT INTO {name} ({columns}) OVERRIDING SYSTEM VALUE SELECT {values} FROM"
        " (SELECT r::{name} AS v FROM unnest(ARRAY[{texts}]::text[]) WITH ORDINALITY u (r, i)"
        " ORDER BY i OFFSET 0) w"
    ).format(
        name=table.name,
        columns=", ".join(table.columns),
        values=", ".join("(v).%s" % column for column in table.columns),
        texts=", ".join(map(_literal, texts)),
    )


def _literal(text: str) -> str:
    """Quote a text; backslashes mean nothing, as ``standard_conforming_strings`` is on."""
    return "'%s'" % text.replace("'", "''")
