"""Which run has a database to itself: the one that holds its advisory lock, until it ends.

The lock belongs to the control connection, so it is gone with its process, however that ended:
https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
"""

from __future__ import annotations

import contextlib
from typing import Any, Callable, Iterator, Optional

from sqlalchemy import event

from .control import Control

LOCK = "(1684173939, 1952805748)"  # "dbst" and "test" in ASCII; the lock is the database's own

_HOLDER = """
SELECT a.pid, a.application_name, host(a.client_addr), a.backend_start::timestamp(0)::text
  FROM pg_locks l JOIN pg_stat_activity a USING (pid)
 WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
   AND (l.classid, l.objid) = {lock}
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
""".format(lock=LOCK)


def claim(control: Control) -> bool:
    """Take the database for this run, if no other run has it."""
    ((taken,),) = control.execute("SELECT pg_try_advisory_lock%s" % LOCK)
    return bool(taken)


def holder(control: Control) -> Optional[str]:
    """Return a line about the process that has the database, or ``None``."""
    for pid, application, address, since in control.execute(_HOLDER):
        return 'pid %s "%s" from %s, connected since %s UTC' % (
            pid,
            application,
            address or "a local socket",
            since,
        )
    return None


def lead_to(engine: Any, database: str) -> Callable[[], None]:
    """Have every new connection of an engine lead to another database of its server.

    :return: what takes it back.
    """

    def connect(dialect: Any, record: Any, arguments: Any, parameters: Any) -> Any:
        # psycopg2 knows the name under an older spelling, too; both at once are refused.
        others = {key: value for key, value in parameters.items() if key != "database"}
        return dialect.connect(*arguments, **dict(others, dbname=database))

    event.listen(engine, "do_connect", connect)
    return lambda: event.remove(engine, "do_connect", connect)


@contextlib.contextmanager
def leading_to(engine: Any, database: str) -> Iterator[None]:
    """Lead an engine's new connections to another database within a block."""
    undo = lead_to(engine, database)
    try:
        yield
    finally:
        undo()
