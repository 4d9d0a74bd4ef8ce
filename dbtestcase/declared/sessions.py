"""Has ORM sessions follow the engines of a class, so that no row of a test goes elsewhere.

The session that a class names is bound to the engine of the class, and bound as before when the
class is over. Other sessions are looked at when they are made: one that leads elsewhere is led to
the engine of the class as soon as it is used for a table of the class, unless it leads to a
database that is for tests. Sessions that lead to the right engine cost nothing.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import threading
import weakref
from typing import Any, Dict, Iterable, List, Optional, Tuple

import sqlalchemy as sa
import sqlalchemy.orm

from .. import _compat, where
from ..connections import open_checkouts
from ..databases import is_beside_for_tests
from ..errors import ConfigurationError

_CANNOT_FOLLOW = """\
{0} leads to {1}, and the engine {2} to {3}.
  {4}, so it cannot follow the engine: its rows would go to the other database. Nothing was touched.
  Have both lead to one database for the tests, by engines that are both async or both not."""


class Following:
    """The sessions that follow the engines of one target, until it is closed.

    :param target: what a class or a test runs against.
    """

    def __init__(self, target: Any) -> None:
        self._target = target
        self._allowed: Tuple[str, ...] = ()
        self._classes: Tuple[type, ...] = ()  # of the sessions that the suite names
        # Engines that sessions had for tables of the class, with the bind keys of these; whoever
        # uses them now follows.
        self._former: "weakref.WeakKeyDictionary[Any, Any]" = weakref.WeakKeyDictionary()
        self._for_tests: "weakref.WeakKeyDictionary[Any, bool]" = weakref.WeakKeyDictionary()
        self._options: "weakref.WeakKeyDictionary[Any, Any]" = weakref.WeakKeyDictionary()
        # Sessions that nobody names and that followed, with the threads that used them.
        self._followers: "weakref.WeakKeyDictionary[Any, Any]" = weakref.WeakKeyDictionary()

    # --- the session that the suite names ---------------------------------------------------------

    def bind(self, session: Any, engine: Any) -> None:
        """Bind what the suite gives as its session to the engine of the class.

        :param session: a scoped session, a sessionmaker or a session; anything else is left alone.
        :param engine: the engine of the class.
        :raises ConfigurationError: if it leads elsewhere and cannot follow.
        """
        maker = getattr(session, "session_factory", session)
        single = getattr(session, "sync_session", session)
        options = getattr(maker, "kw", None)
        if isinstance(options, dict):
            made_by = getattr(maker, "class_", type(None))
            self._classes += (made_by,)
            self._bind_maker(options, made_by, engine)
            for each in _sessions_of(made_by):
                self._bind_live(each, engine)
        elif isinstance(single, sa.orm.Session):
            self._bind_live(single, engine)
        else:
            self._know_made(maker)

    def _bind_maker(self, options: Dict[str, Any], made_by: type, engine: Any) -> None:
        bind, binds = options.get("bind"), options.get("binds") or {}
        now = self._successor(bind, engine) if bind is not None else None if binds else engine
        binds_now = self._successors(binds, engine)
        if now is bind and binds_now == binds:
            return

        def put_back() -> None:
            if options.get("bind") is now:  # else the suite has configured it meanwhile
                options["bind"] = bind
            if binds and options.get("binds") is binds_now:
                options["binds"] = binds
            for session in _sessions_of(made_by):
                _close(session)
                if session.bind is now:
                    session.bind = bind
                _compat.bind_session_for(session, binds)

        options["bind"] = now
        if binds:
            options["binds"] = binds_now
        self._target.on_close(put_back)

    def _bind_live(self, session: Any, engine: Any) -> None:
        """Bind a session that is there already: what it has loaded and begun is of elsewhere."""
        bind, binds = session.bind, _compat.binds_of_session(session)
        now = self._successor(bind, engine) if bind is not None else None if binds else engine
        binds_now = self._successors(binds, engine)

        def put_back() -> None:
            _close(session)
            session.bind = bind
            _compat.set_binds_of_session(session, binds)

        if now is not bind or binds_now != binds:
            _close(session)
            session.bind = now
            _compat.set_binds_of_session(session, binds_now)
            self._target.on_close(put_back)

    def _know_made(self, factory: Any) -> None:
        """Find out where the sessions of a factory lead that is not a sessionmaker."""
        made: Any = None
        if inspect.isclass(factory) and issubclass(factory, sa.orm.Session):
            self._classes += (factory,)
        elif not inspect.isfunction(factory) and not isinstance(factory, functools.partial):
            return
        with contextlib.suppress(Exception):  # it wants arguments, or a context
            made = factory()
        for session in (made, getattr(made, "sync_session", None)):
            if isinstance(session, sa.orm.Session) and session.bind is not None:
                self._refuse_other_kind(session.bind, self._target.engine)
                if not self.has(session.bind):
                    self._former[_compat.engine_behind(session.bind)] = None
                _close(session)

    def _successors(self, binds: Dict[Any, Any], engine: Any) -> Dict[Any, Any]:
        return {
            key: self._successor(bind, engine) if self._is_concerned(key) else bind
            for key, bind in binds.items()
        }

    def _successor(self, bind: Any, engine: Any) -> Any:
        if self.has(bind) and not isinstance(bind, sa.engine.Connection):
            return bind
        if self._refuse_other_kind(bind, engine):
            return bind
        if not self.has(bind):
            self._former[_compat.engine_behind(bind)] = None
        return _compat.like_bind(engine, bind)

    def _is_concerned(self, key: Any) -> bool:
        """Tell whether what a bind is for (a class, a mapper, a table) is of the class's tables."""
        if self._target.metadata is None or getattr(key, "metadata", None) is self._target.metadata:
            return True
        tables, _ = _compat.tables_named(None if isinstance(key, sa.Table) else key, None)
        if self._key_of(tables + [key], ()) is not None:
            return True
        below = key.__subclasses__() if inspect.isclass(key) else []
        return any(self._is_concerned(each) for each in below)

    def _refuse_other_kind(self, bind: Any, engine: Any, used: str = "session") -> bool:
        """Tell whether an async bind leads to the same database, where the engine is not async."""
        if _is_async(bind) == _is_async(engine):
            return False
        one, other = _compat.engine_behind(bind), _compat.engine_behind(engine)
        if one.url.database and one.url.database == other.url.database:
            return True
        urls = [_compat.url_text(each.url, hide_password=True) for each in (one, other)]
        kind = "It is async" if _is_async(bind) else "It is not async"
        raise ConfigurationError(
            _CANNOT_FOLLOW.format(used, urls[0], "of the class", urls[1], kind)
        )

    # --- sessions that nobody names ---------------------------------------------------------------

    def start(self, allowed: Iterable[str]) -> None:
        """Have sessions of the code under test follow from now on, those that are there as well.

        :param allowed: exact names of databases that are for tests.
        """
        self._allowed = tuple(allowed)
        _watch()
        _active.append(self)
        self._target.on_close(self._stop)
        at_work = [each.fairy() for each in open_checkouts() if each.elsewhere]
        for session in _compat.live_sessions():
            _look_at(session)
            if session in _adopted:
                self._close_if_begun(session, at_work)

    def _close_if_begun(self, session: Any, at_work: List[Any]) -> None:
        """Close a session that has begun elsewhere, or has loaded objects of the class's tables."""
        for connection in _compat.connections_of_session(session):
            fairy = _compat.fairy_of(connection)
            is_at_work = any(fairy is each for each in at_work)
            if not (is_at_work or self.has(connection) or self._leads_to_tests(connection.engine)):
                _close(session)  # or what it wrote there would be committed with the test's rows
        for each in list(session.identity_map.values()) + list(session.new):
            mapper = sa.inspect(each).mapper
            if self._key_of(mapper.tables, ()) is not None:
                with contextlib.suppress(sa.exc.SQLAlchemyError, RuntimeError):
                    session.get_bind(mapper)
                if session in self._followers:
                    _close(session)
                return

    def _stop(self) -> None:
        for kept in self._followers.keyrefs():
            _close(kept())
        self._followers.clear()
        _active.remove(self)
        if not _active:
            for session in list(_adopted):
                vars(session).pop("get_bind", None)
            _adopted.clear()

    def close_sessions(self) -> None:
        """Close what followed, as the session of a class is removed; other threads' are theirs."""
        if not self._followers:
            return
        for kept in self._followers.keyrefs():  # a copy: other threads may add to them
            session = kept()
            thread = self._followers.get(session) if session is not None else None
            if thread is threading.current_thread() or (thread and not thread.is_alive()):
                _close(session)

    def has(self, bind: Any) -> bool:
        """Tell whether a bind is an engine of the target, in whatever wrapping."""
        engines = self._target.engines.values()
        for each in engines:
            if each is bind:
                return True
        engine = _compat.engine_behind(bind)
        for each in engines:
            ours = _compat.engine_behind(each)
            if engine is ours or engine.pool is ours.pool:
                return True
        return False

    def successor(self, session: Any, bind: Any, mapper: Any, clause: Any) -> Any:
        """Return the engine that a session is to use instead of a bind that is not the target's.

        ``None``: it may use this one.

        :raises ConfigurationError: if it cannot follow.
        """
        tables, words = _compat.tables_named(mapper, clause)
        key, former = self._key_of(tables, words), _compat.engine_behind(bind)
        if former not in self._former:
            named = type(session) in self._classes
            if key is None and (tables or not named):
                return None
            routes = named and key is not None and _routes(session)
            if not routes and self._leads_to_tests(former):
                return None
        engines = self._target.engines
        bind_key = key[0] if key is not None else self._former.get(former)
        engine = engines.get(bind_key) or next(iter(engines.values()))
        used = "%s: a session that uses tables of the class" % (where.current_test() or "a test")
        if self._refuse_other_kind(bind, engine, used):
            return None
        self._former.setdefault(former, bind_key)
        self._followers[session] = threading.current_thread()
        known = self._options.get(bind)
        if known is None or _compat.engine_behind(known) is not _compat.engine_behind(engine):
            known = self._options[bind] = _compat.like_bind(engine, bind)
        return known

    def _leads_to_tests(self, bind: Any) -> bool:
        engine = _compat.engine_behind(bind)
        known = self._for_tests.get(engine)
        if known is None:
            known = is_beside_for_tests(engine, self._allowed)
            self._for_tests[engine] = known
        return known

    def _key_of(self, tables: Iterable[Any], words: Iterable[str]) -> Optional[Tuple[Any]]:
        """Return the bind key of the first table that is one of the class's, or is named."""
        for key in self._target.engines:
            for table in self._target.tables(key):
                if table.name in words or any(table is each for each in tables):
                    return (key,)
        return None


# --- every session of the process -----------------------------------------------------------------

_active: List[Following] = []  # of the class, and of the test where it has its own
_adopted: "weakref.WeakSet[Any]" = weakref.WeakSet()  # sessions whose binds are looked at
_watching = False


def _watch() -> None:
    global _watching
    if not _watching:
        _watching = True
        _compat.listen_to_sessions(_look_at)


def _look_at(session: Any) -> None:
    """Have a session's binds looked at, each time that it asks for one, if it leads elsewhere."""
    if not _active or "get_bind" in vars(session):
        return
    if session.bind is not None and not _routes(session) and _is_ours(session.bind):
        if all(_is_ours(each) for each in _compat.binds_of_session(session).values()):
            return
    made = weakref.ref(session)

    def get_bind(*arguments: Any, **options: Any) -> Any:
        return _bind_of(made(), *arguments, **options)

    vars(session)["get_bind"] = get_bind
    _adopted.add(session)


def _bind_of(session: Any, *arguments: Any, **options: Any) -> Any:
    bind = type(session).get_bind(session, *arguments, **options)
    if _is_ours(bind):
        if _compat.keeps_its_application(session):
            vars(session).pop("get_bind", None)
            _adopted.discard(session)
        return bind
    named = dict(zip(("mapper", "clause"), arguments), **options)
    for following in reversed(_active):
        found = following.successor(session, bind, named.get("mapper"), named.get("clause"))
        if found is not None:
            return found
    return bind


def _is_ours(bind: Any) -> bool:
    for following in _active:
        if following.has(bind):
            return True
    return not isinstance(_compat.engine_behind(bind), sa.engine.Engine)  # a mock is let be


def _routes(session: Any) -> bool:
    """Tell whether a session finds its engines by a method of its own."""
    return type(session).get_bind is not sa.orm.Session.get_bind


def _is_async(bind: Any) -> bool:
    return bool(getattr(_compat.engine_behind(bind).dialect, "is_async", False))


def _sessions_of(made_by: type) -> List[Any]:
    return [each for each in _compat.live_sessions() if type(each) is made_by]


def _close(session: Any) -> None:
    with contextlib.suppress(Exception):  # its connection may be gone
        session.close()
