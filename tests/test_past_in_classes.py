"""Whole classes whose tests use the driver itself, autocommit, or a server that waits for ever."""

from __future__ import annotations

import threading
import time
import unittest
import warnings
from typing import Any, List, Tuple

import sqlalchemy as sa

from dbtestcase import DatabaseTestCase
from dbtestcase.server.temporary import temporary_postgresql

from . import support
from .holding import BOUND, driver_url
from .servers import PrivateCase, rows

things = sa.MetaData()
sa.Table("thing", things, sa.Column("id", sa.Integer, primary_key=True))


class Classes(support.Outcomes):
    """A class that runs in full, none of its set-ups waiting, and what it warned of."""

    def setUp(self) -> None:
        self.url = support.postgresql_url("past_classes_test")
        self.seconds: List[float] = []
        self.kept: List[Any] = []
        self.addCleanup(self.close_all)

    def close_all(self) -> None:
        for connection in self.kept:
            connection.close()

    def raw(self) -> Any:
        self.kept.append(support.imported("psycopg2").connect(driver_url(self.url)))
        return self.kept[-1]

    def base(self) -> Any:
        seconds = self.seconds

        class ThingTest(DatabaseTestCase):
            engine = self.url
            metadata = things
            lock_timeout = BOUND

            def setUp(self) -> None:
                began = time.monotonic()
                super().setUp()
                seconds.append(time.monotonic() - began)
                self.assertRowCount(things.tables["thing"], 0)
                self.session.remove()

        return ThingTest

    def passed(self, case: type) -> Tuple[Any, List[str]]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ResourceWarning)
            result = self.assertPasses(case)
        self.assertLess(max(self.seconds), BOUND)
        said = [str(each.message) for each in caught]
        return result, [each for each in said if "ThingTest" in each or "DriverTest" in each]


class PastSQLAlchemy(Classes):
    """What a test leaves past SQLAlchemy is told as its own, and is in nobody's way."""

    def test_what_was_read_and_what_was_prepared(self) -> None:
        outer = self

        class DriverTest(self.base()):  # type: ignore[misc,name-defined]
            def test_1_reads(self) -> None:
                outer.raw().cursor().execute("SELECT * FROM thing")

            def test_2_drops(self) -> None:
                with self.engine.begin() as connection:
                    connection.execute(sa.text("DROP TABLE thing"))

            def test_3_prepares(self) -> None:
                raw = outer.raw()
                raw.cursor().execute("INSERT INTO thing VALUES (1)")
                raw.cursor().execute("PREPARE TRANSACTION 'in a class'")
                raw.close()

            def test_4_finds_nothing(self) -> None:
                pass

        _, warned = self.passed(DriverTest)
        self.assertEqual(len(warned), 2, warned)
        self.assertRegex(
            warned[0],
            r"DriverTest.test_1_reads left a raw connection open at \S*test_past_in_classes.py:\d+"
            r" in raw",
        )
        self.assertRegex(
            warned[1],
            r"DriverTest.test_3_prepares left a prepared transaction open at"
            r" \S*test_past_in_classes.py:\d+ in test_3_prepares",
        )

    def test_leaks_are_the_failure_of_the_test_that_left_them(self) -> None:
        outer = self

        class DriverTest(self.base()):  # type: ignore[misc,name-defined]
            leaks = "error"

            def test_1_reads(self) -> None:
                outer.raw().cursor().execute("SELECT * FROM thing")

            def test_2_prepares(self) -> None:
                raw = outer.raw()
                raw.cursor().execute("INSERT INTO thing VALUES (1)")
                raw.cursor().execute("PREPARE TRANSACTION 'in a class'")
                raw.close()

        result = support.run_case(DriverTest)
        self.assertEqual(result.errors, [])
        texts = [text for _, text in result.failures]
        self.assertEqual(len(texts), 2)
        self.assertRegex(texts[0], r"test_1_reads left a raw connection open at \S*:\d+ in raw")
        self.assertRegex(
            texts[1], r"left a prepared transaction open at \S*:\d+ in test_2_prepares"
        )


class Autocommit(Classes):
    """What cannot run in a transaction does, on a connection in autocommit."""

    def test_vacuum_and_an_index_made_concurrently(self) -> None:
        url = self.url

        class MaintenanceTest(self.base()):  # type: ignore[misc,name-defined]
            def run_in_autocommit(self, statement: str) -> None:
                with self.engine.connect() as connection:
                    connection = connection.execution_options(isolation_level="AUTOCOMMIT")
                    connection.execute(sa.text("INSERT INTO thing VALUES (1), (2)"))
                    connection.execute(sa.text(statement))

            def indexes(self) -> Any:
                return rows(url, "SELECT indexname FROM pg_indexes WHERE tablename = 'thing'")

            def test_1_vacuum(self) -> None:
                self.run_in_autocommit("VACUUM thing")

            def test_2_vacuum_full(self) -> None:
                self.run_in_autocommit("VACUUM FULL ANALYZE thing")

            def test_3_index(self) -> None:
                self.run_in_autocommit("CREATE INDEX CONCURRENTLY further ON thing (id)")
                self.assertEqual(len(self.indexes()), 2)

            def test_4_reindex(self) -> None:
                self.assertEqual(self.indexes(), [("thing_pkey",)])
                self.run_in_autocommit("REINDEX TABLE thing")

            def test_5_an_index_that_was_not_finished(self) -> None:
                with self.assertRaises(sa.exc.DBAPIError):
                    self.run_in_autocommit(
                        "CREATE UNIQUE INDEX CONCURRENTLY broken ON thing ((id / 10))"
                    )
                self.assertEqual(len(self.indexes()), 2)  # the server leaves it, invalid

            def test_6_is_as_new(self) -> None:
                self.assertEqual(self.indexes(), [("thing_pkey",)])

        self.assertEqual(self.passed(MaintenanceTest)[1], [])

    def test_a_vacuum_that_goes_on_in_another_thread(self) -> None:
        outer, url = self, self.url
        ended, still_going = threading.Event(), []
        # It locks its indexes as one who writes does.
        locked = (
            "SELECT 1 FROM pg_locks WHERE relation = 'thing_pkey'::regclass"
            " AND mode = 'RowExclusiveLock' AND pid <> pg_backend_pid()"
        )

        class VacuumTest(self.base()):  # type: ignore[misc,name-defined]
            def test_1_begins(self) -> None:
                def work() -> None:
                    raw = outer.raw()
                    raw.autocommit = True
                    cursor = raw.cursor()
                    cursor.execute("SET vacuum_cost_delay = 20; SET vacuum_cost_limit = 1")
                    # At its end it would lock the table against everybody, to cut it off.
                    cursor.execute("VACUUM (TRUNCATE false) thing")
                    ended.set()

                with self.engine.begin() as connection:
                    connection.execute(
                        sa.text("INSERT INTO thing SELECT * FROM generate_series(1, 10000)")
                    )
                    connection.execute(sa.text("DELETE FROM thing"))
                thread = threading.Thread(target=work, daemon=True)
                thread.start()
                while thread.is_alive() and not rows(url, locked):
                    ended.wait(0.01)

            def test_2_is_empty(self) -> None:
                still_going.append(not ended.is_set())

        self.passed(VacuumTest)
        self.assertEqual(still_going, [True])
        self.assertTrue(ended.wait(20))


class LostStandby(PrivateCase, support.Outcomes):
    """A server whose commits wait for a standby that is gone: no timeout of its ends that."""

    def test_nothing_of_a_class_waits_for_it(self) -> None:
        url = temporary_postgresql(settings={"synchronous_standby_names": "gone"})
        waiting = sa.create_engine(url, connect_args={"options": "-c synchronous_commit=on"})
        self.assert_that_others_wait(waiting, url)

        class StandbyTest(DatabaseTestCase):
            engine = waiting
            metadata = things
            lock_timeout = BOUND

            def load_data(self) -> None:
                self.session.execute(sa.text("INSERT INTO thing VALUES (1)"))
                self.session.commit()

            def test_1_writes(self) -> None:
                self.session.execute(sa.text("INSERT INTO thing VALUES (2)"))
                self.session.commit()

            def test_2_creates(self) -> None:
                self.assertRowCount(things.tables["thing"], 1)
                with self.engine.begin() as connection:
                    connection.execute(sa.text("CREATE TABLE further (id int)"))

            def test_3_prepares(self) -> None:
                with self.engine.connect() as connection:
                    transaction = connection.begin_twophase()
                    connection.execute(sa.text("INSERT INTO thing VALUES (2)"))
                    transaction.prepare()
                    transaction.commit()

            def test_4_is_as_new(self) -> None:
                self.assertRowCount(things.tables["thing"], 1)

        began = time.monotonic()
        done: List[Any] = []
        thread = threading.Thread(target=lambda: done.append(self.assertPasses(StandbyTest)))
        thread.daemon = True
        thread.start()
        thread.join(20)
        self.assertTrue(done, "%.1f s" % (time.monotonic() - began))
        waiting.dispose()

    def assert_that_others_wait(self, engine: Any, url: str) -> None:
        ended = threading.Event()

        def write() -> None:
            with engine.begin() as connection:
                connection.execute(sa.text("CREATE TABLE waiting (id int)"))
            ended.set()

        thread = threading.Thread(target=write, daemon=True)
        thread.start()
        self.assertFalse(ended.wait(1))
        rows(
            url,
            "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'",
        )
        thread.join(10)
        self.assertTrue(ended.is_set())


if __name__ == "__main__":
    unittest.main()
