"""One transaction around a whole test: what the test commits is in it, and it is rolled back.

The engines stay what they are, with their listeners and their clones; only their pools are replaced
for the time of the test, by one that always hands out the same connection.
"""

from __future__ import annotations

import weakref
from typing import Any, List, NamedTuple

from ... import _compat, dialects
from ...connections import forget
from ...errors import ConfigurationError
from .checkout import SharedPool
from .savepoints import BASE, Savepoints

# The connection of each engine's outer transactions, for as long as the engine lives.
_kept: "weakref.WeakKeyDictionary[Any, Any]" = weakref.WeakKeyDictionary()
_identities: "weakref.WeakKeyDictionary[Any, Any]" = weakref.WeakKeyDictionary()


class Outcome(NamedTuple):
    """What was found at the end of an outer transaction."""

    committed: bool  # somebody committed something for real, or it could not be told
    state: Any  # for the begin() of the next one
    violation: Any  # the driver's error of a deferred constraint


class OuterTransaction:
    """One transaction on one physical database, shared by all of its engines.

    :param engines: the engines that lead to the database; the first one makes the connection.
    :param test: the name of the test, for messages.
    :param database: the name of the database, for messages.
    :param lock_timeout: seconds that statements may wait for a lock, 0 for no bound.
    """

    def __init__(
        self, engines: List[Any], test: str, database: str, lock_timeout: float = 0
    ) -> None:
        self.engines = list(engines)
        self.test = test
        self.database = database
        self.lock_timeout = lock_timeout
        self.over = False
        self.cursors: "weakref.WeakSet[Any]" = weakref.WeakSet()  # those that must be closed

    def begin(self, baseline: Any = None, state: Any = None) -> bool:
        """Begin, and lead every engine into the transaction.

        :param baseline: the rows that the test starts with.
        :param state: the state that the transaction before left, ``None`` if there was none.
        :return: whether the database is proved to be as that transaction left it.
        :raises ConfigurationError: if the engines cannot share a connection.
        """
        for engine in self.engines:
            _put_back(engine)
        self.over = False
        self.sql = self._connection()
        try:
            self._require_one_identity()
            unchanged = self._begin(baseline, state)
        except BaseException:
            self._drop()
            raise
        self.dbapi = self.sql.dbapi  # the driver's connection that all share
        self.savepoints = Savepoints(self.sql, self.test)
        for engine in self.engines:
            engine.pool = self._shared_pool(engine)
        return bool(unchanged)

    def end(self) -> Outcome:
        """Check what is deferred, roll everything back and put the engines back, whatever happened.

        :return: what was found. Nothing is raised for a connection that the test has lost.
        """
        violation = None
        try:
            if not self.sql.alive:
                raise ConnectionError("lost, or its process's that forked this one")
            for cursor in list(self.cursors):
                cursor.close()
            violation = self._violation()
            committed, state = self.sql.finish(BASE)
            self.over = True
        except Exception:  # the connection is gone, and the transaction with it
            self._drop()
            return Outcome(True, None, violation)
        finally:
            self.over = True
            for engine in self.engines:
                _put_back(engine)
        if not self.sql.kept:
            self.sql.close()
        return Outcome(committed, state, violation)

    def commit(self) -> None:
        """Commit everything for real, and put the engines back, whatever happened.

        :raises Exception: the driver's IntegrityError, if a deferred constraint is violated.
        """
        try:
            for cursor in list(self.cursors):
                cursor.close()
            self.sql.commit(BASE)
        except BaseException:
            self._drop()
            raise
        finally:
            self.over = True
            for engine in self.engines:
                _put_back(engine)
        if not self.sql.kept:
            self.sql.close()

    def refusal(self, what: str) -> ConfigurationError:
        """Return the error for something that cannot be had within a transaction."""
        return ConfigurationError(
            '%s asks for %s on "%s", which reset = "rollback" cannot give: the whole test runs in'
            ' one transaction, and this would get past it. Use reset = "recreate" for this class.'
            % (self.test, what, self.database)
        )

    # --- what the steps are made of --------------------------------------------------------------

    def _shared_pool(self, engine: Any) -> Any:
        # Kept on the engine itself: it refers to the engine's listeners, and so to the engine.
        pool = vars(engine).get("_dbtestcase_pool")
        if pool is None or pool._reset_on_return is not engine.pool._reset_on_return:
            pool = engine._dbtestcase_pool = SharedPool(engine.pool)
        pool.lead_to(self, engine.pool)
        return pool

    def _connection(self) -> Any:
        engine = self.engines[0]
        kept = _kept.get(engine)
        if kept is not None and kept.alive:
            return kept
        return self._open(engine)

    def _open(self, engine: Any) -> Any:
        try:
            sql = _opened(engine)
        except ConfigurationError as error:
            raise self.refusal("AUTOCOMMIT") from error
        if sql.fairy is not None:
            forget(sql.fairy)  # it is no test's, to be given back
        if sql.kept:
            if engine not in _kept:
                _compat.listen_to_disposal(engine, close_kept)
            _kept[engine] = sql
        return sql

    def _begin(self, baseline: Any, state: Any) -> Any:
        try:
            return self.sql.begin(BASE, baseline, state, self.test, self.lock_timeout)
        except self.sql.driver.Error:
            if not self.sql.kept or self.sql.alive:
                raise
            self.sql = self._open(self.engines[0])  # the server ended it since the last test
            return self.sql.begin(BASE, baseline, None, self.test, self.lock_timeout)

    def _require_one_identity(self) -> None:
        if len(self.engines) == 1 or not self.sql.kept:
            return
        own = self.sql.identity()
        for engine in self.engines[1:]:
            if engine not in _identities:
                other = _opened(engine)
                _identities[engine] = other.identity()
                other.close()
            if _identities[engine] != own:
                raise self.refusal(
                    "two kinds of connection (role and search path %r, and %r)"
                    % (own, _identities[engine])
                )

    def _violation(self) -> Any:
        try:
            self.sql.check(BASE)
        except self.sql.driver.IntegrityError as error:
            return error
        return None

    def _drop(self) -> None:
        """Part with the connection: it is not to be used again."""
        _kept.pop(self.engines[0], None)
        try:
            self.sql.close()
        except Exception:  # it is gone already
            pass


def close_kept(engine: Any) -> None:
    """Close the connection that is kept for an engine, unless a test is using it."""
    if not isinstance(engine.pool, SharedPool):
        kept = _kept.pop(engine, None)
        if kept is not None:
            kept.close()


def _opened(engine: Any) -> Any:
    return dialects.of_engine(engine).outer(engine)


def _put_back(engine: Any) -> None:
    while isinstance(engine.pool, SharedPool):
        engine.pool = engine.pool.former
