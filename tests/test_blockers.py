"""What is not this process's to end: it is named within the bound, with its pid and query."""

from __future__ import annotations

import threading
import time
from typing import Any

import sqlalchemy as sa

from dbtestcase import BlockedDatabaseError
from dbtestcase.connections import blockers, checkouts
from dbtestcase.dialects.postgresql.sessions import Control

from . import support
from .holding import BOUND, Shop, another_process

READ = sa.text("SELECT count(*) FROM parent")
WRITE = sa.text("INSERT INTO parent VALUES (0)")


class Blockers(Shop):
    """What is not this process's to end: named within the bound."""

    def assertNamed(self, *patterns: str, **options: Any) -> str:
        with self.assertRaises(BlockedDatabaseError) as caught:
            self.reset(**options)
        text = str(caught.exception)
        for pattern in patterns:
            self.assertRegex(text, pattern)
        return text

    def test_a_transaction_of_another_process(self) -> None:
        with another_process(self.url, "SET application_name = 'celery worker'", WRITE.text) as pid:
            text = self.assertNamed()
        self.assertRegex(
            text,
            r'\Acannot clear "blocks_shop_test" for ShopTest.test_total: the reset waited 1.5 s'
            r" for a lock.\n"
            r'  pid %d "celery worker" from (127.0.0.1|a local socket),'
            r" idle in transaction for \d+\.\d s,"
            r' holds "parent"\n'
            r"      last query: INSERT INTO parent VALUES \(0\)\n"
            r"  End that transaction, or see it again with: python -m dbtestcase blockers\Z" % pid,
        )

    def test_a_reader_does_not_stand_against_emptying(self) -> None:
        with another_process(self.url, READ.text):
            self.assertEqual(blockers.ensure_free(self.control, self.database, "T.test"), [])

    def test_another_process_that_ends_in_time_is_waited_for(self) -> None:
        with another_process(self.url, WRITE.text) as pid:
            timer = threading.Timer(
                0.4, support.administer, ["SELECT pg_terminate_backend(%d)" % pid]
            )
            timer.start()
            self.assertEqual(self.reset(), [])
            timer.join()

    def test_another_process_is_ended_when_the_suite_says_so(self) -> None:
        with another_process(self.url, WRITE.text) as pid:
            (leak,) = self.reset(terminate_blockers=True)
        self.assertEqual((leak.kind, leak.pid), ("backend", pid))

    def test_a_transaction_that_another_process_prepared(self) -> None:
        with another_process(
            self.url, "BEGIN", WRITE.text, "PREPARE TRANSACTION 'of ours'", mode="autocommit"
        ):
            pass
        self.addCleanup(support.administer, "ROLLBACK PREPARED 'of ours'", database=self.database)
        self.assertNamed(
            r'prepared transaction "of ours" of role "postgres" for \d+\.\d s, holds "parent"',
            "to end it: ROLLBACK PREPARED 'of ours'",
        )

    def test_the_queue_behind_a_reader(self) -> None:
        with another_process(self.url, READ.text) as reader:
            waiter = self.in_thread(self.wait_for_parent)
            while not self.control.execute("SELECT 1 FROM pg_locks WHERE NOT granted"):
                time.sleep(0.01)
            text = self.assertNamed(
                r"pid %d of role .*idle in transaction .*holds \"parent\"" % reader,
                r'waits behind pid %d for "parent"' % reader,
            )
            self.assertLess(text.index("idle in transaction"), text.index("waits behind"))
            self.assertIn("End those transactions", text)
        waiter.join(10)

    def wait_for_parent(self) -> None:
        wait = "DO 'BEGIN LOCK TABLE parent; EXCEPTION WHEN lock_not_available THEN END'"
        with another_process(self.url, "SET LOCAL lock_timeout = '4s'", wait):
            pass

    def test_a_thread_in_the_middle_of_a_statement_is_not_robbed(self) -> None:
        said = []

        def work() -> None:
            with self.engine.begin() as connection:
                connection.execute(READ)
                said.append(connection.execute(sa.text("SELECT pg_sleep(2.5), 7")).fetchone()[1])

        thread = self.in_thread(work)
        time.sleep(0.3)
        pid = checkouts.opened()[-1].dbapi.info.backend_pid
        self.assertNamed(
            r'pid %d "dbtestcase ShopTest.test_total" of this process, active for' % pid,
            r"its query: SELECT pg_sleep\(2.5\), 7",
            r"checked out .* s ago by ShopTest.test_total at \S*test_blockers.py:\d+ in work,"
            r' thread "worker"\n  End that transaction, or see it again with',
        )
        thread.join(10)
        self.assertEqual(said, [7])

    def test_a_thread_that_ends_its_statement_in_time_is_waited_for(self) -> None:
        def work() -> None:
            with self.engine.begin() as connection:
                connection.execute(sa.text("SELECT pg_sleep(0.8) FROM parent LIMIT 1"))

        self.in_thread(work)
        time.sleep(0.3)
        self.reset()

    def test_a_table_that_another_process_has_not_committed(self) -> None:
        with another_process(self.url, "CREATE TABLE another (id int)") as pid:
            self.assertNamed(r"pid %d .*holds a table that is not committed" % pid)

    def test_a_role_that_may_not_see_the_other_says_so(self) -> None:
        url = support.postgresql_url("blocks_owned_test", owner="app")
        engine = sa.create_engine(url)
        control = Control(engine, BOUND)
        control.execute("CREATE TABLE public.parent (id int)")
        with another_process(support.url_of("blocks_owned_test"), WRITE.text) as pid:
            with self.assertRaises(BlockedDatabaseError) as caught:
                blockers.ensure_free(control, "blocks_owned_test", "T.test", lock_timeout=0.2)
        self.assertRegex(
            str(caught.exception),
            r'pid %d of role "postgres", its state and query are hidden from this role,'
            r' holds "parent"\n  End' % pid,
        )
        control.close()
        engine.dispose()


class BlockersWithPsycopg3(Blockers):
    """The same with the other driver."""

    driver = "psycopg"
    database = "blocks_shop_test"
