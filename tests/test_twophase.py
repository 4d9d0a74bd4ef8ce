"""Transactions that were prepared (2PC): this process's own are ended, and nobody else's."""

from __future__ import annotations

import time
import unittest

import sqlalchemy as sa

from dbtestcase import BlockedDatabaseError, _compat
from dbtestcase.connections import statements, watch

from . import support
from .holding import Shop, another_process, driver_url

FIRST, SECOND = "ShopTest.test_first", "ShopTest.test_second"
INSERT = "INSERT INTO parent VALUES (0)"
PREPARE = "PREPARE TRANSACTION 'it''s left'"
PREPARED = "SELECT gid FROM pg_prepared_xacts"
END = "ROLLBACK PREPARED 'it''s left'"


class TwoPhaseShop(Shop):
    """A shop in which no prepared transaction is left."""

    database = "twophase_shop_test"

    def begin(self, name: str = FIRST) -> None:
        super().begin(name)
        time.sleep(0.02)

    def tearDown(self) -> None:
        for (gid,) in support.administer(PREPARED):
            support.administer(
                "ROLLBACK PREPARED '%s'" % gid.replace("'", "''"), database=self.database
            )


class TwoPhase(TwoPhaseShop):
    """What a test prepares, in whatever way."""

    def assertEnded(self, function: str) -> None:
        self.assertEqual(len(support.administer(PREPARED)), 1)
        self.begin(SECOND)
        (leak,) = self.reset()
        self.assertEqual((leak.kind, leak.test), ("prepared transaction", FIRST))
        self.assertRegex(
            str(leak), r" open at \S*test_twophase.py:%d in %s" % (leak.line, function)
        )
        self.assertEqual(support.administer(PREPARED), [])

    def test_by_a_cursor_of_the_driver(self) -> None:
        raw = self.raw()
        raw.cursor().execute(INSERT)
        raw.cursor().execute(PREPARE)
        raw.close()
        self.assertEnded("test_by_a_cursor_of_the_driver")

    def test_by_a_statement_with_others_and_comments(self) -> None:
        raw = self.raw()
        raw.autocommit = True
        raw.cursor().execute("/* all */ BEGIN; %s; %s; -- done" % (INSERT, PREPARE))
        raw.close()
        self.assertEnded("test_by_a_statement_with_others_and_comments")

    def test_by_a_cursor_of_a_pooled_connection(self) -> None:
        watch()
        raw = self.engine.raw_connection()
        raw.cursor().execute(INSERT)
        raw.cursor().execute(PREPARE)
        raw.close()
        self.assertEnded("test_by_a_cursor_of_a_pooled_connection")

    def test_by_a_cursor_of_a_connection_that_a_creator_made(self) -> None:
        driver = __import__(self.driver)
        engine = self.make_engine(creator=lambda: driver.connect(driver_url(self.url)))
        raw = engine.raw_connection()
        raw.cursor().execute(INSERT)
        raw.cursor().execute(PREPARE)
        raw.close()
        self.assertEnded("test_by_a_cursor_of_a_connection_that_a_creator_made")

    def test_by_the_drivers_own_two_phase_commit_on_a_connection_that_is_closed(self) -> None:
        raw = self.raw()
        raw.tpc_begin(raw.xid(1, "left by the driver", "branch"))
        raw.cursor().execute(INSERT)
        raw.tpc_prepare()
        raw.close()
        self.assertEnded("test_by_the_drivers_own_two_phase_commit_on_a_connection_that_is_closed")

    def test_by_the_drivers_own_two_phase_commit_on_one_that_is_open(self) -> None:
        raw = self.raw()
        raw.tpc_begin("left by the driver")
        raw.cursor().execute(INSERT)
        raw.tpc_prepare()
        self.assertEnded("test_by_the_drivers_own_two_phase_commit_on_one_that_is_open")
        raw.cursor().execute("SELECT 1")  # it can be used as before

    def test_by_a_statement_through_sqlalchemy(self) -> None:
        with self.engine.connect() as connection:
            connection = connection.execution_options(isolation_level="AUTOCOMMIT")
            for statement in ("BEGIN", INSERT, PREPARE):
                connection.execute(sa.text(statement))
        self.assertEnded("test_by_a_statement_through_sqlalchemy")

    def test_what_the_test_ends_itself_is_no_leak(self) -> None:
        raw = self.raw()
        raw.cursor().execute(INSERT)
        raw.cursor().execute(PREPARE)
        raw.commit()
        raw.autocommit = True
        raw.cursor().execute(END)
        self.begin(SECOND)
        self.assertEqual(self.reset(), [])

    def prepare_in_another_process(self) -> None:
        with another_process(self.url, "BEGIN", INSERT, PREPARE, mode="autocommit"):
            pass

    def assertLeft(self) -> None:
        self.begin(SECOND)
        with self.assertRaisesRegex(BlockedDatabaseError, 'prepared transaction "it\'s left"'):
            self.reset()
        self.assertEqual(support.administer(PREPARED), [("it's left",)])

    def test_a_name_that_another_process_has_in_use_is_not_ended_for_it(self) -> None:
        self.prepare_in_another_process()
        with self.assertRaisesRegex(Exception, "already in use"):
            self.raw().cursor().execute(PREPARE)
        with self.engine.connect() as connection:
            transaction = connection.begin()
            with self.assertRaisesRegex(sa.exc.DBAPIError, "already in use"):
                connection.execute(sa.text(PREPARE))
            transaction.rollback()
            connection.execute(sa.text("SELECT 1"))
        self.assertLeft()

    def test_a_name_that_another_process_uses_again_is_not_ended_for_it(self) -> None:
        raw = self.raw()
        raw.cursor().execute(PREPARE)
        raw.rollback()  # psycopg2 does not know that it is over
        raw.autocommit = True
        raw.cursor().execute(END)
        self.prepare_in_another_process()
        self.assertLeft()

    def test_preparing_what_has_failed_rolls_it_back_and_is_not_known(self) -> None:
        raw = self.raw()
        with self.assertRaisesRegex(Exception, "nonsense"):
            raw.cursor().execute("SELECT nonsense")
        raw.cursor().execute(PREPARE)
        self.prepare_in_another_process()
        self.assertLeft()


class TwoPhaseWithPsycopg3(TwoPhase):
    """The same with the other driver."""

    driver = "psycopg"
    database = "twophase_shop3_test"


class OwnClasses(TwoPhaseShop):
    """Connections of a class that the suite asked its driver for: the server says what is left."""

    def test_by_the_last_statement_of_a_connection(self) -> None:
        from psycopg2.extras import NamedTupleConnection

        raw = __import__("psycopg2").connect(
            driver_url(self.url), connection_factory=NamedTupleConnection
        )
        self.addCleanup(raw.close)
        self.assertIs(type(raw), NamedTupleConnection)
        raw.cursor().execute(INSERT)
        raw.cursor().execute(PREPARE)
        self.begin(SECOND)
        (leak,) = self.reset()
        self.assertEqual((leak.kind, leak.test, leak.file), ("prepared transaction", FIRST, None))
        self.assertEqual(support.administer(PREPARED), [])

    def test_by_a_statement_through_sqlalchemy_that_was_not_the_last(self) -> None:
        from psycopg2 import connect
        from psycopg2.extras import NamedTupleConnection

        url = driver_url(self.url)
        engine = self.make_engine(
            creator=lambda: connect(url, connection_factory=NamedTupleConnection),
            isolation_level="AUTOCOMMIT",
        )
        with engine.connect() as connection:
            for statement in ("BEGIN", INSERT, PREPARE, "SELECT 1"):
                connection.execute(sa.text(statement))
        engine.dispose()
        self.begin(SECOND)
        (leak,) = self.reset()
        self.assertEqual((leak.kind, leak.test), ("prepared transaction", FIRST))
        self.assertEqual(support.administer(PREPARED), [])


class Statements(unittest.TestCase):
    """Which statements prepare a transaction."""

    def test_the_name_is_read(self) -> None:
        named = {
            "PREPARE TRANSACTION 'a'": "a",
            " prepare\n transaction 'it''s -- b' ; ": "it's -- b",
            "-- why\nBEGIN; PREPARE TRANSACTION /* which */ 'a' -- done": "a",
            "PREPARE p AS SELECT 1": None,
            "PREPARE TRANSACTION 'a'; SELECT 1": None,
            "COMMIT PREPARED 'a'": None,
            "": None,
        }
        self.assertEqual({each: statements.prepared_by(each) for each in named}, named)

    def test_a_change_of_a_function_is_made_once(self) -> None:
        import textwrap

        ordinary = textwrap.shorten
        self.addCleanup(setattr, textwrap, "shorten", ordinary)
        for _ in range(2):
            _compat.change_function(
                "textwrap", "", "shorten", lambda old: lambda *args: "<%s>" % old(*args)
            )
        _compat.change_function("not_imported", "", "shorten", self.fail)
        self.assertEqual(textwrap.shorten("a", 9), "<a>")
        self.assertEqual(textwrap.shorten.__doc__, ordinary.__doc__)
