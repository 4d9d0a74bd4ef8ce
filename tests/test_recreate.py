import contextlib
import io
import unittest
from unittest import mock

import sqlalchemy as sa

from dbtestcase import DatabaseTestCase
from dbtestcase.dialects.postgresql.reset import Baseline
from tests import support


def case_on(url, **attributes):
    metadata = sa.MetaData()
    sa.Table("thing", metadata, sa.Column("id", sa.Integer, primary_key=True))
    seen = []

    class ThingTest(DatabaseTestCase):
        engine = url

        def load_data(self):
            seen.append("loaded")
            self.session.execute(metadata.tables["thing"].insert().values(id=7))

        def test_one(self):
            self.assertRowCount(metadata.tables["thing"], 1)
            self.session.execute(metadata.tables["thing"].insert().values(id=8))
            self.session.commit()

        test_two = test_one

    ThingTest.metadata = metadata
    for name, value in attributes.items():
        setattr(ThingTest, name, value)
    return ThingTest, seen


class Modes:
    def run_mode(self, mode, **attributes):
        case, seen = case_on(self.url, recreate=mode, **attributes)
        result = support.run_case(case)
        return [text for _, text in result.errors + result.failures], len(seen)

    def test_verified_makes_the_tables_once(self):
        self.assertEqual(self.run_mode("verified"), ([], 1))

    def test_always_makes_them_for_every_test(self):
        self.assertEqual(self.run_mode("always"), ([], 3))

    def test_compare_does_both_and_finds_them_equal(self):
        self.assertEqual(self.run_mode("compare"), ([], 3))

    def test_the_environment_decides_for_a_whole_run(self):
        with support.environment(DBTESTCASE_RECREATE="always"):
            self.assertEqual(self.run_mode("verified"), ([], 3))

    def test_another_mode_is_an_error_that_lists_the_modes(self):
        texts, _ = self.run_mode("sometimes")

        self.assertEqual(len(texts), 2)
        self.assertIn(
            "ConfigurationError: ThingTest.recreate is 'sometimes'; it can be verified or always or"
            " compare.",
            texts[0],
        )


class PostgreSQLModesTest(Modes, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.url = support.postgresql_url("recreate_modes_test")

    def test_compare_tells_of_a_reset_that_left_something(self):
        def left_as_it_is(baseline, control, make_way):
            return None

        self.url = support.postgresql_url("recreate_broken_test")
        with mock.patch.object(Baseline, "restore", left_as_it_is):
            texts, _ = self.run_mode("compare")

        self.assertIn(
            'the verified reset of "recreate_broken_test" for ThingTest.test_two differs from'
            " drop and create (-/+ lines of their dumps). Please report this as an error of"
            " dbtestcase:\n"
            "  -8",
            "\n".join(texts),
        )


class TablesOfItsOwnTest(unittest.TestCase):
    def told(self, *drops):
        """Run as many tests, some of which drop the table at their end; return what was said."""
        metadata = sa.MetaData()
        sa.Table("thing", metadata, sa.Column("id", sa.Integer, primary_key=True))
        left = list(drops)

        class ThingTest(DatabaseTestCase):
            engine = support.postgresql_url("recreate_own_test")

            def tearDown(self):
                if left.pop(0):
                    metadata.drop_all(self.engine)
                super().tearDown()

        ThingTest.metadata = metadata
        for number in range(len(drops)):
            setattr(ThingTest, "test_%02d" % number, lambda self: None)
        told = io.StringIO()
        with contextlib.redirect_stderr(told):
            result = support.run_case(ThingTest)
        self.assertEqual([text for _, text in result.errors + result.failures], [])
        return told.getvalue()

    def test_a_suite_that_drops_its_tables_in_each_test_is_told_so_once(self):
        told = self.told(*[True] * 8)

        self.assertEqual(told.count("dbtestcase: "), 1)
        self.assertIn(
            "dbtestcase: the tables of ThingTest were made anew for 5 tests in a row, as each test"
            ' found them changed: table "thing" was dropped.\n'
            "  If it is ThingTest itself that drops and creates them, leave that out:",
            told,
        )

    def test_tests_that_drop_now_and_then_are_left_in_peace(self):
        self.assertEqual(self.told(*[True] * 4 + [False] + [True] * 4), "")


class SQLiteModesTest(Modes, unittest.TestCase):
    url = "sqlite://"


if __name__ == "__main__":
    unittest.main()
