import io
import os
import tempfile
import time
import unittest

from dbtestcase import events, report
from dbtestcase.report import outputs
from dbtestcase.report.run import Run
from tests import support


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
                kept=["shop_test_failed_ordertest_test_ddl_0a1b2c"],
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
            outputs.render(sample()),
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
  2 connections of this run; databases "shop_test", "shop_test_2"; 1 copy of
      failed tests: python -m dbtestcase databases names it
  T.t is still in a transaction, on the connection of shop.py:9

Also
  a notice""",
        )

    def test_cuts_long_lists_and_says_where_the_rest_is(self):
        tests = [finished_test("T.test_%d" % n, queries=n, database_seconds=n) for n in range(1, 6)]
        lines = outputs.render(Run(tests, 100, 101), 2).splitlines()
        self.assertEqual(
            lines[lines.index("Most queries") :],
            ["Most queries", "        5  T.test_5 in 5.00 s", "        4  T.test_4 in 4.00 s"],
        )
        leaks = [dict(event="left open", at=100, text="leak %d" % n) for n in range(5)]
        self.assertIn(
            "\n\nLeft open\n  leak 0\n  leak 1\n"
            "  and 3 more: DBTESTCASE_REPORT=report.html shows all",
            outputs.render(Run(tests + leaks, 100, 101), 2),
        )

    def test_names_the_database_of_a_change_where_there_are_several(self):
        changes = [
            dict(event="change", at=100, database=name, reason="x", after=None)
            for name in ("a_test", "b_test")
        ]
        told = outputs.render(Run([finished_test("T.test")] + changes, 100, 101))
        self.assertIn('\n  before the first test, in "b_test": x\n', told + "\n")

    def test_says_so_when_no_test_used_a_database(self):
        self.assertEqual(
            outputs.render(Run([], 100, 101)).splitlines()[1:],
            ["No test of this run used a database."],
        )


class PageTest(unittest.TestCase):
    def test_has_everything_in_it(self):
        page = outputs.page(sample())
        self.assertIn('"OrderTest.test_total"', page)
        for outside in ("http:", "https:", "src=", "the style", "the script", '"the run"'):
            self.assertNotIn(outside, page)

    def test_is_not_broken_by_what_tests_are_called(self):
        page = outputs.page(Run([finished_test("</script><b>")], 100, 101))
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
                self.assertEqual(file.read(), outputs.render(sample()) + "\n")

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
            with events.during(events.TEST, self):
                with events.during(events.RESET, self):
                    events.note(events.CHANGED, database="shop_test", reason="x")
                    events.note(events.LEFT_OPEN, leak=None)
                with events.during(events.LEAVING, self):
                    pass
        self.assertLess((time.perf_counter() - began) / 1000, 50e-6)

    def test_listens_to_no_engine_unless_asked_for(self):
        code = (
            "import sqlalchemy as sa, dbtestcase;"
            "print(len(sa.create_engine('sqlite://').dispatch.before_cursor_execute),"
            " dbtestcase.events.is_heard())"
        )
        told = support.run_python("-c", code, env={"DBTESTCASE_REPORT": ""}).stdout
        self.assertEqual(told, "0 False\n")
        told = support.run_python("-c", code, env={"DBTESTCASE_REPORT": "1"}).stdout
        self.assertEqual(told, "1 True\n")
