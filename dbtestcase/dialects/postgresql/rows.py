"""Which tables have rows that they should not have, and which sequences moved?

All tables, sequences and large objects are asked in one statement, which answers with those that
differ. Tables that had no rows are asked for one row; tables that had some are compared as
fingerprint.py compares catalogs: as many rows as before and none by a newer transaction.
"""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from .control import Control
from .ledger import STILL_INNOCENT
from .prepared import name_of, run
from .snapshot import Snapshot
from .tables import Tables

# Each table of a statement takes a lock, and a server has some thousands for all its sessions.
_CHUNK = 400

_ASK = """
SELECT pg_current_snapshot()::text, $1, array_to_string(ARRAY[
{questions}
]::text[], ' ')
"""

_HAS_ROWS = (
    "CASE WHEN EXISTS (SELECT FROM ONLY {name}) THEN '{key}=' || pg_relation_size({oid}) END"
)
_HAS_STORAGE = "CASE WHEN pg_relation_size({oid}) > 0 THEN '{key}=' || pg_relation_size({oid}) END"
_DIFFERS = """(SELECT '{key}=' || pg_relation_size({oid}) FROM (SELECT count(*) AS n,
    count(*) FILTER (WHERE age(x.xmin) <= (SELECT age($1::xid))) AS newer FROM ONLY {name} x) y
    WHERE n <> {count} OR newer <> 0)"""
_MOVED = "(SELECT '{key}=0' FROM {name} WHERE last_value <> {value} OR is_called <> {called})"
_NEW_OBJECTS = """(SELECT '{key}=0' FROM (SELECT count(*) AS n,
    count(*) FILTER (WHERE age(x.xmin) <= (SELECT age($1::xid))) AS newer
    FROM pg_largeobject_metadata x) y WHERE n <> {count} OR newer <> 0)"""
_OTHER_OBJECT = "CASE WHEN md5(lo_get({oid})) <> '{digest}' THEN '{key}=0' END"

# What puts rows back leaves behind which transaction is the next after it.
_LEAVE_MARK = """
SELECT set_config('dbtestcase.mark',
                  ((pg_current_xact_id()::text::numeric + 1) % 4294967296)::text, false)
"""
_LEFT_MARK = "current_setting('dbtestcase.mark')"

_ROWS = "SELECT dbtestcase_row::text FROM ONLY {name} dbtestcase_row ORDER BY ctid"
_DIGEST = """
SELECT concat_ws(':', count(*), sum(hashtextextended(dbtestcase_row::text, 1)::numeric))
  FROM {name} dbtestcase_row
"""

#: The key under which large objects are asked for; tables and sequences have their object ids.
LARGE_OBJECTS = 0
#: The key of what tells that the catalog itself has to be asked.
CATALOG = 1

# Replication slots come and go without a transaction.
_SLOTS = """(SELECT count(*) FROM pg_get_replication_slots() s
  WHERE s.datoid = (SELECT oid FROM pg_database WHERE datname = current_database()))"""
_OTHER_SLOTS = "CASE WHEN %s <> {count} THEN '{key}=0' END" % _SLOTS


class Found(NamedTuple):
    """What differs: bytes of storage by object id, under one snapshot."""

    snapshot: Snapshot
    mark: str
    sizes: Dict[int, int]


class Rows:
    """The rows, sequences and large objects as they were, and the statement that compares.

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
        self.objects: Dict[int, str] = _large_objects(control)
        self.unknown: List[str] = []
        self._remember_rows(control)
        self._remember_sequences(control)
        ((slots,),) = control.execute("SELECT %s" % _SLOTS)
        about_catalog = [_OTHER_SLOTS.format(count=slots, key=CATALOG)]
        about_catalog += [STILL_INNOCENT.format(key=CATALOG)] if provable else []
        self._asks = _chunks(about_catalog + self._questions())

    def look(self, control: Control) -> Found:
        """Ask what differs from the remembered state."""
        rows = [run(control, sql, "text", self._mark)[0] for sql in self._asks]
        return read_found(rows)

    def ask_again(self, control: Control, filled: bool) -> Tuple[List[str], List[str]]:
        """Return the statements to run before and after the COMMIT of what puts rows back.

        :param filled: whether there will be new rows, which are newer than the old mark.
        """
        names = [name_of(control, sql, "text") for sql in self._asks]
        mark = _LEFT_MARK if filled else "'%s'" % self._mark
        return [_LEAVE_MARK] if filled else [], ["EXECUTE %s(%s)" % (n, mark) for n in names]

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

    def different_views(self, control: Control, oids: Any) -> List[str]:
        """Return the names of those materialized views that show other rows than they did."""
        tables = self.tables.tables
        views = [(self.views[oid], tables[oid].name) for oid in oids]
        return [name for digest, name in views if _digest(control, name) != digest]

    def _remember_rows(self, control: Control) -> None:
        sizes: Dict[int, int] = {}
        for sql in _chunks(self._questions_of_empty()):
            sizes.update(read_found([control.execute(sql.replace("$1", "''"))[0]]).sizes)
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
            sql = "SELECT last_value, is_called FROM %s" % sequence.name
            ((value, called),) = control.execute(sql)
            self.sequences[sequence.oid] = (value, called)

    def _questions(self) -> List[str]:
        questions = self._questions_of_empty(self.filled)
        for oid, name, count in self._counts():
            questions.append(_DIFFERS.format(key=oid, oid=oid, name=name, count=count))
        for sequence in self.tables.sequences:
            if sequence.oid in self.sequences:
                value, called = self.sequences[sequence.oid]
                key, name = sequence.oid, sequence.name
                questions.append(_MOVED.format(key=key, name=name, value=value, called=called))
        questions.append(_NEW_OBJECTS.format(key=LARGE_OBJECTS, count=len(self.objects)))
        for oid, digest in self.objects.items():
            questions.append(_OTHER_OBJECT.format(key=LARGE_OBJECTS, oid=oid, digest=digest))
        return questions

    def _counts(self) -> List[Tuple[int, str, int]]:
        tables = self.tables.tables
        counts = [(oid, tables[oid].name, len(rows)) for oid, rows in self.filled.items()]
        for oid, digest in self.views.items():
            counts.append((oid, tables[oid].name, int(digest.split(":")[0])))
        return counts

    def _questions_of_empty(self, filled: Any = ()) -> List[str]:
        """Return what to ask of tables without rows; of hidden rows only the storage is known."""
        questions = []
        for oid, table in self.tables.tables.items():
            if oid not in filled and not (table.materialized and table.readable):
                question = _HAS_ROWS if table.readable else _HAS_STORAGE
                questions.append(question.format(key=oid, oid=oid, name=table.name))
        return questions


def read_found(rows: List[Tuple[Any, ...]]) -> Found:
    """Read the answers of the statements that compare."""
    sizes = {}
    for _, _, answer in rows:
        for word in answer.split():
            key, size = word.split("=")
            sizes[int(key)] = int(size)
    return Found(Snapshot.read(rows[0][0]), rows[0][1], sizes)


def _chunks(questions: List[str]) -> List[str]:
    starts = range(0, max(1, len(questions)), _CHUNK)
    return [
        _ASK.format(questions=",\n".join(questions[start : start + _CHUNK])) for start in starts
    ]


def _digest(control: Control, name: str) -> str:
    return str(control.execute(_DIGEST.format(name=name))[0][0])


def _large_objects(control: Control) -> Dict[int, str]:
    rows = control.execute("SELECT oid::bigint, md5(lo_get(oid)) FROM pg_largeobject_metadata")
    return dict(rows)
