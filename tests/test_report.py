import io
import os
import subprocess
import sys
import tempfile
import time
import unittest

from dbtestcase import report
from dbtestcase.report import html, outputs, text
from dbtestcase.report.parts import Parts
from dbtestcase.report.run import Run
from tests import running, support

OUTCOMES = {
    "LedgerTest.test_adds": "passed",
    "ShopTest.test_1_adds_a_table": "passed",
    "ShopTest.test_2_is_busy": "passed",
    "ShopTest.test_3_leaves_a_connection_open": "passed",
    "ShopTest.test_4_fails": "failed",
    "ShopTest.test_5_breaks_a_constraint": "error",
    "ShopTest.test_6_is_expected_to_fail": "expected failure",
    "ShopTest.test_7_has_sub_tests": "failed",
    "ShopTest.test_8_skips_itself": "skipped",
}


def finished_test(name, **values):
    row = dict(
        event="test",
        at=100.0,
        process="1",
        id="shop.%s" % name,
        name=name,
        outcome="passed",
        reset="verified",
        reset_seconds=0.004,
        seconds=0.1,
        leave_seconds=0.001,
        queries=0,
        database_seconds=0.0,
    )
    return dict(row, **values)


def sample():
    leak = "OrderTest.test_list left a session open at shop.py:9 in test_list (0.2 s, backend 7)"
    return Run(
        [
            dict(
                event="class",
                at=100.0,
                process="1",
                name="OrderTest",
                reset="built",
                reset_seconds=0.5,
            ),
            finished_test("OrderTest.test_total", queries=3, database_seconds=0.08),
            finished_test("OrderTest.test_list", queries=41, database_seconds=0.02),
            finished_test(
                "OrderTest.test_ddl",
                outcome="failed",
                reset="recreated",
                reset_seconds=0.31,
                process="2",
                seconds=12,
                queries=1,
                database_seconds=0.001,
            ),
            dict(
                event="change",
                at=101.0,
                process="2",
                database="shop_test",
                reason='table "note" was created',
                after="OrderTest.test_list",
                before="OrderTest.test_ddl",
            ),
            dict(event="left open", at=101.0, process="1", test="x", text=leak),
            dict(event="notice", at=101.0, process="1", text="a notice"),
            dict(
                event="server",
                at=101.0,
                process="1",
                databases=["shop_test", "shop_test_2"],
                connections=2,
                transactions=["T.t is still in a transaction, on the connection of shop.py:9"],
            ),
        ],
        began=100.0,
        ended=113.5,
    )


class TextTest(unittest.TestCase):
    maxDiff = None

    def test_fits_on_one_screen_of_80_columns(self):
        self.assertEqual(
            text.render(sample()),
            """\
Database report ----------------------------------------------------------------
3 tests (1 failed) in 2 processes, 13.5 s

resets       4    0.821 s   2 verified (4.0 ms each), 1 recreated (0.31 s), 1
                            built (0.50 s)
tests        3     12.2 s   0.101 s of it in 45 queries

Dropped and created, as something had changed
  after OrderTest.test_list: table "note" was created

Slowest by database time
  0.080 s  OrderTest.test_total in 3 queries
  0.020 s  OrderTest.test_list in 41 queries
  0.001 s  OrderTest.test_ddl in 1 query

Most queries
       41  OrderTest.test_list in 0.020 s
        3  OrderTest.test_total in 0.080 s
        1  OrderTest.test_ddl in 0.001 s

Left open
  OrderTest.test_list left a session open at shop.py:9 in test_list (0.2 s,
      backend 7)

Left on the server
  2 connections of this run; databases "shop_test", "shop_test_2"
  T.t is still in a transaction, on the connection of shop.py:9

Also
  a notice""",
        )

    def test_cuts_long_lists_and_says_where_the_rest_is(self):
        tests = [finished_test("T.test_%d" % n, queries=n, database_seconds=n) for n in range(1, 6)]
        lines = text.render(Run(tests, 100, 101), 2).splitlines()
        self.assertEqual(
            lines[lines.index("Most queries") :],
            ["Most queries", "        5  T.test_5 in 5.00 s", "        4  T.test_4 in 4.00 s"],
        )
        leaks = [dict(event="left open", at=100, text="leak %d" % n) for n in range(5)]
        self.assertIn(
            "\n\nLeft open\n  leak 0\n  leak 1\n"
            "  and 3 more: DBTESTCASE_REPORT=report.html shows all",
            text.render(Run(tests + leaks, 100, 101), 2),
        )

    def test_names_the_database_of_a_change_where_there_are_several(self):
        changes = [
            dict(event="change", at=100, database=name, reason="x", after=None)
            for name in ("a_test", "b_test")
        ]
        told = text.render(Run([finished_test("T.test")] + changes, 100, 101))
        self.assertIn('\n  before the first test, in "b_test": x\n', told + "\n")

    def test_says_so_when_no_test_used_a_database(self):
        self.assertEqual(
            text.render(Run([], 100, 101)).splitlines()[1:],
            ["No test of this run used a database."],
        )


class PageTest(unittest.TestCase):
    def test_has_everything_in_it(self):
        page = html.render(sample())
        self.assertIn('"OrderTest.test_total"', page)
        for outside in ("http:", "https:", "src=", "the style", "the script", '"the run"'):
            self.assertNotIn(outside, page)

    def test_is_not_broken_by_what_tests_are_called(self):
        page = html.render(Run([finished_test("</script><b>")], 100, 101))
        self.assertEqual(page.count("</script>"), 1)


class OutputsTest(unittest.TestCase):
    def test_the_variable_asks_for_the_terminal_for_files_or_for_both(self):
        for value, expected in {
            "": [],
            "0": [],
            "no": [],
            "1": ["-"],
            "true": ["-"],
            "report.json": ["report.json"],
            "1, a.json,b.html": ["-", "a.json", "b.html"],
        }.items():
            with self.subTest(value=value):
                self.assertEqual(outputs.asked_for(value), expected)

    def test_a_file_of_another_kind_gets_the_text(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "report.txt")
            outputs.write(sample(), [path], io.StringIO())
            with open(path, encoding="utf-8") as file:
                self.assertEqual(file.read(), text.render(sample()) + "\n")

    def test_a_file_that_cannot_be_written_is_told(self):
        stream = io.StringIO()
        outputs.write(sample(), ["/no/such/folder/report.json"], stream)
        self.assertEqual(
            stream.getvalue(),
            "dbtestcase: the report could not be written to /no/such/folder/report.json:"
            " No such file or directory\n",
        )


class InertTest(unittest.TestCase):
    @unittest.skipIf(report.is_on(), "this very run is reported on")
    def test_hardly_costs_anything_unless_asked_for(self):
        began = time.perf_counter()
        for _ in range(1000):
            with report.testing(self):
                with report.resetting(self):
                    report.changed("shop_test", "x")
                    report.left_open(None)
                with report.leaving():
                    pass
        self.assertLess((time.perf_counter() - began) / 1000, 50e-6)

    def test_listens_to_no_engine_unless_asked_for(self):
        code = (
            "import sqlalchemy as sa, dbtestcase;"
            "print(len(sa.create_engine('sqlite://').dispatch.before_cursor_execute),"
            " dbtestcase.testcase.report.is_on())"
        )
        told = support.run_python("-c", code, env={"DBTESTCASE_REPORT": ""}).stdout
        self.assertEqual(told, "0 False\n")
        told = support.run_python("-c", code, env={"DBTESTCASE_REPORT": "1"}).stdout
        self.assertEqual(told, "1 True\n")


class PartsTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        former = {name: os.environ.pop(name, None) for name in self.VARIABLES}
        self.addCleanup(lambda: os.environ.update({k: v for k, v in former.items() if v}))
        self.addCleanup(lambda: [os.environ.pop(name, None) for name in self.VARIABLES])
        self.addCleanup(setattr, tempfile, "tempdir", tempfile.tempdir)
        tempfile.tempdir = folder.name

    VARIABLES = ("DBTESTCASE_REPORT_PARTS", "PYTEST_XDIST_TESTRUNUID", "PYTEST_XDIST_WORKER")

    def test_the_process_that_began_collects_what_others_wrote(self):
        first = Parts()
        second = Parts()
        second.append({"at": 2})
        first.append({"at": 1})
        self.assertIsNone(second.collect())
        self.assertEqual(first.collect(), [{"at": 1}, {"at": 2}])
        self.assertEqual(os.listdir(tempfile.tempdir), [])

    def test_half_a_line_of_a_killed_process_is_passed_over(self):
        parts = Parts()
        parts.append({"at": 1})
        with open(os.path.join(parts.directory, "1.jsonl"), "w", encoding="utf-8") as file:
            file.write('{"at": 2}\n{"at": 3, "na')
        self.assertEqual(parts.collect(), [{"at": 1}, {"at": 2}])

    def test_a_process_that_outlives_its_run_leaves_nothing_behind(self):
        first, second = Parts(), Parts()
        first.collect()
        second.append({"at": 1})
        self.assertEqual(os.listdir(tempfile.tempdir), [])

    def test_of_workers_without_a_parent_the_last_one_collects_whoever_was_killed(self):
        code = (
            "import sys; from dbtestcase.report.parts import Parts; p = Parts();"
            "p.append({'at': int(sys.argv[1])}); print('ready', flush=True);"
            "sys.stdin.readline(); print(p.collect())"
        )
        environment = dict(
            os.environ,
            PYTHONPATH=support.ROOT,
            PYTEST_XDIST_TESTRUNUID="run",
            TMPDIR=tempfile.tempdir,
        )
        workers = [self.start(code, str(number), environment) for number in range(3)]
        self.assertEqual([worker.stdout.readline() for worker in workers], ["ready\n"] * 3)
        workers[0].kill()
        workers[0].wait()
        told = [worker.communicate("go\n")[0] for worker in workers[1:]]
        self.assertEqual(told, ["None\n", "[{'at': 0}, {'at': 1}, {'at': 2}]\n"])
        self.assertEqual(os.listdir(tempfile.tempdir), [])

    def start(self, code, argument, environment):
        pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, universal_newlines=True)
        worker = subprocess.Popen([sys.executable, "-c", code, argument], env=environment, **pipes)
        for close in (worker.stdin.close, worker.stdout.close, worker.wait, worker.kill):
            self.addCleanup(close)
        return worker


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
