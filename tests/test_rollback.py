from __future__ import annotations

import os
import shutil
import tempfile
import threading
import unittest
from typing import Any

import sqlalchemy as sa

from dbtestcase import DatabaseTestCase
from tests import models, support, test_testcase


class RollbackContract:
    """What a suite can rely on with ``reset = "rollback"``, whatever the database."""

    test_url: Any
    audit_url: Any
    development_url = "sqlite://"

    def setUp(self) -> None:
        self.models = models.library(binds=True)
        self.db = self.models.db
        self.app = models.make_app(self.db, self.development_url, {"audit": "sqlite://"})
        self.addCleanup(models.dispose, self.app, self.db)

    def base(self, **attributes: Any) -> Any:
        config = models.testing(self.test_url, {"audit": self.audit_url})
        known = {"app": self.app, "config": config, "reset": "rollback"}
        return type("Base", (DatabaseTestCase,), dict(known, **attributes))

    def test_commits_of_a_test_are_gone_in_the_next_and_ids_start_anew(self):
        Author = self.models.Author

        class Case(self.base()):
            def test_one(self):
                self.assertEqual(self.db.session.query(Author).count(), 0)
                author = Author(name="Ursula")
                self.db.session.add(author)
                self.db.session.commit()
                self.assertEqual(author.id, 1)
                self.db.session.rollback()
                self.assertEqual(self.db.session.query(Author).count(), 1)

            test_two = test_three = test_one

        self.assertPasses(Case)

    def test_rows_of_load_data_are_there_in_each_test(self):
        Author = self.models.Author

        class Case(self.base()):
            def load_data(self):
                self.db.session.add(Author(name="loaded"))

            def test_one(self):
                author = self.db.session.query(Author).one()
                author.name = "changed"
                self.db.session.add(Author(name="second"))
                self.db.session.commit()
                self.assertEqual([a.id for a in self.db.session.query(Author)], [1, 2])

            def test_two(self):
                self.assertEqual(self.db.session.query(Author).one().name, "loaded")
                self.db.session.query(Author).delete()
                self.db.session.commit()

            test_three = test_one

        self.assertPasses(Case)

    def test_every_bind_is_rolled_back(self):
        Author, Visit = self.models.Author, self.models.Visit

        class Case(self.base()):
            def test_one(self):
                self.assertEqual(self.db.session.query(Visit).count(), 0)
                self.db.session.add(Author(name="a"))
                self.db.session.add(Visit(page="b"))
                self.db.session.commit()
                self.assertEqual(self.db.session.query(Visit).count(), 1)

            test_two = test_one

        self.assertPasses(Case)

    def test_what_requests_commit_stays_inside(self):
        Author, db = self.models.Author, self.db

        @self.app.route("/add")
        def add() -> str:
            db.session.add(Author(name="request"))
            db.session.commit()
            return "added"

        class Case(self.base()):
            def test_one(self):
                self.assertEqual(self.app.test_client().get("/authors").data, b"0")
                self.assertEqual(self.app.test_client().get("/add").data, b"added")
                self.assertEqual(self.app.test_client().get("/authors").data, b"1")
                self.assertEqual(self.db.session.query(Author).count(), 1)

            test_two = test_one

        class WithoutContext(Case):
            push_app_context = False

            def test_one(self):
                self.assertEqual(self.app.test_client().get("/add").data, b"added")
                self.assertEqual(self.app.test_client().get("/authors").data, b"1")

            test_two = test_one

        self.assertPasses(Case)
        self.assertPasses(WithoutContext)

    def test_what_the_engine_commits_stays_inside(self):
        Author, engine_of = self.models.Author, self.engine_of

        class Case(self.base()):
            def test_one(self):
                with engine_of(self).begin() as connection:
                    connection.execute(sa.text("INSERT INTO author (name) VALUES ('engine')"))
                self.assertEqual(self.db.session.query(Author).one().id, 1)

            test_two = test_one

        self.assertPasses(Case)

    @staticmethod
    def engine_of(case: Any) -> Any:
        return case.db.engine

    def test_a_test_that_fails_in_the_middle_leaves_nothing(self):
        Author = self.models.Author

        class Case(self.base()):
            def test_a(self):
                self.db.session.add(Author(name="left"))
                self.db.session.flush()
                self.db.session.add(Author(name=None))
                self.db.session.commit()

            def test_b(self):
                self.assertEqual(self.db.session.query(Author).count(), 0)

        result = support.run_case(Case)
        self.assertEqual([test._testMethodName for test, _ in result.errors], ["test_a"])
        self.assertEqual(result.failures, [])

    def test_tables_made_by_a_test_are_gone(self):
        class Case(self.base()):
            def test_one(self):
                self.db.session.execute(sa.text("CREATE TABLE made (id INTEGER)"))
                self.db.session.commit()

            test_two = test_one

        self.assertPasses(Case)

    def test_a_class_of_each_kind_finds_what_it_expects_after_the_other(self):
        Author = self.models.Author

        class Rollback(self.base()):
            def test_one(self):
                self.assertEqual(self.db.session.query(Author).count(), 0)
                author = Author(name="one")
                self.db.session.add(author)
                self.db.session.commit()
                self.assertEqual(author.id, 1)

        class Recreate(Rollback):
            reset = "recreate"

        for case in (Recreate, Rollback, Recreate, Rollback, Rollback):
            self.assertPasses(case)

    def test_autocommit_is_refused_by_name(self):
        engine_of = self.engine_of

        class Case(self.base()):
            def test_one(self):
                with engine_of(self).connect() as connection:
                    connection.execution_options(isolation_level="AUTOCOMMIT")

        ((_, text),) = support.run_case(Case).errors
        self.assertIn("ConfigurationError: Case.test_one asks for AUTOCOMMIT on ", text)
        self.assertIn('Use reset = "recreate" for this class.', text)

    def test_the_engines_are_as_before_when_a_test_is_over(self):
        engine_of, pools = self.engine_of, []

        class Case(self.base()):
            def setUp(self):
                super().setUp()
                self.addCleanup(self.look)

            def look(self):
                pools.append(type(engine_of(self).pool).__name__)

            def test_one(self):
                self.look()

        Case.tearDownClass = classmethod(lambda cls: pools.append("end"))
        support.run_case(Case)
        self.assertEqual(pools, ["SharedPool", "SharedPool", "end"])
        with self.app.app_context():
            self.assertNotEqual(type(self.db.engine.pool).__name__, "SharedPool")


class PostgreSQLRollbackTest(RollbackContract, support.Outcomes):
    @classmethod
    def setUpClass(cls):
        cls.test_url = support.postgresql_url("outer_life_test")
        cls.audit_url = support.postgresql_url("outer_audit_test")

    def test_what_an_engine_of_its_own_commits_is_named_and_cleared(self):
        Author, url = self.models.Author, self.test_url

        class Case(self.base()):
            def test_a(self):
                engine = sa.create_engine(url)
                with engine.begin() as connection:
                    connection.execute(sa.text("INSERT INTO author (name) VALUES ('escaped')"))
                engine.dispose()

            def test_b(self):
                self.assertEqual(self.db.session.query(Author).count(), 0)
                author = Author(name="first")
                self.db.session.add(author)
                self.db.session.commit()
                self.assertEqual(author.id, 1)

        result = support.run_case(Case)
        ((test, text),) = result.errors
        self.assertEqual(test._testMethodName, "test_a")
        self.assertTrue(
            text.endswith(
                'DatabaseTestCaseError: Case.test_a wrote to "outer_life_test" past its outer'
                " transaction: public.author.\n"
                "  It was committed for real: by an engine or process of its own, or by a COMMIT"
                " that was sent as text. The database was cleared, so the next test starts clean.\n"
                "  A test that needs real commits belongs to a class with reset ="
                ' "recreate".\n'
            ),
            text,
        )

    def test_rows_that_were_deleted_past_the_transaction_are_named_and_back(self):
        Author, url = self.models.Author, self.test_url

        class Case(self.base()):
            def load_data(self):
                self.db.session.add(Author(name="loaded"))

            def test_a(self):
                engine = sa.create_engine(url)
                with engine.begin() as connection:
                    connection.execute(sa.text("DELETE FROM author"))
                engine.dispose()

            def test_b(self):
                self.assertEqual(self.db.session.query(Author).one().name, "loaded")

        ((_, text),) = support.run_case(Case).errors
        self.assertIn("past its outer transaction: public.author.", text)

    def test_a_table_that_was_made_past_the_transaction_is_named_and_gone(self):
        url = self.test_url

        class Case(self.base()):
            def test_a(self):
                engine = sa.create_engine(url)
                with engine.begin() as connection:
                    connection.execute(sa.text("CREATE TABLE escaped (id int)"))
                engine.dispose()

            def test_b(self):
                self.assertNotIn("escaped", sa.inspect(self.db.engine).get_table_names())

        ((test, text),) = support.run_case(Case).errors
        self.assertEqual(test._testMethodName, "test_a")
        self.assertIn("escaped", text)

    def test_rows_that_come_late_do_not_reach_the_next_test(self):
        Author, url = self.models.Author, self.test_url

        class Case(self.base()):
            def test_a(self):
                pass

            def test_b(self):
                self.assertEqual(self.db.session.query(Author).count(), 0)

            def setUp(self):
                if self._testMethodName == "test_b":
                    engine = sa.create_engine(url)
                    with engine.begin() as connection:
                        connection.execute(sa.text("INSERT INTO author (name) VALUES ('late')"))
                    engine.dispose()
                super().setUp()

        self.assertPasses(Case)

    def test_tables_that_come_late_do_not_reach_the_next_test(self):
        known = self.models
        for late in (self.test_url, self.audit_url):

            class Case(self.base()):
                def test_a(self):
                    for key in (None, "audit"):
                        engine = self._dbtestcase_target.engines[key]
                        self.assertNotIn("late", sa.inspect(engine).get_table_names())
                        self.assertEqual(type(engine.pool).__name__, "SharedPool")
                    self.db.session.add(known.Author(name="a"))
                    self.db.session.add(known.Visit(page="b"))
                    self.db.session.commit()
                    self.assertEqual(self.db.session.query(known.Author).count(), 1)
                    self.assertEqual(self.db.session.query(known.Visit).count(), 1)

                test_b = test_c = test_a

                def setUp(self, url=late):
                    if self._testMethodName != "test_c":
                        engine = sa.create_engine(url)
                        with engine.begin() as connection:
                            connection.execute(sa.text("CREATE TABLE late (id int)"))
                        engine.dispose()
                    super().setUp()

            with self.subTest(late):
                self.assertPasses(Case)

    def test_a_violated_deferred_constraint_fails_the_commit_as_over_a_real_one(self):
        class Case(self.base()):
            def test_one(self):
                self.db.session.execute(
                    sa.text(
                        "CREATE TABLE made (author_id int CONSTRAINT made_author REFERENCES author"
                        " DEFERRABLE INITIALLY DEFERRED)"
                    )
                )
                self.db.session.commit()
                self.db.session.execute(sa.text("INSERT INTO made VALUES (7)"))
                with self.assertRaisesRegex(sa.exc.IntegrityError, "made_author"):
                    self.db.session.commit()

        self.assertPasses(Case)

    def test_a_violation_that_no_commit_checked_fails_the_test(self):
        class Case(self.base()):
            def test_one(self):
                self.db.session.execute(
                    sa.text(
                        "CREATE TABLE made (author_id int CONSTRAINT made_author REFERENCES"
                        " author DEFERRABLE INITIALLY DEFERRED)"
                    )
                )
                self.db.session.execute(
                    sa.text(
                        "CREATE FUNCTION violate() RETURNS int LANGUAGE sql AS"
                        " 'INSERT INTO made VALUES (7); SELECT 1'"
                    )
                )
                self.db.session.commit()
                self.db.session.execute(sa.text("SELECT violate()"))
                self.db.session.commit()

        ((_, text),) = support.run_case(Case).failures
        self.assertIn(
            'AssertionError: Case.test_one left rows in "outer_life_test" that violate a deferred'
            " constraint, which a commit checks:\n",
            text,
        )
        self.assertIn('"made_author"', text)

    def test_two_binds_on_one_database_share_the_transaction(self):
        self.test_url = self.audit_url = support.postgresql_url("outer_shared_test")
        Author, Visit = self.models.Author, self.models.Visit

        class Case(self.base()):
            def test_one(self):
                self.db.session.add(Author(name="a"))
                self.db.session.add(Visit(page="b"))
                self.db.session.commit()
                rows = self.db.session.execute(sa.text("SELECT count(*) FROM author, visit"))
                self.assertEqual(rows.scalar(), 1)

            test_two = test_one

        self.assertPasses(Case)

    def test_the_connection_carries_the_name_and_the_bound_of_the_test(self):
        class Case(self.base(lock_timeout=2.0)):
            def test_one(self):
                row = self.db.session.execute(
                    sa.text(
                        "SELECT current_setting('application_name'),"
                        " current_setting('lock_timeout')"
                    )
                ).fetchone()
                self.assertEqual(tuple(row), ("dbtestcase %s" % self.name(), "2s"))

            def name(self):
                return "Case.%s" % self._testMethodName

            test_two = test_one

        self.assertPasses(Case)

    def test_threads_see_and_leave_what_the_test_does(self):
        Author = self.models.Author

        class Case(self.base()):
            def test_one(self):
                thread = threading.Thread(target=self.work)
                thread.start()
                thread.join()
                self.assertEqual(self.db.session.query(Author).count(), 1)

            def work(self):
                with self.app.app_context():
                    self.db.session.add(Author(name="thread"))
                    self.db.session.commit()
                    self.db.session.remove()

            test_two = test_one

        self.assertPasses(Case)

    def test_a_test_that_ends_its_own_connection_does_no_harm_to_the_next(self):
        Author = self.models.Author

        class Case(self.base()):
            def test_a(self):
                pid = self.db.session.execute(sa.text("SELECT pg_backend_pid()")).scalar()
                support.administer("SELECT pg_terminate_backend(%d)" % pid)
                with self.assertRaises(sa.exc.DBAPIError):
                    self.db.session.execute(sa.text("SELECT 1"))

            def test_b(self):
                self.assertEqual(self.db.session.query(Author).count(), 0)

        self.assertPasses(Case)


class SQLiteFileRollbackTest(RollbackContract, support.Outcomes):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp()
        cls.test_url = "sqlite:///%s" % os.path.join(cls.folder, "app_test.db")
        cls.audit_url = "sqlite:///%s" % os.path.join(cls.folder, "audit_test.db")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def test_what_an_engine_of_its_own_commits_is_named_and_cleared(self):
        Author, url = self.models.Author, self.test_url

        class Case(self.base()):
            def test_a(self):
                engine = sa.create_engine(url)
                with engine.begin() as connection:
                    connection.execute(sa.text("INSERT INTO author (name) VALUES ('escaped')"))
                engine.dispose()

            def test_b(self):
                self.assertEqual(self.db.session.query(Author).count(), 0)

        ((test, text),) = support.run_case(Case).errors
        self.assertEqual(test._testMethodName, "test_a")
        self.assertIn('wrote to "app_test.db" past its outer transaction: author.', text)


class SQLiteMemoryRollbackTest(RollbackContract, support.Outcomes):
    test_url = audit_url = "sqlite://"


class RollbackLife:
    """The contract of the life of a test, with one line changed."""

    def base(self, **attributes: Any) -> Any:
        return super().base(**dict({"reset": "rollback"}, **attributes))

    test_reset_none_leaves_the_data_alone = None  # a class that rolls back leaves none


class PostgreSQLRollbackLifeTest(RollbackLife, test_testcase.LifeContract, support.Outcomes):
    @classmethod
    def setUpClass(cls):
        cls.test_url = support.postgresql_url("outer_contract_test")
        cls.development_url = support.postgresql_url("outer_development")


class SQLiteMemoryRollbackLifeTest(RollbackLife, test_testcase.LifeContract, support.Outcomes):
    test_url = development_url = "sqlite://"


class SQLiteFileRollbackLifeTest(RollbackLife, test_testcase.LifeContract, support.Outcomes):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp()
        cls.test_url = "sqlite:///%s" % os.path.join(cls.folder, "app_test.db")
        cls.development_url = "sqlite:///%s" % os.path.join(cls.folder, "development.db")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)


class CommittedCountsTest(unittest.TestCase):
    def test_a_failure_calls_nothing_committed_as_all_connections_are_one(self):
        things = sa.Table("thing", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True))

        class ThingTest(DatabaseTestCase):
            reset = "rollback"
            engine = support.postgresql_url("rollback_counts_test")
            metadata = things.metadata

            def test_one(self):
                self.session.execute(things.insert().values(id=1))
                self.assertRowCount(things, 2)

        ((_, text),) = support.run_case(ThingTest).failures
        self.assertIn("2 rows of thing expected, 1 found", text)
        self.assertNotIn("committed", text)
