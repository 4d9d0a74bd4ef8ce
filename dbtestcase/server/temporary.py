"""Gives the URL of a PostgreSQL server for tests: one that runs already, or one of our own."""

from __future__ import annotations

import atexit
import os
import re
import sys
import threading
from typing import Any, Callable, Dict, Hashable, List, Mapping, NamedTuple, Optional, TextIO

import sqlalchemy as sa
from sqlalchemy.engine.url import URL, make_url
from sqlalchemy.pool import NullPool

from .. import _compat, dialects, where
from ..contracts import Administration
from ..errors import ConfigurationError, ServerError
from .private import PrivateServer

VARIABLE = "DBTESTCASE_POSTGRESQL_URL"
CONNECT_SECONDS = 4
DEFAULT_DATABASE = "test"
PARENT_SECONDS = 0.5  # between two looks at whether the parent of the command is still there

# A test server may lose everything in a power cut. Two-phase commit is on for suites that use it.
FAST_SETTINGS: Dict[str, object] = {
    "listen_addresses": "",
    "fsync": False,
    "full_page_writes": False,
    "synchronous_commit": False,
    "max_prepared_transactions": 10,
}
OWN_SETTINGS = ("data_directory", "port", "unix_socket_directories")


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


class Options(NamedTuple):
    """What :func:`temporary_postgresql` takes."""

    database: Optional[str] = None
    binaries: Optional[str] = None
    settings: Mapping[str, object] = {}
    username: str = "postgres"


_servers: Dict[Hashable, PrivateServer] = {}
_lock = threading.RLock()


def temporary_postgresql(**options: Any) -> str:
    """Return the URL of a database on a PostgreSQL server that lives as long as this process.

    When the environment variable ``DBTESTCASE_POSTGRESQL_URL`` names a server, that one is used
    and nothing is started. Else a private server is started, on a Unix socket that only this user
    (and root) can reach, and ended with this process, however that ends. Calls with the same
    options share one server; a forked child uses its parent's.

    :param database: name of the database in the URL, created when missing. Default: the one that
        the environment variable names, else ``"test"``.
    :param binaries: directory of ``initdb``, ``pg_ctl`` and ``postgres``. Default: the environment
        variable ``DBTESTCASE_POSTGRESQL_BIN``, ``PATH``, ``pg_config``, the usual places (newest
        version first), the package of the ``server`` extra.
    :param settings: mapping of settings for ``postgresql.conf``, over those that make a test
        server fast (``fsync`` and the like are off).
    :param username: name of the private server's superuser, ``"postgres"`` by default.
    :return: the URL; its driver is one that is installed.
    :raises ServerError: there are no binaries, the server does not start, or the one that the
        variable names does not answer within a few seconds.
    :raises ConfigurationError: an option, the variable or the drivers cannot be used.
    """
    chosen = _checked(options)
    drivername = _compat.postgresql_drivername()
    if drivername is None:
        raise ConfigurationError(
            "no driver for PostgreSQL can be imported.\n"
            "  Install one: pip install psycopg2-binary, or: pip install 'dbtestcase[postgresql]'"
        )
    existing = os.environ.get(VARIABLE)
    with _lock:
        if existing:
            return _existing_url(existing, chosen.database, drivername)
        settings = {**FAST_SETTINGS, **chosen.settings}
        texts = tuple(sorted((name, str(value)) for name, value in settings.items()))
        key = (chosen.binaries, chosen.username, texts)
        if key not in _servers:
            _servers[key] = PrivateServer(chosen.binaries, settings, chosen.username)
        url = _servers[key].url(drivername, chosen.database or DEFAULT_DATABASE)
        _create_database(make_url(url), ["postgres"], PRIVATE)
        return url


def serve(
    stream: Optional[TextIO] = None, shown: Callable[[str], str] = str, **options: Any
) -> int:
    """Print the URL of a temporary server and keep it until Ctrl-C or the end of our parent.

    :param stream: where the URL goes, standard output by default.
    :param shown: what makes the text to print of the URL.
    :param options: as for :func:`temporary_postgresql`, whose errors it raises.
    :return: the exit status for the command, 0.
    """
    parent = os.getppid()
    try:
        print(shown(temporary_postgresql(**options)), file=stream or sys.stdout, flush=True)
        while os.getppid() == parent:
            where.pause(PARENT_SECONDS)
    except KeyboardInterrupt:
        pass  # how it is meant to end
    finally:
        stop_servers()
    return 0


def stop_servers() -> None:
    """End every private server that this process started."""
    with _lock:
        while _servers:
            _servers.popitem()[1].stop()


def _checked(options: Dict[str, Any]) -> Options:
    unknown = sorted(set(options) - set(Options._fields))
    if unknown:
        raise ConfigurationError(
            "temporary_postgresql() has no option %s; its options are %s."
            % (", ".join(unknown), ", ".join(Options._fields))
        )
    chosen = Options(**{name: value for name, value in options.items() if value is not None})
    if chosen.database and re.search("[%?]", chosen.database):
        raise ConfigurationError(  # versions of SQLAlchemy read such a URL in different ways
            "temporary_postgresql(database=%r): a name with %% or ? cannot stand in a URL."
            % chosen.database
        )
    for name in chosen.settings:
        if name.lower() in OWN_SETTINGS or not re.match(r"[A-Za-z_][\w.]*\Z", name):
            raise ConfigurationError(
                "temporary_postgresql(settings=...) cannot set %r: it is no name of a setting,"
                " or one that the server chooses itself (%s)." % (name, ", ".join(OWN_SETTINGS))
            )
    return chosen


# --- the server's databases ----------------------------------------------------------------------


def _existing_url(text: str, database: Optional[str], drivername: str) -> str:
    """Return the URL of a server that runs already, once it has answered.

    :param text: the URL; a database in it is taken as it is.
    :param database: another database on that server, created when missing.
    :param drivername: what to write for a plain ``postgresql``, so that its driver is installed.
    """
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
    if url.drivername == "postgresql":
        url = _compat.url_with(url, drivername=drivername)
    own = url.database
    wanted = database or (None if own else DEFAULT_DATABASE)
    if wanted:
        url = _compat.url_with(url, database=wanted)
        _create_database(url, [own, "postgres", wanted], EXISTING)
    else:
        _connect(url, [own, "postgres"], EXISTING).close()
    return _compat.url_text(url)


def _create_database(url: URL, databases: List[Optional[str]], server: Server) -> None:
    connection = _connect(url, databases, server)
    try:
        connection.ensure_database(str(url.database))
    except Exception as error:
        raise ServerError(
            'cannot create the database "%s" on %s, %s: %s\n'
            "  Create it by hand, or connect as a role that may (CREATEDB)."
            % (url.database, server.words, _shown(url), str(error).strip())
        ) from None
    finally:
        connection.close()


def _connect(url: URL, databases: List[Optional[str]], server: Server) -> Administration:
    """Return a connection to the first of the databases that accepts one."""
    deadline = where.now() + CONNECT_SECONDS
    first = None
    limit = {"connect_timeout": CONNECT_SECONDS}
    for database in filter(None, databases):
        own = _compat.url_with(url, database=database)
        try:
            engine = sa.create_engine(own, poolclass=NullPool, connect_args=limit)
        except (ImportError, sa.exc.ArgumentError) as error:  # the latter for an unknown driver
            raise ConfigurationError("cannot use %s: %s" % (_shown(own), error)) from None
        try:
            return dialects.of_engine(engine).administer(engine)
        except Exception as error:  # every driver has its own
            first = first or error
        if where.now() > deadline:
            break  # a server that was silent will be silent again
    raise ServerError(
        "cannot reach %s, %s: %s\n  %s"
        % (server.words, _shown(url), str(first).strip(), server.remedy)
    )


def _shown(url: URL) -> str:
    """Return a URL for people: no password, not even in its query."""
    return re.sub(r"(?<=password=)[^&]*", "***", _compat.url_text(url, hide_password=True))


# --- the end of the process ----------------------------------------------------------------------


def _after_fork() -> None:
    """Leave the servers, in a forked child, to the parent; a lock held there is not ours."""
    global _lock
    _lock = threading.RLock()
    for server in _servers.values():
        server.disown()


atexit.register(stop_servers)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
