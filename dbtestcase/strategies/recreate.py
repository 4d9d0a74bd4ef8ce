"""The verified reset: what drop and create would give, by the cheapest way that is proved right."""

from __future__ import annotations

import difflib
import weakref
from typing import Any, List

from .. import events, where
from ..databases import CheckedDatabase, forget_built, name_of, restore
from ..errors import ConfigurationError, DatabaseTestCaseError
from .contract import Strategy

_MODES = ("verified", "always", "compare")
_MOST_LINES = 20  # of a difference
_OFTEN = 5  # tests of a class in a row whose tables had to be made anew

_ALWAYS_CHANGED = """\
the tables of {0} were made anew for {1} tests in a row, as each test found them changed: {2}.
  If it is {0} itself that drops and creates them, leave that out: each test gets them as new
  anyway, and much faster where nothing changes them in between."""

# How many tests in a row found the tables changed, for each class.
_rebuilt: "weakref.WeakKeyDictionary[type, int]" = weakref.WeakKeyDictionary()


class RecreateStrategy(Strategy):
    """Empty what has rows if the catalog is as it was; drop and create everything if not."""

    def begin(self, case: Any, databases: List[CheckedDatabase]) -> None:
        """Make the databases equal to new ones with the first rows of the class.

        :param case: the test that is about to run.
        :param databases: the checked databases of the test.
        :raises DatabaseTestCaseError: if both ways were asked for and gave different databases.
        """
        mode = where.setting("DBTESTCASE_RECREATE") or case.recreate
        if mode not in _MODES:
            raise ConfigurationError(
                "%s.recreate is %r; it can be %s."
                % (type(case).__name__, mode, " or ".join(_MODES))
            )
        if mode == "always":
            _recreate(case, databases)
            return
        for database in databases:
            changed = restore(database, database.data, case)
            if changed is not None:
                _count_rebuilt(type(case), changed)
                _recreate(case, databases)
                return
        _rebuilt[type(case)] = 0
        if mode == "compare":
            _compare(case, databases)


def _count_rebuilt(case_class: type, changed: str) -> None:
    """Say so, once, when the tests of a class are slow for a reason that may be its own."""
    times = _rebuilt[case_class] = _rebuilt.get(case_class, 0) + 1
    if times == _OFTEN:
        events.say(_ALWAYS_CHANGED.format(case_class.__name__, times, changed))


def _recreate(case: Any, databases: List[CheckedDatabase]) -> None:
    forget_built(databases)
    case._dbtestcase_build(databases)


def _compare(case: Any, databases: List[CheckedDatabase]) -> None:
    """Drop and create after the verified reset, and compare what each of them gave."""
    verified = [database.dialect.dump() for database in databases]
    _recreate(case, databases)
    for database, before in zip(databases, verified):
        differences = [
            line
            for line in difflib.unified_diff(before, database.dialect.dump(), n=0, lineterm="")
            if not line.startswith(("---", "+++", "@@"))
        ]
        if differences:
            raise DatabaseTestCaseError(
                'the verified reset of "%s" for %s differs from drop and create (-/+ lines of their'
                " dumps). Please report this as an error of dbtestcase:\n  %s"
                % (database.name, name_of(case), "\n  ".join(differences[:_MOST_LINES]))
            )
