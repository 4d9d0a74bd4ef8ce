"""Assertions about objects, rows and queries; each mixin works on any ``unittest.TestCase``."""

from dbtestcase.assertions.queries import QueryAssertions
from dbtestcase.assertions.rows import RowAssertions
from dbtestcase.assertions.states import ObjectStateAssertions

__all__ = ["ObjectStateAssertions", "QueryAssertions", "RowAssertions"]
