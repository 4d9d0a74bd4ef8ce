"""Says whether a database is for tests and why: the rule that the check goes by, and its texts."""

from __future__ import annotations

import functools
import re
import unicodedata
from typing import Any, Optional, Tuple, Type

from .. import _compat
from ..connections import is_full
from ..contracts import Identity, Target
from ..errors import BlockedDatabaseError, ConfigurationError, ServerError, count, first_line

_BESIDE = r"a-z0-9\x00-\x1f\x7f"  # of ASCII, what makes it a part of another word
_TEST_WORD = re.compile(
    r"(?<![{0}])(?:testing|test)(?![{0}])".format(_BESIDE), re.IGNORECASE | re.ASCII
)
_NORMAL_FORMS: Any = ("NFC", "NFD", "NFKC", "NFKD")

#: What happened, to which test, and with which database or URL.
REFUSED = "%s would clear %s, which is not known to be a test database"
NO_CONNECTION = "%s: no connection to %s"

ELSEWHERE = """\
{0}: a new connection of its engine leads to {1}, and no longer to {2}, which was checked.
  It was closed before anything ran on it{3}. Nothing was touched.
  A creator, a listener, PG* variables or a service file lead it there by now: put back what a test\
 changes of these."""

NOT_TO_BE_WRITTEN = """\
{test} would write to {label}, which is not known to be a test database.
  {at}: {said}
  {reason}. Nothing was written: inside a test, such a database may only be read."""

NO_TEST_WORD = 'Neither "test" nor "testing" stands as a word of its own in its name'


def is_test_name(name: str) -> bool:
    """Tell whether ``test`` or ``testing`` stands as a word of its own in a database's name.

    ``app_test``, ``test`` and ``test-7`` pass; ``contest``, ``latest`` and ``attestation`` do not.
    Only ASCII letters spell it. A letter, digit, mark or format character beside it, in any normal
    form, makes it a part of another word.
    """
    return any(
        _ends_word(name[: found.start()], -1) and _ends_word(name[found.end() :], 0)
        for found in _TEST_WORD.finditer(name)
    )


def _ends_word(beside: str, at: int) -> bool:
    """Tell whether what is beside a word ends it, as the start and end of a name do.

    :param at: the index of the character next to the word.
    """
    if not beside or beside.isascii():
        return True  # the pattern has looked at it
    forms = [beside] + [unicodedata.normalize(form, beside) for form in _NORMAL_FORMS]
    return not any(_is_in_word(form[at]) for form in forms)


def _is_in_word(character: str) -> bool:
    if unicodedata.category(character)[0] in "LNMC":  # C: format, control, unassigned
        return True
    # Some symbols are letters and digits in a square or circle, which no normal form undoes.
    called = unicodedata.name(character, "").split()
    return character > "\x7f" and ("LETTER" in called or "DIGIT" in called)


@functools.lru_cache(maxsize=100)
def refusal(identity: Identity, allowed: Tuple[str, ...]) -> Optional[str]:
    """Return why a database may not be cleared; ``None``: it is for tests.

    :param allowed: exact names that are allowed although they have no word ``test``.
    """
    if identity.private:
        return None
    if identity.template:
        return "It is a template: whatever happens in it is in every database made later"
    if identity.name in allowed:
        return None
    is_file = identity.key[0] == "sqlite"
    for name in (identity.name,) + identity.other_names:
        if name not in allowed and not is_test_name(_stem(name) if is_file else name):
            if name is identity.name:
                return NO_TEST_WORD
            return 'The same file has the name "%s" as well, which does not say so' % name
    if identity.unknown_names:
        return "The same file has %s in another folder (a hard link), which may not say so" % count(
            identity.unknown_names, "more name"
        )
    return None


def _stem(name: str) -> str:
    return name.rpartition(".")[0] or name


def approval(identity: Identity, allowed: Tuple[str, ...]) -> str:
    """Return why a database that is not refused may be cleared."""
    if identity.private:
        return "it is gone with its connection, as it is in memory or a temporary file"
    if identity.name in allowed:
        return "allowed_databases names it"
    return '"test" or "testing" stands as a word of its own in its name'


def refusal_text(
    owner: str, identity: Identity, key: Optional[str], target: Target, engine: Any, reason: str
) -> str:
    """Return the words of the error for a database that is refused, the reason among them."""
    lines = [
        REFUSED % (owner, identity.label) + ".",
        "  %s. Nothing was touched." % reason,
        "  How it got there: %s%s = %s"
        % (
            "bind %r, " % key if key else "",
            target.origin(key),
            _compat.url_text(engine.url, hide_password=True),
        ),
    ]
    advice = (misled(identity, engine), remedy(target, identity, class_of(owner)))
    return "\n".join(lines + ["  %s" % line for line in advice if line])


def class_of(owner: str) -> str:
    """Return the name of the class in that of a class or a test."""
    return owner.split(".")[0]


def misled(identity: Identity, engine: Any) -> Optional[str]:
    """Return a sentence where an engine's URL names another database than it leads to."""
    named = engine.url.database
    if identity.key[0] == "sqlite" or not named or named == identity.name:
        return None
    return (
        'The URL says "%s", the live connection is to "%s": arguments of the URL or the'
        " engine, listeners, PG* variables or a service file lead it there."
        % (named, identity.name)
    )


def remedy(target: Target, identity: Identity, owner: str) -> Optional[str]:
    """Return what to do, with the one line to write, so that a refused database is allowed."""
    if target.refusal():
        return 'If it is the test app, set app.config["TESTING"] = True (or load a config).'
    if identity.template:
        return None
    return may_be_written(identity, owner).strip()


def may_be_written(identity: Identity, owner: str) -> str:
    """Return the line that allows tests to write to a database, where that can be allowed."""
    if identity.template:
        return ""
    return "\n  To allow this very database, write in %s: allowed_databases = (%r,)" % (
        owner,
        identity.name,
    )


def unreachable(error: Exception, engine: Any, owner: str, origin: str) -> Exception:
    """Return the error for an engine that could not connect, in place of the driver's own."""
    kind: Type[Exception] = ServerError
    advice = (
        "Is the server running, and does the database exist? To have one started for the tests"
        " alone: dbtestcase.temporary_postgresql()."
    )
    if isinstance(error, ImportError):
        kind, advice = ConfigurationError, "Install the driver that the URL asks for."
    elif is_full(error):
        kind = BlockedDatabaseError
        advice = (
            "The server has no connection left. Close connections that are not needed, or raise the"
            " server's max_connections."
        )
    happened = NO_CONNECTION % (owner, _compat.url_text(engine.url, hide_password=True))
    return kind(
        "%s: %s\n"
        "  It is where %s leads. Nothing was touched.\n"
        "  %s" % (happened, _compat.without_password(first_line(error), engine.url), origin, advice)
    )
