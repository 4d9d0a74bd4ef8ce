import os
import subprocess
import sys
import tempfile
import unittest

from dbtestcase.report.parts import Parts
from tests import support


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
