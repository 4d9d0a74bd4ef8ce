"""Two runs on one server: each has a database to itself, the second a numbered sibling.

A process that finds its database taken by another takes ``app_test_2``, or the next that is free,
and its engines follow. No worker needs a number of its own.
"""

from __future__ import annotations

import itertools
import sys
import time
from typing import Any, Callable, Optional, Tuple

from . import _compat, report
from .errors import BlockedDatabaseError

_MAXIMUM = 1000


def claim(dialect: Any, engine: Any, owner: str, may_have_siblings: bool) -> Any:
    """Take a database for this run, or the first sibling of it that no other run has.

    :param dialect: the database that the engine leads to.
    :param engine: the engine, for connections to siblings.
    :param owner: the class (and test) on whose behalf, for messages.
    :param may_have_siblings: whether a sibling's name shows that it is for tests.
    :return: the dialect object of the database that was taken.
    :raises BlockedDatabaseError: if it is taken and no sibling can be made.
    """
    if dialect.claim():
        return dialect
    sibling = _first_free_sibling(dialect, engine) if may_have_siblings else None
    if sibling is not None:
        dialect.close()
        return sibling
    deadline = time.monotonic() + dialect.lock_timeout
    while time.monotonic() < deadline:
        time.sleep(0.1)
        if dialect.claim():
            return dialect
    raise BlockedDatabaseError(
        '%s: the database "%s" is in use by another run, which has had it for %.1f s longer.\n'
        "  %s\n"
        "  Two runs in one database would clear each other's rows. Wait for it to end, end it, or"
        " let the role create databases (ALTER ROLE ... CREATEDB), so that this run takes a"
        " sibling." % (owner, dialect.identity.name, dialect.lock_timeout, dialect.holder())
    )


def _first_free_sibling(dialect: Any, engine: Any) -> Optional[Any]:
    for number in itertools.islice(itertools.count(2), _MAXIMUM):
        name = "%s_%d" % (dialect.identity.name, number)
        created, sibling = _reached(dialect, engine, name)
        if sibling is None:
            return None
        if sibling.claim():
            say(
                'the database "%s" is in use by another run; this one %s its sibling "%s"'
                % (dialect.identity.name, "creates" if created else "takes", name)
            )
            return sibling
        sibling.close()
    return None


def _reached(dialect: Any, engine: Any, name: str) -> Tuple[Optional[bool], Any]:
    """Return whether a sibling had to be created, and the sibling.

    It is ``None`` where it is not there and may not be created, or where connections of this
    engine cannot be led elsewhere.
    """
    for last_time in (False, False, True):
        created = dialect.create_database(name)
        if created is None:
            break
        try:
            return created, dialect.sibling(engine, name)
        except Exception as error:
            if last_time or not dialect.is_missing(error, name):
                raise  # else somebody has just dropped it, as one that was not in use
    return None, None


def follow(engine: Any, dialect: Any) -> Callable[[], None]:
    """Lead an engine to the database that was claimed in place of its own.

    :return: what leads it back, and closes the connections that it made meanwhile.
    """
    former = engine.url
    lead_back = dialect.lead_here(engine)
    engine.url = _compat.url_with(former, database=dialect.identity.name)
    engine.dispose()

    def undo() -> None:
        lead_back()
        engine.url = former
        engine.dispose()

    return undo


def say(sentence: str) -> None:
    """Tell the user what was done that could surprise."""
    sys.stderr.write("dbtestcase: %s\n" % sentence)
    report.notice(sentence)
