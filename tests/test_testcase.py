from __future__ import annotations

import functools
import os
import shutil
import sys
import tempfile
import unittest
from typing import Any

import sqlalchemy as sa
import sqlalchemy.orm

from dbtestcase import DatabaseTestCase, _compat
from dbtestcase.testcase import _run_all
from tests import models, support
from tests.models import count


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

    def test_a_column_added_by_a_test_is_there_in_the_next_one(self):
        class Case(self.base()):
            def test_a_adds(self):
                self.db.metadata.tables["book"].append_column(sa.Column("pages", sa.Integer))

            def test_b_has_it(self):
                columns = sa.inspect(self.db.engine).get_columns("book")
                self.assertIn("pages", [column["name"] for column in columns])

        self.assertPasses(Case)

    def test_a_table_that_a_test_takes_out_of_the_metadata_is_not_in_the_next_one(self):
        class Case(self.base()):
            def test_a_takes_it_out(self):
                self.db.metadata.remove(self.db.metadata.tables["book"])

            def test_b_has_it_no_more(self):
                self.assertEqual(table_names(self.db.engine), ["author"])

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
        from flask import current_app

        outer = self

        class Case(self.base()):
            def test_one(self):
                self.assertIs(self.app, outer.app)
                self.assertIs(self.db, outer.db)
                self.assertIs(self.session, outer.db.session)
                self.assertIs(current_app._get_current_object(), outer.app)

        self.assertPasses(Case)

    def test_they_are_given_before_the_test_is_set_up_as_well(self):
        outer = self

        class Case(self.base()):
            def setUp(self):
                self.given = self.db, self.session
                super().setUp()

            def test_one(self):
                self.assertEqual(self.given, (outer.db, outer.db.session))

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


class StepsTest(unittest.TestCase):
    """What a test leaves by."""

    def test_all_steps_are_taken_the_last_first_whatever_they_raise(self):
        taken = []

        def step(name, error):
            taken.append(name)
            if error is not None:
                raise error

        errors = [None, KeyError("second"), None, ValueError("fourth")]
        steps = [functools.partial(step, number, each) for number, each in enumerate(errors)]
        with self.assertRaises(KeyError) as caught:
            _run_all(steps)
        self.assertEqual(taken, [3, 2, 1, 0])
        self.assertIs(caught.exception.__context__, errors[3])


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


if __name__ == "__main__":
    unittest.main()
