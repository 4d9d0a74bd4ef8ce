"""What a running test's connections are set to: a name that tells, a bound on their waits."""

from __future__ import annotations

import functools
import re
from typing import Any, NamedTuple, Optional, Tuple

DISCARD = "DISCARD ALL"
NAME_BYTES = 63  # as much as a server keeps of an application_name

# What it is set to ends with the session or with the transaction, and so is forgotten by itself.
_PASSING = r"""
    select | insert | update | delete | merge | values | with | table | explain | show | truncate
  | analyze | vacuum | lock | notify | unlisten | comment | grant | revoke | drop | alter
  | create (?! \s+ (?: or \s+ replace \s+ )? (?: global \s+ | local \s+ )? temp (?: orary )? \b )
  | begin | start | commit | end | rollback | abort | savepoint | release | prepare \s+ transaction
  | declare | fetch | move | close | copy
  | set \s+ (?: local | transaction | constraints )
"""
_PLAIN = re.compile(r"[\s(]* (?: (?: %s ) \b | $ )" % _PASSING, re.IGNORECASE | re.VERBOSE)
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_LASTING_CALL = re.compile(
    r"set_config(?!\s*\([^()]*,\s*true\s*\)) | pg_(?:try_)?advisory_lock | with\s+hold"
    r" | \binto\s+(?:local\s+|global\s+)?temp(?:orary)?\b | pg_temp",
    re.IGNORECASE | re.VERBOSE,
)
_CALL = re.compile(
    r"""\s* select \s+ (?: \* \s+ from \s+ )?
    (?! (?: pg_catalog \. )? (?: version | current_schema ) \s* \( ) ["\w.]+ \s* \(
    (?: (?! \b from \b ) . )* \) (?: \s+ as \s+ "? \w+ "? )? [\s;]* \Z""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
_PREPARE = re.compile(r"\bprepare\s+transaction\s+'((?:[^']|'')+)'[\s;]*\Z", re.IGNORECASE)


class Effect(NamedTuple):
    """What a statement may leave behind when its transaction is over."""

    prepares: Optional[str]  # the name of a transaction (2PC)
    lasts: bool  # something in its session
    calls: bool  # what a function did, which may be anything


@functools.lru_cache(maxsize=2000)
def effect_of(statement: str) -> Optional[Effect]:
    """Return what a statement may leave behind, ``None`` for most."""
    prepares, calls = prepared_by(statement), is_a_call(statement)
    effect = Effect(prepares, outlives_its_transaction(statement), calls)
    return effect if any(effect) else None


def prepared_by(statement: str) -> Optional[str]:
    """Return the name of the transaction that a statement prepares (2PC), ``None`` for others.

    It stands at the end, whatever ran before it.
    """
    match = _PREPARE.search(statement) or _PREPARE.search(_COMMENT.sub(" ", statement))
    return match.group(1).replace("''", "'") if match else None


def is_a_call(statement: str) -> bool:
    """Tell whether a statement does nothing but call a function, which may do anything."""
    return _CALL.match(statement) is not None


def outlives_its_transaction(statement: str) -> bool:
    """Tell whether a statement may leave something in its session that a rollback leaves there.

    ``SET``, ``LISTEN``, ``PREPARE``, temporary tables, session advisory locks, cursors ``WITH
    HOLD``; everything that is not plainly something else counts as well.
    """
    if "--" in statement or "/*" in statement:
        statement = _COMMENT.sub(" ", statement)
    pieces = statement.split(";")
    return bool(_LASTING_CALL.search(statement)) or not all(map(_PLAIN.match, pieces))


def settle(name: str, milliseconds: int) -> str:
    """Return the query that sets a session for a test; its row is what the session had before.

    A shorter ``lock_timeout`` than the test's is kept. No commit waits for a synchronous standby,
    which may be lost: that wait ends at no timeout.
    """
    return (
        "SELECT pg_catalog.current_setting('application_name') AS name,"
        " pg_catalog.current_setting('lock_timeout') AS lock_timeout,"
        " pg_catalog.current_setting('synchronous_commit') AS synchronous_commit,"
        " pg_catalog.set_config('application_name', %s, false) AS new_name,"
        " pg_catalog.set_config('lock_timeout',"
        " CASE WHEN extract(epoch from current_setting('lock_timeout')::interval) * 1000"
        " BETWEEN 1 AND %d THEN pg_catalog.current_setting('lock_timeout') ELSE '%dms' END, false)"
        " AS new_lock_timeout,"
        " pg_catalog.set_config('synchronous_commit',"
        " CASE pg_catalog.current_setting('synchronous_commit') WHEN 'off' THEN 'off'"
        " ELSE 'local' END, false) AS new_synchronous_commit"
        % (_literal(_cut(name)), milliseconds, milliseconds)
    )


def rename(name: str) -> str:
    """Return the statement that gives a session that was set before the name of another test."""
    return "SET application_name = %s" % _literal(_cut(name))


def restore(before: Tuple[Any, ...]) -> str:
    """Return the statements that set back what :func:`settle` found."""
    return "; ".join(
        "SET %s = %s" % (setting, _literal(str(value)))
        for setting, value in zip(
            ("application_name", "lock_timeout", "synchronous_commit"), before
        )
    )


def _cut(name: str) -> str:
    return name.encode("ascii", "replace")[:NAME_BYTES].decode("ascii")


def _literal(text: str) -> str:
    return "'%s'" % text.replace("\\", "/").replace("'", "''")
