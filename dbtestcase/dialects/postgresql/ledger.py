"""Who used the transaction ids of the server? When we saw all of them used, the catalog is proved.

A fingerprint of the catalog costs a look at each of its rows. Most tests change nothing there,
and this proves it from what the server says with every look at the rows: the next transaction id.

The argument. Every change of a catalog is made by a transaction or savepoint that has an id, and
all of a cluster's ids come from one counter. Between two looks with nothing in progress, the
counter tells how many ids N were used and are over. Of each connection that our engines made, we
see every statement (watching.py), and count a transaction once, and each of its savepoints once,
when an INSERT, UPDATE or DELETE in it wrote at least one row: it has an id of its own then. Of a
transaction in which anything else ran than these, SELECT, SET and savepoints, nothing is counted.
Let W be the sum. The counted ids are different ones among the N, so that W = N leaves none that we
did not see, and none that did anything but write rows. Whatever is unknown, another process or
thread, a raw connection, DDL, a procedure, autovacuum, uses ids that are not counted: W < N, and the
fingerprint is asked.

W is a lower bound, never an estimate:

- a savepoint that was rolled back used its id; after ROLLBACK TO, it gets another one;
- a statement that a unique, exclusion or foreign key refused had written its row before that;
  one that a check refused had perhaps not, and is not counted;
- ``rowcount`` 0 (ON CONFLICT DO NOTHING, a trigger that suppresses) may have used an id or not;
- ``executemany`` counts once, whatever it wrote;
- a transaction counts when its COMMIT or ROLLBACK has returned, and none that is open may have an
  id when a look is remembered: so it counts in the interval in which the server counts it.

Where rows can be counted that were not written here, or a row's writing can run code that does
more, the catalog says so when the fingerprint is taken (``_GUILT``), and nothing is proved this
way: foreign tables, INSTEAD OF triggers, rules, other table access methods, and volatile functions
that something refers to. Foreign tables and such triggers are looked for with every look at the
rows as well, as somebody else may have made one since. A statement that names another volatile
function, or a function of the system that writes catalogs (these begin with ``pg_`` and ``lo_``),
is not harmless.

What stays assumed: that the statements of a watched connection go through its own cursors, not past
the driver through its C library or through a copy of its socket in a forked process.
"""

from __future__ import annotations

import re
import threading
from typing import Any, Dict, FrozenSet, List, NamedTuple, Optional, Set, Tuple
from weakref import WeakSet

from .control import Control
from .snapshot import Snapshot

Key = Tuple[Any, ...]

# Longer statements are not read.
_LONGEST = 4 * 1024 * 1024

# Literals and quoted names. Two quotes inside one read as two literals side by side, which end at
# the same place. With backslashes, E'' literals end elsewhere than plain ones do.
_QUOTED = re.compile(rb"""'[^']*'|"[^"]*\"""")
_QUOTED_WITH_BACKSLASHES = re.compile(
    rb"""(?<![\w$\x80-\xff])[eE]'[^'\\]*(?:(?:''|\\.)[^'\\]*)*'|'[^']*'|"[^"]*\"""", re.DOTALL
)
# Quotes that do not end, dollar quotes, comments and unicode escapes are not read.
_UNREAD_BYTES = b"'\"$\\"
_UNREAD = (b"--", b"/*", b"u&\0")
_VERB = re.compile(rb"\s*([a-z]+)\b")
_SAVEPOINT = re.compile(
    rb"""\s*(?P<verb>SAVEPOINT|RELEASE(?:\s+SAVEPOINT)?|ROLLBACK\s+TO(?:\s+SAVEPOINT)?)\s+
    (?P<name>"(?:[^"]|"")+"|\w+)\s*;?\s*""",
    re.VERBOSE | re.IGNORECASE,
)
_WRITES = (b"insert", b"update", b"delete")
_READS = (b"select", b"with", b"show", b"set", b"values")
_CREATES = re.compile(rb"\binto\b")
_SYSTEM = re.compile(rb"(?<![a-z0-9_])(?:pg_|lo_|setval|information_schema)")

# unique_violation, exclusion_violation, foreign_key_violation: the row was written before.
_AFTER_WRITING = ("23505", "23P01", "23503")

# Functions that may do anything: not those of the system, and not procedures, which no harmless
# statement calls. One that is not volatile may only read, but could still call one of these.
_VOLATILE = """
SELECT oid::bigint, proname::text FROM pg_proc
 WHERE oid >= 16384 AND provolatile = 'v' AND prokind <> 'p'
"""
_GUILT = """
SELECT EXISTS (SELECT FROM pg_foreign_table)
    OR EXISTS (SELECT FROM pg_trigger WHERE tgtype & 64 <> 0)
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
        WHERE pg_proc.oid >= 16384 AND provolatile <> 'v' AND false)
""".replace("{suspect}", "\\m(pg_|lo_|information_schema|setval)")

#: A question with the answer NULL while nothing reports rows that it does not write here.
STILL_INNOCENT = """CASE WHEN EXISTS (SELECT FROM pg_foreign_table)
    OR EXISTS (SELECT FROM pg_trigger WHERE tgtype & 64 <> 0) THEN '{key}=0' END"""


def forbidden_names(control: Control) -> Optional[FrozenSet[bytes]]:
    """Return the functions that a harmless statement does not name.

    :return: ``None`` where the catalog does not allow to tell harmless statements by their text.
    """
    rows = control.execute(_VOLATILE)
    ((guilty,),) = control.execute(_GUILT % {"volatile": ",".join(str(oid) for oid, _ in rows)})
    return None if guilty else frozenset(name.lower().encode() for _, name in rows)


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
        self._names: Set[bytes] = set()
        self._forbidden: Optional["re.Pattern[bytes]"] = None

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

    def forbid(self, names: FrozenSet[bytes]) -> None:
        """Take statements that name one of these functions for harmful from now on."""
        if names - self._names:
            self._names |= names
            self._forbidden = re.compile(b"|".join(map(re.escape, self._names)))

    def verb(self, query: bytes, standard: bool = False) -> Optional[bytes]:
        """Return what a harmless statement begins with, ``None`` for any other.

        :param query: what was sent.
        :param standard: whether ``standard_conforming_strings`` is known to be on.
        """
        query = query.lower()
        match = _VERB.match(query)
        verb = match.group(1) if match else None
        if verb not in _WRITES and (verb not in _READS or _CREATES.search(query)):
            return None
        if not _is_one(query, standard) or _names_system(query):
            return None
        if self._forbidden is not None and self._forbidden.search(query):
            return None
        return verb

    def opened(self, transaction: "Transaction") -> None:
        """Know of a transaction that has an id."""
        with self._lock:
            self._open.add(transaction)

    def ended(self, transaction: "Transaction", key: Key, ids: int) -> None:
        """Know that a transaction is over and used at least as many ids."""
        with self._lock:
            self._open.discard(transaction)
            self._counted[key] = self._counted.get(key, 0) + ids


def _is_one(query: bytes, standard: bool) -> bool:
    """Tell whether this is one statement, without anything in it that is hard to read."""
    if len(query) > _LONGEST:
        return False
    quoted = _QUOTED
    if b"\\" in query:
        if not standard:
            return False
        quoted = _QUOTED_WITH_BACKSLASHES
    code = quoted.sub(b"\0", query).rstrip(b"; \t\r\n")
    if b";" in code or len(code.translate(None, _UNREAD_BYTES)) < len(code):
        return False
    return not any(each in code for each in _UNREAD)


def _names_system(query: bytes) -> bool:
    suspect = b"pg_" in query or b"lo_" in query or b"setval" in query
    suspect = suspect or b"information_schema" in query
    return suspect and _SYSTEM.search(query) is not None


LEDGER = Ledger()


class Proof:
    """Whether it is proved, without a look at the catalog, that it is still the right one.

    :param control: the connection that asks what the catalog allows to prove.
    """

    def __init__(self, control: Control) -> None:
        names = forbidden_names(control)
        self.possible = names is not None
        LEDGER.forbid(names or frozenset())
        #: The last moment from which ids are counted, if there is one.
        self.point: Optional[Point] = None

    def holds(self, snapshot: Snapshot, counted: int) -> bool:
        """Tell whether all ids that were used since the last point are known to be harmless.

        :param snapshot: what the server said in a look.
        :param counted: what the ledger had counted before that look was asked for.
        """
        if self.point is None or snapshot.open:
            return False
        used = snapshot.xmax - self.point.next - self.point.ours
        return used == 0 or (self.possible and used == counted - self.point.counted)

    def is_untouched(self, snapshot: Snapshot) -> bool:
        """Tell whether no id was used since the last point, so that nothing at all was written."""
        point = self.point
        return point is not None and not snapshot.open and snapshot.xmax == point.next + point.ours

    def begin(self, key: Key, snapshot: Snapshot) -> None:
        """Count from this look on, in which the catalog was the right one."""
        self.point = LEDGER.point(key, snapshot)

    def spend(self) -> None:
        """Know that the control connection used one id since, and wrote nothing but rows."""
        if self.point is not None:
            self.point = self.point._replace(ours=self.point.ours + 1)

    def end(self) -> None:
        """Prove nothing until the catalog was looked at again."""
        self.point = None


class _Savepoint:
    """A savepoint, or the transaction itself, and whether it has an id."""

    __slots__ = ("name", "has_id")

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.has_id = False


class Transaction:
    """What ran in the current transaction of one watched connection."""

    def __init__(self, key: Key, ledger: Ledger = LEDGER) -> None:
        self._key = key
        self._ledger = ledger
        self._reset()

    def _reset(self) -> None:
        self._ids = 0
        self._harmless = True
        self._savepoints = [_Savepoint(b"")]

    def ran(self, query: Optional[bytes], rows: int, standard: bool = False) -> None:
        """Take note of a statement.

        :param query: what was sent to the server.
        :param rows: how many rows the server says it wrote or found.
        :param standard: whether ``standard_conforming_strings`` is known to be on.
        """
        if not self._harmless or query is None:
            return
        verb = self._ledger.verb(query, standard)
        if verb in _WRITES and rows > 0:
            self._has_id()
        elif verb is None and not self._savepoint(query):
            self._harmless = False

    def refused(self, query: Optional[bytes], sqlstate: Optional[str], standard: bool) -> None:
        """Take note of a statement that failed."""
        self.ran(query, 1 if sqlstate in _AFTER_WRITING else 0, standard)

    def unknown(self) -> None:
        """Take note that something else happened."""
        self._harmless = False

    def over(self) -> None:
        """Count the transaction, which is committed or rolled back."""
        if self._ids:
            self._ledger.ended(self, self._key, self._ids if self._harmless else 0)
        self._reset()

    def lost(self) -> None:
        """Do not count the transaction, as its end is not known."""
        self._harmless = False
        self.over()

    def _has_id(self) -> None:
        if not self._ids:
            self._ledger.opened(self)
        for savepoint in self._savepoints:
            if not savepoint.has_id:
                savepoint.has_id = True
                self._ids += 1

    def _savepoint(self, query: bytes) -> bool:
        """Follow a statement about a savepoint; return whether it was one that is known."""
        match = _SAVEPOINT.fullmatch(query)
        if match is None:
            return False
        name = match.group("name")
        if not name.startswith(b'"'):
            name = name.lower()
        if match.group("verb").upper() == b"SAVEPOINT":
            self._savepoints.append(_Savepoint(name))
            return True
        known = [i for i, savepoint in enumerate(self._savepoints) if savepoint.name == name]
        if not known:
            return False
        del self._savepoints[known[-1] :]
        if match.group("verb").upper().startswith(b"ROLLBACK"):
            self._savepoints.append(_Savepoint(name))
        return True
