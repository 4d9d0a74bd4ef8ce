"""Asks and settles sessions of a server: the connection that clears, and those of everybody else.

``control.py``
    the connection that clears, checks and looks.
``settings.py``
    what connections of a test are set to, and are asked.
``identifying.py``
    where a connection leads, and whether a pooler stands before the server.
``locks.py``
    who is at work in a database, and holds which locks.
``transactions.py``
    which transactions are still open.
"""

from .control import KEPT, Control, quoted
from .identifying import (
    WHICH,
    answer_of,
    connect,
    identify,
    identify_anew,
    identify_connection,
    set_read_only,
    stop_writing,
)
from .locks import LOCK
from .settings import Settings
from .transactions import Snapshot, all_over, one_snapshot, settled

__all__ = [
    "KEPT",
    "LOCK",
    "Control",
    "Settings",
    "Snapshot",
    "WHICH",
    "all_over",
    "answer_of",
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
