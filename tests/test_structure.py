"""The structure of the package, held by the rules in ``structure.py``."""

import unittest

from tests import reading, structure

# A small package that breaks no rule; each test of a rule plants one module that does.
SOUND = {
    "__init__.py": '"""Door."""\nfrom .testcase import Case\n__all__ = ["Case"]\n',
    "testcase.py": "from . import where\nfrom .databases import check\nclass Case: pass\n",
    "databases/__init__.py": '"""Door."""\nfrom .check import check\n__all__ = ["check"]\n',
    "databases/check.py": "from ..dialects import of_engine\ndef check(): return of_engine\n",
    "dialects/__init__.py": (
        '"""Door."""\nimport importlib\n__all__ = ["of_engine"]\n'
        "def of_engine(name): return importlib.import_module('.' + name, __name__)\n"
    ),
    "dialects/postgresql/__init__.py": (
        '"""Door."""\nfrom .database import DIALECT\n__all__ = ["DIALECT"]\n'
    ),
    "dialects/postgresql/database.py": "from .reset import restore\nDIALECT = restore\n",
    "dialects/postgresql/reset/__init__.py": (
        '"""Door."""\nfrom .rows import restore\n__all__ = ["restore"]\n'
    ),
    "dialects/postgresql/reset/rows.py": "def restore(): return 'DELETE FROM x'\n",
    "_compat/__init__.py": '"""Door."""\nfrom .python import *\n',
    "_compat/python.py": "import sys\nNEW = sys.version_info >= (3, 8)\n",
    "where.py": "",
    "events.py": "",
    "errors.py": "class DatabaseTestCaseError(Exception): pass\n",
}

RULES_OF_PACKAGES = (
    structure.wrong_layers,
    structure.circles_of_rooms,
    structure.circles_of_files,
    structure.past_doors,
    structure.bad_doors,
    structure.postgresql_outside,
    structure.events_importing,
    structure.private_names,
    structure.versions_outside,
    structure.clocks_outside,
    structure.sql_outside,
    structure.optional_libraries,
    structure.errors_outside,
    structure.long_files,
    structure.long_functions,
    structure.collected_by_runners,
    structure.stale_names,
)


class StructureTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.package = reading.package()

    def assertHeld(self, rule):
        found = rule(self.package)
        if found:
            self.fail("\n  ".join([rule.__doc__.splitlines()[0]] + found))

    def test_the_package_is_looked_at(self):
        self.assertIn("dialects/postgresql/database.py", self.package)
        self.assertGreater(len(self.package), 50)

    def test_rooms_import_downwards_alone(self):
        self.assertHeld(structure.wrong_layers)

    def test_no_rooms_import_each_other(self):
        self.assertHeld(structure.circles_of_rooms)

    def test_no_files_import_each_other(self):
        self.assertHeld(structure.circles_of_files)

    def test_rooms_are_entered_by_their_doors(self):
        self.assertHeld(structure.past_doors)

    def test_doors_say_what_others_may_use(self):
        self.assertHeld(structure.bad_doors)

    def test_only_the_dialects_know_postgresql(self):
        self.assertHeld(structure.postgresql_outside)

    def test_events_import_nothing_of_the_package(self):
        self.assertHeld(structure.events_importing)

    def test_modules_keep_their_private_names(self):
        self.assertHeld(structure.private_names)

    def test_versions_are_looked_at_in_compat_alone(self):
        self.assertHeld(structure.versions_outside)

    def test_the_time_is_asked_in_one_place_alone(self):
        self.assertHeld(structure.clocks_outside)

    def test_sql_stands_in_the_dialects_alone(self):
        self.assertHeld(structure.sql_outside)

    def test_optional_libraries_are_imported_where_they_are_used(self):
        self.assertHeld(structure.optional_libraries)

    def test_public_exceptions_are_in_errors_alone(self):
        self.assertHeld(structure.errors_outside)

    def test_no_file_is_too_long(self):
        self.assertHeld(structure.long_files)

    def test_no_function_is_too_long(self):
        self.assertHeld(structure.long_functions)

    def test_no_public_name_begins_as_tests_do(self):
        self.assertHeld(structure.collected_by_runners)

    def test_files_that_are_named_in_prose_are_there(self):
        self.assertHeld(structure.stale_names)

    def test_files_that_documents_name_are_there(self):
        documents = {name: reading.document(name) for name in ("CONTRIBUTING.rst", "README.rst")}
        found = structure.stale_names(self.package, documents)
        self.assertEqual([each for each in found if each.split()[0] in documents], [])

    def test_the_package_has_few_entries(self):
        self.assertEqual(structure.too_many_entries(reading.entries()), [])


class PlantedTest(unittest.TestCase):
    def assertFound(self, rule, planted, *expected):
        """Check what a rule finds in the sound package with some of its modules replaced."""
        self.assertEqual(rule(dict(SOUND, **planted)), list(expected))

    def test_the_sound_package_breaks_no_rule(self):
        for rule in RULES_OF_PACKAGES:
            self.assertEqual((rule.__name__, rule(SOUND)), (rule.__name__, []))

    def test_an_import_upwards_is_found(self):
        planted = {"dialects/quoting.py": "from ..databases import check\n"}
        self.assertFound(structure.wrong_layers, planted, "dialects/quoting.py imports databases")

    def test_an_import_upwards_in_a_function_is_found(self):
        planted = {"where.py": "def f():\n    if f:\n        from . import testcase\n"}
        self.assertFound(structure.wrong_layers, planted, "where.py imports testcase")

    def test_an_import_of_the_whole_package_is_found(self):
        for line in ("import dbtestcase", "from . import Case", "from dbtestcase import Case"):
            with self.subTest(line):
                planted = {"where.py": line + "\n"}
                self.assertFound(structure.wrong_layers, planted, "where.py imports dbtestcase")

    def test_an_import_upwards_for_types_is_allowed(self):
        text = "import typing\nif typing.TYPE_CHECKING:\n    from .databases import check\n"
        self.assertFound(structure.wrong_layers, {"where.py": text})
        text = text.replace("typing.TYPE", "not typing.TYPE")
        self.assertFound(structure.wrong_layers, {"where.py": text}, "where.py imports databases")

    def test_an_import_between_neighbours_around_the_core_is_found(self):
        planted = {"nose2.py": "from .server import serve\n", "server.py": "serve = 1\n"}
        self.assertFound(structure.wrong_layers, planted, "nose2.py imports server")

    def test_the_core_importing_what_is_around_it_is_found(self):
        planted = {"databases/words.py": "from ..evidence import x\n", "evidence.py": "x = 1\n"}
        self.assertFound(structure.wrong_layers, planted, "databases/words.py imports evidence")

    def test_the_test_case_is_put_together_from_what_is_around_it(self):
        planted = {"testcase.py": "from .evidence import x\n", "evidence.py": "x = 1\n"}
        self.assertFound(structure.wrong_layers, planted)

    def test_a_room_that_is_in_no_ring_is_found(self):
        self.assertFound(
            structure.wrong_layers, {"helpers.py": ""}, "helpers.py: the room helpers is in no ring"
        )

    def test_a_circle_of_rooms_is_found(self):
        planted = {
            "connections/__init__.py": "def f():\n    from ..where import g\n",
            "where.py": "from .binaries import h\n",
            "binaries.py": "from .connections import f\n",
        }
        self.assertFound(
            structure.circles_of_rooms, planted, "circle of rooms: binaries, connections, where"
        )

    def test_a_circle_of_files_is_found(self):
        planted = {
            "databases/build.py": "def f():\n    from . import clear\n",
            "databases/clear.py": "from .build import f\n",
        }
        self.assertFound(
            structure.circles_of_files, planted, "circle: databases.build, databases.clear"
        )

    def test_a_circle_of_a_door_and_a_file_is_found(self):
        planted = {
            "dialects/__init__.py": "from .quoting import g\ndef of_engine(): pass\n",
            "dialects/quoting.py": "from . import of_engine\n",
        }
        self.assertFound(structure.circles_of_files, planted, "circle: dialects, dialects.quoting")

    def test_a_way_past_a_door_is_found(self):
        for text in (
            "from .databases.check import check\n",
            "import dbtestcase.databases.check as check\n",
            "def f():\n    from dbtestcase.databases.check import check\n",
            "from typing import TYPE_CHECKING\n"
            "if TYPE_CHECKING:\n    from .databases.check import check\n",
        ):
            with self.subTest(text):
                self.assertFound(
                    structure.past_doors,
                    {"testcase.py": text},
                    "testcase.py goes past the door of databases: databases.check",
                )

    def test_a_module_taken_from_a_door_is_found(self):
        for text in (
            "from .databases import build\n",
            "from . import databases\ndef f():\n    return databases.build.x\n",
        ):
            with self.subTest(text):
                self.assertFound(
                    structure.past_doors,
                    {"testcase.py": text, "databases/build.py": "x = 1\n"},
                    "testcase.py goes past the door of databases: databases.build",
                )

    def test_a_name_of_a_door_may_be_that_of_its_module(self):
        text = "from . import databases\nfrom .databases import check\ndatabases.check()\n"
        self.assertFound(structure.past_doors, {"testcase.py": text})

    def test_a_way_past_the_door_of_a_room_in_a_room_is_found(self):
        for line in ("from .reset.rows import restore", "from .reset import rows"):
            with self.subTest(line):
                self.assertFound(
                    structure.past_doors,
                    {"dialects/postgresql/drop.py": line + "\n"},
                    "dialects/postgresql/drop.py goes past the door of dialects.postgresql.reset:"
                    " dialects.postgresql.reset.rows",
                )

    def test_a_door_that_is_missing_or_says_too_little_is_found(self):
        path = "databases/__init__.py"
        without = {name: text for name, text in SOUND.items() if name != path}
        self.assertEqual(structure.bad_doors(without), ["databases has no door"])
        for text, expected in (
            ("__all__ = []\n", "has no docstring"),
            ('"""Door."""\n', "has no __all__"),
            ('"""Door."""\nfrom .check import *\n', "has no __all__"),
            (
                '"""Door."""\nfrom . import check\n__all__ = ["check"]\n',
                "hands out the module check",
            ),
            (
                '"""Door."""\nfrom . import check as b\n__all__ = ["b"]\n',
                "hands out the module b",
            ),
        ):
            with self.subTest(expected):
                self.assertFound(
                    structure.bad_doors, {path: text}, "databases/__init__.py " + expected
                )

    def test_a_star_in_the_door_of_compat_takes_all_of_its_modules(self):
        self.assertFound(
            structure.bad_doors, {"_compat/flask.py": ""}, "_compat/__init__.py has no __all__"
        )

    def test_postgresql_outside_of_the_dialects_is_found(self):
        used = "where.py uses dialects.postgresql"
        for text, expected in (
            ("from .dialects.postgresql import DIALECT\n", used),
            ("def f():\n    from .dialects import postgresql\n", used),
            ("from . import dialects\nx = dialects.postgresql\n", used),
            ("import dbtestcase.dialects.postgresql\n", used),
            (
                "x = 'dbtestcase.dialects.postgresql'\n",
                "where.py names dbtestcase.dialects.postgresql",
            ),
            (
                "import importlib\nimportlib.import_module('dbtestcase.' + x)\n",
                "where.py imports its own by importlib",
            ),
            (
                "from importlib import import_module\nimport_module(x, package=y)\n",
                "where.py imports its own by importlib",
            ),
        ):
            with self.subTest(text):
                self.assertFound(structure.postgresql_outside, {"where.py": text}, expected)

    def test_postgresql_of_sqlalchemy_and_modules_of_suites_are_others(self):
        text = (
            "import importlib\nfrom sqlalchemy.dialects import postgresql\n"
            "x = 'sqlalchemy.dialects.postgresql'\nimportlib.import_module(x)\n"
        )
        self.assertFound(structure.postgresql_outside, {"where.py": text})

    def test_an_import_by_events_is_found(self):
        text = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from . import where\n"
        self.assertFound(structure.events_importing, {"events.py": text}, "events.py imports where")

    def test_a_private_name_of_another_module_is_found(self):
        for text in (
            "from .check import _asked\n",
            "from . import check\ndef f():\n    return check._asked\n",
        ):
            with self.subTest(text):
                self.assertFound(
                    structure.private_names,
                    {"databases/build.py": text},
                    "databases/build.py uses databases.check._asked",
                )

    def test_a_look_at_a_version_is_found(self):
        planted = {"where.py": "import sys\nNEW = sys.version_info >= (3, 8)\n"}
        self.assertFound(structure.versions_outside, planted, "where.py: version_info")

    def test_a_clock_is_found(self):
        for text in ("import os, time\n", "def f():\n    from time import sleep\n"):
            with self.subTest(text):
                self.assertFound(structure.clocks_outside, {"events.py": text}, "events.py: time")
        planted = {"where.py": "import time\n", "events.py": "from .where import time\n"}
        self.assertFound(structure.clocks_outside, planted)

    def test_sql_is_found(self):
        text = (
            "'''SELECT a FROM b'''\ndef f():\n    '''DROP TABLE x'''\n    return 'DELETE FROM x'\n"
        )
        self.assertFound(structure.sql_outside, {"where.py": text}, "where.py: DELETE FROM x")

    def test_an_optional_library_is_found(self):
        text = (
            "try:\n    from psycopg2 import errors\nexcept ImportError:\n    pass\n"
            "def f():\n    import flask\n"
        )
        self.assertFound(structure.optional_libraries, {"where.py": text}, "where.py: psycopg2")

    def test_a_public_exception_elsewhere_is_found(self):
        planted = {
            "errors.py": SOUND["errors.py"] + "class ServerError(DatabaseTestCaseError): pass\n",
            "where.py": "from . import errors\nclass Lost(errors.ServerError): pass\n",
            "testcase.py": "class Gone(Lost): pass\nclass NotCopied(Exception): pass\n",
        }
        self.assertFound(
            structure.errors_outside,
            planted,
            "testcase.py has the error Gone",
            "where.py has the error Lost",
        )

    def test_a_long_file_is_found(self):
        self.assertFound(structure.long_files, {"where.py": "\n" * 420})
        self.assertFound(structure.long_files, {"where.py": "\n" * 421}, "where.py has 421 lines")

    def test_a_long_function_is_found(self):
        for head in ("def f():\n", "async def f():\n", "@cached\ndef f(\n):\n"):
            with self.subTest(head):
                lines = head.count("\n") - head.count("@")
                body = ' """One.\n\n    Two.\n """\n' + " x = 1\n\n" + " x = 1\n" * (43 - lines)
                longer = body + " x = '''\n\n'''  # why\n# no part of it\n\nx = 1\n"
                self.assertFound(
                    structure.long_functions,
                    {"where.py": head + body},
                )
                self.assertFound(
                    structure.long_functions,
                    {"where.py": head + longer},
                    "where.py: f() has 48 lines",
                )

    def test_a_long_method_and_a_function_in_it_are_found(self):
        text = "class A:\n  def f(self):\n    def g():\n%s\n  def h(self): pass\n"
        self.assertFound(
            structure.long_functions,
            {"where.py": text % "\n".join(["      pass"] * 45)},
            "where.py: f() has 47 lines",
            "where.py: g() has 46 lines",
        )

    def test_an_entry_too_many_is_found(self):
        self.assertEqual(structure.too_many_entries("abcdefghijklmnopqrstuv"), [])
        found = structure.too_many_entries("abcdefghijklmnopqrstuvw")
        self.assertEqual([each.partition(":")[0] for each in found], ["23 entries"])

    def test_a_name_of_a_file_that_is_gone_is_found(self):
        good = "# ``check.py``, ``databases/check.py``, :mod:`dbtestcase.databases`, %s"
        for name, found in (
            ("``safeguard.py``", "safeguard.py"),
            ("``where/check.py``", "where/check.py"),
            (":mod:`dbtestcase.check`", "check"),
        ):
            with self.subTest(name):
                planted = {"where.py": good % name}
                self.assertFound(structure.stale_names, planted, "where.py names " + found)

    def test_a_public_name_that_runners_would_collect_is_found(self):
        planted = {"__init__.py": '"""Door."""\n__all__ = ["TestBase", "Tester", "test_it", "a"]\n'}
        self.assertFound(structure.collected_by_runners, planted, "TestBase", "Tester", "test_it")


if __name__ == "__main__":
    unittest.main()
