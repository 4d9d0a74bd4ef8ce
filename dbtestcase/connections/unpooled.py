"""Bounds the waits of what is connected past SQLAlchemy, and again where the bound was changed."""

from __future__ import annotations

import sys
from typing import Any, Dict

from .. import _compat
from . import bounds, drivers, settling

# The code of SQLAlchemy by which its pools connect; the latter where the driver is asyncio's.
_POOLS = ("sqlalchemy.pool", "sqlalchemy.util.concurrency", "sqlalchemy.util._concurrency")


class _Bound(drivers.Subscriber):
    def opened(self, dbapi: Any) -> None:
        """Bound a connection with start options of its own, which keep those of the environment."""
        own = _compat.start_options(dbapi) if bounds.bound() else ""
        if own and not bounds.started_bounded(dbapi) and not _is_pooled():
            _bind(dbapi)

    def starting(self, settings: Dict[str, str]) -> None:
        """Add the bound to what a connection starts with."""
        test = settling.running()
        own = test.scope.settings_for(None) if test is not None else None
        if test is not None and own is not None:
            for name, value in own.at_start(test.scope.milliseconds).items():
                settings.setdefault(name, value)

    def was_set(self, cursor: Any, statement: str) -> None:
        """Bound a session's waits again, where they may now take longer or for ever."""
        test = settling.running()
        settings = test.scope.settings_for(None) if test is not None else None
        if settings is not None and settings.may_unbind(statement):
            _bind(cursor.connection, "local" in statement.lower().split())


def _bind(dbapi: Any, transaction: bool = False) -> None:
    test = settling.running()
    settings = test.scope.settings_for(None) if test is not None else None
    if test is None or settings is None:
        return
    if _compat.transaction_status(dbapi) in (_compat.IDLE, _compat.IN_TRANSACTION):
        _compat.run_beside(dbapi, settings.bound(test.scope.milliseconds, transaction))


def _is_pooled() -> bool:
    """Tell whether a pool is making the connection; it is settled when it is checked out."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith(_POOLS):
            return True
        frame = frame.f_back
    return False


_BOUND = _Bound()


def watch() -> None:
    """Bound what no pool hands out as well, from now on."""
    _BOUND.subscribe()
