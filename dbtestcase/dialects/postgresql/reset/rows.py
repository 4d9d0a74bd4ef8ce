"""Remembers rows, sequences and large objects, and asks which of them differ from what they were.

One statement asks for all and answers with those that differ. Tables that had no rows are asked
for one; tables that had some are compared as fingerprint.py compares catalogs: as many rows as
before, and none by a newer transaction. An expression costs the server time even where it is not
reached, so the many questions are as small as can be: whether a table has a row, and where a
sequence stands, everything else around them once.

A sequence moves without a transaction id, but not without a record in the write-ahead log, as long
as it has no values in advance, of which one record tells ("log_cnt"). Those that have none when
they are remembered have some only after a move, which is seen, and none when they were set back. So
they are not asked again where the log is as long as it was when they were right. One that cycles
can be back where it was with values in advance, and is always asked.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Sequence, Set, Tuple

from ..sessions import Control, Snapshot
from .tables import Sequence as SequenceFacts
from .tables import Tables

_ROWS = "SELECT dbtestcase_row::text FROM ONLY {name} dbtestcase_row ORDER BY ctid"
_DIGEST = """
SELECT concat_ws(':', count(*), sum(hashtextextended(dbtestcase_row::text, 1)::numeric))
  FROM {name} dbtestcase_row
"""
_DIGESTS = "SELECT oid::bigint, md5(lo_get(oid)) FROM pg_largeobject_metadata"

#: The key under which large objects are asked for; tables and sequences have their object ids.
LARGE_OBJECTS = 0
_CATALOG = 1  # the key of what tells that the catalog itself has to be asked

# Each table of a statement takes a lock, and a server has some thousands for all its sessions.
_CHUNK = 400

_ASK = """SELECT pg_current_snapshot()::text, $1, current_setting('dbtestcase.before', true),
  concat_ws(' ',\n{parts})"""
_OF_ROWS = """(SELECT string_agg(o::text || '=' || pg_relation_size(o), ' ')
  FROM unnest('{{{oids}}}'::oid[], ARRAY[{exists}]) u (o, found) WHERE found)"""
_OTHERS = "array_to_string(ARRAY[{texts}]::text[], ' ')"

_EXISTS = "EXISTS (SELECT FROM ONLY {name})"
_HAS_STORAGE = "CASE WHEN pg_relation_size({oid}) > 0 THEN '{oid}=' || pg_relation_size({oid}) END"
_DIFFERS = """(SELECT '{oid}=' || pg_relation_size({oid}) FROM (SELECT count(*) AS n,
  count(*) FILTER (WHERE age(x.xmin) <= (SELECT age($1::xid))) AS newer FROM ONLY {name} x) y
  WHERE n <> {count} OR newer <> 0)"""
_OBJECTS = """(SELECT '{key}=0' FROM (SELECT count(*) AS n,
  count(*) FILTER (WHERE age(x.xmin) <= (SELECT age($1::xid))) AS newer
  FROM pg_largeobject_metadata x) y WHERE n <> {count} OR newer <> 0)"""
_OTHER_OBJECT = "CASE WHEN md5(lo_get({oid})) <> '{digest}' THEN '{key}=0' END"

# The function does not tell where a sequence stands that is to give out its value next. Setting one
# so takes a transaction id, and no harmless statement does it; unlogged ones are asked exactly.
_MOVED = """(SELECT string_agg(o::text || '=0', ' ')
  FROM unnest('{{{oids}}}'::oid[], '{{{values}}}'::bigint[]) u (o, v)
 WHERE pg_sequence_last_value(o) IS DISTINCT FROM v)"""
# Most need not be asked where nothing at all was written since they were right: see above.
_UNLESS_NOTHING_WAS_WRITTEN = """CASE WHEN pg_current_wal_insert_lsn()::text <> $2
  THEN {question} END"""
_NOT_AT = "(SELECT '{oid}=0' FROM {name} WHERE last_value <> {value} OR is_called <> {called})"

# Replication slots come and go without a transaction.
_SLOTS = "(SELECT count(*) FROM pg_get_replication_slots() s WHERE s.datoid = {database})"
_OTHER_SLOTS = "CASE WHEN %s <> {count} THEN '{key}=0' END" % _SLOTS
_DOUBT = "CASE WHEN {doubt} THEN '{key}=0' END"

# Asked before the rows are, in the same round trip: has anybody else a transaction open, and how
# much has the server written? The state of a session costs less to ask for than its locks. It is
# hidden where a role may not know it, which counts as an open one.
_BEFORE = """
SELECT set_config('dbtestcase.before', concat_ws(' ', pg_current_wal_insert_lsn()::text,
         EXISTS (SELECT FROM pg_stat_get_activity(NULL) a
                  WHERE a.datid = {database} AND a.usesysid IS NOT NULL
                    AND a.pid <> pg_backend_pid() AND a.state IS DISTINCT FROM 'idle'){prepared}),
       false)
"""
_PREPARED = " OR EXISTS (SELECT FROM pg_prepared_xact())"
_MAY_PREPARE = "SELECT current_setting('max_prepared_transactions') <> '0'"

#: What puts rows back leaves behind which transaction id is the next after it.
LEAVE_MARK = """
SELECT set_config('dbtestcase.mark',
                  ((pg_current_xact_id()::text::numeric + 1) % 4294967296)::text, false)
"""
#: The mark that was left.
LEFT_MARK = "current_setting('dbtestcase.mark')"

#: What a look asks for. What may differ although no transaction id was used.
QUICK = "quick"
#: Everything but sequences that were set back unused.
ALL = "all"
#: Sequences that differ in any way.
EXACT = "exact"


class Found(NamedTuple):
    """What differs, with its bytes of storage, as one statement saw it."""

    next_id: Optional[int]  # the id of the next transaction; None: some are not over
    mark: str
    sizes: Dict[int, int]
    doubted: bool  # whether the catalog has to be asked, whatever is proved
    others: bool  # whether others had a transaction open a moment before, if that was asked
    written: str  # how much the server had written a moment before, if that was asked


class Question(NamedTuple):
    """An expression: NULL or false where all is as it was."""

    sql: str
    oid: int = 0  # of the table whose rows the expression tells of, if it is a bool


class Rows:
    """The rows, sequences and large objects as they were, and the statements that compare.

    :param control: the connection, in a transaction that sees one state.
    :param tables: what the catalog says of the tables.
    :param snapshot: the state that the transaction sees, with no other transaction open.
    :param doubt: a condition on which the catalog has to be asked, if there is one.
    """

    def __init__(
        self, control: Control, tables: Tables, snapshot: Snapshot, doubt: Optional[str]
    ) -> None:
        self.tables = tables
        #: The transaction id that rows are compared by: those of later ones are not the right ones.
        self.mark = snapshot.mark
        self.filled: Dict[int, List[str]] = {}
        self.views: Dict[int, str] = {}
        self.sequences: Dict[int, Tuple[int, bool]] = {}
        self.objects: Dict[int, str] = dict(control.execute(_DIGESTS))
        #: A sentence on what this role may not see, and so not compare.
        self.hidden: Optional[str] = None
        self._silent: Set[int] = set()  # sequences that may move although the server writes nothing
        self._right_at = ""
        self._remember(control)
        quick = self._moved_sequences() + _other_slots(control)
        asked = quick + ([Question(_DOUBT.format(doubt=doubt, key=_CATALOG))] if doubt else [])
        asked += self._changed_tables(tables.tables) + self._changed_objects()
        self._statements = {
            QUICK: _statements(quick),
            ALL: _statements(asked),
            EXACT: _statements(self._not_at(tables.sequences.values())),
        }
        ((prepares,),) = control.execute(_MAY_PREPARE)
        self._before = _BEFORE.format(
            database=control.database, prepared=_PREPARED if prepares else ""
        )

    def _remember(self, control: Control) -> None:
        """Remember the rows of tables, what materialized views show, and where sequences stand."""
        hidden = []
        tables = self.tables.tables
        asks = [sql.replace("$1", "''") for sql in _statements(self._changed_tables(tables))]
        for oid in ask(control, [], asks).sizes:
            if tables[oid].readable:
                rows = control.execute(_ROWS.format(name=tables[oid].name))
                self.filled[oid] = [text for (text,) in rows]
            else:
                hidden.append(tables[oid].name)
        for oid, table in tables.items():
            if table.materialized and table.populated and table.readable:
                self.views[oid] = _digest(control, table.name)
        for oid, sequence in self.tables.sequences.items():
            if sequence.readable:
                sql = "SELECT last_value, is_called, log_cnt FROM %s" % sequence.name
                ((value, called, logged),) = control.execute(sql)
                self.sequences[oid] = (value, called)
                if sequence.cycles or called and logged:
                    self._silent.add(oid)
            else:
                hidden.append(sequence.name)
        if hidden:
            self.hidden = "what %s contains is hidden from this role" % ", ".join(hidden)

    # --- comparing -------------------------------------------------------------------------------

    def look(self, control: Control, part: str = ALL, others: bool = False) -> Found:
        """Ask the server what differs.

        :param part: what is asked for: ``QUICK``, ``ALL`` or ``EXACT``.
        :param others: whether to ask, before, for open transactions of others.
        """
        before = [control.execution(self._before)] if others else []
        arguments = (self.mark, self._right_at)
        asks = [control.execution(sql, "text, text", *arguments) for sql in self._statements[part]]
        found = ask(control, before, asks, others)
        if others and not found.sizes:
            self._right_at = found.written
        return found

    def asks(self, oids: Iterable[int]) -> List[str]:
        """Return the statements that ask whether these are as they were.

        :param oids: some of the tables, sequences and large objects.
        """
        wanted = set(oids)
        asked = self._changed_tables([oid for oid in self.tables.tables if oid in wanted])
        asked += self._changed_objects()
        sequences = self.tables.sequences.values()
        return _statements(asked + self._not_at(each for each in sequences if each.oid in wanted))

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

    def names(self, oids: Iterable[int]) -> List[str]:
        """Return what a look found, as a sentence has it."""
        found = []
        for oid in oids:
            if oid in self.tables.tables:
                found.append("table %s" % self.tables.tables[oid].name)
            elif oid in self.tables.sequences:
                found.append("sequence %s" % self.tables.sequences[oid].name)
            else:
                found.append("a large object")
        return found

    # --- questions -------------------------------------------------------------------------------

    def _changed_tables(self, oids: Iterable[int]) -> List[Question]:
        asked = []
        for oid in oids:
            table = self.tables.tables[oid]
            if oid in self.filled or oid in self.views:
                rows = self.filled.get(oid)
                count = int(self.views[oid].split(":")[0]) if rows is None else len(rows)
                asked.append(Question(_DIFFERS.format(oid=oid, name=table.name, count=count)))
            elif not table.readable:  # of hidden rows only the storage is known
                asked.append(Question(_HAS_STORAGE.format(oid=oid)))
            elif not table.materialized:
                asked.append(Question(_EXISTS.format(name=table.name), oid))
        return asked

    def _changed_objects(self) -> List[Question]:
        asked = [_OBJECTS.format(key=LARGE_OBJECTS, count=len(self.objects))]
        for oid, digest in self.objects.items():
            asked.append(_OTHER_OBJECT.format(key=LARGE_OBJECTS, oid=oid, digest=digest))
        return [Question(sql) for sql in asked]

    def _moved_sequences(self) -> List[Question]:
        sequences = self.tables.sequences.values()
        asked = self._not_at(each for each in sequences if each.unlogged)
        logged = [
            each.oid for each in sequences if not each.unlogged and each.oid in self.sequences
        ]
        for silent in (True, False):
            stood = [
                (oid,) + self.sequences[oid] for oid in logged if (oid in self._silent) == silent
            ]
            if stood:
                oids = ",".join(str(oid) for oid, _, _ in stood)
                values = ",".join(str(value) if called else "NULL" for _, value, called in stood)
                sql = _MOVED.format(oids=oids, values=values)
                sql = sql if silent else _UNLESS_NOTHING_WAS_WRITTEN.format(question=sql)
                asked.append(Question(sql))
        return asked

    def _not_at(self, sequences: Iterable[SequenceFacts]) -> List[Question]:
        """Ask which sequences stand elsewhere, or are called or not as they were not."""
        return [
            Question(_NOT_AT.format(oid=each.oid, name=each.name, value=value, called=called))
            for each in sequences
            if each.oid in self.sequences
            for value, called in [self.sequences[each.oid]]
        ]


def ask(control: Control, before: List[str], asks: List[str], others: bool = False) -> Found:
    """Run statements and then those that ask what differs, the first of them in one round trip.

    :param others: whether the statements before asked for others.
    """
    answers: List[Tuple[Any, ...]] = [control.execute(";\n".join(before + asks[:1]))[0]]
    answers += [control.execute(sql)[0] for sql in asks[1:]]
    sizes = {}
    for _, _, _, answer in answers:
        for word in answer.split():
            key, size = word.split("=")
            sizes[int(key)] = int(size)
    snapshot, mark, noted, _ = answers[0]
    _, next_id, open_ids = snapshot.split(":")
    doubted = sizes.pop(_CATALOG, None) is not None
    written, busy = noted.split() if others else ("", "f")
    following = None if open_ids else int(next_id)
    return Found(following, mark, sizes, doubted, busy == "t", written)


def _statements(asked: Sequence[Question]) -> List[str]:
    """Return the statements that ask these questions, as few as locks allow."""
    statements = []
    for start in range(0, max(1, len(asked)), _CHUNK):
        some = asked[start : start + _CHUNK]
        of_rows = [question for question in some if question.oid]
        others = ",\n".join(question.sql for question in some if not question.oid)
        parts = [_OTHERS.format(texts=others)]
        if of_rows:
            oids = ",".join(str(question.oid) for question in of_rows)
            exists = ",\n".join(question.sql for question in of_rows)
            parts.insert(0, _OF_ROWS.format(oids=oids, exists=exists))
        statements.append(_ASK.format(parts=",\n".join(parts)))
    return statements


def _other_slots(control: Control) -> List[Question]:
    """Ask whether there are other replication slots than now, where the server may have any."""
    # Logical slots alone are a database's; up to version 18 servers have them at one level alone.
    if control.server_version < 190000 and control.execute("SHOW wal_level") != [("logical",)]:
        return []
    ((slots,),) = control.execute("SELECT %s" % _SLOTS.format(database=control.database))
    return [Question(_OTHER_SLOTS.format(database=control.database, count=slots, key=_CATALOG))]


def _digest(control: Control, name: str) -> str:
    return str(control.execute(_DIGEST.format(name=name))[0][0])
