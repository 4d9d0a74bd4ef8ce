"""What ``create_tables()`` and ``load_data()`` leave open, and what keeps them from their end."""

from __future__ import annotations

import contextlib
import threading
import warnings
from typing import Any, List

import sqlalchemy as sa
from sqlalchemy.orm import sessionmaker

from dbtestcase import BlockedDatabaseError, DatabaseTestCase, _compat
from dbtestcase.dialects.postgresql.sessions.transactions import settled

from . import support
from .holding import BOUND, NAME, Shop, another_process, driver_url

INSERT, LOCK, READ = "INSERT INTO note VALUES ('left')", "LOCK TABLE note", "SELECT * FROM note"


class Leftovers(support.Outcomes):
    """A class whose preparation of the database leaves something open."""

    driver = "psycopg2"

    def setUp(self) -> None:
        support.require(self.driver)
        url = support.postgresql_url("build_left_test")
        name = "postgresql+%s" % self.driver
        with contextlib.suppress(sa.exc.NoSuchModuleError):
            sa.engine.url.make_url(name + "://").get_dialect()
            url = _compat.url_text(_compat.url_with(url, drivername=name))
        self.url = url
        self.engine = sa.create_engine(url)
        self.addCleanup(self.engine.dispose)
        self.metadata = sa.MetaData()
        self.note = sa.Table("note", self.metadata, sa.Column("text", sa.String(20)))
        self.kept: List[Any] = []

    def case(self, hook: str, leave: Any) -> Any:
        outer = self

        class LeavingTest(DatabaseTestCase):
            engine, metadata = outer.engine, outer.metadata
            lock_timeout = BOUND

            def test_1(self) -> None:
                self.assertRowCount(outer.note, 0)
                self.session.execute(sa.text(INSERT))
                self.session.commit()

            def test_2(self) -> None:
                self.assertRowCount(outer.note, 0)

        if hook == "create_tables":

            def create_tables(case: Any) -> None:
                outer.metadata.create_all(outer.engine)
                outer.kept.append(leave())

            LeavingTest.create_tables = create_tables  # type: ignore[method-assign]
        else:

            def load_data(case: Any) -> None:
                outer.kept.append(leave())

            LeavingTest.load_data = load_data  # type: ignore[method-assign]
        return LeavingTest

    def assertFreed(self, kind: str, leave: Any) -> None:
        for hook in ("create_tables", "load_data"):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                self.assertPasses(self.case(hook, leave))
            left = [str(each.message) for each in caught if " left a " in str(each.message)]
            self.assertEqual(len(left), 1, left)
            self.assertRegex(left[0], "left a %s open at .*test_build.py:" % kind)

    def connected(self, statement: str) -> Any:
        connection = self.engine.connect()
        begun = connection.begin()
        connection.execute(sa.text(statement))
        return connection, begun

    def test_a_connection_with_a_lock(self) -> None:
        self.assertFreed("connection", lambda: self.connected(LOCK))

    def test_a_connection_with_rows(self) -> None:
        self.assertFreed("connection", lambda: self.connected(INSERT))

    def test_a_connection_that_has_read(self) -> None:
        self.assertFreed("connection", lambda: self.connected(READ))

    def test_a_session(self) -> None:
        def leave() -> Any:
            session = sessionmaker(bind=self.engine)()
            session.execute(sa.text(INSERT))
            return session

        self.assertFreed("session", leave)

    def test_a_connection_of_another_engine(self) -> None:
        def leave() -> Any:
            other = sa.create_engine(self.url)
            self.addCleanup(other.dispose)
            connection = other.connect()
            return connection, connection.begin(), connection.execute(sa.text(LOCK))

        self.assertFreed("connection", leave)

    def test_a_connection_of_the_driver(self) -> None:
        def leave() -> Any:
            connection = __import__(self.driver).connect(driver_url(self.url))
            self.addCleanup(connection.close)
            connection.cursor().execute(LOCK)
            return connection

        self.assertFreed("raw connection", leave)

    def test_a_thread_in_mid_transaction(self) -> None:
        go = threading.Event()

        def leave() -> Any:
            ready = threading.Event()

            def work() -> None:
                with self.engine.connect() as connection:
                    connection.begin()
                    connection.execute(sa.text(LOCK))
                    ready.set()
                    go.wait(20)

            thread = threading.Thread(target=work, name="worker", daemon=True)
            thread.start()
            self.addCleanup(thread.join, 10)
            self.addCleanup(go.set)
            self.assertTrue(ready.wait(10))

        self.assertFreed("connection", leave)

    def test_another_process_is_named(self) -> None:
        with contextlib.ExitStack() as stack:

            def leave() -> None:
                stack.enter_context(another_process(self.url, LOCK))

            message = self.message_of(self.case("create_tables", leave))
        self.assertRegex(
            message,
            r"\ABlockedDatabaseError: cannot clear \"build_left_test\" for LeavingTest: the reset"
            r" waited %.1f s for a lock.\n"
            r"  pid \d+ .*, idle in transaction for \d.\d s, holds \"note\"\n"
            r"      last query: LOCK TABLE note\n"
            r"  End that transaction, or see it again with: python -m dbtestcase blockers\Z"
            % BOUND,
        )


class LeftoversWithPsycopg3(Leftovers):
    """The same with the other driver."""

    driver = "psycopg"


class Settling(Shop):
    """Transactions that are open while the state of the database is to be remembered."""

    database = "build_settling_test"
    begun = "SELECT txid_current()"
    first = (
        r'\Acannot remember the state of "build_settling_test": a transaction is still open in it'
        r" after %.1f s, so that its changes could appear later.\n" % BOUND
    )
    last = r"  End that transaction, or see it again with: python -m dbtestcase blockers\Z"

    def message(self) -> str:
        self.control.execute(self.begun)  # a later one that is over
        with self.assertRaises(BlockedDatabaseError) as caught:
            with settled(self.control):
                self.fail("it is not settled")
        return str(caught.exception)

    def test_one_of_another_process_is_named(self) -> None:
        with another_process(self.url, self.begun) as pid:
            message = self.message()
        self.assertRegex(
            message,
            self.first + r"  pid %d .*, idle in transaction for \d.\d s\n"
            r"      last query: SELECT txid_current\(\)\n" % pid + self.last,
        )

    def test_one_of_a_thread_is_named_with_its_test_and_line(self) -> None:
        ready, go = threading.Event(), threading.Event()

        def work() -> None:
            with self.engine.begin() as connection:
                connection.execute(sa.text(self.begun))
                ready.set()
                go.wait(20)

        self.in_thread(work)
        self.addCleanup(go.set)
        self.assertTrue(ready.wait(10))
        message = self.message()
        self.assertRegex(
            message,
            self.first + r'  pid \d+ "dbtestcase %s" of this process, idle in transaction for'
            r" \d.\d s\n"
            r"      last query: SELECT txid_current\(\)\n"
            r"      checked out \d.\d s ago by %s at \S*test_build.py:\d+ in work, thread"
            r' "worker"\n' % (NAME, NAME) + self.last,
        )

    def test_one_that_was_prepared_is_named(self) -> None:
        with another_process(
            self.url,
            "BEGIN",
            "INSERT INTO parent VALUES (0)",
            "PREPARE TRANSACTION 'not settled'",
            mode="autocommit",
        ):
            self.addCleanup(self.control.execute, "ROLLBACK PREPARED 'not settled'")
            message = self.message()
        self.assertRegex(
            message,
            self.first + r'  prepared transaction "not settled" of role .*, holds "parent"\n'
            r"      it outlives its connection; to end it: ROLLBACK PREPARED 'not settled'\n"
            + self.last,
        )
