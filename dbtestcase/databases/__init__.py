"""Makes sure that databases are for tests, takes them for this run, builds and clears them.

``safeguard.py`` asks where engines lead, and is the only maker of a checked database;
``verdicts.py`` is the rule that it goes by. ``claims.py`` takes a database, or a sibling of it;
``following.py`` has the process follow there, and ``announce.py`` tells other processes.
``guard.py`` holds the connections of tests to what was checked. ``environment.py`` keeps what tests
change beside the database's objects out of the runs that come after. ``build.py`` makes the schema
and the first rows, ``clear.py`` resets and drops, and says who is in the way.
"""

from .announce import Run, last_run, runs
from .build import ensure as ensure_built
from .build import forget as forget_built
from .clear import controls as controls_of
from .clear import end_threads, left_open, name_of, restore
from .guard import apply_to_unseen as allow_writing
from .guard import require_same
from .safeguard import (
    CheckedDatabase,
    check,
    dispose,
    is_beside_for_tests,
    reconnect,
    used_dialects,
)
from .verdicts import NO_TEST_WORD, approval, is_test_name, misled, remedy, unreachable
from .verdicts import refusal as refusal_of

__all__ = [
    "CheckedDatabase",
    "NO_TEST_WORD",
    "Run",
    "allow_writing",
    "approval",
    "check",
    "controls_of",
    "dispose",
    "end_threads",
    "ensure_built",
    "forget_built",
    "is_beside_for_tests",
    "is_test_name",
    "last_run",
    "left_open",
    "misled",
    "name_of",
    "reconnect",
    "refusal_of",
    "remedy",
    "require_same",
    "restore",
    "runs",
    "unreachable",
    "used_dialects",
]
