"""Watches every connection of this process: who opened it, what it may wait for, what it left open.

From the drivers upwards; a file imports none that is named below it:

- ``statements.py`` reads what a statement does; ``queries.py`` tells which ones engines run;
- ``observers.py`` says what sees the statements of a connection;
- ``drivers.py`` watches the connections and cursors of drivers, a section for each of these;
- ``checkouts.py`` knows where connections are made, and who has them out of their pools;
- ``twophase.py`` knows what this process prepared (2PC), and ends it;
- ``bounds.py`` ends waits that nothing else would end;
- ``describe.py`` describes who holds what, in the lines of an error;
- ``settling.py`` gives the connections of a test its name and a bound on their waits, and throws
  away the sessions that it changed;
- ``leftovers.py`` gives back what a test left open, and says what it was;
- ``blockers.py`` waits until nobody is in the way of a reset, and names who is;
- ``process.py`` starts all of it, and has a forked process leave its connections to its parent.

A class calls :func:`watch`. Its tests call :func:`free` and :func:`begin_test`, and :func:`free`
again when they are over; from then to the next test the class is the one that has begun. At its end
it calls :func:`end_test`.
"""

from .blockers import blocked, ensure_free, is_full, is_lock_timeout
from .checkouts import forget, was_forked
from .checkouts import opened as open_checkouts
from .describe import duration, lock_holders
from .describe import of_backend as describe_backend
from .describe import of_prepared as describe_prepared
from .drivers import Subscriber, ignore, observe, observers, open_cursor, stop_observing
from .leftovers import Leak, free, leak_text, note_leaks, warn_of_leaks
from .observers import Observer
from .process import watch
from .queries import OWN_QUERY, QuerySubscriber
from .settling import begin_test, end_test, running
from .statements import (
    ROW_WRITES,
    Kind,
    all_quoted,
    database_made_or_dropped,
    gets_past_read_only,
    is_plain_write,
    is_temporary_table,
    row_verb,
)
from .statements import forbid as forbid_functions
from .statements import read as read_statement
from .statements import savepoint as savepoint_of

__all__ = [
    "Kind",
    "Leak",
    "OWN_QUERY",
    "Observer",
    "QuerySubscriber",
    "ROW_WRITES",
    "Subscriber",
    "all_quoted",
    "begin_test",
    "blocked",
    "database_made_or_dropped",
    "describe_backend",
    "describe_prepared",
    "duration",
    "end_test",
    "ensure_free",
    "forbid_functions",
    "forget",
    "free",
    "gets_past_read_only",
    "ignore",
    "is_full",
    "is_lock_timeout",
    "is_plain_write",
    "is_temporary_table",
    "leak_text",
    "lock_holders",
    "note_leaks",
    "observe",
    "observers",
    "open_checkouts",
    "open_cursor",
    "read_statement",
    "row_verb",
    "running",
    "savepoint_of",
    "stop_observing",
    "warn_of_leaks",
    "was_forked",
    "watch",
]
