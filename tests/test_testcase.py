from __future__ import annotations

import os
import shutil
import sys
import tempfile
import unittest
import unittest.mock
from typing import Any

import flask
import sqlalchemy as sa
import sqlalchemy.orm

from dbtestcase import ConfigurationError, DatabaseMixin, DatabaseTestCase, _compat
from tests import models, support


def count(session: Any, model: Any) -> int:
    return session.query(model).count()


def table_names(engine: Any) -> Any:
    return sorted(sa.inspect(engine).get_table_names())


def execute(session: Any, statement: str) -> None:
    session.execute(sa.text(statement))
    session.commit()


class LifeContract:
    """What a suite can rely on, whatever the database: each kind of it inherits these tests."""

    test_url: Any
    development_url: Any

    def setUp(self) -> None:
        self.models = models.library()
        self.db = self.models.db
        self.app = models.make_app(self.db, self.development_url)
        self.addCleanup(models.dispose, self.app, self.db)

    def base(self, **attributes: Any) -> Any:
        config = models.testing(self.test_url)
        return type(
            "Base", (DatabaseTestCase,), dict({"app": self.app, "config": config}, **attributes)
        )

    # --- every test is the first ---

    def test_every_test_finds_empty_tables_and_ids_that_start_at_one(self):
        Author = self.models.Author

        class Case(self.base()):
            def test_first(self):
                self.assertEqual(count(self.db.session, Author), 0)
                author = Author(name="Ursula")
                self.db.session.add(author)
                self.db.session.commit()
                self.assertEqual(author.id, 1)

            test_second = test_third = test_first

        self.assertPasses(Case)

    def test_rows_are_gone_however_they_were_written(self):
        Author = self.models.Author

        class Case(self.base()):
            def setUp(self):
                super().setUp()
                self.assertEqual(count(self.db.session, Author), 0)
                self.db.session.remove()

            def test_a_commit(self):
                self.db.session.add(Author(name="a"))
                self.db.session.commit()

            def test_b_flush(self):
                self.db.session.add(Author(name="b"))
                self.db.session.flush()

            def test_c_begin(self):
                with self.db.engine.begin() as connection:
                    connection.execute(Author.__table__.insert().values(name="c"))

            def test_d_second_session(self):
                session = sa.orm.sessionmaker(bind=self.db.engine)()
                session.add(Author(name="d"))
                session.commit()
                session.close()

            def test_e_request(self):
                self.assertEqual(self.app.test_client().get("/authors").data, b"0")

            def test_f_nothing(self):
                pass

        self.assertPasses(Case)

    def test_a_changed_schema_is_as_declared_again(self):
        Author = self.models.Author

        class Case(self.base()):
            def setUp(self):
                super().setUp()
                names = [
                    column["name"] for column in sa.inspect(self.db.engine).get_columns("author")
                ]
                self.assertEqual(names, ["id", "name"])
                self.assertEqual(table_names(self.db.engine), ["author", "book"])
                self.assertEqual(count(self.db.session, Author), 0)
                self.db.session.remove()

            def test_a_a_new_table(self):
                execute(self.db.session, "CREATE TABLE stray (id integer)")

            def test_b_a_dropped_table(self):
                execute(self.db.session, "DROP TABLE book")

            def test_c_a_new_column(self):
                execute(self.db.session, "ALTER TABLE author ADD COLUMN age integer")

            def test_d_a_view(self):
                execute(self.db.session, "CREATE VIEW names AS SELECT name FROM author")

            def test_e_nothing(self):
                pass

        self.assertPasses(Case)

    def test_what_was_there_before_the_class_is_gone(self):
        execute_outside(
            self.test_url, "CREATE TABLE older (id integer)", "CREATE TABLE author (x integer)"
        )

        class Case(self.base()):
            def test_one(self):
                self.assertEqual(table_names(self.db.engine), ["author", "book"])

        self.assertPasses(Case)

    # --- create_tables, load_data ---

    def test_the_rows_of_load_data_are_in_every_test(self):
        Author = self.models.Author
        calls = []

        class Case(self.base()):
            def load_data(self):
                calls.append(self)
                author = Author(name="first")
                self.db.session.add(author)
                self.db.session.commit()
                self.author_id = author.id

            def setUp(self):
                super().setUp()
                rows = [(row.id, row.name) for row in self.db.session.query(Author)]
                self.assertEqual(rows, [(self.author_id, "first")])

            def test_a_changed(self):
                self.db.session.query(Author).update({"name": "changed"})
                self.db.session.commit()

            def test_b_deleted(self):
                self.db.session.query(Author).delete()
                self.db.session.commit()

            def test_c_added(self):
                added = Author(name="second")
                self.db.session.add(added)
                self.db.session.commit()
                self.assertEqual(added.id, self.author_id + 1)

            def test_d_nothing(self):
                pass

        self.assertPasses(Case)
        self.assertEqual(len(calls), 1)

    def test_rows_that_load_data_did_not_commit_count_as_well(self):
        Author = self.models.Author

        class Case(self.base()):
            def load_data(self):
                self.db.session.add(Author(name="pending"))

            def test_one(self):
                self.assertEqual(count(self.db.session, Author), 1)

        self.assertPasses(Case)

    def test_a_class_that_runs_a_second_time_has_its_rows_and_attributes_again(self):
        Author = self.models.Author

        class Case(self.base()):
            def load_data(self):
                self.db.session.add(Author(name="first"))
                self.number = 7

            def test_one(self):
                self.assertEqual(self.number, 7)
                self.assertEqual(count(self.db.session, Author), 1)

        self.assertPasses(Case)
        self.assertPasses(Case)

    def test_load_data_starts_on_empty_tables_whatever_the_class_before_left(self):
        Author = self.models.Author

        class Before(self.base()):
            def test_one(self):
                self.db.session.add(Author(name="left over"))
                self.db.session.commit()

        class After(self.base()):
            def load_data(self):
                self.db.session.add(Author(name="first"))

            def test_one(self):
                self.assertEqual([row.name for row in self.db.session.query(Author)], ["first"])

        self.assertPasses(Before)
        self.assertPasses(After)
        self.assertPasses(Before)
        self.assertPasses(After)

    def test_each_class_has_the_rows_of_its_own_load_data(self):
        Author = self.models.Author

        class First(self.base()):
            label = "first"

            def load_data(self):
                self.db.session.add(Author(name=self.label))

            def test_one(self):
                self.assertEqual([row.name for row in self.db.session.query(Author)], [self.label])

        class Second(First):
            label = "second"

        for case in (First, Second, First):
            self.assertPasses(case)

    def test_create_tables_can_be_overridden(self):
        class Case(self.base()):
            def create_tables(self):
                super().create_tables()
                execute(self.db.session, "CREATE TABLE alembic_version (version_num varchar(32))")
                execute(self.db.session, "INSERT INTO alembic_version VALUES ('abc')")

            def test_one(self):
                self.assertEqual(table_names(self.db.engine), ["alembic_version", "author", "book"])
                rows = self.db.session.execute(sa.text("SELECT version_num FROM alembic_version"))
                self.assertEqual([tuple(row) for row in rows], [("abc",)])

            test_two = test_one

        class Without(self.base()):
            def test_one(self):
                self.assertEqual(table_names(self.db.engine), ["author", "book"])

        self.assertPasses(Case)
        self.assertPasses(Without)

    def test_create_tables_has_the_application_though_the_class_has_only_its_name(self):
        seen = []
        module = type(sys)("webshop_by_name")
        module.app = self.app
        self.addCleanup(sys.modules.pop, module.__name__)
        sys.modules[module.__name__] = module

        class Case(self.base(app="webshop_by_name:app")):
            def create_tables(self):
                seen.append(self.app)
                super().create_tables()

            def load_data(self):
                seen.append(self.app)

            def test_one(self):
                seen.append(self.app)

        self.assertPasses(Case)
        self.assertEqual(seen, [self.app] * 3)

    def test_metadata_that_grows_between_classes(self):
        class Before(self.base()):
            def test_one(self):
                self.assertEqual(table_names(self.db.engine), ["author", "book"])

        self.assertPasses(Before)
        sa.Table("late", self.db.metadata, sa.Column("id", sa.Integer, primary_key=True))

        class After(self.base()):
            def test_one(self):
                self.assertEqual(table_names(self.db.engine), ["author", "book", "late"])

        self.assertPasses(After)

    def test_metadata_that_grows_inside_a_test(self):
        class Case(self.base()):
            def test_a_grows(self):
                sa.Table("inner", self.db.metadata, sa.Column("id", sa.Integer, primary_key=True))
                self.assertEqual(table_names(self.db.engine), ["author", "book"])

            def test_b_has_it(self):
                self.assertEqual(table_names(self.db.engine), ["author", "book", "inner"])

        self.assertPasses(Case)

    def test_a_column_added_to_a_declared_table_is_there_in_the_next_class(self):
        class Case(self.base()):
            def test_one(self):
                names = [
                    column["name"] for column in sa.inspect(self.db.engine).get_columns("book")
                ]
                self.assertEqual(names, [column.name for column in Book.__table__.columns])

        Book = self.models.Book
        self.assertPasses(Case)
        Book.__table__.append_column(sa.Column("pages", sa.Integer))
        self.assertPasses(Case)

    def test_a_listener_added_to_a_declared_table_is_heeded_in_the_next_class(self):
        class Case(self.base()):
            def test_one(self):
                self.assertEqual(table_names(self.db.engine), expected)

        expected = ["author", "book"]
        self.assertPasses(Case)
        sa.event.listen(
            self.models.Book.__table__, "after_create", sa.DDL("CREATE TABLE shadow (id integer)")
        )
        expected = ["author", "book", "shadow"]
        self.assertPasses(Case)

    def test_two_sets_of_models_alternate(self):
        other = models.library()
        sa.Table("extra", other.db.metadata, sa.Column("id", sa.Integer, primary_key=True))
        other_app = models.make_app(other.db, self.development_url)
        self.addCleanup(models.dispose, other_app, other.db)

        class First(self.base()):
            def test_one(self):
                self.assertEqual(table_names(self.db.engine), ["author", "book"])

        class Second(self.base(app=other_app)):
            def test_one(self):
                self.assertEqual(table_names(self.db.engine), ["author", "book", "extra"])

        for case in (First, Second, First, Second):
            self.assertPasses(case)

    # --- sessions and contexts ---

    def test_each_test_has_a_new_session(self):
        Author = self.models.Author
        seen = []

        class Case(self.base()):
            def test_one(self):
                self.assertEqual(list(self.db.session), [])
                author = Author(name="a")
                self.db.session.add(author)
                self.db.session.commit()
                seen.append(author)

            test_two = test_one

        self.assertPasses(Case)
        self.assertEqual([sa.inspect(author).detached for author in seen], [True, True])

    def test_the_attributes_in_use_are_given(self):
        outer = self

        class Case(self.base()):
            def test_one(self):
                self.assertIs(self.app, outer.app)
                self.assertIs(self.db, outer.db)
                self.assertIs(self.session, outer.db.session)
                self.assertIs(flask.current_app._get_current_object(), outer.app)

        self.assertPasses(Case)

    def test_config_and_engines_are_as_before_when_the_class_is_over(self):
        before = dict(self.app.config)

        class Case(self.base()):
            def test_one(self):
                self.assertTrue(self.app.testing)
                self.app.config["STRAY"] = 1

        self.assertPasses(Case)
        self.assertEqual(dict(self.app.config), before)
        self.assertEqual(
            _compat.url_text(models.live_url(self.app, self.db)), self.full(self.development_url)
        )

    def full(self, url: str) -> str:
        return url

    def test_reset_none_leaves_the_data_alone(self):
        Author = self.models.Author

        class Fill(self.base()):
            def test_one(self):
                self.db.session.add(Author(name="kept"))
                self.db.session.commit()

        class Case(self.base(reset=None)):
            def test_a_finds_and_adds(self):
                self.assertEqual(count(self.db.session, Author), kept)
                self.db.session.add(Author(name="added"))
                self.db.session.commit()

            def test_b_finds_both(self):
                self.assertEqual(count(self.db.session, Author), kept + 1)

        kept = 1
        if self.test_url == "sqlite://":  # gone with the engine of its class
            self.skipTest("a database in memory has no data that could be left alone")
        self.assertPasses(Fill)
        self.assertPasses(Case)

    # --- without Flask ---

    def plain_base(self, **attributes: Any) -> Any:
        return type("PlainBase", (DatabaseTestCase,), attributes)

    def check_plain(self, base: Any, plain: Any, session_of: Any) -> None:
        class Case(base):
            def test_one(self):
                session = session_of(self)
                self.assertEqual(count(session, plain.Author), 0)
                author = plain.Author(name="a")
                session.add(author)
                session.commit()
                self.assertEqual(author.id, 1)
                getattr(session, "close", lambda: None)()

            test_two = test_one

        self.assertPasses(Case)

    def test_a_url_and_a_metadata_are_enough(self):
        plain = models.plain_library()
        base = self.plain_base(engine=self.test_url, metadata=plain.metadata)
        self.check_plain(base, plain, lambda case: case.session)

    def test_an_engine_and_a_declarative_base(self):
        plain = models.plain_library()
        engine = sa.create_engine(self.test_url)
        self.addCleanup(engine.dispose)
        base = self.plain_base(engine=engine, metadata=plain.Base)
        self.check_plain(base, plain, lambda case: sa.orm.sessionmaker(bind=engine)())

    def test_a_scoped_session_without_a_bind_is_bound_for_the_class(self):
        plain = models.plain_library()
        session = sa.orm.scoped_session(sa.orm.sessionmaker())
        base = self.plain_base(engine=self.test_url, metadata=plain.metadata, session=session)
        self.check_plain(base, plain, lambda case: session)
        self.assertIsNone(session.session_factory.kw["bind"])

    def test_a_sessionmaker_without_a_bind_is_bound_for_the_class(self):
        plain = models.plain_library()
        factory = sa.orm.sessionmaker()
        base = self.plain_base(engine=self.test_url, metadata=plain.metadata, session=factory)
        self.check_plain(base, plain, lambda case: case.session())
        self.assertIsNone(factory.kw["bind"])

    def test_a_session_that_is_bound_needs_no_engine(self):
        plain = models.plain_library()
        engine = sa.create_engine(self.test_url)
        self.addCleanup(engine.dispose)
        session = sa.orm.scoped_session(sa.orm.sessionmaker(bind=engine))
        base = self.plain_base(metadata=plain.metadata, session=session)
        self.check_plain(base, plain, lambda case: session)
        self.assertIs(session.session_factory.kw["bind"], engine)


def execute_outside(url: str, *statements: str) -> None:
    """Change a database behind the back of the suite; one in memory has no outside."""
    if url == "sqlite://":
        return
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        for table in ("older", "book", "author"):
            connection.execute(sa.text("DROP TABLE IF EXISTS %s" % table))
        for statement in statements:
            connection.execute(sa.text(statement))
    engine.dispose()


class PostgreSQLLifeTest(LifeContract, support.Outcomes):
    @classmethod
    def setUpClass(cls):
        cls.test_url = support.postgresql_url("core_life_test")
        cls.development_url = support.postgresql_url("core_development")

    def test_the_development_database_is_untouched(self):
        with self.app.app_context():
            self.db.create_all()
            self.db.session.add(self.models.Author(name="customer"))
            self.db.session.commit()
        look = (
            "SELECT c.oid, c.relfilenode, a.xmin, a.ctid, a.*, s.last_value FROM author a,"
            " author_id_seq s, pg_class c WHERE c.oid = 'author'::regclass"
        )
        before = support.administer(look, database="core_development")
        Author = self.models.Author

        class Case(self.base()):
            def test_one(self):
                self.db.session.add(Author(name="a"))
                self.db.session.commit()
                execute(self.db.session, "DROP TABLE book")

            test_two = test_one

        self.assertPasses(Case)
        self.assertEqual(support.administer(look, database="core_development"), before)
        with self.app.app_context():
            self.assertEqual(
                [each.name for each in self.db.session.query(self.models.Author)], ["customer"]
            )


class SQLiteFileLifeTest(LifeContract, support.Outcomes):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp()
        cls.test_url = "sqlite:///%s" % os.path.join(cls.folder, "app_test.db")
        cls.development_url = "sqlite:///%s" % os.path.join(cls.folder, "development.db")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def test_the_development_database_is_untouched(self):
        with self.app.app_context():
            self.db.create_all()
            self.db.session.add(self.models.Author(name="customer"))
            self.db.session.commit()
        with open(os.path.join(self.folder, "development.db"), "rb") as file:
            before = file.read()

        class Case(self.base()):
            def test_one(self):
                execute(self.db.session, "DROP TABLE book")

        self.assertPasses(Case)
        with open(os.path.join(self.folder, "development.db"), "rb") as file:
            self.assertEqual(file.read(), before)


class SQLiteMemoryLifeTest(LifeContract, support.Outcomes):
    test_url = "sqlite://"
    development_url = "sqlite://"


class ContextTest(support.Outcomes):
    """The class, its contexts and what is left when any step raised; the database is no matter."""

    def setUp(self):
        self.models = models.library()
        self.db = self.models.db
        self.app = models.make_app(self.db, "sqlite://")
        self.before = dict(self.app.config)
        self.addCleanup(models.dispose, self.app, self.db)
        self.addCleanup(self.pop_everything)

    def pop_everything(self):
        while flask.has_app_context():  # so that one test that fails does not fail the rest
            _compat.pop_context_left_open()

    def base(self, **attributes):
        config = models.testing("sqlite:///:memory:", MARK="testing")
        return type(
            "Base", (DatabaseTestCase,), dict({"app": self.app, "config": config}, **attributes)
        )

    def assertLeft(self):
        self.assertFalse(flask.has_app_context())
        self.assertFalse(flask.has_request_context())
        self.assertEqual(dict(self.app.config), self.before)
        self.assertIsNone(_compat.current_app_context())

    def outcome_of(self, case):
        result = support.run_case(case)
        self.assertLeft()
        return result

    def test_the_context_is_popped(self):
        class Case(self.base()):
            def test_one(self):
                self.assertTrue(flask.has_app_context())

        self.assertPasses(Case)
        self.assertLeft()

    def test_no_context_is_pushed_where_the_class_wants_none(self):
        class Case(self.base(push_app_context=False)):
            def test_one(self):
                self.assertFalse(flask.has_app_context())

        self.assertPasses(Case)
        self.assertLeft()

    def test_the_context_is_popped_after_a_test_that_raised(self):
        class Case(self.base()):
            def test_one(self):
                raise ValueError("in the test")

        self.assertIn("in the test", self.outcome_of(Case).errors[0][1])

    def test_the_context_is_popped_after_a_set_up_that_raised(self):
        class Case(self.base()):
            def setUp(self):
                super().setUp()
                raise ValueError("in setUp")

            def test_one(self):
                pass

        self.assertIn("in setUp", self.outcome_of(Case).errors[0][1])

    def test_the_context_is_popped_after_a_tear_down_that_raised(self):
        class Case(self.base()):
            def test_one(self):
                pass

            def tearDown(self):
                raise ValueError("in tearDown")

        self.assertIn("in tearDown", self.outcome_of(Case).errors[0][1])

    def test_contexts_that_the_test_left_pushed_are_popped(self):
        class Case(self.base()):
            def test_one(self):
                self.app.app_context().push()
                self.app.app_context().push()

            def test_two(self):
                self.app.test_request_context("/").push()

        self.assertPasses(Case)
        self.assertLeft()

    def test_they_are_popped_too_where_the_class_wants_no_context(self):
        class Case(self.base(push_app_context=False)):
            def test_one(self):
                self.assertFalse(flask.has_app_context())
                self.app.app_context().push()

            def test_two(self):
                self.assertFalse(flask.has_app_context())
                self.app.test_request_context("/").push()

            def test_three(self):
                self.assertFalse(flask.has_app_context())

        self.assertPasses(Case)
        self.assertLeft()

    def test_a_context_that_was_there_before_the_class_stays(self):
        class Case(self.base()):
            def test_one(self):
                self.app.app_context().push()

        with self.app.app_context() as context:
            self.assertPasses(Case)
            self.assertIs(_compat.current_app_context(), context)

    def test_a_context_of_the_suite_may_lie_above_or_below(self):
        class Below(self.base()):
            def setUp(self):
                self.context = type(self).app.app_context()
                self.context.push()
                super().setUp()

            def test_one(self):
                self.assertTrue(flask.has_app_context())

            def tearDown(self):
                self.context.pop()
                super().tearDown()

        class Above(Below):
            def setUp(self):
                super(Below, self).setUp()
                self.context = self.app.app_context()
                self.context.push()

        self.assertPasses(Below)
        self.assertLeft()
        self.assertPasses(Above)
        self.assertLeft()

    def test_a_request_context_of_the_suite(self):
        class Case(self.base()):
            def setUp(self):
                super().setUp()
                self.context = self.app.test_request_context("/")
                self.context.push()

            def test_one(self):
                self.assertEqual(flask.request.path, "/")

            def tearDown(self):
                self.context.pop()
                super().tearDown()

        self.assertPasses(Case)
        self.assertLeft()

    def test_a_class_whose_set_up_fails_after_ours_is_left(self):
        class Case(self.base()):
            @classmethod
            def setUpClass(cls):
                super().setUpClass()
                assert cls.app.config["MARK"] == "testing"
                raise ValueError("half way")

            def test_one(self):
                pass

        result = support.run_case(Case)
        self.assertIn("half way", result.errors[0][1])
        if sys.version_info < (3, 8):  # no class clean-ups yet: the next class does it

            class Next(
                self.base(
                    config=None, app=models.make_app(models.library().db, "sqlite://", TESTING=True)
                )
            ):
                def test_one(self):
                    pass

            self.assertPasses(Next)
        self.assertLeft()

    def test_a_class_whose_tables_cannot_be_made_is_left(self):
        class Case(self.base()):
            def create_tables(self):
                raise ValueError("no tables")

            def test_one(self):
                pass

        self.assertIn("no tables", self.outcome_of(Case).errors[0][1])

    def test_a_class_whose_rows_cannot_be_loaded_is_left(self):
        class Case(self.base()):
            def load_data(self):
                raise ValueError("no rows")

            def test_one(self):
                pass

        self.assertIn("no rows", self.outcome_of(Case).errors[0][1])

    def test_overriding_with_super_works(self):
        order = []

        class Case(self.base()):
            @classmethod
            def setUpClass(cls):
                super().setUpClass()
                order.append("setUpClass %s" % cls.app.config["MARK"])

            def setUp(self):
                super().setUp()
                order.append("setUp")

            def test_one(self):
                order.append("test")

            def tearDown(self):
                order.append("tearDown")
                super().tearDown()

            @classmethod
            def tearDownClass(cls):
                order.append("tearDownClass %s" % cls.app.config["MARK"])
                super().tearDownClass()

        self.assertPasses(Case)
        self.assertLeft()
        self.assertEqual(
            order, ["setUpClass testing", "setUp", "test", "tearDown", "tearDownClass testing"]
        )

    def test_set_up_class_may_forget_super(self):
        Author = self.models.Author

        class Case(self.base()):
            @classmethod
            def setUpClass(cls):
                pass

            def test_one(self):
                self.assertEqual(self.app.config["MARK"], "testing")
                self.assertEqual(count(self.db.session, Author), 0)
                self.db.session.add(Author(name="a"))
                self.db.session.commit()

            test_two = test_one

        self.assertPasses(Case)
        self.assertLeft()

    @unittest.skipIf(sys.version_info < (3, 8), "Python 3.7 has no clean-ups of a class")
    def test_tear_down_class_may_forget_super(self):
        class Case(self.base()):
            def test_one(self):
                pass

            @classmethod
            def tearDownClass(cls):
                pass

        self.assertPasses(Case)
        self.assertLeft()

    def test_tear_down_may_forget_super(self):
        Author = self.models.Author

        class Case(self.base()):
            def test_one(self):
                self.assertEqual(count(self.db.session, Author), 0)
                self.db.session.add(Author(name="a"))
                self.db.session.flush()

            test_two = test_one

            def tearDown(self):
                pass

        self.assertPasses(Case)
        self.assertLeft()

    def test_set_up_must_not_forget_super(self):
        class Case(self.base()):
            def setUp(self):
                pass

            def test_one(self):
                ran.append(self)

        ran = []
        self.assertEqual(
            self.message_of(Case),
            "ConfigurationError: Case.setUp() does not call super().setUp(), so this test would run"
            " on whatever the test before left in the database.",
        )
        self.assertEqual(ran, [])
        self.assertLeft()

    def test_set_up_must_not_forget_super_where_each_test_makes_its_app(self):
        app = self.app

        class Case(DatabaseTestCase):
            def setUp(self):
                self.app = app

            def test_one(self):
                pass

        result = support.run_case(Case)
        self.assertEqual(len(result.errors), 1)
        self.assertIn("does not call super().setUp()", result.errors[0][1])

    def test_a_mixin_after_test_case_is_an_error_at_once(self):
        with self.assertRaises(ConfigurationError) as raised:

            class Case(unittest.TestCase, DatabaseMixin):
                pass

        self.assertEqual(
            str(raised.exception),
            "class Case lists unittest.TestCase before DatabaseMixin, so no test of it would get a"
            " database: write class Case(DatabaseMixin, unittest.TestCase).",
        )

    def test_the_mixin_before_any_test_case_works(self):
        class Own(unittest.TestCase):
            def setUp(self):
                self.own = True

        class Case(DatabaseMixin, Own):
            app = self.app
            config = models.testing("sqlite:///:memory:")

            def test_one(self):
                self.assertTrue(self.own)
                self.assertTrue(flask.has_app_context())

        self.assertPasses(Case)

    def test_a_class_that_names_no_database_says_so(self):
        class Case(DatabaseTestCase):
            def test_one(self):
                pass

        self.assertEqual(
            self.message_of(Case),
            "ConfigurationError: Case does not say what it tests against. Give the class app (a"
            ' Flask application or "module:attribute") or create_app(), or engine, metadata and'
            " session; or set self.app before super().setUp().",
        )

    def test_an_app_that_is_none_says_so(self):
        class Case(DatabaseTestCase):
            app = "no application"

            def test_one(self):
                pass

        self.assertTrue(
            self.message_of(Case).startswith(
                "ConfigurationError: Case: app = 'no application' cannot be imported:"
            )
        )
        Case.app = object()
        self.assertIn("which is not a Flask application", self.message_of(Case))

    def test_a_reset_of_unknown_name_says_so(self):
        class Case(self.base(reset="truncate")):
            def test_one(self):
                pass

        self.assertEqual(
            self.message_of(Case),
            "ConfigurationError: Case.reset is 'truncate'; it can be 'recreate' (as good as drop and"
            " create), 'rollback' (an outer transaction), or None (leave the data alone).",
        )
        self.assertLeft()

    # --- unittest's own things ---

    def test_skips_sub_tests_and_expected_failures_count_as_ever(self):
        class Case(self.base()):
            @unittest.skip("not now")
            def test_a(self):
                raise AssertionError

            def test_b(self):
                self.skipTest("inside")

            @unittest.expectedFailure
            def test_c(self):
                self.fail("expected")

            @unittest.expectedFailure
            def test_d(self):
                pass

            def test_e(self):
                for number in range(3):
                    with self.subTest(number=number):
                        self.assertNotEqual(number, 1)

        result = support.run_case(Case)
        self.assertEqual([reason for _, reason in result.skipped], ["not now", "inside"])
        self.assertEqual(len(result.expectedFailures), 1)
        self.assertEqual(len(result.unexpectedSuccesses), 1)
        self.assertEqual(len(result.failures), 1)
        self.assertIn("(number=1)", str(result.failures[0][0]))
        self.assertEqual(result.errors, [])
        self.assertLeft()

    def test_a_skipped_class_touches_nothing(self):
        @unittest.skip("whole class")
        class Case(self.base(config=models.testing("sqlite:////nonexistent/folder/x.db"))):
            def test_one(self):
                pass

        result = support.run_case(Case)
        self.assertEqual((len(result.skipped), result.errors), (1, []))

    def test_class_decorators_of_mock_work(self):
        @unittest.mock.patch("os.getcwd", return_value="/patched")
        class Case(self.base()):
            def test_one(self, getcwd):
                self.assertEqual(os.getcwd(), "/patched")
                self.assertTrue(flask.has_app_context())

        self.assertPasses(Case)

    def test_a_test_can_be_run_a_second_time(self):
        class Case(self.base()):
            def test_one(self):
                pass

        case = Case("test_one")
        first, second = case.run(), case.run()
        self.assertTrue(first.wasSuccessful() and second.wasSuccessful())
        self.assertNotIn("test_one", vars(case))
        Case.doClassCleanups() if hasattr(Case, "doClassCleanups") else Case.tearDownClass()
        self.assertLeft()

    @unittest.skipIf(sys.version_info < (3, 8), "Python 3.7 has no IsolatedAsyncioTestCase")
    def test_coroutines_with_the_asyncio_test_case_as_second_base(self):
        Author = self.models.Author

        class Case(self.base(push_app_context=False), unittest.IsolatedAsyncioTestCase):
            async def asyncSetUp(self):
                self.ready = True

            async def test_one(self):
                self.assertTrue(self.ready)
                with self.app.app_context():
                    self.assertEqual(count(self.db.session, Author), 0)
                    self.db.session.add(Author(name="a"))
                    self.db.session.commit()

            test_two = test_one

            async def test_three(self):
                self.fail("as it should")

        result = support.run_case(Case)
        self.assertEqual(result.errors, [])
        self.assertEqual(len(result.failures), 1)
        self.assertLeft()

    @unittest.skipIf(sys.version_info < (3, 11), "set-ups and tests share a context from 3.11 on")
    def test_coroutines_have_the_application_context(self):
        class Case(self.base(), unittest.IsolatedAsyncioTestCase):
            async def test_one(self):
                self.assertTrue(flask.has_app_context())

        self.assertPasses(Case)
        self.assertLeft()


class AppPerTestTest(support.Outcomes):
    """Suites that make an application for each test."""

    @classmethod
    def setUpClass(cls):
        cls.url = support.postgresql_url("core_apps_test", owner="app")

    def setUp(self):
        self.models = models.library()

    def make_app(self, url=None, **settings):
        return models.make_app(self.models.db, url or self.url, TESTING=True, **settings)

    def backends(self):
        ((number,),) = support.administer(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = 'core_apps_test'"
        )
        return number

    def check(self, base):
        Author = self.models.Author
        apps = []

        class Case(base):
            def test_one(self):
                apps.append(self.app)
                self.assertIs(flask.current_app._get_current_object(), self.app)
                self.assertEqual(count(self.db.session, Author), 0)
                author = Author(name="a")
                self.db.session.add(author)
                self.db.session.commit()
                self.assertEqual(author.id, 1)

        for number in range(30):
            setattr(Case, "test_%02d" % number, Case.test_one)
        before = self.backends()
        result = self.assertPasses(Case)
        self.assertEqual(result.testsRun, 31)
        self.assertLessEqual(self.backends() - before, 1, "one connection of our own, no pools")
        self.assertFalse(flask.has_app_context())
        return apps

    def test_an_app_set_on_the_test_before_set_up(self):
        make = self.make_app

        class Base(DatabaseTestCase):
            def setUp(self):
                self.app = make()
                super().setUp()

        self.assertEqual(len(set(map(id, self.check(Base)))), 31)

    def test_create_app_as_a_method_of_the_test(self):
        make = self.make_app

        class Base(DatabaseTestCase):
            def create_app(self):
                return make()

        self.assertEqual(len(set(map(id, self.check(Base)))), 31)

    def test_the_config_of_the_class_is_loaded_into_each(self):
        make = self.make_app

        class Base(DatabaseTestCase):
            config = models.testing(self.url)

            def setUp(self):
                self.app = make("sqlite://")
                super().setUp()

        self.check(Base)

    def test_create_app_of_the_class_makes_one_a_class(self):
        make = self.make_app

        class Base(DatabaseTestCase):
            @classmethod
            def create_app(cls):
                return make()

        self.assertEqual(len(set(map(id, self.check(Base)))), 1)

    def test_thirty_classes_leave_no_pools(self):
        make = self.make_app
        before = self.backends()

        class Base(DatabaseTestCase):
            @classmethod
            def create_app(cls):
                return make()

            def test_one(self):
                self.db.session.execute(sa.text("SELECT 1"))

        for number in range(10):
            self.assertPasses(type("Case%d" % number, (Base,), {}))
        self.assertLessEqual(self.backends() - before, 1)

    def test_the_pools_of_tests_that_failed_in_set_up_are_gone_too(self):
        make = self.make_app

        class Case(DatabaseTestCase):
            def setUp(self):
                self.app = make()
                super().setUp()
                self.db.session.execute(sa.text("SELECT 1"))
                raise ValueError("after ours")

            def test_one(self):
                pass

        for number in range(10):
            setattr(Case, "test_%02d" % number, Case.test_one)
        before = self.backends()
        result = support.run_case(Case)
        self.assertEqual(len(result.errors), 11)
        self.assertLessEqual(self.backends() - before, 1)

    def test_load_data_runs_once_for_all_of_them(self):
        make, Author = self.make_app, self.models.Author
        calls = []

        class Case(DatabaseTestCase):
            def setUp(self):
                self.app = make()
                super().setUp()

            def load_data(self):
                calls.append(self)
                self.db.session.add(Author(name="first"))
                self.mark = "loaded"

            def test_one(self):
                self.assertEqual((count(self.db.session, Author), self.mark), (1, "loaded"))

            test_two = test_three = test_one

        self.assertPasses(Case)
        self.assertEqual(len(calls), 1)

    def test_databases_in_memory(self):
        make, Author = self.make_app, self.models.Author

        class Case(DatabaseTestCase):
            def setUp(self):
                self.app = make("sqlite://")
                super().setUp()

            def load_data(self):
                self.db.session.add(Author(name="first"))

            def test_one(self):
                self.assertEqual(count(self.db.session, Author), 1)
                self.db.session.add(Author(name="second"))
                self.db.session.commit()

            test_two = test_three = test_one

        self.assertPasses(Case)

    def test_models_made_anew_with_each_app(self):
        url = self.url

        class Case(DatabaseTestCase):
            def setUp(self):
                self.models = models.library()
                self.app = models.make_app(self.models.db, url, TESTING=True)
                super().setUp()

            def test_one(self):
                self.assertIs(self.db, self.models.db)
                self.assertEqual(count(self.db.session, self.models.Author), 0)
                self.db.session.add(self.models.Author(name="a"))
                self.db.session.commit()

            test_two = test_three = test_one

        self.assertPasses(Case)


if __name__ == "__main__":
    unittest.main()
