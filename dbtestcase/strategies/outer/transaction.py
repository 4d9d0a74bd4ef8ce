"""Leads engines into one transaction around a test, and rolls it back when the test is over.

The engines stay what they are, with their listeners and their clones; only their pools are replaced
for the time of the test, by one that always hands out the same connection.
"""

from __future__ import annotations

import contextlib
import weakref
from typing import Any, List, NamedTuple, Optional, Tuple

from ... import _compat, dialects
from ...contracts import OuterConnection
from ...databases import require_same
from ...errors import ConfigurationError
from .checkout import SharedPool
from .savepoints import Savepoints

# The connection of each engine's outer transactions, for as long as the engine lives.
_kept: "weakref.WeakKeyDictionary[Any, OuterConnection]" = weakref.WeakKeyDictionary()
# What connections of each engine have in common, where an engine shares those of another one.
_identities: "weakref.WeakKeyDictionary[Any, Tuple[Any, ...]]" = weakref.WeakKeyDictionary()


class Outcome(NamedTuple):
    """What was found at the end of an outer transaction."""

    committed: bool  # somebody committed something for real, or it could not be told
    state: Any  # for the begin() of the next one
    violation: Optional[Exception]  # the driver's error of a deferred constraint


class OuterTransaction:
    """One transaction on one physical database, shared by all of its engines.

    :param engines: the engines that lead to the database; the first one makes the connection.
    :param test: the name of the test, for messages.
    :param database: the name of the database, for messages.
    :param lock_timeout: seconds that statements may wait for a lock, 0 for no bound.
    """

    connection: OuterConnection
    dbapi: Any  # the driver's connection, which all share
    savepoints: Savepoints

    def __init__(
        self, engines: List[Any], test: str, database: str, lock_timeout: float = 0
    ) -> None:
        self.engines = list(engines)
        self.test = test
        self.database = database
        self.lock_timeout = lock_timeout
        self.over = False
        self.spoiled = False  # something was done to the session that no rollback undoes
        self.cursors: "weakref.WeakSet[Any]" = weakref.WeakSet()  # those that must be closed

    def begin(self, baseline: Any = None, state: Any = None) -> bool:
        """Begin, and lead every engine into the transaction.

        :param baseline: the rows that the test starts with.
        :param state: the state that the transaction before left, ``None`` if there was none.
        :return: whether the database is proved to be as that transaction left it.
        :raises ConfigurationError: if the engines cannot share a connection.
        """
        for engine in self.engines:
            SharedPool.remove(engine)
        self.over = self.spoiled = False
        kept = _kept.get(self.engines[0])
        self.connection = kept if kept is not None and kept.alive else self._open()
        try:
            if len(self.engines) > 1 and self.connection.kept:
                self._require_one_identity()
            try:
                unchanged = self.connection.begin(baseline, state, self.test, self.lock_timeout)
            except self.connection.driver.Error:
                if not self.connection.kept or self.connection.alive:
                    raise
                self.connection = self._open()  # the server ended it since the last test
                unchanged = self.connection.begin(baseline, None, self.test, self.lock_timeout)
        except BaseException:
            self._leave(usable=False)
            raise
        self.dbapi = self.connection.dbapi
        self.savepoints = Savepoints(self.connection, self.test)
        for engine in self.engines:
            SharedPool.install(engine, self)
        return unchanged

    def end(self) -> Outcome:
        """Check what is deferred, roll everything back and put the engines back, whatever happened.

        :return: what was found. Nothing is raised for a connection that the test has lost.
        """
        usable, violation = False, None
        self.over = True  # for threads
        try:
            if not self.connection.alive:
                raise ConnectionError("lost, or its process's that forked this one")
            for cursor in list(self.cursors):
                cursor.close()
            violation = self.connection.violation()
            committed, state = self.connection.finish()
            usable = True
        except Exception:  # the connection is gone, and the transaction with it
            committed, state = True, None
        finally:
            self._leave(usable)
        return Outcome(committed, state, violation)

    def cut(self) -> None:
        """Have whoever waits for an answer on the connection get an error; it cannot be used on."""
        _compat.shut(self.dbapi)

    def commit(self) -> None:
        """Commit everything for real, and put the engines back, whatever happened.

        :raises Exception: the driver's IntegrityError, if a deferred constraint is violated.
        """
        usable = False
        try:
            for cursor in list(self.cursors):
                cursor.close()
            self.connection.commit()
            usable = True
        finally:
            self._leave(usable)

    def refusal(self, what: str) -> ConfigurationError:
        """Return the error for something that cannot be had within a transaction."""
        return ConfigurationError(
            '%s asks for %s on "%s", which reset = "rollback" cannot give: the whole test runs in'
            ' one transaction, and this would get past it. Use reset = "recreate" for this class.'
            % (self.test, what, self.database)
        )

    # --- what the steps are made of --------------------------------------------------------------

    def _open(self) -> OuterConnection:
        engine = self.engines[0]
        try:
            connection: OuterConnection = dialects.of_engine(engine).outer(engine)
        except ConfigurationError as error:
            raise self.refusal("AUTOCOMMIT") from error
        require_same(engine, connection.dbapi)
        if connection.kept:
            if engine not in _kept:
                _compat.listen_to_disposal(engine, close_kept)
            _kept[engine] = connection
        return connection

    def _require_one_identity(self) -> None:
        own = self.connection.identity()
        for engine in self.engines[1:]:
            if engine not in _identities:
                other: OuterConnection = dialects.of_engine(engine).outer(engine)
                _identities[engine] = other.identity()
                other.close()
            if _identities[engine] != own:
                raise self.refusal(
                    "two kinds of connection (role and search path %r, and %r)"
                    % (own, _identities[engine])
                )

    def _leave(self, usable: bool) -> None:
        """Put the engines back, and close the connection unless the next test can use it."""
        self.over = True
        for engine in self.engines:
            SharedPool.remove(engine)
        if not usable or self.spoiled:
            _kept.pop(self.engines[0], None)
            with contextlib.suppress(Exception):  # it may be gone already
                self.connection.close()
        elif not self.connection.kept:
            self.connection.close()


def close_kept(engine: Any) -> None:
    """Close the connection that is kept for an engine, unless a test is using it."""
    if not isinstance(engine.pool, SharedPool):
        kept = _kept.pop(engine, None)
        if kept is not None:
            kept.close()
