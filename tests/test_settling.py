"""What holds on the connections of a running test, and that nothing of it is the next one's."""

from __future__ import annotations

import time
from typing import Any

import sqlalchemy as sa

from dbtestcase import _compat, where
from dbtestcase.connections import leftovers, settling, statements

from . import support
from .holding import BOUND, NAME, Shop


class Settings(Shop):
    """What a connection is set to while a test runs."""

    def ask(self, name: str, engine: Any = None) -> Any:
        with (engine or self.engine).connect() as connection:
            return connection.execute(sa.text("SELECT current_setting('%s')" % name)).scalar()

    def test_connections_carry_the_name_of_the_test(self) -> None:
        self.assertEqual(self.ask("application_name"), "dbtestcase ShopTest.test_total")
        settling.end_test()
        self.begin("ShopTest.test_other")
        self.assertEqual(self.ask("application_name"), "dbtestcase ShopTest.test_other")

    def test_a_long_name_is_cut_to_what_a_server_keeps(self) -> None:
        self.begin("Läden'\\Test." + "x" * 80)
        self.assertEqual(self.ask("application_name"), ("dbtestcase L?den'/Test." + "x" * 80)[:63])

    def test_waits_are_bounded_and_the_bound_ends_with_the_test(self) -> None:
        self.assertEqual(self.ask("lock_timeout"), "1500ms")
        settling.end_test()
        self.assertEqual(self.ask("lock_timeout"), "0")
        self.assertNotIn("dbtestcase", self.ask("application_name"))

    def test_a_shorter_bound_of_the_suites_own_is_kept(self) -> None:
        engine = self.make_engine(connect_args={"options": "-c lock_timeout=300"})
        settling.begin_test([engine], NAME, BOUND, {engine: self.control})
        self.assertEqual(self.ask("lock_timeout", engine), "300ms")

    def test_a_second_engine_on_the_same_database_is_bounded(self) -> None:
        self.assertEqual(self.ask("lock_timeout", self.make_engine()), "1500ms")

    def test_another_bound_holds_in_another_class(self) -> None:
        self.ask("lock_timeout")
        settling.begin_test([self.engine], "Other.test", 2.0, {self.engine: self.control})
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
        self.assertEqual(leftovers.free([self.engine]), [])
        settling.end_test()
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
        where.set_current_test(None)
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
            "SELECT setseed(0.5), random()",
            "SELECT set_limit(0.8)",
            "SELECT dblink_connect('a', 'b')",
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
        kept = [each for each in lasting if not statements.outlives_its_transaction(each)]
        thrown = [each for each in passing if statements.outlives_its_transaction(each)]
        self.assertEqual((kept, thrown), ([], []))

    def test_which_statements_do_nothing_but_call_a_function(self) -> None:
        calls = (
            "SELECT f()",
            'select "s".f(1, (SELECT 2)) AS f_1 ;',
            "SELECT * FROM f('a\n')",
        )
        others = ("SELECT 1", "SELECT count(*) FROM a", "SELECT f() FROM a", "INSERT INTO a (b)")
        self.assertEqual([each for each in calls if not statements.read(each).calls], [])
        self.assertEqual([each for each in others if statements.read(each).calls], [])
