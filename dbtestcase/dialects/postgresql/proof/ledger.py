"""Who used the transaction ids of the server? When we saw all of them used, the catalog is proved.

A fingerprint of the catalog costs a look at each of its rows. Most tests change nothing there,
and this proves it from what the server says with every look at the rows: the next transaction id.

The argument. Every change of a catalog is made by a transaction or savepoint that has an id, and
all ids of a cluster come from one counter. Between two looks with nothing in progress, the counter
tells how many ids N were used and are over. Of each connection that our engines made, we see every
statement (drivers.py), and count a transaction once, and each of its savepoints once, when an
INSERT, UPDATE or DELETE in it wrote at least one row: it has an id of its own then. Of a
transaction in which anything else ran than these, SELECT, SET and savepoints, nothing is counted.
Let W be the sum. The counted ids are different ones among the N, so that W = N leaves none that we
did not see, and none that did anything but write rows. Whatever is unknown, another process, a raw
connection, DDL, a procedure, autovacuum, uses ids that are not counted: W < N, and the fingerprint
is asked.

W is a lower bound, never an estimate:

- a savepoint that was rolled back used its id; after ROLLBACK TO, it gets another one;
- a statement that a unique, exclusion or foreign key refused had written its row before that;
  one that a check refused had perhaps not, and is not counted;
- ``rowcount`` 0 (ON CONFLICT DO NOTHING, a trigger that suppresses) may have used an id or not;
- ``executemany`` counts once, whatever it wrote;
- a transaction counts when its COMMIT or ROLLBACK has returned, and none that is open may have an
  id when a look is remembered: so it counts in the interval in which the server counts it.

Where rows can be counted that were not written here, or a row's writing can run code that does
more, the catalog says so when the fingerprint is taken (proof.py), and nothing is proved this
way: foreign tables, INSTEAD OF triggers, rules, other table access methods, and volatile functions
that something refers to. Foreign tables and such triggers are looked for with every look at the
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

from .... import _compat
from ....connections import ROW_WRITES, Observer, Subscriber, all_quoted, row_verb, savepoint_of
from ..sessions.transactions import Snapshot

Key = Tuple[Any, ...]

# unique_violation, exclusion_violation, foreign_key_violation: the row was written before.
_AFTER_WRITING = ("23505", "23P01", "23503")


class Point(NamedTuple):
    """A moment in which the catalog was the right one."""

    next: int  # the next transaction id
    counted: int
    ours: int  # ids that the control connection used since


class Ledger:
    """The transactions of watched connections that used ids and did nothing but write rows."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counted: Dict[Key, int] = {}
        self._open: "WeakSet[Transaction]" = WeakSet()

    def counted(self, key: Key) -> int:
        """Return how many ids the harmless transactions of a database used, which are over."""
        return self._counted.get(key, 0)

    def point(self, key: Key, snapshot: Snapshot) -> Optional[Point]:
        """Return where to count from after a look, if nothing is in progress that has an id.

        :param snapshot: what the server said in that look.
        """
        with self._lock:
            if snapshot.open or self._open:
                return None
            return Point(snapshot.xmax, self.counted(key), 0)

    def opened(self, transaction: "Transaction") -> None:
        """Know of a transaction that has an id."""
        with self._lock:
            self._open.add(transaction)

    def ended(self, transaction: "Transaction", key: Key, ids: int) -> None:
        """Know that a transaction is over and used at least as many ids."""
        with self._lock:
            self._open.discard(transaction)
            self._counted[key] = self._counted.get(key, 0) + ids


LEDGER = Ledger()


class _Savepoint:
    """A savepoint, or the transaction itself, and whether it has an id."""

    __slots__ = ("name", "has_id")

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.has_id = False


class Transaction(Observer):
    """What ran in the current transaction of one watched connection of psycopg2."""

    def __init__(self, key: Key, ledger: Ledger = LEDGER) -> None:
        self._key = key
        self._ledger = ledger
        self._reset()

    def _reset(self) -> None:
        self._ids = 0
        self._harmless = True
        self._savepoints = [_Savepoint(b"")]

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
        self.take(query, cursor.rowcount, b"\\" in query and _is_standard(cursor))
        self._after(cursor, cursor._dbtestcase_known)

    def failed(self, cursor: Any, error: BaseException) -> None:
        """See that a statement failed; some had written a row before."""
        if cursor.connection.closed:  # the connection was lost, and its settings with it
            self.lost()
            return
        rows = 1 if _compat.sqlstate(error) in _AFTER_WRITING else 0
        self.take(cursor.query, rows, _is_standard(cursor))
        self._after(cursor, cursor._dbtestcase_known and isinstance(error, Exception))

    def _after(self, cursor: Any, known: bool) -> None:
        if not known:
            self.unknown()
        if _compat.transaction_status(cursor.connection) == _compat.IDLE:
            self.over()

    def unknown(self) -> None:
        """See that something else happened."""
        self._harmless = False

    def over(self) -> None:
        """Count the transaction, which is committed or rolled back."""
        if self._ids:
            self._ledger.ended(self, self._key, self._ids if self._harmless else 0)
        if self._ids or not self._harmless or len(self._savepoints) > 1:
            self._reset()

    def lost(self) -> None:
        """Do not count the transaction, as its end is not known."""
        if self._ids:
            self._harmless = False
        self.over()

    # --- what a statement does to it -------------------------------------------------------------

    def take(self, query: Optional[bytes], rows: int, standard: bool = False) -> None:
        """Take note of a statement.

        :param query: what was sent to the server.
        :param rows: how many rows the server says it wrote or found.
        :param standard: whether ``standard_conforming_strings`` is known to be on.
        """
        if not self._harmless or query is None:
            return
        verb = row_verb(query, standard)
        if verb in ROW_WRITES and rows > 0:
            if not self._ids:
                self._ledger.opened(self)
            for savepoint in self._savepoints:
                if not savepoint.has_id:
                    savepoint.has_id = True
                    self._ids += 1
        elif verb is None and not self._savepoint(query):
            self._harmless = False

    def _savepoint(self, query: bytes) -> bool:
        """Follow a statement about a savepoint; return whether it was one that is known."""
        found = savepoint_of(query)
        if found is None:
            return False
        verb, name = found
        if verb == b"SAVEPOINT":
            self._savepoints.append(_Savepoint(name))
            return True
        known = [i for i, savepoint in enumerate(self._savepoints) if savepoint.name == name]
        if not known:
            return False
        del self._savepoints[known[-1] :]
        if verb == b"ROLLBACK":
            self._savepoints.append(_Savepoint(name))
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
