"""Plain test cases, of which one takes a connection, beside one that may."""

import os
import unittest

import sqlalchemy as sa

from dbtestcase import DatabaseTestCase

engine = sa.create_engine(os.environ["SHOP_URL"])
with engine.connect() as _connection:  # while the module is imported
    pass


def setUpModule():
    engine.connect().close()


class PlainTest(unittest.TestCase):
    def test_adds(self):
        self.assertEqual(1 + 1, 2)

    def test_connects(self):
        engine.connect()


class SettingUpTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        engine.connect()

    def test_adds(self):
        raise AssertionError("its class was not set up")


class RowTest(DatabaseTestCase):
    engine = engine
    metadata = sa.MetaData()

    def test_connects(self):
        self.session.execute(sa.text("SELECT 1"))
