"""What the tests of dropping share: a database that pg_dump must find new after each."""

from __future__ import annotations

import contextlib
import functools
import glob
import os
import subprocess
import unittest
from typing import Any, List, Optional

import sqlalchemy as sa
from sqlalchemy.engine.url import make_url

from dbtestcase import _compat, binaries
from dbtestcase.dialects.postgresql.catalog import properties, restore_properties
from dbtestcase.dialects.postgresql.drop import drop_everything
from dbtestcase.dialects.postgresql.sessions import Control
from dbtestcase.errors import ServerError
from tests import support


def run(url: str, *statements: str) -> List[Any]:
    """Run statements in autocommit as the role of the URL; return the last one's rows."""
    raw = sa.create_engine(url, poolclass=sa.pool.NullPool).raw_connection()
    try:
        dbapi = _compat.dbapi_connection(raw)
        _compat.set_autocommit(dbapi)
        cursor = dbapi.cursor()
        for statement in statements:
            cursor.execute(statement)
        return [tuple(row) for row in cursor.fetchall()] if cursor.description else []
    finally:
        raw.close()


@functools.lru_cache(maxsize=None)
def pg_dump() -> str:
    """Return the newest pg_dump: an older one refuses a newer server."""
    programs = glob.glob("/usr/lib/postgresql/*/bin/pg_dump")
    with contextlib.suppress(ServerError):
        found = binaries.find_binaries(binaries.server_account())
        programs.append(os.path.join(found.directory, "pg_dump"))
    return max(filter(os.path.exists, programs), key=major_version)


def major_version(program: str) -> int:
    text = subprocess.check_output([program, "--version"], universal_newlines=True)
    return int(text.split(") ")[1].split(".")[0])


def dump(database: str) -> List[str]:
    """Return schema, rows and properties of a database, without comments and random marks."""
    url = make_url(support.server_url())
    where = ["-h", url.host or url.query["host"], "-p", str(url.port or 5432), "-U", url.username]
    environment = dict(os.environ, PGPASSWORD=url.password or "")
    text = subprocess.run(
        [pg_dump(), "-C"] + where + [database],
        stdout=subprocess.PIPE,
        env=environment,
        universal_newlines=True,
        check=True,
    ).stdout
    return [line for line in text.split("\n") if line and not line.startswith(("--", "\\"))]


class DropCase(unittest.TestCase):
    """Tests that fill one database; after each it must equal a new one."""

    database: str = "drop_test"
    owner: Optional[str] = None

    def setUp(self) -> None:
        if self.owner:
            support.administer(
                "DO $$ BEGIN CREATE ROLE %s LOGIN; EXCEPTION WHEN OTHERS THEN END $$" % self.owner
            )
        self.url = support.postgresql_url(self.database, owner=self.owner)
        self.control = self.new_control(self.url)
        self.recorded = properties(self.control)
        self.new = dump(self.database)

    def new_engine(self, url: str) -> Any:
        engine = sa.create_engine(url)
        self.addCleanup(engine.dispose)
        return engine

    def new_control(self, url: str) -> Control:
        control = Control(self.new_engine(url))
        self.addCleanup(control.close)
        return control

    def run_sql(self, *statements: str) -> List[Any]:
        return run(self.url, *statements)

    def run_as_superuser(self, *statements: str) -> List[Any]:
        return run(support.url_of(self.database), *statements)

    def drop(self, **options: Any) -> List[Any]:
        dropped = drop_everything(self.control, **options)
        restore_properties(self.control, self.recorded)
        return dropped

    def assert_new(self) -> None:
        self.assertEqual(dump(self.database), self.new)

    def assert_drops(self, *statements: str, least: int = 1) -> List[Any]:
        """Fill the database, see that this shows, drop everything, see that nothing is left."""
        self.run_sql(*statements)
        self.assertNotEqual(dump(self.database), self.new)
        dropped = self.drop()
        self.assertGreaterEqual(len(dropped), least, dropped)
        self.assert_new()
        return dropped

    def needs_extension(self, name: str) -> None:
        if not support.administer("SELECT 1 FROM pg_available_extensions WHERE name = '%s'" % name):
            self.skipTest("the server has no extension %s" % name)
