"""The questions whether a table, a sequence or a large object is as it was, and how they are asked.

An expression costs the server time even where it is not reached, so the many questions are as small
as can be: whether a table has a row, and where a sequence stands, everything else around them once.
"""

from __future__ import annotations

from typing import Dict, Iterable, List, NamedTuple, Sequence, Set, Tuple

from ..catalog.tables import Sequence as SequenceFacts
from ..proof.proof import STILL_INNOCENT
from ..sessions import Control

#: The key under which large objects are asked for; tables and sequences have their object ids.
LARGE_OBJECTS = 0
#: The key of what tells that the catalog itself has to be asked.
CATALOG = 1

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
# Most need not be asked where nothing at all was written since they were right: see rows.py.
_UNLESS_NOTHING_WAS_WRITTEN = """CASE WHEN pg_current_wal_insert_lsn()::text <> $2
  THEN {question} END"""
_NOT_AT = "(SELECT '{oid}=0' FROM {name} WHERE last_value <> {value} OR is_called <> {called})"

# Replication slots come and go without a transaction.
_SLOTS = "(SELECT count(*) FROM pg_get_replication_slots() s WHERE s.datoid = {database})"
_OTHER_SLOTS = "CASE WHEN %s <> {count} THEN '{key}=0' END" % _SLOTS

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


class Question(NamedTuple):
    """An expression: NULL or false where all is as it was."""

    sql: str
    oid: int = 0  # of the table whose rows the expression tells of, if it is a bool


def statements(asked: Sequence[Question]) -> List[str]:
    """Return the statements that ask these questions, as few as locks allow."""
    starts = range(0, max(1, len(asked)), _CHUNK)
    return [_statement(asked[start : start + _CHUNK]) for start in starts]


def _statement(asked: Sequence[Question]) -> str:
    parts = []
    of_rows = [question for question in asked if question.oid]
    others = [question.sql for question in asked if not question.oid]
    if of_rows:
        oids = ",".join(str(question.oid) for question in of_rows)
        exists = ",\n".join(question.sql for question in of_rows)
        parts.append(_OF_ROWS.format(oids=oids, exists=exists))
    parts.append(_OTHERS.format(texts=",\n".join(others)))
    return _ASK.format(parts=",\n".join(parts))


def has_rows(oid: int, name: str) -> Question:
    """Ask whether a table has rows."""
    return Question(_EXISTS.format(name=name), oid)


def has_storage(oid: int) -> Question:
    """Ask whether there may be rows that are hidden from this role."""
    return Question(_HAS_STORAGE.format(oid=oid))


def differs(oid: int, name: str, count: int) -> Question:
    """Ask whether a table has other rows than the ones it had."""
    return Question(_DIFFERS.format(oid=oid, name=name, count=count))


def moved_sequences(
    values: Dict[int, Tuple[int, bool]], sequences: Iterable[SequenceFacts], silent: Set[int]
) -> List[Question]:
    """Ask which sequences moved.

    :param silent: those that may move although the server writes nothing.
    """
    asked = [each for each in sequences if each.oid in values]
    found = exact_sequences(values, [each for each in asked if each.unlogged])
    logged = [each.oid for each in asked if not each.unlogged]
    found += _moved(values, [oid for oid in logged if oid in silent])
    for question in _moved(values, [oid for oid in logged if oid not in silent]):
        found.append(Question(_UNLESS_NOTHING_WAS_WRITTEN.format(question=question.sql)))
    return found


def _moved(values: Dict[int, Tuple[int, bool]], oids: List[int]) -> List[Question]:
    stood = [str(values[oid][0]) if values[oid][1] else "NULL" for oid in oids]
    listed = ",".join(map(str, oids))
    return [Question(_MOVED.format(oids=listed, values=",".join(stood)))] if oids else []


def exact_sequences(
    values: Dict[int, Tuple[int, bool]], sequences: Iterable[SequenceFacts]
) -> List[Question]:
    """Ask which sequences stand elsewhere, or are called or not as they were not."""
    return [
        Question(_NOT_AT.format(oid=each.oid, name=each.name, value=value, called=called))
        for each in sequences
        if each.oid in values
        for value, called in [values[each.oid]]
    ]


def large_objects(digests: Dict[int, str]) -> List[Question]:
    """Ask whether there are other large objects, or others in them."""
    asked = [_OBJECTS.format(key=LARGE_OBJECTS, count=len(digests))]
    for oid, digest in digests.items():
        asked.append(_OTHER_OBJECT.format(key=LARGE_OBJECTS, oid=oid, digest=digest))
    return [Question(sql) for sql in asked]


def other_slots(control: Control) -> List[Question]:
    """Ask whether there are other replication slots than now, where the server may have any."""
    # Logical slots alone are a database's; up to version 18 servers have them at one level alone.
    if control.server_version < 190000 and control.execute("SHOW wal_level") != [("logical",)]:
        return []
    ((slots,),) = control.execute("SELECT %s" % _SLOTS.format(database=control.database))
    return [Question(_OTHER_SLOTS.format(database=control.database, count=slots, key=CATALOG))]


def before(control: Control) -> str:
    """Return what is asked in the same round trip, before the rows are.

    Has anybody else a transaction open, and how much has the server written? The state of a session
    costs less to ask for than its locks. It is hidden where a role may not know it, which counts as
    an open one.
    """
    ((prepares,),) = control.execute(_MAY_PREPARE)
    return _BEFORE.format(database=control.database, prepared=_PREPARED if prepares else "")


def still_innocent() -> Question:
    """Ask whether the ledger may still trust in what connections say that they wrote."""
    return Question(STILL_INNOCENT.format(key=CATALOG))
