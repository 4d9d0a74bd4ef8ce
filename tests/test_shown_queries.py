import contextlib
import io
import re
import traceback
import unittest

import sqlalchemy as sa

from dbtestcase import DatabaseTestCase, _compat
from tests import running, support

metadata = sa.MetaData()
item = sa.Table(
    "item",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(50), unique=True),
)
NAMES = "SELECT 'n%d'"


class Shown(DatabaseTestCase):
    __test__ = False
    metadata = metadata
    show_queries = True

    def ask(self, count):
        for number in range(count):
            self.session.execute(sa.text(NAMES % number))


class ShownQueriesTest(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.url = support.postgresql_url("report_queries_test")

    def failure_of(self, test, **attributes):
        """Return the text of the failure of a class with one test."""
        attributes.update(engine=self.url, test_it=test)
        result = support.run_case(type("ShopTest", (Shown,), attributes))
        (told,) = result.failures + result.errors
        return told[1].replace("::VARCHAR", "")  # as psycopg 3 has it

    def line_of(self, function):
        return "tests/test_shown_queries.py:%d" % (function.__code__.co_firstlineno + 1)

    def test_a_failure_shows_the_queries_that_led_to_it(self):
        def test(case):
            case.session.execute(item.insert().values(name="pen"))
            case.session.commit()
            case.session.execute(sa.text("SELECT :one"), {"one": 1})
            case.fail("too much")

        told = self.failure_of(test)
        self.assertTrue(told.startswith("Traceback (most recent call last):\n"))
        first = test.__code__.co_firstlineno + 1
        returning = " RETURNING item.id" if "RETURNING" in told else ""
        self.assertEqual(
            told[told.index("AssertionError") :],
            """\
AssertionError: too much
The test had run 2 queries:
  1. INSERT INTO item (name) VALUES (%%(name)s)%s
     with {'name': 'pen'}
     at tests/test_shown_queries.py:%d
  2. SELECT %%(one)s
     with {'one': 1}
     at tests/test_shown_queries.py:%d
""" % (returning, first, first + 2),
        )

    def test_names_what_repeats_and_shows_the_last_ones(self):
        def test(case):
            case.session.execute(sa.text("SELECT 'first'"))
            for _ in range(31):
                case.session.execute(sa.text("SELECT 1"))
            case.fail("too much")

        told = self.failure_of(test)
        told = told[told.index("AssertionError") :].splitlines()
        line = test.__code__.co_firstlineno + 3
        self.assertEqual(
            told[:6],
            [
                "AssertionError: too much",
                "The test had run 32 queries:",
                "  the same query: 31 times from tests/test_shown_queries.py:%d"
                " (queries 2 to 32)" % line,
                "  ... after the first 2",
                "  3. SELECT 1",
                "     at tests/test_shown_queries.py:%d" % line,
            ],
        )
        self.assertEqual(told[-2], " 32. SELECT 1")

    def test_says_so_where_there_was_none(self):
        told = self.failure_of(lambda case: case.fail("at once"))
        self.assertTrue(told.endswith("AssertionError: at once\nThe test had run no query.\n"))

    def test_an_error_of_the_database_keeps_what_it_says(self):
        def test(case):
            case.session.execute(sa.text("SELECT nothing"))

        told = self.failure_of(test)
        self.assertIn("sqlalchemy.exc.ProgrammingError: (", told)
        self.assertIn('column "nothing" does not exist', told)
        self.assertTrue(
            told.endswith(
                "\nThe test had run 1 query:\n  1. SELECT nothing\n     at %s\n"
                % self.line_of(test)
            ),
            told,
        )

    def test_what_resets_run_is_not_the_test_s(self):
        def make_and_load(case):
            case.session.execute(item.insert().values(name="first"))

        told = self.failure_of(lambda case: case.fail("at once"), load_data=make_and_load)
        self.assertIn("The test had run no query.", told)

    def test_failures_of_set_up_and_tear_down_show_them_too(self):
        def set_up(case):
            super(type(case), case).setUp()
            case.ask(1)
            case.fail("in set-up")

        self.assertIn("The test had run 1 query:\n", self.failure_of(lambda case: 0, setUp=set_up))

        def tear_down(case):
            case.ask(1)
            case.fail("in tear-down")

        told = self.failure_of(lambda case: case.ask(1), tearDown=tear_down)
        self.assertIn("The test had run 2 queries:\n", told)

    def test_a_sub_test_that_fails_shows_what_had_run_by_then(self):
        def test(case):
            for number in range(2):
                with case.subTest(number=number):
                    case.ask(1)
                    case.assertEqual(number, 0)

        self.assertIn("The test had run 2 queries:\n", self.failure_of(test))

    def test_nothing_is_added_unless_asked_for(self):
        def test(case):
            case.ask(1)
            case.fail("too much")

        self.assertNotIn("The test had run", self.failure_of(test, show_queries=False))

    def test_a_success_an_expected_failure_and_a_skip_are_left_alone(self):
        class Fine(Shown):
            engine = self.url

            def test_passes(self):
                self.ask(1)

            @unittest.expectedFailure
            def test_fails_as_expected(self):
                self.fail("as expected")

            def test_skips(self):
                self.skipTest("today")

        result = support.run_case(Fine)
        self.assertEqual((result.failures, result.errors), ([], []))
        self.assertNotIn("The test had run", result.expectedFailures[0][1])
        self.assertEqual(result.skipped[0][1], "today")


class RunnersTest(running.ScenarioRuns):
    database = "report_runners_test"
    expected = "The test had run 1 query:\n1. INSERT INTO item (name) VALUES (%(name)s"

    def test_every_runner_shows_them_when_the_variable_asks(self):
        runners = {"unittest": ["-m", "unittest", "shop"], "nose2": ["-m", "nose2", "shop"]}
        runners["pytest"] = [*running.PYTEST, "shop.py"]
        for name, arguments in runners.items():
            if running.has(name):
                with self.subTest(runner=name):
                    done = self.run_scenario(*arguments, DBTESTCASE_SHOW_QUERIES="1")
                    told = re.sub(r"\nE? *", "\n", done.output)  # pytest moves it to the right
                    self.assertIn("AssertionError: 1 != 2\n" + self.expected, told)
                    self.assertIn("\nThe test had run 2 queries:\nthe same query: 2 times", told)

    @unittest.skipUnless(hasattr(unittest, "IsolatedAsyncioTestCase"), "new in Python 3.8")
    def test_a_coroutine_shows_them_too(self):
        arguments = ("-m", "unittest", "processes.CoroutineTest")
        done = self.run_scenario(*arguments, DBTESTCASE_SHOW_QUERIES="1")
        self.assertIn("after a query\nThe test had run 1 query:\n  1. SELECT 1\n", done.stderr)


class AddTextTest(unittest.TestCase):
    def told(self, error):
        try:
            raise error
        except Exception as raised:
            _compat.add_text(raised, "and more")
            _compat.add_text(raised, "and more")
            kept = type(error), raised.__traceback__
            return "".join(traceback.format_exception(*kept[:1], raised, kept[1]))

    def test_is_added_once_to_what_any_exception_says(self):
        class OwnError(Exception):
            def __str__(self):
                return "its own words"

        name = "%s.%s" % (OwnError.__module__, OwnError.__qualname__)
        for error, said in [
            (AssertionError("one"), "AssertionError: one"),
            (ValueError("one"), "ValueError: one"),
            (OwnError(1, 2), name + ": its own words"),
        ]:
            with self.subTest(error=error):
                told = self.told(error)
                self.assertTrue(told.endswith("\n%s\nand more\n" % said), told)
                self.assertEqual(told.count("and more"), 1)
                self.assertIsInstance(error, type(error))
                self.assertEqual(type(error).__name__, said.split(":")[0].split(".")[-1])

    def test_is_told_at_least_where_an_exception_cannot_say_more(self):
        stream = io.StringIO()
        with contextlib.redirect_stderr(stream):
            told = self.told(KeyError("one"))
        self.assertIn("KeyError: 'one'\n", told)
        self.assertEqual((told + stream.getvalue()).count("and more\n"), 1)
