"""Where things may stand in the package: held by a look at its source."""

import ast
import os
import re
import unittest

from tests import support

PACKAGE = os.path.join(support.ROOT, "dbtestcase")
OPTIONAL = ("flask", "flask_sqlalchemy", "flask_sqlalchemy_lite", "nose2", "psycopg", "psycopg2")
VERSION = re.compile(r"\bversion_info\b|\b__version__\b|importlib\.metadata|\bhexversion\b")
STATEMENT = re.compile(
    r"^\s*(SELECT\s.+\sFROM|INSERT INTO|UPDATE\s.+\sSET|DELETE FROM|TRUNCATE|LOCK TABLE|SHOW|SET"
    r"|PRAGMA"
    r"|(CREATE|DROP|ALTER) (TABLE|DATABASE|INDEX|SCHEMA|SEQUENCE|TYPE|VIEW|ROLE|FUNCTION))\s+\S",
    re.DOTALL,
)


def modules():
    """Yield the path below the package, the text and the syntax tree of each module."""
    for folder, _, names in os.walk(PACKAGE):
        for name in sorted(names):
            if name.endswith(".py"):
                path = os.path.join(folder, name)
                with open(path, encoding="utf-8") as file:
                    text = file.read()
                yield os.path.relpath(path, PACKAGE).replace(os.sep, "/"), text, ast.parse(text)


def imported_with_the_module(tree):
    """Yield the names of the modules that an import of this one imports for sure."""
    waiting = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module
        elif isinstance(node, ast.Try):
            waiting += node.body
        elif isinstance(node, (ast.ClassDef, ast.With)):
            waiting += node.body
        elif isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.dump(node.test):
            waiting += node.body + node.orelse


def texts(tree):
    """Yield the texts in a module's code, without its docstrings."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        kind = type(node).__name__
        value = node.s if kind == "Str" else getattr(node, "value", None)  # up to Python 3.7
        if kind in ("Constant", "Str") and isinstance(value, str):
            if id(node) not in docstrings:
                yield value


class StructureTest(unittest.TestCase):
    def offending(self, is_allowed, found):
        return [
            "%s: %s" % (path, each)
            for path, text, tree in modules()
            if not is_allowed(path)
            for each in found(text, tree)
        ]

    def test_versions_are_looked_at_in_compat_alone(self):
        def is_allowed(path):
            return path.startswith("_compat")

        found = self.offending(is_allowed, lambda text, tree: VERSION.findall(text))
        self.assertEqual(found, [])

    def test_sql_stands_in_the_dialects_alone(self):
        def is_allowed(path):
            return path.startswith("dialects/")

        def statements(text, tree):
            return [each for each in texts(tree) if STATEMENT.search(each)]

        self.assertEqual(self.offending(is_allowed, statements), [])

    def test_optional_libraries_are_imported_where_they_are_used(self):
        def optional(text, tree):
            return [
                name for name in imported_with_the_module(tree) if name.split(".")[0] in OPTIONAL
            ]

        # nose2 itself loads its plugin.
        self.assertEqual(self.offending(lambda path: path == "nose2.py", optional), [])

    def test_the_looks_find_what_they_look_for(self):
        tree = ast.parse(
            "'''SELECT a FROM b'''\n"
            "try:\n    from psycopg2 import errors\nexcept ImportError:\n    pass\n"
            "def f():\n    '''DROP TABLE x'''\n    import flask\n    return 'DELETE FROM x'\n"
        )
        self.assertEqual(list(imported_with_the_module(tree)), ["psycopg2"])
        found = [each for each in texts(tree) if STATEMENT.search(each)]
        self.assertEqual(found, ["DELETE FROM x"])
        self.assertTrue(VERSION.search("if sys.version_info >= (3, 8):"))


if __name__ == "__main__":
    unittest.main()
