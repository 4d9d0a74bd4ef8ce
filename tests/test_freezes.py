"""What this process left open, and would freeze the clearing of its database: it is freed."""

from __future__ import annotations

import threading
import time
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import scoped_session, sessionmaker

from dbtestcase.connections import leftovers

from . import support
from .holding import Shop

READ = sa.text("SELECT count(*) FROM parent")
WRITE = sa.text("INSERT INTO parent VALUES (0)")


class Freezes(Shop):
    """Left open by this process: freed, whatever holds it."""

    def kinds(self, leaks: Any) -> Any:
        return [leak.kind for leak in leaks]

    def test_a_scoped_session_after_a_select(self) -> None:
        session = scoped_session(sessionmaker(bind=self.engine))
        session.execute(READ)
        self.assertEqual(self.kinds(self.reset([session])), ["session"])
        self.assertFalse(session.registry.has())
        session.remove()

    def test_the_session_of_another_scope(self) -> None:
        scope = ["first"]
        session = scoped_session(sessionmaker(bind=self.engine), scopefunc=lambda: scope[0])
        session.execute(READ)
        scope[0] = "second"
        session.remove()
        self.assertEqual(self.kinds(self.reset([session])), ["session"])
        self.assertEqual(session.registry.registry, {})

    def test_a_session_of_no_registry(self) -> None:
        session = sessionmaker(bind=self.engine)()
        session.execute(WRITE)
        self.assertEqual(self.kinds(self.reset()), ["session"])
        session.close()

    def test_a_connection_never_closed(self) -> None:
        connection = self.engine.connect()
        connection.begin()
        connection.execute(READ)
        (leak,) = self.reset()
        self.assertEqual(leak.kind, "connection")
        self.assertRegex(str(leak), r"test_freezes.py:\d+ in test_a_connection_never_closed")
        with self.assertRaisesRegex(sa.exc.SQLAlchemyError, "closed"):
            connection.execute(READ)
        connection.close()

    def test_an_explicit_begin_in_autocommit(self) -> None:
        connection = self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        connection.execute(sa.text("BEGIN"))
        connection.execute(READ)
        self.assertEqual(self.kinds(self.reset()), ["connection"])

    def test_an_explicit_begin_in_autocommit_that_went_back_to_the_pool(self) -> None:
        connection = self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        connection.execute(sa.text("BEGIN"))
        connection.execute(READ)
        connection.close()
        left = ["raw connection"] if self.driver == "psycopg2" else []  # the other rolls it back
        self.assertEqual(self.kinds(self.reset()), left)

    def test_a_connection_of_the_driver_beside_sqlalchemy(self) -> None:
        raw = self.raw()
        cursor = raw.cursor()
        cursor.execute("SELECT * FROM parent")
        self.assertEqual(self.kinds(self.reset()), ["raw connection"])
        raw.rollback()
        cursor.execute("SELECT 1")
        raw.close()

    def test_a_named_cursor_of_the_driver(self) -> None:
        raw = self.raw()
        cursor = raw.cursor("half_read")
        cursor.execute("SELECT * FROM parent")
        cursor.fetchone()
        self.assertEqual(self.kinds(self.reset()), ["raw connection"])

    def test_a_cursor_inside_a_savepoint_that_failed(self) -> None:
        raw = self.raw()
        cursor = raw.cursor()
        cursor.execute("SELECT * FROM parent")
        cursor.execute("SAVEPOINT here")
        with self.assertRaisesRegex(Exception, "nonsense"):
            cursor.execute("SELECT nonsense")
        self.assertEqual(self.kinds(self.reset()), ["raw connection"])

    def test_a_second_engine_on_the_same_database(self) -> None:
        second = self.make_engine()
        session = sessionmaker(bind=second)()
        session.execute(WRITE)
        self.assertEqual(self.kinds(self.reset()), ["session"])

    def test_a_pool_that_keeps_nothing(self) -> None:
        second = self.make_engine(poolclass=sa.pool.NullPool)
        connection = second.connect()
        connection.begin()
        connection.execute(READ)
        self.assertEqual(self.kinds(self.reset()), ["connection"])

    def test_a_pool_of_one_shared_connection(self) -> None:
        second = self.make_engine(poolclass=sa.pool.StaticPool)
        one, other = second.connect(), second.connect()
        one.begin()
        one.execute(READ)
        self.assertIn("connection", self.kinds(self.reset()))
        one.close()
        other.close()

    def test_a_raw_connection_of_the_engine(self) -> None:
        raw = self.engine.raw_connection()
        cursor = raw.cursor()
        cursor.execute("SELECT * FROM parent")
        self.assertEqual(self.kinds(self.reset()), ["raw connection"])
        cursor.execute("SELECT 1")
        self.assertEqual(self.engine.pool.checkedout(), 0)
        raw.rollback()
        raw.close()

    def test_a_detached_connection(self) -> None:
        connection = self.engine.connect()
        connection.begin()
        connection.detach()
        connection.execute(READ)
        self.assertEqual(self.kinds(self.reset()), ["connection"])

    def test_a_pool_that_never_resets(self) -> None:
        second = self.make_engine(pool_reset_on_return=None)
        raw = second.raw_connection()
        raw.cursor().execute("SELECT * FROM parent")
        raw.close()
        self.assertEqual(self.kinds(self.reset()), ["raw connection"])

    def test_a_session_in_a_live_thread_that_does_nothing(self) -> None:
        ready, go, said = threading.Event(), threading.Event(), []

        def work() -> None:
            session = sessionmaker(bind=self.engine)()
            session.execute(READ)
            ready.set()
            go.wait(10)
            with self.assertRaisesRegex(sa.exc.OperationalError, "this connection was ended"):
                session.execute(sa.text("SELECT 1"))
            session.rollback()
            said.append(session.execute(sa.text("SELECT 1")).scalar())
            session.close()

        thread = self.in_thread(work)
        self.assertTrue(ready.wait(10))
        (leak,) = self.reset()
        self.assertEqual((leak.kind, leak.thread), ("session", "worker"))
        go.set()
        thread.join(10)
        self.assertEqual(said, [1])

    def test_a_session_in_a_dead_thread(self) -> None:
        session = scoped_session(sessionmaker(bind=self.engine))
        kept = []
        thread = self.in_thread(lambda: (session.execute(READ), kept.append(session())))
        thread.join(10)
        (leak,) = self.reset([session])
        self.assertEqual((leak.kind, leak.thread), ("session", "worker"))

    def test_a_stream_half_read(self) -> None:
        session = sessionmaker(bind=self.engine)()
        connection = session.connection(execution_options={"stream_results": True})
        rows = connection.execute(sa.text("SELECT * FROM parent"))
        rows.fetchone()
        self.assertEqual(self.kinds(self.reset()), ["session"])
        session.close()

    def test_a_table_locked(self) -> None:
        session = sessionmaker(bind=self.engine)()
        session.execute(sa.text("LOCK TABLE parent"))
        self.assertEqual(self.kinds(self.reset()), ["session"])

    def test_a_transaction_prepared_by_sqlalchemy(self) -> None:
        with self.engine.connect() as connection:
            transaction = connection.begin_twophase()
            connection.execute(WRITE)
            transaction.prepare()
            xid = transaction.xid
            connection.invalidate()
        leaks = self.reset()
        self.assertIn("prepared transaction", self.kinds(leaks))
        self.assertNotIn((xid,), support.administer("SELECT gid FROM pg_prepared_xacts"))

    def test_a_transaction_prepared_by_its_statement(self) -> None:
        with self.engine.connect() as connection:
            connection = connection.execution_options(isolation_level="AUTOCOMMIT")
            connection.execute(sa.text("BEGIN"))
            connection.execute(WRITE)
            connection.execute(sa.text("PREPARE TRANSACTION 'left by statement'"))
        (leak,) = self.reset()
        self.assertRegex(str(leak), "left a prepared transaction open at .*test_freezes.py")

    def test_an_exception_that_keeps_the_frame_of_the_session(self) -> None:
        def fail() -> None:
            session = sessionmaker(bind=self.engine)()
            session.execute(WRITE)
            raise ValueError(session)

        with self.assertRaises(ValueError) as caught:
            fail()
        kept = caught.exception
        self.assertEqual(self.kinds(self.reset()), ["session"])
        self.assertTrue(kept)

    def test_the_pool_does_not_run_dry_in_a_long_run(self) -> None:
        engine = self.make_engine(pool_size=1, max_overflow=1)
        kept = []
        for number in range(25):
            kept.append((engine.connect(), engine.raw_connection()))
            kept[-1][0].execute(READ)
            kept[-1][1].cursor().execute("SELECT 1 FROM parent")
            leaks = leftovers.free([engine])
            self.assertEqual(len(leaks), 2, number)
        self.assertEqual(engine.pool.checkedout(), 0)
        names = support.administer(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = '%s'" % self.database
        )
        self.assertLess(names[0][0], 15)


class FreezesWithPsycopg3(Freezes):
    """The same with the other driver, and what only it can leave."""

    driver = "psycopg"
    database = "blocks_shop3_test"

    def test_a_stream_in_autocommit_half_read(self) -> None:
        raw = self.raw()
        raw.autocommit = True
        stream = raw.cursor().stream(
            "SELECT repeat('x', 1000) FROM parent, generate_series(1, 200)"
        )
        next(stream)
        self.assertEqual(self.kinds(self.reset()), ["raw connection"])
        with self.assertRaisesRegex(Exception, "."):
            list(stream)
        raw.close()

    def test_a_pipeline_not_synchronised(self) -> None:
        raw = self.raw()
        raw.autocommit = True
        pipeline = raw.pipeline()
        pipeline.__enter__()
        raw.execute("INSERT INTO parent VALUES (-1)")
        raw.pgconn.send_flush_request()
        raw.pgconn.flush()
        time.sleep(0.2)
        self.assertEqual(self.kinds(self.reset()), ["raw connection"])
        raw.close()
