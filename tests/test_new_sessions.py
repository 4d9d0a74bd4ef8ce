"""Each test begins in sessions that are as new, whatever the one before did in them unseen."""

from __future__ import annotations

import unittest
import warnings
from typing import Any, List

import sqlalchemy as sa

from dbtestcase import DatabaseTestCase, _compat
from dbtestcase.connections import Lasting, read_function
from tests import support
from tests.holding import driver_url
from tests.support import run_case

TABLES = (
    "CREATE SEQUENCE cached CACHE 10",
    "CREATE TABLE t (id serial PRIMARY KEY, v text)",
    "CREATE TABLE c (id int PRIMARY KEY DEFAULT nextval('cached'), v text)",
)

TENANT = "SELECT current_setting('app.tenant', true)"
PLPGSQL = "CREATE FUNCTION f(n int DEFAULT 1) RETURNS int LANGUAGE plpgsql AS $f$ %s $f$"


def plpgsql(body: str, declare: str = "") -> str:
    return PLPGSQL % ("%s BEGIN %s RETURN n; END" % (declare, body))


TRIGGER = (
    "CREATE FUNCTION trg() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN %s RETURN NEW; END $f$",
    "CREATE TRIGGER trg BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION trg()",
)


def trigger(body: str) -> List[str]:
    return [TRIGGER[0] % body, TRIGGER[1]]


CALL = "SELECT sum(f(x)) FROM (VALUES (7)) AS v (x)"  # no plain call: nothing tells of it
INSERT = "INSERT INTO t (v) VALUES ('x')"


class Suites:
    """Keeps the suite from being collected."""

    class Suite(DatabaseTestCase):
        """An inner suite with tables, functions, and what its tests do one after the other."""

        metadata = sa.MetaData()
        work: Any = ()
        look = ""
        seen: List[Any]

        def run_sql(self, statement: str) -> Any:
            result = self.session.execute(sa.text(statement.replace(":", "\\:")))
            return [tuple(row) for row in result] if result.returns_rows else []

        def note(self) -> None:
            try:
                self.seen.append(self.run_sql(self.look))
            except sa.exc.DBAPIError as error:
                self.seen.append(str(error.orig).splitlines()[0])
            self.session.rollback()

        def test_1(self) -> None:
            self.note()
            for statement in self.work:
                self.run_sql(statement)
            self.session.commit()
            self.note()

        def test_2(self) -> None:
            self.note()

        test_3 = test_1


class NewSessions(unittest.TestCase):
    """What a test sees in its session is what it would see in a new one."""

    driver = "psycopg2"
    reset = "recreate"
    database = "new_sessions_test"

    @classmethod
    def setUpClass(cls) -> None:
        support.require(cls.driver)
        plain = support.postgresql_url(cls.database)
        cls.url = _compat.url_text(_compat.url_with(plain, drivername="postgresql+%s" % cls.driver))
        try:
            sa.create_engine(cls.url)
        except sa.exc.NoSuchModuleError:
            raise unittest.SkipTest("no %s here" % cls.driver) from None

    def setUp(self) -> None:
        self.engine = sa.create_engine(self.url)
        self.addCleanup(self.engine.dispose)

    def suite(self, base: type = Suites.Suite, ddl: Any = (), **attributes: Any) -> Any:
        def create_tables(case: Any) -> None:  # another one for each suite, so that it is built
            for statement in TABLES + tuple(ddl):
                case.run_sql(statement)
            case.session.commit()

        members = dict(engine=self.engine, reset=self.reset, seen=[], **attributes)
        return type("Inner", (base,), dict(members, create_tables=create_tables))

    def assert_passes(self, case: Any) -> None:
        result = run_case(case)
        self.assertEqual([text for _, text in result.errors + result.failures], [])
        self.assertGreater(result.testsRun, 0)

    def assert_as_new(self, ddl: Any, work: Any, look: str, shows: bool = True) -> None:
        """Run two tests that leave something, and one between them, and compare what they see.

        :param shows: whether what they leave is seen by themselves, as a proof of the question.
        """
        case = self.suite(ddl=ddl, work=work, look=look)
        self.assert_passes(case)
        first, left, second, third, left_again = case.seen
        if shows:
            self.assertNotEqual(first, left)
            self.assertNotEqual(first, left_again)
        self.assertEqual([second, third], [first, first])

    # --- sequences -------------------------------------------------------------------------------

    def test_lastval_is_of_no_test_before(self) -> None:
        self.assert_as_new((), [INSERT], "SELECT lastval()")

    def test_currval_is_of_no_test_before(self) -> None:
        self.assert_as_new((), [INSERT], "SELECT currval('t_id_seq')")

    def test_currval_after_a_sequence_was_set(self) -> None:
        self.assert_as_new((), ["SELECT setval('cached', 70)"], "SELECT currval('cached')")

    def test_values_that_a_session_has_in_advance_are_given_out_once(self) -> None:
        self.assert_as_new(
            (), ["INSERT INTO c (v) VALUES ('x')"], "SELECT nextval('cached')", shows=True
        )

    def test_two_connections_that_have_values_in_advance(self) -> None:
        class Case(Suites.Suite):
            def both(self, rounds: int) -> None:
                engine = self.session.get_bind()
                with engine.connect() as a, engine.connect() as b:
                    for _ in range(rounds):
                        for connection in (a, b):
                            transaction = connection.begin()
                            connection.execute(sa.text("INSERT INTO c (v) VALUES ('x')"))
                            transaction.commit()
                    rows = a.execute(sa.text("SELECT id FROM c ORDER BY id")).fetchall()
                self.seen.append([row[0] for row in rows])

            def test_1(self) -> None:
                self.both(3)

            def test_2(self) -> None:
                self.run_sql("SELECT setval('cached', 11)")
                self.session.commit()
                self.both(1)

            test_3 = test_1

        case = self.suite(Case)
        self.assert_passes(case)
        self.assertEqual(case.seen[0], case.seen[2])
        self.assertEqual(case.seen[0][0], 1)

    def test_a_test_that_runs_twice(self) -> None:
        case = self.suite(work=["INSERT INTO c (v) VALUES ('x')"], look="SELECT nextval('cached')")
        instance = case("test_1")
        suite = unittest.TestSuite([instance, case("test_1")])
        result = unittest.TestResult()
        suite.run(result)
        self.assertEqual(result.errors + result.failures, [])
        self.assertEqual(case.seen[0], case.seen[2])

    # --- settings --------------------------------------------------------------------------------

    def test_a_setting_made_by_a_function(self) -> None:
        body = "PERFORM set_config('app.tenant', n::text, false);"
        self.assert_as_new([plpgsql(body)], [CALL], TENANT)

    def test_a_setting_made_by_set_in_a_function(self) -> None:
        self.assert_as_new([plpgsql("SET app.tenant = '5';")], [CALL], TENANT)

    def test_a_setting_made_by_a_trigger(self) -> None:
        self.assert_as_new(
            trigger("PERFORM pg_catalog.set_config('app.tenant', NEW.v, false);"), [INSERT], TENANT
        )

    def test_a_setting_of_the_servers_own(self) -> None:
        self.assert_as_new([plpgsql("SET work_mem = '7MB';")], [CALL], "SHOW work_mem")

    def test_a_search_path_by_the_word_schema(self) -> None:
        self.assert_as_new([plpgsql("SET SCHEMA 'pg_catalog';")], [CALL], "SHOW search_path")

    def test_a_bound_on_waits_that_a_function_takes_away(self) -> None:
        self.assert_as_new([plpgsql("SET lock_timeout = 0;")], [CALL], "SHOW lock_timeout")

    def test_a_role(self) -> None:
        support.ensure_role("somebody")
        self.assert_as_new([plpgsql("SET ROLE somebody;")], [CALL], "SELECT current_user::text")

    def test_a_setting_whose_name_is_put_together(self) -> None:
        for body in (
            "PERFORM set_config('app.' || 'tenant', 'x', false);",
            "EXECUTE format('SET %I.%I = 1', 'app', 'tenant');",
            "EXECUTE 'SET ' || 'app.tenant = 1';",
        ):
            with self.subTest(body=body):
                self.assert_as_new([plpgsql(body)], [CALL], TENANT)

    def test_whatever_a_function_is_given_to_run(self) -> None:
        function = (
            "CREATE FUNCTION run(what text) RETURNS int LANGUAGE plpgsql AS"
            " $f$ BEGIN EXECUTE what; RETURN 1; END $f$"
        )
        work = "SELECT run('SE' || 'T app.tenant = 1') FROM generate_series(1, 1)"
        self.assert_as_new([function], [work], TENANT)

    def test_a_setting_made_in_plain_sql(self) -> None:
        function = (
            "CREATE FUNCTION f(n int) RETURNS int LANGUAGE sql AS"
            " $f$ SELECT set_config('app.tenant', n::text, false)::int $f$"
        )
        self.assert_as_new([function], [CALL], TENANT)

    def test_a_setting_made_in_a_body_that_is_kept_parsed(self) -> None:
        if int(support.administer("SHOW server_version_num")[0][0]) < 140000:
            self.skipTest("PostgreSQL has them from version 14 on")
        function = (
            "CREATE FUNCTION f(n int) RETURNS int LANGUAGE sql BEGIN ATOMIC"
            " SELECT set_config('app.tenant', n::text, false)::int; END"
        )
        self.assert_as_new([function], [CALL], TENANT)

    def test_a_setting_made_by_a_view_or_a_default(self) -> None:
        view = "CREATE VIEW shows AS SELECT set_config('app.tenant', 'x', false) AS a"
        self.assert_as_new([view], ["SELECT a FROM shows"], TENANT)
        default = "ALTER TABLE t ALTER v SET DEFAULT set_config('app.tenant', 'y', false)"
        self.assert_as_new([default], ["INSERT INTO t DEFAULT VALUES"], TENANT)

    # --- what else functions leave ---------------------------------------------------------------

    def test_a_temporary_table(self) -> None:
        body = "CREATE TEMP TABLE IF NOT EXISTS work (a int);"
        self.assert_as_new([plpgsql(body)], [CALL], "SELECT to_regclass('work') IS NULL")

    def test_listening(self) -> None:
        self.assert_as_new(
            [plpgsql("LISTEN news;")],
            [CALL],
            "SELECT * FROM pg_listening_channels()",
            shows=self.reset == "recreate",  # it begins when the transaction is committed
        )

    def test_a_prepared_statement(self) -> None:
        body = "EXECUTE 'PREPARE one AS SELECT 1';"
        look = "SELECT count(*) FROM pg_prepared_statements WHERE name = 'one'"
        self.assert_as_new([plpgsql(body)], [CALL], look)

    def test_a_cursor_with_hold(self) -> None:
        body = "EXECUTE 'DECLARE held CURSOR WITH HOLD FOR SELECT 1';"
        self.assert_as_new(
            [plpgsql(body)], [CALL], "SELECT name FROM pg_cursors WHERE name = 'held'"
        )

    def test_an_advisory_lock_that_a_trigger_takes(self) -> None:
        class Case(Suites.Suite):
            def test_1(self) -> None:
                others = _driver_connection(self)
                self.addCleanup(others.close)
                cursor = others.cursor()
                cursor.execute("SELECT pg_try_advisory_lock(4711)")
                self.assertEqual(cursor.fetchone(), (True,))
                cursor.execute("SELECT pg_advisory_unlock(4711)")
                self.run_sql(INSERT)
                self.session.commit()

            test_2 = test_3 = test_1

        ddl = trigger("PERFORM pg_advisory_lock(4711);")
        self.assert_passes(self.suite(Case, ddl=ddl, url=driver_url(self.url)))

    # --- what stays ------------------------------------------------------------------------------

    def test_a_session_in_which_functions_left_nothing_stays(self) -> None:
        case = self.suite(
            ddl=[plpgsql("SET work_mem = '9MB'; SET work_mem TO DEFAULT; SET app.other = 1;")],
            work=[INSERT],
            look="SELECT pg_backend_pid()",
        )
        self.assert_passes(case)
        self.assertEqual(len(set(map(str, case.seen))), 1)

    def test_what_the_application_sets_when_it_connects_survives(self) -> None:
        support.ensure_role("somebody")

        @sa.event.listens_for(self.engine, "connect")
        def connected(dbapi: Any, record: Any) -> None:
            cursor = dbapi.cursor()
            cursor.execute("SET search_path = public, pg_catalog")
            cursor.execute("SET app.tenant = 'first'")
            cursor.execute("CREATE TEMP TABLE mine AS SELECT 1 AS a")
            cursor.execute("PREPARE early AS SELECT 3")
            cursor.execute("LISTEN early")
            cursor.close()
            dbapi.commit()

        for ddl, work in (
            ((), [INSERT]),
            ([plpgsql("SET app.tenant = 'second';")], [CALL]),
            ([plpgsql("CREATE TEMP TABLE IF NOT EXISTS work (a int); LISTEN late;")], [CALL]),
        ):
            with self.subTest(ddl=ddl):
                self.assert_as_new(
                    ddl,
                    work,
                    "SELECT current_setting('search_path'), current_setting('app.tenant'), mine.a,"
                    " to_regclass('work') IS NULL, c, s.name FROM mine, pg_listening_channels() c,"
                    " pg_prepared_statements s WHERE s.from_sql AND s.name NOT LIKE 'dbtest%'",
                    shows=bool(ddl),
                )

    def test_what_a_driver_prepares_itself_goes_on_working(self) -> None:
        class Case(Suites.Suite):
            def test_1(self) -> None:
                for number in range(12):
                    self.session.execute(sa.text("SELECT v FROM t WHERE id = :n"), {"n": number})
                self.session.execute(sa.text("INSERT INTO t (v) VALUES (:v)"), {"v": "x"})
                self.session.commit()
                self.seen.append(self.run_sql("SELECT pg_backend_pid()"))

            test_2 = test_3 = test_4 = test_1

        case = self.suite(Case, ddl=[plpgsql("SET app.tenant = '5';")])
        self.assert_passes(case)
        self.assertEqual(len(set(map(str, case.seen))), 1)


class Recreate(NewSessions):
    """What happens to pooled connections alone."""

    def test_a_connection_that_a_class_keeps(self) -> None:
        class Case(Suites.Suite):
            kept: Any

            @classmethod
            def setUpClass(cls) -> None:
                super().setUpClass()
                cls.kept = cls.engine.connect()  # type: ignore[union-attr]

            @classmethod
            def tearDownClass(cls) -> None:
                cls.kept.close()
                super().tearDownClass()

            def test_1(self) -> None:
                self.seen.append(self.kept.execute(sa.text("SELECT nextval('cached')")).scalar())

            test_2 = test_3 = test_1

        case = self.suite(Case)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # it is rolled back and named
            self.assert_passes(case)
        self.assertEqual(case.seen, [1, 1, 1])

    def test_a_random_sequence_that_a_test_chose(self) -> None:
        class Case(Suites.Suite):
            def test_1(self) -> None:
                self.seen.append(self.run_sql("SELECT pg_backend_pid()"))
                self.run_sql("SELECT setseed(0.5), 1")

            test_2 = test_3 = test_1

        case = self.suite(Case)
        self.assert_passes(case)
        self.assertEqual(len(set(map(str, case.seen))), 3)

    def test_another_engine_that_was_open_before_there_were_functions(self) -> None:
        other = sa.create_engine(self.url)
        self.addCleanup(other.dispose)

        class Case(Suites.Suite):
            def test_1(self) -> None:
                with other.connect() as connection:
                    self.seen.append(connection.execute(sa.text(TENANT)).scalar())
                    connection.execute(sa.text(INSERT))
                    connection.execute(sa.text("COMMIT"))
                    self.seen.append(connection.execute(sa.text(TENANT)).scalar())

            test_2 = test_3 = test_1

        before = self.suite(Case)
        self.assert_passes(before)
        after = self.suite(Case, ddl=trigger("PERFORM set_config('app.tenant', NEW.v, false);"))
        self.assert_passes(after)
        self.assertEqual((before.seen, after.seen), ([None] * 6, [None, "x"] * 3))


class RecreatePsycopg(Recreate):
    driver = "psycopg"


class Rollback(NewSessions):
    """The same promises for the one connection of an outer transaction."""

    reset = "rollback"

    def test_what_statements_leave_that_no_rollback_takes_back(self) -> None:
        look = "SELECT name FROM pg_prepared_statements WHERE name = 'mine'"
        self.assert_as_new((), ["PREPARE mine AS SELECT 1"], look)

    def test_what_was_set_before_a_real_commit(self) -> None:
        class Case(Suites.Suite):
            def test_1(self) -> None:
                self.note()
                self.run_sql("SET app.tenant = '5'; COMMIT; BEGIN; SAVEPOINT dbtestcase")

            test_2 = test_3 = test_1

        case = self.suite(Case, look=TENANT)
        run_case(case)
        self.assertEqual(case.seen, [[(None,)]] * 3)


class RollbackPsycopg(Rollback):
    driver = "psycopg"


class ReadFunctions(unittest.TestCase):
    """What the text of a function tells of what it leaves."""

    def left(self, source: str, *arguments: str) -> Any:
        found = read_function(source, arguments)
        return sorted(found.settings), sorted(found.kinds)

    def test_names_of_settings(self) -> None:
        for source, names in (
            ("set_config('app.a', (x)::text, false)", ["app.a"]),
            ("set_config( 'App.A' , f(g(x)), is_local)", ["app.a"]),
            ("set_config('app.a', x, true)", []),
            ("set_config('app.a', f(g(x), 1), true)", []),
            ("SET app.a TO 1; set session b = 2; RESET c", ["app.a", "b", "c"]),
            ("SET LOCAL app.a = 1", []),
            ("SET ROLE somebody", ["role"]),
            ("SET TIME ZONE 'UTC'", ["timezone"]),
            ("UPDATE a SET total = 0", ["total"]),
            ("EXECUTE 'SET app.a = ' || quote_literal(x)", ["app.a"]),
        ):
            with self.subTest(source=source):
                self.assertEqual(self.left(source), (names, []))

    def test_settings_without_a_name(self) -> None:
        for source in (
            "set_config(x, 'a', false)",
            "set_config('app.' || x, 'a', false)",
            "format('SET %I = 1', x)",
            "'SET ' || x",
            "'SET SESSION ' || x",
            "'SET app.' || x",
        ):
            with self.subTest(source=source):
                self.assertIn(Lasting.ANY_SETTING, self.left(source)[1])
        self.assertEqual(self.left("set_config(x, 'a', true)"), ([], []))

    def test_other_things(self) -> None:
        self.assertEqual(self.left("CREATE TEMP TABLE a (b int)")[1], [Lasting.TEMPORARY])
        self.assertEqual(self.left("LISTEN a")[1], [Lasting.LISTENING])
        self.assertEqual(self.left("PREPARE a AS SELECT 1")[1], [Lasting.PREPARED])
        self.assertEqual(self.left("DECLARE a CURSOR WITH HOLD FOR b")[1], [Lasting.HELD])
        self.assertEqual(self.left("pg_try_advisory_lock_shared(1)")[1], [Lasting.LOCKED])
        self.assertEqual(self.left("pg_advisory_xact_lock(1)")[1], [])
        self.assertEqual(self.left("INSERT INTO a SELECT 1"), ([], []))

    def test_what_a_function_is_given_to_run_may_be_anything(self) -> None:
        everything = self.left("EXECUTE $1")[1]
        self.assertEqual(len(everything), 6)
        self.assertEqual(self.left("EXECUTE what", "what")[1], everything)
        self.assertEqual(self.left("EXECUTE format(what, 1)", "what")[1], everything)
        self.assertEqual(self.left("EXECUTE other", "what")[1], [])


def _driver_connection(case: Any) -> Any:
    connection = __import__(case.engine.driver.split("_")[0]).connect(case.url)
    connection.autocommit = True
    return connection


del NewSessions  # the cases of each driver and strategy inherit from it
