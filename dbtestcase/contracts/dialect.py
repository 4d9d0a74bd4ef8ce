"""Says what a database is that can be reset, and what a kind of database is."""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING, Any, Callable, Iterable, List, NamedTuple, Optional, Tuple

from ..errors import UnsupportedDatabaseError
from .administration import Administration, Copier, Family
from .outer import OuterConnection
from .sessions import ControlConnection

if TYPE_CHECKING:
    from typing import Protocol
else:
    Protocol = getattr(typing, "Protocol", object)  # it came with Python 3.8


Baseline = Any
"""What a dialect remembers of a database. Only the dialect that made it looks inside."""

Environment = Any
"""What a drop leaves in place and gives back, such as settings of the database; fit for JSON."""


class Identity(NamedTuple):
    """Which database a live connection leads to, as its server says."""

    key: Tuple[Any, ...]
    name: str
    place: str
    version: str
    private: bool = False  # in memory or a temporary file: gone with its connection
    template: bool = False  # new databases are copies of it
    other_names: Tuple[str, ...] = ()  # of the same file, which has several
    unknown_names: int = 0  # how many more it has, in folders that nobody knows

    @property
    def label(self) -> str:
        """The database as it is called in messages."""
        return '"%s" at %s' % (self.name, self.place)


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
    def identify_connection(dbapi: Any, owner: Any) -> Identity:
        """Ask a driver's own connection, which is at rest, where it leads.

        :param owner: whose connection it is, which tells apart what is in memory.
        """

    @staticmethod
    def set_read_only(dbapi: Any, read_only: bool) -> bool:
        """Have a session write nothing from its next transaction on, or write again.

        :return: whether it was otherwise before.
        """

    @staticmethod
    def stop_writing(dbapi: Any) -> None:
        """Have the transaction that a connection is in write nothing more."""

    @staticmethod
    def is_refused_write(error: BaseException) -> bool:
        """Tell whether an error says that a session may only read."""

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

    found: Optional[Environment] = None
    """What a drop gives back: what it found the first time, unless it was told before."""

    def environment(self) -> Environment:
        """Return what a drop leaves in place, as it is now; ``None`` where that is nothing."""
        return None

    def recorded(self, record: Any) -> Optional[Environment]:
        """Return an environment that was written down, if it was that of this very database."""
        return None

    def lacking(self, environment: Environment) -> List[str]:
        """Return the statements that give an environment back; none where nothing differs."""
        return []

    def give_back(self, environment: Environment) -> List[str]:
        """Give an environment back at the end of a run; return the statements needed still.

        :raises Exception: the driver's error, if the connection is lost.
        """
        return []

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
