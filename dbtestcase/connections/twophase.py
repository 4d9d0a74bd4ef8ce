"""Knows which transactions this process prepared (2PC), and where, and ends them.

They outlive their connections. Nobody else's is ever ended. Ours is what a driver or SQLAlchemy has
reported, once it was done, what an open connection still knows of, and what a backend of ours is
seen to have done last.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional

import sqlalchemy as sa

from .. import _compat, where
from ..contracts import ControlConnection
from . import checkouts, drivers

_prepared: Dict[str, checkouts.Place] = {}


class _Prepared(drivers.Subscriber):
    """Knows of what is prepared, past SQLAlchemy as well."""

    def prepared(self, gid: str) -> None:
        """Know where a transaction was prepared."""
        _prepared[gid] = checkouts.Place()


_SUBSCRIBER = _Prepared()


def watch() -> None:
    """Know of what is prepared from now on."""
    _SUBSCRIBER.subscribe()


def leave_to_parent() -> None:
    """Leave what was prepared, in a forked process, to the parent."""
    _prepared.clear()


def place_of(gid: str) -> Optional[checkouts.Place]:
    """Return where a transaction of this name was prepared, if that was here."""
    return _prepared.get(gid)


def know_once_done(conn: Any, statement: str, gid: str) -> None:
    """Know of a prepared transaction when it is: one of this name may be somebody else's.

    :param conn: the SQLAlchemy connection that is about to run the statement.
    """

    def executed(conn: Any, cursor: Any, done: str, *_: Any) -> None:
        if done == statement:
            _SUBSCRIBER.prepared(gid)

    sa.event.listen(conn, "after_cursor_execute", executed, once=True)


def end(control: ControlConnection, gids: List[str]) -> List[checkouts.Place]:
    """Roll back what this process prepared; what its drivers still know of, they do themselves.

    :param control: the control connection on the database.
    :param gids: the names of transactions that are in the way.
    :return: where those that are ended had been prepared.
    """
    now = where.now()
    found = control.prepared_transactions()
    made = {each.gid: now - each.seconds for each in found if each.gid in gids}
    there, location = set(made), _compat.location(control.dbapi)
    connections = [] if checkouts.was_forked() else _compat.driver_connections()
    ended = [
        _compat.roll_prepared_back(each)
        for each in connections
        if _compat.location(each) == location
    ]
    if any(ended):
        there &= {each.gid for each in control.prepared_transactions()}
    # A connection that has done nothing since tells what it prepared last, however it did so.
    pids = [pid for pid in map(_compat.backend_pid, connections) if pid]
    last_done = control.prepared_by(pids) if pids else []
    ours = {gid for gid in made if _is_known(gid, made[gid])} | set(last_done)
    for gid in ours & there:
        control.rollback_prepared(gid)
    return [
        _prepared.pop(gid) if _is_known(gid, made[gid]) else checkouts.used_last(made[gid])
        for gid in made
        if gid in ours or gid not in there
    ]


def _is_known(gid: str, made: float) -> bool:
    """Tell whether this process prepared it: a name in use again since then is somebody else's."""
    place = _prepared.get(gid)
    return place is not None and made <= place.since
