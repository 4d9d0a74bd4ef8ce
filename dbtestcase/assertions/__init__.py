"""Assertions about objects, rows and queries; each mixin works on any ``unittest.TestCase``."""

from .describe import count
from .queries import QueryAssertions
from .queries import listed as listed_query
from .queries import repeats as repeated_queries
from .recorder import QueryRecorder, RecordedQuery
from .rows import RowAssertions
from .states import ObjectStateAssertions

__all__ = [
    "ObjectStateAssertions",
    "QueryAssertions",
    "QueryRecorder",
    "RecordedQuery",
    "RowAssertions",
    "count",
    "listed_query",
    "repeated_queries",
]
