"""What tests of freezes share: a small database, and processes and threads that hold it up."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
import unittest
from typing import Any, Iterator, List

import sqlalchemy as sa

from dbtestcase import _compat, where
from dbtestcase.connections import blockers, leftovers, settling, watch
from dbtestcase.dialects.postgresql.sessions import Control

from . import support

NAME = "ShopTest.test_total"
BOUND = 1.5  # seconds: above the server's deadlock_timeout

_HOLD = """
import sys
try:
    import psycopg2 as driver
except ImportError:
    import psycopg as driver
connection = driver.connect(sys.argv[1])
connection.autocommit = sys.argv[2] == "autocommit"
cursor = connection.cursor()
for statement in sys.argv[3:]:
    cursor.execute(statement)
print(connection.info.backend_pid, flush=True)
sys.stdin.read()
"""


def driver_url(url: str) -> str:
    """Return a URL as a driver takes it, without the name of SQLAlchemy's dialect."""
    return "postgresql" + url[url.index("://") :]


@contextlib.contextmanager
def another_process(url: str, *statements: str, mode: str = "transaction") -> Iterator[int]:
    """Have another process run statements and keep its connection; gives its backend's pid."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, driver_url(url), mode] + list(statements),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        universal_newlines=True,
    )
    assert process.stdin and process.stdout
    try:
        yield int(process.stdout.readline())
    finally:
        process.stdin.close()
        process.stdout.close()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Shop(unittest.TestCase):
    """A database with two tables, an engine, and the control connection that would clear it."""

    driver = "psycopg2"
    database = "blocks_shop_test"

    @classmethod
    def setUpClass(cls) -> None:
        try:
            __import__(cls.driver)
            sa.engine.url.make_url("postgresql+%s://" % cls.driver).get_dialect()
        except (ImportError, sa.exc.NoSuchModuleError):
            raise unittest.SkipTest("no %s here" % cls.driver) from None
        plain = support.postgresql_url(cls.database)
        cls.url = _compat.url_text(_compat.url_with(plain, drivername="postgresql+%s" % cls.driver))

    def setUp(self) -> None:
        watch()
        self.started = time.monotonic()
        self.engine = self.make_engine()
        self.control = Control(self.engine, BOUND)
        self.addCleanup(self.control.close)
        self.control.execute("DROP TABLE IF EXISTS public.child, public.parent")
        self.control.execute("CREATE TABLE public.parent (id int PRIMARY KEY)")
        self.control.execute("CREATE TABLE public.child (id int REFERENCES public.parent)")
        self.control.execute("INSERT INTO public.parent SELECT generate_series(1, 5000)")
        self.begin()

    def begin(self, name: str = NAME) -> None:
        self.addCleanup(where.set_current_test, None)
        self.addCleanup(settling.end_test)
        where.set_current_test(name)
        settling.begin_test([self.engine], name, BOUND, {self.engine: self.control})

    def make_engine(self, **options: Any) -> Any:
        engine = sa.create_engine(self.url, **options)
        self.addCleanup(engine.dispose)
        return engine

    def raw(self) -> Any:
        """Return a connection of the driver's own, beside SQLAlchemy."""
        connection = __import__(self.driver).connect(driver_url(self.url))
        self.addCleanup(connection.close)
        return connection

    def in_thread(self, work: Any) -> Any:
        """Run something in a thread that must end within ten seconds of the test's end."""
        thread = threading.Thread(target=work, name="worker", daemon=True)
        thread.start()
        self.addCleanup(thread.join, 10)
        return thread

    def reset(self, scoped: Any = (), **options: Any) -> List[leftovers.Leak]:
        """Free what was left, look what is in the way, and drop the tables as a reset would."""
        leaks = leftovers.free([self.engine], scoped)
        leaks += blockers.ensure_free(
            self.control,
            self.database,
            NAME,
            leaks,
            lock_timeout=BOUND,
            exclusive=True,
            **options,
        )
        self.control.execute("DROP TABLE public.child, public.parent")
        self.assertLess(time.monotonic() - self.started, 9)
        return leaks
