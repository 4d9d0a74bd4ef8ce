"""Assertions about objects, rows and queries; each mixin works on any ``unittest.TestCase``.

- ``states.py``: ``ObjectStateAssertions``, and how objects got into their states
- ``rows.py``: ``RowAssertions``; ``targets.py`` asks the database for them
- ``queries.py``: ``QueryAssertions``, and the recorder of queries that they and others use
- ``describe.py``: the words for values, rows and objects
"""

from .describe import count
from .queries import (
    QueryAssertions,
    QueryRecorder,
    RecordedQuery,
    listed_query,
    repeated_queries,
)
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
