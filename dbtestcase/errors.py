"""Defines every error that dbtestcase raises on purpose, and what the texts of errors share.

An error is said in full once. :data:`reported` remembers for whom, so that the next tests which
meet the same thing fail at once, with one line that refers to the first.
"""

from __future__ import annotations

import os
from typing import Any, Dict, Optional, Tuple, Type


class DatabaseTestCaseError(Exception):
    """The root of all errors of this package."""

    _dbtestcase_brief = False  # whether it refers to one that was said in full


class ConfigurationError(DatabaseTestCaseError):
    """The suite is set up in a way that cannot work; the text says what to change."""


class UnsafeDatabaseError(DatabaseTestCaseError):
    """The live connection leads to a database that is not known to be for tests."""


class UnsupportedDatabaseError(DatabaseTestCaseError):
    """The database is of a kind that cannot be reset; nothing was touched."""


class BlockedDatabaseError(DatabaseTestCaseError):
    """Something holds what the reset needs; the text names the holder."""


class ServerError(DatabaseTestCaseError):
    """A PostgreSQL server could not be found, started or reached."""


class Reported:
    """Remembers what was said in full, by what it is about, and for which test.

    It is for one process: one that is forked from it begins with nothing.
    """

    def __init__(self) -> None:
        self._process = os.getpid()
        self._entries: Dict[Any, Tuple[Any, str]] = {}

    def find(self, about: Any) -> Optional[Tuple[Any, str]]:
        """Return what was said in full about something, and for which test (or class).

        :param about: what it is about, as a database that another run has.
        """
        if self._process != os.getpid():
            self._process, self._entries = os.getpid(), {}
        return self._entries.get(about)

    def earlier(self, about: Any, what: Any = None) -> Optional[str]:
        """Return for which test (or class) the same was said, ``None`` if for none."""
        found = self.find(about)
        return found[1] if found is not None and found[0] == what else None

    def remember(self, about: Any, what: Any, owner: str) -> None:
        """Remember that something is said in full for a test (or class)."""
        self._entries[about] = (what, owner)

    def forget(self, about: Any) -> None:
        """Have it said in full the next time, as it is gone."""
        self._entries.pop(about, None)

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()


reported = Reported()


def brief(kind: Type[Exception], text: str, earlier: str) -> Exception:
    """Return an error of one line that refers to one which was said in full.

    :param text: what happened, and to which test and database.
    :param earlier: the test (or class) for which it was said.
    """
    error: Any = kind("%s, as said for %s." % (text, earlier))
    error._dbtestcase_brief = True
    return error  # type: ignore[no-any-return]


def is_brief(error: Any) -> bool:
    """Tell whether an error only refers to another one."""
    return bool(error._dbtestcase_brief)


def count(number: int, noun: str, plural: str = "") -> str:
    """Return a number of things: ``1 table``, ``3 indexes``, ``2 queries``.

    :param plural: the plural, where it is not made as in these.
    """
    if number == 1:
        return "1 " + noun
    if not plural:
        ending = "es" if noun.endswith(("s", "x")) else "ies" if noun.endswith("y") else "s"
        plural = (noun[:-1] if ending == "ies" else noun) + ending
    return "%d %s" % (number, plural)


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, its kind where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


for _error in list(DatabaseTestCaseError.__subclasses__()) + [DatabaseTestCaseError]:
    _error.__module__ = "dbtestcase"  # tracebacks show the public name
del _error
