"""What is different between databases: one module a dialect, and nothing else knows any SQL."""

from __future__ import annotations

import functools
import importlib
from typing import Any

from .. import _compat
from ..errors import ConfigurationError, UnsupportedDatabaseError

SUPPORTED = {"postgresql": "postgresql", "sqlite": "sqlite"}


def of_engine(engine: Any) -> Any:
    """Return the dialect class for an engine.

    :raises UnsupportedDatabaseError: for a database that cannot be reset; nothing was touched.
    """
    name = engine.dialect.name
    if name not in SUPPORTED:
        raise _unsupported(name, engine.url)
    return _dialect(SUPPORTED[name])


@functools.lru_cache(maxsize=None)
def _dialect(module: str) -> Any:
    return importlib.import_module("." + module, __name__).DIALECT


def unusable(url: Any, error: Exception) -> Exception:
    """Return the error for a URL that SQLAlchemy could not make an engine of.

    :param error: what it said: a missing driver or dialect.
    """
    name = url.get_backend_name()
    if name not in SUPPORTED and name != "postgres":
        return _unsupported(name, url)
    return ConfigurationError(
        "no engine can be made for %s: %s: %s. %s"
        % (
            _compat.url_text(url, hide_password=True),
            type(error).__name__,
            error,
            (
                "Write postgresql:// for it, as SQLAlchemy wants from 1.4 on."
                if name == "postgres"
                else _compat.missing_driver(error) or "Install the driver that the URL asks for."
            ),
        )
    )


def _unsupported(name: str, url: Any) -> UnsupportedDatabaseError:
    return UnsupportedDatabaseError(
        "cannot reset a %s database (%s): dbtestcase knows %s. Nothing was touched."
        % (name, _compat.url_text(url, hide_password=True), " and ".join(sorted(SUPPORTED)))
    )
