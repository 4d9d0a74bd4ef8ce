"""The bound on waits holds on every connection of the process, and of those that it starts."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import time
import unittest
from typing import Any, Iterator
from unittest import mock

import sqlalchemy as sa

from dbtestcase import BlockedDatabaseError, _compat
from dbtestcase.connections import bounds, settling
from dbtestcase.dialects.postgresql.sessions.control import Control
from dbtestcase.dialects.postgresql.sessions.settings import Settings
from dbtestcase.errors import reported

from . import support
from .holding import BOUND, NAME, Shop, another_process, driver_url

SHOW = "SELECT current_setting('lock_timeout')"
OPTIONS = "PGOPTIONS"


class Raw(Shop):
    """Connections that the driver makes past SQLAlchemy."""

    database = "bounds_shop_test"

    def connect(self, **options: Any) -> Any:
        made = __import__(self.driver).connect(driver_url(self.url), **options)
        self.addCleanup(made.close)
        return made

    def shown(self, dbapi: Any) -> str:
        cursor = dbapi.cursor()
        cursor.execute(SHOW)
        return str(cursor.fetchone()[0])

    def test_it_is_bounded(self) -> None:
        self.assertEqual(self.shown(self.connect()), "1500ms")
        settling.end_test()
        self.assertEqual(self.shown(self.connect()), "0")

    def test_a_lock_that_the_test_itself_holds_is_named_by_the_drivers_error(self) -> None:
        held = self.engine.connect()
        self.addCleanup(held.close)
        held.execute(sa.text("SELECT * FROM child"))
        raw, began = self.connect(), time.monotonic()
        with self.assertRaises(__import__(self.driver).errors.LockNotAvailable) as caught:
            raw.cursor().execute("TRUNCATE child")
        self.assertLess(time.monotonic() - began, BOUND + 2)
        self.assertIsInstance(caught.exception, BlockedDatabaseError)
        self.assertEqual(_compat.sqlstate(caught.exception), "55P03")
        self.assertRegex(
            str(caught.exception),
            r"\AShopTest.test_total: its statement waited 1.5 s for a lock.\n"
            r'  pid \d+ "dbtestcase ShopTest.test_total" of this process, idle in transaction for'
            r' \d.*, holds "child"\n'
            r"      last query: SELECT \* FROM child\n"
            r"      checked out \d.* ago by ShopTest.test_total at \S*test_bounds.py:\d+ in \w+\n"
            r"  End that transaction, or see it again with: python -m dbtestcase blockers\n"
            r"canceling statement due to lock timeout\Z",
        )

    def test_a_raw_cursor_of_a_pooled_connection_says_so_too(self) -> None:
        with another_process(self.url, "LOCK TABLE child"):
            fairy = self.engine.raw_connection()
            self.addCleanup(fairy.close)
            with self.assertRaisesRegex(BlockedDatabaseError, 'holds "child"'):
                fairy.cursor().execute("SELECT * FROM child")

    def test_the_error_of_sqlalchemy_says_it_once(self) -> None:
        with another_process(self.url, "LOCK TABLE child"), self.engine.connect() as connection:
            with self.assertRaises(sa.exc.OperationalError) as caught:
                connection.execute(sa.text("SELECT * FROM child"))
        self.assertEqual(str(caught.exception).count("waited 1.5 s"), 1)
        self.assertIn("LockNotAvailable) canceling statement", str(caught.exception))

    def test_who_does_not_want_to_wait_gets_the_drivers_error_alone(self) -> None:
        with another_process(self.url, "LOCK TABLE child"):
            raw = self.connect()
            with self.assertRaises(__import__(self.driver).errors.LockNotAvailable) as caught:
                raw.cursor().execute("LOCK TABLE child NOWAIT")
        self.assertNotIsInstance(caught.exception, BlockedDatabaseError)

    def test_start_options_of_its_own(self) -> None:
        for options, expected in (
            ("-c work_mem=1MB", "1500ms"),
            ("-c lock_timeout=60000", "1500ms"),
            ("-c lock_timeout=300", "300ms"),
        ):
            with self.subTest(options):
                self.assertEqual(self.shown(self.connect(options=options)), expected)

    def test_what_the_code_under_test_sets(self) -> None:
        raw = self.connect()
        raw.autocommit = True
        for statement, expected in (
            ("SET lock_timeout = 0", "1500ms"),
            ("SET SESSION lock_timeout TO '1h'", "1500ms"),
            ("SET lock_timeout = '200ms'", "200ms"),
            ("RESET ALL", "1500ms"),
            ("SET lock_timeout = DEFAULT", "1500ms"),
            ("DISCARD ALL", "1500ms"),
        ):
            with self.subTest(statement):
                raw.cursor().execute(statement)
                self.assertEqual(self.shown(raw), expected)

    def test_what_it_sets_for_a_transaction(self) -> None:
        raw = self.connect()
        raw.cursor().execute("SET lock_timeout = '200ms'")
        raw.commit()
        raw.cursor().execute("SET LOCAL lock_timeout = 0")
        self.assertEqual(self.shown(raw), "1500ms")
        raw.commit()
        self.assertEqual(self.shown(raw), "200ms")

    def test_what_it_sets_by_sqlalchemy(self) -> None:
        with self.engine.connect() as connection:
            connection.execute(sa.text("SET lock_timeout = 0"))
            self.assertEqual(connection.execute(sa.text(SHOW)).scalar(), "1500ms")

    def test_what_it_sets_where_nobody_sees_it(self) -> None:
        raw, began = self.connect(), time.monotonic()
        hidden = "SELECT set_config('lock_timeout', '0', false)"
        ends = "SET idle_in_transaction_session_timeout = '20s'"  # by itself, should ours not
        with another_process(self.url, ends, "COMMIT", "BEGIN", "LOCK TABLE child"):
            raw.cursor().execute(hidden)
            with self.assertRaisesRegex(BlockedDatabaseError, 'holds "child"'):
                raw.cursor().execute("SELECT * FROM child")
            self.assertLess(time.monotonic() - began, BOUND + 6)
            connection = self.engine.connect()
            self.addCleanup(connection.close)
            connection.execute(sa.text(hidden))
            reported.clear()  # else it is in a line, as the raw one has said it
            with self.assertRaisesRegex(BlockedDatabaseError, 'holds "child"'):
                connection.execute(sa.text("SELECT * FROM child"))

    def test_a_child_process(self) -> None:
        code = "import sys, %s as d; c = d.connect(sys.argv[1]).cursor(); c.execute(%r)" % (
            self.driver,
            SHOW,
        )
        code += "; print(c.fetchone()[0])"
        ended = support.run_python("-W", "ignore", "-c", code, driver_url(self.url))
        self.assertEqual(ended.stdout, "1500ms\n")


class RawPsycopg3(Raw):
    """The same with the other driver."""

    driver = "psycopg"
    database = "bounds_shop3_test"

    def test_its_asynchronous_connections(self) -> None:
        import psycopg

        async def ask() -> Any:
            async with await psycopg.AsyncConnection.connect(driver_url(self.url)) as connection:
                cursor = await connection.execute(SHOW)
                return await cursor.fetchone()

        self.assertEqual(asyncio.run(ask()), ("1500ms",))


class Asyncpg(Shop):
    """A driver that does not stand upon libpq."""

    database = "bounds_asyncpg_test"

    def test_it_is_bounded(self) -> None:
        asyncpg = support.imported("asyncpg")
        self.begin()

        async def ask(**options: Any) -> Any:
            url = sa.engine.url.make_url(self.url)
            connection = await asyncpg.connect(
                host=url.query["host"],
                port=url.port or 5432,
                user=url.username,
                database=self.database,
                **options,
            )
            try:
                return await connection.fetchval(SHOW)
            finally:
                await connection.close()

        self.assertEqual(asyncio.run(ask()), "1500ms")
        self.assertEqual(asyncio.run(ask(server_settings={"work_mem": "1MB"})), "1500ms")
        settling.end_test()
        self.assertEqual(asyncio.run(ask()), "0")


class Environment(Shop):
    """What is changed there for a class is the user's again after it."""

    database = "bounds_environment_test"

    def setUp(self) -> None:
        patch = mock.patch.dict(os.environ)
        patch.start()
        self.addCleanup(patch.stop)
        os.environ.pop(OPTIONS, None)
        super().setUp()
        settling.end_test()

    def test_it_is_as_before(self) -> None:
        for own in (None, "-c work_mem=1MB", "-c lock_timeout=300", "-c lock_timeout=0"):
            with self.subTest(own):
                os.environ.pop(OPTIONS, None)
                if own is not None:
                    os.environ[OPTIONS] = own
                for name in ("ShopTest.test_one", "ShopTest.test_two"):
                    self.begin(name)
                    self.assertEqual(
                        os.environ[OPTIONS].count("lock_timeout=1500"), own != "-c lock_timeout=300"
                    )
                    self.assertTrue(os.environ[OPTIONS].startswith(own or ""))
                settling.end_test()
                self.assertEqual(os.environ.get(OPTIONS), own)

    def test_what_a_test_changes_there_stays(self) -> None:
        self.begin()
        os.environ[OPTIONS] += " -c work_mem=1MB"
        settling.end_test()
        self.assertEqual(os.environ[OPTIONS], "-c work_mem=1MB")
        self.begin()
        os.environ[OPTIONS] = "-c work_mem=2MB"
        settling.end_test()
        self.assertEqual(os.environ[OPTIONS], "-c work_mem=2MB")

    def test_a_test_that_clears_it_leaves_the_next_one_bounded(self) -> None:
        self.begin()
        del os.environ[OPTIONS]
        self.begin("ShopTest.test_next")
        self.assertEqual(os.environ[OPTIONS], "-c lock_timeout=1500")

    def test_units_of_the_users_own(self) -> None:
        for own, is_shorter in (
            ("-c lock_timeout=1s", True),
            ("--lock-timeout=1s", True),
            ("-clock_timeout=1000000us", True),
            ("-c lock_timeout=1min", False),
            ("-c lock_timeout=0", False),
            ("-c lock_timeout=1s -c lock_timeout=9s", False),
            ("-c statement_timeout=1s", False),
            ("-c lock_timeout='1s'", False),
        ):
            with self.subTest(own):
                self.assertEqual(Settings.options(own, 1500) == "", is_shorter)

    def ask(self, engine: Any) -> Any:
        with engine.connect() as connection:
            return connection.execute(
                sa.text("SELECT current_setting('lock_timeout'), pg_backend_pid()")
            ).first()

    def test_a_pooled_connection_of_a_class_has_the_users_bound_after_it(self) -> None:
        self.begin()
        shown, first = self.ask(self.engine)
        self.assertEqual(shown, "1500ms")
        self.begin("ShopTest.test_next")
        self.assertEqual(tuple(self.ask(self.engine)), ("1500ms", first))
        settling.end_test()
        self.begin("OtherTest.test_first")  # of a class with the same bound
        self.assertEqual(tuple(self.ask(self.engine)), ("1500ms", first))
        settling.begin_test([self.engine], NAME, 2.5, {self.engine: self.control})
        self.assertEqual(self.ask(self.engine)[0], "2500ms")
        settling.end_test()
        os.environ[OPTIONS] = "-c lock_timeout=777"
        self.assertEqual(self.ask(self.engine)[0], "777ms")
        with self.engine.connect() as connection:
            connection.execute(sa.text("RESET ALL"))
            self.assertEqual(connection.execute(sa.text(SHOW)).scalar(), "777ms")

    def test_engines_on_other_databases(self) -> None:
        other = sa.create_engine(_compat.url_with(self.url, database="postgres"))
        self.addCleanup(other.dispose)
        shown, before = self.ask(other)
        self.assertEqual(shown, "0")
        self.begin()
        shown, during = self.ask(other)
        self.assertEqual(shown, "1500ms")
        self.begin("ShopTest.test_next")
        self.assertEqual(tuple(self.ask(other)), ("1500ms", during))
        settling.end_test()
        self.assertEqual(self.ask(other)[0], "0")

    def test_engines_on_other_databases_with_start_options_still_work(self) -> None:
        other = sa.create_engine(
            _compat.url_with(self.url, database="postgres"),
            connect_args={"options": "-c work_mem=1MB"},
        )
        self.addCleanup(other.dispose)
        self.ask(other)
        self.begin()
        self.assertEqual(self.ask(other)[1], self.ask(other)[1])

    def test_databases_in_memory_are_left_alone(self) -> None:
        other = sa.create_engine("sqlite://")
        self.addCleanup(other.dispose)

        def rows() -> Any:
            with other.connect() as connection:
                return connection.execute(sa.text("SELECT count(*) FROM kept")).scalar()

        self.begin()
        with other.begin() as connection:
            connection.execute(sa.text("CREATE TABLE kept (id int)"))
        self.assertEqual(rows(), 0)
        settling.end_test()
        self.assertEqual(rows(), 0)
        self.begin()
        self.assertEqual(rows(), 0)

    def test_the_connection_that_clears_keeps_its_own(self) -> None:
        os.environ[OPTIONS] = "-c lock_timeout=300"
        self.begin()
        with contextlib.closing(Control(self.engine, 9.0)) as control:
            self.assertEqual(control.execute(SHOW), [("9s",)])


class Poolers(Shop):
    """Something between us and the server that refuses the options of a session's start."""

    database = "bounds_pooler_test"

    @contextlib.contextmanager
    def pooler(self) -> Iterator[int]:
        """Pass connections on, but those that come with options."""
        url = sa.engine.url.make_url(self.url)
        place = os.path.join(str(url.query["host"]), ".s.PGSQL.%d" % (url.port or 5432))
        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        listening.listen(5)

        def carry(source: Any, target: Any) -> None:
            with contextlib.suppress(OSError):
                data = source.recv(65536)
                while data:
                    target.sendall(data)
                    data = source.recv(65536)
                target.shutdown(socket.SHUT_RDWR)
            source.close()

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listening.accept()
                    start = client.recv(65536)
                    while len(start) == 8:  # asks for encryption
                        client.sendall(b"N")
                        start = client.recv(65536)
                    if b"\0options\0" in start:
                        text = b"SFATAL\0C08P01\0Munsupported startup parameter: options\0\0"
                        client.sendall(b"E" + (len(text) + 4).to_bytes(4, "big") + text)
                        client.close()
                        continue
                    server = socket.socket(socket.AF_UNIX)
                    server.connect(place)
                    server.sendall(start)
                    for ends in ((client, server), (server, client)):
                        threading.Thread(target=carry, args=ends, daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            listening.close()

    def test_everything_works_by_statements_alone(self) -> None:
        settling.end_test()
        with self.pooler() as port:
            url = _compat.url_with(self.url, host="127.0.0.1", port=port, query={})
            engine = sa.create_engine(url)
            with contextlib.closing(Control(engine, BOUND)) as control:
                settling.begin_test([engine], NAME, BOUND, {engine: control})
                self.assertNotIn("lock_timeout", os.environ.get(OPTIONS, ""))
                with engine.connect() as connection:
                    self.assertEqual(connection.execute(sa.text(SHOW)).scalar(), "1500ms")
                settling.end_test()
                with engine.connect() as connection:
                    self.assertEqual(connection.execute(sa.text(SHOW)).scalar(), "0")
            engine.dispose()
        self.begin()
        self.assertEqual(bounds.bound(), 1500)


if __name__ == "__main__":
    unittest.main()
