"""Runs of a scenario under each runner, in processes of their own."""

from __future__ import annotations

import glob
import importlib.util
import json
import os
import re
import shutil
import tempfile
import unittest
from typing import Any

from tests import support

SCENARIOS = os.path.join(support.ROOT, "tests", "scenarios")
PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", SCENARIOS)

# What becomes of the tests of the scenario "shop".
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


def has(module: str) -> bool:
    """Tell whether a module can be imported."""
    return importlib.util.find_spec(module) is not None


class ScenarioRuns(unittest.TestCase):
    """Runs scenarios on a database and with temporary files of its own."""

    database: str

    @classmethod
    def setUpClass(cls) -> None:
        cls.url = support.postgresql_url(cls.database)

    def setUp(self) -> None:
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def run_scenario(self, *arguments: str, **environment: str) -> Any:
        """Run Python with the arguments in the folder of the scenarios; return both outputs."""
        variables = dict(SHOP_URL=self.url, TMPDIR=self.folder, PYTHONWARNINGS="default")
        variables.update(environment)
        done = support.run_python(*arguments, cwd=SCENARIOS, env=variables)
        done.output = done.stdout + done.stderr
        left_behind = glob.glob(os.path.join(self.folder, "dbtestcase-report-*"))
        self.assertEqual(left_behind, [])
        return done

    def report_of(self, *arguments: str, **environment: str) -> Any:
        """Run with the report asked for in JSON; return it."""
        path = os.path.join(self.folder, "report.json")
        done = self.run_scenario(*arguments, DBTESTCASE_REPORT=path, **environment)
        self.assertIn("dbtestcase: the report is in %s\n" % path, done.output)
        with open(path, encoding="utf-8") as file:
            return json.load(file)

    def text_report(self, output: str) -> str:
        """Return the one report in an output, with its durations made alike."""
        self.assertEqual(output.count("Database report -"), 1, output)
        report = output[output.index("Database report -") :]
        return re.sub(r" *\d+\.\d+ (m?s)", r" # \1", report)
