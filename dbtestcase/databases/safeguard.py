"""Checks that databases are for tests; the only maker of the handle that strategies accept.

Every engine's live connection is asked where it leads, before anything is dropped or emptied.
"""

from __future__ import annotations

import contextlib
import weakref
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Tuple, Type

from .. import _compat, dialects, events, where
from ..connections import is_full
from ..contracts import Dialect, Identity, Target
from ..errors import (
    DatabaseTestCaseError,
    UnsafeDatabaseError,
    UnsupportedDatabaseError,
    brief,
    first_line,
    reported,
)
from . import claims, following, guard
from .announce import announce
from .environment import Watched
from .verdicts import (
    NO_CONNECTION,
    REFUSED,
    class_of,
    is_test_name,
    refusal,
    refusal_text,
    unreachable,
)


class CheckedDatabase:
    """A database that passed the check: the handle without which nothing is cleared.

    :func:`check` makes them and nothing else does; there is one for each physical database.
    """

    def __init__(self, dialect: Dialect, base: str) -> None:
        self.dialect = dialect
        self.base = base  # the configured database, of which it may be a sibling
        self.watched = Watched(dialect)
        self.engines: List[Any] = []
        self.built_for: Optional[int] = None  # the target that it was last built for
        self.schema_key: Optional[Tuple[Any, ...]] = None  # what its tables were made from
        self.schema: Any = None  # the base line after create_tables()
        self.data_key: Optional[Tuple[Any, ...]] = None  # what its rows were made by
        self.data: Any = None  # the base line after load_data()
        self.blocked = False  # whether the last reset met a lock that was in the way

    @property
    def name(self) -> str:
        """The name that the server gives for it."""
        return str(self.dialect.identity.name)

    def forget(self) -> None:
        """Have it built anew the next time, as it is not what was remembered."""
        self.built_for = self.schema_key = self.data_key = None

    def __repr__(self) -> str:
        return "<CheckedDatabase %s>" % self.dialect.identity.label


_TAKEN_MEANWHILE = (
    "it had this very one, and lost the connection by which it had it.\n"
    "  Did somebody end that connection, or start the server anew?"
)

_TO_CONNECT, _TO_CONNECT_AGAIN = 4, 2  # seconds, of which libpq takes two at least
_TRY_AGAIN = 5.0  # seconds after which a class tries once more to reach a server


class _Attempt(NamedTuple):
    """The last attempt to reach a server, which failed."""

    by: Optional[str]  # the class that does not try again at once
    when: float  # of where.now()
    kind: Type[Exception]


_databases: Dict[Tuple[Any, ...], CheckedDatabase] = {}
# Where an engine led when last asked: with its URL, since an engine's URL can be replaced.
_known: "weakref.WeakKeyDictionary[Any, Tuple[Any, Identity]]" = weakref.WeakKeyDictionary()


def check(
    target: Target, owner: str, allowed: Iterable[str] = (), lock_timeout: float = 5.0
) -> List[CheckedDatabase]:
    """Ask every engine's live connection where it leads, and refuse what is not for tests.

    :param target: what the test runs against.
    :param owner: the class (and test) on whose behalf, for messages.
    :param allowed: exact names that are allowed although they have no word ``test``.
    :param lock_timeout: seconds that clearing may wait for a lock.
    :return: one handle for each physical database; several engines may lead to one.
    :raises UnsafeDatabaseError: before anything was touched, if any database is refused.
    :raises UnsupportedDatabaseError: if any engine is of a kind that cannot be reset.
    :raises ServerError: if a server cannot be reached.
    """
    engines, names = target.engines, tuple(allowed)
    guard.begin_check(names)
    for engine in engines.values():
        if engine not in _known:
            dialects.of_engine(engine)  # raises for any of a kind that cannot be reset
    identities = {}
    for key, engine in engines.items():
        identity = identities[key] = _identify(engine, owner, names, target.origin, key)
        reason = target.refusal() or refusal(identity, names)
        if reason:
            raise _refused(owner, identity, key, target, engine, reason)
    databases: List[CheckedDatabase] = []
    for key, engine in engines.items():
        identity = identities[key]
        database = _databases.get(identity.key)
        if database is None or not database.dialect.alive:
            try:
                database = _claimed(engine, identity, database, lock_timeout, owner)
            except Exception as error:
                if is_full(error):  # the connection that clears was one too many
                    raise _no_connection(error, engine, owner, target.origin(key)) from None
                raise
        if lock_timeout != database.dialect.lock_timeout:
            database.dialect.set_lock_timeout(lock_timeout)
        if database.base != database.name and engine.url.database != database.name:
            following.follow(engine, database.dialect, database.base, target, identity, owner)
        if database not in databases:
            database.engines = []
            databases.append(database)
        database.engines.append(engine)
    guard.checked(databases)
    return databases


def is_beside_for_tests(engine: Any, allowed: Tuple[str, ...]) -> bool:
    """Tell whether an engine that no class declares leads to a database that is for tests.

    Where its URL says that it does not, nothing connects to it.

    :param allowed: exact names that are allowed although they have no word ``test``.
    """
    named = str(engine.url.database or "").replace("\\", "/").rpartition("/")[2]
    is_named = named in allowed or is_test_name(named.rpartition(".")[0] or named)
    if getattr(engine.dialect, "is_async", False):
        return is_named
    if named not in ("", ":memory:") and not named.startswith("file:") and not is_named:
        return False
    try:
        with _compat.connect_timeout():
            return refusal(dialects.of_engine(engine).identify(engine), allowed) is None
    except UnsupportedDatabaseError:
        return is_named
    except Exception:  # it cannot be reached
        return False


def used_dialects() -> List[Any]:
    """Return what the databases of this run are cleared by, where it is still connected."""
    found = {id(each.dialect): each.dialect for each in _databases.values()}
    return [dialect for dialect in found.values() if dialect.alive]


def dispose(engine: Any) -> None:
    """Dispose of an engine that was made for a class or a test, and of what is known of it."""
    engine.dispose()
    known = _known.pop(engine, None)
    if known is not None and known[1].private:  # its database in memory is gone
        _databases.pop(known[1].key, None)


def close_all() -> None:
    """Give back what the last tests changed, and close the connections that clear."""
    for database in set(_databases.values()):
        with contextlib.suppress(Exception):
            database.watched.end(database.dialect)
        with contextlib.suppress(Exception):
            database.dialect.close()
    _databases.clear()


def _identify(
    engine: Any,
    owner: str,
    allowed: Tuple[str, ...],
    origin: Callable[[Optional[str]], str],
    key: Optional[str],
) -> Identity:
    """Return where an engine leads, asked once for as long as the connection that clears lives."""
    known = _known.get(engine)
    if known is not None and known[0] == _compat.url_key(engine.url):
        database = _databases.get(known[1].key)
        if database is not None and database.dialect.alive:
            return known[1]
        if database is not None and database.dialect.lost:
            reconnect(database, owner)
            database.forget()  # nobody knows what became of it meanwhile
            return _known[engine][1]
    tried = _tried(engine, owner)
    try:
        identity = _ask(dialects.of_engine(engine), engine, allowed, tried)
    except DatabaseTestCaseError:
        raise
    except Exception as error:
        raise _no_connection(error, engine, owner, origin(key)) from None
    _reached(engine)
    _known[engine] = (_compat.url_key(engine.url), identity)
    return identity


def _ask(kind: Any, engine: Any, allowed: Tuple[str, ...], again: bool = False) -> Identity:
    """Ask a live connection of an engine, whose database is created if that is all it lacks."""
    with _compat.connect_timeout(_TO_CONNECT_AGAIN if again else _TO_CONNECT), guard.asking():
        try:
            return kind.identify(engine)  # type: ignore[no-any-return]
        except Exception as error:
            created = kind.create_configured(
                engine, error, lambda name: name in allowed or is_test_name(name)
            )
            if created is None:
                raise
            events.say('created the database "%s", which was not there yet' % created)
            return kind.identify(engine)  # type: ignore[no-any-return]


def _refused(
    owner: str, identity: Identity, key: Optional[str], target: Target, engine: Any, reason: str
) -> Exception:
    """Return the error for a database that is not for tests, in a line where it was said before."""
    about = ("refused", identity.key)
    what = (reason, key, target.origin(key), _compat.url_text(engine.url))
    earlier = reported.earlier(about, what)
    if earlier:
        return brief(UnsafeDatabaseError, REFUSED % (owner, identity.label), earlier)
    reported.remember(about, what, owner)
    return UnsafeDatabaseError(refusal_text(owner, identity, key, target, engine, reason))


# --- servers that cannot be reached --------------------------------------------------------------


def _tried(engine: Any, owner: str) -> bool:
    """Tell whether an earlier class could not reach the server of an engine.

    :raises DatabaseTestCaseError: if this very class could not, a moment ago.
    """
    tried = reported.find(("tried", _compat.url_key(engine.url)))
    if tried is None:
        return False
    last, earlier = tried
    if last.by == class_of(owner) and where.now() - last.when < _TRY_AGAIN:
        raise _no_connection_again(last.kind, engine, owner, earlier)
    return True


def _reached(engine: Any) -> None:
    url = _compat.url_key(engine.url)
    reported.forget(("tried", url))
    reported.forget(("unreachable", url))


def _no_connection(error: Exception, engine: Any, owner: str, origin: str) -> Exception:
    """Return the error for an engine that could not connect, in a line where it was said before."""
    url = _compat.url_key(engine.url)
    about, what = ("unreachable", url), first_line(error)
    full = unreachable(error, engine, owner, origin)
    earlier = reported.earlier(about, what)
    # A full server says so at once, and may have a connection left for the next test.
    tried_by = None if is_full(error) else class_of(owner)
    attempt = _Attempt(tried_by, where.now(), type(full))
    reported.remember(("tried", url), attempt, earlier or owner)
    if earlier is None:
        reported.remember(about, what, owner)
        return full
    return _no_connection_again(type(full), engine, owner, earlier)


def _no_connection_again(kind: Type[Exception], engine: Any, owner: str, earlier: str) -> Exception:
    url = _compat.url_text(engine.url, hide_password=True)
    return brief(kind, NO_CONNECTION % (owner, url), earlier)


def _claimed(
    engine: Any,
    identity: Identity,
    former: Optional[CheckedDatabase],
    lock_timeout: float,
    owner: str,
) -> CheckedDatabase:
    """Connect to a database, or to a sibling where another run has it, and take it for this run."""
    base = identity.name
    if former is not None:
        base = former.base  # in a forked process the engine may lead to its parent's sibling
        former.dialect.close()
    with _compat.connect_timeout():
        dialect = dialects.of_engine(engine)(engine, identity, lock_timeout)
        dialect = claims.claim(dialect, engine, owner, base)
        if dialect.identity.key != identity.key:
            following.lead_process(identity, dialect)
    announce(dialect, base)
    # A run has one database in place of the one it found taken, whoever asks for that one.
    database = _databases[identity.key] = CheckedDatabase(dialect, base)
    killed = database.watched.begin(dialect)
    if killed:
        events.say(killed)
    _compat.at_exit(close_all)  # the last to be registered is the first to run: servers are up
    _databases[dialect.identity.key] = database
    return database


def reconnect(database: CheckedDatabase, owner: str, copier: int = 0) -> None:
    """Connect anew to a checked database if the connection that clears it was lost.

    Its server may have been started anew, and the database itself dropped and made again.

    :param owner: the class (and test) on whose behalf, for messages.
    :param copier: the backend by which this run itself has been copying the database.
    :raises UnsafeDatabaseError: if its engine leads to another database by now.
    :raises BlockedDatabaseError: if another run has taken it meanwhile.
    :raises ServerError: if the server does not come back within the bound.
    """
    lost = database.dialect
    if lost.alive:
        return
    lost.forget_connections(database.engines)
    dialect = _reached_again(lost, database.engines[0], owner)
    claims.wait_for(dialect, owner, _TAKEN_MEANWHILE, copier)
    dialect.remember(lost)
    database.dialect = dialect
    _databases[dialect.identity.key] = database
    for engine in database.engines:
        _known[engine] = (_compat.url_key(engine.url), dialect.identity)


def _reached_again(lost: Any, engine: Any, owner: str) -> Any:
    tried = _tried(engine, owner)
    deadline = where.now() + (0.0 if tried else lost.lock_timeout)
    while True:
        try:
            with _compat.connect_timeout(_TO_CONNECT_AGAIN if tried else _TO_CONNECT):
                identity = _ask(type(lost), engine, (lost.identity.name,), tried)
                if (identity.name, identity.place) != (lost.identity.name, lost.identity.place):
                    identity = lost.identity  # which the next line refuses
                dialect = type(lost)(engine, identity, lost.lock_timeout)
            _reached(engine)
            return dialect
        except DatabaseTestCaseError:
            raise
        except Exception as error:
            if where.now() > deadline:
                raise _no_connection(error, engine, owner, "its engine") from None
            where.pause(0.1)  # a server that starts refuses connections at first
