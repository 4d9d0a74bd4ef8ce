from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
import textwrap
import unittest

from tests import support


@support.requires("flask_sqlalchemy")
class RunnersTest(support.Outcomes):
    """A small suite in processes of its own, under each runner."""

    SUITE = """
        import unittest
        from dbtestcase import DatabaseTestCase
        from tests import models

        library = models.library()
        app = models.make_app(library.db, "sqlite://")

        class Base(DatabaseTestCase):
            app = app
            config = models.testing(%r)

            def test_base(self):
                self.assertEqual(self.db.session.query(library.Author).count(), 0)
                self.db.session.add(library.Author(name="a"))
                self.db.session.commit()

        class FirstTest(Base):
            def test_one(self):
                self.test_base()
                self.assertRowCount(library.Author, 1)

        class SecondTest(Base):
            @unittest.expectedFailure
            def test_two(self):
                self.test_base()
                self.fail()
    """

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="a suite ")
        self.addCleanup(shutil.rmtree, self.folder)

    def run_suite(self, *arguments, name="core_runner_test"):
        with open(os.path.join(self.folder, "test_suite.py"), "w") as file:
            file.write(textwrap.dedent(self.SUITE % support.postgresql_url(name)))
        return support.run_python(*arguments, cwd=self.folder)

    def test_unittest(self):
        ran = self.run_suite("-m", "unittest", "discover")
        self.assertIn("Ran 5 tests", ran.stderr)
        self.assertIn("OK (expected failures=1)", ran.stderr)
        self.assertEqual(ran.returncode, 0)

    def test_unittest_with_failfast_buffer_and_locals(self):
        ran = self.run_suite("-m", "unittest", "discover", "-f", "-b", "--locals")
        self.assertIn("OK (expected failures=1)", ran.stderr)

    def test_nose2(self):
        ran = self.run_suite("-m", "nose2", "-v")
        self.assertIn("Ran 5 tests", ran.stderr)
        self.assertIn("OK (expected failures=1)", ran.stderr)
        self.assertEqual(ran.returncode, 0)

    @unittest.skipUnless(importlib.util.find_spec("pytest"), "pytest is not installed")
    def test_pytest(self):
        ran = self.run_suite("-m", "pytest", "-q", "-p", "no:cacheprovider")
        self.assertIn("4 passed, 1 xfailed", ran.stdout)
        self.assertEqual(ran.returncode, 0)

    def test_the_tests_of_two_classes_mixed(self):
        ran = self.run_suite(
            "-m", "unittest", "test_suite.FirstTest.test_one", "test_suite.SecondTest.test_base",
            "test_suite.FirstTest.test_base", "test_suite.SecondTest.test_two",
        )  # fmt: skip
        self.assertIn("OK (expected failures=1)", ran.stderr)

    def test_nothing_is_left_on_the_server(self):
        self.run_suite("-m", "unittest", "discover", name="core_left_test")
        self.assertEqual(
            support.administer("SELECT pid FROM pg_stat_activity WHERE datname = 'core_left_test'"),
            [],
        )


if __name__ == "__main__":
    unittest.main()
