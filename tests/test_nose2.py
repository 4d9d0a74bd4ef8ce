import json
import os
import unittest

from tests import running
from tests.running import OUTCOMES

NOSE2 = ("-m", "nose2", "--plugin", "dbtestcase.nose2")


@unittest.skipUnless(running.has("nose2"), "nose2 is not installed")
class PluginTest(running.ScenarioRuns):
    database = "report_nose2_test"

    def config(self, *lines):
        path = os.path.join(self.folder, "nose2.cfg")
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n".join(lines))
        return "--config=" + path

    def outcomes_in(self, name):
        with open(os.path.join(self.folder, name), encoding="utf-8") as file:
            told = json.load(file)
        return {row["name"]: row["outcome"] for row in told["tests"]}, told

    def test_says_nothing_unless_asked(self):
        done = self.run_scenario(*NOSE2, "shop")
        self.assertNotIn("Database report", done.output)

    def test_prints_the_report_below_the_summary_when_the_switch_is_given(self):
        for options in ([], ["-v"], ["-s", ".", "-t", "."], ["-B"], ["--log-capture"]):
            with self.subTest(options=options):
                done = self.run_scenario(*NOSE2, *options, "--database-report", "shop")
                summary = done.stderr.index("FAILED (failures=2, errors=1, skipped=1")
                self.assertLess(summary, done.stderr.index("Database report"))
                told = self.text_report(done.stderr)
                self.assertIn("9 tests (2 failed, 1 with errors, 1 skipped, 1 expected", told)

    def test_tells_what_the_names_on_the_command_line_select(self):
        done = self.run_scenario(*NOSE2, "--database-report", "shop.LedgerTest.test_adds")
        self.assertIn("\n1 test, # s\n", self.text_report(done.stderr))

    def test_says_so_when_no_test_used_a_database(self):
        done = self.run_scenario(*NOSE2, "--database-report", "nothing.that.is.there")
        told = self.text_report(done.stderr)
        self.assertIn("\nNo test of this run used a database.\n", told)

    def test_its_section_turns_it_on_and_says_how_much_and_where_to(self):
        path = os.path.join(self.folder, "out.json")
        config = self.config(
            "[unittest]",
            "plugins = dbtestcase.nose2",
            "[database-report]",
            "always-on = True",
            "lines = 1",
            "file = " + path,
        )
        done = self.run_scenario("-m", "nose2", config, "shop")
        told = self.text_report(done.stderr)
        self.assertRegex(told, r"\nMost queries\n        8  ShopTest.test_2_is_busy in # s\n\n")
        self.assertIn("\ndbtestcase: the report is in %s\n" % path, told)
        self.assertEqual(self.outcomes_in("out.json")[0], OUTCOMES)

    def test_a_file_on_the_command_line_asks_for_the_report_too(self):
        path = os.path.join(self.folder, "out.html")
        done = self.run_scenario(*NOSE2, "--database-report-file", path, "shop")
        self.text_report(done.stderr)
        self.assertTrue(os.path.exists(path))

    def test_the_variable_and_the_plugin_make_one_report(self):
        done = self.run_scenario(*NOSE2, "--database-report", "shop", DBTESTCASE_REPORT="1")
        self.text_report(done.output)

    def test_processes_of_mp_report_home(self):
        for options in ([], ["-v"]):
            with self.subTest(options=options):
                path = os.path.join(self.folder, "out.json")
                arguments = ["--plugin", "nose2.plugins.mp", "-N", "2", *options]
                arguments += ["--database-report-file", path]
                done = self.run_scenario(*NOSE2, *arguments, "shop")
                told = " ".join(self.text_report(done.stderr).split())
                self.assertIn("1 expected failure) in 2 processes, # s resets", told)
                outcomes, told = self.outcomes_in("out.json")
                self.assertEqual(outcomes, OUTCOMES)
                self.assertEqual(len(told["processes"]), 2)

    def test_processes_of_mp_report_home_without_the_plugin(self):
        told = self.report_of("-m", "nose2", "--plugin", "nose2.plugins.mp", "-N", "2", "shop")
        self.assertEqual({row["name"]: row["outcome"] for row in told["tests"]}, OUTCOMES)
        self.assertEqual(len(told["processes"]), 2)
