from __future__ import annotations

import threading
import unittest

import sqlalchemy as sa

from dbtestcase import (
    ConfigurationError,
    DatabaseTestCase,
    allow_database_access,
    forbid_database_access,
)
from tests import running, support
from tests.claiming import Claims, library, output_of, scenario


class Plain(unittest.TestCase):
    """The test cases that tests run: each takes a connection in another way."""

    engine = None

    def connects(self):
        self.engine.connect().close()

    def connects_in_a_thread(self):
        errors = []

        def connect():
            try:
                self.engine.connect().close()
            except Exception as error:
                errors.append(error)

        thread = threading.Thread(target=connect)
        thread.start()
        thread.join()
        raise errors[0]

    def connects_to_a_server_that_is_not_there(self):
        sa.create_engine("postgresql+psycopg2://app:s3cret@127.0.0.1:1/shop_test").connect()

    def is_allowed(self):
        with allow_database_access():
            self.engine.connect().close()

    def connects_in_a_clean_up(self):
        self.addCleanup(self.engine.connect)


class SettingUp(Plain):
    @classmethod
    def setUpClass(cls):
        cls.engine.connect().close()


class ClearingUp(Plain):
    @classmethod
    def tearDownClass(cls):
        cls.engine.connect().close()


class ForbiddingTest(Claims):
    database = "claims_forbid_test"

    def setUp(self):
        self.engine = sa.create_engine(self.url)
        self.addCleanup(self.engine.dispose)
        with self.engine.connect():  # one connection is in the pool
            pass
        self.addCleanup(forbid_database_access, False)

    def run_plain(self, name, case=Plain):
        made = type("PriceTest", (case,), {"engine": self.engine})
        with allow_database_access():  # for what this test itself runs
            forbid_database_access()
            return support.run_case(made, name)

    def message(self, name, case=Plain):
        ((_, text),) = self.run_plain(name, case).errors
        return text.rpartition("\ndbtestcase.")[2].strip()

    def text(self, test, place, database="claims_forbid_test"):
        return (
            'ConfigurationError: %s connects to the database "%s" at %s, and plain test cases may'
            " not: forbid_database_access() or DBTESTCASE_FORBID=1 is in force.\n"
            "  Nothing would clear up after it. Make PriceTest a DatabaseTestCase; or have it do"
            " without the database." % (test, database, place)
        )

    def test_a_plain_test_that_connects_is_an_error_that_says_where(self):
        self.assertEqual(
            self.message("connects"),
            self.text("PriceTest.connects", "tests/test_forbidding.py:24 in connects"),
        )

    def test_a_thread_of_a_plain_test_is_seen_as_well(self):
        self.assertEqual(
            self.message("connects_in_a_thread"),
            self.text("PriceTest.connects_in_a_thread", "tests/test_forbidding.py:31 in connect"),
        )

    def test_nobody_waits_for_a_server(self):
        self.assertEqual(
            self.message("connects_to_a_server_that_is_not_there"),
            self.text(
                "PriceTest.connects_to_a_server_that_is_not_there",
                "tests/test_forbidding.py:41 in connects_to_a_server_that_is_not_there",
                "shop_test",
            ),
        )

    def test_clean_ups_and_the_fixtures_of_a_class_belong_to_it(self):
        self.assertIn("PriceTest.connects_in_a_clean_up", self.message("connects_in_a_clean_up"))
        for case in (SettingUp, ClearingUp):
            message = self.message("is_allowed", case)
            self.assertTrue(
                message.startswith("ConfigurationError: PriceTest connects to"), message
            )

    def test_a_debugged_test_is_one_too(self):
        made = type("PriceTest", (Plain,), {"engine": self.engine})
        with allow_database_access():
            forbid_database_access()
            with self.assertRaisesRegex(ConfigurationError, "^PriceTest.connects connects to"):
                made("connects").debug()

    @unittest.skipUnless(hasattr(unittest.TestCase, "addClassCleanup"), "as from Python 3.8 on")
    def test_what_a_class_clears_up_belongs_to_it(self):
        made = type("PriceTest", (Plain,), {"engine": self.engine})
        made.addClassCleanup(self.engine.connect)
        with allow_database_access():
            forbid_database_access()
            with self.assertRaisesRegex(ConfigurationError, "^PriceTest connects to"):
                made.doClassCleanups()
                raise made.tearDown_exceptions[0][1]

    def test_what_is_allowed_within_a_block_passes(self):
        self.assertTrue(self.run_plain("is_allowed").wasSuccessful())

    def test_database_tests_and_their_threads_connect_as_ever(self):
        engine = self.engine

        class AuthorTest(DatabaseTestCase):
            metadata = library.metadata

            @classmethod
            def setUpClass(cls):
                engine.connect().close()
                super().setUpClass()

            def test_one(self):
                thread = threading.Thread(target=lambda: engine.connect().close())
                thread.start()
                thread.join()
                self.assertRowCount(library.Author, 0)

        AuthorTest.engine = self.engine
        forbid_database_access()
        try:
            result = support.run_case(AuthorTest)
        finally:
            forbid_database_access(False)
        self.assertEqual(result.errors, [])

    def test_nothing_is_forbidden_unless_it_is_asked_for(self):
        self.engine.connect().close()

    def test_the_variable_forbids_it_under_every_runner(self):
        runners = [("-m", "unittest", "plain"), ("-m", "nose2", "plain")]
        if running.has("pytest"):
            runners.append(("-m", "pytest", "-q", "-p", "no:cacheprovider", "plain.py"))
        for runner in runners:
            with self.subTest(runner=runner[1]):
                output = output_of(scenario(self.url, *runner, DBTESTCASE_FORBID="1"))
                self.assertIn("Error: PlainTest.test_connects connects to the", output)
                self.assertIn("Error: SettingUpTest connects to the", output)
                self.assertRegex(output, r"Ran 3 tests|1 failed, 2 passed")
                self.assertNotRegex(output, "failures=|errors=[3-9]")


if __name__ == "__main__":
    unittest.main()
