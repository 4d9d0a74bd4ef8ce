"""Keeps what is different between databases: all the SQL is in here, and nothing else knows any.

Each folder has a class that keeps :class:`dbtestcase.contracts.Dialect`: ``postgresql/`` for a
database of a server, ``sqlite/`` for a file or a database in memory, without siblings and copies
on a server. Only these modules import a folder, and only when a database of its kind is used.
"""

from __future__ import annotations

import functools
from typing import Any, Optional, Type

from .. import _compat
from ..contracts import Dialect
from ..errors import ConfigurationError, UnsupportedDatabaseError

__all__ = ["named", "of_engine", "unusable"]

_SUPPORTED = ("postgresql", "sqlite")


def of_engine(engine: Any) -> Type[Dialect]:
    """Return the dialect class for an engine.

    :raises UnsupportedDatabaseError: for a database that cannot be reset; nothing was touched.
    :raises ConfigurationError: for an engine of asyncio.
    """
    name = engine.dialect.name
    if name not in _SUPPORTED:
        raise _unsupported(name, engine.url)
    if getattr(engine.dialect, "is_async", False):
        raise _asynchronous(engine)
    return _dialect(name)


def named(name: Optional[str]) -> Optional[Type[Dialect]]:
    """Return the dialect class for a kind of database, ``None`` for one that cannot be reset."""
    return _dialect(name) if name in _SUPPORTED else None


@functools.lru_cache(maxsize=None)
def _dialect(name: str) -> Type[Dialect]:
    kind: Type[Dialect]  # assigned to, as then a type checker asks for a class without gaps
    if name == "postgresql":
        from .postgresql import PostgreSQL

        kind = PostgreSQL
    else:
        from .sqlite import SQLite

        kind = SQLite
    return kind


def unusable(url: Any, error: Exception) -> Exception:
    """Return the error for a URL that SQLAlchemy could not make an engine of.

    :param error: what it said: a missing driver or dialect.
    """
    name = url.get_backend_name()
    if name not in _SUPPORTED and name != "postgres":
        return _unsupported(name, url)
    advice = _compat.missing_driver(error) or "Install the driver that the URL asks for."
    if name == "postgres":
        advice = "Write postgresql:// for it, as SQLAlchemy wants from 1.4 on."
    return ConfigurationError(
        "no engine can be made for %s: %s: %s. %s"
        % (_compat.url_text(url, hide_password=True), type(error).__name__, error, advice)
    )


def _asynchronous(engine: Any) -> ConfigurationError:
    is_sqlite = engine.dialect.name == "sqlite"
    plain = "sqlite" if is_sqlite else _compat.postgresql_drivername() or "postgresql"
    instead = _compat.url_with(engine.url, drivername=plain)
    return ConfigurationError(
        "%s is an engine for asyncio. Test cases on such an engine are not supported yet. Nothing"
        " was touched.\n"
        "  Give the class a plain engine on the same database: %s\n"
        "  Beside it the code under test may go on to use engines for asyncio."
        % (
            _compat.url_text(engine.url, hide_password=True),
            _compat.url_text(instead, hide_password=True),
        )
    )


def _unsupported(name: str, url: Any) -> UnsupportedDatabaseError:
    return UnsupportedDatabaseError(
        "cannot reset a %s database (%s): dbtestcase knows %s. Nothing was touched."
        % (name, _compat.url_text(url, hide_password=True), " and ".join(_SUPPORTED))
    )
