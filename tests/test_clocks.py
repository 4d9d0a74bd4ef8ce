"""Clocks and sleeps that a test stops or mocks stop none of ours: what has a bound still ends."""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import sys
import threading
import time
import unittest
from typing import Any, Callable, Dict
from unittest import mock

import sqlalchemy as sa

from dbtestcase import BlockedDatabaseError, DatabaseTestCase, binaries, where
from dbtestcase.dialects.postgresql.sessions.transactions import settled

from . import support
from .holding import BOUND, Shop, another_process

LATE = 8  # seconds after which whatever is in the way goes by itself: nothing hangs for ever here


def mocked() -> Any:
    stack = contextlib.ExitStack()
    for name in ("monotonic", "time", "perf_counter"):
        stack.enter_context(mock.patch("time." + name, return_value=1326499200.0))
    stack.enter_context(mock.patch("time.sleep"))
    return stack


def by_freezegun(**options: Any) -> Any:
    return support.imported("freezegun").freeze_time("2012-01-14", **options)


def by_time_machine() -> Any:
    return support.imported("time_machine").travel("2012-01-14", tick=False)


STOPPED: Dict[str, Callable[[], Any]] = {
    "mock": mocked,
    "freezegun": by_freezegun,
    "time_machine": by_time_machine,
}


def elapsed() -> float:
    """Return the seconds of a clock that nothing stops."""
    return os.times()[4]


def with_each_clock(method: Any) -> Any:
    """Run a test with every way to stop the clocks that is installed."""

    @functools.wraps(method)
    def run(self: Any) -> None:
        for name, stopped in STOPPED.items():
            if name == "mock" or not support.missing(name):
                with self.subTest(name):
                    method(self, stopped)

    return run


class TheClock(unittest.TestCase):
    """The package's own clock."""

    @with_each_clock
    def test_it_goes_on(self, stopped: Any) -> None:
        before, began, wall = where.now(), elapsed(), where.wall()
        with stopped():
            self.assertLess(abs(where.wall() - wall), 60)
            where.pause(0.1)
            self.assertGreater(where.now() - before, 0.09)
        self.assertGreaterEqual(elapsed() - began, 0.09)

    def test_it_goes_on_for_who_imports_it_while_time_stands_still(self) -> None:
        support.require("freezegun")
        code = (
            "import freezegun\n"
            "with freezegun.freeze_time('2012-01-14'):\n"
            "    from dbtestcase import where\n"
            "    assert where.wall() > 1600000000, where.wall()\n"
            "    before = where.now(); where.pause(0.1); assert where.now() - before > 0.09\n"
        )
        ended = support.run_python("-c", code)
        self.assertEqual((ended.returncode, ended.stderr), (0, ""))


class StoppedClocks(Shop):
    """Each wait of ours ends in its time."""

    database = "clocks_shop_test"

    def setUp(self) -> None:
        super().setUp()
        self.began = elapsed()

    @contextlib.contextmanager
    def ends(self, error: Any, seconds: float) -> Any:
        began = elapsed()
        with self.assertRaises(error):
            yield
        self.assertLess(elapsed() - began, seconds + 2.5)

    def held(self, statement: str) -> Any:
        bound = "SET idle_in_transaction_session_timeout = '%ds'" % LATE
        return another_process(self.url, bound, "COMMIT", "BEGIN", statement)

    @with_each_clock
    def test_a_reset_that_waits_for_a_lock(self, stopped: Any) -> None:
        with self.held("LOCK TABLE parent"), stopped(), self.ends(BlockedDatabaseError, BOUND):
            self.reset()

    @with_each_clock
    def test_a_transaction_that_stays_open(self, stopped: Any) -> None:
        with self.held("INSERT INTO parent VALUES (-1)"):
            self.control.execute("SELECT txid_current()")  # a later one is over
            with stopped(), self.ends(BlockedDatabaseError, BOUND), settled(self.control):
                pass

    @with_each_clock
    def test_a_pool_that_is_dry(self, stopped: Any) -> None:
        engine = self.make_engine(pool_size=1, max_overflow=0, pool_timeout=1)
        taken = engine.connect()
        timer = threading.Timer(LATE, taken.close)
        timer.start()
        try:
            with stopped(), self.ends(sa.exc.TimeoutError, 1):
                engine.connect()
        finally:
            timer.cancel()
            taken.close()

    @with_each_clock
    def test_a_program(self, stopped: Any) -> None:
        sleep = [sys.executable, "-c", "import time; time.sleep(%d)" % LATE]
        with stopped(), self.ends(subprocess.TimeoutExpired, 0.5):
            binaries.run(sleep, 0.5)


class MockedTime(support.Outcomes):
    """What a suite does with mocked clocks gives the same as without us."""

    database = "clocks_mocked_test"

    @classmethod
    def setUpClass(cls) -> None:
        cls.url = support.postgresql_url(cls.database)

    def base(self, **attributes: Any) -> Any:
        metadata = sa.MetaData()
        self.book = sa.Table("book", metadata, sa.Column("id", sa.Integer, primary_key=True))
        engine = sa.create_engine(self.url)
        self.addCleanup(engine.dispose)
        known = {"engine": engine, "metadata": metadata}
        return type("Base", (DatabaseTestCase,), dict(known, **attributes))

    def test_connections_made_while_time_is_a_mock(self) -> None:
        book = None

        def writes(self: Any) -> None:
            self.engine.dispose()
            with mock.patch("time.time"):
                for _ in range(3):
                    self.session.execute(book.insert())
                    self.session.commit()
            self.session.execute(book.insert())
            self.session.commit()
            self.assertRowCount(book, 4)

        for reset in ("recreate", "rollback"):
            with self.subTest(reset):
                Base = self.base(reset=reset)
                book = self.book
                names = {"test_one": writes, "test_two": writes}
                self.assertPasses(type("Case", (Base,), names))

    def test_a_test_whose_clock_stands_still_for_all_of_its_class(self) -> None:
        freezegun = support.imported("freezegun")

        class Case(self.base()):  # type: ignore[misc]
            def test_one(self) -> None:
                self.assertEqual(time.strftime("%Y"), "2012")
                self.session.execute(self.metadata.tables["book"].insert())
                self.session.commit()

            test_two = test_one

        self.assertPasses(freezegun.freeze_time("2012-01-14")(Case))


if __name__ == "__main__":
    unittest.main()
