"""What would create_tables() make? A key that is equal as long as the answer is the same."""

from __future__ import annotations

import weakref
from typing import Any, Iterable, List, Optional, Tuple

import sqlalchemy as sa
import sqlalchemy.orm
from sqlalchemy.schema import CreateIndex, CreateTable, Sequence

Key = Tuple[Any, ...]

# For each table, what it looked like when its text was made; tables are compared by identity.
_texts: "weakref.WeakKeyDictionary[Any, Tuple[Any, str]]" = weakref.WeakKeyDictionary()


def key_of(case: Any, target: Any, databases: List[Any]) -> Key:
    """Return what the tables of a test are made from: the recipe, the declared tables, and where.

    Two test classes, or two apps made by the same factory, with the same key share one build.

    :param case: the test, for its ``create_tables()``.
    :param target: what it runs against.
    :param databases: the checked databases of the target.
    """
    # Listeners that create functions and triggers are often attached when mappers are configured.
    sqlalchemy.orm.configure_mappers()
    recipe = type(case).create_tables
    parts: List[Any] = [getattr(recipe, "__func__", recipe)]
    for key, engine in sorted(target.engines.items(), key=lambda item: item[0] or ""):
        place = [each.dialect.identity.key for each in databases if engine in each.engines]
        parts.append((key, place, _signature(target.tables(key), engine.dialect)))
    return tuple(parts)


def shape_of(target: Any) -> Key:
    """Return what tells at little cost that a target's tables are still the ones declared before.

    A test may declare a model or add a column; other changes are seen when the next class begins.
    """
    return (_declared,) + tuple(len(target.tables(key)) for key in target.engines)


def _count(column: Any, parent: Any) -> None:
    global _declared
    if isinstance(parent, sa.Table):  # up to SQLAlchemy 1.3, also a query that has the column
        _declared += 1


# How many columns were put into tables so far, whoever has them.
_declared = 0
sa.event.listen(sa.Column, "after_parent_attach", _count)


def _signature(tables: Iterable[Any], dialect: Any) -> int:
    return hash(frozenset(_text(table, dialect) for table in tables))


def _text(table: Any, dialect: Any) -> str:
    shape = (
        len(table.columns),
        len(table.indexes),
        len(table.constraints),
        _listeners(table) + _listeners(table.metadata),
        dialect.name,
    )
    known = _texts.get(table)
    if known is None or known[0] != shape:
        known = _texts[table] = (shape, _described(table, dialect))
    return known[1]


def _described(table: Any, dialect: Any) -> str:
    """Return the table's DDL; with the types' own words, as DDL does not show an enum's labels."""
    parts = [repr((table.comment, [_described_column(column) for column in table.columns]))]
    try:
        parts.append(str(CreateTable(table).compile(dialect=dialect)))
        parts.extend(
            sorted(str(CreateIndex(index).compile(dialect=dialect)) for index in table.indexes)
        )
    except Exception:  # what cannot be compiled will say so when it is created
        parts.append(repr(id(table)))
    parts.append(repr((_listeners(table), _listeners(table.metadata))))
    return "\n".join(parts)


def _described_column(column: Any) -> Tuple[Any, ...]:
    sequence = column.default if isinstance(column.default, Sequence) else None
    return (column.name, column.type, column.comment, sequence)


def _listeners(created: Any) -> int:
    """Count the listeners that make something beside a table or metadata."""
    return len(created.dispatch.before_create) + len(created.dispatch.after_create)


def data_key_of(case: Any, base: Any) -> Optional[Key]:
    """Return by what the rows of a test are made, or ``None`` where its class loads none.

    A class loads its rows itself, also by an inherited method, which may depend on the class.
    """
    if type(case).load_data is base.load_data:
        return None
    return (type(case), type(case).load_data)
