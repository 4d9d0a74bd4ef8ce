"""Ctrl-C ends whatever waits for a server, at once, in each runner and with each driver."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import unittest
from typing import Any, Iterator

from dbtestcase import _compat
from dbtestcase.connections import bounds, settling
from tests import support
from tests.holding import Shop, another_process
from tests.running import SCENARIOS

SOON = 1.5  # seconds: one, and what a busy machine takes
RUNNERS = {
    "unittest": ["-m", "unittest", "waiting"],
    "nose2": ["-m", "nose2", "waiting"],
    "pytest": ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--capture=no", "waiting.py"],
}


class Interrupts(unittest.TestCase):
    """A run that waits is sent SIGINT, as by a terminal."""

    driver = "psycopg2"
    database = "interrupts_test"

    @classmethod
    def setUpClass(cls) -> None:
        support.require(cls.driver)
        drivername = "postgresql+" + cls.driver
        plain = support.postgresql_url(cls.database)
        cls.url = _compat.url_text(_compat.url_with(plain, drivername=drivername))
        try:
            _compat.url_with(cls.url).get_dialect()
        except Exception:
            raise unittest.SkipTest("this SQLAlchemy has no dialect for it") from None

    @contextlib.contextmanager
    def started(self, waiting_for: str, runner: str = "unittest", url: Any = None) -> Iterator[Any]:
        support.require(runner)
        environment = dict(
            os.environ,
            PYTHONPATH=support.ROOT,
            WAITING_URL=url or self.url,
            WAITING_FOR=waiting_for,
            WAITING_DRIVER=self.driver,
        )
        process = subprocess.Popen(
            [sys.executable, *RUNNERS[runner]],
            cwd=SCENARIOS,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            universal_newlines=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stderr):
                stream.close()

    def await_line(self, process: Any, line: str) -> None:
        said = []
        for each in process.stderr:
            said.append(each)
            if each.strip().endswith(line):
                return
        self.fail("the run has ended before it said: %s\n%s" % (line, "".join(said)))

    def assertEnds(self, process: Any, line: str = "") -> str:
        """Have it wait a while, then interrupt it; it ends by that, or says a line, and soon."""
        time.sleep(0.5)
        self.assertIsNone(process.poll())
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        if line:
            self.await_line(process, line)
            took = time.monotonic() - began
        _, err = process.communicate(timeout=60)
        self.assertLess(took if line else time.monotonic() - began, SOON)
        self.assertNotEqual(process.returncode, 0)
        return str(err)

    def assertInterrupts(self, waiting_for: str, runner: str = "unittest") -> None:
        with self.started(waiting_for, runner) as process:
            self.await_line(process, "waiting")
            if runner == "pytest":  # which makes much of a traceback
                self.assertEnds(process, "interrupted")
            else:
                self.assertIn("KeyboardInterrupt", self.assertEnds(process))

    def test_a_lock(self) -> None:
        for runner in RUNNERS:
            with self.subTest(runner):
                self.assertInterrupts("lock", runner)

    def test_a_lock_that_a_raw_connection_waits_for(self) -> None:
        for runner in RUNNERS:
            with self.subTest(runner):
                self.assertInterrupts("raw lock", runner)

    def test_a_long_query(self) -> None:
        self.assertInterrupts("query")
        self.assertInterrupts("raw query")

    def test_a_thread_with_a_long_query(self) -> None:
        self.assertInterrupts("thread")

    def test_tables_that_take_long_to_make(self) -> None:
        self.assertInterrupts("tables")

    def test_a_reset(self) -> None:
        with self.started("reset") as process:
            self.await_line(process, "lock it")
            with another_process(self.url, "LOCK TABLE child"):
                process.stdin.write("\n")
                process.stdin.flush()
                self.await_line(process, "waiting")
                self.assertEnds(process)

    def test_a_claim(self) -> None:
        plain = support.postgresql_url("waiting_taken")
        url = _compat.url_text(_compat.url_with(plain, drivername="postgresql+" + self.driver))
        with self.started("nothing", url=url) as first:
            self.await_line(first, "has it")
            with self.started("claim", url=url) as second:
                self.await_line(second, "begins")
                self.assertEnds(second)

    def test_a_handler_of_the_suites_own_gets_it_and_nothing_ends(self) -> None:
        with self.started("handler") as process:
            self.await_line(process, "waiting")
            time.sleep(0.5)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=25)
            self.assertEqual(process.returncode, 0, err)


class InterruptsWithPsycopg3(Interrupts):
    """The same with the other driver."""

    driver = "psycopg"
    database = "interrupts3_test"


class Signals(Shop):
    """Who else wants to hear of signals still does."""

    database = "interrupts_shop_test"

    def current(self) -> int:
        found = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(found)
        return found

    def test_ours_is_there_for_the_class_alone(self) -> None:
        self.assertNotEqual(self.current(), -1)
        settling.end_test()
        self.assertEqual(self.current(), -1)

    def test_one_that_is_there_stays(self) -> None:
        settling.end_test()
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        theirs.setblocking(False)
        signal.set_wakeup_fd(theirs.fileno())
        self.addCleanup(signal.set_wakeup_fd, -1)
        self.begin()
        self.assertEqual(self.current(), theirs.fileno())
        settling.end_test()
        self.assertEqual(self.current(), theirs.fileno())

    def test_a_loop_of_asyncio_hears_its_signals(self) -> None:
        async def wait_for_signal() -> bool:
            loop = asyncio.get_running_loop()
            heard = asyncio.Event()
            loop.add_signal_handler(signal.SIGUSR1, heard.set)
            os.kill(os.getpid(), signal.SIGUSR1)
            await asyncio.wait_for(heard.wait(), 5)
            return heard.is_set()

        self.assertTrue(asyncio.run(wait_for_signal()))
        self.begin("ShopTest.test_next")
        self.assertNotEqual(self.current(), -1)

    def test_a_forked_process_has_none(self) -> None:
        pid = os.fork()
        if pid == 0:
            os._exit(0 if signal.set_wakeup_fd(-1) == -1 else 1)
        self.assertEqual(os.waitpid(pid, 0)[1], 0)
        self.assertNotEqual(self.current(), -1)

    def test_the_thread_that_hears_rests_at_once(self) -> None:
        bounds.watch_answers(settling.running)
        began = time.monotonic()
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        self.assertLess(time.monotonic() - began, 0.4)


if __name__ == "__main__":
    unittest.main()
