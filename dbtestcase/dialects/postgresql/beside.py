"""What is used beside SQLAlchemy: connections that ``psycopg2.connect()`` makes, any of psycopg 3.

No event tells of these, so the drivers' own functions do, from now on: where a connection was
made, and which transactions were prepared (2PC). Whoever asks psycopg2 for a class of connections
of his own gets it, and nothing is known of those.
"""

from __future__ import annotations

import sys
from typing import Any, Callable, List

from ... import _compat
from . import watching

_DRIVERS = ("psycopg2", "psycopg")
_watched: List[str] = []  # those that were imported by now

PLACE = "_dbtestcase_opened"  # the attribute of a connection that says where it was made


def watch(place: Callable[[], Any], prepared: Callable[[str], Any]) -> None:
    """Know of what drivers that are imported do beside SQLAlchemy; harmless a second time.

    :param place: returns what is to be kept of where the user's code is.
    :param prepared: takes the name of a transaction that was prepared.
    """
    imported = [name for name in _DRIVERS if name in sys.modules]
    if imported == _watched:
        return
    _watched[:] = imported
    watching.tell_prepared(prepared)

    def connecting(connect: Any) -> Any:
        return lambda *args, **options: _connected(connect, place, args, options)

    def making(initialize: Any) -> Any:
        return lambda connection, *args, **options: _made(
            initialize, connection, place, args, options
        )

    def executing(execute: Any) -> Any:
        return lambda cursor, *args, **options: _executed(execute, cursor, args, options)

    def preparing(prepare: Any) -> Any:
        return lambda connection: _prepared(prepare, connection, prepared)

    _compat.change_function("psycopg2", "", "_connect", connecting)
    _compat.change_function("psycopg", "Connection", "__init__", making)
    _compat.change_function("psycopg", "Cursor", "execute", executing)
    _compat.change_function("psycopg", "Connection", "tpc_prepare", preparing)


def opened_at(dbapi: Any) -> Any:
    """Return where a driver made a connection, ``None`` where that is not known."""
    return getattr(dbapi, PLACE, None)


def _connected(connect: Any, place: Any, args: Any, options: Any) -> Any:
    if len(args) != 1 or set(options) != {"connection_factory"} or options["connection_factory"]:
        return connect(*args, **options)
    connection = connect(*args, connection_factory=watching.watched_connection())
    watching.leave_uncounted(connection)  # the ledger knows of engines' connections alone
    setattr(connection, PLACE, place())
    return connection


def _made(initialize: Any, connection: Any, place: Any, args: Any, options: Any) -> None:
    initialize(connection, *args, **options)
    setattr(connection, PLACE, place())


def _executed(execute: Any, cursor: Any, args: Any, options: Any) -> Any:
    result = execute(cursor, *args, **options)
    sent, status = _compat.last_sent(cursor)
    if status == watching.PREPARED.encode():
        watching.told(sent)
    return result


def _prepared(prepare: Any, connection: Any, tell: Any) -> None:
    prepare(connection)
    name = _compat.prepared_name(connection)
    if name is not None:
        tell(name)
