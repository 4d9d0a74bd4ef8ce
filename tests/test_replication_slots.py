"""Logical slots come and go without a transaction; a server has them at one level of its log."""

from __future__ import annotations

import unittest

import sqlalchemy as sa

from dbtestcase.dialects.postgresql import drop
from dbtestcase.dialects.postgresql.reset import Baseline
from dbtestcase.dialects.postgresql.sessions import Control
from dbtestcase.server.temporary import temporary_postgresql

LOGICAL = {"wal_level": "logical"}
MAKE = "SELECT pg_create_logical_replication_slot('%s', 'pgoutput')"
MAKE_PHYSICAL = "SELECT pg_create_physical_replication_slot('%s')"
LEFT = "SELECT slot_name::text FROM pg_replication_slots"


class SlotsTest(unittest.TestCase):
    def setUp(self):
        engine = sa.create_engine(temporary_postgresql(database="slots_test", settings=LOGICAL))
        self.addCleanup(engine.dispose)
        self.control = Control(engine)
        self.addCleanup(self.control.close)
        self.addCleanup(
            self.control.execute, "SELECT pg_drop_replication_slot(slot_name) FROM (%s) s" % LEFT
        )
        drop.drop_everything(self.control)
        self.control.execute("CREATE TABLE public.t (id serial PRIMARY KEY)")

    def test_one_that_no_transaction_made_is_noticed(self):
        baseline = Baseline.take(self.control)
        self.assertIsNone(baseline.restore(self.control))
        self.control.execute(MAKE % "a")
        self.assertIsNotNone(baseline.restore(self.control))
        self.assertFalse(baseline.proved)

    def test_one_that_was_there_before_is_not(self):
        self.control.execute(MAKE % "a")
        baseline = Baseline.take(self.control)
        self.assertIsNone(baseline.restore(self.control))
        self.control.execute(MAKE_PHYSICAL % "b")
        self.assertIsNone(baseline.restore(self.control))

    def test_those_of_the_database_alone_are_dropped(self):
        self.control.execute("DROP TABLE public.t")
        self.control.execute(MAKE % "a")
        self.control.execute(MAKE_PHYSICAL % "b")
        self.assertEqual(drop.drop_everything(self.control), [("replication slot", "'a'")])
        self.assertEqual(self.control.execute(LEFT), [("b",)])


if __name__ == "__main__":
    unittest.main()
