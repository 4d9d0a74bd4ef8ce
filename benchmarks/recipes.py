"""The other ways, each as its documentation or most projects write it, on SQLAlchemy alone."""

from __future__ import annotations

import unittest
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session
from sqlalchemy.schema import DropConstraint, DropTable, ForeignKeyConstraint

from . import shape


class NoReset(unittest.TestCase):
    """The test alone: what all the others are compared with to tell what a reset costs."""

    written = 0
    rows_before = None  # how many rows a test may find: any number

    @classmethod
    def prepare(cls, url: Any, tables: int) -> None:
        cls.engine = sa.create_engine(url)
        cls.metadata = shape.metadata(tables)
        cls.tables = list(cls.metadata.tables.values())
        cls.metadata.create_all(cls.engine)

    def setUp(self) -> None:
        self.session = Session(self.engine)

    def tearDown(self) -> None:
        self.session.close()

    def measured(self) -> None:
        if self.written:
            shape.write(self.session, self.tables[: self.written])
        else:
            rows = shape.read(self.session, self.tables[0])
            self.assertIn(rows, (rows,) if self.rows_before is None else (self.rows_before,))

    def run_sql(self, *statements: Any) -> None:
        with self.engine.begin() as connection:
            for statement in statements:
                connection.execute(statement)


class OuterTransaction(NoReset):
    """The recipe "Joining a Session into an External Transaction" of SQLAlchemy's manual."""

    rows_before = 0

    def setUp(self) -> None:
        self.connection = self.engine.connect()
        self.transaction = self.connection.begin()
        self.session = Session(bind=self.connection, join_transaction_mode="create_savepoint")

    def tearDown(self) -> None:
        super().tearDown()
        self.transaction.rollback()
        self.connection.close()


class DeleteAll(NoReset):
    """Sequences go on where they were."""

    rows_before = 0

    def tearDown(self) -> None:
        super().tearDown()
        self.run_sql(*(table.delete() for table in reversed(self.metadata.sorted_tables)))


class TruncateAll(NoReset):
    """All tables in one statement."""

    rows_before = 0

    def tearDown(self) -> None:
        super().tearDown()
        names = ", ".join(self.metadata.tables)
        self.run_sql(sa.text("TRUNCATE %s RESTART IDENTITY CASCADE" % names))


class DropAll(NoReset):
    """What most suites do."""

    rows_before = 0

    def tearDown(self) -> None:
        super().tearDown()
        self.metadata.drop_all(self.engine)
        self.metadata.create_all(self.engine)


class DropSchema(NoReset):
    """Takes extensions, grants and whatever else is in the schema along."""

    rows_before = 0

    def tearDown(self) -> None:
        super().tearDown()
        self.run_sql(sa.text("DROP SCHEMA public CASCADE"), sa.text("CREATE SCHEMA public"))
        self.metadata.create_all(self.engine)


class DropEverything(NoReset):
    """The recipe of this name in SQLAlchemy's wiki."""

    rows_before = 0

    def tearDown(self) -> None:
        super().tearDown()
        with self.engine.begin() as connection:
            inspector = sa.inspect(connection)
            reflected = sa.MetaData()
            for name in inspector.get_table_names():
                found = inspector.get_foreign_keys(name)
                keys = [ForeignKeyConstraint((), (), name=key["name"]) for key in found]
                sa.Table(name, reflected, *keys)
                for key in keys:
                    connection.execute(DropConstraint(key))
            for table in reflected.tables.values():
                connection.execute(DropTable(table))
        self.metadata.create_all(self.engine)


class FromTemplate(NoReset):
    """A database that is a copy of one made beforehand, and dropped after the test."""

    rows_before = 0

    @classmethod
    def prepare(cls, url: Any, tables: int) -> None:
        super().prepare(url, tables)
        cls.name = cls.engine.url.database
        admin = cls.engine.url.set(database="postgres")
        cls.server = sa.create_engine(admin, isolation_level="AUTOCOMMIT")
        cls.engine.dispose()
        cls.on_server("ALTER DATABASE %s RENAME TO %s_template", cls.name, cls.name)

    @classmethod
    def on_server(cls, statement: str, *names: str) -> None:
        with cls.server.connect() as connection:
            connection.execute(sa.text(statement % names))

    def setUp(self) -> None:
        self.on_server("CREATE DATABASE %s TEMPLATE %s_template", self.name, self.name)
        super().setUp()

    def tearDown(self) -> None:
        super().tearDown()
        self.engine.dispose()
        self.on_server("DROP DATABASE %s WITH (FORCE)", self.name)
