"""What several tests share: databases on the test server, inner runs, child processes."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import io
import os
import subprocess
import sys
import unittest
from typing import Any, Dict, Iterator, List, Optional
from unittest import mock

import sqlalchemy as sa

from dbtestcase import _compat, where
from dbtestcase.errors import reported
from dbtestcase.server.temporary import temporary_postgresql

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


@functools.lru_cache(maxsize=None)
def server_url() -> str:
    """Return the URL of the server that all tests use; its database is not for tests."""
    return temporary_postgresql()


def url_of(database: str, **parts: Any) -> str:
    """Return the server's URL with another database (and username, password) in it."""
    return _compat.url_text(_compat.url_with(server_url(), database=database, **parts))


def administer(*statements: str, database: str = "postgres") -> List[Any]:
    """Run statements in autocommit on the server as its superuser; return the last one's rows."""
    engine = sa.create_engine(url_of(database), poolclass=sa.pool.NullPool)
    raw = engine.raw_connection()
    try:
        dbapi = _compat.dbapi_connection(raw)
        dbapi.autocommit = True
        cursor = dbapi.cursor()
        for statement in statements:
            cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []
    finally:
        raw.close()


def ensure_role(name: str) -> None:
    """Create an ordinary role where there is none of this name; ``app`` may create databases."""
    if not administer("SELECT 1 FROM pg_roles WHERE rolname = '%s'" % name):
        administer("CREATE ROLE %s LOGIN %s" % (name, "CREATEDB" if name == "app" else ""))


def postgresql_url(database: str, owner: Optional[str] = None) -> str:
    """Return the URL of a database of this name, made anew and empty."""
    administer('DROP DATABASE IF EXISTS "%s" WITH (FORCE)' % database)
    administer('CREATE DATABASE "%s" TEMPLATE template0' % database)
    if owner:
        ensure_role(owner)
        administer('ALTER DATABASE "%s" OWNER TO %s' % (database, owner))
        return url_of(database, username=owner)
    return url_of(database)


def missing(*modules: str) -> List[str]:
    """Return which of the modules are not installed."""
    return [name for name in modules if importlib.util.find_spec(name) is None]


def requires(*modules: str) -> Any:
    """Skip a test class or method where a library is not installed, and only there."""
    return unittest.skipIf(missing(*modules), "needs %s" % " and ".join(missing(*modules)))


def require(*modules: str) -> None:
    """Skip what is running, or the module that is being imported, where a library is missing."""
    if any(name.partition(".")[0] == "dbtestcase" for name in modules):
        raise AssertionError("a part of the package is missing to nobody: import it")
    if missing(*modules):
        raise unittest.SkipTest("needs %s" % " and ".join(missing(*modules)))


def imported(name: str) -> Any:
    """Return a module; the tests of the module that asks for it are skipped where it is missing."""
    require(name)
    return importlib.import_module(name)


@contextlib.contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Run the block as in a process that was started with these variables."""
    where.setting.cache_clear()
    try:
        with mock.patch.dict(os.environ, variables):
            yield
    finally:
        where.setting.cache_clear()


def run_case(case: type, *names: str) -> unittest.TestResult:
    """Run a test class (or some of its tests) in this process and return the result.

    As in a process of its own, that has said nothing yet.
    """
    reported.clear()
    loader = unittest.defaultTestLoader
    suite = unittest.TestSuite(map(case, names)) if names else loader.loadTestsFromTestCase(case)
    result = unittest.TextTestRunner(stream=io.StringIO(), verbosity=0).run(suite)
    return result


def run_python(
    *arguments: str, cwd: str = ROOT, env: Optional[Dict[str, str]] = None, timeout: float = 120
) -> "subprocess.CompletedProcess[str]":
    """Run this Python with the arguments in a child process; stdout and stderr are captured."""
    environment = dict(os.environ, PYTHONPATH=ROOT, **(env or {}))
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        timeout=timeout,
    )


class Outcomes(unittest.TestCase):
    """Assertions about what became of an inner test class."""

    def assertPasses(self, case: type, *names: str) -> unittest.TestResult:
        """Run the class; every test of it must pass, and there must be some."""
        result = run_case(case, *names)
        problems = [text for _, text in result.errors + result.failures]
        if problems:
            self.fail("\n".join(problems))
        self.assertGreater(result.testsRun, 0)
        self.assertEqual(result.unexpectedSuccesses, [])
        return result

    def message_of(self, case: type, *names: str) -> str:
        """Run the class; it must end in errors of this package; return the first one's words."""
        result = run_case(case, *names)
        texts = [text for _, text in result.errors]
        self.assertTrue(texts, "no error: %r" % result)
        self.assertIn("\ndbtestcase.", "\n" + texts[0])
        return ("\n" + texts[0]).rpartition("\ndbtestcase.")[2].strip()
