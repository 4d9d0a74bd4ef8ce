"""What is different between databases: one module a dialect, and nothing else knows any SQL."""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple, Optional, Tuple

from ..errors import UnsupportedDatabaseError

SUPPORTED = {"postgresql": "postgresql", "sqlite": "sqlite"}


class Identity(NamedTuple):
    """Which database a live connection leads to, as its server says."""

    key: Tuple[Any, ...]
    name: str
    place: str
    version: str
    private: bool = False  # in memory or a temporary file: gone with its connection
    template: bool = False  # new databases are copies of it


def of_engine(engine: Any) -> Any:
    """Return the dialect class for an engine.

    :raises UnsupportedDatabaseError: for a database that cannot be reset; nothing was touched.
    """
    name = engine.dialect.name
    if name not in SUPPORTED:
        raise UnsupportedDatabaseError(
            "cannot reset a %s database (%r): dbtestcase knows %s. Nothing was touched."
            % (name, engine.url, " and ".join(sorted(SUPPORTED)))
        )
    module = importlib.import_module("." + SUPPORTED[name], __name__)
    return module.DIALECT


def describe(identity: Optional[Identity]) -> str:
    """Return a database as it is called in messages."""
    if identity is None:
        return "an unknown database"
    return '"%s" at %s' % (identity.name, identity.place)
