"""unittest mixins for suites that test against a real database.

``DatabaseTestCase`` is what most suites need. It is four mixins, each usable alone on any
``unittest.TestCase``: ``DatabaseMixin`` (a new database for every test), ``ObjectStateAssertions``,
``RowAssertions`` and ``QueryAssertions``.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from . import _compat
from .assertions import ObjectStateAssertions, QueryAssertions, RowAssertions
from .errors import (
    BlockedDatabaseError,
    ConfigurationError,
    DatabaseTestCaseError,
    ServerError,
    UnsafeDatabaseError,
    UnsupportedDatabaseError,
)
from .forbidding import allow_database_access, forbid_database_access
from .testcase import DatabaseMixin, DatabaseTestCase

if TYPE_CHECKING:
    from .server import temporary_postgresql

__all__ = [
    "BlockedDatabaseError",
    "ConfigurationError",
    "DatabaseMixin",
    "DatabaseTestCase",
    "DatabaseTestCaseError",
    "ObjectStateAssertions",
    "QueryAssertions",
    "RowAssertions",
    "ServerError",
    "UnsafeDatabaseError",
    "UnsupportedDatabaseError",
    "allow_database_access",
    "forbid_database_access",
    "temporary_postgresql",
]


_compat.watch_imports()

# Who starts a run asks for the report by the first; a process that it starts has the other one.
if os.environ.get("DBTESTCASE_REPORT") or os.environ.get("DBTESTCASE_REPORT_PARTS"):
    from . import report as _report  # noqa: F401


def __getattr__(name: str) -> Any:
    # Most suites bring their own server: what starts one is loaded when it is asked for.
    if name == "temporary_postgresql":
        from .server import temporary_postgresql

        return temporary_postgresql
    raise AttributeError("module %r has no attribute %r" % (__name__, name))
