"""Which statements write rows or read them, and certainly do nothing else?

Read are the bytes that were sent, with all values in them. Whatever is hard to read is not
harmless: nobody loses anything by that but the time of a look at the catalog.
"""

from __future__ import annotations

import datetime
import decimal
import functools
import re
import uuid
from typing import Any, FrozenSet, Optional, Set

# Longer statements are not read.
_LONGEST = 4 * 1024 * 1024
_SHORT = 1000  # bytes of a statement that is remembered

# Literals and quoted names. Two quotes inside one read as two literals side by side, which end at
# the same place. With backslashes, E'' literals end elsewhere than plain ones do.
_QUOTED = re.compile(rb"""'[^']*'|"[^"]*\"""")
_QUOTED_WITH_BACKSLASHES = re.compile(
    rb"""(?<![\w$\x80-\xff])[eE]'[^'\\]*(?:(?:''|\\.)[^'\\]*)*'|'[^']*'|"[^"]*\"""", re.DOTALL
)
# Quotes that do not end, dollar quotes, comments and unicode escapes are not read.
_UNREAD_BYTES = b"'\"$\\"
_UNREAD = (b"--", b"/*", b"u&\0")
_VERB = re.compile(rb"\s*([a-z]+)\b")
#: The verbs whose ``rowcount`` tells how many rows were written.
WRITES = (b"insert", b"update", b"delete")
_READS = (b"select", b"with", b"show", b"set", b"values")
_CREATES = re.compile(rb"\binto\b")
_SYSTEM = re.compile(rb"(?<![a-z0-9_])(?:pg_|lo_|setval|information_schema)")

# Values of these types are quoted by the driver, whatever they say.
_QUOTED_TYPES = frozenset(
    (bool, int, float, str, bytes, type(None), decimal.Decimal, uuid.UUID)
    + (datetime.datetime, datetime.date, datetime.time, datetime.timedelta)
)

_names: Set[bytes] = set()
_forbidden: Optional["re.Pattern[bytes]"] = None


def forbid(names: FrozenSet[str]) -> None:
    """Take statements that name one of these functions for harmful from now on."""
    global _forbidden
    new = {name.encode().lower() for name in names} - _names
    if new:
        _names.update(new)
        words = b"|".join(map(re.escape, sorted(_names)))
        _forbidden = re.compile(rb"(?<![a-z0-9_])(?:%s)(?![a-z0-9_])" % words)
        _remembered.cache_clear()


def verb(query: bytes, standard: bool = False) -> Optional[bytes]:
    """Return what a harmless statement begins with, ``None`` for any other.

    :param query: what was sent.
    :param standard: whether ``standard_conforming_strings`` is known to be on.
    """
    read = _remembered if len(query) <= _SHORT else _read
    return read(query, standard)


def _read(query: bytes, standard: bool) -> Optional[bytes]:
    query = query.lower()
    match = _VERB.match(query)
    found = match.group(1) if match else None
    if found not in WRITES and (found not in _READS or _CREATES.search(query)):
        return None
    if not _is_one(query, standard) or _names_system(query):
        return None
    if _forbidden is not None and _forbidden.search(query):
        return None
    return found


# Most tests of a suite run the same statements as others do.
_remembered = functools.lru_cache(maxsize=1000)(_read)


def _is_one(query: bytes, standard: bool) -> bool:
    """Tell whether this is one statement, without anything in it that is hard to read."""
    if len(query) > _LONGEST:
        return False
    quoted = _QUOTED
    if b"\\" in query:
        if not standard:
            return False
        quoted = _QUOTED_WITH_BACKSLASHES
    code = quoted.sub(b"\0", query).rstrip(b"; \t\r\n")
    if b";" in code or len(code.translate(None, _UNREAD_BYTES)) < len(code):
        return False
    return not any(each in code for each in _UNREAD)


def _names_system(query: bytes) -> bool:
    suspect = b"pg_" in query or b"lo_" in query or b"setval" in query
    suspect = suspect or b"information_schema" in query
    return suspect and _SYSTEM.search(query) is not None


def all_quoted(rows: Any) -> bool:
    """Tell whether the driver quotes every value of the rows, none being put in as it is."""
    if not isinstance(rows, (list, tuple)):
        return False
    for row in rows:
        values = row.values() if isinstance(row, dict) else row
        if not isinstance(row, (dict, list, tuple)) or not _QUOTED_TYPES.issuperset(
            map(type, values)
        ):
            return False
    return True
