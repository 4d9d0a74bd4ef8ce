"""What is compared: ways to give each test a new database, and where each of them is written."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any, List, NamedTuple


class Subject(NamedTuple):
    """One way to give each test a new database."""

    key: str
    title: str
    place: str  # "module:class"
    commits: bool = True  # whether a test's rows are committed for real, for others to see
    compared: bool = True  # whether it is a way to reset at all

    def load(self) -> Any:
        """Import the test class; only the process that measures it does."""
        module, name = self.place.split(":")
        return getattr(importlib.import_module("benchmarks." + module), name)


OURS = "dbtestcase"
OURS_ROLLBACK = "dbtestcase-rollback"
PLAIN = "outer-transaction"
DROP_ALL = "drop-all"
NO_RESET = "no-reset"

SUBJECTS = [
    Subject(NO_RESET, "no reset at all", "recipes:NoReset", compared=False),
    Subject(PLAIN, "outer transaction, SQLAlchemy's recipe", "recipes:OuterTransaction", False),
    Subject("django-rollback", "Django TestCase", "with_django:Rollback", False),
    Subject(OURS_ROLLBACK, 'dbtestcase, reset = "rollback"', "ours:Rollback", False),
    Subject(OURS, 'dbtestcase, reset = "recreate"', "ours:Recreate"),
    Subject("delete", "DELETE from all tables", "recipes:DeleteAll"),
    Subject("truncate", "TRUNCATE of all tables", "recipes:TruncateAll"),
    Subject("django-flush", "Django TransactionTestCase", "with_django:Flush"),
    Subject("template", "CREATE DATABASE ... TEMPLATE", "recipes:FromTemplate"),
    Subject("drop-schema", "DROP SCHEMA CASCADE + create_all", "recipes:DropSchema"),
    Subject(DROP_ALL, "drop_all + create_all", "recipes:DropAll"),
    Subject("drop-everything", "DropEverything recipe + create_all", "recipes:DropEverything"),
]


def available() -> List[Subject]:
    """Return the subjects that can be measured here: Django need not be installed."""
    django = importlib.util.find_spec("django") is not None
    return [each for each in SUBJECTS if django or not each.place.startswith("with_django")]
