import os
import shutil
import subprocess
import sys
import tempfile
import unittest

from dbtestcase import _compat
from tests import support

WORDS = (
    "Flask-SQLAlchemy 2.5.1 does not work with SQLAlchemy 2.0.58, though pip installs them"
    " together.\n"
    '  Flask-SQLAlchemy 2.5.1 works with SQLAlchemy below 2.0: pip install "SQLAlchemy<2.0"\n'
    "  SQLAlchemy 2.0.58 works with Flask-SQLAlchemy 3.0 or later:"
    ' pip install "Flask-SQLAlchemy>=3.0"'
)

# Each was installed and tried: SQLAlchemy, Flask-SQLAlchemy, Flask, Werkzeug.
WORKING = (
    ("1.3.24", "2.4.4", "1.1.4", "1.0.1"),
    ("1.4.54", "2.4.4", "1.1.4", "1.0.1"),
    ("1.3.24", "2.4.4", "2.0.3", "2.0.3"),
    ("1.4.54", "2.5.1", "2.2.5", "2.2.3"),
    ("1.3.24", "2.5.1", "1.1.4", "1.0.1"),
    ("1.4.54", "2.5.1", "2.3.3", "3.1.9"),
    ("1.4.54", "3.0.5", "2.3.3", "3.0.6"),
    ("1.4.18", "3.0.5", "2.3.3", "3.1.9"),
    ("2.0.16", "3.1.1", "2.3.3", "3.1.9"),
    ("1.4.54", "3.0.5", "3.1.3", "3.1.9"),
    ("2.0.58", "3.0.5", "2.2.5", "2.2.3"),
    ("2.1.9", "3.1.1", "3.1.3", "3.1.9"),
    ("2.0.58", "3.0.5", "2.2.5", "3.0.6"),
    ("2.0.58", None, "3.1.3", "3.1.9"),
    ("2.1.9", None, None, None),
)
BREAKING = (
    ("1.4.54", "2.4.4", "2.1.3", "2.1.2", "Flask-SQLAlchemy 2.4.4", "Werkzeug 2.1.2"),
    ("1.4.54", "2.4.4", "2.2.5", "2.0.3", "Flask-SQLAlchemy 2.4.4", "Flask 2.2.5"),
    ("1.4.54", "2.4.4", "3.1.3", "3.1.9", "Flask-SQLAlchemy 2.4.4", "Werkzeug 3.1.9"),
    ("1.4.54", "2.5.1", "3.1.3", "3.1.9", "Flask-SQLAlchemy 2.5.1", "Flask 3.1.3"),
    ("1.4.54", "2.5.1", "2.2.5", "3.1.9", "Flask 2.2.5", "Werkzeug 3.1.9"),
    ("1.4.54", "2.5.1", "2.2.2", "3.0.6", "Flask 2.2.2", "Werkzeug 3.0.6"),
    ("2.0.58", "2.5.1", "2.2.5", "2.3.8", "Flask-SQLAlchemy 2.5.1", "SQLAlchemy 2.0.58"),
    ("2.0", "2.5.1", "2.2.5", "2.3.8", "Flask-SQLAlchemy 2.5.1", "SQLAlchemy 2.0"),
    ("2.1.0rc1", "2.4.4", "1.1.4", "1.0.1", "Flask-SQLAlchemy 2.4.4", "SQLAlchemy 2.1.0rc1"),
    ("1.4.54", "3.1.1", "3.1.3", "3.1.9", "SQLAlchemy 1.4.54", "Flask-SQLAlchemy 3.1.1"),
    ("1.3.24", "3.0.5", "2.3.3", "3.0.6", "SQLAlchemy 1.3.24", "Flask-SQLAlchemy 3.0.5"),
)
NAMES = ("SQLAlchemy", "Flask-SQLAlchemy", "Flask", "Werkzeug")


class BrokenPairTest(unittest.TestCase):
    def test_nothing_is_said_of_versions_that_work(self):
        for versions in WORKING:
            with self.subTest(versions):
                self.assertIsNone(_compat.broken_pair(dict(zip(NAMES, versions)).get))

    def test_both_versions_are_named_where_they_break(self):
        for versions in BREAKING:
            with self.subTest(versions):
                text = _compat.broken_pair(dict(zip(NAMES, versions)).get)
                self.assertTrue(text.startswith("%s does not work with %s," % versions[-2:]), text)

    def test_the_words_say_what_works(self):
        versions = {"SQLAlchemy": "2.0.58", "Flask-SQLAlchemy": "2.5.1"}
        self.assertEqual(_compat.broken_pair(versions.get), WORDS)

    def test_a_template_engine_that_needs_an_older_markupsafe(self):
        text = _compat.broken_pair({"Jinja2": "2.11.3", "MarkupSafe": "2.1.5"}.get)
        self.assertIn('Jinja2 2.11.3 works with MarkupSafe below 2.1: pip install "Mark', text)
        self.assertIsNone(_compat.broken_pair({"Jinja2": "2.11.3", "MarkupSafe": "2.0.1"}.get))

    def test_flask_alone_is_not_blamed_for_its_extension(self):
        versions = {"SQLAlchemy": "2.0.58", "Flask-SQLAlchemy": "2.5.1", "Flask": "2.2.5"}
        self.assertIsNone(_compat.broken_pair(versions.get, library="Flask"))
        self.assertEqual(_compat.broken_pair(versions.get, library="Flask-SQLAlchemy"), WORDS)

    def test_what_is_installed_here_works(self):
        self.assertIsNone(_compat.broken_pair())


class InstalledVersionTest(unittest.TestCase):
    def test_is_read_without_an_import(self):
        program = (
            "from dbtestcase import _compat; import sys;"
            "print(_compat.installed_version('SQLAlchemy'));"
            "_compat.installed_version('Flask');"
            "print(sorted(name for name in sys.modules if name.startswith('flask')))"
        )
        import sqlalchemy

        done = support.run_python("-c", program)
        self.assertEqual(done.stdout.split("\n")[:2], [sqlalchemy.__version__, "[]"], done.stderr)

    def test_is_none_where_nothing_is_installed(self):
        self.assertIsNone(_compat.installed_version("no-such-library"))
        self.assertIsNone(_compat.version_in_folders("no-such-library"))

    def test_is_the_same_by_the_names_of_folders_as_on_python_3_7(self):
        for name in ("SQLAlchemy", "Flask", "Flask-SQLAlchemy", "nose2", "psycopg2-binary"):
            with self.subTest(name):
                self.assertEqual(_compat.version_in_folders(name), _compat.installed_version(name))

    def test_the_folders_of_every_kind_of_installation_are_understood(self):
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        sys.path.insert(0, folder)
        self.addCleanup(sys.path.remove, folder)
        for name, version in (
            ("My_Shop-1.2.dist-info", "1.2"),
            ("my.shop-1.3rc1-py3.7.egg-info", "1.3rc1"),
            ("my_shop-2.0.0-py3.7-linux-x86_64.egg-info", "2.0.0"),
        ):
            path = os.path.join(folder, name)
            os.mkdir(path)
            self.assertEqual(_compat.version_in_folders("My-Shop"), version)
            os.rmdir(path)


class BrokenInstallationTest(unittest.TestCase):
    """Programs that see other versions installed than there are."""

    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.describe("Flask_SQLAlchemy", "2.5.1")
        self.describe("SQLAlchemy", "2.0.58")
        self.write("flask_sqlalchemy.py", "raise AttributeError('from the depths')")
        self.write("webshop.py", "import flask_sqlalchemy")

    def describe(self, name, version):
        folder = os.path.join(self.folder, "%s-%s.dist-info" % (name, version))
        os.mkdir(folder)
        self.write(os.path.join(folder, "METADATA"), "Name: %s\nVersion: %s\n" % (name, version))

    def write(self, name, text):
        with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
            file.write(text)

    def run_program(self, text):
        path = os.pathsep.join([self.folder, support.ROOT])
        return subprocess.run(
            [sys.executable, "-c", text],
            env=dict(os.environ, PYTHONPATH=path),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            universal_newlines=True,
        )

    def assertRefused(self, text, words):
        done = self.run_program(text)
        self.assertIn("\ndbtestcase.ConfigurationError: " + words + "\n", done.stderr)

    def test_importing_the_extension_after_us_says_so(self):
        self.assertRefused("import dbtestcase, flask_sqlalchemy", WORDS)

    def test_a_module_that_imports_the_extension_says_so(self):
        self.assertRefused("import dbtestcase, webshop", WORDS)

    def test_importing_us_after_the_extension_says_so(self):
        self.write("flask_sqlalchemy.py", "")
        self.assertRefused("import flask_sqlalchemy, dbtestcase", WORDS)

    def test_a_class_that_names_its_app_says_so(self):
        self.assertRefused(
            "from dbtestcase import DatabaseTestCase\n"
            "class Case(DatabaseTestCase):\n"
            "    app = 'webshop:app'\n"
            "Case.setUpClass()",
            "Case: app = 'webshop:app' cannot be imported: " + WORDS,
        )

    def test_a_suite_that_does_not_use_the_extension_works(self):
        done = self.run_program(
            "import dbtestcase, importlib.util;"
            "print(importlib.util.find_spec('flask_sqlalchemy') is not None)"
        )
        self.assertEqual((done.stdout, done.stderr), ("True\n", ""))

    def test_versions_that_work_are_imported(self):
        os.rename(
            os.path.join(self.folder, "SQLAlchemy-2.0.58.dist-info"),
            os.path.join(self.folder, "SQLAlchemy-1.4.54.dist-info"),
        )
        self.write("SQLAlchemy-1.4.54.dist-info/METADATA", "Name: SQLAlchemy\nVersion: 1.4.54\n")
        self.describe("Flask", "2.2.5")
        self.describe("Werkzeug", "2.2.3")
        done = self.run_program("import dbtestcase, flask_sqlalchemy")
        self.assertIn("AttributeError: from the depths", done.stderr)


class MissingDriverTest(unittest.TestCase):
    def test_says_that_the_plain_name_means_another_driver_now(self):
        versions = {"SQLAlchemy": "2.1.9", "psycopg2-binary": "2.9.13"}
        error = ModuleNotFoundError("No module named 'psycopg'", name="psycopg")
        self.assertEqual(
            _compat.missing_driver(error, versions.get),
            "SQLAlchemy 2.1.9 takes postgresql:// for psycopg (version 3), which is not installed;"
            " psycopg2 2.9.13 is. Write postgresql+psycopg2:// or: pip install 'psycopg[binary]'",
        )

    def test_is_silent_of_other_drivers_and_where_neither_is_there(self):
        pg8000 = ModuleNotFoundError("No module named 'pg8000'", name="pg8000")
        psycopg = ModuleNotFoundError("No module named 'psycopg'", name="psycopg")
        self.assertIsNone(_compat.missing_driver(pg8000, {"psycopg2": "2.9.13"}.get))
        self.assertIsNone(_compat.missing_driver(psycopg, {"SQLAlchemy": "2.1.9"}.get))
        self.assertIsNone(_compat.missing_driver(AttributeError("depths"), {}.get))


if __name__ == "__main__":
    unittest.main()
