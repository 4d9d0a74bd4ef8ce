"""dbtestcase itself: test classes as users write them, through their whole life."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from dbtestcase import DatabaseTestCase

from . import shape


class Recreate(DatabaseTestCase):
    """The default."""

    written = 0

    @classmethod
    def prepare(cls, url: Any, tables: int) -> None:
        """Say what the class tests against."""
        cls.engine = sa.create_engine(url)
        cls.metadata = shape.metadata(tables)
        cls.tables = list(cls.metadata.tables.values())

    def measured(self) -> None:
        if self.written:
            shape.write(self.session, self.tables[: self.written])
        else:
            self.assertEqual(shape.read(self.session, self.tables[0]), 0)


class Rollback(Recreate):
    """The outer transaction."""

    reset = "rollback"
