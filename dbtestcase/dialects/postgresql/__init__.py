"""Clears PostgreSQL databases, and keeps the contract of a dialect; all its SQL is in here.

``database.py``
    the dialect: each member of the contract, and the room that does it.
``administration.py``
    what is done beside a run: look, create, list and drop databases.
``drop.py``
    drops everything that a database holds.
``reset/``
    what differs from a base line, and the way back.
``proof/``
    the proof that nobody has changed the catalog.
``catalog/``
    what is there, and what has changed.
``outer/``
    the outer transaction.
``claims/``
    which run has a database; siblings and copies.
``sessions/``
    the connection that clears, and everybody else's.
"""

from .database import PostgreSQL

__all__ = ["PostgreSQL"]
