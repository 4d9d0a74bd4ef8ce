"""Reads functions of databases: what one may leave in a session, which no statement tells.

What is hard to read counts as what leaves something: that costs time, and nothing else.
"""

from __future__ import annotations

import re
from typing import FrozenSet, Iterable, NamedTuple, Set


class Lasting:
    """What functions may leave in a session, beside settings that they name."""

    ANY_SETTING, TEMPORARY, LISTENING = "any setting", "temporary", "listening"
    HELD, PREPARED, LOCKED = "held", "prepared", "locked"


class Left(NamedTuple):
    """What functions may leave in the sessions that call them."""

    settings: FrozenSet[str] = frozenset()  # the names of settings, as far as they tell them
    kinds: FrozenSet[str] = frozenset()  # some of those of Lasting

    def __or__(self, other: "Left") -> "Left":
        return Left(self.settings | other.settings, self.kinds | other.kinds)


_ARGUMENT = r"(?:[^()]|\((?:[^()]|\([^()]*\))*\))*"
_LEAVES = {
    Lasting.ANY_SETTING: r"""\breset\s+all\b | \bset\s+(?:session\s+)?[\w.]*(?:%%|'|\|\|)
        | \bset_config(?!\s*\(\s*'[^'%%]+'\s*,)(?!\s*\(%s,\s*true\s*\))"""
    % _ARGUMENT,
    Lasting.TEMPORARY: r"\btemp(?:orary)?\b | \bpg_temp",
    Lasting.LISTENING: r"\b(?:un)?listen\b",
    Lasting.HELD: r"\bwith\s+hold\b",
    Lasting.PREPARED: r"\b(?:prepare|deallocate)\b",
    Lasting.LOCKED: r"pg_(?:try_)?advisory_lock",
}
_FLAGS = re.IGNORECASE | re.VERBOSE
_LEFT_BY = {kind: re.compile(pattern, _FLAGS) for kind, pattern in _LEAVES.items()}
_ANYTHING = Left(kinds=frozenset(_LEAVES))
_SETS = re.compile(
    r"""\bset_config\s*\(\s*'(?P<named>[^'%%]+)'\s*,(?!%s,\s*true\s*\))
    | \b(?:re)?set\s+(?:session\s+)?"?(?P<set>(?!local\b)[a-z_][\w.]*)"?""" % _ARGUMENT,
    re.IGNORECASE | re.VERBOSE,
)
_EXECUTES = re.compile(r"\bexecute\s+(?:format\s*\(\s*)?(?P<what>\$\d+|\w+)", re.IGNORECASE)
# What SET calls otherwise than the settings are called.
_OTHER_NAMES = {
    "schema": ("search_path",),
    "time": ("timezone",),
    "names": ("client_encoding",),
    "characteristics": (
        "default_transaction_isolation",
        "default_transaction_read_only",
        "default_transaction_deferrable",
    ),
}


def read_function(source: str, arguments: Iterable[str] = ()) -> Left:
    """Return what a function may leave in a session, by the text of its body.

    What it sets for its transaction alone (``SET LOCAL``) does not count. A word that only looks
    like a setting, as in ``UPDATE orders SET total = 0``, is among the names.

    :param source: the body.
    :param arguments: the names of the function's arguments: whoever runs one runs anything.
    """
    given = {name.lower() for name in arguments}
    for match in _EXECUTES.finditer(source):
        what = match.group("what").lower()
        if what in given or what.startswith("$"):
            return _ANYTHING
    names: Set[str] = set()
    for match in _SETS.finditer(source):
        name = (match.group("named") or match.group("set")).lower()
        names.update(_OTHER_NAMES.get(name, (name,)))
    kinds = [kind for kind, pattern in _LEFT_BY.items() if pattern.search(source)]
    return Left(frozenset(names), frozenset(kinds))
