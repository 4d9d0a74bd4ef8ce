"""What the rooms of the package hand to each other, written down.

A database that is reset is a :class:`Dialect`: a :class:`DialectKind` tells where an engine leads,
a :class:`ConnectedDatabase` has the connection that clears it, and the dialect itself empties,
remembers and restores it. What runs have beside it (who has it, its siblings) is a
:class:`Family`, and what is done beside any run is an :class:`Administration`; a database without
a server has neither. A :class:`ControlConnection` clears, and can tell who else is at work. What a
suite declares is a :class:`Target`.

``dialects/postgresql`` and ``dialects/sqlite`` keep these. Their classes are derived from them, so
that a type checker proves it, and what a contract does by itself need not be written again.
"""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Tuple

from .errors import UnsupportedDatabaseError

if TYPE_CHECKING:
    from typing import Protocol
else:
    Protocol = getattr(typing, "Protocol", object)  # it came with Python 3.8

Baseline = Any
"""What a dialect remembers of a database. Only the dialect that made it looks inside."""


class Identity(NamedTuple):
    """Which database a live connection leads to, as its server says."""

    key: Tuple[Any, ...]
    name: str
    place: str
    version: str
    private: bool = False  # in memory or a temporary file: gone with its connection
    template: bool = False  # new databases are copies of it

    @property
    def label(self) -> str:
        """The database as it is called in messages."""
        return '"%s" at %s' % (self.name, self.place)


# --- who else is at work in a database -----------------------------------------------------------


class Backend(NamedTuple):
    """One connection to a database, as its server sees it."""

    pid: int
    role: Optional[str]
    application: str
    address: Optional[str]
    port: Optional[int]
    state: Optional[str]  # None: this role may not know
    seconds: Optional[float]  # in that state
    waits_for: Optional[str]  # "Lock", "Client" and others; None: at work
    query: str
    blocked_by: List[int]  # pids; 0 stands for a prepared transaction
    held: List[str]  # names of relations
    wanted: List[str]  # names of relations whose lock it waits for


class Prepared(NamedTuple):
    """A transaction that was prepared (2PC) and neither committed nor ended."""

    gid: str
    role: str
    seconds: float
    held: List[str]


class InTheWay(NamedTuple):
    """What stands against a reset, and what does not but belongs to nobody if it is a test's."""

    pids: List[int]  # backends that it would wait for
    gids: List[str]  # names of prepared transactions
    readers: List[int]  # backends that have read tables: emptying these waits for nobody
    keepers: List[int]  # backends with the name of a test that hold advisory locks


class SessionSettings(Protocol):
    """The statements by which a session is settled for a test, and set back."""

    @property
    def discard(self) -> str:
        """The statement that gives back whatever a session holds beside its transaction."""

    def settle(self, name: str, milliseconds: int) -> str:
        """Return the query that gives a session a test's name and bound; its row is what it had."""

    def rename(self, name: str) -> str:
        """Return the statement that gives a settled session the name of another test."""

    def restore(self, before: Tuple[Any, ...]) -> str:
        """Return the statements that set back what :meth:`settle` found."""


class DatabaseSessions(Protocol):
    """Who else is at work in a database, as the connection that clears it can tell."""

    def in_the_way(self, exclusive: bool = False) -> InTheWay:
        """Return what is in the way of emptying or, if exclusive, of dropping."""

    def backends(self, pids: List[int]) -> List[Backend]:
        """Return what the server says about backends, the oldest transaction first."""

    def prepared_transactions(self) -> List[Prepared]:
        """Return the prepared transactions of this database, the oldest first."""

    def prepared_by(self, pids: List[int]) -> List[str]:
        """Return the names of what backends have prepared, and have done nothing since."""

    def rollback_prepared(self, gid: str) -> None:
        """End a prepared transaction of this database."""

    def advisory_holders(self) -> List[int]:
        """Return the pids of backends that hold an advisory lock of this database."""

    def terminate(self, pid: int, seconds: float) -> bool:
        """End another backend, if it is of the same role and in the same database; tell whether."""

    def connections(self) -> List[Tuple[int, str, str, str]]:
        """Return how many connections the server has, by database, role and application name."""


class ControlConnection(DatabaseSessions, Protocol):
    """The connection that clears a database, as the watch on connections uses it."""

    @property
    def pid(self) -> int:
        """The pid of its backend."""

    @property
    def settings(self) -> SessionSettings:
        """How sessions of its kind are settled for a test."""

    @property
    def dbapi(self) -> Any:
        """The driver's connection."""

    @property
    def location(self) -> Any:
        """Host, port and name of the database, as :func:`_compat.location` gives them."""

    @property
    def parts(self) -> Dict[str, Any]:
        """Where it leads, as parts of a URL without the password."""

    def beside(self, engine: Any) -> ControlConnection:
        """Return another connection of the kind, to the database of an engine."""

    def close(self) -> None:
        """Close the connection, if it is this process's to close."""


# --- a database that is reset --------------------------------------------------------------------


class DialectKind(Protocol):
    """A kind of database: where its engines lead, before anything is known to be for tests."""

    maintenance: Optional[str] = None
    """A database that every server has for work on others; ``None`` where there is no server."""

    @staticmethod
    def identify(engine: Any) -> Identity:
        """Ask a live connection of an engine where it leads; its URL is no witness."""

    @classmethod
    def identify_anew(cls, engine: Any) -> Identity:
        """Ask a new connection that no pool knows, where one can be made."""
        return cls.identify(engine)

    @staticmethod
    def would_create(engine: Any) -> Optional[Identity]:
        """Return what :meth:`identify` would say of a database that connecting would create."""
        return None

    @staticmethod
    def missing(engine: Any, error: BaseException) -> Optional[str]:
        """Return the name of an engine's database, if an attempt to connect says it is missing."""
        return None

    @classmethod
    def create_configured(
        cls, engine: Any, error: BaseException, allowed: Callable[[str], bool]
    ) -> Optional[str]:
        """Create the database of an engine, if that is all that is missing; return its name.

        :param error: what the attempt to connect said.
        :param allowed: tells whether a database of a name may be made.
        :raises ServerError: if the role may not create it.
        """
        return None

    @staticmethod
    def administer(engine: Any, database: Optional[str] = None) -> Administration:
        """Connect to the server of an engine for what is done beside a run.

        :param database: the database to connect to; by default, that of the engine.
        :raises Exception: the driver's own errors, as they come.
        """
        raise UnsupportedDatabaseError("%s has no server" % engine.dialect.name)

    @staticmethod
    def outer(engine: Any) -> OuterConnection:
        """Return a connection like those of an engine, for outer transactions."""


class ConnectedDatabase(Protocol):
    """One database that is for tests, and the connection that clears it."""

    identity: Identity
    control: Optional[ControlConnection] = None
    """The connection that clears; ``None`` where no server tells who is in the way."""
    lock_timeout: float
    """Seconds that clearing may wait for a lock."""

    def set_lock_timeout(self, seconds: float) -> None:
        """Bound the waits of what clears."""

    @property
    def alive(self) -> bool:
        """Whether what clears can still be used in this process."""

    @property
    def lost(self) -> bool:
        """Whether what clears was this process's and has ended."""
        return False

    def remember(self, lost: Any) -> None:
        """Go on with what the dialect object knew whose connection to this database was lost."""

    def close(self) -> None:
        """Close what clears, and leave the database to the next run."""


class Dialect(DialectKind, ConnectedDatabase, Protocol):
    """How one database is emptied, remembered and restored.

    :param engine: an engine on the database.
    :param identity: what :meth:`identify` said of it.
    :param lock_timeout: seconds that clearing may wait for a lock.
    :raises UnsafeDatabaseError: if the engine leads to another database by now.
    """

    def __init__(self, engine: Any, identity: Identity, lock_timeout: float) -> None: ...

    @property
    def family(self) -> Optional[Family]:
        """What runs have beside this database; ``None`` where no server tells runs apart."""
        return None

    @property
    def administration(self) -> Optional[Administration]:
        """What is done beside a run, over the connection that clears; ``None`` without a server."""
        return None

    def inventory(self) -> List[Tuple[str, str]]:
        """Return the kinds and names of what a drop would drop."""

    def drop_everything(self) -> List[Tuple[str, str]]:
        """Make the database empty; return the kinds and names of what it held.

        :raises ConfigurationError: if the role may not drop all of it.
        """

    def forget_connections(self, engines: Iterable[Any]) -> None:
        """Let the pools of engines start anew: what their connections remember is gone."""

    def take_baseline(self, schema: Optional[Baseline] = None) -> Baseline:
        """Remember the database as it is now.

        :param schema: an earlier base line, to share what is still the same.
        """

    def restore(self, baseline: Baseline, make_way: Callable[[], None]) -> Optional[str]:
        """Make the database equal to a base line, if only rows and sequences differ.

        :param make_way: called where others have a transaction open.
        :return: ``None`` when it is equal, else a sentence on what only a drop mends.
        """

    def dump(self) -> List[str]:
        """Return the lines of a dump of the database, for comparing."""

    def copier(self, engine: Any, name: str) -> Copier:
        """Return what copies this database to another one.

        :raises Exception: if it cannot be copied; the text says why.
        """


class Copier(Protocol):
    """What copies a database, to keep what a test has committed."""

    @property
    def pid(self) -> int:
        """The pid of the backend that copies; 0 where there is none."""

    def copy(self, test: str, base: str) -> List[str]:
        """Copy the database in place of an earlier copy of the same name.

        :param test: the test that the copy is kept of.
        :param base: the configured database.
        :return: how to get at the copy: where it is, without a password, and a command.
        """

    def close(self) -> None:
        """Close the connection that copied; the copy stays."""


class Savepoints(Protocol):
    """The statements by which commits and rollbacks of a test are led within its transaction."""

    def savepoint(self, name: str) -> None:
        """Set a savepoint."""

    def release(self, name: str) -> None:
        """Keep what was done since a savepoint."""

    def rollback_to(self, name: str, release: bool = False) -> None:
        """Undo what was done since a savepoint."""

    def commit_base(self, base: str) -> None:
        """Keep everything, as a commit does: what was deferred is checked now."""

    def definitions_changed(self) -> None:
        """Forget what was known of the constraints."""

    def check(self, base: str) -> None:
        """Check what is deferred, whatever of it is left."""


class OuterConnection(Savepoints, Protocol):
    """A connection like those of an engine, for one outer transaction after the other."""

    dbapi: Any  # the driver's connection
    driver: Any  # the driver's module
    info: Dict[str, Any]  # what listeners have noted on it
    fairy: Any  # SQLAlchemy's own handle on it, if a pool knows it
    kept: bool  # whether it stays open from test to test
    one_thread: bool  # whether only the thread that opened it may use it
    shown: Dict[str, Any]  # what users are told of it in place of what is so

    @property
    def alive(self) -> bool:
        """Whether the connection is open and belongs to this process."""

    @property
    def failed(self) -> bool:
        """Whether a statement failed and nothing else runs until it is undone."""

    def identity(self) -> Tuple[Any, ...]:
        """Return what sessions of two engines must have in common to be one session."""

    def begin(self, base: str, baseline: Baseline, state: Any, test: str, bound: float) -> bool:
        """Begin; tell whether all is as it was at the end of the transaction before.

        :param base: the name of the savepoint that always stands.
        :param baseline: the rows that the test starts with.
        :param state: what :meth:`finish` left, ``None`` if there was no transaction before.
        :param bound: seconds that statements may wait for a lock, 0 for no bound.
        """

    def commit(self, base: str) -> None:
        """Commit for real."""

    def finish(self, base: str) -> Tuple[bool, Any]:
        """Roll back; return whether anybody has committed, and the next :meth:`begin`'s state."""

    def escaped_tables(self, database: Any) -> List[str]:
        """Return the tables of a checked database that were written past the transaction."""

    def closed_error(self, test: str) -> Exception:
        """Return the driver's error for a connection that outlived its test."""

    def close(self) -> None:
        """Close the connection, or give it back as it was."""


# --- what is beside a run: other runs, siblings, copies ------------------------------------------


class Family(Protocol):
    """What concerns more than one run: who has a database, and its numbered siblings."""

    def claim(self, copier: int = 0) -> bool:
        """Take the database for this run until it ends; false where another run has it.

        :param copier: the backend by which this run itself has been copying it.
        """

    def holder(self) -> Optional[str]:
        """Return a line about the run that has the database."""

    def can_lead(self, engine: Any) -> bool:
        """Tell whether the connections of an engine can be led to another database."""

    def lead_here(self, engine: Any) -> Callable[[], None]:
        """Lead an engine's new connections to this database; return what takes it back."""

    def create_sibling(self, name: str) -> Optional[bool]:
        """Create a database like this one, if it is missing; tell whether that was needed.

        :return: ``None`` where it is missing and may not be made.
        """

    def sibling(self, engine: Any, name: str, created: bool) -> Any:
        """Return another database of the server; one just created gets this one's extensions."""

    def is_missing(self, error: BaseException, name: str) -> bool:
        """Tell whether an attempt to connect says that there is no database of a name."""

    def siblings(self) -> List[str]:
        """Return the names of this database and of its numbered siblings on the server."""

    def kept(self) -> List[str]:
        """Return the names of what is kept of failed tests of this database and its siblings."""


class Role(NamedTuple):
    """Who a connection is to the server, and what that role may do."""

    name: str
    superuser: bool
    createdb: bool
    owns_database: bool
    owns_public: bool


class Facts(NamedTuple):
    """What a database holds, what a reset would make of it, and who is at work there."""

    bytes: int
    would_drop: List[Tuple[str, str]]  # kinds and names
    cannot_drop: List[Tuple[str, str, str]]  # with the role that could
    extensions: Dict[str, str]  # they stay; names and versions
    claimed_by: Optional[str]  # a line about the run that has it
    sessions: List[Backend]
    in_the_way: List[int]  # pids of those that a reset would wait for
    prepared: List[Prepared]


class Member(NamedTuple):
    """A database or one of its siblings; the fields from ``pid`` on are of the run that has it."""

    name: str
    bytes: Optional[int]  # None: this role may not know
    sessions: int
    pid: Optional[int]  # None: no run has it
    application: Optional[str]
    address: Optional[str]
    seconds: Optional[float]


class Copy(NamedTuple):
    """One copy of a database, with what a test had committed that failed."""

    name: str
    test: str
    base: str  # the configured database that the test was run against
    since: str  # by the server's clock, as 2026-01-31 12:00 UTC
    bytes: Optional[int]  # None: this role may not know
    sessions: int


class Administration(Protocol):
    """A connection to a server for what is done beside a run: look, create, list, drop databases.

    It is not for clearing: what it drops, no run has, or nobody can miss.
    """

    control: ControlConnection

    @property
    def name(self) -> str:
        """The database that it is connected to, as the server calls it."""

    def role(self) -> Role:
        """Return the role of the connection and its rights."""

    def facts(self, ours: Iterable[Optional[int]] = ()) -> Facts:
        """Return what there is to know of the database; from now on, the server refuses changes.

        :param ours: pids of connections of this process, which are not counted.
        """

    def busy_databases(self) -> List[str]:
        """Return the names of the server's databases that somebody is connected to."""

    def ensure_database(self, name: str) -> bool:
        """Create a database where there is none of this name; tell whether it was created."""

    def members(self, base: str) -> List[Member]:
        """Return a configured database and the siblings of it that are there, by their numbers."""

    def drop_unused(self, name: str, base: str) -> Optional[str]:
        """Drop a sibling that no run has; return why it was left where it was."""

    def copies(self, base: str) -> List[Copy]:
        """Return what is kept of failed tests of a configured database."""

    def drop_copy(self, name: str, base: str) -> Optional[str]:
        """Drop what is kept of a test; return why it was left where it was."""

    def close(self) -> None:
        """Close the connection."""


# --- what a suite declares -----------------------------------------------------------------------


class Target(Protocol):
    """What a test runs against: the engines, tables and sessions that a suite names."""

    built: Any
    databases: List[Any]

    @property
    def engines(self) -> Dict[Optional[str], Any]:
        """The engines in use at this moment, by bind key (``None``: the default)."""

    def tables(self, key: Optional[str]) -> List[Any]:
        """Return the tables that are declared for a bind key."""

    def context(self) -> Any:
        """Return a context manager in which engines and sessions can be used."""

    def remove_session(self) -> None:
        """Remove the session of the present scope."""

    def commit_session(self) -> None:
        """Commit what was left pending in that session."""

    def refusal(self) -> Optional[str]:
        """Return why nothing of this target may be cleared, whatever the database, or ``None``."""

    def origin(self, key: Optional[str]) -> str:
        """Return which setting led to the engine of a bind key."""

    def on_close(self, undo: Callable[[], None]) -> None:
        """Have something done when the target is closed, the last first."""
