"""Clears SQLite databases, in files and in memory, and keeps the contract of a dialect.

``database.py``
    the dialect: a base line is a copy of the whole database; it has no server, so no siblings.
``outer.py``
    the outer transaction.
"""

from .database import SQLite

__all__ = ["SQLite"]
