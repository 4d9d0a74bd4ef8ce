import io
import os
import sys
import tempfile
import time
import unittest
from unittest import mock

from dbtestcase import events
from tests import running, support


class ToldTest(unittest.TestCase):
    def told(self, seconds):
        stream = io.StringIO()
        with mock.patch.object(sys, "__stderr__", stream):
            with mock.patch.object(events, "QUIET_SECONDS", 0.1):
                with events.slow_work("making tables"):
                    time.sleep(seconds)
                    return stream.getvalue()

    def test_long_work_says_so_while_it_is_at_it(self):
        self.assertEqual(self.told(0.3), "dbtestcase: making tables ...\n")

    def test_short_work_says_nothing(self):
        self.assertEqual(self.told(0), "")


class SlowBuildTest(running.ScenarioRuns):
    database = "report_slow_test"

    def test_a_slow_build_says_so_also_where_the_runner_keeps_what_tests_print(self):
        done = self.run_scenario("-m", "unittest", "-b", "processes.SlowTest")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("printed by the test", done.output)
        self.assertEqual(
            [line for line in done.stderr.splitlines() if line.startswith("dbtestcase:")],
            ['dbtestcase: making "report_slow_test" anew for SlowTest, 1 table ...'],
        )


@unittest.skipUnless(running.has("pytest"), "pytest is not installed")
class SurpriseTest(unittest.TestCase):
    def said(self, *options):
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "test_it.py"), "w", encoding="utf-8") as file:
                file.write(
                    "from dbtestcase import events\n"
                    "def test_that_passes():\n"
                    "    events.say('a surprise')\n"
                )
            pytest = ("-m", "pytest", "-q", "-p", "no:cacheprovider", *options)
            done = support.run_python(*pytest, cwd=folder)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return (done.stdout + done.stderr).count("dbtestcase: a surprise\n")

    def test_what_pytest_keeps_of_tests_that_pass_is_said_at_the_end(self):
        self.assertEqual(self.said(), 1)

    def test_what_pytest_does_not_keep_is_said_once(self):
        self.assertEqual(self.said("-s"), 1)
