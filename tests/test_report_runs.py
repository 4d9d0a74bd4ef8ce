import os
import unittest

from tests import running, support
from tests.running import OUTCOMES


class UnittestTest(running.ScenarioRuns):
    database = "report_test"
    maxDiff = None

    def test_nothing_is_said_unless_asked_for(self):
        done = self.run_scenario("-m", "unittest", "shop", DBTESTCASE_REPORT="0")
        self.assertNotIn("Database report", done.output)

    def test_prints_the_report_below_the_summary(self):
        done = self.run_scenario("-m", "unittest", "shop", DBTESTCASE_REPORT="1")
        before = done.stderr.index("FAILED (failures=2, errors=1, skipped=1, expected failures=1)")
        self.assertLess(before, done.stderr.index("Database report"))
        told = self.text_report(done.stderr)
        self.assertIn("\n9 tests (2 failed, 1 with errors, 1 skipped, 1 expected failure)", told)
        self.assertIn("7 verified", told)
        self.assertIn('\n  after ShopTest.test_1_adds_a_table: table "note" was created\n', told)
        self.assertRegex(told, r"tests +9 +# s +# s of it in 15 queries\n")
        self.assertIn(
            "\nLeft open\n  ShopTest.test_3_leaves_a_connection_open left a connection open at"
            " shop.py:45\n      in test_3_leaves_a_connection_open (",
            told,
        )
        self.assertRegex(told, r'\n  0 connections of this run; databases? "report_test"')

    def test_tells_machines_the_same(self):
        told = self.report_of("-m", "unittest", "shop")
        self.assertEqual({row["name"]: row["outcome"] for row in told["tests"]}, OUTCOMES)
        self.assertEqual(
            told["totals"]["resets"], {"verified": 7, "rolled back": 1, "recreated": 1, "built": 1}
        )
        queries = {row["name"]: row["queries"] for row in told["tests"] if row["queries"]}
        self.assertEqual(
            queries,
            {
                "LedgerTest.test_adds": 2,
                "ShopTest.test_1_adds_a_table": 1,
                "ShopTest.test_2_is_busy": 8,
                "ShopTest.test_3_leaves_a_connection_open": 1,
                "ShopTest.test_4_fails": 1,
                "ShopTest.test_5_breaks_a_constraint": 2,
            },
        )
        (change,) = told["changes"]
        self.assertEqual(change["after"], "ShopTest.test_1_adds_a_table")
        self.assertEqual(change["before"], "ShopTest.test_2_is_busy")
        (leak,) = told["left_open"]
        self.assertEqual(leak["file"], os.path.join(running.SCENARIOS, "shop.py"))
        for row in told["tests"]:
            if row["reset"] is not None:
                self.assertGreater(row["reset_seconds"], 0)
                self.assertGreater(row["seconds"], 0)
            self.assertLessEqual(row["database_seconds"], row["seconds"])

    def test_counts_what_failed_tests_kept_among_what_is_left(self):
        told = self.report_of(
            "-m", "unittest", "shop.ShopTest.test_4_fails", DBTESTCASE_KEEP_FAILED="1"
        )
        ((name,),) = [row["kept"] for row in told["servers"]]
        self.addCleanup(support.administer, 'DROP DATABASE "%s"' % name)
        self.assertIn("report_test_failed_shoptest_test_4_fails_", name)
        self.assertNotIn(name, told["servers"][0]["databases"])
        (row,) = told["tests"]
        self.assertLess(row["seconds"], row["leave_seconds"])  # copying is no part of the test

    def test_options_of_the_runner_change_nothing_but_what_they_are_for(self):
        for options in (["-b"], ["--locals"], ["-v"]):
            with self.subTest(options=options):
                told = self.report_of("-m", "unittest", *options, "shop")
                self.assertEqual({row["name"]: row["outcome"] for row in told["tests"]}, OUTCOMES)

    def test_failfast_ends_the_run_at_the_first_failure(self):
        told = self.report_of("-m", "unittest", "-f", "shop")
        self.assertEqual(told["totals"]["outcomes"], {"failed": 1, "passed": 4})

    def test_is_told_when_the_run_is_interrupted(self):
        told = self.report_of("-m", "unittest", "processes.InterruptedTest")
        self.assertEqual(told["totals"]["outcomes"], {"unfinished": 1, "passed": 1})

    def test_a_forked_child_reports_home(self):
        told = self.report_of("-m", "unittest", "processes.ForkingTest")
        self.assertEqual([row["name"] for row in told["tests"]], ["InChildTest.test_in_the_child"])

    @unittest.skipUnless(hasattr(unittest, "IsolatedAsyncioTestCase"), "new in Python 3.8")
    def test_coroutines_are_tests_too(self):
        told = self.report_of("-m", "unittest", "processes.CoroutineTest")
        (row,) = told["tests"]
        self.assertEqual((row["outcome"], row["queries"]), ("failed", 1))

    def test_writes_a_page(self):
        path = os.path.join(self.folder, "report.html")
        self.run_scenario("-m", "unittest", "shop", DBTESTCASE_REPORT=path)
        with open(path, encoding="utf-8") as file:
            self.assertIn("shop.ShopTest.test_2_is_busy", file.read())


@unittest.skipUnless(running.has("pytest"), "pytest is not installed")
class PytestTest(running.ScenarioRuns):
    database = "report_pytest_test"

    def test_tells_the_same(self):
        told = self.report_of(*running.PYTEST, "shop.py")
        self.assertEqual({row["name"]: row["outcome"] for row in told["tests"]}, OUTCOMES)

    def test_prints_the_report_below_the_summary(self):
        done = self.run_scenario(*running.PYTEST, "shop.py", DBTESTCASE_REPORT="1")
        self.assertRegex(done.stdout.splitlines()[-1], r"^\d failed, \d passed")
        self.text_report(done.stderr)

    @unittest.skipUnless(running.has("xdist"), "pytest-xdist is not installed")
    def test_workers_make_one_report(self):
        told = self.report_of(*running.PYTEST, "-n", "2", "shop.py")
        self.assertEqual({row["name"]: row["outcome"] for row in told["tests"]}, OUTCOMES)
        self.assertEqual(told["processes"], ["gw0", "gw1"])
        self.assertEqual(len(told["servers"]), 2)
