"""What tests of the commands share: real runs of them, with temporary files of their own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from typing import Any, Dict, List, Optional

from dbtestcase.commands.output import LABEL, WIDTH
from tests import support

PATIENCE = 30

SUITE = """\
import os, time
import sqlalchemy as sa
from dbtestcase import DatabaseTestCase

metadata = sa.MetaData()
thing = sa.Table("thing", metadata, sa.Column("id", sa.Integer, primary_key=True))


class ThingTest(DatabaseTestCase):
    engine = os.environ["THING_URL"]
    metadata = metadata
    lock_timeout = 20.0
    allowed_databases = os.environ.get("THING_ALLOWED", "")

    def test_waits(self):
        print("begins", flush=True)
        time.sleep(float(os.environ.get("THING_SECONDS", "0")))
        self.session.execute(thing.insert().values(id=1))

    def test_fails(self):
        self.session.execute(thing.insert().values(id=7))
        self.session.commit()
        self.fail()
"""

APP = """\
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

print("hello from the app")
db = SQLAlchemy()
app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = {development!r}
app.config["SQLALCHEMY_TRACK_MODIFICATIONS"] = False
db.init_app(app)


class Testing:
    TESTING = True
    SQLALCHEMY_DATABASE_URI = {default!r}
    SQLALCHEMY_BINDS = {{"archive": {archive!r}}}


def broken():
    raise ValueError("no such planet")


number = 3
"""


class Commands(unittest.TestCase):
    """Runs commands in an empty folder, where nobody else has announced a run."""

    def setUp(self) -> None:
        self.folder = os.path.realpath(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    def environment(self, env: Optional[Dict[str, str]] = None) -> Dict[str, str]:
        variables = {"DBTESTCASE_POSTGRESQL_URL": "", "TMPDIR": self.folder, "NO_COLOR": ""}
        return dict(variables, PYTHONDONTWRITEBYTECODE="1", **(env or {}))

    def command(self, *arguments: str, env: Optional[Dict[str, str]] = None) -> Any:
        """Run a command to its end; no output of any may be wide or show how it was made."""
        done = support.run_python(
            "-m", "dbtestcase", *arguments, cwd=self.folder, env=self.environment(env)
        )
        self.assertNotIn("Traceback", done.stderr)
        if "--json" not in arguments:
            for line in (done.stdout + done.stderr).splitlines():
                longest = max(map(len, line.split() or [""]))
                self.assertTrue(len(line) <= WIDTH or longest > WIDTH - LABEL, line)
        return done

    def start(self, *arguments: str, env: Optional[Dict[str, str]] = None) -> Any:
        """Start a Python that is interrupted, if need be, when the test is over."""
        child = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=dict(os.environ, PYTHONPATH=support.ROOT, **self.environment(env)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            universal_newlines=True,
        )
        self.addCleanup(self.end, child)
        return child

    def end(self, child: Any) -> None:
        if child.poll() is None:
            child.kill()
        child.communicate()

    def interrupt(self, child: Any) -> Any:
        """End a child by Ctrl-C; return its status and both outputs."""
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=PATIENCE)
        return child.returncode, out, err

    def start_suite(self, url: str, seconds: float = 0) -> Any:
        """Start a suite on a database; it is in the middle of its test when this returns."""
        self.write("suite.py", SUITE)
        child = self.start(
            *("-m", "unittest", "suite.ThingTest.test_waits"),
            env={"THING_URL": url, "THING_SECONDS": str(seconds)},
        )
        self.assertEqual(child.stdout.readline(), "begins\n")
        return child

    def keep_of_failed(self, url: str, **env: str) -> str:
        """Have a suite on a database keep the rows of a failed test; return the copy's name."""
        self.write("suite.py", SUITE)
        env = dict(env, THING_URL=url, DBTESTCASE_KEEP_FAILED="1")
        child = self.start("-m", "unittest", "suite.ThingTest.test_fails", env=env)
        output = child.communicate(timeout=PATIENCE)[1]
        (name,) = re.findall(r"psql .* -d (\w+)\n", output) or [output]
        return name

    def write(self, name: str, text: str) -> None:
        with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
            file.write(text)

    def write_app(self, default: str, archive: str = "sqlite://") -> None:
        development = support.url_of("commands_production")
        self.write("planet.py", APP.format(**dict(locals())))


def place() -> str:
    """Return the test server as messages call it."""
    ((address, port, socket_port),) = support.administer(
        "SELECT host(inet_server_addr()), inet_server_port(), current_setting('port')"
    )
    return "%s:%s" % (address, port) if address else "a local socket, port %s" % socket_port


def version() -> str:
    ((text,),) = support.administer("SHOW server_version")
    return "PostgreSQL " + text.split()[0]


def databases(prefix: str) -> List[str]:
    """Return the names of the server's databases that begin with a text."""
    rows = support.administer("SELECT datname FROM pg_database ORDER BY datname")
    return [name for (name,) in rows if name.startswith(prefix)]


def drop_databases(prefix: str) -> None:
    for name in databases(prefix):
        support.administer('DROP DATABASE IF EXISTS "%s" WITH (FORCE)' % name)


def wait_until(condition: Any) -> bool:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def without_sizes(text: str) -> str:
    return re.sub(r"\d+(\.\d)? (MB|kB|bytes)", "7.4 MB", text)


def squeezed(text: str) -> str:
    """Return a text in one line, as it is wrapped differently with longer names."""
    return " ".join(text.split())
