"""Assertions about objects, rows and queries; each mixin works on any ``unittest.TestCase``."""

from .queries import QueryAssertions
from .rows import RowAssertions
from .states import ObjectStateAssertions

__all__ = ["ObjectStateAssertions", "QueryAssertions", "RowAssertions"]
