"""No test writes to a database that is not for tests, however it reaches it."""

from __future__ import annotations

import unittest
from typing import Any, Dict, List

import sqlalchemy as sa

from dbtestcase import DatabaseTestCase, UnsafeDatabaseError, _compat
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


if __name__ == "__main__":
    unittest.main()
