"""A PostgreSQL server that lives as long as the suite."""

from __future__ import annotations

import atexit
import os
import re
import sys
import threading
from typing import Any, Callable, Dict, Hashable, Mapping, NamedTuple, Optional, TextIO

from .. import _compat, where
from ..errors import ConfigurationError
from .private import PrivateServer
from .urls import VARIABLE, existing_url, private_url

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
            return existing_url(existing, chosen.database, drivername, DEFAULT_DATABASE)
        server = _private_server(chosen)
        return private_url(server.url(drivername, chosen.database or DEFAULT_DATABASE))


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


def _private_server(options: Options) -> PrivateServer:
    """Return the server for these options, started at the first call."""
    settings = {**FAST_SETTINGS, **options.settings}
    texts = tuple(sorted((name, str(value)) for name, value in settings.items()))
    key = (options.binaries, options.username, texts)
    if key not in _servers:
        _servers[key] = PrivateServer(options.binaries, settings, options.username)
    return _servers[key]


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


def _after_fork() -> None:
    """Leave the servers, in a forked child, to the parent; a lock held there is not ours."""
    global _lock
    _lock = threading.RLock()
    for server in _servers.values():
        server.disown()


atexit.register(stop_servers)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
