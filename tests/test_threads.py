"""Threads that are in the middle of something when a test is over: an error, never half of it."""

from __future__ import annotations

import threading
import time
import unittest
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, List

import sqlalchemy as sa
from sqlalchemy.orm import scoped_session, sessionmaker

from dbtestcase import DatabaseTestCase, _compat
from dbtestcase.connections import open_checkouts

from . import support
from .holding import driver_url

BOUND = 2.0
FIRST, SECOND = "INSERT INTO note VALUES ('first')", "INSERT INTO note VALUES ('second')"
SAID = (
    "this connection was ended, and its transaction rolled back: NoteTest.test_1_begins at "
    r"\S*test_threads.py:\d+ in \w+.*, thread \"worker\" had it when the database was made new,"
    " and no half of a transaction may reach the next test.\n"
    r"  Let a test wait for its threads and tasks \(join, await\), or have them commit before it"
    " ends."
)


class Threads(support.Outcomes):
    """A thread that one test starts, and that goes on in the next one."""

    driver, reset = "psycopg2", "recreate"

    @classmethod
    def setUpClass(cls) -> None:
        support.require(cls.driver)
        database = "threads_%s_%s_test" % (cls.driver, cls.reset)
        url = _compat.url_with(support.postgresql_url(database), drivername=cls.drivername())
        cls.url = _compat.url_text(url)
        cls.metadata = sa.MetaData()
        cls.note = sa.Table("note", cls.metadata, sa.Column("text", sa.String(20)))

    @classmethod
    def drivername(cls) -> str:
        name = "postgresql+%s" % cls.driver
        try:
            sa.engine.url.make_url(name + "://").get_dialect()
        except sa.exc.NoSuchModuleError:
            raise unittest.SkipTest("no %s here" % cls.driver) from None
        return name

    def setUp(self) -> None:
        self.engine = sa.create_engine(self.url)
        self.addCleanup(self.engine.dispose)
        self.session = scoped_session(sessionmaker(bind=self.engine))
        self.own: Any = threading.local()
        self.go = threading.Event()
        self.addCleanup(self.go.set)
        self.errors: List[BaseException] = []
        self.runs_statement = False  # at the end of the first test

    def outcome_of(self, work: Callable[[Any], None], session: Any = None) -> Any:
        """Run two tests; what the work does after its wait is done while the second one runs."""
        outer, ready = self, threading.Event()

        def run() -> None:
            try:
                work(ready)
            except Exception as error:
                outer.errors.append(error)

        class NoteTest(DatabaseTestCase):
            engine, metadata, reset = outer.engine, outer.metadata, outer.reset
            session = outer.session
            lock_timeout = BOUND

            def rows(self) -> Any:
                return [row[0] for row in self.session.execute(outer.note.select())]

            def test_1_begins(self) -> None:
                outer.thread = threading.Thread(target=run, name="worker", daemon=True)
                outer.thread.start()
                self.assertTrue(ready.wait(10))
                while outer.runs_statement and not outer.is_at_work():
                    time.sleep(0.01)

            def test_2_is_not_disturbed(self) -> None:
                outer.go.set()
                outer.thread.join(10)
                self.assertEqual(self.rows(), [])

            def test_3_begins_without_rows(self) -> None:
                self.assertEqual(self.rows(), [])

        if session is not None:
            NoteTest.session = session
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            result = support.run_case(NoteTest)
        self.leaks = [str(each.message) for each in caught if "test_1" in str(each.message)]
        return result

    def assertEnded(self, work: Callable[[Any], None], session: Any = None) -> None:
        """Have a thread do something; its next step must fail, and the tests must pass."""
        result = self.outcome_of(work, session)
        self.assertEqual([text for _, text in result.errors + result.failures], [])
        (error,) = self.errors
        original = getattr(error, "orig", error)
        self.assertIsInstance(original, __import__(self.driver).Error)
        self.assertRegex(str(error), self.words())
        self.assertRegex(
            self.leaks[0],
            r"NoteTest.test_1_begins left a (raw connection|connection|session) open at"
            r' \S*test_threads.py:\d+ in \w+ \(.* s, thread "worker"',
        )

    def words(self) -> str:
        return SAID

    def is_at_work(self) -> bool:
        states = [_compat.transaction_status(each.dbapi) for each in open_checkouts()]
        return _compat.ACTIVE in states

    def wait(self, ready: threading.Event) -> None:
        ready.set()
        self.assertTrue(self.go.wait(10))

    def raw(self) -> Any:
        return __import__(self.driver).connect(driver_url(self.url))

    def test_a_session(self) -> None:
        def work(ready: Any) -> None:
            session = sessionmaker(bind=self.engine)()
            session.execute(sa.text(FIRST))
            self.wait(ready)
            session.execute(sa.text(SECOND))
            session.commit()

        self.assertEnded(work)

    def test_a_session_that_only_has_to_commit(self) -> None:
        def work(ready: Any) -> None:
            session = sessionmaker(bind=self.engine)()
            session.execute(sa.text(FIRST))
            self.wait(ready)
            session.commit()

        self.assertEnded(work)

    def test_a_session_that_has_read(self) -> None:
        def work(ready: Any) -> None:
            session = sessionmaker(bind=self.engine)()
            session.execute(sa.text("SELECT 1"))
            self.wait(ready)
            session.execute(sa.text(SECOND))
            session.commit()

        self.assertEnded(work)

    def test_a_session_rolled_back_after_the_error_goes_on(self) -> None:
        found = []

        def work(ready: Any) -> None:
            session = sessionmaker(bind=self.engine)()
            session.execute(sa.text(FIRST))
            self.wait(ready)
            try:
                session.execute(sa.text(SECOND))
            finally:
                session.rollback()
                found.append(session.execute(sa.text("SELECT 7")).scalar())
                session.close()

        self.assertEnded(work)
        self.assertEqual(found, [7])

    def test_a_scoped_session_of_threads(self) -> None:
        self.check_scoped(self.session)

    def test_a_scoped_session_of_its_own_scope(self) -> None:
        def scope() -> Any:
            return vars(self.own).setdefault("scope", object())

        self.check_scoped(scoped_session(sessionmaker(bind=self.engine), scopefunc=scope))

    def check_scoped(self, scoped: Any) -> None:
        def work(ready: Any) -> None:
            scoped.execute(sa.text(FIRST))
            self.wait(ready)
            try:
                scoped.execute(sa.text(SECOND))
                scoped.commit()
            finally:
                scoped.remove()

        self.assertEnded(work, scoped)

    def test_a_connection(self) -> None:
        def work(ready: Any) -> None:
            with self.engine.connect() as connection:
                with connection.begin():
                    connection.execute(sa.text(FIRST))
                    self.wait(ready)
                    connection.execute(sa.text(SECOND))

        self.assertEnded(work)

    def test_a_connection_of_another_engine(self) -> None:
        if self.reset == "rollback":
            self.skipTest("it commits past the outer transaction, which is told in its own way")
        other = sa.create_engine(self.url, poolclass=sa.pool.NullPool)

        def work(ready: Any) -> None:
            with other.begin() as connection:
                connection.execute(sa.text(FIRST))
                self.wait(ready)
                connection.execute(sa.text(SECOND))

        self.assertEnded(work)

    def test_a_raw_connection_of_the_engine(self) -> None:
        def work(ready: Any) -> None:
            connection = self.engine.raw_connection()
            connection.cursor().execute(FIRST)
            self.wait(ready)
            connection.cursor().execute(SECOND)
            connection.commit()

        self.assertEnded(work)

    def test_a_connection_of_the_driver(self) -> None:
        self.check_raw(FIRST, SECOND)

    def test_a_connection_of_the_driver_that_has_read(self) -> None:
        self.check_raw("SELECT 1", SECOND)

    def test_a_connection_of_the_driver_that_only_has_to_commit(self) -> None:
        self.check_raw(FIRST)

    def check_raw(self, first: str, *then: str) -> None:
        def work(ready: Any) -> None:
            connection = self.raw()
            try:
                cursor = connection.cursor()
                cursor.execute(first)
                self.wait(ready)
                for statement in then:
                    cursor.execute(statement)
                connection.commit()
            finally:
                connection.close()

        self.assertEnded(work)

    def test_a_statement_is_waited_for(self) -> None:
        self.runs_statement = True

        def work(ready: Any) -> None:
            session = sessionmaker(bind=self.engine)()
            session.execute(sa.text(FIRST))
            ready.set()
            session.execute(sa.text("SELECT pg_sleep(0.8)"))
            self.go.wait(10)
            session.execute(sa.text(SECOND))
            session.commit()

        self.assertEnded(work)

    def test_a_statement_that_has_locked_nothing_is_waited_for(self) -> None:
        self.runs_statement = True

        def work(ready: Any) -> None:
            with self.engine.connect() as connection:
                with connection.begin():
                    connection.execute(sa.text("SELECT 1"))
                    ready.set()
                    connection.execute(sa.text("SELECT pg_sleep(0.8)"))
                    self.go.wait(10)
                    connection.execute(sa.text(SECOND))

        self.assertEnded(work)

    def test_a_statement_that_does_not_end_in_time_is_named(self) -> None:
        self.runs_statement = True

        def work(ready: Any) -> None:
            session = sessionmaker(bind=self.engine)()
            session.execute(sa.text(FIRST))
            ready.set()
            session.execute(sa.text("SELECT pg_sleep(%s)" % (BOUND + 1)))
            session.execute(sa.text(SECOND))
            session.commit()

        began = time.monotonic()
        result = self.outcome_of(work)
        self.assertLess(time.monotonic() - began, 3 * BOUND)
        (_, text), *others = result.errors
        self.assertEqual(result.failures, [])
        for _, other in others:  # the statement may still run
            self.assertIn(
                "is still in the way, as said for NoteTest.test_2_is_not_disturbed", other
            )
        self.assertIn("BlockedDatabaseError: cannot clear", text)
        self.assertRegex(
            text,
            r"  pid \d+ .* of this process, active for \d.\d s, holds \"note\"\n"
            r"      its query: SELECT pg_sleep\(3.0\)\n"
            r"      checked out \d.\d s ago by NoteTest.test_1_begins at \S*test_threads.py:\d+ in"
            r" work, called at .*, thread \"worker\"\n"
            "  End that transaction, or see it again with: python -m dbtestcase blockers\n",
        )
        self.thread.join(10)

    def test_an_idle_connection_of_a_pool_of_threads_is_left_alone(self) -> None:
        if self.reset == "rollback":
            self.skipTest("connections end with the outer transaction that they are of")
        outer, ask = self, sa.text("SELECT pg_backend_pid()")
        threads = ThreadPoolExecutor(1)
        self.addCleanup(threads.shutdown)
        held: List[Any] = []

        def work() -> Any:
            if not held:
                held.append(outer.engine.connect().execution_options(isolation_level="AUTOCOMMIT"))
            return held[0].execute(ask).scalar()

        class PoolTest(DatabaseTestCase):
            engine, metadata = outer.engine, outer.metadata

            def test_1(self) -> None:
                PoolTest.pid = threads.submit(work).result(10)

            def test_2(self) -> None:
                self.assertEqual(threads.submit(work).result(10), self.pid)

        with warnings.catch_warnings():
            warnings.simplefilter("error")
            self.assertPasses(PoolTest)
        held[0].close()

    def test_what_an_idle_thread_of_a_pool_has_left_is_given_back(self) -> None:
        outer = self
        threads = ThreadPoolExecutor(1)
        self.addCleanup(threads.shutdown)
        count = sa.text("SELECT count(*) FROM note")

        class PoolTest(DatabaseTestCase):
            engine, metadata, reset = outer.engine, outer.metadata, outer.reset

            def test_1(self) -> None:
                threads.submit(outer.session.execute, sa.text(FIRST)).result(10)

            def test_2(self) -> None:
                found = threads.submit(lambda: outer.session.execute(count).scalar()).result(10)
                self.assertEqual(found, 0)
                threads.submit(outer.session.remove).result(10)

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            self.assertPasses(PoolTest)
        self.assertIn("PoolTest.test_1 left a session open", str(caught[0].message))


class ThreadsWithPsycopg3(Threads):
    """The same with the other driver."""

    driver = "psycopg"


class ThreadsInRollback(Threads):
    """The same in outer transactions, whose connections also say themselves that they are over."""

    reset = "rollback"

    def words(self) -> str:
        return (
            SAID
            + "|connection already closed: it belonged to NoteTest.test_1_begins, which is over"
        )


class ThreadsInRollbackWithPsycopg3(ThreadsInRollback):
    """The same with the other driver."""

    driver = "psycopg"
