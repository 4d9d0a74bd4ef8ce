"""Tests that see no rows but their own, however many runs of them there are at the same time."""

import os
import random
import time
import unittest

import sqlalchemy as sa

from dbtestcase import DatabaseTestCase

metadata = sa.MetaData()
row = sa.Table(
    "row",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("process", sa.Integer),
)
ROUNDS = int(os.environ.get("ROUNDS", "10"))
KILLED_IN = os.environ.get("KILLED_IN", "nowhere")


class Rows(DatabaseTestCase):
    engine = os.environ["SHOP_URL"]
    metadata = metadata

    def look(self):
        rows = self.session.execute(row.select()).fetchall()
        self.session.rollback()
        return sorted((each.id, each.process) for each in rows)

    def write_and_look(self):
        mine = []
        for number in range(1, 4):
            self.session.execute(row.insert().values(process=os.getpid()))
            self.session.commit()
            mine.append((number, os.getpid()))
            time.sleep(random.random() / 200)
            self.assertEqual(self.look(), mine)
        if KILLED_IN in self.id():
            os.kill(os.getpid(), 9)

    def setUp(self):
        super().setUp()
        self.assertEqual(self.look(), [])


class FirstTest(Rows):
    pass


class SecondTest(Rows):
    pass


class OuterTest(Rows):
    reset = "rollback"


for _case in (FirstTest, SecondTest, OuterTest):
    for _number in range(ROUNDS):
        setattr(_case, "test_%d" % _number, lambda self: self.write_and_look())
del _case

if __name__ == "__main__":
    unittest.main()
