"""The database that is measured, and the test: the same for every subject.

Table ``n`` refers to table ``(n - 1) // 2``, so that they are a tree, and has an index on that
column and on another one.
"""

from __future__ import annotations

from typing import Any, List

import sqlalchemy as sa


def table_name(number: int) -> str:
    return "item_%d" % number


def parent_of(number: int) -> int:
    """Return the number of the table that a table refers to; the first one refers to itself."""
    return (number - 1) // 2 if number else 0


def metadata(tables: int) -> sa.MetaData:
    """Return that many declared tables."""
    declared = sa.MetaData()
    for number in range(tables):
        parent = "%s.id" % table_name(parent_of(number))
        sa.Table(
            table_name(number),
            declared,
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("parent_id", sa.Integer, sa.ForeignKey(parent), index=True),
            sa.Column("name", sa.String(100), nullable=False, index=True),
            sa.Column("quantity", sa.Integer, nullable=False),
            sa.Column("note", sa.Text),
        )
    return declared


def write(session: Any, tables: List[sa.Table]) -> None:
    """Insert a row into each of the tables, as a test would, and commit."""
    ids: List[int] = []
    for number, table in enumerate(tables):
        parent = ids[parent_of(number)] if ids else None
        row = {"parent_id": parent, "name": "row of %d" % number, "quantity": number}
        ids.append(session.execute(table.insert(), row).inserted_primary_key[0])
    session.commit()


def read(session: Any, table: sa.Table) -> int:
    """Count the rows of a table, as a test would that writes nothing."""
    return int(session.execute(sa.select(sa.func.count()).select_from(table)).scalar())
