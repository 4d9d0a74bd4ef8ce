"""Describes who holds what: a backend, a prepared transaction, a checkout, a dry pool.

Lines about the server's side come from what it says (contracts.Backend, contracts.Prepared); those
about this process from the checkouts.
"""

from __future__ import annotations

from typing import Any, List, Optional, Tuple

from .. import _compat, where
from ..contracts import Backend, ControlConnection, Prepared
from ..errors import BlockedDatabaseError
from . import checkouts, twophase

_QUERY = 100  # characters of a query that are shown
_NAMES = 4  # names of tables that are shown


def duration(seconds: Optional[float]) -> str:
    """Return a time as it is said: ``0.4 s``, ``12 s``, ``3 min``, ``2 h``."""
    seconds = max(0.0, seconds or 0.0)
    if seconds < 10:
        return "%.1f s" % seconds
    if seconds < 120:
        return "%d s" % seconds
    return "%d min" % (seconds / 60) if seconds < 7200 else "%d h" % (seconds / 3600)


def of_backend(backend: Backend, since: Optional[float] = None) -> List[str]:
    """Return the lines about one backend: who, since when, what it holds, what it ran.

    :param since: where it is of this process, the time of ``where.now()`` of its state.
    """
    checkout = checkouts.of_pid(backend.pid)
    ours = checkout is not None or since is not None
    parts = ["pid %d %s" % (backend.pid, _who(backend, ours))]
    if backend.state is None:
        parts.append("its state and query are hidden from this role")
    else:
        parts.append("%s for %s" % (backend.state, duration(backend.seconds)))
    if backend.blocked_by:
        pids = ["pid %d" % pid if pid else "a prepared transaction" for pid in backend.blocked_by]
        parts.append("waits behind %s%s" % (" and ".join(pids), _names(" for ", backend.wanted)))
    if backend.held:
        parts.append("holds" + _names(" ", backend.held))
    lines = ["  " + ", ".join(parts)]
    if backend.state is not None and backend.query:
        which = "its query" if backend.state == "active" else "last query"
        query = " ".join(backend.query.split())
        query = query if len(query) <= _QUERY else query[:_QUERY] + " ..."
        lines.append("      %s: %s" % (which, query))
    if checkout is not None:
        lines.append("      " + of_checkout(checkout))
    elif ours:
        lines.append("      used past SQLAlchemy by " + _place(checkouts.used_last(since)))
    return lines


def of_prepared(prepared: Prepared, place: Optional[checkouts.Place] = None) -> List[str]:
    """Return the lines about one prepared transaction."""
    lines = [
        '  prepared transaction "%s" of role "%s" for %s%s'
        % (
            prepared.gid,
            prepared.role,
            duration(prepared.seconds),
            _names(", holds ", prepared.held),
        ),
        "      it outlives its connection; to end it: ROLLBACK PREPARED '%s'"
        % prepared.gid.replace("'", "''"),
    ]
    return lines + ["      prepared by " + _place(place)] if place else lines


def of_checkout(checkout: checkouts.Checkout) -> str:
    """Return who checked a connection out, on which line of the user's code."""
    return "checked out %s ago by %s" % (
        duration(where.now() - checkout.since),
        _place(checkout),
    )


def ended(place: checkouts.Place) -> str:
    """Return the words for whoever goes on to use a connection that was taken away from him."""
    return (
        "this connection was ended, and its transaction rolled back: %s had it when the database"
        " was made new, and no half of a transaction may reach the next test.\n"
        "  Let a test wait for its threads and tasks (join, await), or have them commit before it"
        " ends." % _place(place)
    )


def dry_pool(test_name: str, pool: Any, error: Any) -> Any:
    """Return the error for a pool that has no connection left to give.

    It is a ``sqlalchemy.exc.TimeoutError`` as well, which is what a caller may expect.
    """
    out = [each for each in checkouts.opened() if each.pool is pool]
    lines = [
        "%s waited %.1f s for a connection: all %d of the pool are checked out."
        % (test_name, _compat.set_pool_timeout(pool, None) or 0.0, len(out))
    ]
    for checkout in out:
        pid = _compat.backend_pid(checkout.dbapi)
        lines.append("  %s%s" % ("pid %d, " % pid if pid else "", of_checkout(checkout)))
    lines.append("  Close what is not needed any more, or give the engine a larger pool_size.")
    return _compat.in_place_of(error, BlockedDatabaseError, "\n".join(lines))


def lock_holders(control: ControlConnection) -> Tuple[List[int], List[str]]:
    """Return who holds any lock on any table, who waits for one, and whom these wait for in turn.

    :return: the pids of backends, and the names of prepared transactions.
    """
    found = control.in_the_way(exclusive=True)
    return _queue(control, found.pids), found.gids


def _queue(control: ControlConnection, pids: List[int]) -> List[int]:
    """Return pids with those that they wait for in turn, down to the root of the queue."""
    queue, ask = list(pids), list(pids)
    while ask:
        named = control.backends(ask)
        ask = sorted({pid for each in named for pid in each.blocked_by} - {0} - set(queue))
        queue += ask
    return queue


def lines_about(control: ControlConnection, pids: List[int], gids: List[str]) -> List[str]:
    """Return the lines about backends, those that they wait for, and prepared transactions."""
    queue = _queue(control, pids)
    now = where.now()  # before asking: the next test has begun since then
    named = control.backends(queue)
    ours = checkouts.our_pids()
    roots_first = sorted(named, key=lambda each: bool(each.blocked_by))
    lines = [
        line
        for each in roots_first
        for line in of_backend(each, now - (each.seconds or 0.0) if each.pid in ours else None)
    ]
    for transaction in control.prepared_transactions():
        if transaction.gid in gids:
            lines += of_prepared(transaction, twophase.place_of(transaction.gid))
    return lines


def slots(control: ControlConnection) -> List[str]:
    """Return the lines about who has the server's connections."""
    return [
        '  %d of role "%s" on "%s"%s' % (count, role, name, ' by "%s"' % label if label else "")
        for count, name, role, label in control.connections()[:10]
    ]


def advice(lines: List[str], full: bool = False) -> str:
    """Return the line about what to do.

    :param lines: those about who blocks.
    :param full: whether the server has no connection left.
    """
    if full:
        return "  Close connections that are not needed, or raise the server's max_connections."
    heads = [line for line in lines if line.startswith("  ") and not line.startswith("   ")]
    if any(", idle for " in line and ", holds the advisory lock " in line for line in heads):
        return (
            "  Have that lock given back (pg_advisory_unlock), or end the session that holds it: no"
            " transaction does."
        )
    several = len(heads) > 1
    return "  End %s, or see %s again with: python -m dbtestcase blockers" % (
        ("those transactions", "them") if several else ("that transaction", "it")
    )


def _who(backend: Backend, ours: bool) -> str:
    if backend.application:
        name = '"%s"' % backend.application
    else:
        name = 'of role "%s"' % backend.role if backend.role else "of the server itself"
    if ours:
        return name + " of this process"
    if backend.address:
        return "%s from %s" % (name, backend.address)
    return name + " from a local socket" if backend.port is not None else name


def _names(before: str, names: List[str]) -> str:
    if not names:
        return ""
    more = len(names) - _NAMES
    return before + ", ".join(names[:_NAMES]) + (" and %d more" % more if more > 0 else "")


def _place(place: checkouts.Place) -> str:
    thread = "" if place.thread.name == "MainThread" else ', thread "%s"' % place.thread.name
    by = place.test or "something outside of any test"
    if not place.lines:
        return by + thread
    at = "%s in %s" % (place.lines[0], place.lines[0].function)
    called = ", called at %s" % (place.lines[-1],) if len(place.lines) > 1 else ""
    return "%s at %s%s%s" % (by, at, called, thread)
