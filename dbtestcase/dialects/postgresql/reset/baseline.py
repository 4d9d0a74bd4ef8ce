"""What a database is when a test begins, and the way back to it that is proved to lead there."""

from __future__ import annotations

import contextlib
from typing import Any, Callable, Dict, List, Optional, Set, Tuple

from .... import _compat
from ....errors import BlockedDatabaseError
from ..catalog.fingerprint import Fingerprint
from ..catalog.tables import Tables
from ..proof.ledger import LEDGER, Point
from ..proof.proof import Proof
from ..sessions.control import KEPT, Control
from ..sessions.settings import Settings
from ..sessions.transactions import settled
from . import emptying
from .questions import CATALOG, LEFT_MARK
from .rows import Found, Rows, read_found

# What says nothing about the rows: lost connections, waits that took too long, deadlocks, a server
# that shuts down or is full.
_NOT_ABOUT_ROWS = ("08", "40P01", "53", "55P03", "57")


class Baseline:
    """The state of one database: its catalog, its rows, its sequences and large objects.

    Make one with :meth:`take`; it holds for every control connection to that database.
    """

    def __init__(
        self, fingerprint: Fingerprint, proof: Proof, rows: Rows, settings: Settings
    ) -> None:
        self.fingerprint = fingerprint
        self.proof = proof
        self.rows = rows
        #: How sessions are settled: with what its functions may leave in them.
        self.settings = settings
        #: Whether the last :meth:`restore` needed no look at the catalog.
        self.proved = False
        self._clean: Optional[Point] = None
        self._plans: Dict[Any, emptying.Plan] = {}
        self._deleted_from: Set[str] = set()
        self._deletions = 0

    @classmethod
    def take(cls, control: Control, schema: Optional["Baseline"] = None) -> "Baseline":
        """Remember the database as it is now.

        :param control: the connection that looks.
        :param schema: an earlier base line; its catalog is shared if it is still the same.
        :return: the new base line.
        :raises BlockedDatabaseError: if a transaction stays open in the database.
        """
        replica = control.replica
        if schema is not None and not schema.fingerprint.changes(control):
            fingerprint, proof, tables = schema.fingerprint, schema.proof, schema.rows.tables
            settings = schema.settings
        else:
            fingerprint, proof = Fingerprint(control), Proof(control)
            tables = Tables(control, replica)
            settings = Settings.of(control.execute)
        control.settings = settings
        with settled(control) as snapshot:
            rows = Rows(control, tables, snapshot, proof.possible)
        return cls(fingerprint, proof, rows, settings)

    def restore(
        self, control: Control, make_way: Callable[[], None] = lambda: None
    ) -> Optional[str]:
        """Make the database equal to the base line, if only rows and sequences differ.

        :param control: the connection that compares and empties.
        :param make_way: called where others have a transaction open; it waits for those that are
            in the way, frees them or raises.
        :return: ``None`` when the database equals the base line, else a sentence: what differs
            that only dropping and creating mends. It may be half emptied then.
        :raises Exception: the driver's errors, where a lock was not to be had or the connection
            was lost.
        """
        control.settings = self.settings
        try:
            found, counted = self._look(control, others=True)
            alone = not found.others
            if not alone:
                make_way()
                found, counted = self._look(control)
        except BlockedDatabaseError:
            raise
        except Exception as error:
            return self.fingerprint.changes(control) or _said(error)
        self._clean = None
        sentence = self._other_catalog(control, found, counted)
        if sentence is None and found.sizes:
            sentence = self._put_right(control, found, alone)
        if sentence is None:
            self._clean = self.proof.point
        return sentence

    def _put_right(self, control: Control, found: Found, alone: bool) -> Optional[str]:
        """Empty and fill what differs; return what stands against it."""
        try:
            plan = self._plan(found.sizes, control.replica)
            sentence = self._put_back(control, plan, found)
        except emptying.Impossible as impossible:
            sentence = str(impossible)
        except Exception as error:
            self.proof.end()
            with contextlib.suppress(Exception):
                control.execute("ROLLBACK")
            return _said(error)
        if sentence is not None:
            self.proof.end()
        elif alone and plan.deleted_from:
            self._tidy(control, plan.deleted_from)
        return sentence

    def _look(self, control: Control, others: bool = False) -> Tuple[Found, int]:
        """Ask what differs; of rows only if anybody had a transaction since they were right.

        :return: what was found, and what the ledger had counted before.
        """
        counted = LEDGER.counted(control.key)
        point = self.proof.point
        if point is not None and point is self._clean and counted == point.counted:
            found = self.rows.look_first(control, others)
            unchanged = CATALOG not in found.sizes and self.proof.is_untouched(found.snapshot)
            if found.others or unchanged:
                return found, counted
        return self.rows.look(control, others), counted

    def _other_catalog(self, control: Control, found: Found, counted: int) -> Optional[str]:
        """Compare the catalog, unless it is proved that nobody changed it."""
        asked = found.sizes.pop(CATALOG, None) is not None or bool(self.rows.unknown)
        self.proved = not asked and self.proof.holds(found.snapshot, counted)
        if not self.proved:
            sentence = self._changes(control)
            if sentence:
                self.proof.end()
                return sentence
            found.sizes.update(self.rows.look_exactly(control).sizes)
        self.proof.begin(control.key, found.snapshot)
        return None

    def matches(self, control: Control) -> Optional[str]:
        """Compare everything, trusting no shortcut, and change nothing.

        :return: ``None`` when the database equals the base line, else a sentence on what differs.
        """
        sentence = self._changes(control)
        if sentence:
            return sentence
        found = self.rows.look(control)
        found.sizes.update(self.rows.look_exactly(control).sizes)
        names = self._names(found) or self.rows.differences(control)
        return "%s differs" % ", ".join(names) if names else None

    def _changes(self, control: Control) -> Optional[str]:
        if self.rows.unknown:
            names = ", ".join(self.rows.unknown)
            return "what %s contains is hidden from this role" % names
        return self.fingerprint.changes(control)

    def _plan(self, sizes: Dict[int, int], replica: bool) -> emptying.Plan:
        """Return how to put back what differs; tests of a class write the same tables."""
        key = frozenset((oid, size >= emptying.TRUNCATE_FROM) for oid, size in sizes.items())
        if (key, replica) not in self._plans:
            if len(self._plans) >= KEPT:
                self._plans.clear()
            self._plans[key, replica] = emptying.plan(self.rows, sizes, replica)
        return self._plans[key, replica]

    def _put_back(self, control: Control, plan: emptying.Plan, seen: Found) -> Optional[str]:
        """Run the plan and look again in a transaction of its own, all in one round trip."""
        mark = LEFT_MARK if plan.fills else self.rows.mark
        asks = [control.execution_again(sql, "text", mark) for sql in plan.asks]
        statements = ["BEGIN"] + _prepared(control, plan) + ["COMMIT"]
        answers = [control.run_together(statements + asks[:1])[0]]
        answers += [control.execute(ask)[0] for ask in asks[1:]]
        self.proof.spend()
        found = read_found(answers)
        names = self._names(found) or self.rows.different_views(control, plan.views)
        if names:
            return "%s differs after it was emptied" % ", ".join(names)
        sentence = self._move_mark(control, seen, found) if plan.fills else None
        if plan.writes_catalog:
            sentence = sentence or self.fingerprint.changes(control)
        return sentence

    def _tidy(self, control: Control, names: List[str]) -> None:
        """Vacuum the tables that rows were deleted from, once in a while."""
        self._deleted_from.update(names)
        self._deletions += 1
        if self._deletions % emptying.VACUUM_EVERY == 0:
            with contextlib.suppress(Exception):  # nothing depends on it
                control.execute(emptying.vacuum(self._deleted_from))
            self._deleted_from.clear()

    def _move_mark(self, control: Control, seen: Found, found: Found) -> Optional[str]:
        """Compare from now on with the new rows, once nobody can have written beside them."""
        if not seen.snapshot.open and found.mark == str((seen.snapshot.xmax + 1) % 2**32):
            self.rows.compare_from(found.mark)  # the only transaction since was ours
            return None
        with settled(control) as snapshot:
            names = self.rows.differences(control)
            self.rows.compare_from(snapshot.mark)
            names = names or self._names(self.rows.look(control))
        return "%s differs after it was filled" % ", ".join(names) if names else None

    def _names(self, found: Found) -> List[str]:
        tables = self.rows.tables
        names = {oid: "table %s" % table.name for oid, table in tables.tables.items()}
        names.update((each.oid, "sequence %s" % each.name) for each in tables.sequences)
        names[CATALOG] = "the catalog"
        return [names.get(oid, "a large object") for oid in found.sizes]


def _prepared(control: Control, plan: emptying.Plan) -> List[str]:
    """Tests of a class write the same tables, so what empties them is worth preparing."""
    if plan.fills or plan.writes_catalog:
        return plan.statements
    return [control.execution_again(sql) for sql in plan.statements]


def _said(error: Exception) -> str:
    """Return what the server says against emptying, or raise it if it is about something else."""
    state = _compat.sqlstate(error)
    if state is None or state.startswith(_NOT_ABOUT_ROWS):
        raise error
    return "the server said: %s" % str(error).strip().split("\n")[0]
