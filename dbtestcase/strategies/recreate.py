"""The verified reset: what drop and create would give, by the cheapest way that is proved right."""

from __future__ import annotations

import difflib
import os
from typing import Any, List

from .. import build, clearing
from ..errors import ConfigurationError, DatabaseTestCaseError
from . import Strategy

_MODES = ("verified", "always", "compare")
_MOST_LINES = 20  # of a difference


class RecreateStrategy(Strategy):
    """Empty what has rows if the catalog is as it was; drop and create everything if not."""

    def begin(self, case: Any, databases: List[Any]) -> None:
        """Make the databases equal to new ones with the first rows of the class.

        :param case: the test that is about to run.
        :param databases: the checked databases of the test.
        :raises DatabaseTestCaseError: if both ways were asked for and gave different databases.
        """
        mode = _mode_of(case)
        if mode == "always" or not _restored(case, databases):
            _recreate(case, databases)
        elif mode == "compare":
            _compare(case, databases)


def _mode_of(case: Any) -> str:
    mode = os.environ.get("DBTESTCASE_RECREATE") or case.recreate
    if mode not in _MODES:
        raise ConfigurationError(
            "%s.recreate is %r; it can be %s." % (type(case).__name__, mode, " or ".join(_MODES))
        )
    return str(mode)


def _restored(case: Any, databases: List[Any]) -> bool:
    return not any(clearing.restore(database, database.data, case) for database in databases)


def _recreate(case: Any, databases: List[Any]) -> None:
    build.forget(databases)
    case._dbtestcase_build(databases)


def _compare(case: Any, databases: List[Any]) -> None:
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
                % (database.name, clearing.name_of(case), "\n  ".join(differences[:_MOST_LINES]))
            )
