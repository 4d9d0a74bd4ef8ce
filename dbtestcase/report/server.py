"""What is left on the servers when the run ends: connections, transactions, databases."""

from __future__ import annotations

import contextlib
from typing import Any, Callable, Dict, Iterator, List

from .. import _compat
from ..connections import open_checkouts
from ..databases import used_dialects


def left_on_servers() -> Iterator[Dict[str, Any]]:
    """Yield, once where this process used a server, what is left on it."""

    dialects = [each for each in used_dialects() if each.control is not None]
    names = [name for dialect in dialects for name in _named(dialect.siblings)]
    if not names:
        return
    controls = {dialect.control.pid for dialect in dialects}
    pids = [_compat.backend_pid(each) for each in _compat.driver_connections()]
    yield {
        "databases": sorted(set(names)),
        "kept": sorted({name for dialect in dialects for name in _named(dialect.kept)}),
        "connections": len({pid for pid in pids if pid is not None} - controls),
        "transactions": _transactions(),
    }


def _named(databases: Callable[[], List[str]]) -> List[str]:
    with contextlib.suppress(Exception):  # the server may have ended before the run
        return databases()
    return []


def _transactions() -> List[str]:
    return [
        "%s is still in a transaction, on the connection of %s"
        % (checkout.test or "code outside of any test", _place(checkout))
        for checkout in open_checkouts()
        if _compat.transaction_status(checkout.dbapi) not in (None, _compat.IDLE)
    ]


def _place(checkout: Any) -> str:
    return str(checkout.lines[0]) if checkout.lines else "an unknown line"
