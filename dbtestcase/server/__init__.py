"""Gives tests a PostgreSQL server: one of their own, or one that runs already.

``temporary.py``
    the URL of a database on it, for suites and for the command ``server``.
``private.py``
    a server of our own: started, guarded, and gone with this process.
"""

from .temporary import CONNECT_SECONDS, VARIABLE, serve, stop_servers, temporary_postgresql

__all__ = [
    "CONNECT_SECONDS",
    "VARIABLE",
    "serve",
    "stop_servers",
    "temporary_postgresql",
]
