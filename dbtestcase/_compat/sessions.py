"""Keeps the differences between versions of SQLAlchemy in what ORM sessions are bound to."""

from __future__ import annotations

import functools
import re
from typing import Any, Callable, Dict, List, Set, Tuple

import sqlalchemy as sa
import sqlalchemy.orm
from sqlalchemy.sql import visitors


def listen_to_sessions(bound: Callable[[Any], None]) -> None:
    """Have a function called with every ORM session that is made, or bound for a table.

    There is no event for it.
    """
    kind: Any = sa.orm.Session

    def calling(ordinary: Any) -> Any:
        @functools.wraps(ordinary)
        def call(self: Any, *arguments: Any, **options: Any) -> Any:
            result = ordinary(self, *arguments, **options)
            bound(self)
            return result

        return call

    kind.__init__ = calling(kind.__init__)
    kind._add_bind = calling(kind._add_bind)


def binds_of_session(session: Any) -> Dict[Any, Any]:
    """Return the engines that a session has for single classes and tables."""
    return dict(vars(session).get(_binds_attribute(session)) or ())


def set_binds_of_session(session: Any, binds: Dict[Any, Any]) -> None:
    """Give a session other engines for single classes and tables."""
    name = _binds_attribute(session)
    kind = type(vars(session).get(name))
    setattr(session, name, binds if kind in (dict, type(None)) else kind(binds))


def bind_session_for(session: Any, binds: Dict[Any, Any]) -> None:
    """Give a session engines for classes, mappers and tables, and keep those that it has beside."""
    for key, bind in binds.items():
        session._add_bind(key, bind)


def _binds_attribute(session: Any) -> str:
    return "binds" if "binds" in vars(session) else "_Session__binds"


def engine_behind(bind: Any) -> Any:
    """Return the engine behind a connection, an engine with options, or an async one."""
    engine = getattr(bind, "sync_engine", bind).engine
    while isinstance(engine, sa.engine.Engine) and hasattr(engine, "_proxied"):
        engine = engine._proxied
    return engine


def like_bind(engine: Any, bind: Any) -> Any:
    """Return an engine with the options that a bind has beside those of the engine behind it."""
    if not hasattr(bind, "_proxied") or hasattr(bind, "sync_engine"):
        return engine
    return engine.execution_options(**bind.get_execution_options())


def keeps_its_application(session: Any) -> bool:
    """Tell whether a session is of Flask-SQLAlchemy, which finds the same engines at each time."""
    return bool(type(session).get_bind.__module__.startswith("flask_sqlalchemy"))


def bind_of_metadata(metadata: Any) -> Any:
    """Return the engine of a MetaData, which may have one up to SQLAlchemy 1.4."""
    return vars(metadata).get("_bind") if isinstance(metadata, sa.MetaData) else None


def set_bind_of_metadata(metadata: Any, bind: Any) -> None:
    """Give a MetaData another engine."""
    metadata._bind = bind


def tables_named(mapper: Any, clause: Any) -> Tuple[List[Any], Set[str]]:
    """Return the tables that a session is asked for, and the words of a statement that is text.

    :param mapper: a mapped class, a mapper or ``None``, as for ``Session.get_bind()``.
    :param clause: a statement, a table or ``None``.
    """
    inspected = sa.inspect(mapper, raiseerr=False) if mapper is not None else None
    mapped = getattr(inspected, "mapper", None)
    found = list(mapped.tables) if mapped is not None else []
    words: Set[str] = set()
    if clause is not None:
        for each in visitors.iterate(clause, {}):
            for table in (each, getattr(each, "table", None)):
                if isinstance(table, sa.Table):
                    found.append(table)
            if isinstance(each, sa.sql.elements.TextClause):
                words.update(re.findall(r"\w+", each.text))
    return found, words
