"""What is done with connections past SQLAlchemy: freed, told and taken back all the same."""

from __future__ import annotations

import contextlib
import time
from unittest import mock

import sqlalchemy as sa

from dbtestcase import BlockedDatabaseError, DatabaseTestCase, _compat, where
from dbtestcase.connections import blockers, settling

from . import support
from .holding import BOUND, Shop, another_process

FIRST, SECOND = "ShopTest.test_first", "ShopTest.test_second"
INSERT = "INSERT INTO parent VALUES (0)"
LOCKED = "SELECT count(*) FROM pg_locks WHERE objid = 4712"


class PastSQLAlchemy(Shop):
    """What a test does with the driver itself."""

    database = "past_shop_test"

    def begin(self, name: str = FIRST) -> None:
        super().begin(name)
        time.sleep(0.02)

    def test_a_connection_of_the_driver_is_told_by_the_test_that_used_it_last(self) -> None:
        self.raw().cursor().execute(INSERT)
        self.begin(SECOND)
        (leak,) = self.reset()
        self.assertEqual((leak.kind, leak.test), ("raw connection", FIRST))
        self.assertRegex(str(leak), r"holding.py:\d+ in raw")

    def test_one_that_an_earlier_test_made_is_told_without_a_line(self) -> None:
        raw = self.raw()
        self.begin(SECOND)
        raw.cursor().execute(INSERT)
        time.sleep(0.02)
        (leak,) = self.reset()
        self.assertEqual((leak.kind, leak.test, leak.file), ("raw connection", SECOND, None))

    def test_what_took_longer_to_free_than_the_bound_is_free_all_the_same(self) -> None:
        self.raw().cursor().execute(INSERT)
        freed = blockers.ensure_free(self.control, self.database, "T.test", lock_timeout=0.0)
        self.assertEqual([leak.kind for leak in freed], ["raw connection"])

    def test_a_transaction_that_the_driver_prepared(self) -> None:
        raw = self.raw()
        raw.tpc_begin(raw.xid(1, "left by the driver", "branch"))
        raw.cursor().execute(INSERT)
        raw.tpc_prepare()
        self.begin(SECOND)
        (leak,) = self.reset()
        self.assertEqual((leak.kind, leak.test), ("prepared transaction", FIRST))
        raw.cursor().execute("SELECT 1")

    def test_a_statement_at_work_is_named_with_its_test(self) -> None:
        raw = self.raw()
        raw.cursor().execute(INSERT)
        self.in_thread(lambda: raw.cursor().execute("SELECT pg_sleep(4)"))
        time.sleep(0.3)
        self.begin(SECOND)
        with self.assertRaisesRegex(
            BlockedDatabaseError,
            r'  pid %d of role "\w+" of this process, active for \d.\d s, holds "parent"\n'
            r"      its query: SELECT pg_sleep\(4\)\n"
            r"      used past SQLAlchemy by %s\n" % (_compat.backend_pid(raw), FIRST),
        ):
            self.reset()

    def test_what_a_cursor_of_the_driver_sets_does_not_reach_the_next_test(self) -> None:
        with self.engine.connect() as connection:
            cursor = connection.connection.cursor()
            cursor.execute("SET work_mem = '7MB'")
            cursor.execute("SELECT pg_advisory_lock(4711)")
            connection.connection.commit()
        self.begin(SECOND)
        with self.engine.connect() as connection:
            self.assertNotEqual(connection.execute(sa.text("SHOW work_mem")).scalar(), "7MB")
        self.assertEqual(support.administer("SELECT 1 FROM pg_locks WHERE objid = 4711"), [])

    def test_a_connection_that_was_used_as_usual_stays(self) -> None:
        pids = set()
        for name in (FIRST, SECOND):
            self.begin(name)
            with self.engine.connect() as connection:
                connection.execute(sa.text("SELECT count(*) FROM parent"))
                pids.add(connection.execute(sa.text("SELECT pg_backend_pid()")).scalar())
        self.assertEqual(len(pids), 1)

    def test_a_connection_of_the_driver_that_has_read_is_freed_although_rows_alone_go(self) -> None:
        raw = self.raw()
        raw.cursor().execute("SELECT * FROM parent")
        self.begin(SECOND)
        (leak,) = blockers.ensure_free(self.control, self.database, SECOND)
        self.assertEqual((leak.kind, leak.test), ("raw connection", FIRST))
        self.assertRegex(str(leak), r"holding.py:\d+ in raw")
        self.control.execute("DROP TABLE public.child, public.parent")
        raw.cursor().execute("SELECT 1")  # its owner may go on

    def test_readers_of_others_are_neither_waited_for_nor_touched(self) -> None:
        read = "SELECT count(*) FROM parent"
        asked = "SELECT state FROM pg_stat_activity WHERE pid = %d"
        with another_process(self.url, read) as pid:
            for _ in range(2):
                with mock.patch.object(where, "pause", wraps=where.pause) as pause:
                    self.assertEqual(blockers.ensure_free(self.control, self.database, SECOND), [])
                pause.assert_not_called()
            self.assertEqual(support.administer(asked % pid), [("idle in transaction",)])
            raw = self.raw()  # ours is freed all the same
            raw.cursor().execute(read)
            (leak,) = blockers.ensure_free(self.control, self.database, SECOND)
            self.assertEqual(leak.pid, _compat.backend_pid(raw))

    def test_readers_that_are_checked_out_or_at_work_are_left_alone(self) -> None:
        with self.engine.connect() as connection:
            connection.execute(sa.text("SELECT count(*) FROM parent"))
            raw = self.raw()
            thread = self.in_thread(
                lambda: raw.cursor().execute("SELECT pg_sleep(1) FROM parent LIMIT 1")
            )
            time.sleep(0.3)
            self.assertEqual(blockers.ensure_free(self.control, self.database, SECOND), [])
            for dbapi in (_compat.dbapi_connection(connection.connection), raw):
                self.assertNotEqual(_compat.transaction_status(dbapi), _compat.IDLE)
            thread.join(10)

    def lock_by_function(self, statement: str) -> None:
        self.control.execute(
            "CREATE OR REPLACE FUNCTION public.keep() RETURNS void LANGUAGE sql"
            " AS 'SELECT pg_advisory_lock(4712)'"
        )
        with self.engine.connect() as connection:
            connection.execute(sa.text(statement))

    def test_an_advisory_lock_that_a_function_took_ends_with_the_test(self) -> None:
        for statement in ("SELECT keep()", "SELECT * FROM public.keep() AS kept"):
            self.lock_by_function(statement)
            self.assertEqual(support.administer(LOCKED), [(1,)])
            settling.end_test()
            self.assertEqual(support.administer(LOCKED), [(0,)])
            self.begin(SECOND)

    def test_one_that_it_took_unseen_ends_with_the_next_look_at_the_locks(self) -> None:
        self.lock_by_function("SELECT id, keep() FROM parent WHERE id = 1")
        self.begin(SECOND)
        self.assertEqual(support.administer(LOCKED), [(1,)])
        self.assertEqual(blockers.ensure_free(self.control, self.database, SECOND), [])
        self.assertEqual(support.administer(LOCKED), [(0,)])

    def test_advisory_locks_of_others_and_of_connections_in_use_stay(self) -> None:
        asked = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid IN (4711, 4712)"
        with self.engine.connect() as connection:
            connection = connection.execution_options(isolation_level="AUTOCOMMIT")
            connection.execute(sa.text("SELECT pg_advisory_lock(4712)"))
            raw = self.raw()
            raw.autocommit = True
            raw.cursor().execute("SELECT pg_advisory_lock_shared(4711)")
            name = "SET application_name = 'dbtestcase ShopTest.test_total'"
            lock = "SELECT pg_advisory_lock_shared(4711)"
            with another_process(self.url, name, lock, mode="autocommit"):
                self.assertEqual(blockers.ensure_free(self.control, self.database, SECOND), [])
                self.assertEqual(len(support.administer(asked)), 3)

    def message_behind_a_lock(self, mode: str) -> str:
        lock = "SELECT pg_advisory_lock(4711)"
        with another_process(self.url, lock, mode=mode) as pid:
            with self.engine.connect() as connection:
                with self.assertRaises(BlockedDatabaseError) as caught:
                    connection.execute(sa.text(lock))
        return str(caught.exception).replace(str(pid), "PID")

    def test_the_holder_of_an_advisory_lock_is_named(self) -> None:
        self.assertRegex(
            self.message_behind_a_lock("transaction"),
            r"pid PID .*, idle in transaction for .*, holds the advisory lock 4711\n.*\n"
            r"  End that transaction, or see it again with",
        )

    def test_an_advisory_lock_that_no_transaction_holds_is_given_back_or_ends_with_its_session(
        self,
    ) -> None:
        self.assertRegex(
            self.message_behind_a_lock("autocommit"),
            r"pid PID .*, idle for .*, holds the advisory lock 4711\n.*\n"
            r"  Have that lock given back \(pg_advisory_unlock\), or end the session that holds it:"
            r" no transaction does.\n",
        )

    def test_no_commit_waits_for_a_standby(self) -> None:
        engine = self.make_engine(pool_size=1, connect_args={"options": "-c synchronous_commit=on"})
        ask = sa.text("SHOW synchronous_commit")
        with engine.connect() as connection:
            self.assertEqual(connection.execute(ask).scalar(), "local")
        settling.end_test()
        with engine.connect() as connection:
            self.assertEqual(connection.execute(ask).scalar(), "on")


class PastSQLAlchemyWithPsycopg3(PastSQLAlchemy):
    """The same with the other driver."""

    driver = "psycopg"
    database = "past_shop3_test"


class FullServers(support.Outcomes):
    """A database that takes no more connections."""

    def message_with_limit(self, limit: int) -> str:
        url = support.postgresql_url("past_full_test", owner="app")
        support.administer('ALTER DATABASE "past_full_test" CONNECTION LIMIT %d' % limit)
        self.addCleanup(support.administer, 'ALTER DATABASE "past_full_test" CONNECTION LIMIT -1')

        class FullTest(DatabaseTestCase):
            engine = url
            metadata = sa.MetaData()

            def test_nothing(self) -> None:
                pass

        return self.message_of(FullTest)

    def test_no_connection_at_all(self) -> None:
        self.assertRegex(
            self.message_with_limit(0),
            r"\A(dbtestcase.)?(errors.)?BlockedDatabaseError: FullTest: no connection to .*"
            r'too many connections for database "past_full_test"\n'
            r"  It is where the engine of the class leads. Nothing was touched.\n"
            r"  The server has no connection left. Close connections that are not needed, or raise"
            r" the server's max_connections.\Z",
        )

    def test_none_for_the_connection_that_clears(self) -> None:
        self.assertIn("The server has no connection left.", self.message_with_limit(1))


class LateWaits(support.Outcomes):
    """A lock that is in the way only of the quickest way to empty a large table."""

    def test_the_bound_holds_once_and_not_for_each_look(self) -> None:
        url = support.postgresql_url("past_late_test")
        metadata_of_large = sa.MetaData()
        sa.Table("large", metadata_of_large, sa.Column("id", sa.Integer), sa.Column("t", sa.Text))
        seconds, stack = [], contextlib.ExitStack()

        class LateTest(DatabaseTestCase):
            engine = url
            metadata = metadata_of_large
            lock_timeout = 2 * BOUND  # two of them are told from one on a loaded machine, too

            def setUp(self) -> None:
                began = time.monotonic()
                try:
                    super().setUp()
                finally:
                    seconds.append(time.monotonic() - began)

            def test_1_fills(self) -> None:
                insert = "INSERT INTO large SELECT i, repeat(md5(i::text), 40) FROM %s i"
                self.session.execute(sa.text(insert % "generate_series(1, 10000)"))
                self.session.commit()
                stack.enter_context(another_process(url, "SELECT count(*) FROM large"))

            def test_2_waits(self) -> None:
                pass

        with stack:
            message = self.message_of(LateTest)
        self.assertIn("BlockedDatabaseError: cannot clear", message)
        self.assertLess(max(seconds), 3.6 * BOUND)
