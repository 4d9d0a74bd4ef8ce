"""Which tables have rows that they should not have, and which sequences moved?

One statement asks them all and answers with those that differ. Tables that had no rows are asked
for one; tables that had some are compared as fingerprint.py compares catalogs: as many rows as
before, and none by a newer transaction.

A sequence moves without a transaction id, but not without a record in the write-ahead log, as long
as it has no values in advance, of which one record tells ("log_cnt"). Those that have none when
they are remembered have some only after a move, which is seen, and none when they were set back. So
they are not asked again where the log is as long as it was when they were right. One that cycles
can be back where it was with values in advance, and is always asked.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, NamedTuple, Set, Tuple

from ..catalog.tables import Tables
from ..sessions import Control, Snapshot
from . import questions

_ROWS = "SELECT dbtestcase_row::text FROM ONLY {name} dbtestcase_row ORDER BY ctid"
_DIGEST = """
SELECT concat_ws(':', count(*), sum(hashtextextended(dbtestcase_row::text, 1)::numeric))
  FROM {name} dbtestcase_row
"""
_OBJECTS = "SELECT oid::bigint, md5(lo_get(oid)) FROM pg_largeobject_metadata"


class Found(NamedTuple):
    """What differs, with its bytes of storage, under one snapshot."""

    snapshot: Snapshot
    mark: str
    sizes: Dict[int, int]
    others: bool = False  # whether others had a transaction open a moment before, if that was asked
    written: str = ""  # how much the server had written a moment before, if that was asked


class Rows:
    """The rows, sequences and large objects as they were, and the statements that compare.

    :param control: the connection, in a transaction that sees one state.
    :param tables: what the catalog says of the tables.
    :param snapshot: the state that the transaction sees, with no other transaction open.
    :param provable: whether ledger.py can prove that the catalog is the right one.
    """

    def __init__(
        self, control: Control, tables: Tables, snapshot: Snapshot, provable: bool
    ) -> None:
        self.tables = tables
        self._mark = snapshot.mark
        self.filled: Dict[int, List[str]] = {}
        self.views: Dict[int, str] = {}
        self.sequences: Dict[int, Tuple[int, bool]] = {}
        self.objects: Dict[int, str] = dict(control.execute(_OBJECTS))
        self.unknown: List[str] = []
        self._silent: Set[int] = set()
        self._right_at = ""
        self._remember_rows(control)
        self._remember_sequences(control)
        first = questions.moved_sequences(self.sequences, tables.sequences, self._silent)
        first += questions.other_slots(control)
        everything = first + ([questions.still_innocent()] if provable else [])
        self._before = questions.before(control)
        self._first = questions.statements(first)
        self._all = questions.statements(everything + self._questions(tables.tables))
        exact = questions.exact_sequences(self.sequences, tables.sequences)
        self._exact = questions.statements(exact)

    def look_first(self, control: Control, others: bool = False) -> Found:
        """Ask for all that differs and needs no transaction: where nobody had one, that is all.

        :param others: whether to ask, before, for open transactions of others.
        """
        return self._ask(control, self._first, others)

    def look(self, control: Control, others: bool = False) -> Found:
        """Ask for all that differs, sequences that were set back unused aside.

        :param others: whether to ask, before, for open transactions of others.
        """
        return self._ask(control, self._all, others)

    def look_exactly(self, control: Control) -> Found:
        """Ask for sequences that differ in any way."""
        return self._ask(control, self._exact)

    @property
    def mark(self) -> str:
        """The transaction id that rows are compared by, as an SQL literal."""
        return "'%s'" % self._mark

    def asks(self, oids: Iterable[int]) -> List[str]:
        """Return the statements that ask whether these are as they were.

        :param oids: some of the tables, sequences and large objects.
        """
        wanted = set(oids)
        asked = self._questions([oid for oid in self.tables.tables if oid in wanted])
        sequences = [each for each in self.tables.sequences if each.oid in wanted]
        asked += questions.exact_sequences(self.sequences, sequences)
        return questions.statements(asked)

    def compare_from(self, mark: str) -> None:
        """Compare by another mark from now on: the rows are the right ones, and older."""
        self._mark = mark

    def differences(self, control: Control) -> List[str]:
        """Compare every remembered row, and return the names of tables that differ."""
        tables = self.tables.tables
        different = []
        for oid, rows in self.filled.items():
            now = control.execute(_ROWS.format(name=tables[oid].name))
            if sorted(rows) != sorted(text for (text,) in now):
                different.append(tables[oid].name)
        return different + self.different_views(control, self.views)

    def different_views(self, control: Control, oids: Iterable[int]) -> List[str]:
        """Return the names of those materialized views that show other rows than they did."""
        tables = self.tables.tables
        views = [(self.views[oid], tables[oid].name) for oid in oids]
        return [name for digest, name in views if _digest(control, name) != digest]

    def _ask(self, control: Control, statements: List[str], others: bool = False) -> Found:
        before = [control.execution(self._before)] if others else []
        arguments = (self._mark, self._right_at)
        asks = [control.execution(sql, "text, text", *arguments) for sql in statements]
        answers = [control.execute(";\n".join(before + asks[:1]))[0]]
        answers += [control.execute(ask)[0] for ask in asks[1:]]
        found = read_found(answers, others)
        if others and not found.sizes:
            self._right_at = found.written
        return found

    def _remember_rows(self, control: Control) -> None:
        sizes: Dict[int, int] = {}
        for sql in questions.statements(self._of_empty(self.tables.tables)):
            sizes.update(read_found(control.execute(sql.replace("$1", "''"))).sizes)
        for oid in sizes:
            table = self.tables.tables[oid]
            if not table.readable:
                self.unknown.append(table.name)
            else:
                rows = control.execute(_ROWS.format(name=table.name))
                self.filled[oid] = [text for (text,) in rows]
        for oid, table in self.tables.tables.items():
            if table.materialized and table.populated and table.readable:
                self.views[oid] = _digest(control, table.name)

    def _remember_sequences(self, control: Control) -> None:
        for sequence in self.tables.sequences:
            if not sequence.readable:
                self.unknown.append(sequence.name)
                continue
            sql = "SELECT last_value, is_called, log_cnt FROM %s" % sequence.name
            ((value, called, logged),) = control.execute(sql)
            self.sequences[sequence.oid] = (value, called)
            if sequence.cycles or called and logged:
                self._silent.add(sequence.oid)

    def _questions(self, oids: Iterable[int]) -> List[questions.Question]:
        tables = self.tables.tables
        asked = self._of_empty(oids)
        for oid in oids:
            if oid in self.filled:
                asked.append(questions.differs(oid, tables[oid].name, len(self.filled[oid])))
            elif oid in self.views:
                count = int(self.views[oid].split(":")[0])
                asked.append(questions.differs(oid, tables[oid].name, count))
        return asked + questions.large_objects(self.objects)

    def _of_empty(self, oids: Iterable[int]) -> List[questions.Question]:
        """Return what to ask of tables without rows; of hidden rows only the storage is known."""
        tables = [self.tables.tables[oid] for oid in oids if oid not in self.filled]
        hidden = [table.oid for table in tables if not table.readable]
        asked = [questions.has_storage(oid) for oid in hidden]
        for table in tables:
            if table.readable and not table.materialized:
                asked.append(questions.has_rows(table.oid, table.name))
        return asked


def read_found(rows: List[Tuple[Any, ...]], others: bool = False) -> Found:
    """Read the answers of the statements that compare.

    :param others: whether others were asked for before.
    """
    sizes = {}
    for _, _, _, answer in rows:
        for word in answer.split():
            key, size = word.split("=")
            sizes[int(key)] = int(size)
    snapshot, mark, before, _ = rows[0]
    written, busy = before.split() if others else ("", "f")
    return Found(Snapshot.read(snapshot), mark, sizes, busy == "t", written)


def _digest(control: Control, name: str) -> str:
    return str(control.execute(_DIGEST.format(name=name))[0][0])
