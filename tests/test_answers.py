"""A server that stops answering: what waits for it is cut off, and nothing else is."""

from __future__ import annotations

import os
import signal
import threading
import time
import unittest
import warnings

import sqlalchemy as sa

from dbtestcase import BlockedDatabaseError
from dbtestcase.connections import bounds, settling

from .holding import BOUND, Shop

ASK = sa.text("SELECT pg_backend_pid()")


class StoppedBackends(Shop):
    """One process of the server is stopped, as by a debugger."""

    database = "answers_shop_test"

    def stop(self, pid: int) -> None:
        try:
            with open("/proc/%d/cmdline" % pid, "rb") as file:
                is_backend = file.read().startswith(b"postgres")
            if is_backend:
                os.kill(pid, signal.SIGSTOP)
        except OSError:
            is_backend = False
        if not is_backend:
            self.skipTest("the server's processes are not ours to stop")
        self.addCleanup(os.kill, pid, signal.SIGCONT)
        self.stopped = time.monotonic()

    def assertBounded(self) -> None:
        self.assertLess(time.monotonic() - self.stopped, BOUND + 6)

    def test_a_statement_of_the_test_says_so(self) -> None:
        connection = self.engine.connect()
        self.addCleanup(connection.close)
        self.stop(connection.execute(ASK).scalar())
        with self.assertRaisesRegex(
            BlockedDatabaseError,
            "^ShopTest.test_total: its statement got no answer, and its connection was cut: the"
            " server, or the process of it that serves this connection, is stopped or cannot be"
            " reached.\n",
        ):
            connection.execute(ASK)
        self.assertBounded()

    def test_the_pool_makes_another_connection(self) -> None:
        with self.engine.connect() as connection:
            pid = connection.execute(ASK).scalar()
        self.begin("ShopTest.test_next")
        self.stop(pid)
        with self.engine.connect() as connection:
            self.assertNotEqual(connection.execute(ASK).scalar(), pid)
        self.assertBounded()

    def test_the_connection_that_clears_is_lost_and_not_waited_for(self) -> None:
        self.stop(self.control.pid)
        with self.assertRaisesRegex(Exception, "."):
            self.control.execute("SELECT 1")
        self.assertTrue(self.control.dbapi.closed)
        self.assertBounded()

    def test_a_long_statement_is_left_alone(self) -> None:
        with self.engine.connect() as connection:
            connection.execute(sa.text("SELECT pg_sleep(%f)" % (BOUND + 4)))
            until = time.monotonic() + BOUND + 4
            while time.monotonic() < until:
                connection.execute(sa.text("SELECT pg_sleep(0.01)"))


class StoppedBackendsWithPsycopg3(StoppedBackends):
    """The same with the other driver."""

    driver = "psycopg"
    database = "answers_shop3_test"
    test_a_long_statement_is_left_alone = None  # type: ignore[assignment]


class Forks(unittest.TestCase):
    """A process with threads of ours would be warned of when it forks."""

    def test_no_thread_is_there_when_a_process_forks(self) -> None:
        bounds.watch_answers(settling.running)
        self.assertIn("dbtestcase answers", [each.name for each in threading.enumerate()])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        self.assertNotIn("dbtestcase answers", [each.name for each in threading.enumerate()])
