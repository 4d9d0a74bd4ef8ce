"""The words for what blocks, in a reset and inside a test."""

from __future__ import annotations

import pickle
import threading
import time
import unittest
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import sessionmaker

from dbtestcase import BlockedDatabaseError, _compat
from dbtestcase.connections import blockers, describe, settling
from dbtestcase.contracts import Backend
from dbtestcase.databases import clear
from dbtestcase.dialects.postgresql.sessions import Control

from . import support
from .holding import BOUND, NAME, Shop, another_process

WRITE = sa.text("INSERT INTO parent VALUES (0)")


class InsideATest(Shop):
    """A test's own statement that cannot go on fails, and says who is to blame."""

    def test_a_test_that_blocks_itself_is_told_its_own_line(self) -> None:
        first = sessionmaker(bind=self.engine)()
        first.execute(WRITE)
        second = sessionmaker(bind=self.engine)()
        with self.assertRaises(BlockedDatabaseError) as caught:
            second.execute(sa.text("LOCK TABLE parent"))
        self.assertRegex(
            str(caught.exception),
            r"\AShopTest.test_total: its statement waited 1.5 s for a lock.\n"
            r'  pid \d+ "dbtestcase ShopTest.test_total" of this process, idle in transaction for'
            r' \d.\d s, holds "parent"\n'
            r"      last query: INSERT INTO parent VALUES \(0\)\n"
            r"      checked out \d.\d s ago by ShopTest.test_total at \S*test_locks.py:\d+ in"
            r" test_a_test_that_blocks_itself_is_told_its_own_line\n"
            r"  End that transaction, or see it again with: python -m dbtestcase blockers\n",
        )
        second.close()
        first.close()

    def test_the_error_is_still_what_the_caller_expects(self) -> None:
        with another_process(self.url, "LOCK TABLE parent"):
            with self.engine.connect() as connection:
                with self.assertRaises(sa.exc.OperationalError) as caught:
                    connection.execute(sa.text("SELECT * FROM parent"))
        self.assertEqual(_compat.sqlstate(caught.exception), "55P03")
        self.assertIn("SELECT * FROM parent", caught.exception.statement)
        self.assertIs(type(pickle.loads(pickle.dumps(caught.exception))), BlockedDatabaseError)

    def test_nowait_is_the_tests_own_business(self) -> None:
        with another_process(self.url, "LOCK TABLE parent"):
            with self.engine.connect() as connection:
                with self.assertRaises(sa.exc.OperationalError) as caught:
                    connection.execute(sa.text("LOCK TABLE parent NOWAIT"))
        self.assertNotIsInstance(caught.exception, BlockedDatabaseError)

    def test_a_dry_pool_says_who_has_its_connections(self) -> None:
        engine = self.make_engine(pool_size=1, max_overflow=1)
        settling.begin_test([engine], NAME, 0.5)
        kept = [engine.connect(), engine.connect()]
        started = time.monotonic()
        with self.assertRaises(BlockedDatabaseError) as caught:
            engine.connect()
        self.assertLess(time.monotonic() - started, 3)
        self.assertIsInstance(caught.exception, sa.exc.TimeoutError)
        self.assertRegex(
            str(caught.exception),
            r"\AShopTest.test_total waited 0.5 s for a connection: all 2 of the pool are checked"
            r" out.\n"
            r"(  pid \d+, checked out 0.\d s ago by ShopTest.test_total at \S*test_locks.py:\d+ in"
            r" test_a_dry_pool_says_who_has_its_connections\n){2}"
            r"  Close what is not needed any more, or give the engine a larger pool_size.\Z",
        )
        settling.end_test()
        self.assertEqual(_compat.set_pool_timeout(engine.pool, None), 30)
        for each in kept:
            each.close()
        engine.connect().close()

    def test_a_pool_made_anew_in_a_test_waits_as_long_as_the_one_before(self) -> None:
        engine = self.make_engine(pool_size=1, max_overflow=0)
        settling.begin_test([engine], NAME, 0.2)
        for _ in range(2):
            engine.connect().close()
            engine.dispose()
        kept = engine.connect()
        with self.assertRaisesRegex(BlockedDatabaseError, r"\A%s waited 0.2 s" % NAME):
            engine.connect()
        settling.end_test()
        self.assertFalse({"_do_get", "recreate"} & set(vars(engine.pool)))
        self.assertEqual(_compat.set_pool_timeout(engine.pool, None), 30)
        kept.close()

    def test_a_dry_pool_is_bounded_and_named_by_each_test_anew(self) -> None:
        engine, other = self.make_engine(pool_size=1, max_overflow=0), self.make_engine()
        kept = engine.connect()
        for name in ("ShopTest.test_one", "ShopTest.test_two"):
            settling.begin_test([engine], name, 0.2)
            with self.assertRaisesRegex(BlockedDatabaseError, r"\A%s waited 0.2 s" % name):
                engine.connect()
        settling.begin_test([engine], "ShopTest.test_three", 0.4)
        with self.assertRaisesRegex(BlockedDatabaseError, r"\AShopTest.test_three waited 0.4 s"):
            engine.connect()
        settling.begin_test([other], "OtherTest.test_four", 0.4)
        self.assertEqual(_compat.set_pool_timeout(engine.pool, None), 30)
        kept.close()

    def test_a_full_server_says_who_fills_it(self) -> None:
        url = support.postgresql_url("blocks_full_test", owner="app")
        support.administer("ALTER DATABASE blocks_full_test CONNECTION LIMIT 2")
        engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
        control = Control(engine, BOUND)
        settling.begin_test([engine], NAME, BOUND, {engine: control})
        kept = engine.connect()
        with self.assertRaises(BlockedDatabaseError) as caught:
            engine.connect()
        self.assertIsInstance(caught.exception, sa.exc.OperationalError)
        self.assertRegex(
            str(caught.exception),
            r"\AShopTest.test_total: the server has no connection left.\n(  .*\n)*"
            r'  1 of role "app" on "blocks_full_test" by "dbtestcase ShopTest.test_total"\n',
        )
        kept.close()
        settling.end_test()
        control.close()


class InAReset(Shop):
    """What a statement of the reset met."""

    def failing(self, statement: str) -> BlockedDatabaseError:
        with self.assertRaises(Exception) as caught:
            self.control.execute(statement)
        told = blockers.blocked(
            self.control, caught.exception, self.database, NAME, "DROP TABLE", BOUND
        )
        assert told is not None
        return told

    def test_a_lock_timeout_names_the_holder(self) -> None:
        with another_process(self.url, "SET application_name = 'celery worker'", WRITE.text) as pid:
            told = self.failing("DROP TABLE public.parent CASCADE")
        self.assertRegex(
            str(told),
            r'\Acannot clear "blocks_shop_test" for ShopTest.test_total: DROP TABLE waited 1.5 s'
            r" for a lock.\n"
            r'  pid %d "celery worker" from (127.0.0.1|a local socket),'
            r" idle in transaction for \d.\d s,"
            r' holds "parent"\n'
            r"      last query: INSERT INTO parent VALUES \(0\)\n"
            r"  End that transaction, or see it again with: python -m dbtestcase blockers\Z" % pid,
        )

    def test_other_errors_are_not_locks(self) -> None:
        with self.assertRaises(Exception) as caught:
            self.control.execute("SELECT nonsense")
        self.assertIsNone(
            blockers.blocked(self.control, caught.exception, self.database, NAME, "DROP", BOUND)
        )

    def test_without_a_control_connection_less_is_said(self) -> None:
        error = sa.exc.OperationalError(
            "s", {}, Exception("FATAL: sorry, too many clients already")
        )
        told = blockers.blocked(None, error, self.database, NAME, "connecting", BOUND)
        self.assertEqual(
            str(told),
            'cannot clear "blocks_shop_test" for ShopTest.test_total: connecting found no free'
            " connection on the server.\n"
            "  Close connections that are not needed, or raise the server's max_connections.",
        )

    def test_a_deadlock_is_tried_again_a_bounded_number_of_times(self) -> None:
        tries = []

        def work() -> None:
            tries.append(1)
            self.meet_a_deadlock()

        with self.assertRaises(Exception) as caught:
            clear.retrying(work, attempts=2)
        self.assertEqual(_compat.sqlstate(caught.exception), "40P01")
        self.assertEqual(len(tries), 2)

    def meet_a_deadlock(self) -> None:
        """Lock two tables in one order while a thread locks them in the other, which wins."""
        first = threading.Event()

        def other() -> None:
            with self.engine.begin() as connection:
                connection.execute(sa.text("SET LOCAL deadlock_timeout = '20s'"))
                connection.execute(sa.text("LOCK TABLE child"))
                first.set()
                time.sleep(0.2)
                connection.execute(sa.text("SET LOCAL lock_timeout = '9s'"))
                connection.execute(sa.text("LOCK TABLE parent"))

        thread = self.in_thread(other)
        with self.engine.begin() as connection:
            connection.execute(sa.text("LOCK TABLE parent"))
            first.wait(10)
            try:
                connection.execute(sa.text("SET LOCAL lock_timeout = '9s'"))
                connection.execute(sa.text("LOCK TABLE child"))
            finally:
                connection.connection.rollback()
                thread.join(10)


class Words(unittest.TestCase):
    """How single things are said."""

    def test_durations(self) -> None:
        said = [describe.duration(each) for each in (None, 0.44, 9.9, 12.7, 180, 9000)]
        self.assertEqual(said, ["0.0 s", "0.4 s", "9.9 s", "12 s", "3 min", "2 h"])

    def test_many_tables_are_not_all_listed(self) -> None:
        backend = self.backend(held=['"t%d"' % number for number in range(7)])
        self.assertTrue(
            describe.of_backend(backend)[0].endswith('holds "t0", "t1", "t2", "t3" and 3 more')
        )

    def test_a_long_query_is_cut_and_on_one_line(self) -> None:
        backend = self.backend(query="SELECT  1,\n" + "x" * 200)
        self.assertEqual(
            describe.of_backend(backend)[1], "      last query: SELECT 1, " + "x" * 90 + " ..."
        )

    def backend(self, **values: Any) -> Backend:
        given = dict(
            pid=1,
            role="app",
            application="",
            address=None,
            port=-1,
            state="idle in transaction",
            seconds=1.0,
            waits_for="Client",
            query="",
            blocked_by=[],
            held=[],
            wanted=[],
        )
        given.update(values)
        return Backend(**given)  # type: ignore[arg-type]
