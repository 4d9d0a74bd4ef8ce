"""PostgreSQL: how its databases are identified, emptied, remembered and restored."""

from __future__ import annotations

from typing import Any, Callable, Iterable, List, Optional, Tuple

from ... import _compat
from ...contracts import Identity, OuterConnection
from ...errors import ConfigurationError, ServerError, UnsafeDatabaseError
from .catalog.dump import dump
from .catalog.properties import properties, restore_properties
from .claims import claim as claiming
from .claims.copying import Copier, NotCopied
from .claims.databases import create_like, ensure_database, siblings
from .claims.kept import copies
from .drop import drop_everything, installed_extensions, inventory
from .outer import PostgreSQLOuterConnection
from .proof.ledger import COUNTING
from .reset.baseline import Baseline
from .sessions import identifying
from .sessions.control import Control

INSUFFICIENT_PRIVILEGE = "42501"
MAINTENANCE = "postgres"  # a database that servers have, for work on others

_MAY_NOT_CREATE = """\
the database "{0}" does not exist, and the role "{1}" may not create it. Nothing was touched.
  Let a role that may run: CREATE DATABASE "{0}" OWNER "{1}"
  or allow it to, once for all: ALTER ROLE "{1}" CREATEDB"""


class PostgreSQL:
    """One PostgreSQL database and the connection that clears it.

    :param engine: an engine on the database.
    :param identity: what :meth:`identify` said of it.
    :param lock_timeout: seconds that a statement may wait for a lock.
    """

    def __init__(self, engine: Any, identity: Identity, lock_timeout: float) -> None:
        self.identity = identity
        self._found: Any = None  # the extensions and properties before the first drop
        COUNTING.subscribe()
        self.control = Control(engine, lock_timeout)
        found = identifying.identity_of(self.control)
        if found.key != identity.key:
            self.close()
            raise UnsafeDatabaseError(
                "%r does not always lead to the same database: first to %s, then to %s. Nothing was"
                " touched." % (engine, identity.label, found.label)
            )

    @staticmethod
    def outer(engine: Any) -> OuterConnection:
        """Return a connection like those of an engine for outer transactions."""
        return PostgreSQLOuterConnection(engine)

    @staticmethod
    def identify(engine: Any) -> Identity:
        """Ask a live connection of the engine where it leads; its URL is no witness."""
        return identifying.identify(engine)

    @staticmethod
    def identify_anew(engine: Any) -> Identity:
        """Ask where a new connection leads, made beside the pool."""
        return identifying.identify_anew(engine)

    def remember(self, lost: "PostgreSQL") -> None:
        """Go on with what was found in this very database over a connection that was lost."""
        if lost.identity.key[-1] == self.identity.key[-1]:
            self._found = lost._found
            self.control.settings = lost.control.settings

    def claim(self, copier: int = 0) -> bool:
        """Take the database for this run until it ends; false where another run has it.

        :param copier: the backend by which this run itself has been copying it.
        """
        return claiming.claim(self.control, copier)

    def holder(self) -> Optional[str]:
        """Return a line about the run that has the database."""
        return claiming.holder(self.control)

    def can_lead(self, engine: Any) -> bool:
        """Tell whether the connections of an engine can be led to another database."""
        return claiming.can_lead(engine)

    def create_sibling(self, name: str) -> Optional[bool]:
        """Create a database like this one; ``None`` where it is missing and may not be made."""
        try:
            return create_like(self.control, name)
        except Exception as error:
            if _compat.sqlstate(error) == INSUFFICIENT_PRIVILEGE:
                return None
            raise

    @classmethod
    def create_configured(cls, engine: Any, error: BaseException, allowed: Any) -> Optional[str]:
        """Create the database that an engine is configured for, if that is all that is missing.

        :param error: what the attempt to connect said.
        :param allowed: tells whether a database of a name may be made.
        :return: the name of the created database, or ``None``.
        :raises ServerError: if the role may not create it.
        """
        name = cls.missing(engine, error)
        if name is None or not allowed(name):
            return None
        control = cls.beside(engine, MAINTENANCE)
        try:
            ensure_database(control, name)
        except Exception as refused:
            if _compat.sqlstate(refused) != INSUFFICIENT_PRIVILEGE:
                raise
            raise ServerError(_MAY_NOT_CREATE.format(name, control.parts["username"])) from refused
        finally:
            control.close()
        return name

    @staticmethod
    def missing(engine: Any, error: BaseException) -> Optional[str]:
        """Return the name of the database that an engine is configured for, if it is not there."""
        name = engine.url.database
        return str(name) if name and PostgreSQL.is_missing(error, name) else None

    @staticmethod
    def is_missing(error: BaseException, name: str) -> bool:
        """Tell whether an attempt to connect says that there is no database of a name."""
        # A driver has no code for an error at connecting; the server's own word is in the text.
        return 'database "%s" does not exist' % name in str(error)

    @staticmethod
    def beside(engine: Any, name: str) -> Control:
        """Return a connection to another database of an engine's server."""
        with claiming.leading_to(engine, name):
            return Control(engine)

    def sibling(self, engine: Any, name: str, created: bool) -> "PostgreSQL":
        """Return another database of the server; one just created gets this one's extensions."""
        with claiming.leading_to(engine, name):
            identity = self.identify_anew(engine)
            if identity.name != name:
                raise UnsafeDatabaseError(
                    'a connection to "%s" led to %s. Nothing was touched.' % (name, identity.label)
                )
            made = PostgreSQL(engine, identity, self.lock_timeout)
        if created:
            made._found = (installed_extensions(self.control), properties(made.control))
        return made

    def copier(self, engine: Any, name: str) -> Copier:
        """Return what copies this database to another one of the server.

        :raises NotCopied: if the connections of the engine cannot be led elsewhere.
        """
        if not self.can_lead(engine):
            raise NotCopied("a creator makes the connections of the engine: they lead nowhere else")
        control = self.beside(engine, MAINTENANCE)
        return Copier(control, self.control, self.identity.key[-1], name)

    def siblings(self) -> List[str]:
        """Return the names of this database and of its numbered siblings on the server."""
        return siblings(self.control, self.identity.name)

    def kept(self) -> List[str]:
        """Return the names of what is kept of failed tests of this database and its siblings."""
        return [each.name for each in copies(self.control, self.siblings())]

    def lead_here(self, engine: Any) -> Callable[[], None]:
        """Lead an engine's new connections to this database; return what takes it back."""
        return claiming.lead_to(engine, self.identity.name)

    @property
    def lock_timeout(self) -> float:
        """Seconds that a statement may wait for a lock."""
        return self.control.lock_timeout

    def set_lock_timeout(self, seconds: float) -> None:
        """Bound the waits of the control connection, where the bound has changed."""
        if seconds != self.control.lock_timeout:
            self.control.lock_timeout = seconds
            self.control.settle()

    def forget_connections(self, engines: Iterable[Any]) -> None:
        """Let the pools start anew: types and plans that connections remember are gone."""
        for engine in engines:
            engine.dispose()

    @property
    def alive(self) -> bool:
        """Whether the control connection can still be used in this process."""
        return self.control.alive

    @property
    def lost(self) -> bool:
        """Whether the control connection was this process's and has ended."""
        return self.control.lost

    def close(self) -> None:
        """Close the control connection, and leave the database to the next run at once."""
        if self.alive:
            claiming.release(self.control)
        self.control.close()

    def inventory(self) -> List[Tuple[str, str]]:
        """Return the kinds and names of what a reset would drop."""
        return inventory(self.control)

    def drop_everything(self) -> List[Tuple[str, str]]:
        """Drop what is not the system's or an extension's; return the kinds and names of it.

        The extensions and the database's own properties are put back as they were found first.

        :raises ConfigurationError: if the role may not drop or put back all of it.
        """
        if self._found is None:
            self._found = (installed_extensions(self.control), properties(self.control))
        extensions, recorded = self._found
        dropped = drop_everything(self.control, extensions=extensions)
        missing = restore_properties(self.control, recorded)
        if missing:
            raise ConfigurationError(
                'the database "%s" was changed in a way that its role may not undo: this is still'
                " missing: %s. Run it as a role that may."
                % (self.identity.name, "; ".join(missing))
            )
        return dropped

    def dump(self) -> List[str]:
        """Return the lines of a dump of the database, for comparing."""
        return dump(self.control.dbapi)

    def take_baseline(self, schema: Optional[Baseline] = None) -> Baseline:
        """Remember the catalog, the rows and the sequences as they are now."""
        return Baseline.take(self.control, schema=schema)

    def restore(self, baseline: Baseline, make_way: Callable[[], None]) -> Optional[str]:
        """Make rows and sequences equal to the base line; return what stands against it.

        :param make_way: called before where others have a transaction open.
        """
        return baseline.restore(self.control, make_way)


DIALECT = PostgreSQL
