"""SQLite: a reset copies the pages of the base line back over the database.

The backup interface carries everything that a file holds, so there is nothing to find out, drop
or empty: https://www.sqlite.org/backup.html
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from typing import Any, Callable, Iterable, Iterator, List, Optional, Tuple

from ... import _compat, where
from ...contracts import Identity, OuterConnection
from ...errors import BlockedDatabaseError, UnsafeDatabaseError
from .copying import Copier
from .outer import SQLiteOuterConnection

_LOCKED = (5, 6)  # SQLITE_BUSY, SQLITE_LOCKED
_VERSION = "SQLite %s" % sqlite3.sqlite_version


class Baseline:
    """A copy in memory of a whole database.

    :param source: the driver connection to copy from.
    """

    def __init__(self, source: Any) -> None:
        self.copy = sqlite3.connect(":memory:", check_same_thread=False)
        source.backup(self.copy)

    def __del__(self) -> None:
        self.copy.close()


class SQLite:
    """One SQLite database; a connection of its own to a file, the engine's one to memory.

    :param engine: an engine on the database.
    :param identity: what :meth:`identify` said of it.
    :param lock_timeout: seconds to wait for the locks of others.
    """

    control = None  # nothing tells who has a file locked

    def __init__(self, engine: Any, identity: Identity, lock_timeout: float) -> None:
        self.identity = identity
        self.lock_timeout = lock_timeout
        self._engine = engine
        self._process = os.getpid()
        self._fairy = None if identity.private else engine.pool.recreate().connect()
        self._file = _file_of(identity)
        # What the database is known to equal, and since which commit of another connection.
        self._equal_to: Tuple[Optional[Baseline], Optional[int]] = (None, None)
        self._require_same_file()
        self.set_lock_timeout(lock_timeout)

    def _require_same_file(self) -> None:
        if self._fairy is None:
            return
        found = _identity(self._engine, _compat.dbapi_connection(self._fairy))
        if found.key != self.identity.key:
            self.close()
            raise UnsafeDatabaseError(
                "%r does not always lead to the same database: first to %s, then to %s. Nothing was"
                " touched." % (self._engine, self.identity.label, found.label)
            )

    @staticmethod
    def outer(engine: Any) -> OuterConnection:
        """Return a connection of an engine for outer transactions."""
        return SQLiteOuterConnection(engine)

    @staticmethod
    def identify(engine: Any) -> Identity:
        """Ask a live connection of the engine which file it has open."""
        fairy = engine.raw_connection()
        try:
            return _identity(engine, _compat.dbapi_connection(fairy))
        finally:
            fairy.close()

    def claim(self) -> bool:
        """Say that the database is this run's: a file has no server to ask who else has it."""
        return True

    @staticmethod
    def create_configured(engine: Any, error: BaseException, allowed: Any) -> Optional[str]:
        """Do nothing: connecting creates the file."""
        return None

    @staticmethod
    def missing(engine: Any) -> Optional[str]:
        """Return the path of an engine's file if it is not there: connecting would create it."""
        path = str(engine.url.database or ":memory:")
        if path == ":memory:" or path.startswith("file:") or os.path.exists(path):
            return None
        return os.path.realpath(path)

    @staticmethod
    def identity_of(path: str) -> Identity:
        """Return what :meth:`identify` will say of a file."""
        return _identity_of(os.path.realpath(path))

    def remember(self, lost: "SQLite") -> None:
        """Go on with what was found before the file was replaced: nothing is kept of it."""

    def set_lock_timeout(self, seconds: float) -> None:
        """Bound the waits for the locks of others."""
        self.lock_timeout = seconds
        if self._fairy is not None:
            # The driver's own wait, five seconds, comes on top of ours.
            _compat.dbapi_connection(self._fairy).execute("PRAGMA busy_timeout = 20")

    def forget_connections(self, engines: Iterable[Any]) -> None:
        """Let the pools start anew: a connection may have a file open that was deleted since."""
        if not self.identity.private:
            for engine in engines:
                engine.dispose()

    lost = False  # another file is another database

    @property
    def alive(self) -> bool:
        """Whether the file is still the one that was opened, and by this process."""
        return self._process == os.getpid() and self._file == _file_of(self.identity)

    def close(self) -> None:
        """Close the connection that is the object's own."""
        if self._fairy is not None and self._process == os.getpid():
            self._fairy.detach()  # closed, not pooled, when it is given back
            self._fairy.close()

    def drop_everything(self) -> List[Tuple[str, str]]:
        """Make the database empty; return the kinds and names of what it held."""
        dropped = self.inventory()
        self._equal_to = (None, None)
        with contextlib.closing(sqlite3.connect(":memory:")) as empty:
            self._replace(empty)
        return dropped

    def inventory(self) -> List[Tuple[str, str]]:
        """Return the kinds and names of what a reset would drop."""
        with self._connected() as connection:
            rows = connection.execute(
                "SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
            ).fetchall()
        return [(str(kind), str(name)) for kind, name in rows]

    def dump(self) -> List[str]:
        """Return the lines of a dump of the database, for comparing."""
        with self._connected() as connection:
            return list(connection.iterdump())

    def take_baseline(self, schema: Optional[Baseline] = None) -> Baseline:
        """Remember the whole database as it is now."""
        with self._connected() as connection:
            version = self._version(connection)
            baseline = Baseline(connection)
        self._equal_to = (baseline, version)
        return baseline

    def restore(self, baseline: Baseline, make_way: Callable[[], None]) -> Optional[str]:
        """Make the database equal to the base line; always possible, so there is no reason."""
        with self._connected() as connection:
            version = self._version(connection)
        if version is None or self._equal_to != (baseline, version):
            self._replace(baseline.copy)
            self._equal_to = (baseline, version)
        return None

    def copier(self, engine: Any, name: str) -> Copier:
        """Return what copies this database to a file of its own."""
        return Copier(self.identity, self._connected, name)

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Any]:
        """Lend the driver's connection: our own, or the only one of a database in memory."""
        if self._fairy is not None:
            yield _compat.dbapi_connection(self._fairy)
            return
        with contextlib.closing(self._engine.raw_connection()) as fairy:
            yield _compat.dbapi_connection(fairy)

    def _version(self, connection: Any) -> Optional[int]:
        """Return a number that changes with every commit of another connection.

        A database in memory has no other connection, so it has no such number.
        """
        if self.identity.private:
            return None
        return int(connection.execute("PRAGMA data_version").fetchone()[0])

    def _replace(self, source: Any) -> None:
        try:
            with self._connected() as connection:
                self._overwrite(connection, source)
        except sqlite3.OperationalError:
            if not self.identity.private:
                raise
            # Rows that a test left half-read bar the connection: have the pool open another one.
            self._engine.dispose()
            with self._connected() as connection:
                self._overwrite(connection, source)

    def _overwrite(self, connection: Any, source: Any) -> None:
        deadline = where.now() + self.lock_timeout

        def give_up(status: int, remaining: int, total: int) -> None:
            # The driver would try for ever while somebody else has the file locked.
            if status in _LOCKED and where.now() > deadline:
                raise BlockedDatabaseError(
                    'cannot clear "%s": another connection has had it locked for %.1f s. Find what'
                    " has the file open (another process, or a transaction that was not ended)."
                    % (self.identity.name, self.lock_timeout)
                )

        connection.rollback()
        _drop_temporary(connection)
        source.backup(connection, pages=-1, progress=give_up, sleep=0.02)


def _drop_temporary(connection: Any) -> None:
    """Drop what belongs to the connection alone, which no copy of a database covers."""
    rows = connection.execute("SELECT type, name FROM sqlite_temp_master").fetchall()
    for kind, name in rows:
        if kind in ("table", "view") and not name.startswith("sqlite_"):
            connection.execute('DROP %s temp."%s"' % (kind, name.replace('"', '""')))


def _identity(engine: Any, connection: Any) -> Identity:
    rows = connection.execute("PRAGMA database_list").fetchall()
    path = next(row[2] for row in rows if row[1] == "main")
    if not path:
        return Identity(("sqlite", id(engine)), ":memory:", "memory", _VERSION, private=True)
    return _identity_of(os.path.realpath(path))


def _identity_of(path: str) -> Identity:
    return Identity(("sqlite", path), os.path.basename(path), os.path.dirname(path), _VERSION)


def _file_of(identity: Identity) -> Optional[Tuple[int, int]]:
    """Return what tells a file from another one that took its name."""
    if identity.private:
        return None
    try:
        status = os.stat(os.path.join(identity.place, identity.name))
    except OSError:
        return None
    return status.st_dev, status.st_ino


DIALECT = SQLite
