"""What existing suites do, each a test: they come as they are, only their base class is swapped."""

from __future__ import annotations

import os
import textwrap
import types
import unittest
import unittest.mock

import sqlalchemy as sa
import sqlalchemy.orm

from dbtestcase import DatabaseTestCase
from tests import models, support

flask = support.imported("flask")


class SuiteTest(support.Outcomes):
    """A database, an application and its models for each test, on PostgreSQL."""

    @classmethod
    def setUpClass(cls):
        cls.url = support.postgresql_url("core_suites_test")

    def setUp(self):
        self.models = models.library()
        self.db = self.models.db
        self.app = models.make_app(self.db, self.url, TESTING=True)
        self.addCleanup(models.dispose, self.app, self.db)

    def base(self, **attributes):
        return type("Base", (DatabaseTestCase,), dict({"app": self.app}, **attributes))

    def look(self, query):
        return support.administer(query, database="core_suites_test")


class NamesTest(SuiteTest):
    """1: the names are taken."""

    def test_app_is_a_test_client(self):
        app, Author = self.app, self.models.Author

        class Case(DatabaseTestCase):
            def setUp(self):
                self.app = app.test_client()
                super().setUp()

            def test_one(self):
                self.assertEqual(self.app.get("/authors").data, b"0")
                with app.app_context():
                    models_db.session.add(Author(name="a"))
                    models_db.session.commit()
                self.assertEqual(self.app.get("/authors").data, b"1")

            test_two = test_one

        models_db = self.db
        self.assertPasses(Case)

    def test_a_client_of_the_application_of_the_class_means_that_very_application(self):
        engines = []

        class Case(self.base(config=models.testing(self.url))):
            def setUp(self):
                self.app = type(self).app.test_client()
                super().setUp()

            def test_one(self):
                engines.append(self.db.engine)

            test_two = test_one

        self.assertPasses(Case)
        self.assertIs(engines[0], engines[1])

    def test_app_becomes_a_test_client_after_set_up(self):
        class Case(self.base()):
            def setUp(self):
                super().setUp()
                self.app = type(self).app.test_client()

            def test_one(self):
                self.assertEqual(self.app.get("/authors").data, b"0")

        self.assertPasses(Case)

    def test_app_of_the_test_may_be_anything_where_the_class_has_one(self):
        class Case(self.base()):
            def setUp(self):
                self.app = "the window of an application"
                super().setUp()
                self.assertEqual(self.app, "the window of an application")

            def test_one(self):
                self.assertEqual(flask.current_app.name, "webshop")

        self.assertPasses(Case)

    def test_other_things_stand_under_our_names(self):
        names = dict(db="a path", config={"host": "localhost"}, session={"user": 1}, client=2)
        names.update(app_context=3, app_ctx=4, factory=5, engine="steam", metadata={})

        class Case(self.base()):
            def setUp(self):
                for name, value in names.items():
                    setattr(self, name, value)
                super().setUp()

            def test_one(self):
                self.assertEqual({name: getattr(self, name) for name in names}, names)
                self.assertEqual(flask.current_app.name, "webshop")

        self.assertPasses(Case)

    def test_they_stand_there_in_a_suite_with_an_app_a_test(self):
        app, names = self.app, {
            "db": "a path",
            "config": {"host": 1},
            "session": {},
            "engine": "steam",
        }

        class Case(DatabaseTestCase):
            def setUp(self):
                self.app = app
                for name, value in names.items():
                    setattr(self, name, value)
                super().setUp()

            def test_one(self):
                self.assertEqual({name: getattr(self, name) for name in names}, names)

        self.assertPasses(Case)

    def test_they_stand_there_on_the_class(self):
        class Case(self.base(db="a path", session={"user": 1}, engine="steam", metadata=7)):
            def test_one(self):
                self.assertEqual(
                    (self.db, self.session, self.engine), ("a path", {"user": 1}, "steam")
                )
                self.assertEqual(flask.current_app.name, "webshop")

        self.assertPasses(Case)

    def test_app_is_a_property(self):
        app = self.app

        class Case(DatabaseTestCase):
            @property
            def app(self):
                return app

            def test_one(self):
                self.assertIs(flask.current_app._get_current_object(), app)

        self.assertPasses(Case)


class EventsTest(SuiteTest):
    """2 and 3: what models make beside their tables."""

    FUNCTION = "CREATE FUNCTION shout(text) RETURNS text LANGUAGE sql AS 'SELECT upper($1)'"

    def test_functions_of_ddl_events_are_made_in_every_build(self):
        table = self.models.Author.__table__
        sa.event.listen(table, "after_create", sa.DDL(self.FUNCTION))
        sa.event.listen(table, "after_drop", sa.DDL("DROP FUNCTION shout(text)"))

        class Case(self.base()):
            def test_a_changes_the_schema(self):
                self.test_b()
                self.db.session.execute(sa.text("DROP TABLE book"))
                self.db.session.commit()

            def test_b(self):
                self.assertEqual(
                    self.db.session.execute(sa.text("SELECT shout('a')")).scalar(), "A"
                )

        self.assertPasses(Case)
        self.assertPasses(Case)

    def test_ddl_events_that_are_attached_when_mappers_are_configured(self):
        table, function = self.models.Author.__table__, sa.DDL(self.FUNCTION)

        def attach():
            sa.event.listen(table, "after_create", function)

        sa.event.listen(
            sa.orm.mapper if sa.__version__ < "2" else sa.orm.Mapper,
            "after_configured",
            attach,
            once=True,
        )

        class Case(self.base()):
            def test_one(self):
                self.assertEqual(
                    self.db.session.execute(sa.text("SELECT shout('a')")).scalar(), "A"
                )

            test_two = test_one

        self.assertPasses(Case)


class PoolsTest(SuiteTest):
    def test_4_an_app_a_test_for_more_tests_than_the_server_takes_connections(self):
        url, library = self.url, self.models
        ((limit,),) = support.administer("SHOW max_connections")
        number = min(int(limit), 100) + 10

        class Case(DatabaseTestCase):
            def setUp(self):
                self.app = models.make_app(library.db, url, TESTING=True)
                super().setUp()

            def test_one(self):
                self.assertEqual(self.db.session.query(library.Author).count(), 0)

        for each in range(number):
            setattr(Case, "test_%03d" % each, Case.test_one)
        self.assertPasses(Case)

    def test_5_tear_down_without_super_leaves_transactions_and_contexts(self):
        Author = self.models.Author

        class Case(self.base()):
            def test_one(self):
                self.assertEqual(self.db.session.query(Author).count(), 0)
                self.db.session.add(Author(name="a"))
                self.db.session.flush()
                self.app.app_context().push()
                self.db.session.add(Author(name="b"))
                self.db.session.flush()

            test_two = test_three = test_one

            def tearDown(self):
                pass

        self.assertPasses(Case)
        self.assertFalse(flask.has_app_context())
        ((open_transactions,),) = self.look(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND state LIKE 'idle in transaction%'"
        )
        self.assertEqual(open_transactions, 0)

    def test_5_set_ups_that_fail_leave_nothing(self):
        Author = self.models.Author

        class Case(self.base()):
            def setUp(self):
                super().setUp()
                self.assertEqual(self.db.session.query(Author).count(), 0)
                self.db.session.add(Author(name="a"))
                self.db.session.commit()
                self.db.session.query(Author).all()
                raise ValueError("in setUp")

            def test_one(self):
                pass

            test_two = test_three = test_one

        result = support.run_case(Case)
        self.assertEqual(len(result.errors), 3)
        for _, text in result.errors:
            self.assertIn("ValueError: in setUp", text)
        self.assertFalse(flask.has_app_context())


class SchemaTest(SuiteTest):
    def test_6_materialized_views_of_the_code_under_test_are_gone(self):
        class Case(self.base()):
            def test_one(self):
                for statement in (
                    "CREATE MATERIALIZED VIEW names AS SELECT name FROM author",
                    "CREATE VIEW shouted AS SELECT upper(name) FROM names",
                ):
                    self.db.session.execute(sa.text(statement))
                self.db.session.commit()

            test_two = test_one

        self.assertPasses(Case)

    def test_7_what_reflection_stumbles_over_is_no_matter(self):
        class Case(self.base()):
            def test_one(self):
                for statement in (
                    "CREATE TABLE part (id int) PARTITION BY RANGE (id)",
                    "CREATE TABLE part1 PARTITION OF part FOR VALUES FROM (0) TO (10)",
                ):
                    self.db.session.execute(sa.text(statement))
                self.db.session.commit()

            test_two = test_one

        self.assertPasses(Case)

    def test_14_the_metadata_grows_from_module_to_module(self):
        class First(self.base()):
            def test_one(self):
                pass

        class Second(self.base()):
            def test_one(self):
                self.assertIn("late", sa.inspect(self.db.engine).get_table_names())

        self.assertPasses(First)
        sa.Table("late", self.db.metadata, sa.Column("id", sa.Integer, primary_key=True))
        self.assertPasses(Second)

    def test_15_other_fixtures_of_the_run_make_tables_and_rows_themselves(self):
        Author = self.models.Author

        class Ours(self.base()):
            def test_one(self):
                self.assertEqual(self.db.session.query(Author).count(), 0)

        self.assertPasses(Ours)
        with self.app.app_context():
            self.db.create_all()
            self.db.session.add(Author(name="of a fixture"))
            self.db.session.commit()
        self.assertPasses(Ours)

    def test_15_a_database_left_dirty_by_a_run_that_was_aborted(self):
        Author = self.models.Author
        url = support.postgresql_url("core_dirty_test")
        for statement in (
            "CREATE TYPE mood AS ENUM ('old')",
            "CREATE TABLE author (id text PRIMARY KEY, mood mood)",
            "CREATE TABLE unknown (author text REFERENCES author)",
            "CREATE VIEW book AS SELECT * FROM author",
            "INSERT INTO author VALUES ('x', 'old')",
        ):
            support.administer(statement, database="core_dirty_test")

        class Case(self.base(config=models.testing(url))):
            def test_one(self):
                self.assertEqual(self.db.session.query(Author).count(), 0)
                self.assertEqual(
                    sorted(sa.inspect(self.db.engine).get_table_names()), ["author", "book"]
                )

        self.assertPasses(Case)

    def test_16_the_catalog_does_not_grow_with_the_number_of_tests(self):
        Author, look, seen = self.models.Author, self.look, []

        class Case(self.base()):
            def test_one(self):
                self.db.session.add(Author(name="a"))
                self.db.session.commit()
                seen.append(
                    look("SELECT 'author'::regclass::oid, pg_relation_size('pg_attribute')")[0]
                )

        for number in range(20):
            setattr(Case, "test_%02d" % number, Case.test_one)
        self.assertPasses(Case)
        self.assertEqual(len(seen), 21)
        self.assertEqual(len(set(seen)), 1, "the tables are those of the first test")


class ContextsTest(SuiteTest):
    """8: some push an application context, some a request context, some none."""

    def test_a_request_within_the_context_of_the_test_uses_its_session(self):
        Author = self.models.Author

        class Case(self.base()):
            def test_one(self):
                author = Author(name="a")
                self.db.session.add(author)
                self.db.session.flush()
                self.assertEqual(
                    self.app.test_client().get("/authors").data, b"1", "flushed, not committed"
                )
                self.assertIn(author, self.db.session)

        self.assertPasses(Case)

    def test_a_request_without_a_context_around_it_has_its_own_session(self):
        Author = self.models.Author

        class Case(self.base(push_app_context=False)):
            def test_one(self):
                self.assertFalse(flask.has_app_context())
                with self.app.app_context():
                    self.db.session.add(Author(name="a"))
                    self.db.session.commit()
                self.assertEqual(self.app.test_client().get("/authors").data, b"1")

            test_two = test_one

        self.assertPasses(Case)

    def test_a_request_context_for_the_whole_test(self):
        Author = self.models.Author

        class Case(self.base()):
            def setUp(self):
                super().setUp()
                self.ctx = self.app.test_request_context()
                self.ctx.push()

            def tearDown(self):
                self.db.session.remove()
                self.ctx.pop()

            def test_one(self):
                self.assertEqual(flask.request.path, "/")
                self.assertEqual(self.db.session.query(Author).count(), 0)
                self.db.session.add(Author(name="a"))
                self.db.session.commit()

            test_two = test_one

        self.assertPasses(Case)

    def test_the_class_of_the_tutorials(self):
        library, url = self.models, self.url

        class Case(DatabaseTestCase):
            def setUp(self):
                self.app = models.make_app(library.db, url, TESTING=True)
                self.app_context = self.app.app_context()
                self.app_context.push()
                super().setUp()
                self.client = self.app.test_client()

            def tearDown(self):
                library.db.session.remove()
                self.app_context.pop()
                super().tearDown()

            def test_one(self):
                self.assertEqual(self.client.get("/authors").data, b"0")
                library.db.session.add(library.Author(name="a"))
                library.db.session.commit()
                self.assertEqual(self.client.get("/authors").data, b"1")

            test_two = test_three = test_one

        self.assertPasses(Case)
        self.assertFalse(flask.has_app_context())


class ConfigurationTest(SuiteTest):
    def test_9_the_url_comes_from_the_environment_and_testing_is_set_late(self):
        library = self.models

        class Case(DatabaseTestCase):
            @classmethod
            def create_app(cls):
                app = models.make_app(library.db, os.environ["CORE_SUITE_URL"])
                app.config["TESTING"] = True
                return app

            def test_one(self):
                self.assertEqual(self.db.session.query(library.Author).count(), 0)

        with unittest.mock.patch.dict(os.environ, CORE_SUITE_URL=self.url):
            self.assertPasses(Case)
        with unittest.mock.patch.dict(os.environ, CORE_SUITE_URL=support.url_of("postgres")):
            self.assertIn('would clear "postgres" at', self.message_of(Case))

    def test_10_app_and_engine_are_made_when_the_module_is_imported(self):
        module = types.ModuleType("suite_module")
        source = """
            import os, sqlalchemy as sa
            from dbtestcase import DatabaseTestCase
            from tests import models
            plain = models.plain_library()
            engine = sa.create_engine(os.environ["CORE_SUITE_URL"])
            class Case(DatabaseTestCase):
                engine, metadata = engine, plain.metadata
                def test_one(self):
                    self.assertEqual(self.session.query(plain.Author).count(), 0)
        """
        with unittest.mock.patch.dict(os.environ, CORE_SUITE_URL=self.url):
            exec(textwrap.dedent(source), vars(module))
        self.addCleanup(module.engine.dispose)
        self.assertPasses(module.Case)
        self.assertPasses(module.Case)


class SessionsTest(SuiteTest):
    """11: sessions of other kinds."""

    def test_a_second_scoped_session_on_a_second_engine(self):
        Author = self.models.Author
        engine = sa.create_engine(self.url)
        self.addCleanup(engine.dispose)
        replica = sa.orm.scoped_session(sa.orm.sessionmaker(bind=engine))

        class Case(self.base()):
            def test_one(self):
                self.assertEqual(replica.query(Author).count(), 0)
                self.assertEqual(self.db.session.query(Author).count(), 0)
                self.db.session.add(Author(name="a"))
                self.db.session.commit()
                replica.remove()

            test_two = test_one

        self.assertPasses(Case)

    def test_an_engine_and_a_session_factory_in_a_manager(self):
        plain, url = models.plain_library(), self.url

        class Manager:
            engine = sa.create_engine(url)
            Session = sa.orm.sessionmaker(bind=engine)

        self.addCleanup(Manager.engine.dispose)

        class Case(DatabaseTestCase):
            engine, metadata, session = Manager.engine, plain.Base, Manager.Session

            def test_one(self):
                session = Manager.Session()
                self.assertEqual(session.query(plain.Author).count(), 0)
                session.add(plain.Author(name="a"))
                session.commit()
                session.close()

            test_two = test_one

        self.assertPasses(Case)

    def test_session_is_a_property_of_the_test(self):
        Author = self.models.Author

        class Case(self.base()):
            @property
            def session(self):
                return self.db.session

            def test_one(self):
                self.assertEqual(self.session.query(Author).count(), 0)
                self.session.add(Author(name="a"))
                self.session.commit()
                self.assertRowCount(Author, 1)

            test_two = test_one

        self.assertPasses(Case)


class RowsTest(SuiteTest):
    def test_12_ids_are_asserted(self):
        Author, Book = self.models.Author, self.models.Book

        class Case(self.base()):
            def load_data(self):
                self.db.session.add(Author(name="first"))

            def test_one(self):
                second, book = Author(name="second"), Book(title="one")
                self.db.session.add_all([second, book])
                self.db.session.commit()
                self.assertEqual((second.id, book.id), (2, 1))

            test_two = test_three = test_one

        self.assertPasses(Case)

    @unittest.skipUnless(hasattr(os, "fork"), "there are no forked children here")
    def test_13_a_forked_worker_sees_committed_rows(self):
        Author, url = self.models.Author, self.url

        def work():
            engine = sa.create_engine(url)
            with engine.begin() as connection:
                found = connection.execute(sa.text("SELECT count(*) FROM author")).scalar()
                connection.execute(sa.text("INSERT INTO author (name) VALUES ('worker')"))
            return found

        class Case(self.base()):
            def test_one(self):
                self.assertEqual(self.db.session.query(Author).count(), 0)
                self.db.session.add(Author(name="a"))
                self.db.session.commit()
                pid = os.fork()
                if not pid:
                    status = 99
                    try:
                        status = work()
                    finally:
                        os._exit(status)
                self.assertEqual(os.waitpid(pid, 0)[1] >> 8, 1)
                self.db.session.rollback()
                self.assertEqual(self.db.session.query(Author).count(), 2)

            test_two = test_one

        self.assertPasses(Case)


class StyleTest(SuiteTest):
    """17 and 18: work around our set-up, decorators, helpers, other things reset at that moment."""

    def test_work_before_set_up_decorators_helpers_and_patches(self):
        outer = self

        class Helper:
            def setUp(self):
                self.helped = True
                super().setUp()

        class HelperAfter:
            def helper(self):
                return "after"

        @unittest.mock.patch("os.getpid", return_value=-1)
        class Case(Helper, self.base(), HelperAfter):
            def setUp(self):
                self.early = "before ours"
                super().setUp()

            def test_one(self, getpid):
                self.assertTrue(self.helped)
                self.assertEqual(
                    (self.early, self.helper(), os.getpid()), ("before ours", "after", -1)
                )
                self.assertEqual(self.db.session.query(outer.models.Author).count(), 0)

            @unittest.mock.patch.object(DatabaseTestCase, "lock_timeout", 3)
            def test_two(self, getpid):
                self.assertEqual(self.lock_timeout, 3)

        self.assertPasses(Case)

    def test_other_things_are_reset_at_the_same_moment(self):
        cache, numbers = {}, []

        class Case(self.base()):
            def setUp(self):
                super().setUp()
                self.addCleanup(cache.clear)
                self.addCleanup(lambda: numbers.append(flask.has_app_context()))

            def test_one(self):
                self.assertEqual(cache, {})
                cache["key"] = "value"

            test_two = test_one

        self.assertPasses(Case)
        self.assertEqual(cache, {})
        self.assertEqual(numbers, [True, True], "their clean-ups run before the context is left")


if __name__ == "__main__":
    unittest.main()
