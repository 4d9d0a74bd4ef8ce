import io
import sys
import time
import unittest
from unittest import mock

from dbtestcase import progress
from tests import running


class ToldTest(unittest.TestCase):
    def told(self, seconds):
        stream = io.StringIO()
        with mock.patch.object(sys, "__stderr__", stream):
            with mock.patch.object(progress, "QUIET_SECONDS", 0.1):
                with progress.told("making tables"):
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
