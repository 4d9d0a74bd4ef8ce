"""Asks a mapped class, a Table, a ``select()`` or a Query for its rows."""

from __future__ import annotations

import contextlib
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import sqlalchemy as sa
from sqlalchemy.orm import Mapper, Query
from sqlalchemy.sql.expression import FromClause, SelectBase

from .. import _compat
from ..connections import OWN_QUERY
from . import describe

Values = List[Tuple[str, Any]]  # of one row, in the order of the columns

_MILLISECONDS = "1000"  # a second look at the database must never wait for long


class NearRow(NamedTuple):
    """A row that agrees with some of the wanted values, and the names where it does not."""

    values: Values
    different: List[str]


def target_of(session: Any, thing: Any, *criteria: Any) -> Target:
    """Return the rows of a mapped class, a Table, a ``select()`` or a Query that meet criteria."""
    target: Target
    if isinstance(thing, Query):
        target = _QueryTarget(session, thing)
    elif isinstance(thing, SelectBase):
        target = _SelectTarget(session, thing)
    elif isinstance(thing, FromClause):
        target = _TableTarget(session, thing)
    else:
        target = _ClassTarget(session, thing)
    for criterion in criteria:
        target.restrict(criterion)
    return target


class Target:
    """Some rows as one session sees them, uncommitted and (with autoflush) unflushed ones too.

    ``bind`` is the engine or connection that the session uses for them, ``statement`` selects
    them. ``columns`` by name and the names of the primary ``key`` are known for a mapped class
    and for a Table.
    """

    bind: Any
    statement: Any

    def __init__(self, session: Any, name: str) -> None:
        self.session = session
        self.name = name
        self.row_name = "row"
        self.columns: Dict[str, Any] = {}
        self.key: List[str] = []

    def restrict(self, criterion: Any) -> None:
        """Leave out the rows that do not meet a criterion."""
        self.statement = self.statement.where(criterion)

    def attribute(self, name: str) -> Any:
        """Return what a value of this name is compared with."""
        if name not in self.columns:
            known = ", ".join(self.columns) or "unknown"
            raise TypeError("%s has no column %r; its columns are: %s" % (self.name, name, known))
        return self.columns[name]

    def count(self) -> int:
        """Return the number of rows in the session's transaction."""
        return int(self._run(self._counting(), 1)[1][0][0])

    def count_committed(self) -> Optional[int]:
        """Return the number of rows that others can see; None when that cannot be known.

        They are counted outside the engine's pool, which may be empty. A test's transaction that
        began on a Connection of its own hides what is committed, and a database in memory is one
        connection.
        """
        bind = self.bind
        if not isinstance(bind, sa.engine.Engine) or _compat.has_one_connection(bind.pool):
            return None
        pool = bind.pool.recreate()
        try:
            with contextlib.closing(sa.engine.Connection(bind, pool.connect())) as connection:
                if bind.dialect.name == "postgresql":
                    for setting in ("lock_timeout", "statement_timeout"):
                        bounded = sa.func.set_config(setting, _MILLISECONDS, False)
                        connection.execute(_own(_compat.select(bounded)))
                return int(connection.execute(_own(self._counting())).fetchall()[0][0])
        except Exception:  # locked, not there yet, no connection left: the driver's own errors, too
            return None
        finally:
            pool.dispose()

    def rows(self, limit: int) -> List[Values]:
        """Return some of the rows, in the order of their primary key where it is known."""
        if self.columns:
            rows = self._fetch(list(self.columns.values()), [], limit)
            return [list(zip(self.columns, row)) for row in rows]
        names, rows = self._run(self.statement, limit)
        return [list(zip(names, row)) for row in rows]

    def nearest(self, wanted: Dict[str, Any], limit: int) -> List[NearRow]:
        """Return the rows that meet most of the wanted criteria, given by name."""
        met = [sa.func.coalesce(sa.cast(each, sa.Integer), 0) for each in wanted.values()]
        columns = list(self.columns.values())
        flags = [flag.label("dbtestcase_%d" % number) for number, flag in enumerate(met)]
        rows = self._fetch(columns + flags, [sum(met[1:], met[0]).desc()], limit)
        return [
            NearRow(
                list(zip(self.columns, row)),
                [name for name, flag in zip(wanted, row[len(columns) :]) if not flag],
            )
            for row in rows
        ]

    def keys(self, limit: int) -> List[Tuple[Any, ...]]:
        """Return the primary keys of some of the rows."""
        rows = self._fetch([self.columns[name] for name in self.key], [], limit)
        return [tuple(row) for row in rows]

    def unflushed(self) -> int:
        """Return how many new objects of a mapped class the session has not yet flushed."""
        return 0

    def _counting(self) -> Any:
        return _compat.select(sa.func.count()).select_from(self.statement.alias())

    def _fetch(self, columns: List[Any], order: List[Any], limit: int) -> List[Any]:
        raise NotImplementedError  # where columns are known

    def _order(self) -> List[Any]:
        return [self.columns[name] for name in self.key]

    def _run(self, statement: Any, limit: int) -> Tuple[List[str], List[Any]]:
        if self.session.autoflush:
            self.session.flush()
        connection = _compat.session_connection(self.session, self.bind)
        with contextlib.closing(connection.execute(_own(statement))) as result:
            return list(result.keys()), list(result.fetchmany(limit))


class _SelectTarget(Target):
    def __init__(self, session: Any, statement: Any) -> None:
        super().__init__(session, "the select()")
        self.statement = statement
        self.bind = _compat.bind_of_clause(session, statement)


class _TableTarget(Target):
    def __init__(self, session: Any, table: Any) -> None:
        super().__init__(session, str(getattr(table, "fullname", table)))
        self.statement = table.select()
        self.bind = _compat.bind_of_clause(session, table)
        self.row_name = self.name
        self.columns = dict(table.c.items())
        self.key = [name for name, column in table.c.items() if column in set(table.primary_key)]
        self._criteria: List[Any] = []

    def restrict(self, criterion: Any) -> None:
        super().restrict(criterion)
        self._criteria.append(criterion)

    def _fetch(self, columns: List[Any], order: List[Any], limit: int) -> List[Any]:
        statement = _compat.select(*columns).order_by(*order, *self._order()).limit(limit)
        for criterion in self._criteria:
            statement = statement.where(criterion)
        return self._run(statement, limit)[1]


class _QueryTarget(Target):
    # The Query itself counts, so that what a suite hooks into its queries counts as well.
    def __init__(self, session: Any, query: Any) -> None:
        super().__init__(query.session or session, "the query")
        self.query = query if query.session else query.with_session(session)
        entity = query.column_descriptions[0]["entity"]
        if entity is None:
            self.bind = _compat.bind_of_clause(self.session, query.statement)
        else:
            self.bind = self.session.get_bind(sa.inspect(entity).mapper)

    @property
    def statement(self) -> Any:
        return self.query.enable_eagerloads(False).statement

    def restrict(self, criterion: Any) -> None:
        self.query = self.query.filter(criterion)

    def count(self) -> int:
        return int(_own(self.query).count())


class _ClassTarget(_QueryTarget):
    def __init__(self, session: Any, mapped: Any) -> None:
        inspected = sa.inspect(mapped, raiseerr=False)
        if not isinstance(inspected, Mapper) and not getattr(inspected, "is_aliased_class", False):
            got = "%s %s" % (type(mapped).__name__, describe.value(mapped))
            raise TypeError(
                "rows are those of a mapped class, a Table, a select() or a Query; got " + got
            )
        mapper: Any = inspected.mapper
        super().__init__(session, session.query(mapped))
        self.name = self.row_name = str(mapper.class_.__name__)
        self.mapped = mapped
        self.mapped_class = mapper.class_
        self.attributes = set(mapper.attrs.keys()) | set(mapper.all_orm_descriptors.keys())
        self.key = [mapper.get_property_by_column(column).key for column in mapper.primary_key]
        stored = [
            attribute.key
            for attribute in mapper.column_attrs
            if not attribute.deferred and isinstance(attribute.columns[0], sa.Column)
        ]
        names = self.key + [name for name in stored if name not in self.key]
        self.columns = {name: getattr(mapped, name) for name in names}

    def attribute(self, name: str) -> Any:
        return getattr(self.mapped, name) if name in self.attributes else super().attribute(name)

    def unflushed(self) -> int:
        return sum(isinstance(new, self.mapped_class) for new in self.session.new)

    def _fetch(self, columns: List[Any], order: List[Any], limit: int) -> List[Any]:
        query = self.query.with_entities(*columns).order_by(*order, *self._order())
        return list(_own(query).limit(limit).all())


def _own(statement: Any) -> Any:
    """Mark a statement or Query as the assertions' own, which is not counted as the test's."""
    return statement.execution_options(**{OWN_QUERY: True})
