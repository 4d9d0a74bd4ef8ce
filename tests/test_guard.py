"""No test writes to a database that is not for tests, however it reaches it."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import re
import shutil
import sqlite3
import tempfile
import unittest
from typing import Any, Dict, List, Optional
from unittest import mock

import sqlalchemy as sa
import sqlalchemy.orm

from dbtestcase import DatabaseTestCase, UnsafeDatabaseError, _compat
from dbtestcase.connections import database_made_or_dropped, gets_past_read_only, is_temporary_table
from dbtestcase.dialects.postgresql.catalog import dump
from tests import reaching, support
from tests.holding import driver_url

SHOP = "guard_shop"  # not for tests


def case_on(url: Any, **attributes: Any) -> Any:
    """Return a class with one table and the tests among the attributes."""
    metadata = sa.MetaData()
    sa.Table("thing", metadata, sa.Column("id", sa.Integer, primary_key=True))
    members = dict({"engine": url, "metadata": metadata}, **attributes)
    return type("ShopTest", (DatabaseTestCase,), members)


class Guarded(support.Outcomes):
    """A database for tests, and another one that is not, with a row."""

    driver = "psycopg2"

    @classmethod
    def setUpClass(cls) -> None:
        try:
            __import__(cls.driver)
            sa.engine.url.make_url("postgresql+%s://" % cls.driver).get_dialect()
        except (ImportError, sa.exc.NoSuchModuleError):
            raise unittest.SkipTest("no %s here" % cls.driver) from None
        cls.url = cls.of_driver(support.postgresql_url("guard_%s_test" % cls.driver))
        # Connections are known from the first class on.
        support.run_case(case_on(cls.url, test_one=lambda case: None))

    @classmethod
    def of_driver(cls, url: str) -> str:
        return _compat.url_text(_compat.url_with(url, drivername="postgresql+%s" % cls.driver))

    def setUp(self) -> None:
        self.shop = self.of_driver(support.postgresql_url(SHOP))
        support.administer(
            "CREATE TABLE kept (id int)",
            "INSERT INTO kept VALUES (1)",
            "CREATE SEQUENCE numbers",
            "CREATE FUNCTION keep_one() RETURNS int LANGUAGE sql AS"
            " 'INSERT INTO kept VALUES (9) RETURNING 1'",
            database=SHOP,
        )
        engine = self.make_engine(self.shop)
        with_connection = engine.raw_connection()
        self.addCleanup(with_connection.close)
        self.dbapi = _compat.dbapi_connection(with_connection)
        self.dbapi.autocommit = True
        self.before = self.dumped()

    def make_engine(self, url: str, **options: Any) -> Any:
        engine = sa.create_engine(url, **options)
        self.addCleanup(engine.dispose)
        return engine

    def dumped(self) -> List[Any]:
        """Return all that the other database holds, and what the server has beside databases."""
        rows: List[Any] = list(dump(self.dbapi))
        for sql in (
            "SELECT oid FROM pg_largeobject_metadata",
            "SELECT last_value, is_called FROM numbers",
            "SELECT rolname FROM pg_roles WHERE rolname LIKE 'guard%'",
            "SELECT datname FROM pg_database WHERE datname LIKE 'guard_m%'",
            "SELECT name, setting FROM pg_file_settings ORDER BY 1",
        ):
            cursor = self.dbapi.cursor()
            cursor.execute(sql)
            rows.append(cursor.fetchall())
        return rows

    def assertUntouched(self) -> None:
        self.assertEqual(self.dumped(), self.before)


class ReachingWithPsycopg2(Guarded):
    """Every way of ``tests/reaching.py``, in a test of its own."""

    def early(self) -> Dict[str, Any]:
        """Make what is there before any test."""
        driver = __import__(self.driver)
        made = {"engine": self.make_engine(self.shop)}
        made["engine"].connect().close()
        for name in ("connection", "transaction"):
            made[name] = driver.connect(driver_url(self.shop))
            self.addCleanup(made[name].close)
        made["transaction"].cursor().execute("SELECT 1")
        return made

    def test_no_way_leads_to_a_write(self) -> None:
        raised: Dict[str, Any] = {}
        early = self.early()

        def test_of(name: str, way: Any) -> Any:
            def test(case: Any) -> None:
                other = reaching.Other(self.shop, case.engine)
                other.early = early
                with other.closing:
                    try:
                        way(other)
                        raised[name] = "nothing"
                    except BaseException as error:
                        raised[name] = error

            return test

        ways = reaching.ways(self.driver)
        tests = {"test_" + name: test_of(name, way) for name, way in ways.items()}
        self.assertPasses(case_on(self.url, **tests))
        self.assertUntouched()
        self.assertEqual(set(raised), set(ways))
        for name, error in raised.items():
            with self.subTest(name):
                self.assertIsInstance(error, UnsafeDatabaseError)
                self.assertTrue(
                    str(error).startswith(
                        'ShopTest.test_%s would write to "guard_shop" at ' % name
                    ),
                    error,
                )
                self.assertIn("reaching.py:", str(error))
                self.assertIn(
                    "\n  To allow this very database, write in ShopTest: allowed_databases ="
                    " ('guard_shop',)",
                    str(error),
                )


class ReachingWithPsycopg(ReachingWithPsycopg2):
    driver = "psycopg"


class OtherDatabasesWithPsycopg2(Guarded):
    """What tests may do with other databases, and what is said where they may not."""

    def write_in_test(self, url: str, **attributes: Any) -> Any:
        """Write to a database in a test; return what became of the test."""

        def test_one(case: Any) -> None:
            engine = self.make_engine(url)
            reaching.write_by(engine)
            with engine.connect() as connection:
                rows = connection.execute(sa.text("SELECT count(*) FROM kept")).scalar()
            self.assertGreater(rows, 0)

        return support.run_case(case_on(self.url, test_one=test_one, **attributes))

    def assertWritten(self, result: Any) -> None:
        self.assertEqual(result.errors + result.failures, [])
        self.assertNotEqual(self.dumped(), self.before)

    def test_a_second_database_that_is_for_tests_stays_writable(self) -> None:
        url = self.of_driver(support.postgresql_url("guard_audit_test"))
        support.administer("CREATE TABLE kept (id int)", database="guard_audit_test")
        result = self.write_in_test(url)
        self.assertEqual(result.errors + result.failures, [])
        rows = support.administer("SELECT * FROM kept", database="guard_audit_test")
        self.assertEqual(rows, [(2,)])

    def test_one_that_is_allowed_by_its_name_is_writable(self) -> None:
        self.assertWritten(self.write_in_test(self.shop, allowed_databases=(SHOP,)))

    def test_what_is_allowed_in_one_class_is_not_in_the_next(self) -> None:
        engine = self.make_engine(self.shop)

        def test_one(case: Any) -> None:
            reaching.write_by(engine)

        self.assertPasses(case_on(self.url, allowed_databases=(SHOP,), test_one=test_one))
        result = support.run_case(case_on(self.url, test_one=test_one))
        self.assertIn("ShopTest.test_one would write to", result.errors[0][1])
        self.assertPasses(case_on(self.url, allowed_databases=(SHOP,), test_one=test_one))

    def test_any_database_may_be_read(self) -> None:
        def test_one(case: Any) -> None:
            engine = self.make_engine(self.shop)
            for options in ({}, {"isolation_level": "AUTOCOMMIT"}, {"postgresql_readonly": True}):
                with engine.connect() as plain:
                    connection = plain.execution_options(**options)
                    rows = connection.execute(sa.text("SELECT id FROM kept")).fetchall()
                    self.assertEqual([tuple(row) for row in rows], [(1,)])
            raw = __import__(self.driver).connect(driver_url(self.shop))
            raw.cursor().execute("SELECT 'read write', 'transaction_read_only'")
            raw.close()

        self.assertPasses(case_on(self.url, test_one=test_one))
        self.assertUntouched()

    def test_temporary_tables_may_be_made_where_a_transaction_begins(self) -> None:
        def test_one(case: Any) -> None:
            engine = self.make_engine(self.shop)
            for options in ({}, {"isolation_level": "AUTOCOMMIT"}):
                with engine.connect() as plain:
                    connection = plain.execution_options(**options)
                    connection.execute(sa.text("CREATE TEMP TABLE mine (id int)"))
                    connection.execute(sa.text("INSERT INTO mine SELECT id FROM kept"))
                    with self.assertRaises(UnsafeDatabaseError):
                        connection.execute(sa.text("INSERT INTO kept SELECT id FROM mine"))
                with engine.connect() as connection:
                    with self.assertRaises(UnsafeDatabaseError):
                        connection.execute(sa.text("CREATE TEMP TABLE a AS SELECT keep_one()"))
                engine.dispose()

        self.assertPasses(case_on(self.url, test_one=test_one))
        self.assertUntouched()

    def test_the_words_for_a_driver(self) -> None:
        caught: List[Any] = []

        def test_one(case: Any) -> None:
            raw = __import__(self.driver).connect(driver_url(self.shop))
            try:
                reaching.write(raw, "DELETE FROM kept")
            except Exception as error:
                caught.append(error)
            finally:
                raw.close()

        self.assertPasses(case_on(self.url, test_one=test_one))
        (error,) = caught
        self.assertIsInstance(error, __import__(self.driver).errors.ReadOnlySqlTransaction)
        self.assertEqual(_compat.sqlstate(error), "25006")
        self.assertWords(error, "reaching.py", "write", "DELETE")
        self.assertTrue(error.__suppress_context__)

    def test_the_words_for_sqlalchemy(self) -> None:
        caught: List[Any] = []

        def test_one(case: Any) -> None:
            try:
                reaching.write_by(self.make_engine(self.shop), "DROP TABLE kept")
            except Exception as error:
                caught.append(error)

        self.assertPasses(case_on(self.url, test_one=test_one))
        (error,) = caught
        self.assertIsInstance(error, sa.exc.InternalError)
        self.assertEqual(_compat.sqlstate(error), "25006")
        self.assertWords(error, "reaching.py", "write_by", "DROP TABLE")

    def assertWords(self, error: Any, file: str, function: str, verb: str) -> None:
        self.assertIsInstance(error, UnsafeDatabaseError)
        place = re.escape(str(error).partition(" at ")[2].partition(", which")[0])
        self.assertRegex(
            str(error),
            r'\AShopTest\.test_one would write to "guard_shop" at %s, which is not known to be a'
            r" test database\.\n"
            r"  At tests/%s:\d+ in %s: cannot execute %s in a read-only transaction\n"
            r'  Neither "test" nor "testing" stands as a word of its own in its name\. Nothing was'
            r" written: inside a test, such a database may only be read\.\n"
            r"  To allow this very database, write in ShopTest: allowed_databases ="
            r" \('guard_shop',\)\Z" % (place, file, function, verb),
        )

    def test_what_runs_outside_of_tests_is_as_it_was(self) -> None:
        engine, other = self.make_engine(self.shop), self.make_engine(self.shop)
        raw = __import__(self.driver).connect(driver_url(self.shop))
        self.addCleanup(raw.close)

        class ShopTest(DatabaseTestCase):
            @classmethod
            def setUpClass(cls) -> None:
                reaching.write_by(engine)
                super().setUpClass()
                reaching.write_by(engine)
                reaching.write(raw)

            @classmethod
            def tearDownClass(cls) -> None:
                reaching.write_by(engine)
                reaching.write(raw)
                super().tearDownClass()
                reaching.write_by(other)

            def setUp(self) -> None:
                reaching.write_by(engine)
                reaching.write(raw)
                self.addCleanup(reaching.write, raw)
                super().setUp()

            def test_one(self) -> None:
                with self.assertRaises(UnsafeDatabaseError):
                    reaching.write(raw)
                with self.assertRaises(UnsafeDatabaseError):
                    reaching.write_by(engine)
                raw.rollback()
                other.connect().close()

            test_two = test_one

        ShopTest.engine, ShopTest.metadata = self.url, sa.MetaData()
        self.assertPasses(ShopTest)
        reaching.write_by(engine)
        rows = support.administer("SELECT count(*) FROM kept", database=SHOP)
        self.assertEqual(rows, [(1 + 3 + 3 * 2 + 4,)])

    def test_a_transaction_that_a_test_left_open_reads_on(self) -> None:
        raw = __import__(self.driver).connect(driver_url(self.shop))
        self.addCleanup(raw.close)

        def test_a(case: Any) -> None:
            raw.cursor().execute("SELECT 1")

        def test_b(case: Any) -> None:
            with self.assertRaises(UnsafeDatabaseError):
                reaching.write(raw)
            raw.rollback()

        self.assertPasses(case_on(self.url, test_a=test_a, test_b=test_b))
        reaching.write(raw)
        self.assertNotEqual(self.dumped(), self.before)

    def test_databases_for_tests_are_made_and_dropped_inside_tests(self) -> None:
        def test_one(case: Any) -> None:
            for statement in (
                "DROP DATABASE IF EXISTS guard_made_test",
                'CREATE DATABASE "guard_made_test"',
                "ALTER DATABASE guard_made_test SET work_mem = '8MB'",
                "DROP DATABASE guard_made_test;",
            ):
                engine = self.make_engine(
                    self.of_driver(support.url_of("postgres")), isolation_level="AUTOCOMMIT"
                )
                with engine.connect() as connection:
                    connection.execute(sa.text(statement))
                    with self.assertRaises(UnsafeDatabaseError):
                        connection.execute(sa.text("CREATE TABLE guard_any (id int)"))

        self.assertPasses(case_on(self.url, test_one=test_one))

    def test_create_tables_and_load_data_are_part_of_the_tests(self) -> None:
        engine = self.make_engine(self.shop)
        for name in ("create_tables", "load_data"):
            with self.subTest(name):
                method = {name: lambda case: reaching.write_by(engine)}
                result = support.run_case(case_on(self.url, test_one=lambda case: None, **method))
                self.assertIn("UnsafeDatabaseError: ShopTest would write to", result.errors[0][1])
        self.assertUntouched()
        reaching.write_by(engine)

    def test_a_driver_that_a_test_is_the_first_to_import(self) -> None:
        other = "psycopg" if self.driver == "psycopg2" else "psycopg2"
        if support.missing("psycopg", "psycopg2"):
            self.skipTest("needs both drivers")
        done = support.run_python("-c", _FIRST_IMPORT, self.url, other, driver_url(self.shop))
        self.assertIn("would write to", done.stdout + done.stderr)
        self.assertUntouched()

    def test_connections_that_were_open_before_the_package_was_imported(self) -> None:
        done = support.run_python("-c", _EARLY, self.url, self.driver, driver_url(self.shop))
        self.assertEqual(done.stdout.split(), ["refused"] * 4 + ["written"], done.stderr)
        rows = support.administer("SELECT count(*) FROM kept", database=SHOP)
        self.assertEqual(rows, [(2,)])


class OtherDatabasesWithPsycopg(OtherDatabasesWithPsycopg2):
    driver = "psycopg"


_FIRST_IMPORT = """
import sys, unittest
import sqlalchemy as sa
from dbtestcase import DatabaseTestCase
class ShopTest(DatabaseTestCase):
    engine, metadata = sys.argv[1], sa.MetaData()
    def test_one(self):
        connection = __import__(sys.argv[2]).connect(sys.argv[3])
        connection.cursor().execute("INSERT INTO kept VALUES (2)")
        connection.commit()
assert sys.argv[2] not in sys.modules
unittest.main(argv=sys.argv[:1])
"""

_EARLY = """
import sys, unittest
driver = __import__(sys.argv[2])
idle, begun = driver.connect(sys.argv[3]), driver.connect(sys.argv[3])
begun.cursor().execute("SELECT 1")
import sqlalchemy as sa
from dbtestcase import DatabaseTestCase
def write(connection):
    try:
        connection.cursor().execute("INSERT INTO kept VALUES (2)")
        connection.commit()
        print("written")
    except driver.errors.ReadOnlySqlTransaction:
        print("refused")
        connection.rollback()
class ShopTest(DatabaseTestCase):
    engine, metadata = sys.argv[1], sa.MetaData()
    def test_one(self):
        write(idle)
        write(begun)
    test_two = test_one
    @classmethod
    def tearDownClass(cls):
        write(idle)
unittest.main(argv=sys.argv[:1])
"""


class EnginesThatLeadElsewhereWithPsycopg2(Guarded):
    """A checked engine whose new connections lead to another database."""

    def setUp(self) -> None:
        super().setUp()
        self.name = sa.engine.url.make_url(self.url).database
        self.led: Any = self.name  # where everything leads, to be changed by a test

    def lead(self) -> None:
        self.led = SHOP
        os.environ["PGDATABASE"] = SHOP
        with open(self.services, "w") as file:
            file.write("[guard]\ndbname=%s\n" % SHOP)

    def engines(self) -> Dict[str, Any]:
        """Return engines whose connections are made anew each time, by what leads them."""
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        self.services = os.path.join(folder, "services")
        with open(self.services, "w") as file:
            file.write("[guard]\ndbname=%s\n" % self.name)
        variables = {"PGDATABASE": str(self.name), "PGSERVICEFILE": self.services}
        patch = mock.patch.dict(os.environ, variables)
        patch.start()
        self.addCleanup(patch.stop)
        nowhere = _compat.url_with(self.url, database="")
        service = _compat.url_with(nowhere, query=dict(nowhere.query, service="guard"))
        driver = __import__(self.driver)

        def create() -> Any:
            return driver.connect(driver_url(_compat.url_text(self.parsed(self.led))))

        made = {
            "PGDATABASE": self.make_engine(nowhere),
            "a service file": self.make_engine(service),
            "a creator": self.make_engine(self.url, creator=create),
            "a listener": self.make_engine(self.url),
            "connect_args": self.make_engine(nowhere, connect_args={}),
        }

        @sa.event.listens_for(made["a listener"], "do_connect")
        def lead(dialect: Any, record: Any, arguments: Any, options: Any) -> None:
            options.pop("database", None)
            options["dbname"] = self.led

        return made

    def parsed(self, name: str) -> Any:
        return _compat.url_with(self.url, database=name)

    def test_a_rebuild_and_a_new_connection_are_refused(self) -> None:
        def ddl(case: Any) -> None:
            case.session.execute(sa.text("CREATE TABLE extra (id int)"))
            case.session.commit()

        def dispose(case: Any) -> None:
            case.engine.dispose()

        for leader, engine in self.engines().items():
            for change in (ddl, dispose):
                for reset in ("recreate", "rollback"):
                    with self.subTest(leader, change=change.__name__, reset=reset):
                        self.led = self.name
                        with mock.patch.dict(os.environ):
                            self.refused(engine, change, reset)
                        engine.dispose()
        self.assertUntouched()

    def refused(self, engine: Any, change: Any, reset: str) -> None:
        ran: List[Any] = []

        def test_a(case: Any) -> None:
            if not (reset == "rollback" and change.__name__ == "dispose"):
                change(case)
            self.lead()

        def test_b(case: Any) -> None:
            if change.__name__ == "dispose":
                with self.assertRaises(UnsafeDatabaseError) as caught:
                    case.engine.dispose()
                    reaching.write_by(case.engine, "INSERT INTO kept VALUES (2)")
                ran.append(str(caught.exception))
                raise caught.exception

        case = case_on(engine, test_a=test_a, test_b=test_b, reset=reset)
        case.load_data = lambda case: case.session.execute(case.metadata.tables["thing"].insert())
        result = support.run_case(case)
        with open(self.services, "w") as file:
            file.write("[guard]\ndbname=%s\n" % self.name)
        if reset == "rollback":
            return  # it goes on with the connection that it has
        ((test, text),) = result.errors + result.failures
        self.assertIn("test_b", str(test))
        self.assertRegex(
            text,
            r"\ndbtestcase\.UnsafeDatabaseError: ShopTest\.test_b: a new connection of its engine"
            r' leads to "guard_shop" at .*, and no longer to "%s" at .*, which was checked\.\n'
            r"  It was closed before anything ran on it(: at tests/\S+ in \w+)?\. Nothing was"
            r" touched\.\n"
            r"  A creator, a listener, PG\* variables or a service file lead it there by now: put"
            r" back what a test changes of these\.\n" % self.name,
        )

    def test_an_outer_transaction_is_held_to_the_check(self) -> None:
        for leader, engine in self.engines().items():
            with self.subTest(leader):
                self.led = self.name
                with mock.patch.dict(os.environ):

                    def test_a(case: Any) -> None:
                        self.lead()

                    def test_b(case: Any) -> None:
                        raise AssertionError("it ran")

                    def set_up(case: Any) -> None:
                        case.engine.dispose()  # with the connection that is kept for it
                        DatabaseTestCase.setUp(case)

                    case = case_on(
                        engine, test_a=test_a, test_b=test_b, setUp=set_up, reset="rollback"
                    )
                    result = support.run_case(case)
                ((_, text),) = result.errors + result.failures
                self.assertIn("UnsafeDatabaseError: ShopTest.test_b: a new connection", text)
                with open(self.services, "w") as file:
                    file.write("[guard]\ndbname=%s\n" % self.name)
                engine.dispose()
        self.assertUntouched()

    def test_a_pooled_connection_that_leads_elsewhere_from_the_beginning(self) -> None:
        driver, names = __import__(self.driver), [self.name, SHOP]

        def create() -> Any:
            name = names.pop(0) if names else self.name
            return driver.connect(driver_url(_compat.url_text(self.parsed(name))))

        engine = self.make_engine(self.url, creator=create)
        both = engine.connect(), engine.connect()
        for connection in both:
            connection.close()

        def test_one(case: Any) -> None:
            with self.assertRaisesRegex(UnsafeDatabaseError, "its engine leads to"):
                with case.engine.connect():
                    case.engine.connect()

        self.assertPasses(case_on(engine, test_one=test_one, reset=None))


class EnginesThatLeadElsewhereWithPsycopg(EnginesThatLeadElsewhereWithPsycopg2):
    driver = "psycopg"


class SQLite(support.Outcomes):
    """Files that are not for tests, beside a test's own."""

    def setUp(self) -> None:
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.shop = os.path.join(self.folder, "shop.db")
        with contextlib.closing(sqlite3.connect(self.shop)) as connection:
            connection.execute("CREATE TABLE kept (id int)")
            connection.execute("INSERT INTO kept VALUES (1)")
            connection.commit()
        self.before = self.dumped()
        self.url = "sqlite:///" + os.path.join(self.folder, "shop_test.db")

    def dumped(self) -> List[str]:
        with contextlib.closing(sqlite3.connect(self.shop)) as connection:
            return list(connection.iterdump())

    def make_engine(self, path: Optional[str] = None, **options: Any) -> Any:
        engine = sa.create_engine("sqlite:///" + (path or self.shop), **options)
        self.addCleanup(engine.dispose)
        return engine

    def ways(self) -> Dict[str, Any]:
        early = self.make_engine()
        early.connect().close()
        link = os.path.join(self.folder, "link_test.db")
        os.symlink(self.shop, link)

        def turned_off() -> None:
            with self.make_engine().connect() as connection:
                connection.execute(sa.text("PRAGMA query_only = off"))
                connection.execute(sa.text(reaching.WRITE))

        def session() -> None:
            with contextlib.closing(sa.orm.Session(bind=self.make_engine())) as opened:
                opened.execute(sa.text(reaching.WRITE))
                opened.commit()

        def autocommit() -> None:
            with self.make_engine(isolation_level="AUTOCOMMIT").connect() as connection:
                connection.execute(sa.text(reaching.WRITE))

        def thread() -> None:
            with concurrent.futures.ThreadPoolExecutor(1) as executor:
                executor.submit(lambda: reaching.write_by(self.make_engine())).result()

        return {
            "engine": lambda: reaching.write_by(self.make_engine()),
            "one before": lambda: reaching.write_by(early),
            "no pool": lambda: reaching.write_by(self.make_engine(poolclass=sa.pool.NullPool)),
            "one connection": lambda: reaching.write_by(
                self.make_engine(poolclass=sa.pool.StaticPool)
            ),
            "a link": lambda: reaching.write_by(self.make_engine(link)),
            "a URI": lambda: reaching.write_by(
                self.make_engine("file:%s?mode=rw&uri=true" % self.shop)
            ),
            "a creator": lambda: reaching.write_by(
                self.make_engine(link, creator=lambda: sqlite3.connect(self.shop))
            ),
            "a table": lambda: reaching.write_by(self.make_engine(), "CREATE TABLE more (id int)"),
            "turned off": turned_off,
            "session": session,
            "autocommit": autocommit,
            "thread": thread,
        }

    def test_no_way_leads_to_a_write(self) -> None:
        ways, raised = self.ways(), {}

        def test_one(case: Any) -> None:
            for name, way in ways.items():
                try:
                    way()
                    raised[name] = None
                except Exception as error:
                    raised[name] = error

        self.assertPasses(case_on(self.url, test_one=test_one))
        self.assertEqual(self.dumped(), self.before)
        for name, error in raised.items():
            with self.subTest(name):
                self.assertIsInstance(error, UnsafeDatabaseError)
                self.assertIsInstance(error, sa.exc.DBAPIError)
                self.assertIn('ShopTest.test_one would write to "shop.db" at', str(error))
                self.assertIn("allowed_databases = ('shop.db',)", str(error))

    def test_reading_is_free_and_so_are_writes_outside_and_where_allowed(self) -> None:
        engine = self.make_engine()

        def test_one(case: Any) -> None:
            with engine.connect() as connection:
                self.assertEqual(connection.execute(sa.text("SELECT id FROM kept")).scalar(), 1)

        def test_two(case: Any) -> None:
            reaching.write_by(engine)

        self.assertPasses(case_on(self.url, test_one=test_one))
        self.assertEqual(self.dumped(), self.before)
        reaching.write_by(engine)
        self.assertEqual(len(self.dumped()), len(self.before) + 1)
        self.assertPasses(case_on(self.url, allowed_databases=("shop.db",), test_two=test_two))
        self.assertEqual(len(self.dumped()), len(self.before) + 2)

    def test_a_file_that_a_test_makes_is_its_own(self) -> None:
        path = os.path.join(self.folder, "new.db")

        def test_one(case: Any) -> None:
            for sql in ("CREATE TABLE kept (id int)", reaching.WRITE):
                reaching.write_by(self.make_engine(path), sql)

        self.assertPasses(case_on(self.url, test_one=test_one))

    def test_an_engine_that_leads_elsewhere(self) -> None:
        paths = [os.path.join(self.folder, "shop_test.db")]
        engine = self.make_engine(paths[0], creator=lambda: sqlite3.connect(paths[0]))

        def test_a(case: Any) -> None:
            paths[0] = self.shop
            engine.dispose()

        def test_b(case: Any) -> None:
            case.session.execute(case.metadata.tables["thing"].insert())
            case.session.commit()

        result = support.run_case(case_on(engine, test_a=test_a, test_b=test_b))
        self.assertIn(
            "UnsafeDatabaseError: ShopTest.test_b: a new connection of its engine leads to"
            ' "shop.db" at %s, and no longer to "shop_test.db" at' % self.folder,
            result.errors[0][1],
        )
        self.assertEqual(self.dumped(), self.before)


class Statements(unittest.TestCase):
    """What is read of statements in a session that may only read."""

    def test_what_gets_past_a_read_only_session(self) -> None:
        past = (
            "SET TRANSACTION READ WRITE",
            "set  session characteristics as transaction isolation level serializable, read write",
            "BEGIN READ WRITE",
            "start transaction read /* x */ write",
            "BEGIN; -- x\nSET TRANSACTION READ -- y\nWRITE",
            "SET default_transaction_read_only = off",
            "SET SESSION transaction_read_only TO 'no'",
            "RESET default_transaction_read_only",
            "SELECT set_config('transaction_read_only', 'off', true)",
            "RESET ALL; INSERT INTO a VALUES (1)",
            "SELECT 1; DISCARD ALL",
            "COMMIT PREPARED 'a'",
            "ALTER SYSTEM SET work_mem = '1MB'",
            "SELECT lo_unlink(1)",
        )
        plain = (
            "SELECT 1",
            "SHOW transaction_read_only",
            "SELECT current_setting('transaction_read_only')",
            "SELECT 'read write' FROM offset_of",
            "SET default_transaction_read_only = on",
            "SET TRANSACTION READ ONLY",
            "BEGIN",
            "RESET ALL",
            "DISCARD ALL;",
            "SELECT lo_get(1)",
            "COMMIT",
        )
        kept = [each for each in past if not gets_past_read_only(each)]
        refused = [each for each in plain if gets_past_read_only(each)]
        self.assertEqual((kept, refused), ([], []))

    def test_which_statements_make_an_empty_temporary_table(self) -> None:
        for statement, expected in (
            ("CREATE TEMP TABLE a (id int)", True),
            ("create local temporary table if not exists a (id int) on commit drop;", True),
            ("CREATE TABLE a (id int)", False),
            ("CREATE TEMP TABLE a AS SELECT f()", False),
            ("CREATE TEMP TABLE a (id) AS SELECT f()", False),
            ("CREATE TEMP TABLE a (id int); INSERT INTO b VALUES (1)", False),
        ):
            self.assertEqual(is_temporary_table(statement), expected, statement)

    def test_which_database_a_statement_makes_or_drops(self) -> None:
        for statement, name in (
            ("CREATE DATABASE A_test", "a_test"),
            ('/* x */ drop database if exists "A ""b"" test" WITH (FORCE);', 'A "b" test'),
            ("ALTER DATABASE a_test SET work_mem = '1MB'", "a_test"),
            ("ALTER DATABASE a_test RENAME TO prod", None),
            ("CREATE DATABASE a_test; DROP TABLE b", None),
            ("CREATE TABLE database_test (id int)", None),
        ):
            self.assertEqual(database_made_or_dropped(statement), name, statement)


if __name__ == "__main__":
    unittest.main()
