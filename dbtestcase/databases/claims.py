"""Two runs on one server: each has a database to itself, the second a numbered sibling.

A process that finds its database taken by another takes ``app_test_2``, or the next that is free,
and all of it follows (following.py). No worker needs a number of its own.
"""

from __future__ import annotations

from typing import Any, Optional, Tuple

from .. import where
from ..errors import BlockedDatabaseError, brief, reported
from ..events import say
from .environment import record_of
from .verdicts import is_test_name

_MAXIMUM = 1000
_ATTEMPTS = 10  # to reach a sibling that others drop while it is not in use
_NAME_BYTES = 63

_TAKEN = """\
{owner}: another run has the database "{name}", and did not end within {seconds:.1f} s.
  {holder}
  In one database, two runs would clear each other's rows; and this one can take no sibling of it:
  {reason}"""

_STILL_TAKEN = '%s: another run still has the database "%s"'

_NOT_FOR_TESTS = (
    "only allowed_databases says that it is for tests, which the name of a sibling would not say.\n"
    "  Wait for that run to end, or end it; or give the database a name with the word test."
)
_NOT_LED = (
    "a creator or a listener makes the connections of the engine, so they cannot be led"
    " elsewhere.\n"
    "  Wait for that run to end, or end it; or give the engine a URL in place of the creator."
)
_NAME_TOO_LONG = (
    "its name is so long that it leaves no room for a number.\n"
    "  Wait for that run to end, or end it; or give the database a shorter name."
)
_MAY_NOT_CREATE = (
    "its role may not create databases.\n"
    "  Wait for that run to end, or end it; or let the role: ALTER ROLE ... CREATEDB."
)
_ALL_TAKEN = "all %d are taken.\n  Wait for a run to end, or end one." % _MAXIMUM


def claim(dialect: Any, engine: Any, owner: str, base: str) -> Any:
    """Take a database for this run, or the first sibling of it that no other run has.

    :param dialect: the database that the engine leads to.
    :param engine: the engine, for connections to siblings.
    :param owner: the class (and test) on whose behalf, for messages.
    :param base: the name of the configured database; this may be a sibling of it already.
    :return: the dialect object of the database that was taken.
    :raises BlockedDatabaseError: if it is taken and no sibling can be made.
    """
    if dialect.family is None or dialect.claim():
        reported.forget(("taken", dialect.identity.key))
        return dialect
    dialect.found = record_of(dialect)  # its run may be changing it, of which no sibling is to know
    sibling, reason = _first_free_sibling(dialect, engine, base)
    dialect.found = None
    if sibling is not None:
        dialect.close()
        return sibling
    wait_for(dialect, owner, reason)
    return dialect


def wait_for(dialect: Any, owner: str, reason: str, copier: int = 0) -> None:
    """Take this very database as soon as no other run has it.

    A run that an earlier test has waited for is not waited for again.

    :param reason: why no sibling will do, for the error.
    :param copier: the backend by which this run itself has been copying it.
    :raises BlockedDatabaseError: if that is not within the bound.
    """
    deadline = where.now() + dialect.lock_timeout
    about, name = ("taken", dialect.identity.key), dialect.identity.name
    while dialect.family is not None and not dialect.claim(copier):
        holder = dialect.holder()
        earlier = reported.earlier(about, holder) if holder else None
        if earlier:
            dialect.close()
            raise brief(BlockedDatabaseError, _STILL_TAKEN % (owner, name), earlier)
        if where.now() > deadline:
            reported.remember(about, holder, owner)
            text = _TAKEN.format(
                owner=owner,
                name=name,
                seconds=dialect.lock_timeout,
                holder=holder or "It ended this very moment: try again.",
                reason=reason,
            )
            dialect.close()
            raise BlockedDatabaseError(text)
        where.pause(0.1)
    reported.forget(about)


def _first_free_sibling(dialect: Any, engine: Any, base: str) -> Tuple[Any, str]:
    """Return the first sibling that is free, else why there is none."""
    if not is_test_name(base):
        return None, _NOT_FOR_TESTS
    if not dialect.can_lead(engine):
        return None, _NOT_LED
    for number in range(2, 2 + _MAXIMUM):
        name = "%s_%d" % (base, number)
        if len(name.encode("utf-8")) > _NAME_BYTES:
            return None, _NAME_TOO_LONG
        created, sibling = _reached(dialect, engine, name)
        if sibling is None:
            return None, _MAY_NOT_CREATE
        if sibling.claim():
            say(
                'another run has the database "%s"; this one %s its sibling "%s"'
                % (dialect.identity.name, "creates" if created else "takes", name)
            )
            return sibling, ""
        sibling.close()
    return None, _ALL_TAKEN


def _reached(dialect: Any, engine: Any, name: str) -> Tuple[Optional[bool], Any]:
    """Return whether a sibling had to be created, and the sibling.

    It is ``None`` where it is not there and may not be created.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        created = dialect.create_sibling(name)
        if created is None:
            break
        try:
            return created, dialect.sibling(engine, name, created)
        except Exception as error:
            if attempt == _ATTEMPTS or not dialect.is_missing(error, name):
                raise  # else somebody has just dropped it, as one that was not in use
    return None, None
