"""Builds a checked database: drops what is found, creates what is declared, loads the first rows.

What was built is remembered by a key of what it was built from, so that classes which declare the
same share one build.
"""

from __future__ import annotations

import weakref
from typing import Any, Iterable, List, Optional, Tuple

import sqlalchemy as sa
import sqlalchemy.orm
from sqlalchemy.schema import CreateIndex, CreateTable, Sequence

from .. import events
from ..contracts import Target
from ..errors import count
from . import guard
from .clear import drop_everything, name_of, restore, take_back
from .safeguard import CheckedDatabase

Key = Tuple[Any, ...]


def ensure(case: Any, target: Target, databases: List[CheckedDatabase], base: type) -> None:
    """Build the databases for a test, unless they are built like that already.

    :param case: the test, for its ``create_tables()`` and ``load_data()``.
    :param target: what it runs against.
    :param databases: the checked databases of the target.
    :param base: the class whose ``load_data()`` loads nothing.
    """
    # A test may declare a model or add a column; other changes are seen when the next class begins.
    shape = (type(case), _declared) + tuple([len(target.tables(key)) for key in target.engines])
    if target.built == shape and all([each.built_for == id(target) for each in databases]):
        return
    schema_key = _schema_key(case, target, databases)
    if any(database.schema_key != schema_key for database in databases):
        _build_schema(case, target, databases, schema_key)
    # A class loads its rows itself, also by an inherited method, which may depend on the class.
    loads = type(case).load_data is not base.load_data  # type: ignore[attr-defined]
    data_key = (type(case), type(case).load_data) if loads else None
    if any(database.data_key != data_key for database in databases):
        with events.slow_work("loading the first rows of %s" % type(case).__name__):
            _load_rows(case, target, databases, data_key)
    target.built = shape
    for database in databases:
        database.built_for = id(target)


def forget(databases: Iterable[CheckedDatabase]) -> None:
    """Have the databases built anew the next time, as they are not what was remembered."""
    for database in databases:
        database.forget()


def _build_schema(
    case: Any, target: Target, databases: List[CheckedDatabase], key: Optional[Key]
) -> None:
    """Drop everything that is found and create everything that is declared."""
    forget(databases)
    events.note(events.BUILT)
    tables = sum(len(target.tables(key)) for key in target.engines)
    names = " and ".join('"%s"' % database.name for database in databases)
    what = "making %s anew for %s, %s" % (names, type(case).__name__, count(tables, "table"))
    with events.slow_work(what):
        for database in databases:
            drop_everything(database, case)
            database.dialect.forget_connections(database.engines)
        with guard.building(name_of(case)), target.context():
            case.create_tables()
            target.commit_session()
            target.remove_session()
        take_back(target, databases, case)
        for database in databases:
            database.schema = database.data = database.dialect.take_baseline()
            database.schema_key = key
            database.watched.built(database.dialect)


def _load_rows(
    case: Any, target: Target, databases: List[CheckedDatabase], key: Optional[Key]
) -> None:
    """Load the rows that every test of the class starts with, on the bare schema."""
    for database in databases:
        database.data_key = None
        if restore(database, database.schema, case):
            _build_schema(case, target, databases, database.schema_key)
    if key is not None:
        before = set(vars(case))
        with guard.building(name_of(case)), target.context():
            case.load_data()
            target.commit_session()
            target.remove_session()
        take_back(target, databases, case)
        loaded = {name: value for name, value in vars(case).items() if name not in before}
        type(case)._dbtestcase_loaded = loaded
    for database in databases:
        database.data = database.schema
        if key is not None:
            database.data = database.dialect.take_baseline(schema=database.schema)
        database.data_key = key


# --- what create_tables() would make: a key that is equal as long as the answer is the same ------

# For each table, what it looked like when its text was made; tables are compared by identity.
_texts: "weakref.WeakKeyDictionary[Any, Tuple[Any, str]]" = weakref.WeakKeyDictionary()

# How many columns were put into tables so far, whoever has them.
_declared = 0


def _count_column(column: Any, parent: Any) -> None:
    global _declared
    if isinstance(parent, sa.Table):  # up to SQLAlchemy 1.3, also a query that has the column
        _declared += 1


sa.event.listen(sa.Column, "after_parent_attach", _count_column)


def _schema_key(case: Any, target: Target, databases: List[CheckedDatabase]) -> Key:
    """Return what the tables of a test are made from: the recipe, the declared tables, and where.

    Two test classes, or two apps made by the same factory, with the same key share one build.
    """
    # Listeners that create functions and triggers are often attached when mappers are configured.
    sqlalchemy.orm.configure_mappers()
    recipe = type(case).create_tables
    parts: List[Any] = [getattr(recipe, "__func__", recipe)]
    for key, engine in sorted(target.engines.items(), key=lambda item: item[0] or ""):
        place = [each.dialect.identity.key for each in databases if engine in each.engines]
        texts = frozenset(_text(table, engine.dialect) for table in target.tables(key))
        parts.append((key, place, hash(texts)))
    return tuple(parts)


def _text(table: Any, dialect: Any) -> str:
    """Return the table's DDL; with the types' own words, as DDL does not show an enum's labels."""
    # Listeners may make something beside a table or metadata.
    listeners = [
        len(made.dispatch.before_create) + len(made.dispatch.after_create)
        for made in (table, table.metadata)
    ]
    shape = (
        len(table.columns),
        len(table.indexes),
        len(table.constraints),
        sum(listeners),
        dialect.name,
    )
    known = _texts.get(table)
    if known is not None and known[0] == shape:
        return known[1]
    columns = [
        (
            column.name,
            column.type,
            column.comment,
            column.default if isinstance(column.default, Sequence) else None,
        )
        for column in table.columns
    ]
    parts = [repr((table.comment, columns))]
    try:
        parts.append(str(CreateTable(table).compile(dialect=dialect)))
        parts.extend(
            sorted(str(CreateIndex(index).compile(dialect=dialect)) for index in table.indexes)
        )
    except Exception:  # what cannot be compiled will say so when it is created
        parts.append(repr(id(table)))
    parts.append(repr(listeners))
    text = "\n".join(parts)
    _texts[table] = (shape, text)
    return text
