"""What the tests of servers share: child processes, and what is left when they are gone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
import unittest
from typing import Any, Optional
from unittest import mock

import sqlalchemy as sa
from sqlalchemy.engine.url import make_url

from dbtestcase import _compat
from dbtestcase.server.temporary import temporary_postgresql
from tests.support import ROOT

VARIABLE = "DBTESTCASE_POSTGRESQL_URL"
PATIENCE = 15  # seconds for what takes a fraction of one
WORDS = re.compile("dbtestcase: starting a private PostgreSQL .* server ...\n")
START = "from dbtestcase.server import temporary_postgresql as start; print(start(), flush=True)\n"


def rows(url: str, sql: str) -> Any:
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    raw = engine.raw_connection()
    try:
        _compat.dbapi_connection(raw).autocommit = True
        cursor = raw.cursor()
        cursor.execute(sql)
        return [tuple(row) for row in cursor.fetchall()] if cursor.description else []
    finally:
        raw.close()


def directory_of(url: str) -> str:
    return str(make_url(url).query["host"])


def postmaster_of(url: str) -> int:
    with open(os.path.join(directory_of(url), "data", "postmaster.pid")) as file:
        return int(file.readline())


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        with open("/proc/%d/stat" % pid) as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return not os.path.exists("/proc/self")  # where there is no /proc, it runs


def wait_until(condition: Any) -> bool:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


class PrivateCase(unittest.TestCase):
    def setUp(self) -> None:
        patch = mock.patch.dict(os.environ)
        patch.start()
        self.addCleanup(patch.stop)
        os.environ.pop(VARIABLE, None)

    def temporary(self) -> str:
        """A new directory that every account can enter."""
        directory = tempfile.mkdtemp(prefix="t", dir="/tmp")
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        os.chmod(directory, 0o777)
        return directory

    def run_child(self, code: str, **env: Optional[str]) -> "subprocess.CompletedProcess[str]":
        child = self.child(code, **env)
        out, err = child.communicate(timeout=60)
        return subprocess.CompletedProcess(child.args, child.returncode, out, err)

    def child(self, code: str, **env: Optional[str]) -> Any:
        environment = dict(os.environ, PYTHONPATH=ROOT, TMPDIR=self.temporary())
        environment.update({name: value for name, value in env.items() if value is not None})
        child = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code)],
            env=environment,
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            universal_newlines=True,
            start_new_session=True,
        )
        self.addCleanup(self.end, child)
        return child

    def end(self, child: Any) -> None:
        if child.poll() is None:
            child.kill()
        child.wait(PATIENCE)
        for stream in (child.stdin, child.stdout, child.stderr):
            stream.close()

    def assert_error(self, text: str, error: type, **options: Any) -> None:
        with self.assertRaises(error) as caught:
            temporary_postgresql(**options)
        self.assertEqual(str(caught.exception), text)
