"""Claims a database for one run, and leads engines to another database than their own.

A run has a database to itself as long as it holds the database's advisory lock. The lock belongs to
the control connection, so it is gone with its process, however that ended:
https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from typing import Any, Callable, Iterator, List, Optional, Tuple

from sqlalchemy import event

from .... import _compat
from ..sessions import LOCK, Control

# Who copies a database may not be connected to it, and has this lock on its oid meanwhile.
COPYING = 1685285488  # "dbcp" in ASCII

_CLAIM = """
SELECT pg_try_advisory_lock{lock}, EXISTS (
       SELECT FROM pg_locks
        WHERE locktype = 'advisory' AND granted AND objsubid = 2 AND pid <> {{copier}}
          AND (classid, objid) = ({copying}, (SELECT oid FROM pg_database
                                               WHERE datname = current_database())))
""".format(lock=LOCK, copying=COPYING)

_HOLDER = """
SELECT a.pid, a.application_name, host(a.client_addr), a.backend_start::timestamp(0)::text
  FROM pg_database d, pg_locks l JOIN pg_stat_activity a USING (pid)
 WHERE d.datname = current_database()
   AND l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
   AND ((l.classid, l.objid) = {lock} AND l.database = d.oid
        OR (l.classid, l.objid) = ({copying}, d.oid))
""".format(lock=LOCK, copying=COPYING)


def claim(control: Control, copier: int = 0) -> bool:
    """Take the database for this run, if no other run has it.

    :param copier: the backend by which this run itself has been copying it.
    """
    ((taken, copied),) = control.execute(_CLAIM.format(copier=copier))
    if taken and copied:
        control.execute("SELECT pg_advisory_unlock%s" % LOCK)
    return bool(taken and not copied)


def release(control: Control) -> None:
    """Give the database back now: closing would do it only once the server has noticed."""
    with contextlib.suppress(Exception):
        control.execute("SELECT pg_advisory_unlock_all()")


def holder(control: Control) -> Optional[str]:
    """Return a line about the process that has the database, or ``None``."""
    for pid, application, address, since in control.execute(_HOLDER):
        return 'pid %s "%s" from %s%s' % (
            pid,
            application,
            address or "a local socket",
            ", connected since %s UTC" % since if since else "",  # which other roles may not know
        )
    return None


@contextlib.contextmanager
def copying(control: Control, oid: int) -> Iterator[None]:
    """Keep other runs from taking a database, while nobody is connected to it who has it.

    :param control: a connection to another database of the server.
    :param oid: that of the database.
    """
    control.execute("SELECT pg_advisory_lock(%d, %d)" % (COPYING, _signed(oid)))
    try:
        yield
    finally:
        control.execute("SELECT pg_advisory_unlock(%d, %d)" % (COPYING, _signed(oid)))


def _signed(oid: int) -> int:
    return oid - (1 << 32) if oid >= 1 << 31 else oid


# --- where an engine's connections lead ----------------------------------------------------------

# For each engine what was asked for, the last on top: a database, and for which thread.
_places: "weakref.WeakKeyDictionary[Any, List[Tuple[str, Optional[int]]]]"
_places = weakref.WeakKeyDictionary()
_listeners: "weakref.WeakKeyDictionary[Any, Any]" = weakref.WeakKeyDictionary()


def lead_to(engine: Any, database: str, thread: Optional[int] = None) -> Callable[[], None]:
    """Have every new connection of an engine lead to another database of its server.

    :param thread: the thread whose connections are led there; every one's by default.
    :return: what takes it back.
    """
    place = (database, thread)
    places = _places.setdefault(engine, [])
    places.append(place)
    if len(places) == 1:
        _listeners[engine] = _listener(places)
        event.listen(engine, "do_connect", _listeners[engine])

    def undo() -> None:
        places.remove(place)
        if not places:
            event.remove(engine, "do_connect", _listeners.pop(engine))

    return undo


def _listener(places: List[Tuple[str, Optional[int]]]) -> Callable[..., Any]:
    def connect(dialect: Any, record: Any, arguments: Any, parameters: Any) -> Any:
        for database, thread in reversed(places):
            if thread in (None, threading.get_ident()):
                # psycopg2 knows the name under an older spelling, too; both at once are refused.
                others = {key: value for key, value in parameters.items() if key != "database"}
                return dialect.connect(*arguments, **dict(others, dbname=database))
        return None

    return connect


@contextlib.contextmanager
def leading_to(engine: Any, database: str) -> Iterator[None]:
    """Lead this thread's new connections of an engine to another database within a block."""
    undo = lead_to(engine, database, threading.get_ident())
    try:
        yield
    finally:
        undo()


class _Asked(Exception):
    """A connection was about to be made and asked where to."""


def can_lead(engine: Any) -> bool:
    """Tell whether new connections of an engine can be led elsewhere.

    They cannot where a ``creator`` or an earlier listener makes them.
    """
    if _places.get(engine):
        return True
    thread = threading.get_ident()

    def ask(*_: Any) -> None:
        if threading.get_ident() == thread:
            raise _Asked

    event.listen(engine, "do_connect", ask)
    try:
        _compat.new_connection(engine).close()
    except _Asked:
        return True
    finally:
        event.remove(engine, "do_connect", ask)
    return False
