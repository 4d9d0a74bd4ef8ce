"""Which test runs now: its name, its engines, and how long its connections may wait."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional

import sqlalchemy as sa

from . import _blocked, _compat


class Scope:
    """What tests that follow each other have in common: engines, and a bound on their waits."""

    def __init__(
        self, engines: List[Any], lock_timeout: float, controls: Mapping[Any, Any]
    ) -> None:
        self.engines = engines
        self.lock_timeout = lock_timeout
        self.controls = dict(controls)
        self.locations = {each.location for each in self.controls.values()}
        self.milliseconds = max(1, int(lock_timeout * 1000))
        self._guarded: List[Any] = []

    def is_for(self, engines: List[Any], lock_timeout: float, controls: Mapping[Any, Any]) -> bool:
        """Tell whether it is the scope of a test with these."""
        return (self.engines, self.lock_timeout, self.controls) == (engines, lock_timeout, controls)

    def concerns(self, pool: Any, dbapi: Any) -> bool:
        """Tell whether a connection is to a database of the tests, of whichever engine."""
        if any(engine.pool is pool for engine in self.engines):
            return True
        return bool(self.locations) and _compat.location(dbapi) in self.locations

    def guard(self, pool: Any) -> None:
        """Have a pool that runs dry say so within the bound, and say who has its connections."""
        before = _compat.set_pool_timeout(pool, None)
        if before is None or "_do_get" in vars(pool):
            return
        _compat.set_pool_timeout(pool, min(before, self.lock_timeout))
        ordinary, ordinarily_anew = pool._do_get, pool.recreate

        def get() -> Any:
            try:
                return ordinary()
            except sa.exc.TimeoutError as error:
                if _running is None:
                    raise
                told = _blocked.dry_pool(_running, pool, error)
            raise told

        def recreate() -> Any:
            anew = ordinarily_anew()
            _compat.set_pool_timeout(anew, before)
            return anew

        pool._do_get, pool.recreate = get, recreate
        self._guarded.append((pool, before))

    def release(self) -> None:
        """Let the pools wait as long as they did before."""
        for pool, seconds in self._guarded:
            del pool._do_get, pool.recreate
            _compat.set_pool_timeout(pool, seconds)
        del self._guarded[:]


class Running:
    """A test while it runs, or a class between its tests."""

    def __init__(self, scope: Scope, name: str) -> None:
        self.scope = scope
        self.name = name
        self.label = "dbtestcase %s" % name
        self.used: Dict[int, Any] = {}  # records of pools, by their ids
        self.called = False  # whether it may have called a function that took an advisory lock


_running: Optional[Running] = None


def running() -> Optional[Running]:
    """Return the test that runs now."""
    return _running


def set_running(test: Optional[Running]) -> None:
    """Have another test run from now on, or none."""
    global _running
    _running = test
