"""Which transactions are still open in this database? Nothing is remembered while there are any."""

from __future__ import annotations

import contextlib
from typing import Iterator, NamedTuple, Tuple

from .... import where
from ....errors import BlockedDatabaseError
from .control import Control

# Open transactions that belong to other databases cannot write to this one. A transaction whose
# session is not to be seen yet, or no longer, counts as one of this database.
_ELSEWHERE = """
SELECT l.transactionid::text FROM pg_locks l JOIN pg_stat_get_activity(NULL) a ON a.pid = l.pid
 WHERE l.locktype = 'transactionid' AND l.granted AND l.mode = 'ExclusiveLock' AND a.datid <> 0
   AND a.datid <> (SELECT oid FROM pg_database WHERE datname = current_database())
UNION ALL
SELECT transaction::text FROM pg_prepared_xacts WHERE database <> current_database()
"""

_PAUSE = 0.01  # seconds


class Snapshot(NamedTuple):
    """What ``pg_current_snapshot()`` says: the oldest open, the next transaction, the open ones."""

    xmin: int
    xmax: int
    open: Tuple[int, ...]

    @classmethod
    def read(cls, text: str) -> "Snapshot":
        """Read the text form ``xmin:xmax:xip,xip``."""
        xmin, xmax, listed = text.split(":")
        return cls(int(xmin), int(xmax), tuple(int(x) for x in listed.split(",") if x))

    @property
    def mark(self) -> str:
        """The id, as the type ``xid`` has it, from which on transactions are later ones."""
        return str(self.xmax % 2**32)


@contextlib.contextmanager
def one_snapshot(control: Control) -> Iterator[Snapshot]:
    """Look at one state of the database through several statements."""
    control.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    try:
        ((text,),) = control.execute("SELECT pg_current_snapshot()::text")
        yield Snapshot.read(text)
    finally:
        control.execute("ROLLBACK")


def all_over(control: Control, snapshot: Snapshot) -> bool:
    """Tell whether every transaction of this database that the snapshot's mark leaves behind ended.

    :param snapshot: the snapshot that rows are compared with from now on.
    """
    if not snapshot.open:
        return True
    elsewhere = {int(xid) for (xid,) in control.execute(_ELSEWHERE)}
    return all(xid % 2**32 in elsewhere for xid in snapshot.open)


@contextlib.contextmanager
def settled(control: Control) -> Iterator[Snapshot]:
    """Look at one state of the database, in which nobody's transaction is half done.

    :raises BlockedDatabaseError: if a transaction stays open for longer than the lock timeout.
    """
    end = where.now() + control.lock_timeout
    while True:
        with one_snapshot(control) as snapshot:
            if all_over(control, snapshot):
                yield snapshot
                return
        if where.now() > end:
            raise BlockedDatabaseError(_still_open(control))
        where.pause(_PAUSE)


def _still_open(control: Control) -> str:
    ((name,),) = control.execute("SELECT current_database()::text")
    return (
        'cannot remember the state of "%s": a transaction is still open in it after %.1f s, so that'
        " its changes could appear later.\n"
        "  End that transaction, or see it with: python -m dbtestcase blockers"
        % (name, control.lock_timeout)
    )
