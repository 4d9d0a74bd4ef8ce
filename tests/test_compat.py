"""What differs between versions is the same behind _compat: each test holds on every version.

The matrix runs them on both sides of each difference. Where a function looks at what it is given,
stand-ins show it the side that is not installed here as well.
"""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import os
import pickle
import sqlite3
import sys
import tempfile
import traceback
import types
import unittest
import warnings

import sqlalchemy as sa
from sqlalchemy.orm import scoped_session, sessionmaker

from dbtestcase import BlockedDatabaseError, _compat
from tests import models, support


def memory(**options):
    return sa.create_engine("sqlite://", poolclass=sa.pool.StaticPool, **options)


class URLTest(unittest.TestCase):
    url = "postgresql://app:s3cret@db/shop_test?sslpassword=hush"

    def test_the_text_has_the_password_unless_it_is_hidden(self):
        self.assertEqual(_compat.url_text(self.url), self.url)
        hidden = "postgresql://app:***@db/shop_test?sslpassword=***"
        self.assertEqual(_compat.url_text(self.url, hide_password=True), hidden)

    def test_a_url_that_leads_elsewhere_has_another_key(self):
        url = sa.engine.url.make_url(self.url)
        before = _compat.url_key(url)
        self.assertEqual(_compat.url_key(sa.engine.url.make_url(self.url)), before)
        self.assertNotEqual(_compat.url_key(_compat.url_with(url, database="other_test")), before)
        if not isinstance(url, tuple):  # up to SQLAlchemy 1.3 it can be changed in place
            url.database = "other_test"
            self.assertNotEqual(_compat.url_key(url), before)

    def test_a_part_is_replaced_in_a_copy(self):
        url = sa.engine.url.make_url(self.url)
        changed = _compat.url_with(url, database="other_test", host=None)
        self.assertEqual((changed.database, changed.host), ("other_test", None))
        self.assertEqual((changed.password, url.database, url.host), ("s3cret", "shop_test", "db"))

    def test_passwords_are_taken_out_of_a_message(self):
        said = _compat.without_password("s3cret does not open it, nor does hush", self.url)
        self.assertEqual(said, "*** does not open it, nor does ***")


class ConnectionTest(unittest.TestCase):
    def setUp(self):
        self.engine = memory()
        self.addCleanup(self.engine.dispose)

    def test_the_drivers_connection_is_found_behind_a_pooled_one(self):
        fairy = self.engine.raw_connection()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            self.assertIsInstance(_compat.dbapi_connection(fairy), sqlite3.Connection)
        fairy.close()

    def test_the_pooled_one_is_found_behind_a_connection(self):
        with contextlib.closing(self.engine.connect()) as connection:
            fairy = _compat.fairy_of(connection)
            self.assertIs(fairy, connection.connection)
        self.assertIsNone(_compat.fairy_of(connection))

    def test_a_connection_is_taken_from_a_pooled_one_without_a_word_to_the_server(self):
        fairy = self.engine.raw_connection()
        dbapi = _compat.dbapi_connection(fairy)
        self.assertIs(_compat.part_with_connection(fairy), dbapi)
        self.assertIsNone(_compat.dbapi_connection(fairy))
        dbapi.execute("SELECT 1")
        dbapi.close()

    def test_the_record_of_a_pool_takes_a_connection_that_it_did_not_make(self):
        dbapi = sqlite3.connect(":memory:")
        self.addCleanup(dbapi.close)
        record = _compat.pool_record(self.engine.pool, dbapi, {"mark": 1})
        self.assertIs(_compat.recorded_connection(record), dbapi)
        self.assertEqual(record.info, {"mark": 1})

    def test_a_new_connection_is_in_no_pool(self):
        engine = sa.create_engine("sqlite://", poolclass=sa.pool.QueuePool)
        fairy = _compat.new_connection(engine)
        self.assertEqual(engine.pool.checkedout(), 0)
        fairy.close()

    def test_a_pool_that_does_not_wait_has_no_timeout(self):
        waits = sa.create_engine("sqlite://", poolclass=sa.pool.QueuePool, pool_timeout=7).pool
        self.assertEqual(_compat.set_pool_timeout(waits, 2), 7)
        self.assertEqual(_compat.set_pool_timeout(waits, None), 2)
        self.assertIsNone(_compat.set_pool_timeout(self.engine.pool, 2))

    def test_every_connection_is_heard_of_and_branches_are_not(self):
        heard, listening = [], [True]

        def hear(connection):  # for the rest of the process, so that it must keep none alive
            if listening:
                heard.append(connection)

        _compat.listen_to_connections(hear)
        self.addCleanup(heard.clear)
        self.addCleanup(listening.clear)
        with contextlib.closing(self.engine.connect()) as connection:
            with contextlib.closing(connection.execution_options(mark=1)) as other:
                self.assertTrue(any(each is connection for each in heard))
                self.assertTrue(any(each is other for each in heard))
        if hasattr(sa.engine.Connection, "_branch"):
            with contextlib.closing(self.engine.connect()) as connection:
                del heard[:]
                connection._branch()
                self.assertEqual(heard, [])

    def test_every_statement_is_heard_of_before_it_runs(self):
        heard, listening = [], [True]

        def hear(context, statement):
            if listening:
                heard.append((context.root_connection.engine, statement))

        _compat.listen_to_statements(hear)
        self.addCleanup(listening.clear)
        with contextlib.closing(self.engine.connect()) as connection:
            connection.execute(sa.text("CREATE TABLE heard (id int)"))
            connection.execute(sa.text("INSERT INTO heard VALUES (:id)"), [{"id": 1}, {"id": 2}])
            options = connection.execution_options(no_parameters=True)
            options.execute(sa.text("SELECT 1"))
        self.assertEqual({engine for engine, _ in heard}, {self.engine})
        self.assertEqual([text.split()[0] for _, text in heard], ["CREATE", "INSERT", "SELECT"])

    def test_the_time_to_connect_is_bounded_unless_the_user_has_set_it(self):
        former = os.environ.pop("PGCONNECT_TIMEOUT", None)
        try:
            with _compat.connect_timeout(3):
                self.assertEqual(os.environ["PGCONNECT_TIMEOUT"], "3")
            self.assertNotIn("PGCONNECT_TIMEOUT", os.environ)
            os.environ["PGCONNECT_TIMEOUT"] = "20"
            with _compat.connect_timeout(3):
                self.assertEqual(os.environ["PGCONNECT_TIMEOUT"], "20")
        finally:
            os.environ.pop("PGCONNECT_TIMEOUT", None)
            if former is not None:
                os.environ["PGCONNECT_TIMEOUT"] = former


class SessionTest(unittest.TestCase):
    def setUp(self):
        self.engine = memory()
        self.addCleanup(self.engine.dispose)
        self.sessions = scoped_session(sessionmaker(bind=self.engine))
        self.addCleanup(self.sessions.remove)

    def test_the_connection_of_a_session_is_the_one_of_its_transaction(self):
        session = self.sessions()
        connection = _compat.session_connection(session, self.engine)
        self.assertEqual(_compat.connections_of_session(session), [connection])
        session.close()
        self.assertEqual(_compat.connections_of_session(session), [])

    def test_looking_begins_no_transaction(self):
        session = self.sessions()
        began = []
        sa.event.listen(session, "after_begin", lambda *arguments: began.append(arguments))
        _compat.connections_of_session(session)
        self.assertEqual(began, [])

    def test_connections_are_found_within_a_savepoint(self):
        session = self.sessions()
        connection = _compat.session_connection(session, self.engine)
        with session.begin_nested():
            self.assertEqual(_compat.connections_of_session(session)[:1], [connection])

    def test_every_session_of_the_process_is_known(self):
        session = self.sessions()
        self.assertTrue(any(each is session for each in _compat.live_sessions()))

    def test_sessions_are_registered_by_thread_or_by_a_scope_of_the_suite(self):
        scoped = scoped_session(sessionmaker(bind=self.engine), scopefunc=lambda: "request")
        for sessions, scope in ((self.sessions, None), (scoped, "request")):
            with self.subTest(scope):
                self.assertEqual(_compat.registered_sessions(sessions), {})
                session = sessions()
                self.assertEqual(_compat.registered_sessions(sessions), {scope: session})
                _compat.unregister_session(sessions, scope)
                self.assertEqual(_compat.registered_sessions(sessions), {})
                session.close()

    def test_a_statement_is_sent_where_its_table_is(self):
        table = sa.Table("author", sa.MetaData(), sa.Column("id", sa.Integer))
        self.assertIs(_compat.bind_of_clause(self.sessions(), table), self.engine)
        statement = _compat.select(table.c.id)
        self.assertIs(_compat.bind_of_clause(self.sessions(), statement), self.engine)

    def test_a_select_takes_columns_one_by_one(self):
        connection = _compat.session_connection(self.sessions(), self.engine)
        row = connection.execute(_compat.select(sa.literal(1), sa.literal(2))).fetchone()
        self.assertEqual(tuple(row), (1, 2))

    def test_a_long_insert_is_told_from_its_first_part(self):
        if not hasattr(sa.engine.interfaces, "ExecuteStyle"):
            plain = types.SimpleNamespace(executemany=True)
            self.assertFalse(_compat.is_further_batch(plain))
            return
        style = sa.engine.interfaces.ExecuteStyle
        for each in style:
            further = _compat.is_further_batch(types.SimpleNamespace(execute_style=each))
            self.assertEqual(further, each is style.INSERTMANYVALUES)


class SQLiteTest(unittest.TestCase):
    def test_transactions_are_taken_over_and_given_back(self):
        dbapi = sqlite3.connect(":memory:")
        self.addCleanup(dbapi.close)
        before, put_back = _compat.take_sqlite_transactions(dbapi)
        dbapi.execute("CREATE TABLE t (id int)")
        dbapi.execute("INSERT INTO t VALUES (1)")
        self.assertFalse(dbapi.in_transaction)
        self.assertEqual(before, {"isolation_level": ""})
        put_back()
        dbapi.execute("INSERT INTO t VALUES (1)")
        self.assertTrue(dbapi.in_transaction)

    @unittest.skipIf(sys.version_info < (3, 12), "sqlite3 has no autocommit before Python 3.12")
    def test_transactions_are_taken_over_where_sqlite3_always_has_one_open(self):
        dbapi = sqlite3.connect(":memory:", autocommit=False)
        self.addCleanup(dbapi.close)
        before, put_back = _compat.take_sqlite_transactions(dbapi)
        self.assertEqual((before, dbapi.in_transaction), ({"autocommit": False}, False))
        put_back()
        self.assertTrue(dbapi.in_transaction)

    def test_a_database_in_memory_is_its_connection(self):
        static, single = memory(), sa.create_engine("sqlite://")
        queued = sa.create_engine("sqlite:///x_test.db", poolclass=sa.pool.QueuePool)
        pools = static.pool, single.pool, queued.pool
        self.assertEqual([_compat.has_one_connection(each) for each in pools], [True, True, False])
        self.assertEqual([_compat.is_bound_to_thread(each) for each in pools], [False, True, False])
        self.assertEqual([_compat.is_in_memory(each) for each in pools], [True, True, False])

    def test_a_transaction_is_seen(self):
        dbapi = sqlite3.connect(":memory:")
        self.assertEqual(_compat.transaction_status(dbapi), _compat.IDLE)
        dbapi.execute("CREATE TABLE t (id int)")
        dbapi.execute("INSERT INTO t VALUES (1)")
        self.assertEqual(_compat.transaction_status(dbapi), _compat.IN_TRANSACTION)
        dbapi.close()

    def test_a_script_is_split_at_the_end_of_its_statements(self):
        script = "CREATE TABLE t (a text DEFAULT ';'); INSERT INTO t VALUES (1)"
        found = [each.strip() for each in _compat.split_sqlite_script(script)]
        self.assertEqual(
            found, ["CREATE TABLE t (a text DEFAULT ';');", "INSERT INTO t VALUES (1)"]
        )

    def test_cursors_of_a_class_of_ours(self):
        dbapi = sqlite3.connect(":memory:")
        self.addCleanup(dbapi.close)
        change = self.changed
        cursor = _compat.open_cursor_of_class(dbapi, change, (), {})
        self.assertEqual((cursor.mark, type(cursor).__bases__), (1, (sqlite3.Cursor,)))

    @staticmethod
    def changed(kind):
        return type("Changed", (kind,), {"mark": 1})


class DriverContract:
    """What both drivers of PostgreSQL do alike."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        support.require(cls.driver)
        cls.url = support.postgresql_url("compat_%s_test" % cls.driver)

    def setUp(self):
        url = _compat.url_with(self.url, drivername="postgresql+" + self.driver)
        try:
            self.engine = sa.create_engine(url)
        except sa.exc.NoSuchModuleError:
            self.skipTest("SQLAlchemy knows no %s here" % self.driver)
        self.fairy = self.engine.raw_connection()
        self.dbapi = _compat.dbapi_connection(self.fairy)
        self.addCleanup(self.engine.dispose)
        self.addCleanup(self.fairy.close)

    def run_sql(self, sql):
        return _compat.run_script(_compat.plain_cursor(self.dbapi), sql)

    def test_transactions_are_seen_in_every_state(self):
        self.assertEqual(_compat.transaction_status(self.dbapi), _compat.IDLE)
        self.run_sql("SELECT 1")
        self.assertEqual(_compat.transaction_status(self.dbapi), _compat.IN_TRANSACTION)
        with self.assertRaises(Exception) as caught:
            self.run_sql("SELECT 1 / 0")
        self.assertEqual(_compat.sqlstate(caught.exception), "22012")
        self.assertEqual(_compat.transaction_status(self.dbapi), _compat.IN_ERROR)
        self.dbapi.rollback()
        self.assertEqual(_compat.transaction_status(self.dbapi), _compat.IDLE)

    def test_nothing_is_known_of_a_closed_connection(self):
        self.assertIsInstance(_compat.backend_pid(self.dbapi), int)
        self.fairy.invalidate()
        self.assertIsNone(_compat.transaction_status(self.dbapi))
        self.assertIsNone(_compat.backend_pid(self.dbapi))
        self.assertIsNone(_compat.location(self.dbapi))

    def test_errors_of_sqlalchemy_have_the_state_of_theirs(self):
        with contextlib.closing(self.engine.connect()) as connection:
            with self.assertRaises(sa.exc.DBAPIError) as caught:
                connection.execute(sa.text("SELECT nothing"))
        self.assertEqual(_compat.sqlstate(caught.exception), "42703")
        self.assertIsNone(_compat.sqlstate(ValueError()))

    def test_several_statements_are_run_at_once_and_the_last_rows_returned(self):
        self.assertEqual(self.run_sql("SELECT 1; SELECT 2, '%'"), [(2, "%")])
        self.assertEqual(self.run_sql("SELECT 1; SET work_mem = 1024"), [])

    def test_nothing_is_prepared_by_itself(self):
        _compat.never_prepare(self.dbapi)
        for _ in range(8):
            self.dbapi.cursor().execute("SELECT 1")
        self.assertEqual(self.run_sql("SELECT count(*) FROM pg_prepared_statements"), [(0,)])

    def test_autocommit_is_switched_and_known(self):
        self.assertFalse(_compat.set_autocommit(self.dbapi))
        self.run_sql("SELECT 1")
        self.assertEqual(_compat.transaction_status(self.dbapi), _compat.IDLE)
        self.assertTrue(_compat.set_autocommit(self.dbapi, False))

    def test_a_cursor_of_a_class_of_ours_has_rows_as_before(self):
        cursor = _compat.open_cursor_of_class(self.dbapi, SQLiteTest.changed, (), {})
        self.assertEqual(cursor.mark, 1)
        cursor.execute("SELECT 1")
        self.assertEqual(cursor.fetchall(), [(1,)])

    def test_isolation_levels_have_the_names_of_sql(self):
        self.assertIsNone(_compat.isolation_level_name(self.dbapi))
        with contextlib.closing(self.engine.connect()) as connection:
            connection = connection.execution_options(isolation_level="SERIALIZABLE")
            dbapi = _compat.dbapi_connection(connection.connection)
            self.assertEqual(_compat.isolation_level_name(dbapi), "SERIALIZABLE")

    def test_every_connection_of_a_driver_is_found(self):
        self.assertTrue(any(each is self.dbapi for each in _compat.driver_connections()))

    def test_every_engine_and_what_it_handed_out_is_found(self):
        gc.collect()
        engines, fairies = _compat.engines_and_pooled_connections()
        self.assertTrue(any(each is self.engine for each in engines))
        self.assertTrue(any(each is self.fairy for each in fairies))

    def test_settings_that_change_are_reported_without_a_question(self):
        before = _compat.reported_settings(self.dbapi)
        self.run_sql("SET TimeZone = 'Asia/Tokyo'")
        self.assertNotEqual(_compat.reported_settings(self.dbapi), before)

    def test_a_connection_says_where_it_leads(self):
        database = "compat_%s_test" % self.driver
        self.assertEqual(_compat.location(self.dbapi)[2], database)
        parts = _compat.connection_parts(self.dbapi)
        self.assertEqual((parts["username"], parts["database"]), ("postgres", database))

    def test_what_was_prepared_is_rolled_back(self):
        if self.run_sql("SHOW max_prepared_transactions") == [("0",)]:
            self.skipTest("the server prepares no transactions")
        self.dbapi.rollback()
        self.assertFalse(_compat.roll_prepared_back(self.dbapi))
        self.dbapi.tpc_begin(self.dbapi.xid(1, "compat", "test"))
        self.dbapi.cursor().execute("SELECT 1")
        self.dbapi.tpc_prepare()
        self.assertTrue(_compat.roll_prepared_back(self.dbapi))
        self.assertEqual(self.run_sql("SELECT gid FROM pg_prepared_xacts"), [])


class Psycopg2Test(DriverContract, unittest.TestCase):
    driver = "psycopg2"


class PsycopgTest(DriverContract, unittest.TestCase):
    driver = "psycopg"


class FlaskTest(unittest.TestCase):
    def setUp(self):
        self.library = models.library(binds=True)
        self.db = self.library.db
        self.app = models.make_app(self.db, "sqlite://", {"audit": "sqlite://"})
        self.addCleanup(models.dispose, self.app, self.db)

    def test_the_extension_of_an_app_is_found(self):
        self.assertIs(_compat.flask_sqlalchemy_of(self.app), self.db)
        self.assertIsNone(_compat.flask_sqlalchemy_of(types.SimpleNamespace(extensions={})))

    def test_the_extension_is_found_in_a_state_and_by_itself(self):
        for kept in (types.SimpleNamespace(db=self.db), self.db):
            app = types.SimpleNamespace(extensions={"sqlalchemy": kept})
            self.assertIs(_compat.flask_sqlalchemy_of(app), self.db)

    def test_engines_are_found_by_bind_key(self):
        engines = _compat.live_engines(self.db, self.app)
        self.assertEqual(set(engines), {None, "audit"})
        with self.app.app_context():
            self.assertIs(engines[None], self.db.engine)

    def test_engines_are_made_anew_and_the_former_put_back(self):
        look = _compat.engine_lookup(self.db, self.app)
        former = look()
        put_back = _compat.renew_engines(self.db, self.app)
        self.assertEqual([look()[key] is former[key] for key in former], [False, False])
        put_back()
        self.assertEqual(look(), former)

    def test_tables_are_found_by_bind_key(self):
        names = [
            sorted(table.name for table in _compat.tables_of_bind(self.db, key))
            for key in (None, "audit", "nothing")
        ]
        self.assertEqual(names, [["author", "book"], ["visit"], []])

    def test_a_statement_is_sent_to_the_engine_of_its_bind_key(self):
        table = self.library.Visit.__table__
        with self.app.app_context():
            session = self.db.session()
            for clause in (table, _compat.select(table.c.id)):
                bind = _compat.bind_of_clause(session, clause)
                self.assertIs(bind, _compat.live_engines(self.db, self.app)["audit"])
            self.db.session.remove()

    def test_what_the_configuration_says_of_each_engine(self):
        settings = _compat.engine_settings(self.db, self.app)
        self.assertEqual(settings, {None: "sqlite://", "audit": "sqlite://"})
        names = [_compat.engine_setting(self.db, key) for key in (None, "audit")]
        self.assertEqual(names, ["SQLALCHEMY_DATABASE_URI", 'SQLALCHEMY_BINDS["audit"]'])
        options = {"SQLALCHEMY_ENGINE_OPTIONS": {"url": "sqlite:///x_test.db"}}
        found = _compat.engine_settings(self.db, types.SimpleNamespace(config=options))
        self.assertEqual(found, {None: "sqlite:///x_test.db"})

    def test_the_lite_extension_is_asked_for_its_own_settings(self):
        lite = type("Lite", (), {"sessionmaker": None})()
        config = {"SQLALCHEMY_ENGINES": {"default": "sqlite://", "audit": "sqlite://"}}
        settings = _compat.engine_settings(lite, types.SimpleNamespace(config=config))
        self.assertEqual(settings, {None: "sqlite://", "audit": "sqlite://"})
        self.assertEqual(_compat.engine_setting(lite, None), 'SQLALCHEMY_ENGINES["default"]')
        self.assertFalse(_compat.is_lite(self.db))

    def test_sessions_belong_to_a_context_exactly_where_one_is_needed(self):
        if _compat.scoped_by_context(self.db):
            self.assertRaises(RuntimeError, self.db.session.remove)
        else:
            self.db.session.remove()

    def test_contexts_are_seen_and_popped_as_they_were_pushed(self):
        self.assertIsNone(_compat.current_app_context())
        with self.app.app_context() as outer:
            self.assertIs(_compat.current_app_context(), outer)
            request = self.app.test_request_context()
            request.push()
            self.assertIs(_compat.current_request_context(), request)
            request.pop()
            self.app.app_context().push()
            _compat.pop_context_left_open()
            self.assertIs(_compat.current_app_context(), outer)
        self.app.test_request_context().push()
        _compat.pop_context_left_open()
        self.assertIsNone(_compat.current_request_context())
        self.assertIsNone(_compat.current_app_context())

    def test_the_url_that_is_filled_in(self):
        self.assertTrue(_compat.is_filled_in(sa.engine.url.make_url("sqlite:///:memory:")))
        self.assertFalse(_compat.is_filled_in(sa.engine.url.make_url("sqlite://")))


class PythonTest(unittest.TestCase):
    def test_what_follows_an_import_follows_also_where_somebody_asked_for_the_module(self):
        finders, called = list(sys.meta_path), []
        self.addCleanup(sys.meta_path.__setitem__, slice(None), finders)
        with tempfile.TemporaryDirectory() as folder:
            open(os.path.join(folder, "awaited_module.py"), "w").close()
            self.addCleanup(sys.path.remove, folder)
            sys.path.insert(0, folder)
            _compat.call_after_import(["awaited_module"], lambda: called.append(1))
            self.assertIsNotNone(importlib.util.find_spec("awaited_module"))
            self.assertEqual(called, [])
            importlib.import_module("awaited_module")
        self.assertEqual(called, [1])
        del sys.modules["awaited_module"]

    def test_clean_ups_of_a_class_are_run_where_unittest_knows_them(self):
        ran = []

        class Case(unittest.TestCase):
            @classmethod
            def setUpClass(cls):
                _compat.add_class_cleanup(cls, lambda: ran.append(cls))

            def test_one(self):
                pass

        support.run_case(Case)
        self.assertEqual(ran, [Case] if _compat.has_class_cleanups(Case) else [])

    def test_a_result_hears_of_a_sub_test_as_is_told(self):
        heard = []

        class Result(unittest.TestResult):
            def addSubTest(self, test, subtest, error):
                heard.append("result")

        class Case(unittest.TestCase):
            def test_one(self):
                with self.subTest("a"):
                    self.fail()
                heard.append("test")

        Case("test_one").run(Result())
        early = ["result", "test"]
        self.assertEqual(heard, early if _compat.tells_sub_tests_at_once() else early[::-1])

    def test_a_program_is_run_as_a_user(self):
        arguments = _compat.popen_as_user(os.getuid(), os.getgid())
        wanted = {"user", "group", "extra_groups"} if sys.version_info >= (3, 9) else {"preexec_fn"}
        self.assertEqual(set(arguments), wanted)

    def test_text_is_added_to_what_an_exception_says(self):
        for error in (ValueError("a"), OSError(2, "b"), KeyError("c")):
            with self.subTest(type(error).__name__):
                stream, sys.stderr = sys.stderr, types.SimpleNamespace(text="")
                sys.stderr.write = lambda text: setattr(sys.stderr, "text", sys.stderr.text + text)
                try:
                    _compat.add_text(error, "and more")
                    said = "%s %s %s" % (
                        error,
                        getattr(error, "__notes__", ""),
                        sys.stderr.text,
                    )
                finally:
                    sys.stderr = stream
                self.assertEqual(said.count("and more"), 1, said)

    def test_a_failure_without_a_word_says_the_added_text_itself(self):
        for error, said in ((AssertionError(None), "None\nmore"), (AssertionError(), "more")):
            _compat.add_text(error, "more")
            if not hasattr(error, "__notes__"):
                self.assertEqual(str(error), said)
            self.assertIn("more", "".join(traceback.format_exception(type(error), error, None)))

    def test_an_error_is_of_two_kinds(self):
        former = sa.exc.TimeoutError("the pool is dry")
        error = _compat.in_place_of(former, BlockedDatabaseError, "it is held")
        self.assertIsInstance(error, sa.exc.TimeoutError)
        self.assertIsInstance(error, BlockedDatabaseError)
        self.assertEqual((str(error), error.args), ("it is held", former.args))
        self.assertEqual(str(pickle.loads(pickle.dumps(error))), "it is held")

    def test_the_version_of_a_loaded_library_is_known(self):
        self.assertEqual(_compat.loaded_version("sqlalchemy"), sa.__version__)
        self.assertIsNone(_compat.loaded_version("no_such_library"))

    def test_a_driver_is_named_that_can_be_imported(self):
        name = _compat.postgresql_drivername()
        sa.create_engine(name + "://localhost/x_test")


if __name__ == "__main__":
    unittest.main()
