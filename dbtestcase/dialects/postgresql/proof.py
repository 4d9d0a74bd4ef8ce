"""Proves that nobody changed the catalog, by a ledger of the transaction ids that were used.

A fingerprint of the catalog costs a look at each of its rows. Most tests change nothing there,
and this proves it from what the server says with every look at the rows: the next transaction id.

The argument. Every change of a catalog is made by a transaction or savepoint that has an id, and
all ids of a cluster come from one counter. Between two looks with nothing in progress, the counter
tells how many ids N were used and are over. Of each connection that our engines made, we see every
statement, and count a transaction once, and each of its savepoints once, when an INSERT, UPDATE or
DELETE in it wrote at least one row: it has an id of its own then. These statements, SELECT, SET and
those about savepoints are called harmless, and a transaction is harmless in which nothing else ran.
Of others nothing is counted. Let W be the sum. The counted ids are different ones among the N, so
that W = N leaves none that we did not see, and none that did anything but write rows. Whatever is
unknown, another process, a raw connection, DDL, a procedure, autovacuum, uses ids that are not
counted: W < N, and the fingerprint is asked.

W is a lower bound, never an estimate:

- a savepoint that was rolled back used its id; after ROLLBACK TO, it gets another one;
- a statement that a unique, exclusion or foreign key refused had written its row before that;
  one that a check refused had perhaps not, and is not counted;
- ``rowcount`` 0 (ON CONFLICT DO NOTHING, a trigger that suppresses) may have used an id or not;
- ``executemany`` counts once, whatever it wrote;
- a transaction counts when its COMMIT or ROLLBACK has returned, and none that is open may have an
  id when counting begins: so it counts in the interval in which the server counts it.

Where rows can be counted that were not written here, or a row's writing can run code that does
more, the catalog says so when the fingerprint is taken, and nothing is proved this way: foreign
tables, INSTEAD OF triggers, rules, other table access methods, and volatile functions that
something refers to. Foreign tables and such triggers are looked for with every look at the
rows as well, as somebody else may have made one since. A statement that names another volatile
function, or a function of the system that writes catalogs (these begin with ``pg_`` and ``lo_``),
is not harmless.

What stays assumed: that the statements of a watched connection go through its own cursors, not past
the driver through its C library or through a copy of its socket in a forked process.
"""

from __future__ import annotations

import threading
from typing import Any, Dict, NamedTuple, Optional, Sequence, Tuple
from weakref import WeakSet

from ... import _compat
from ...connections import (
    ROW_WRITES,
    Observer,
    Subscriber,
    all_quoted,
    forbid_functions,
    row_verb,
    savepoint_of,
)
from .sessions import Control

__all__ = ["COUNTING", "LEDGER", "Proof"]

Key = Tuple[Any, ...]

# unique_violation, exclusion_violation, foreign_key_violation: the row was written before.
_AFTER_WRITING = ("23505", "23P01", "23503")

# Where this is true, the server tells of rows that were not written here.
_ROWS_ELSEWHERE = """EXISTS (SELECT FROM pg_foreign_table)
    OR EXISTS (SELECT FROM pg_trigger WHERE tgtype & 64 <> 0)"""

# Functions that may do anything: not those of the system, and not procedures, which no harmless
# statement calls. One that is not volatile may only read, but could still call one of these.
_VOLATILE = """
SELECT oid::bigint, proname::text FROM pg_proc
 WHERE oid >= 16384 AND provolatile = 'v' AND prokind <> 'p'
"""
# Where this is true, the text of a statement does not tell whether it is harmless.
_UNCLEAR = """
SELECT {elsewhere}
    OR EXISTS (SELECT FROM pg_rewrite WHERE ev_type <> '1' AND ev_class >= 16384)
    OR EXISTS (SELECT FROM pg_class WHERE relkind IN ('r', 'm') AND relam <> 2)
    OR EXISTS (SELECT FROM pg_rewrite WHERE ev_class >= 16384
                  AND pg_get_viewdef(ev_class) ~* '{suspect}')
    OR EXISTS (SELECT FROM pg_attrdef WHERE pg_get_expr(adbin, adrelid) ~* '{suspect}')
    OR EXISTS (SELECT FROM pg_constraint
                WHERE contype = 'c' AND pg_get_constraintdef(oid) ~* '{suspect}')
    OR EXISTS (SELECT FROM pg_policy)
    OR EXISTS (SELECT FROM pg_trigger WHERE tgqual IS NOT NULL)
    OR EXISTS (SELECT FROM pg_depend WHERE refclassid = 'pg_proc'::regclass
                  AND refobjid = ANY ('{%(volatile)s}'::oid[]))
    OR '{%(volatile)s}' <> '{}' AND EXISTS (
       SELECT FROM pg_proc JOIN pg_language l ON l.oid = prolang
        WHERE pg_proc.oid >= 16384 AND provolatile <> 'v' AND lanname NOT IN ('c', 'internal'))
""".replace("{suspect}", "\\m(pg_|lo_|information_schema|setval)").replace(
    "{elsewhere}", _ROWS_ELSEWHERE
)


class Point(NamedTuple):
    """A moment in which the catalog and some rows were the right ones."""

    rows: object
    next_id: int  # of the next transaction
    counted: int


class Proof:
    """Whether it is proved, without a look at the catalog, that it is still the right one.

    It is asked twice in a reset: before a look at the rows, and after it. In the end it hears that
    everything is right (:meth:`begin`); where that does not come, it goes on to count from the last
    time that everything was.

    :param control: the connection that asks what the catalog allows to prove.
    """

    def __init__(self, control: Control) -> None:
        functions = control.execute(_VOLATILE)
        volatile = ",".join(str(oid) for oid, _ in functions)
        ((unclear,),) = control.execute(_UNCLEAR % {"volatile": volatile})
        forbid_functions(frozenset() if unclear else frozenset(name for _, name in functions))
        #: A condition on which no count is to be trusted; ``None`` where none is anyway.
        self.doubt = None if unclear else _ROWS_ELSEWHERE
        self._point: Optional[Point] = None
        self._counted = 0

    def expects_nothing(self, key: Key, rows: object) -> bool:
        """Tell, before a look, whether nothing is known to have happened since rows were right.

        :param key: the database.
        :param rows: what :meth:`begin` was given.
        """
        self._counted = LEDGER.counted.get(key, 0)
        point = self._point
        return point is not None and point.rows is rows and point.counted == self._counted

    def holds(self, next_id: Optional[int]) -> bool:
        """Tell, after a look, whether all ids that were used are known to be harmless.

        :param next_id: of the next transaction, as that look said; ``None``: some are not over.
        """
        if self._point is None or next_id is None:
            return False
        used = next_id - self._point.next_id
        if self.doubt is None:
            return used == 0
        return used == self._counted - self._point.counted or used == 0

    def begin(self, key: Key, rows: object, next_id: Optional[int], used: int) -> None:
        """Count from here on: the catalog and these rows are the right ones.

        :param next_id: of the next transaction, as the look said; ``None``: some are not over.
        :param used: how many ids the control connection has used since.
        """
        with LEDGER.lock:
            if next_id is None or LEDGER.open:  # over for the server, maybe, but not counted yet
                self._point = None
            else:
                self._point = Point(rows, next_id + used, LEDGER.counted.get(key, 0))


class Ledger:
    """The transactions of watched connections that used ids and did nothing but write rows."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        #: For each database, how many ids they used that are over.
        self.counted: Dict[Key, int] = {}
        #: Those that have an id and are not over.
        self.open: "WeakSet[Transaction]" = WeakSet()

    def opened(self, transaction: "Transaction") -> None:
        """Know of a transaction that has an id."""
        with self.lock:
            self.open.add(transaction)

    def ended(self, transaction: "Transaction", key: Key, ids: int) -> None:
        """Know that a transaction is over and used at least as many ids."""
        with self.lock:
            self.open.discard(transaction)
            self.counted[key] = self.counted.get(key, 0) + ids


LEDGER = Ledger()


class Transaction(Observer):
    """What ran in the current transaction of one watched connection of psycopg2."""

    def __init__(self, key: Key) -> None:
        self._key = key
        self._reset()

    def _reset(self) -> None:
        self._ids = 0
        self._harmless = True
        self._savepoints = [b""]  # their names; the first one stands for the transaction itself
        self._with_id = 0  # so many of them have an id: a write gives one to each that has none

    # --- what the watch on the driver reports ----------------------------------------------------

    def before(self, cursor: Any, method: str, statement: Any, arguments: Sequence[Any]) -> bool:
        """See that a statement is about to run; always let it."""
        if _compat.transaction_status(cursor.connection) == _compat.IDLE:
            self.lost()  # whatever was before ended in a way that was not seen
        known = method == "execute"
        if method == "executemany" and isinstance(statement, str) and len(arguments) > 1:
            # The driver keeps the last statement alone; the others differ from it in values only.
            known = all_quoted(arguments[1])
            if known and not row_verb(statement.encode(), _is_standard(cursor)):
                known = False
        cursor._dbtestcase_known = known
        return True

    def ran(self, cursor: Any) -> None:
        """See that a statement ran."""
        query = cursor.query or b""
        standard = b"\\" in query and _is_standard(cursor)
        self._take(cursor, query, cursor.rowcount, standard, cursor._dbtestcase_known)

    def failed(self, cursor: Any, error: BaseException) -> None:
        """See that a statement failed; some had written a row before."""
        if cursor.connection.closed:  # the connection was lost, and its settings with it
            self.lost()
            return
        rows = 1 if _compat.sqlstate(error) in _AFTER_WRITING else 0
        known = cursor._dbtestcase_known and isinstance(error, Exception)
        self._take(cursor, cursor.query, rows, _is_standard(cursor), known)

    def unknown(self) -> None:
        """See that something else happened."""
        self._harmless = False

    def over(self) -> None:
        """Count the transaction, which is committed or rolled back."""
        if self._ids:
            LEDGER.ended(self, self._key, self._ids if self._harmless else 0)
        if self._ids or not self._harmless or len(self._savepoints) > 1:
            self._reset()

    def lost(self) -> None:
        """Do not count the transaction, as its end is not known."""
        if self._ids:
            self._harmless = False
        self.over()

    # --- what a statement does to it -------------------------------------------------------------

    def _take(
        self, cursor: Any, query: Optional[bytes], rows: int, standard: bool, known: bool
    ) -> None:
        """Take note of a statement.

        :param query: what was sent to the server.
        :param rows: how many rows the server says it wrote or found.
        :param standard: whether ``standard_conforming_strings`` is known to be on.
        :param known: whether the query is all that was sent.
        """
        if self._harmless and query is not None:
            verb = row_verb(query, standard)
            if verb in ROW_WRITES and rows > 0:
                if not self._ids:
                    LEDGER.opened(self)
                self._ids += len(self._savepoints) - self._with_id
                self._with_id = len(self._savepoints)
            elif verb is None and not self._savepoint(query):
                self._harmless = False
        if not known:
            self._harmless = False
        if _compat.transaction_status(cursor.connection) == _compat.IDLE:
            self.over()

    def _savepoint(self, query: bytes) -> bool:
        """Follow a statement about a savepoint; return whether it was one that is known."""
        found = savepoint_of(query)
        if found is None:
            return False
        verb, name = found
        if verb == b"SAVEPOINT":
            self._savepoints.append(name)
            return True
        known = [i for i, each in enumerate(self._savepoints) if each == name]
        if not known:
            return False
        del self._savepoints[known[-1] :]
        self._with_id = min(self._with_id, len(self._savepoints))
        if verb == b"ROLLBACK":
            self._savepoints.append(name)
        return True


def _is_standard(cursor: Any) -> bool:
    """Tell whether a backslash in a plain literal is just one: the server reports this setting."""
    status = cursor.connection.get_parameter_status("standard_conforming_strings")
    return bool(status == "on")


class _Counting(Subscriber):
    """Has the transactions of psycopg2's connections counted."""

    def opened(self, dbapi: Any) -> Optional[Observer]:
        """Observe a new connection, where it is psycopg2's."""
        if not _compat.keeps_what_it_sent(dbapi):
            return None
        return Transaction(_compat.database_key(dbapi))


COUNTING = _Counting()
