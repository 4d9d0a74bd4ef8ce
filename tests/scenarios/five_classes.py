"""Five classes of five tests on a database that they do not get, set up by class or by test."""

import os

import sqlalchemy as sa

from dbtestcase import DatabaseTestCase

URL = os.environ["SHOP_URL"]
metadata = sa.MetaData()
sa.Table("row", metadata, sa.Column("id", sa.Integer, primary_key=True))


class ByClass(DatabaseTestCase):
    engine = URL
    metadata = metadata


class ByTest(DatabaseTestCase):
    metadata = metadata

    def setUp(self):
        self.engine = sa.create_engine(URL)
        self.addCleanup(self.engine.dispose)
        super().setUp()


base = ByTest if os.environ.get("BY") == "test" else ByClass
for _number in range(5):
    _tests = {"test_%d" % number: lambda self: None for number in range(5)}
    globals()["Class%d" % _number] = type("Class%d" % _number, (base,), _tests)
del base, ByClass, ByTest
