"""What does a statement do to a transaction? Told by its words, as a driver is given it."""

from __future__ import annotations

import functools
import re
from typing import Any

BEGIN, COMMIT, ROLLBACK, PREPARE = "begin", "commit", "rollback", "prepare"
READ, WRITE, DEFINE = "read", "write", "define"

_FIRST_WORD = re.compile(r"(?:\s|/\*.*?\*/|--[^\n]*(?:\n|\Z)|\()*([A-Za-z]*)", re.DOTALL)
# What makes a statement that begins like a query write, lock or hide a second statement.
_WRITES = re.compile(
    r"\b(?:insert|update|delete|merge|into|share|lo_\w+)\b|;(?!\s*\Z)", re.IGNORECASE
)
_NOT_THE_WHOLE = re.compile(r"\b(?:to|prepared)\b", re.IGNORECASE)
_PREPARE = re.compile(r"\s*prepare\s+transaction\b", re.IGNORECASE)

_CONTROL = {
    "BEGIN": BEGIN,
    "START": BEGIN,
    "COMMIT": COMMIT,
    "END": COMMIT,
    "ROLLBACK": ROLLBACK,
    "ABORT": ROLLBACK,
}
_QUERIES = frozenset(
    "SELECT SHOW VALUES WITH TABLE EXPLAIN FETCH MOVE CLOSE PRAGMA DECLARE".split()
)
_DEFINITIONS = frozenset("CREATE ALTER DROP TRUNCATE DO CALL".split())


def kind_of(statement: Any) -> str:
    """Return what a statement does: one of this module's constants.

    A statement that is not text (bytes, a composed one) counts as one that writes, and so does
    one whose first word is not known.

    :param statement: what the driver's ``execute()`` was given.
    """
    return _kind_of_text(statement) if isinstance(statement, str) else WRITE


@functools.lru_cache(maxsize=1000)
def _kind_of_text(statement: str) -> str:
    word = _first_word(statement)
    if word in _QUERIES:
        return WRITE if _WRITES.search(statement) else READ
    if word in _CONTROL:
        return _control(statement, word)
    if word == "PREPARE" and _PREPARE.match(statement):
        return PREPARE
    return DEFINE if word in _DEFINITIONS else WRITE


def _first_word(statement: str) -> str:
    match = _FIRST_WORD.match(statement)
    return match.group(1).upper() if match else ""


def _control(statement: str, word: str) -> str:
    if ";" in statement.strip()[:-1]:
        return WRITE  # a script; where it ends the transaction, that is found afterwards
    rest = statement.upper().partition(word)[2]
    return WRITE if _NOT_THE_WHOLE.search(rest) else _CONTROL[word]
