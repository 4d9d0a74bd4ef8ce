"""Keeps the contract of a dialect for SQLite: a reset copies the base line back over the database.

The backup interface carries everything that a file holds, so there is nothing to find out, drop
or empty: https://www.sqlite.org/backup.html
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sqlite3
import tempfile
from typing import Any, Callable, Iterable, Iterator, List, Optional, Set, Tuple

from ... import _compat, where
from ...contracts import Dialect, Identity, OuterConnection
from ...errors import BlockedDatabaseError, UnsafeDatabaseError, brief, reported
from .files import other_names
from .outer import SQLiteOuterConnection

_STILL_LOCKED = 'cannot clear "%s" for %s: another connection still has it locked'
_LOCKED = (5, 6)  # SQLITE_BUSY, SQLITE_LOCKED
_OK, _DENY, _PRAGMA = 0, 1, 19  # https://www.sqlite.org/c3ref/c_alter_table.html
_REFUSED_WRITES = ("attempt to write a readonly database", "not authorized")
_VERSION = "SQLite %s" % sqlite3.sqlite_version


_made_here: Set[Tuple[int, int]] = set()  # files that were empty when they were first opened


class Baseline:
    """A copy in memory of a whole database.

    :param source: the driver connection to copy from.
    """

    def __init__(self, source: Any) -> None:
        self.copy = sqlite3.connect(":memory:", check_same_thread=False)
        source.backup(self.copy)

    def __del__(self) -> None:
        self.copy.close()


class Copier:
    """Copies a database to a file: beside its own, or where temporary files are.

    :param identity: which database it is.
    :param connected: gives a context manager that lends a connection of the driver to it.
    :param name: what the file is called, without the ending.
    """

    pid = 0  # no backend does it

    def __init__(self, identity: Identity, connected: Callable[[], Any], name: str) -> None:
        folder = tempfile.gettempdir() if identity.private else identity.place
        ending = os.path.splitext(identity.name)[1] or ".db"
        self._connected = connected
        stem = os.path.splitext(identity.name)[0]
        name = name.replace(identity.name, stem, 1).replace(":", "")
        self._path = os.path.join(folder, name + ending)

    def copy(self, test: str, base: str) -> List[str]:
        """Copy the database in place of an earlier copy of this name.

        :param test: the test that the copy is kept of; its name is in the file's.
        :param base: the configured database; its name is in the file's, too.
        :return: how to get at the copy: its path, and a command.
        """
        with contextlib.suppress(FileNotFoundError):
            os.remove(self._path)
        with contextlib.closing(sqlite3.connect(self._path)) as copy:
            with self._connected() as connection:
                connection.backup(copy)
        return [self._path, "sqlite3 " + shlex.quote(self._path)]

    def close(self) -> None:
        """Do nothing: the file is closed."""


class SQLite(Dialect):
    """One SQLite database; a connection of its own to a file, the engine's one to memory.

    :param engine: an engine on the database.
    :param identity: what :meth:`identify` said of it.
    :param lock_timeout: seconds to wait for the locks of others.
    """

    def __init__(self, engine: Any, identity: Identity, lock_timeout: float) -> None:
        self.identity = identity
        self.lock_timeout = lock_timeout
        self._engine = engine
        self._process = os.getpid()
        self._fairy = None if identity.private else engine.pool.recreate().connect()
        self._file = _file_of(identity)
        # What the database is known to equal, and since which commit of another connection.
        self._equal_to: Tuple[Optional[Baseline], Optional[int]] = (None, None)
        self.found: Optional[List[Any]] = None
        if self._fairy is not None:
            found = _identity(engine, _compat.dbapi_connection(self._fairy))
            if found.key != identity.key:
                self.close()
                raise UnsafeDatabaseError(
                    "%r does not always lead to the same database: first to %s, then to %s. Nothing"
                    " was touched." % (engine, identity.label, found.label)
                )
        self.set_lock_timeout(lock_timeout)

    @staticmethod
    def identify(engine: Any) -> Identity:
        """Ask a live connection of the engine which file it has open."""
        fairy = engine.raw_connection()
        try:
            return _identity(engine, _compat.dbapi_connection(fairy))
        finally:
            fairy.close()

    @staticmethod
    def identify_connection(dbapi: Any, owner: Any) -> Identity:
        """Ask a driver's own connection which file it has open.

        A file that is empty is made by whoever has just connected: there is nothing to protect.
        """
        identity = _identity(owner, dbapi)
        file = _file_of(identity)
        if file is not None and not os.path.getsize(os.path.join(identity.place, identity.name)):
            _made_here.add(file)
        return identity._replace(private=True) if file in _made_here else identity

    @staticmethod
    def set_read_only(dbapi: Any, read_only: bool) -> bool:
        """Have a connection write to no file, or write again; return whether it was otherwise."""
        cursor = dbapi.cursor()
        cursor.execute("PRAGMA query_only")
        before = bool(cursor.fetchone()[0])
        if before == read_only:
            return False
        may_set = getattr(dbapi, "set_authorizer", lambda authorizer: None)
        may_set(_allow_all)
        cursor.execute("PRAGMA query_only = %d" % read_only)
        cursor.close()
        if read_only:
            may_set(_keep_read_only)
        return True

    @staticmethod
    def stop_writing(dbapi: Any) -> None:
        """Have a connection write no more, also in the transaction that it is in."""
        SQLite.set_read_only(dbapi, True)

    @staticmethod
    def is_refused_write(error: BaseException) -> bool:
        """Tell whether an error says that a connection may only read."""
        return any(text in str(error) for text in _REFUSED_WRITES)

    @staticmethod
    def would_create(engine: Any) -> Optional[Identity]:
        """Return what :meth:`identify` would say of a file that is not there yet."""
        path = str(engine.url.database or ":memory:")
        if path == ":memory:" or path.startswith("file:") or os.path.exists(path):
            return None
        return _identity_of(os.path.realpath(path))

    @staticmethod
    def outer(engine: Any) -> OuterConnection:
        """Return a connection of an engine for outer transactions."""
        return SQLiteOuterConnection(engine)

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
        if self.found is None:
            self.found = self.environment()
        dropped = self.inventory()
        self._equal_to = (None, None)
        with contextlib.closing(sqlite3.connect(":memory:")) as empty:
            self._replace(empty)
        if self.found is not None and self.give_back(self.found):
            raise self._locked_by_another()
        return dropped

    def environment(self) -> Optional[List[Any]]:
        """Return which file it is and its journal mode, which no copy of a database covers."""
        if self.identity.private or self._file is None:
            return None
        with self._connected() as connection:
            # A connection learns from the file what others have made of it when it reads it.
            connection.execute("PRAGMA schema_version").fetchone()
            mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
        # No other mode is the file's own: they last as long as a connection.
        return [list(self._file), "wal" if mode == "wal" else "delete"]

    def recorded(self, record: Any) -> Optional[List[Any]]:
        """Return an environment that was written down, if it was that of this very file."""
        now = self.environment()
        if now is None or not isinstance(record, list) or record not in _alternatives(now):
            return None
        return record

    def lacking(self, environment: List[Any]) -> List[str]:
        """Return the statement that gives an environment back."""
        same = self.environment() in (None, environment)
        return [] if same else ["PRAGMA journal_mode = %s" % environment[1]]

    def give_back(self, environment: List[Any]) -> List[str]:
        """Give an environment back, once no other connection has the file open."""
        deadline = where.now() + self.lock_timeout
        while True:
            needed = self.lacking(environment)
            if not needed or where.now() > deadline:
                return needed
            self._engine.dispose()  # what is idle in its pool has the file open
            with self._connected() as connection, contextlib.suppress(sqlite3.OperationalError):
                connection.rollback()
                connection.execute(needed[0]).fetchone()
            where.pause(0.02)

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

    def _locked_by_another(self) -> BlockedDatabaseError:
        return BlockedDatabaseError(
            'cannot clear "%s": another connection has had it locked for %.1f s. Find what'
            " has the file open (another process, or a transaction that was not ended)."
            % (self.identity.name, self.lock_timeout)
        )

    def _overwrite(self, connection: Any, source: Any) -> None:
        # Nothing tells who has the file locked, but whoever has committed since is somebody else.
        about, version = ("locked", self.identity.key), self._version(connection)
        earlier = reported.earlier(about, version)
        deadline = where.now() + (0 if earlier else self.lock_timeout)
        test = where.current_test() or "a class"

        def give_up(status: int, remaining: int, total: int) -> None:
            # The driver would try for ever while somebody else has the file locked.
            if status in _LOCKED and where.now() > deadline:
                if earlier:
                    text = _STILL_LOCKED % (self.identity.name, test)
                    raise brief(BlockedDatabaseError, text, earlier)
                reported.remember(about, version, test)
                raise self._locked_by_another()

        connection.rollback()
        _drop_temporary(connection)
        source.backup(connection, pages=-1, progress=give_up, sleep=0.02)
        reported.forget(about)


def _allow_all(*_: Any) -> int:
    return _OK  # before Python 3.11, nothing else takes an authorizer back


def _keep_read_only(action: int, name: Optional[str], value: Optional[str], *_: Any) -> int:
    """Refuse to set what keeps a connection from writing, and let everything else pass."""
    is_set = action == _PRAGMA and value is not None and (name or "").lower() == "query_only"
    return _DENY if is_set else _OK


def _alternatives(environment: List[Any]) -> List[List[Any]]:
    return [[environment[0], mode] for mode in ("wal", "delete")]


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
    folder, name = os.path.split(path)
    names, unknown = other_names(path)
    return Identity(
        ("sqlite", os.path.normcase(path)),
        name,
        folder,
        _VERSION,
        False,
        False,
        tuple(names),
        unknown,
    )


def _file_of(identity: Identity) -> Optional[Tuple[int, int]]:
    """Return what tells a file from another one that took its name."""
    if identity.private:
        return None
    try:
        status = os.stat(os.path.join(identity.place, identity.name))
    except OSError:
        return None
    return status.st_dev, status.st_ino
