"""What is known of every checkout, what holds on connections of a test, and what is told."""

from __future__ import annotations

import gc
import multiprocessing
import os
import time
import unittest
import warnings
from typing import Any, List

import sqlalchemy as sa
from sqlalchemy.orm import scoped_session, sessionmaker

from dbtestcase import _checkouts, _compat, _where, sessions
from dbtestcase.dialects.postgresql import settings
from dbtestcase.dialects.postgresql.control import Control

from . import support
from .holding import BOUND, NAME, Shop


class Checkouts(Shop):
    """Who has what checked out."""

    def opened(self) -> Any:
        pool = self.engine.pool
        return [each for each in _checkouts.opened() if each.fairy()._pool is pool]

    def test_a_checkout_is_known_with_its_test_and_line(self) -> None:
        connection = self.engine.connect()
        (checkout,) = self.opened()
        self.assertEqual(checkout.test, NAME)
        self.assertEqual(
            checkout.lines[0].function, "test_a_checkout_is_known_with_its_test_and_line"
        )
        self.assertIs(checkout.owner, connection)
        connection.close()
        self.assertEqual(self.opened(), [])

    def test_a_connection_with_other_options_is_the_owner(self) -> None:
        connection = self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        (checkout,) = self.opened()
        self.assertIs(checkout.owner, connection)
        connection.close()

    def test_a_connection_thrown_away_is_out_no_more(self) -> None:
        self.engine.raw_connection()
        before = len(_checkouts.opened())
        connection = self.engine.connect()
        connection.detach()
        del connection
        gc.collect()
        self.assertLessEqual(len(_checkouts.opened()), before)

    def test_the_control_connection_is_nobodys_leak(self) -> None:
        before = len(_checkouts.opened())
        control = Control(self.engine, BOUND)
        self.assertEqual(len(_checkouts.opened()), before)
        self.assertEqual(sessions.free([self.engine]), [])
        control.execute("SELECT 1")
        control.close()

    def test_what_is_forgotten_is_left_alone(self) -> None:
        connection = self.engine.connect()
        transaction = connection.begin()
        connection.execute(sa.text("INSERT INTO parent VALUES (0)"))
        sessions.forget(connection.connection)
        self.assertEqual(sessions.free([self.engine]), [])
        transaction.commit()
        connection.close()

    def test_watching_twice_counts_once(self) -> None:
        sessions.watch()
        with self.engine.connect():
            self.assertEqual(len(self.opened()), 1)

    @unittest.skipUnless(hasattr(os, "fork"), "needs fork()")
    def test_a_forked_child_leaves_the_parents_connections_alone(self) -> None:
        session = scoped_session(sessionmaker(bind=self.engine))
        session.execute(sa.text("INSERT INTO parent VALUES (0)"))
        raw = self.raw()
        raw.cursor().execute("INSERT INTO parent VALUES (-1)")
        pooled = [self.engine.raw_connection()]
        pooled[0].cursor().execute("INSERT INTO parent VALUES (-2)")
        child = multiprocessing.get_context("fork").Process(
            target=self.free_all, args=(session, raw.info.backend_pid, pooled)
        )
        child.start()
        child.join(20)
        self.assertEqual(child.exitcode, 0)
        session.commit()
        raw.commit()
        _compat.dbapi_connection(pooled[0]).commit()
        count = session.execute(sa.text("SELECT count(*) FROM parent WHERE id < 1")).scalar()
        self.assertEqual(count, 3)
        session.remove()

    def free_all(self, session: Any, pid: int, pooled: List[Any]) -> None:
        assert sessions.free([self.engine], [session]) == []
        assert sessions.take_back([pid]) == []
        pooled.clear()  # nobody but the tracker has it now
        gc.collect()

    def test_a_checkout_costs_less_than_twenty_microseconds(self) -> None:
        sessions.end_test()
        _where.set_current_test(None)
        self.assertLess(min(self.cost_of_tracking() for _ in range(3)), 20e-6)

    def cost_of_tracking(self, rounds: int = 500) -> float:
        fairy = self.engine.raw_connection()
        record, dbapi = fairy._connection_record, _compat.dbapi_connection(fairy)
        started = time.perf_counter()
        for _ in range(rounds):
            _checkouts._checked_out(dbapi, record, fairy)
            _checkouts._checked_in(dbapi, record)
        cost = (time.perf_counter() - started) / rounds
        fairy.close()
        return cost


class Leaks(Shop):
    """What is told of what was left open."""

    def test_a_leak_is_one_line_that_says_who_and_where(self) -> None:
        session = sessionmaker(bind=self.engine)()
        session.execute(sa.text("SELECT 1"))
        (leak,) = sessions.free([self.engine])
        self.assertRegex(
            str(leak),
            r"\AShopTest.test_total left a session open at \S*test_sessions.py:%d in"
            r" test_a_leak_is_one_line_that_says_who_and_where \(0.\d s, backend %d\)\Z"
            % (leak.line, leak.pid),
        )

    def test_a_warning_points_at_the_users_line(self) -> None:
        session = sessionmaker(bind=self.engine)()
        session.execute(sa.text("SELECT 1"))
        leaks = sessions.free([self.engine])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            sessions.warn(leaks)
        (warning,) = caught
        self.assertIs(warning.category, ResourceWarning)
        self.assertEqual(warning.filename, __file__)
        self.assertEqual(warning.lineno, leaks[0].line)
        self.assertIn(str(leaks[0]), sessions.leak_text(leaks))

    def test_a_test_that_closed_everything_has_none(self) -> None:
        with self.engine.connect() as connection:
            connection.execute(sa.text("SELECT 1"))
        self.assertEqual(sessions.free([self.engine]), [])

    def test_a_connection_of_the_class_is_rolled_back_and_stays_usable(self) -> None:
        _where.set_current_test(None)
        connection = self.engine.connect()
        connection.begin()
        connection.execute(sa.text("INSERT INTO parent VALUES (0)"))
        _where.set_current_test(NAME)
        (leak,) = sessions.free([self.engine])
        self.assertIn("something outside of any test left a connection open", str(leak))
        found = connection.execute(sa.text("SELECT count(*) FROM parent WHERE id = 0")).scalar()
        self.assertEqual(found, 0)
        self.assertEqual(sessions.free([self.engine]), [])  # told once
        connection.close()

    def test_an_idle_connection_of_the_class_is_left_alone(self) -> None:
        _where.set_current_test(None)
        connection = self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        connection.execute(sa.text("SELECT 1"))
        _where.set_current_test(NAME)
        self.assertEqual(sessions.free([self.engine]), [])
        self.assertEqual(connection.execute(sa.text("SELECT 7")).scalar(), 7)
        connection.close()

    def test_an_engine_on_another_database_is_left_alone(self) -> None:
        url = support.url_of("postgres")
        other = sa.create_engine(url)
        connection = other.connect()
        transaction = connection.begin()
        connection.execute(sa.text("CREATE TEMP TABLE mine (id int)"))
        self.assertEqual(sessions.free([self.engine]), [])
        connection.execute(sa.text("SELECT * FROM mine"))
        transaction.rollback()
        connection.close()
        other.dispose()

    def test_sqlite_is_given_back_too(self) -> None:
        engine = sa.create_engine("sqlite://")
        sessions.begin_test([engine], NAME, BOUND)
        session = scoped_session(sessionmaker(bind=engine))
        session.execute(sa.text("CREATE TABLE kept (id int)"))
        session.commit()
        session.execute(sa.text("SELECT * FROM kept"))
        (leak,) = sessions.free([engine], [session])
        self.assertEqual((leak.kind, leak.pid), ("session", None))
        sessions.end_test()
        session.execute(sa.text("SELECT * FROM kept"))
        session.remove()
        engine.dispose()


class Settings(Shop):
    """What a connection is set to while a test runs."""

    def ask(self, name: str, engine: Any = None) -> Any:
        with (engine or self.engine).connect() as connection:
            return connection.execute(sa.text("SELECT current_setting('%s')" % name)).scalar()

    def test_connections_carry_the_name_of_the_test(self) -> None:
        self.assertEqual(self.ask("application_name"), "dbtestcase ShopTest.test_total")
        sessions.end_test()
        self.begin("ShopTest.test_other")
        self.assertEqual(self.ask("application_name"), "dbtestcase ShopTest.test_other")

    def test_a_long_name_is_cut_to_what_a_server_keeps(self) -> None:
        self.begin("Läden'\\Test." + "x" * 80)
        self.assertEqual(self.ask("application_name"), ("dbtestcase L?den'/Test." + "x" * 80)[:63])

    def test_waits_are_bounded_and_the_bound_ends_with_the_test(self) -> None:
        self.assertEqual(self.ask("lock_timeout"), "1500ms")
        sessions.end_test()
        self.assertEqual(self.ask("lock_timeout"), "0")
        self.assertNotIn("dbtestcase", self.ask("application_name"))

    def test_a_shorter_bound_of_the_suites_own_is_kept(self) -> None:
        engine = self.make_engine(connect_args={"options": "-c lock_timeout=300"})
        sessions.begin_test([engine], NAME, BOUND)
        self.assertEqual(self.ask("lock_timeout", engine), "300ms")

    def test_a_second_engine_on_the_same_database_is_bounded(self) -> None:
        self.assertEqual(self.ask("lock_timeout", self.make_engine()), "1500ms")

    def test_another_bound_holds_in_another_class(self) -> None:
        self.ask("lock_timeout")
        sessions.begin_test([self.engine], "Other.test", 2.0)
        self.assertEqual(self.ask("lock_timeout"), "2s")

    def test_the_bound_survives_a_rollback(self) -> None:
        with self.engine.connect() as connection:
            transaction = connection.begin()
            connection.execute(sa.text("SELECT 1"))
            transaction.rollback()
            shown = connection.execute(sa.text("SHOW lock_timeout")).scalar()
        self.assertEqual(shown, "1500ms")

    def test_only_the_first_checkout_of_a_test_asks_the_server(self) -> None:
        self.ask("lock_timeout")
        before = self.statements()
        for _ in range(5):
            self.engine.connect().close()
        self.assertEqual(self.statements(), before)

    def statements(self) -> Any:
        return support.administer(
            "SELECT query_start FROM pg_stat_activity WHERE application_name LIKE '%%%s'" % NAME
        )

    def test_a_dead_connection_is_replaced(self) -> None:
        self.engine.connect().close()
        support.administer(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name LIKE '%%%s'" % NAME
        )
        time.sleep(0.1)
        self.begin("ShopTest.test_other")
        self.assertEqual(self.ask("application_name"), "dbtestcase ShopTest.test_other")


class CleanSessions(Shop):
    """A session in which a test left something is not the next test's."""

    def next_test(self) -> None:
        self.assertEqual(sessions.free([self.engine]), [])
        sessions.end_test()
        self.begin("ShopTest.test_next")

    def after(self, *statements: str) -> Any:
        """Run statements in a test; return a new test's connection on the same pool."""
        with self.engine.connect() as connection:
            transaction = connection.begin()
            for statement in statements:
                connection.execute(sa.text(statement))
            transaction.commit()
        self.next_test()
        connection = self.engine.connect()
        self.addCleanup(connection.close)
        return connection

    def pid_after(self, *statements: str) -> bool:
        """Tell whether the next test has the very connection that the statements ran on."""
        with self.engine.connect() as connection:
            before = connection.execute(sa.text("SELECT pg_backend_pid()")).scalar()
        after = self.after(*statements).execute(sa.text("SELECT pg_backend_pid()")).scalar()
        return bool(before == after)

    def test_nothing_happens_to_an_ordinary_one(self) -> None:
        self.assertTrue(
            self.pid_after(
                "INSERT INTO parent VALUES (0)",
                "SET LOCAL search_path = pg_catalog",
                "SELECT set_config('search_path', 'public', true)",
            )
        )

    def test_a_search_path(self) -> None:
        shown = self.after("SET search_path = pg_catalog").execute(sa.text("SHOW search_path"))
        self.assertNotEqual(shown.scalar(), "pg_catalog")

    def test_a_setting_by_function(self) -> None:
        connection = self.after("SELECT set_config('search_path', 'pg_catalog', false)")
        shown = connection.execute(sa.text("SHOW search_path")).scalar()
        self.assertNotEqual(shown, "pg_catalog")

    def test_a_temporary_table(self) -> None:
        connection = self.after("CREATE TEMPORARY TABLE parent (other int)")
        connection.execute(sa.text("SELECT id FROM parent"))

    def test_a_session_advisory_lock(self) -> None:
        with self.engine.connect() as connection:
            connection.execute(sa.text("SELECT pg_advisory_lock(4711)"))
        self.next_test()  # it has no connection yet
        self.assertTrue(self.control.execute("SELECT pg_try_advisory_lock(4711)")[0][0])

    def test_listening(self) -> None:
        connection = self.after("LISTEN news")
        self.assertEqual(
            connection.execute(sa.text("SELECT * FROM pg_listening_channels()")).fetchall(), []
        )

    def test_a_prepared_statement(self) -> None:
        self.after("PREPARE one AS SELECT 1").execute(sa.text("PREPARE one AS SELECT 2"))

    def test_a_time_zone_set_past_sqlalchemy(self) -> None:
        with self.engine.connect() as connection:
            dbapi = _compat.dbapi_connection(connection.connection)
            dbapi.cursor().execute("SET TIME ZONE 'Asia/Tokyo'")
            dbapi.commit()
        self.next_test()
        with self.engine.connect() as connection:
            zone = connection.execute(sa.text("SHOW TIME ZONE")).scalar()
        self.assertNotEqual(zone, "Asia/Tokyo")

    def test_anything_done_on_a_raw_connection(self) -> None:
        raw = self.engine.raw_connection()
        raw.cursor().execute("SET search_path = pg_catalog")
        _compat.dbapi_connection(raw).commit()
        raw.close()
        self.next_test()
        with self.engine.connect() as connection:
            shown = connection.execute(sa.text("SHOW search_path")).scalar()
        self.assertNotEqual(shown, "pg_catalog")

    def test_a_connection_still_out_when_its_test_ended(self) -> None:
        _where.set_current_test(None)
        connection = self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        connection.execute(sa.text("SET search_path = pg_catalog"))
        self.next_test()
        connection.close()
        with self.engine.connect() as connection:
            shown = connection.execute(sa.text("SHOW search_path")).scalar()
        self.assertNotEqual(shown, "pg_catalog")

    def test_which_statements_outlive_their_transaction(self) -> None:
        lasting = (
            "SET x = 1",
            "-- a comment\nset x = 1",
            "SELECT 1; SET x = 1",
            "RESET ALL",
            "DISCARD TEMP",
            "LISTEN a",
            "PREPARE p AS SELECT 1",
            "CREATE TEMP TABLE a (b int)",
            "create or replace temporary view a as select 1",
            "SELECT 1 AS a INTO TEMPORARY b",
            "SELECT pg_try_advisory_lock_shared(1)",
            "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
            "DO $$BEGIN END$$",
            "CALL anything()",
        )
        passing = (
            "",
            "SELECT 1",
            "(SELECT 1) UNION (SELECT 2)",
            "WITH a AS (SELECT 1) SELECT * FROM a",
            "/* why */ UPDATE a SET b = 1",
            "INSERT INTO template VALUES (1)",
            "CREATE TABLE temperature (a int)",
            "SET LOCAL x = 1",
            "SET TRANSACTION READ ONLY",
            "SELECT pg_advisory_xact_lock(1)",
            "SELECT set_config('a', 'b', true)",
            "PREPARE TRANSACTION 'a'",
            "SAVEPOINT a",
        )
        kept = [each for each in lasting if not settings.outlives_its_transaction(each)]
        thrown = [each for each in passing if settings.outlives_its_transaction(each)]
        self.assertEqual((kept, thrown), ([], []))
