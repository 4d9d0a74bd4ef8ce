"""What tests of claims share: databases with siblings, other runs, and what was said of them."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import unittest
from typing import Any, Iterator, List
from unittest import mock

import sqlalchemy as sa

from dbtestcase import DatabaseTestCase
from dbtestcase.connections import leading
from dbtestcase.dialects.postgresql.sessions import LOCK
from tests import models, support
from tests.holding import another_process

CLAIM = "SELECT pg_advisory_lock%s" % LOCK
SCENARIOS = os.path.join(support.ROOT, "tests", "scenarios")

library = models.plain_library()


class Claims(support.Outcomes):
    """Tests on a database whose siblings go when the class is over."""

    database: str

    @classmethod
    def setUpClass(cls) -> None:
        drop_all_of(cls.database)
        cls.url = support.postgresql_url(cls.database)

    @classmethod
    def tearDownClass(cls) -> None:
        drop_all_of(cls.database)

    def case(self, engine: Any, **attributes: Any) -> Any:
        """Return a class with one test, which notes where it ran and that it was alone there."""
        self.seen: List[Any] = []

        def test_one(case: Any) -> None:
            case.assertRowCount(library.Author, 0)
            case.session.add(library.Author(name="a"))
            case.session.commit()
            self.seen.append((database_of(case.session), case.engine.url.database))

        attributes = dict({"lock_timeout": 1.0}, test_one=test_one, **attributes)
        attributes.update(engine=engine, metadata=library.metadata)
        return type("AuthorTest", (DatabaseTestCase,), attributes)

    @contextlib.contextmanager
    def another_run(self, database: str) -> Iterator[int]:
        """Have another process claim a database; gives its backend's pid."""
        url = support.url_of(database)
        with another_process(url, CLAIM, mode="autocommit") as pid:
            yield pid


def database_of(session: Any) -> str:
    return str(session.execute(sa.text("SELECT current_database()")).scalar())


def drop_all_of(database: str) -> None:
    """Drop a database, its siblings and the copies of it; this process is led there no more."""
    leading.leads.clear()
    names = support.administer(
        "SELECT datname FROM pg_database WHERE datname ~ '^%s(_\\d+|_failed_.*)?$'" % database
    )
    for (name,) in names:
        support.administer('DROP DATABASE IF EXISTS "%s" WITH (FORCE)' % name)


@contextlib.contextmanager
def said() -> Iterator[io.StringIO]:
    """Catch what is said on the terminal in the block."""
    with mock.patch.object(sys, "stderr", io.StringIO()) as stderr:
        yield stderr


def scenario(url: str, *arguments: str, **environment: str) -> Any:
    """Start a scenario's tests in a process of their own."""
    return subprocess.Popen(
        [sys.executable, *(arguments or ("-m", "unittest", "own_rows"))],
        cwd=SCENARIOS,
        env=dict(os.environ, PYTHONPATH=support.ROOT, SHOP_URL=url, **environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
    )


def output_of(process: Any, patience: float = 120) -> str:
    """Wait for the end of a scenario and return what it wrote."""
    try:
        return str(process.communicate(timeout=patience)[0])
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


requires_fork = unittest.skipUnless(hasattr(os, "fork"), "needs fork()")
