"""Hands out the one connection of an outer transaction, to each check-out as if it were its own.

Each check-out is a face of its own of the one driver connection, so that its commits and rollbacks
can be told from those of others, from whichever version of SQLAlchemy or raw code they come.
"""

from __future__ import annotations

import functools
import os
import threading
from typing import TYPE_CHECKING, Any, Callable, Optional, Sequence

from sqlalchemy.pool import NullPool

from ... import _compat
from ...connections import Kind, Observer, open_cursor, read_statement

if TYPE_CHECKING:
    from .transaction import OuterTransaction

_REFUSED_ATTRIBUTES = ("autocommit", "isolation_level", "readonly", "read_only", "deferrable")
_REFUSED_METHODS = frozenset(
    "set_isolation_level set_session set_autocommit set_read_only set_deferrable"
    " tpc_begin tpc_prepare tpc_commit tpc_rollback tpc_recover".split()
)
_SHORTCUTS = ("execute", "executemany", "executescript")


class Checkout(Observer):
    """One check-out of the connection that all share.

    Attributes that are set on it are set on the driver's connection; those of its own are kept by
    way of ``vars()``.

    :param outer: the outer transaction.
    """

    _outer: OuterTransaction
    _active: bool  # statements are the user's, no longer those of listeners at the check-out
    _used: bool  # something was run since the last end of a transaction
    _closed: bool
    _doomed: Optional[Exception]  # what every statement gets until the next rollback

    def __init__(self, outer: OuterTransaction) -> None:
        vars(self).update(_outer=outer, _active=False, _used=False, _closed=False, _doomed=None)

    def activate(self) -> None:
        """Count statements from now on as the user's."""
        vars(self)["_active"] = True

    def doom(self, error: Exception) -> None:
        """Refuse statements until the rollback that this check-out's failed one calls for."""
        vars(self)["_doomed"] = error

    # --- what the driver's connection does otherwise ---------------------------------------------

    def cursor(self, *arguments: Any, **options: Any) -> Any:
        """Open a cursor that sets a savepoint before it writes."""
        self._require_open()
        cursor = open_cursor(self._outer.dbapi, self, arguments, options)
        if not self._outer.connection.kept:
            self._outer.cursors.add(cursor)  # in SQLite a half-read one keeps its lock
        return cursor

    def commit(self) -> None:
        """Keep what was written through this check-out, within the outer transaction."""
        self._end(self._outer.savepoints.commit)

    def rollback(self) -> None:
        """Undo what was written through this check-out since its last commit."""
        self._end(self._outer.savepoints.rollback)

    reset = rollback

    def close(self) -> None:
        """End this check-out alone; the connection stays open."""
        self.rollback()
        vars(self)["_closed"] = True

    @property
    def closed(self) -> bool:
        """Whether this check-out, or the connection behind it, can no longer be used."""
        return bool(self._closed or self._outer.over or getattr(self._outer.dbapi, "closed", False))

    def transaction(self, *arguments: Any, **options: Any) -> Any:
        """Open a block of psycopg 3 that commits or rolls back at its end."""
        self.before(None, "transaction", None, ())
        return self._outer.dbapi.transaction(*arguments, **options)

    def __enter__(self) -> Checkout:
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        self.commit() if kind is None else self.rollback()

    # --- what its cursors report -----------------------------------------------------------------

    def before(self, cursor: Any, method: str, statement: Any, arguments: Sequence[Any]) -> bool:
        """Prepare for a statement; tell whether it is to be run at all."""
        self._require_open()
        if not self._active:
            return True  # a listener at the check-out, whose settings outlive the transaction
        read = read_statement(statement)
        kind = read.kind
        if kind == Kind.COMMIT:
            self.commit()
        elif kind == Kind.ROLLBACK:
            self.rollback()
        elif kind == Kind.PREPARE:
            raise self._outer.refusal("a two-phase commit")
        elif kind != Kind.BEGIN:
            if self._doomed is not None:
                raise self._doomed.with_traceback(None)
            if read.survives:
                self._outer.spoiled = True
            self._outer.savepoints.before(self, kind)
            vars(self)["_used"] = True
            return True
        return False

    def failed(self, cursor: Any, error: BaseException) -> None:
        """Take note that a statement failed."""
        if self._active:
            self._outer.savepoints.failed(self)

    # --- everything else is the driver's ---------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        outer = vars(self)["_outer"]
        if name in outer.connection.shown:
            return outer.connection.shown[name]
        value = getattr(outer.dbapi, name)
        if name in _SHORTCUTS:
            return lambda *arguments, **options: getattr(self.cursor(), name)(*arguments, **options)
        if name in _REFUSED_METHODS:
            return functools.partial(self._refuse, name)
        if name == "info" and not self.closed:
            return _Information(self, value)
        if name == "in_transaction" and not self.closed:
            return self.shown_status(value)
        if not name.startswith("__"):
            self._require_open()
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in _REFUSED_ATTRIBUTES:
            setattr(self._outer.dbapi, name, value)
        elif value != getattr(self, name):
            self._refuse(name, value)

    def shown_status(self, status: Any) -> Any:
        """Return the status that a transaction of this check-out's own would have."""
        unused = self._active and not self._used
        return _compat.IDLE if unused and status in (True, _compat.IN_TRANSACTION) else status

    # --- what the steps are made of --------------------------------------------------------------

    def _require_open(self) -> None:
        if self._closed or self._outer.over:
            raise self._outer.connection.closed_error(self._outer.test)

    def _end(self, end: Callable[[Checkout], None]) -> None:
        """End what was begun since the last end, if anything was."""
        if self._used or not self._active:  # what listeners run is not told
            if not self.closed:
                end(self)
            vars(self).update(_doomed=None, _used=False)

    def _refuse(self, name: str, *arguments: Any, **options: Any) -> None:
        if name.startswith("tpc_"):
            raise self._outer.refusal("a two-phase commit")
        value = next(iter(list(arguments) + list(options.values())), None)
        raise self._outer.refusal(_compat.transaction_setting(name, value))


class _Information:
    """The ``info`` of drivers for PostgreSQL, with the state of a check-out's own transaction."""

    def __init__(self, checkout: Checkout, information: Any) -> None:
        self._checkout = checkout
        self._information = information

    @property
    def transaction_status(self) -> Any:
        return self._checkout.shown_status(self._information.transaction_status)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._information, name)


class SharedPool(NullPool):
    """Stands in for the pool of an engine while an outer transaction runs.

    :param former: the engine's own pool, whose listeners go on to be called.
    """

    settled = True  # by the transaction, which ends with the test
    former: Any
    _outer: OuterTransaction
    _process: int
    _thread: Optional[int]  # the only one that is to use the connection

    def __init__(self, former: Any) -> None:
        super().__init__(
            lambda: Checkout(self._outer),
            reset_on_return=former._reset_on_return,
            dialect=former._dialect,
        )

    @staticmethod
    def install(engine: Any, outer: OuterTransaction) -> None:
        """Have an engine hand out the connection of an outer transaction from now on."""
        SharedPool.remove(engine)  # one that an interrupted test has left
        former = engine.pool
        # Kept on the engine itself: it refers to the engine's listeners, and so to the engine.
        pool = vars(engine).get("_dbtestcase_pool")
        if pool is None or pool._reset_on_return is not former._reset_on_return:
            pool = engine._dbtestcase_pool = SharedPool(former)
        vars(pool)["dispatch"] = former.dispatch  # the very listeners, not a copy as for recreate()
        pool.former = former
        pool._outer = outer
        pool._process = os.getpid()
        pool._thread = threading.get_ident() if outer.connection.one_thread else None
        engine.pool = pool

    @staticmethod
    def remove(engine: Any) -> None:
        """Have an engine go on with its own pool."""
        while isinstance(engine.pool, SharedPool):
            engine.pool = engine.pool.former

    def connect(self) -> Any:
        """Check the shared connection out."""
        if self._process != os.getpid() and not _compat.is_in_memory(self.former):
            if not hasattr(self, "_child"):  # forked: the connection is its parent's
                self._child = self.former.recreate()
            return self._child.connect()
        if self._thread not in (None, threading.get_ident()):
            return self.former.connect()  # where each thread has a database in memory of its own
        fairy = super().connect()
        _compat.dbapi_connection(fairy).activate()
        return fairy

    unique_connection = connect  # what raw_connection() calls up to SQLAlchemy 1.3

    def dispose(self) -> None:
        """Do nothing: the connection stays until the test is over."""

    def recreate(self) -> SharedPool:
        """Return the same pool, as an engine that is disposed of goes on with what it gets."""
        return self

    def status(self) -> str:
        """Say what kind of pool it is."""
        return "SharedPool of an outer transaction"

    def _do_get(self) -> Any:
        return _compat.pool_record(self, Checkout(self._outer), self._outer.connection.info)

    def _do_return_conn(self, record: Any) -> None:
        checkout = _compat.recorded_connection(record)
        if checkout is not None:
            checkout.close()
