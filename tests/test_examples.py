import os
import re
import unittest

from tests import support

RUNNERS = {
    "unittest": ["-m", "unittest", "discover"],
    "nose2": ["-m", "nose2"],
    "pytest": ["-m", "pytest", "-q", "-p", "no:cacheprovider"],
}


class ExampleContract:
    def number_of_tests_passed(self, runner):
        folder = os.path.join(support.ROOT, "examples", self.example)
        environment = {"DBTESTCASE_POSTGRESQL_URL": support.server_url()}
        done = support.run_python(*RUNNERS[runner], cwd=folder, env=environment)
        output = done.stdout + done.stderr
        self.assertEqual(done.returncode, 0, output)
        return int(re.search(r"(?:Ran )?(\d+) (?:tests? in|passed)", output).group(1))

    def test_passes_under_unittest_run_after_run(self):
        for _ in range(2):
            self.assertEqual(self.number_of_tests_passed("unittest"), self.tests)

    @support.requires("nose2")
    def test_passes_under_nose2(self):
        self.assertEqual(self.number_of_tests_passed("nose2"), self.tests)

    @support.requires("pytest")
    def test_passes_under_pytest(self):
        self.assertEqual(self.number_of_tests_passed("pytest"), self.tests)


@support.requires("flask_sqlalchemy")
class WebappTest(ExampleContract, unittest.TestCase):
    example = "webapp"
    tests = 17


class PlainTest(ExampleContract, unittest.TestCase):
    example = "plain"
    tests = 3
