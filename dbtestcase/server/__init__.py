"""A PostgreSQL server for the tests alone, or one that runs already."""

from .temporary import serve, stop_servers, temporary_postgresql
from .urls import CONNECT_SECONDS, VARIABLE

__all__ = [
    "CONNECT_SECONDS",
    "VARIABLE",
    "serve",
    "stop_servers",
    "temporary_postgresql",
]
