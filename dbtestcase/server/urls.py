"""Reach a PostgreSQL server by its URL, and make the database in it."""

from __future__ import annotations

import re
from typing import Any, List, NamedTuple, Optional

import sqlalchemy as sa
from sqlalchemy.engine.url import URL, make_url
from sqlalchemy.pool import NullPool

from .. import _compat, where
from ..dialects.postgresql.claims.databases import ensure_database
from ..dialects.postgresql.sessions.control import Control
from ..errors import ConfigurationError, ServerError

VARIABLE = "DBTESTCASE_POSTGRESQL_URL"
CONNECT_SECONDS = 4


class Server(NamedTuple):
    """How an error names a server, and what to do when it does not answer."""

    words: str
    remedy: str


EXISTING = Server(
    "the PostgreSQL server that %s names" % VARIABLE,
    "Start that server, or correct the variable, or unset it: a private server is started then.",
)
PRIVATE = Server(
    "the private PostgreSQL server of this process",
    "It has ended since it was started, or its settings let nobody in.",
)


def private_url(text: str) -> str:
    """Create the database of a URL on a private server where it is missing; return the URL."""
    _create_database(make_url(text), ["postgres"], PRIVATE)
    return text


def existing_url(text: str, database: Optional[str], drivername: str, default: str) -> str:
    """Return the URL of a server that runs already, once it has answered.

    :param text: the URL; a database in it is taken as it is.
    :param database: another database on that server, created when missing.
    :param drivername: what to write for a plain ``postgresql``, so that its driver is installed.
    :param default: the database where neither of them names one.
    """
    url = _parsed(text)
    own = url.database
    wanted = database or (None if own else default)
    if url.drivername == "postgresql":
        url = _compat.url_with(url, drivername=drivername)
    if wanted:
        url = _compat.url_with(url, database=wanted)
        _create_database(url, [own, "postgres", wanted], EXISTING)
    else:
        _connect(url, [own, "postgres"], EXISTING).close()
    return _compat.url_text(url)


def _parsed(text: str) -> URL:
    example = "postgresql://user:password@host/database"
    try:
        url = make_url(text)
    except (sa.exc.ArgumentError, ValueError):
        # the text of the error, and the value itself, may show a password
        raise ConfigurationError("%s is not a URL such as %s." % (VARIABLE, example)) from None
    if url.drivername.split("+")[0] != "postgresql":
        raise ConfigurationError(
            "%s does not name a PostgreSQL server: %s\n  Write it like %s."
            % (VARIABLE, _shown(url), example)
        )
    return url


def _create_database(url: URL, databases: List[Optional[str]], server: Server) -> None:
    control = _connect(url, databases, server)
    try:
        ensure_database(control, str(url.database))
    except Exception as error:
        raise ServerError(
            'cannot create the database "%s" on %s, %s: %s\n'
            "  Create it by hand, or connect as a role that may (CREATEDB)."
            % (url.database, server.words, _shown(url), str(error).strip())
        ) from None
    finally:
        control.close()


def _connect(url: URL, databases: List[Optional[str]], server: Server) -> Control:
    """Return a connection to the first of the databases that accepts one."""
    deadline = where.now() + CONNECT_SECONDS
    first = None
    for database in filter(None, databases):
        engine = _engine(_compat.url_with(url, database=database))
        try:
            return Control(engine)
        except Exception as error:  # every driver has its own
            first = first or error
        if where.now() > deadline:
            break  # a server that was silent will be silent again
    raise ServerError(
        "cannot reach %s, %s: %s\n  %s"
        % (server.words, _shown(url), str(first).strip(), server.remedy)
    )


def _engine(url: URL) -> Any:
    limit = {"connect_timeout": CONNECT_SECONDS}
    try:
        return sa.create_engine(url, poolclass=NullPool, connect_args=limit)
    except (ImportError, sa.exc.ArgumentError) as error:  # the latter for an unknown driver
        raise ConfigurationError("cannot use %s: %s" % (_shown(url), error)) from None


def _shown(url: URL) -> str:
    """Return a URL for people: no password, not even in its query."""
    return re.sub(r"(?<=password=)[^&]*", "***", _compat.url_text(url, hide_password=True))
