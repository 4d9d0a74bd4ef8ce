"""Watches every connection of this process: who opened it, what it may wait for, what it left open.

From the drivers upwards; a file imports none that is named below it:

- ``statements.py`` reads what a statement does, ``functions.py`` what a function may leave;
  ``queries.py`` tells which ones engines run;
- ``leading.py`` leads connections to another database than the one that they ask for;
- ``observers.py`` says what sees the statements of a connection, ``cursors.py`` opens cursors that
  are observed;
- ``drivers.py`` watches the connections and cursors of drivers, a section for each of these;
- ``checkouts.py`` knows where connections are made, and who has them out of their pools;
- ``twophase.py`` knows what this process prepared (2PC), and ends it;
- ``bounds.py`` bounds what is connected from its start, and ends waits that nothing else would;
- ``describe.py`` describes who holds what, in the lines of an error;
- ``settling.py`` gives the connections of a test its name and a bound on their waits, and throws
  away the sessions that it changed;
- ``unpooled.py`` bounds the waits of what is connected past SQLAlchemy;
- ``ending.py`` ends what threads and event loops would go on with in the next test;
- ``leaks.py`` describes what a test left open, ``leftovers.py`` gives it back;
- ``blockers.py`` waits until nobody is in the way of a reset, and names who is;
- ``process.py`` starts all of it, and has a forked process leave its connections to its parent.

A class calls :func:`watch`. Its tests call :func:`free` and :func:`begin_test`, and :func:`free`
again when they are over; from then to the next test the class is the one that has begun. At its end
it calls :func:`end_test`.
"""

from .blockers import blocked, ensure_free, ensure_threads_over, is_full, is_lock_timeout
from .bounds import started_bounded
from .checkouts import forget, was_forked
from .checkouts import opened as open_checkouts
from .cursors import open_cursor
from .describe import advice, duration, lines_about, lock_holders
from .describe import of_backend as describe_backend
from .describe import of_prepared as describe_prepared
from .drivers import (
    Subscriber,
    ignore,
    observe,
    observers,
    stop_observing,
    watch_installed,
)
from .functions import Lasting, Left, read_function
from .leading import astray, lead, leads, led, loaded_driver, server_restarted
from .leaks import Leak, leak_text, note_leaks, warn_of_leaks
from .leftovers import free
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
    "Lasting",
    "Leak",
    "Left",
    "OWN_QUERY",
    "Observer",
    "QuerySubscriber",
    "ROW_WRITES",
    "Subscriber",
    "advice",
    "all_quoted",
    "astray",
    "begin_test",
    "blocked",
    "database_made_or_dropped",
    "describe_backend",
    "describe_prepared",
    "duration",
    "end_test",
    "ensure_free",
    "ensure_threads_over",
    "forbid_functions",
    "forget",
    "free",
    "gets_past_read_only",
    "ignore",
    "is_full",
    "is_lock_timeout",
    "lead",
    "leads",
    "is_plain_write",
    "is_temporary_table",
    "leak_text",
    "led",
    "lines_about",
    "loaded_driver",
    "lock_holders",
    "note_leaks",
    "observe",
    "observers",
    "open_checkouts",
    "open_cursor",
    "read_function",
    "read_statement",
    "row_verb",
    "running",
    "savepoint_of",
    "server_restarted",
    "started_bounded",
    "stop_observing",
    "warn_of_leaks",
    "was_forked",
    "watch",
    "watch_installed",
]
