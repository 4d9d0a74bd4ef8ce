import glob
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
import venv
import zipfile

from tests import support

OPTIONAL = "flask flask_sqlalchemy nose2 psycopg psycopg2 sqlite3 dbtestcase.server".split()


def call(*arguments, **options):
    """Run a command; what it says is shown if it fails."""
    done = subprocess.run(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300, **options
    )
    if done.returncode:
        raise AssertionError(done.stdout.decode())
    return done.stdout.decode()


class WheelTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp()
        try:
            cls.wheel = cls.build(os.path.join(cls.folder, "a source tree"))
        except BaseException:
            shutil.rmtree(cls.folder)
            raise

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    @classmethod
    def build(cls, tree):
        leave = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist")
        shutil.copytree(support.ROOT, tree, ignore=leave)
        pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--use-pep517"]
        call(*pip, "--wheel-dir", cls.folder, ".", cwd=tree)
        return glob.glob(os.path.join(cls.folder, "dbtestcase-*.whl"))[0]

    def names(self):
        with zipfile.ZipFile(self.wheel) as archive:
            return archive.namelist()

    def test_holds_the_package_with_its_types_and_no_tests(self):
        names = self.names()
        self.assertIn("dbtestcase/py.typed", names)
        self.assertEqual(
            {name.split("/")[0].partition("-")[0] for name in names}, {"dbtestcase"}, names
        )

    def test_holds_every_module(self):
        inside = {name for name in self.names() if name.endswith(".py")}
        modules = glob.glob(os.path.join(support.ROOT, "dbtestcase", "**", "*.py"), recursive=True)
        self.assertEqual(inside, {os.path.relpath(path, support.ROOT) for path in modules})

    def test_installs_in_an_empty_environment(self):
        environment = os.path.join(self.folder, "an environment")
        venv.create(environment, with_pip=True)
        python = os.path.join(environment, "bin", "python")
        call(python, "-m", "pip", "install", "--quiet", self.wheel)
        code = "import dbtestcase; print(dbtestcase.DatabaseTestCase, dbtestcase.__file__)"
        told = call(python, "-W", "error", "-c", code, cwd=self.folder)
        self.assertIn(environment, told)


class ImportTest(unittest.TestCase):
    def test_loads_no_library_that_is_optional(self):
        code = "import dbtestcase, sys; print(*sorted(set(%r) & set(sys.modules)))" % OPTIONAL
        done = support.run_python("-c", code)
        self.assertEqual((done.returncode, done.stdout.strip()), (0, ""), done.stderr)
