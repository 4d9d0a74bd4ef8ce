from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import unittest
from unittest import mock

import sqlalchemy as sa

from dbtestcase import DatabaseTestCase
from dbtestcase.dialects.postgresql import PostgreSQL
from dbtestcase.dialects.postgresql.claims import copying
from dbtestcase.dialects.postgresql.sessions import control
from dbtestcase.evidence import kept_rows, runs
from tests import running, support
from tests.claiming import Claims, library, output_of, said, scenario
from tests.holding import another_process


class Failing(DatabaseTestCase):
    """Tests of all kinds; a class of its own for each engine is made of it."""

    metadata = library.metadata
    keep_failed = True

    def add(self, name):
        self.session.add(library.Author(name=name))
        self.session.commit()

    def test_fails(self):
        self.add("failed")
        self.session.add(library.Author(name="pending"))
        self.session.flush()
        self.held = self.engine.connect()
        self.held.execute(sa.text("SELECT 1"))
        self.fail("as it is")

    def test_is_an_error(self):
        self.add("error")
        raise ValueError("x")

    def test_passes(self):
        self.assertRowCount(library.Author, 0)
        self.add("passed")

    def test_skips_itself(self):
        self.add("skipped")
        self.skipTest("today")

    @unittest.expectedFailure
    def test_is_expected_to_fail(self):
        self.add("expected")
        self.fail()

    def test_has_a_failing_part(self):
        self.add("part")
        for number in range(3):
            with self.subTest(number=number):
                self.assertNotEqual(number, 1)
            self.assertRowCount(library.Author, 1)

    def test_is_interrupted(self):
        raise KeyboardInterrupt

    def test_is_skipped_by_pytest(self):
        raise type("Skipped", (BaseException,), {})

    def test_shares_its_database_with_an_engine_of_a_module(self):
        other = sa.create_engine(self.engine.url)
        self.addCleanup(other.dispose)
        with other.connect():  # which its pool keeps open
            pass
        self.add("shared")
        self.fail()


class SettingUp(Failing):
    def setUp(self):
        super().setUp()
        self.add("set up")
        raise ValueError("in the set-up")


class NeverSetUp(Failing):
    def setUp(self):
        raise ValueError("before the set-up")


class LeavingOpen(Failing):
    def tearDown(self):
        self.left = self.engine.connect()
        super().tearDown()


class FailingTwice(Failing):
    def tearDown(self):
        super().tearDown()
        self.fail("again")


class ClearingUp(Failing):
    def tearDown(self):
        self.session.query(library.Author).delete()
        self.session.commit()
        super().tearDown()


CASES = (Failing, SettingUp, NeverSetUp, LeavingOpen, FailingTwice, ClearingUp)
FAILING = type("Hidden", (), {each.__name__: each for each in CASES})
del Failing, SettingUp, NeverSetUp, LeavingOpen, FailingTwice, ClearingUp, CASES  # no tests here


class KeepingTest(Claims):
    database = "claims_keep_test"

    def failing(self, base="Failing", **attributes):
        made = type("ShopTest", (getattr(FAILING, base),), dict({"engine": self.url}, **attributes))
        made.__module__, made.__qualname__ = "shop", "ShopTest"
        return made

    def kept_by(self, case, *tests):
        """Run failing tests; return what their texts say of copies, and the rows of these."""
        result = support.run_case(case, *tests)
        texts = [text for _, text in result.errors + result.failures]
        self.assertEqual(len(texts), len(tests) or 2)
        names = re.findall(r"psql .* -d (\w+)\n", "".join(texts))
        return texts, [self.rows_of(name) for name in names]

    def rows_of(self, name):
        return [row[0] for row in support.administer("SELECT name FROM author", database=name)]

    def test_a_failure_says_where_the_committed_rows_of_its_test_are(self):
        (text,), rows = self.kept_by(self.failing(), "test_fails")
        name = "claims_keep_test_failed_shoptest_test_fails_f2d7e0"
        self.assertEqual(rows, [["failed"]])
        self.assertRegex(
            text,
            "AssertionError: as it is\n"
            "What ShopTest.test_fails had committed is kept until it fails again:\n"
            "  postgresql://[^:@/]*@[^/]*/%s.*\n"
            "  psql .*-U \\w+ -d %s\n" % (name, name),
        )

    def test_errors_keep_their_rows_as_failures_do(self):
        self.assertEqual(self.kept_by(self.failing(), "test_is_an_error")[1], [["error"]])

    def test_a_failing_set_up_keeps_its_rows(self):
        self.assertEqual(self.kept_by(self.failing("SettingUp"), "test_passes")[1], [["set up"]])

    def test_rows_are_kept_before_a_tear_down_deletes_them(self):
        self.assertEqual(self.kept_by(self.failing("ClearingUp"), "test_fails")[1], [["failed"]])

    def test_an_outer_transaction_is_committed_for_its_copy_alone(self):
        case = self.failing(reset="rollback")
        self.assertEqual(self.kept_by(case, "test_fails")[1], [["failed"]])
        self.assertEqual(support.run_case(case, "test_fails", "test_passes").testsRun, 2)
        self.assertPasses(case, "test_passes")

    def test_rows_of_other_tests_are_not_kept(self):
        for name in ("test_passes", "test_skips_itself", "test_is_expected_to_fail"):
            with mock.patch.object(kept_rows, "_kept") as keep:
                self.assertPasses(self.failing(), name)
                self.assertFalse(keep.called, name)

    def test_what_pytest_raises_to_skip_and_an_interrupt_are_no_failures(self):
        with mock.patch.object(kept_rows, "_kept") as keep:
            for name in ("test_is_interrupted", "test_is_skipped_by_pytest"):
                with contextlib.suppress(BaseException):
                    support.run_case(self.failing(), name)
                self.assertFalse(keep.called, name)

    def test_nothing_is_kept_of_what_had_not_begun(self):
        result = support.run_case(self.failing("NeverSetUp"), "test_passes")
        ((_, text),) = result.errors
        self.assertTrue(text.endswith("\nValueError: before the set-up\n"), text)

    def test_the_connections_of_other_engines_are_not_in_the_way(self):
        name = "test_shares_its_database_with_an_engine_of_a_module"
        case = self.failing(engine=sa.create_engine(self.url))
        self.addCleanup(case.engine.dispose)
        self.assertEqual(self.kept_by(case, name)[1], [["shared"]])

    def test_what_a_tear_down_leaves_open_after_that_is_told(self):
        with self.assertWarnsRegex(ResourceWarning, "ShopTest.test_is_an_error left a connection"):
            self.kept_by(self.failing("LeavingOpen"), "test_is_an_error")

    def test_a_test_that_fails_twice_is_kept_once(self):
        with mock.patch.object(kept_rows, "_kept", return_value="kept") as keep:
            support.run_case(self.failing("FailingTwice"), "test_is_an_error")
        self.assertEqual(keep.call_count, 1)

    def test_a_test_that_is_run_again_is_kept_again(self):
        case = self.failing()("test_is_an_error")
        with mock.patch.object(kept_rows, "_kept", return_value="kept") as keep:
            for _ in range(2):
                case.run(unittest.TestResult())
        self.assertEqual(keep.call_count, 2)

    def test_no_other_run_takes_the_database_while_it_is_copied(self):
        taken, execute = [], control.Control.execute

        def execute_beside_another(connection, statement, *arguments):
            if statement.startswith("CREATE DATABASE"):
                engine = sa.create_engine(self.url, poolclass=sa.pool.NullPool)
                with contextlib.closing(
                    PostgreSQL(engine, PostgreSQL.identify(engine), 1.0)
                ) as other:
                    taken.append(other.claim())
            return execute(connection, statement, *arguments)

        with mock.patch.object(control.Control, "execute", execute_beside_another):
            self.kept_by(self.failing(), "test_is_an_error")
        self.assertEqual(taken, [False])

    def test_nothing_is_kept_unless_it_is_asked_for(self):
        with mock.patch.object(kept_rows, "_kept") as keep:
            support.run_case(self.failing(keep_failed=False), "test_fails")
            self.assertFalse(keep.called)
            with support.environment(**{runs.KEEP_FAILED: "1"}):
                keep.return_value = "kept"
                support.run_case(self.failing(keep_failed=False), "test_fails")
            self.assertTrue(keep.called)

    def test_a_failing_part_keeps_the_rows_at_the_end_of_its_test(self):
        with said() as words:
            result = support.run_case(self.failing(), "test_has_a_failing_part")
        ((_, text),) = result.failures
        names = re.findall(r"psql .* -d (\w+)\n", text + words.getvalue())
        self.assertEqual([self.rows_of(name) for name in set(names)], [["part"]])

    def test_the_next_failure_replaces_the_copy(self):
        case = self.failing()
        _, first = self.kept_by(case, "test_fails")
        before = self.copies()
        _, second = self.kept_by(case, "test_fails")
        self.assertEqual((first, self.copies()), (second, before))

    def copies(self):
        return support.administer(
            "SELECT datname FROM pg_database WHERE datname ~ 'keep_test_failed' ORDER BY 1"
        )

    def test_the_tests_after_a_kept_one_start_clean_and_on_the_claimed_database(self):
        result = support.run_case(self.failing(), "test_fails", "test_passes", "test_is_an_error")
        self.assertEqual((len(result.failures), len(result.errors)), (1, 1))
        with said():
            output = output_of(scenario(self.url, ROUNDS="1"))
        self.assertIn('this one creates its sibling "claims_keep_test_2"', output)

    def test_what_is_no_copy_is_not_replaced(self):
        name = "claims_keep_test_failed_shoptest_test_is_an_error_724a4d"
        support.administer('DROP DATABASE IF EXISTS "%s"' % name, 'CREATE DATABASE "%s"' % name)
        self.addCleanup(support.administer, 'DROP DATABASE "%s"' % name)
        (text,), _ = self.kept_by(self.failing(), "test_is_an_error")
        self.assertIn(
            "What ShopTest.test_is_an_error had committed could not be kept: the database"
            ' "%s" is no copy of a test\'s.\n' % name,
            text,
        )

    def test_somebody_else_who_is_connected_is_named(self):
        with another_process(self.url) as pid:
            (text,), rows = self.kept_by(self.failing(), "test_fails")
        self.assertRegex(
            text,
            "What ShopTest.test_fails had committed could not be kept: "
            'pid %d ".*" has "claims_keep_test" open\\.' % pid,
        )
        self.assertPasses(self.failing(), "test_passes")

    def test_a_copy_that_somebody_looks_at_is_not_replaced(self):
        case = self.failing()
        self.kept_by(case, "test_fails")
        name = "claims_keep_test_failed_shoptest_test_fails_f2d7e0"
        with another_process(support.url_of(name)) as pid:
            ((_, text),) = support.run_case(case, "test_fails").failures
        self.assertRegex(text, 'could not be kept: pid %d ".*" has "%s" open\\.' % (pid, name))

    def test_a_role_that_may_not_create_databases_is_told(self):
        url = support.postgresql_url("claims_poor_test", owner="owner_only")
        self.addCleanup(support.administer, "DROP DATABASE claims_poor_test WITH (FORCE)")
        case = self.failing(engine=url)
        (text,), _ = self.kept_by(case, "test_fails")
        self.assertIn(
            "\nWhat ShopTest.test_fails had committed could not be kept: permission denied to"
            " create database.\n",
            text,
        )
        self.assertPasses(case, "test_passes")

    def test_a_url_can_be_used_whatever_the_role_and_the_database_are_called(self):
        for host in ("db.example", "/run/my socket"):
            parts = {"host": host, "port": 5433, "username": "a@b/c"}
            url = sa.engine.url.make_url(copying._url(parts, "é test"))
            self.assertEqual((url.username, url.host or url.query["host"]), ("a@b/c", host))
            self.assertEqual(url.database.replace("%20", " ").replace("%C3%A9", "é"), "é test")

    def test_a_long_name_is_cut_but_stays_its_own(self):
        case = self.failing()("test_fails")
        name = kept_rows.name_of_copy(case, "é" * 40 + "_test")
        self.assertEqual(len(name.encode()), 63)
        self.assertTrue(name.startswith("é" * 20 + "_failed_"), name)
        self.assertTrue(name.endswith("_f2d7e0"), name)


class SQLiteKeepingTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def kept(self, url, **attributes):
        case = type("ShopTest", (FAILING.Failing,), dict({"engine": url}, **attributes))
        with mock.patch.object(tempfile, "tempdir", self.folder):
            ((_, text),) = support.run_case(case, "test_fails", "test_passes").failures
        (path,) = re.findall("is kept until it fails again:\n  (.*)\n  sqlite3 ", text)
        engine = sa.create_engine("sqlite:///" + path)
        with engine.connect() as connection:
            rows = connection.execute(sa.text("SELECT name FROM author")).fetchall()
        engine.dispose()
        self.assertEqual([row[0] for row in rows], ["failed"])
        self.assertEqual(os.path.dirname(path), os.path.realpath(self.folder))
        return os.path.basename(path)

    def test_the_rows_of_a_file_are_kept_beside_it(self):
        for reset in ("recreate", "rollback"):
            url = "sqlite:///" + os.path.join(self.folder, "shop_test.db")
            self.assertRegex(
                self.kept(url, reset=reset), r"^shop_test_failed_shoptest_test_fails_\w{6}\.db$"
            )

    def test_the_rows_of_a_database_in_memory_are_kept_in_a_file(self):
        self.assertRegex(self.kept("sqlite://"), r"^memory_failed_shoptest_test_fails_\w{6}\.db$")


@unittest.skipUnless(running.has("pytest"), "pytest is not installed")
class RunnersTest(Claims):
    database = "claims_runner_test"

    def test_every_runner_shows_where_the_rows_are(self):
        for runner in (
            ("-m", "unittest", "shop.ShopTest.test_4_fails"),
            ("-m", "nose2", "shop.ShopTest.test_4_fails"),
            ("-m", "pytest", "-q", "-p", "no:cacheprovider", "shop.py::ShopTest::test_4_fails"),
        ):
            with self.subTest(runner=runner[1]):
                output = output_of(scenario(self.url, *runner, DBTESTCASE_KEEP_FAILED="1"))
                self.assertIn("What ShopTest.test_4_fails had committed is kept until", output)


if __name__ == "__main__":
    unittest.main()
