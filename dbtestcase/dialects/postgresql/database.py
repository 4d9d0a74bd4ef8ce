"""Keeps the contract of a dialect for PostgreSQL: every member of it, each led to its room."""

from __future__ import annotations

import os
from typing import Any, Callable, Iterable, List, Optional, Tuple

from ... import _compat, connections, contracts
from ...contracts import Dialect, Identity, OuterConnection
from ...errors import ConfigurationError, ServerError, UnsafeDatabaseError
from . import claims, sessions
from .administration import Server
from .catalog import dump, restore_properties
from .drop import drop_everything, inventory
from .environment import Environment
from .outer import PostgreSQLOuterConnection
from .proof import COUNTING
from .reset import Baseline

_INSUFFICIENT_PRIVILEGE = "42501"
_READ_ONLY = "25006"

_MAY_NOT_CREATE = """\
the database "{0}" does not exist, and the role "{1}" may not create it. Nothing was touched.
  Let a role that may run: CREATE DATABASE "{0}" OWNER "{1}"
  or allow it to, once for all: ALTER ROLE "{1}" CREATEDB"""


class PostgreSQL(Dialect, contracts.Family):
    """One PostgreSQL database and the connection that clears it.

    :param engine: an engine on the database.
    :param identity: what :meth:`identify` said of it.
    :param lock_timeout: seconds that a statement may wait for a lock.
    """

    maintenance = "postgres"

    def __init__(self, engine: Any, identity: Identity, lock_timeout: float) -> None:
        self.identity = identity
        self.lock_timeout = lock_timeout
        self.found: Optional[Environment] = None
        COUNTING.subscribe()
        self.control: sessions.Control = sessions.connect(engine, identity, lock_timeout)

    # --- where an engine leads -------------------------------------------------------------------

    @staticmethod
    def identify(engine: Any) -> Identity:
        """Ask a live connection of the engine where it leads; its URL is no witness."""
        return sessions.identify(engine)

    @classmethod
    def identify_anew(cls, engine: Any) -> Identity:
        """Ask where a new connection leads, made beside the pool."""
        return sessions.identify_anew(engine)

    @staticmethod
    def identify_connection(dbapi: Any, owner: Any) -> Identity:
        """Ask a driver's own connection, which is at rest, where it leads."""
        return sessions.identify_connection(dbapi)

    @staticmethod
    def set_read_only(dbapi: Any, read_only: bool) -> bool:
        """Have a session write nothing, or write again; return whether it was otherwise."""
        return sessions.set_read_only(dbapi, read_only)

    @staticmethod
    def stop_writing(dbapi: Any) -> None:
        """Have the transaction that a connection is in write nothing more."""
        sessions.stop_writing(dbapi)

    @staticmethod
    def is_refused_write(error: BaseException) -> bool:
        """Tell whether an error says that a session may only read."""
        return _compat.sqlstate(error) == _READ_ONLY

    @staticmethod
    def missing(engine: Any, error: BaseException) -> Optional[str]:
        """Return the name of an engine's database, if an attempt to connect says it is missing."""
        name = engine.url.database
        return str(name) if name and PostgreSQL.is_missing(error, name) else None

    @staticmethod
    def is_missing(error: BaseException, name: str) -> bool:
        """Tell whether an attempt to connect says that there is no database of a name."""
        # A driver has no code for an error at connecting; the server's own word is in the text.
        return 'database "%s" does not exist' % name in str(error)

    @classmethod
    def create_configured(
        cls, engine: Any, error: BaseException, allowed: Callable[[str], bool]
    ) -> Optional[str]:
        """Create the database that an engine is configured for, if that is all that is missing.

        :raises ServerError: if the role may not create it.
        """
        name = cls.missing(engine, error)
        if name is None or not allowed(name):
            return None
        server = cls.administer(engine, cls.maintenance)
        try:
            server.ensure_database(name)
        except Exception as refused:
            if _compat.sqlstate(refused) != _INSUFFICIENT_PRIVILEGE:
                raise
            role = server.control.parts["username"]
            raise ServerError(_MAY_NOT_CREATE.format(name, role)) from None
        finally:
            server.close()
        return name

    @staticmethod
    def administer(engine: Any, database: Optional[str] = None) -> Server:
        """Connect to the server of an engine, for what is done beside a run."""
        if database is None:
            return Server(sessions.Control(engine))
        with claims.leading_to(engine, database):
            return Server(sessions.Control(engine))

    @staticmethod
    def outer(engine: Any) -> OuterConnection:
        """Return a connection like those of an engine for outer transactions."""
        return PostgreSQLOuterConnection(engine)

    # --- the connection that clears --------------------------------------------------------------

    def set_lock_timeout(self, seconds: float) -> None:
        """Bound the waits of the control connection."""
        self.lock_timeout = self.control.lock_timeout = seconds
        self.control.settle()

    @property
    def alive(self) -> bool:
        """Whether the control connection is open, and this process's, not of one that forked."""
        return self.control.process == os.getpid() and not self.control.dbapi.closed

    @property
    def lost(self) -> bool:
        """Whether the control connection was this process's and has ended."""
        return self.control.process == os.getpid() and bool(self.control.dbapi.closed)

    def remember(self, lost: "PostgreSQL") -> None:
        """Go on with what was found in this very database over a connection that was lost."""
        if lost.identity.key[-1] == self.identity.key[-1]:
            self.found = lost.found
            self.control.settings = lost.control.settings
            connections.server_restarted(lost.identity.key[1], self.identity.key[1])

    def close(self) -> None:
        """Close the control connection, and leave the database to the next run at once."""
        if self.alive:
            claims.release(self.control)
        self.control.close()

    # --- how it is emptied, remembered and restored ----------------------------------------------

    def inventory(self) -> List[Tuple[str, str]]:
        """Return the kinds and names of what a reset would drop."""
        return inventory(self.control)

    def drop_everything(self) -> List[Tuple[str, str]]:
        """Drop what is not the system's or an extension's; return the kinds and names of it.

        The extensions and the database's own properties are put back as they were found first.

        :raises ConfigurationError: if the role may not drop or put back all of it.
        """
        if self.found is None:
            self.found = Environment.look(self.control)
        dropped = drop_everything(self.control, extensions=self.found.extensions)
        missing = restore_properties(self.control, self.found.properties)
        if missing:
            raise ConfigurationError(
                'the database "%s" was changed in a way that its role may not undo: this is still'
                " missing: %s. Run it as a role that may."
                % (self.identity.name, "; ".join(missing))
            )
        return dropped

    def environment(self) -> Environment:
        """Return the extensions and the database's own properties, as they are now."""
        return Environment.look(self.control)

    def recorded(self, record: Any) -> Optional[Environment]:
        """Return an environment that was written down, if it was that of this very database."""
        return Environment.recorded(self.control, record)

    def lacking(self, environment: Environment) -> List[str]:
        """Return the statements that give an environment back."""
        return environment.lacking(self.control)

    def give_back(self, environment: Environment) -> List[str]:
        """Give an environment back; return the statements that are needed still."""
        try:
            return environment.give_back(self.control)
        except Exception:
            if self.lost:
                raise
            return environment.lacking(self.control)  # a lock was not to be had in time

    def forget_connections(self, engines: Iterable[Any]) -> None:
        """Let the pools start anew: types and plans that connections remember are gone."""
        for engine in engines:
            engine.dispose()

    def take_baseline(self, schema: Optional[Baseline] = None) -> Baseline:
        """Remember the catalog, the rows and the sequences as they are now."""
        return Baseline.take(self.control, schema=schema)

    def restore(self, baseline: Baseline, make_way: Callable[[], None]) -> Optional[str]:
        """Make rows and sequences equal to the base line; return what stands against it."""
        return baseline.restore(self.control, make_way)

    def dump(self) -> List[str]:
        """Return the lines of a dump of the database, for comparing."""
        return dump(self.control.dbapi)

    def copier(self, engine: Any, name: str) -> claims.Copier:
        """Return what copies this database to another one of the server.

        :raises NotCopied: if the connections of the engine cannot be led elsewhere.
        """
        if not self.can_lead(engine):
            raise claims.NotCopied(
                "a creator makes the connections of the engine: they lead nowhere else"
            )
        control = self.administer(engine, self.maintenance).control
        return claims.Copier(control, self.control, self.identity.key[-1], name)

    # --- what runs have beside it ----------------------------------------------------------------

    @property
    def family(self) -> "PostgreSQL":
        """This very object tells runs apart and knows the siblings."""
        return self

    @property
    def administration(self) -> Server:
        """What is done beside a run, over the control connection."""
        return Server(self.control)

    def claim(self, copier: int = 0) -> bool:
        """Take the database for this run until it ends; false where another run has it."""
        return claims.claim(self.control, copier)

    def holder(self) -> Optional[str]:
        """Return a line about the run that has the database."""
        return claims.holder(self.control)

    def can_lead(self, engine: Any) -> bool:
        """Tell whether the connections of an engine can be led to another database."""
        return claims.can_lead(engine)

    def lead_here(self, taken: Identity) -> None:
        """Have this process's new connections to a database of the server lead to this one."""
        connections.lead(taken.name, sessions.WHICH, sessions.answer_of(taken), self.identity.name)

    def create_sibling(self, name: str) -> Optional[bool]:
        """Create a database like this one; ``None`` where it is missing and may not be made."""
        try:
            environment = self.found or self.environment()
            return claims.create_like(self.control, name, environment.properties)
        except Exception as error:
            if _compat.sqlstate(error) == _INSUFFICIENT_PRIVILEGE:
                return None
            raise

    def sibling(self, engine: Any, name: str, created: bool) -> "PostgreSQL":
        """Return another database of the server; one just created gets this one's extensions."""
        with claims.leading_to(engine, name):
            identity = self.identify_anew(engine)
            if identity.name != name:
                raise UnsafeDatabaseError(
                    'a connection to "%s" led to %s. Nothing was touched.' % (name, identity.label)
                )
            made = PostgreSQL(engine, identity, self.lock_timeout)
        if created:
            extensions = (self.found or self.environment()).extensions
            made.found = made.environment()._replace(extensions=extensions)
        return made

    def siblings(self) -> List[str]:
        """Return the names of this database and of its numbered siblings on the server."""
        return claims.siblings(self.control, self.identity.name)

    def kept(self) -> List[str]:
        """Return the names of what is kept of failed tests of this database and its siblings."""
        return [each.name for each in claims.copies(self.control, self.siblings())]
