"""Runs tests so that what fails says what it saw: its outcome, its rows, its queries.

``runs.py`` runs a test and sees what becomes of it; ``kept_rows.py`` keeps what a failed test had
committed in a database of its own; ``shown_queries.py`` adds its queries to what its failure says.
"""

from .runs import CheckedRuns, wanted_of
from .shown_queries import keep as keep_queries

__all__ = ["CheckedRuns", "keep_queries", "wanted_of"]
