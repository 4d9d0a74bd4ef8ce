"""Drop everything found, create everything declared, load the first rows, remember the result."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Set

from .. import events
from ..assertions import count
from . import clear, schema


def ensure(case: Any, target: Any, databases: List[Any], base: type) -> None:
    """Build the databases for a test, unless they are built like that already.

    :param case: the test, for its ``create_tables()`` and ``load_data()``.
    :param target: what it runs against.
    :param databases: the checked databases of the target.
    :param base: the class whose ``load_data()`` loads nothing.
    """
    shape = (type(case), schema.shape_of(target))
    if target.built == shape and all(each.built_for == id(target) for each in databases):
        return
    schema_key = schema.key_of(case, target, databases)
    if any(database.schema_key != schema_key for database in databases):
        build_schema(case, target, databases, schema_key)
    data_key = schema.data_key_of(case, base)
    if any(database.data_key != data_key for database in databases):
        with events.slow_work("loading the first rows of %s" % type(case).__name__):
            load_rows(case, target, databases, data_key)
    target.built = shape
    for database in databases:
        database.built_for = id(target)


def forget(databases: List[Any]) -> None:
    """Have the databases built anew the next time, as they are not what was remembered."""
    for database in databases:
        database.forget()


def build_schema(case: Any, target: Any, databases: List[Any], key: schema.Key) -> None:
    """Drop everything that is found and create everything that is declared."""
    forget(databases)
    events.note(events.BUILT)
    with events.slow_work(_what_is_made(case, target, databases)):
        for database in databases:
            clear.drop_everything(database, case)
            database.dialect.forget_connections(database.engines)
        with target.context():
            case.create_tables()
            target.commit_session()
            target.remove_session()
        for database in databases:
            database.schema = database.data = database.dialect.take_baseline()
            database.schema_key = key


def load_rows(case: Any, target: Any, databases: List[Any], key: Optional[schema.Key]) -> None:
    """Load the rows that every test of the class starts with, on the bare schema."""
    for database in databases:
        database.data_key = None
        if clear.restore(database, database.schema, case):
            build_schema(case, target, databases, database.schema_key)
    if key is not None:
        before = set(vars(case))
        with target.context():
            case.load_data()
            target.commit_session()
            target.remove_session()
        type(case)._dbtestcase_loaded = _new_attributes(case, before)
    for database in databases:
        database.data = database.schema
        if key is not None:
            database.data = database.dialect.take_baseline(schema=database.schema)
        database.data_key = key


def _what_is_made(case: Any, target: Any, databases: List[Any]) -> str:
    tables = sum(len(target.tables(key)) for key in target.engines)
    names = " and ".join('"%s"' % database.name for database in databases)
    return "making %s anew for %s, %s" % (names, type(case).__name__, count(tables, "table"))


def _new_attributes(case: Any, before: Set[str]) -> Dict[str, Any]:
    return {name: value for name, value in vars(case).items() if name not in before}
