"""Every connection of this process: who opened it, what it may wait for, what it left open."""

from .blockers import blocked, ensure_free, is_full, is_lock_timeout
from .blockers import watch as watch_blockers
from .checkouts import opened as open_checkouts
from .checkouts import was_forked
from .describe import duration, waiting_for
from .describe import everyone as lock_holders
from .describe import of_backend as describe_backend
from .describe import of_prepared as describe_prepared
from .drivers import Observer, Subscriber, ignore, open_cursor, subscribe
from .leftovers import Leak, begin_pause, begin_test, end_test, forget, free, leak_text
from .leftovers import note as note_leaks
from .leftovers import warn as warn_of_leaks
from .queries import OWN as OWN_QUERY
from .queries import QuerySubscriber
from .queries import subscribe as subscribe_to_queries
from .queries import unsubscribe as unsubscribe_from_queries
from .statements import (
    BEGIN,
    COMMIT,
    DEFINE,
    PREPARE,
    READ,
    ROLLBACK,
    ROW_WRITES,
    all_quoted,
    row_verb,
)
from .statements import forbid as forbid_functions
from .statements import read as read_statement
from .statements import savepoint as savepoint_of

__all__ = [
    "BEGIN",
    "COMMIT",
    "DEFINE",
    "Leak",
    "OWN_QUERY",
    "Observer",
    "PREPARE",
    "QuerySubscriber",
    "READ",
    "ROLLBACK",
    "ROW_WRITES",
    "Subscriber",
    "all_quoted",
    "begin_pause",
    "begin_test",
    "blocked",
    "describe_backend",
    "describe_prepared",
    "duration",
    "end_test",
    "ensure_free",
    "forbid_functions",
    "forget",
    "free",
    "ignore",
    "is_full",
    "is_lock_timeout",
    "leak_text",
    "lock_holders",
    "note_leaks",
    "open_checkouts",
    "open_cursor",
    "read_statement",
    "row_verb",
    "savepoint_of",
    "subscribe",
    "subscribe_to_queries",
    "unsubscribe_from_queries",
    "waiting_for",
    "warn_of_leaks",
    "was_forked",
    "watch_blockers",
]
