"""A run that somebody interrupts, one that forks, one that takes its time, one with coroutines."""

import os
import time
import unittest

import sqlalchemy as sa

from dbtestcase import DatabaseTestCase


class Base(DatabaseTestCase):
    engine = os.environ["SHOP_URL"]
    metadata = sa.MetaData()


class InterruptedTest(Base):
    def test_1_runs(self):
        self.session.execute(sa.text("SELECT 1"))

    def test_2_is_interrupted(self):
        raise KeyboardInterrupt


class InChildTest(Base):
    def test_in_the_child(self):
        self.session.execute(sa.text("SELECT 1"))


class ForkingTest(unittest.TestCase):
    def test_forks(self):
        child = os.fork()
        if child == 0:
            InChildTest("test_in_the_child").run(unittest.TestResult())
            os._exit(0)
        os.waitpid(child, 0)


class SlowTest(Base):
    metadata = sa.MetaData()
    item = sa.Table("item", metadata, sa.Column("id", sa.Integer, primary_key=True))

    def create_tables(self):
        super().create_tables()
        time.sleep(1.2)

    def test_nothing(self):
        print("printed by the test")


if hasattr(unittest, "IsolatedAsyncioTestCase"):

    class CoroutineTest(Base, unittest.IsolatedAsyncioTestCase):
        async def test_awaits(self):
            self.session.execute(sa.text("SELECT 1"))
            self.fail("after a query")
