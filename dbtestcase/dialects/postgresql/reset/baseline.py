"""Puts a database back to what it was when a test began, or says what only a rebuild mends."""

from __future__ import annotations

import contextlib
from typing import Any, Callable, Dict, Optional, Set

from .... import _compat
from ....errors import BlockedDatabaseError
from ..catalog import Fingerprint
from ..proof import Proof
from ..sessions import KEPT, Control, Settings, settled
from . import emptying
from .rows import ALL, EXACT, LEFT_MARK, QUICK, Found, Rows, ask
from .tables import Tables

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
        replica = control.be_replica()
        if schema is not None and not schema.fingerprint.changes(control):
            fingerprint, proof, tables = schema.fingerprint, schema.proof, schema.rows.tables
            settings = schema.settings
        else:
            fingerprint, proof = Fingerprint(control), Proof(control)
            tables = Tables(control, replica)
            settings = Settings.of(control.execute)
        control.settings = settings
        with settled(control) as snapshot:
            rows = Rows(control, tables, snapshot, proof.doubt)
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
            found = self._look(control, others=True)
            alone = not found.others
            if not alone:
                make_way()
                found = self._look(control)
        except BlockedDatabaseError:
            raise
        except Exception as error:
            return self.fingerprint.changes(control) or _refusal(error)

        # Is the catalog the same? What changed in it, only dropping and creating mends.
        doubted = found.doubted or self.rows.hidden is not None
        self.proved = not doubted and self.proof.holds(found.next_id)
        if not self.proved:
            sentence = self.rows.hidden or self.fingerprint.changes(control)
            if sentence:
                return sentence
            found.sizes.update(self.rows.look(control, EXACT).sizes)

        if found.sizes:
            sentence = self._put_right(control, found, alone)
            if sentence:
                return sentence
        self.proof.begin(control.key, self.rows, found.next_id, used=1 if found.sizes else 0)
        return None

    def matches(self, control: Control) -> Optional[str]:
        """Compare everything, trusting no shortcut, and change nothing.

        :return: ``None`` when the database equals the base line, else a sentence on what differs.
        """
        sentence = self.rows.hidden or self.fingerprint.changes(control)
        if sentence:
            return sentence
        found = self.rows.look(control)
        found.sizes.update(self.rows.look(control, EXACT).sizes)
        names = self.rows.names(found.sizes) or self.rows.differences(control)
        return "%s differs" % ", ".join(names) if names else None

    def _put_right(self, control: Control, found: Found, alone: bool) -> Optional[str]:
        """Empty and fill what differs in a transaction, and look again; all in one round trip.

        :param alone: whether nobody else had a transaction open.
        :return: what stands against it, or is not right after it.
        """
        try:
            plan = self._plan(found.sizes, control.replica)
            mark = LEFT_MARK if plan.fills else "'%s'" % self.rows.mark
            asks = [control.execution_again(sql, "text", mark) for sql in plan.asks]
            statements = plan.statements
            if not plan.fills and not plan.writes_catalog:
                # Tests of a class write the same tables, so what empties them is worth preparing.
                statements = [control.execution_again(sql) for sql in statements]
            after = ask(control, ["BEGIN"] + statements + ["COMMIT"], asks)
            if after.sizes or plan.views:
                names = self.rows.names(after.sizes)
                names = names or self.rows.different_views(control, plan.views)
                if names:
                    return "%s differs after it was emptied" % ", ".join(names)
            sentence = self._move_mark(control, found, after) if plan.fills else None
            if plan.writes_catalog:
                sentence = sentence or self.fingerprint.changes(control)
        except emptying.Impossible as impossible:
            return str(impossible)
        except Exception as error:
            with contextlib.suppress(Exception):
                control.execute("ROLLBACK")
            return _refusal(error)
        if sentence is None and alone and plan.deleted_from:
            self._deleted_from.update(plan.deleted_from)
            self._deletions += 1
            if self._deletions % emptying.VACUUM_EVERY == 0:
                self._vacuum(control)
        return sentence

    def _move_mark(self, control: Control, before: Found, after: Found) -> Optional[str]:
        """Compare from now on with the new rows, once nobody can have written beside them."""
        if before.next_id is not None and after.mark == str((before.next_id + 1) % 2**32):
            self.rows.mark = after.mark  # the only transaction since was ours
            return None
        with settled(control) as snapshot:
            names = self.rows.differences(control)
            self.rows.mark = snapshot.mark
            names = names or self.rows.names(self.rows.look(control).sizes)
        return "%s differs after it was filled" % ", ".join(names) if names else None

    # --- what only saves time --------------------------------------------------------------------

    def _look(self, control: Control, others: bool = False) -> Found:
        """Ask what differs; of the rows only if anybody had a transaction since they were right."""
        if self.proof.expects_nothing(control.key, self.rows):
            found = self.rows.look(control, QUICK, others)
            if found.others or not found.doubted and self.proof.holds(found.next_id):
                return found
        return self.rows.look(control, ALL, others)

    def _plan(self, sizes: Dict[int, int], replica: bool) -> emptying.Plan:
        """Return how to put back what differs; tests of a class write the same tables."""
        key = frozenset((oid, size >= emptying.TRUNCATE_FROM) for oid, size in sizes.items())
        if (key, replica) not in self._plans:
            if len(self._plans) >= KEPT:
                self._plans.clear()
            self._plans[key, replica] = emptying.plan(self.rows, sizes, replica)
        return self._plans[key, replica]

    def _vacuum(self, control: Control) -> None:
        """Vacuum the tables that rows were deleted from.

        While others have a transaction open, cutting off the files could wait for them for seconds.
        """
        with contextlib.suppress(Exception):  # nothing depends on it
            control.execute("VACUUM (SKIP_LOCKED) %s" % ", ".join(sorted(self._deleted_from)))
        self._deleted_from.clear()


def _refusal(error: Exception) -> str:
    """Return what the server says against emptying, or raise it if it is about something else."""
    state = _compat.sqlstate(error)
    if state is None or state.startswith(_NOT_ABOUT_ROWS):
        raise error
    return "the server said: %s" % str(error).strip().split("\n")[0]
