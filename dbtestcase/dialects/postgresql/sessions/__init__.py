"""Asks and settles sessions of a server: the connection that clears, and those of everybody else.

``control.py``
    the connection that clears, checks and looks; what other connections are settled with; and
    where a connection leads.
``locks.py``
    who is at work in a database, and holds which locks.
``transactions.py``
    which transactions are still open.
"""

from .control import (
    KEPT,
    Control,
    Settings,
    connect,
    identify,
    identify_anew,
    identify_connection,
    quoted,
    set_read_only,
    stop_writing,
)
from .locks import LOCK
from .transactions import Snapshot, all_over, one_snapshot, settled

__all__ = [
    "KEPT",
    "LOCK",
    "Control",
    "Settings",
    "Snapshot",
    "all_over",
    "connect",
    "identify",
    "identify_anew",
    "identify_connection",
    "one_snapshot",
    "quoted",
    "set_read_only",
    "settled",
    "stop_writing",
]
