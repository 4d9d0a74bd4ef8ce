"""Code for asyncio beside a suite: its engines work, and what it leaves open is ended and named."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import threading
import time
import unittest
import warnings
from typing import Any, Awaitable, Callable, List

import sqlalchemy as sa

from dbtestcase import ConfigurationError, DatabaseMixin, DatabaseTestCase, RowAssertions, _compat

from . import support
from .holding import driver_url

FIRST, SECOND = "INSERT INTO note VALUES ('first')", "INSERT INTO note VALUES ('second')"
NAME = sa.text("SELECT current_setting('application_name')")
BOUND = sa.text("SELECT current_setting('lock_timeout')")


class Beside(support.Outcomes):
    """Tests on a plain engine, of code that has connections for asyncio to the same database."""

    database = "asyncio_test"
    needed: List[str] = []

    @classmethod
    def setUpClass(cls) -> None:
        support.require(*cls.needed)
        cls.url = support.postgresql_url(cls.database)
        cls.metadata = sa.MetaData()
        cls.note = sa.Table("note", cls.metadata, sa.Column("text", sa.String(20)))
        cls.kept: List[Any] = []

    def tearDown(self) -> None:
        self.kept.clear()

    def run_tests(
        self, leave: Callable[[], Any], reset: str = "recreate", change: str = ""
    ) -> List[str]:
        """Run tests, the first of which leaves something open; return what is told of it."""
        outer = self

        class NoteTest(DatabaseTestCase):
            engine, metadata = outer.url, outer.metadata
            lock_timeout = 3.0

            def rows(self) -> Any:
                return [row[0] for row in self.session.execute(outer.note.select())]

            def test_1_leaves(self) -> None:
                leave()

            def test_2_begins_at_once(self) -> None:
                self.assertEqual(self.rows(), [])
                for statement in filter(None, [change]):
                    self.session.execute(sa.text(statement))
                self.session.commit()

            def test_3_begins_at_once(self) -> None:
                self.assertEqual(self.rows(), [])

        NoteTest.reset = reset
        began = time.monotonic()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            self.assertPasses(NoteTest)
        self.assertLess(time.monotonic() - began, 2.5)
        in_transaction = (
            "SELECT query FROM pg_stat_activity WHERE state LIKE 'idle in transaction%%'"
            " AND datname = '%s'"
        )
        self.assertEqual(support.administer(in_transaction % self.database), [])
        return [str(each.message) for each in caught if " left a " in str(each.message)]

    def assertLeft(self, kind: str, function: str, left: List[str]) -> None:
        """Check what is told: once, with the kind, the test and the function that opened it."""
        self.assertEqual(len(left), 1, left)
        self.assertRegex(
            left[0],
            r"\ANoteTest.test_1_leaves left a %s open at \S*test_asyncio.py:\d+ in %s"
            r" \(\d.\d s, backend \d+\)\Z" % (kind, function),
        )

    def run_in_new_loop(self, work: Callable[[], Awaitable[Any]]) -> Any:
        return asyncio.run(work())


class AsyncEngines(Beside):
    """Engines of SQLAlchemy for asyncio, on psycopg."""

    driver = "psycopg"
    database = "asyncio_psycopg_test"
    needed = ["psycopg", "greenlet", "sqlalchemy.ext.asyncio"]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        url = _compat.url_with(cls.url, drivername="postgresql+%s" % cls.driver)
        try:
            importlib.import_module("sqlalchemy.ext.asyncio").create_async_engine(url)
        except (ImportError, sa.exc.SQLAlchemyError):
            raise unittest.SkipTest("no engine for asyncio on %s here" % cls.driver) from None
        cls.async_url = url

    def make_engine(self, **options: Any) -> Any:
        library = importlib.import_module("sqlalchemy.ext.asyncio")
        return library.create_async_engine(self.async_url, **options)

    def make_session(self, engine: Any) -> Any:
        return importlib.import_module("sqlalchemy.ext.asyncio").AsyncSession(engine)

    def test_an_engine_works_beside(self) -> None:
        outer = self

        class NoteTest(DatabaseMixin, RowAssertions, unittest.IsolatedAsyncioTestCase):
            engine, metadata = outer.url, outer.metadata
            lock_timeout = 4.0

            async def asyncSetUp(self) -> None:
                self.beside = outer.make_engine()

            async def asyncTearDown(self) -> None:
                await self.beside.dispose()

            async def look(self) -> None:
                async with self.beside.connect() as connection:
                    found = (await connection.execute(outer.note.select())).all()
                    self.assertEqual(found, [])

            async def test_writes(self) -> None:
                await self.look()
                async with self.beside.begin() as connection:
                    await connection.execute(sa.text(FIRST))
                    name = (await connection.execute(NAME)).scalar()
                    self.assertEqual(name, "dbtestcase NoteTest.test_writes")
                    self.assertEqual((await connection.execute(BOUND)).scalar(), "4s")
                self.assertRowCount(outer.note, 1)

            async def test_writes_nothing(self) -> None:
                await self.look()

        with warnings.catch_warnings():
            warnings.simplefilter("error")
            self.assertPasses(NoteTest)

    def test_one_engine_serves_tests_with_event_loops_of_their_own(self) -> None:
        engine = self.make_engine(pool_size=1, max_overflow=0)
        self.kept.append(engine)
        outer = self

        async def write() -> None:
            async with engine.begin() as connection:
                self.assertEqual((await connection.execute(outer.note.select())).all(), [])
                await connection.execute(sa.text(FIRST))

        class NoteTest(DatabaseTestCase):
            engine, metadata = outer.url, outer.metadata

            def test_1(self) -> None:
                outer.run_in_new_loop(write)

            def test_2(self) -> None:
                outer.run_in_new_loop(write)

            def test_3_changes_its_session(self) -> None:
                outer.run_in_new_loop(change)

            def test_4_has_another_session(self) -> None:
                outer.run_in_new_loop(look)

        async def change() -> None:
            async with engine.begin() as connection:
                await connection.execute(sa.text("SET work_mem = '7MB'"))

        async def look() -> None:
            async with engine.begin() as connection:
                found = (await connection.execute(sa.text("SHOW work_mem"))).scalar()
                self.assertNotEqual(found, "7MB")

        self.assertPasses(NoteTest)

    def leave(self, open_it: Callable[[Any], Any], **options: Any) -> Callable[[], None]:
        async def leave_open() -> None:
            self.kept.append(self.make_engine(**options))
            self.kept.append(await open_it(self.kept[-1]))

        return lambda: self.run_in_new_loop(leave_open)

    async def session_left(self, engine: Any) -> Any:
        session = self.make_session(engine)
        await session.execute(sa.text(FIRST))
        return session

    async def connection_left(self, engine: Any) -> Any:
        connection = await engine.connect()
        await connection.execute(sa.text(FIRST))
        return connection

    async def reader_left(self, engine: Any) -> Any:
        connection = await engine.connect()
        await connection.execute(self.note.select())
        return connection

    async def idle_left(self, engine: Any) -> Any:
        connection = await engine.connect()
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(self.note.select())
        return connection

    def test_a_session_left_open(self) -> None:
        self.assertLeft("session", "session_left", self.run_tests(self.leave(self.session_left)))

    def test_a_connection_left_open(self) -> None:
        left = self.run_tests(self.leave(self.connection_left))
        self.assertLeft("connection", "connection_left", left)

    def test_a_connection_that_has_read_is_not_in_the_way_of_a_drop(self) -> None:
        left = self.run_tests(self.leave(self.reader_left), change="ALTER TABLE note ADD more int")
        self.assertLeft("connection", "reader_left", left)

    def test_a_connection_left_without_a_transaction(self) -> None:
        left = self.run_tests(self.leave(self.idle_left))
        self.assertLeft("connection", "idle_left", left)

    def test_a_pool_that_keeps_nothing(self) -> None:
        left = self.run_tests(self.leave(self.session_left, poolclass=sa.pool.NullPool))
        self.assertLeft("session", "session_left", left)

    def test_a_session_left_open_beside_an_outer_transaction(self) -> None:
        left = self.run_tests(self.leave(self.session_left), reset="rollback")
        self.assertLeft("session", "session_left", left)

    def test_what_was_left_fails_when_its_loop_goes_on(self) -> None:
        loop = asyncio.new_event_loop()
        self.addCleanup(loop.close)
        engine = self.make_engine()
        sessions: List[Any] = []

        async def begin() -> None:
            sessions.append(await self.session_left(engine))

        async def go_on() -> None:
            with self.assertRaisesRegex(sa.exc.DBAPIError, "this connection was ended"):
                await sessions[0].execute(sa.text(SECOND))
            await sessions[0].rollback()
            async with engine.connect() as connection:  # others of its pool are in order
                self.assertEqual((await connection.execute(sa.text("SELECT 7"))).scalar(), 7)
            await engine.dispose()

        left = self.run_tests(lambda: loop.run_until_complete(begin()))
        self.assertLeft("session", "session_left", left)
        loop.run_until_complete(go_on())

    def test_a_loop_of_another_thread_is_ended_in_mid_transaction(self) -> None:
        ready, go = threading.Event(), threading.Event()
        errors: List[BaseException] = []

        async def work() -> None:
            engine = self.make_engine()
            session = self.make_session(engine)
            await session.execute(sa.text(FIRST))
            ready.set()
            while not go.is_set():
                await asyncio.sleep(0.01)
            try:
                await session.execute(sa.text(SECOND))
                await session.commit()
            except Exception as error:
                errors.append(error)
            await session.close()
            await engine.dispose()

        thread = threading.Thread(
            target=lambda: self.run_in_new_loop(work), name="worker", daemon=True
        )

        def begin() -> None:
            thread.start()
            self.assertTrue(ready.wait(10))

        left = self.run_tests(begin)
        go.set()
        thread.join(10)
        self.assertRegex(left[0], r'test_1_leaves left a session open at .*, thread "worker"')
        (error,) = errors
        self.assertIsInstance(error, sa.exc.DBAPIError)
        self.assertIn("this connection was ended", str(error))

    def test_an_engine_of_asyncio_is_refused_with_what_to_give_instead(self) -> None:
        plain = _compat.url_text(
            _compat.url_with(self.url, drivername=_compat.postgresql_drivername())
        )
        for given in (self.make_engine(), self.make_engine().sync_engine):

            class NoteTest(DatabaseTestCase):
                engine, metadata = given, self.metadata

                def test(self) -> None:
                    pass

            with self.assertRaises(ConfigurationError) as caught:
                NoteTest.setUpClass()
            self.assertEqual(
                str(caught.exception),
                "%s is an engine for asyncio. Test cases on such an engine are not supported yet."
                " Nothing was touched.\n"
                "  Give the class a plain engine on the same database: %s\n"
                "  Beside it the code under test may go on to use engines for asyncio."
                % (_compat.url_text(self.async_url), plain),
            )


class AsyncEnginesOnAsyncpg(AsyncEngines):
    """The same on asyncpg."""

    driver = "asyncpg"
    database = "asyncio_asyncpg_test"
    needed = ["asyncpg", "greenlet", "sqlalchemy.ext.asyncio"]


class AsyncDrivers(Beside):
    """Connections of drivers for asyncio, beside SQLAlchemy."""

    database = "asyncio_drivers_test"

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        for name in ("psycopg", "asyncpg"):  # what a test imports is known from the next one on
            with contextlib.suppress(ImportError):
                importlib.import_module(name)

    def leave(self, open_it: Callable[[], Any]) -> Callable[[], None]:
        async def leave_open() -> None:
            self.kept.append(await open_it())

        return lambda: self.run_in_new_loop(leave_open)

    async def psycopg_left(self) -> Any:
        library: Any = importlib.import_module("psycopg")
        connection = await library.AsyncConnection.connect(driver_url(self.url))
        await connection.execute(FIRST)
        return connection

    def parts(self) -> Any:
        """Return where the database is, as asyncpg takes it: it reads URLs in a way of its own."""
        with contextlib.closing(sa.create_engine(self.url).raw_connection()) as raw:
            parts = _compat.connection_parts(_compat.dbapi_connection(raw))
        parts["user"] = parts.pop("username")
        return parts

    async def asyncpg_left(self) -> Any:
        library: Any = importlib.import_module("asyncpg")
        connection = await library.connect(**self.parts())
        await connection.execute("BEGIN")
        await connection.execute(FIRST)
        return connection

    async def pool_left(self) -> Any:
        library: Any = importlib.import_module("asyncpg")
        pool = await library.create_pool(min_size=1, max_size=2, **self.parts())
        connection = await pool.acquire()
        await connection.transaction().start()
        await connection.execute(FIRST)
        return pool, connection

    @support.requires("psycopg")
    def test_a_connection_of_psycopg(self) -> None:
        left = self.run_tests(self.leave(self.psycopg_left))
        self.assertLeft("raw connection", "psycopg_left", left)

    @support.requires("asyncpg")
    def test_a_connection_of_asyncpg(self) -> None:
        left = self.run_tests(self.leave(self.asyncpg_left))
        self.assertLeft("raw connection", "asyncpg_left", left)

    @support.requires("asyncpg")
    def test_a_pool_of_asyncpg(self) -> None:
        left = self.run_tests(self.leave(self.pool_left))
        self.assertEqual(len(left), 1, left)
        self.assertRegex(left[0], "NoteTest.test_1_leaves left a raw connection open")

    @support.requires("asyncpg")
    def test_a_connection_of_asyncpg_is_not_in_the_way_of_a_drop(self) -> None:
        change = "ALTER TABLE note ADD more int"
        left = self.run_tests(self.leave(self.asyncpg_left), change=change)
        self.assertLeft("raw connection", "asyncpg_left", left)

    @support.requires("psycopg")
    def test_a_connection_of_psycopg_fails_when_its_loop_goes_on(self) -> None:
        loop = asyncio.new_event_loop()
        self.addCleanup(loop.close)
        opened: List[Any] = []

        async def begin() -> None:
            opened.append(await self.psycopg_left())

        async def go_on() -> None:
            with self.assertRaisesRegex(Exception, "this connection was ended"):
                await opened[0].execute(SECOND)
            with self.assertRaisesRegex(Exception, "this connection was ended"):
                await opened[0].commit()

        self.run_tests(lambda: loop.run_until_complete(begin()))
        loop.run_until_complete(go_on())
