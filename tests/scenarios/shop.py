"""A suite of which some tests fail, leave things open and change the schema: to be reported on."""

import os
import unittest

import sqlalchemy as sa

from dbtestcase import DatabaseTestCase

metadata = sa.MetaData()
item = sa.Table(
    "item",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(50), unique=True),
)


class Base(DatabaseTestCase):
    engine = os.environ["SHOP_URL"]
    metadata = metadata

    def add(self, *names):
        for name in names:
            self.session.execute(item.insert().values(name=name))


class LedgerTest(Base):
    reset = "rollback"

    def test_adds(self):
        self.add("pen", "ink")
        self.session.commit()


class ShopTest(Base):
    def test_1_adds_a_table(self):
        self.session.execute(sa.text("CREATE TABLE note (id int)"))
        self.session.commit()

    def test_2_is_busy(self):
        self.add(*"abcdefgh")

    def test_3_leaves_a_connection_open(self):
        type(self).connection = self.session.get_bind().connect()
        self.connection.execute(sa.text("SELECT 1"))

    def test_4_fails(self):
        self.add("pen")
        self.assertEqual(1, 2)

    def test_5_breaks_a_constraint(self):
        self.add("pen", "pen")

    @unittest.expectedFailure
    def test_6_is_expected_to_fail(self):
        self.fail("as expected")

    def test_7_has_sub_tests(self):
        for number in range(3):
            with self.subTest(number=number):
                self.assertNotEqual(number, 1)

    def test_8_skips_itself(self):
        self.skipTest("not today")
