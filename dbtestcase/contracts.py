"""What the rooms of the package hand to each other, written down.

A database that is reset is a :class:`Dialect`, made by a :class:`DialectKind`. What runs have
beside it (siblings, copies) is :class:`Family`, a contract of its own, which a database without a
server need not keep. A connection of its own clears it, :class:`ControlConnection`, and can tell
who else is at work there. What a suite declares is a :class:`Target`.

Whoever writes another dialect keeps these, as ``dialects/postgresql`` and ``dialects/sqlite`` do.
"""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Tuple

if TYPE_CHECKING:
    from typing import Protocol
else:
    Protocol = getattr(typing, "Protocol", object)  # it came with Python 3.8


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

    def bound(self, milliseconds: int, transaction: bool = False) -> str:
        """Return the query that bounds waits again, of a session or of its transaction alone."""

    def at_start(self, milliseconds: int) -> Dict[str, str]:
        """Return the settings with which a session starts that is bounded from its beginning."""

    def options(self, own: str, milliseconds: int) -> str:
        """Return what gives sessions this bound, beside the start options of the user's own."""

    def may_unbind(self, statement: str) -> bool:
        """Tell whether a statement may change the bound on a session's waits."""


class ControlConnection(Protocol):
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

    def beside(self, engine: Any) -> "ControlConnection":
        """Return another connection of the kind, to the database of an engine."""

    def close(self) -> None:
        """Close the connection, if it is this process's to close."""


# --- a database that is reset --------------------------------------------------------------------


class Dialect(Protocol):
    """One database that is for tests, and how it is emptied, remembered and restored."""

    identity: Identity
    control: Optional[ControlConnection]
    """The connection that clears; ``None`` where no server tells who is in the way."""

    @property
    def lock_timeout(self) -> float:
        """Seconds that clearing may wait for a lock."""

    def set_lock_timeout(self, seconds: float) -> None:
        """Bound the waits of what clears."""

    @property
    def alive(self) -> bool:
        """Whether what clears can still be used in this process."""

    @property
    def lost(self) -> bool:
        """Whether what clears was this process's and has ended."""

    def close(self) -> None:
        """Close what clears, and leave the database to the next run."""

    def remember(self, lost: Any) -> None:
        """Go on with what the dialect object knew whose connection to this database was lost."""

    def forget_connections(self, engines: Iterable[Any]) -> None:
        """Let the pools of engines start anew: what their connections remember is gone."""

    def inventory(self) -> List[Tuple[str, str]]:
        """Return the kinds and names of what a drop would drop."""

    def drop_everything(self) -> List[Tuple[str, str]]:
        """Make the database empty; return the kinds and names of what it held."""

    def take_baseline(self, schema: Any = None) -> Any:
        """Remember the database as it is now.

        :param schema: an earlier base line, to share what is still the same.
        """

    def restore(self, baseline: Any, make_way: Callable[[], None]) -> Optional[str]:
        """Make the database equal to a base line, if only rows and sequences differ.

        :param make_way: called where others have a transaction open.
        :return: ``None`` when it is equal, else a sentence on what only a drop mends.
        """

    def dump(self) -> List[str]:
        """Return the lines of a dump of the database, for comparing."""

    def outer(self, engine: Any) -> "OuterConnection":
        """Return a connection like those of an engine for outer transactions."""


class Family(Protocol):
    """What concerns more than one run: who has a database, its numbered siblings, its copies."""

    def claim(self, copier: int = 0) -> bool:
        """Take the database for this run until it ends; false where another run has it."""

    def holder(self) -> Optional[str]:
        """Return a line about the run that has the database."""

    def can_lead(self, engine: Any) -> bool:
        """Tell whether the connections of an engine can be led to another database."""

    def lead_here(self, engine: Any) -> Callable[[], None]:
        """Lead an engine's new connections to this database; return what takes it back."""

    def create_sibling(self, name: str) -> Optional[bool]:
        """Create a database like this one; ``None`` where it is missing and may not be made."""

    def sibling(self, engine: Any, name: str, created: bool) -> Any:
        """Return another database of the server; one just created gets this one's extensions."""

    def is_missing(self, error: BaseException, name: str) -> bool:
        """Tell whether an attempt to connect says that there is no database of a name."""

    def siblings(self) -> List[str]:
        """Return the names of this database and of its numbered siblings on the server."""

    def kept(self) -> List[str]:
        """Return the names of what is kept of failed tests of this database and its siblings."""

    def copier(self, engine: Any, name: str) -> Any:
        """Return what copies this database to another one."""


class DialectKind(Protocol):
    """A kind of database: what makes a :class:`Dialect` of an engine."""

    def __call__(self, engine: Any, identity: Identity, lock_timeout: float) -> Any:
        """Connect to the database of an engine, which was identified before."""

    def identify(self, engine: Any) -> Identity:
        """Ask a live connection of an engine where it leads; its URL is no witness."""

    def create_configured(
        self, engine: Any, error: BaseException, allowed: Callable[[str], bool]
    ) -> Optional[str]:
        """Create the database of an engine, if that is all that is missing; return its name."""


BASE_SAVEPOINT = "dbtestcase"
"""The savepoint at which an outer transaction begins; it stands where the last commit was."""


class OuterConnection(Protocol):
    """A connection like those of an engine, which never commits while a test runs.

    All engines of a database share it during an outer transaction. It can begin the next one after
    :meth:`finish` or :meth:`commit`.
    """

    dbapi: Any
    """The driver's connection."""
    driver: Any
    """The driver's module, with its errors."""
    info: Dict[Any, Any]
    """What the engine's listeners noted in the ``info`` of the connection."""
    shown: Dict[str, Any]
    """Attributes of the driver's connection that users are not to see as they are."""
    kept: bool
    """Whether it stays open for the next test."""
    one_thread: bool
    """Whether no other thread than the one that opened it is to use it."""

    @property
    def alive(self) -> bool:
        """Whether it is open, and this process may use it."""

    @property
    def aborted(self) -> Optional[Exception]:
        """What the server answers to every statement until one that failed is undone, if it does.

        ``None`` where statements run.
        """

    def identity(self) -> Tuple[Any, ...]:
        """Return what the connections of two engines must have in common to be one."""

    def begin(self, baseline: Any, state: Any, test: str, lock_timeout: float) -> bool:
        """Begin, and set the base savepoint.

        :param baseline: the rows that the test starts with, for what depends on them.
        :param state: what :meth:`finish` left, ``None`` if there was no transaction before.
        :param test: the name of the test.
        :param lock_timeout: seconds that statements may wait for a lock, 0 for no bound.
        :return: whether all is proved to be as it was at the end of the transaction before.
        """

    def savepoint(self, name: str) -> None:
        """Set a savepoint."""

    def release(self, name: str) -> None:
        """Keep what was done since a savepoint."""

    def rollback_to(self, name: str, release: bool = False) -> None:
        """Undo what was done since a savepoint; if release, the savepoint is gone as well."""

    def commit_base(self) -> None:
        """Move the base savepoint here, as by a commit: what was deferred is checked now.

        :raises Exception: the driver's IntegrityError; what it is about was undone.
        """

    def definitions_changed(self) -> None:
        """Forget what was known of the constraints: a statement may change them."""

    def violation(self) -> Optional[Exception]:
        """Return the driver's IntegrityError if a deferred constraint is violated."""

    def finish(self) -> Tuple[bool, Any]:
        """Roll everything back.

        :return: whether anybody committed anything since the beginning, by any connection, or it
            cannot be told; and the state for the next :meth:`begin`.
        """

    def commit(self) -> None:
        """Commit everything for real.

        :raises Exception: the driver's IntegrityError.
        """

    def escaped_tables(self, database: Any) -> List[str]:
        """Return the tables of a checked database that others committed to since the beginning."""

    def close(self) -> None:
        """Close the connection, or give it back as it was, if it is this process's to close."""

    def closed_error(self, test: str) -> Exception:
        """Return the driver's error for the use of a connection after its test."""


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
