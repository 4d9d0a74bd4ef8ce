"""Looks at one state of a database, in which no transaction is half done."""

from __future__ import annotations

import contextlib
from typing import Iterator, List, NamedTuple

from .... import where
from ....connections import advice, lines_about
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

# Who has them: a backend, or a transaction that was prepared.
_WHOSE = """
SELECT l.pid, NULL FROM pg_locks l
 WHERE l.locktype = 'transactionid' AND l.granted AND l.mode = 'ExclusiveLock'
   AND l.pid IS NOT NULL AND l.transactionid::text = ANY ('{%s}')
UNION ALL
SELECT NULL, gid FROM pg_prepared_xacts WHERE transaction::text = ANY ('{%s}')
"""

_PAUSE = 0.01  # seconds


class Snapshot(NamedTuple):
    """One state of the database: where later transactions begin, and which ones are not over."""

    mark: str  # the next transaction's id, as the type xid has it: it and later ones are not in it
    open: List[int]


@contextlib.contextmanager
def one_snapshot(control: Control) -> Iterator[Snapshot]:
    """Look at one state of the database through several statements."""
    control.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    try:
        ((text,),) = control.execute("SELECT pg_current_snapshot()::text")
        _, following, open_ids = text.split(":")
        yield Snapshot(
            str(int(following) % 2**32), [int(xid) for xid in open_ids.split(",") if xid]
        )
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
            raise BlockedDatabaseError(_still_open(control, snapshot))
        where.pause(_PAUSE)


def _still_open(control: Control, snapshot: Snapshot) -> str:
    ((name,),) = control.execute("SELECT current_database()::text")
    ids = ",".join(str(xid % 2**32) for xid in snapshot.open)
    whose = control.execute(_WHOSE % (ids, ids))
    pids = [pid for pid, _ in whose if pid is not None]
    lines = lines_about(control, pids, [gid for pid, gid in whose if pid is None])
    first = (
        'cannot remember the state of "%s": a transaction is still open in it after %.1f s, so that'
        " its changes could appear later." % (name, control.lock_timeout)
    )
    return "\n".join([first] + lines + [advice(lines)])
