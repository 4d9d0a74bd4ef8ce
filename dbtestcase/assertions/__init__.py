"""Holds the assertions about objects, rows and queries; each mixin fits any ``TestCase``.

- ``states.py``: ``ObjectStateAssertions``, and how objects got into their states
- ``rows.py``: ``RowAssertions``; ``targets.py`` asks the database for them
- ``queries.py``: ``QueryAssertions``, and the recorder of queries that they and others use
- ``describe.py``: values, rows and objects as failures show them
"""

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
    "listed_query",
    "repeated_queries",
]
