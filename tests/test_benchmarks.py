import importlib.util
import json
import os
import tempfile
import unittest
import xml.dom.minidom

import sqlalchemy as sa

from tests import support

DRIVER = importlib.util.find_spec("psycopg2") is not None


@unittest.skipUnless(DRIVER and sa.__version__ >= "2.0", "measures psycopg2 and SQLAlchemy 2")
class BenchmarksTest(unittest.TestCase):
    def run_benchmarks(self, *arguments):
        with tempfile.TemporaryDirectory() as folder:
            run = support.run_python(
                "-m", "benchmarks.run", "--output", folder, *arguments, timeout=400
            )
            files = {}
            for name in os.listdir(folder):
                with open(os.path.join(folder, name), encoding="utf-8") as file:
                    files[name] = file.read()
        return run, files

    def test_a_small_run_writes_a_table_a_chart_and_all_numbers(self):
        run, files = self.run_benchmarks(
            "--quick",
            "--tables",
            "2",
            "--written",
            "0,all",
            "--rounds",
            "2",
            "--resets",
            "9",
            "--fsync",
            "off",
        )
        self.assertIn(run.returncode, (0, 1), run.stderr)
        self.assertEqual(sorted(files), ["results.json", "results.rst", "results.svg"], run.stderr)
        self.assert_all_are_measured(json.loads(files["results.json"]))
        self.assertIn("2 tables, fsync off\n-------------------\n", files["results.rst"])
        self.assertIn('dbtestcase, reset = "recreate"', files["results.rst"])
        chart = xml.dom.minidom.parseString(files["results.svg"])
        self.assertIn("drop_all + create_all", chart.toxml())
        self.assertIn("round 2 of 2", run.stderr)
        self.assertIn("microseconds that a checkout takes more", run.stdout)

    def assert_all_are_measured(self, results):
        rows = results["rows"]
        self.assertEqual({(row["fsync"], row["written"]) for row in rows}, self.places)
        for row in rows:
            self.assertGreater(row["median_ms"], 0)
            self.assertGreaterEqual(row["tests"], 2)
            if row["subject"] == "outer-transaction":
                self.assertEqual(row["ratio"], 1)
        subjects = {row["subject"] for row in rows}
        wanted = {"dbtestcase", "dbtestcase-rollback", "delete", "drop-all", "template"}
        self.assertLessEqual(wanted, subjects)
        self.assertEqual(len(rows), len(subjects) * len(self.places))

    places = {(False, 0), (False, 2)}

    def test_a_subject_that_does_not_reset_is_found_out(self):
        with tempfile.TemporaryDirectory() as folder:
            program = os.path.join(folder, "unreset.py")
            with open(program, "w", encoding="utf-8") as file:
                file.write(UNRESET % support.postgresql_url("benchmarks_test"))
            run = support.run_python(program)
        self.assertIn("AssertionError: 1 not found in (0,)", run.stdout)


UNRESET = """
import sqlalchemy as sa
from benchmarks import recipes, workers

class Forgets(recipes.OuterTransaction):
    setUp = recipes.NoReset.setUp
    tearDown = recipes.NoReset.tearDown

Forgets.prepare(sa.engine.make_url("%s").set(drivername="postgresql+psycopg2"), 2)
Forgets.written = 1
workers.run_class(Forgets, 1)
Forgets.written = 0
try:
    workers.run_class(Forgets, 1)
except AssertionError as error:
    print("AssertionError:", str(error).splitlines()[-1].partition(": ")[2])
"""
