from __future__ import annotations

import os
import shutil
import tempfile
import types
import unittest

import sqlalchemy as sa

from dbtestcase import DatabaseTestCase, _compat
from tests import models, support

flask = support.imported("flask")


class EnginesContract:
    """Engines follow the loaded configuration, though Flask-SQLAlchemy made them before."""

    def base(self, app, **attributes):
        return type("Base", (DatabaseTestCase,), dict({"app": app}, **attributes))

    def make_library(self, url, binds=None, **settings):
        library = models.library(binds=binds is not None)
        library.app = models.make_app(library.db, url, binds, **settings)
        self.addCleanup(models.dispose, library.app, library.db)
        return library


class SQLiteEnginesTest(EnginesContract, support.Outcomes):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def url(self, name):
        return "sqlite:///%s" % os.path.join(self.folder, name)

    def test_a_relative_path_is_followed(self):
        library = self.make_library(self.url("development.db"))
        library.app.root_path = library.app.instance_path = self.folder
        found = []

        class Case(self.base(library.app, config=models.testing("sqlite:///app_test.db"))):
            def test_one(self):
                found.append(self.db.engine.url.database)

        self.assertPasses(Case)
        self.assertEqual(found, [os.path.join(self.folder, "app_test.db")])
        self.assertTrue(os.path.exists(found[0]))
        self.assertFalse(os.path.exists(os.path.join(self.folder, "development.db")))

    def test_every_bind_is_followed_and_put_back(self):
        binds = {"audit": self.url("audit.db")}
        library = self.make_library(self.url("shop.db"), binds)
        before = {
            key: id(engine) for key, engine in _compat.live_engines(library.db, library.app).items()
        }
        Author, Visit = library.Author, library.Visit
        testing = models.testing(self.url("shop_test.db"), {"audit": self.url("audit_test.db")})
        found = []

        class Case(self.base(library.app, config=testing)):
            def test_one(self):
                self.assertEqual(self.db.session.query(Visit).count(), 0)
                self.assertEqual(self.db.session.query(Author).count(), 0)
                self.db.session.add_all([Visit(page="/"), Author(name="a")])
                self.db.session.commit()
                engines = _compat.live_engines(self.db, self.app)
                found.append(
                    {key: os.path.basename(each.url.database) for key, each in engines.items()}
                )

            test_two = test_one

        self.assertPasses(Case)
        self.assertEqual(found, [{None: "shop_test.db", "audit": "audit_test.db"}] * 2)
        self.assertEqual(sorted(os.listdir(self.folder)), ["audit_test.db", "shop_test.db"])
        after = {
            key: id(engine) for key, engine in _compat.live_engines(library.db, library.app).items()
        }
        self.assertEqual(after, before)

    def test_a_bind_that_only_the_testing_config_has(self):
        library = self.make_library(self.url("shop.db"))
        testing = models.testing(self.url("shop_test.db"), {"extra": self.url("extra_test.db")})

        class Case(self.base(library.app, config=testing)):
            def create_tables(self):
                self.db.metadata.create_all(self.db.engine)

            def test_one(self):
                self.assertEqual(set(_compat.live_engines(self.db, self.app)), {None, "extra"})

        self.assertPasses(Case)

    def test_two_classes_with_configs_of_their_own(self):
        library = self.make_library(self.url("shop.db"))
        found = []

        def case(name):
            def test_one(self):
                found.append(os.path.basename(self.db.engine.url.database))

            attributes = {"config": models.testing(self.url(name)), "test_one": test_one}
            return type("Case", (self.base(library.app),), attributes)

        for name in ("a_test.db", "b_test.db", "a_test.db"):
            self.assertPasses(case(name))
        self.assertEqual(found, ["a_test.db", "b_test.db", "a_test.db"])

    def test_a_config_that_the_app_got_after_it_made_its_engines(self):
        library = self.make_library(self.url("shop.db"))
        library.app.config.from_object(
            types.SimpleNamespace(TESTING=True, SQLALCHEMY_DATABASE_URI=self.url("late_test.db"))
        )

        class Case(self.base(library.app)):
            def test_one(self):
                self.assertTrue(self.db.engine.url.database.endswith("late_test.db"))

        self.assertPasses(Case)
        self.assertFalse(os.path.exists(os.path.join(self.folder, "shop.db")))

    def test_engine_options_of_the_testing_config_are_used(self):
        library = self.make_library(self.url("shop_test.db"), TESTING=True)
        testing = {"SQLALCHEMY_ENGINE_OPTIONS": {"execution_options": {"mark": "testing"}}}

        class Case(self.base(library.app, config=testing)):
            def test_one(self):
                self.assertEqual(self.db.engine.get_execution_options(), {"mark": "testing"})

        self.assertPasses(Case)
        with library.app.app_context():
            self.assertEqual(library.db.engine.get_execution_options(), {})

    def test_the_app_has_served_a_request_before(self):
        library = self.make_library(self.url("shop.db"))
        with library.app.app_context():
            library.db.create_all()
        self.assertEqual(library.app.test_client().get("/authors").data, b"0")
        Author = library.Author

        class Case(self.base(library.app, config=models.testing(self.url("shop_test.db")))):
            push_app_context = False

            def test_one(self):
                with self.app.app_context():
                    self.db.session.add(Author(name="a"))
                    self.db.session.commit()
                self.assertEqual(self.app.test_client().get("/authors").data, b"1")

        self.assertPasses(Case)
        self.assertEqual(library.app.test_client().get("/authors").data, b"0")

    def test_a_session_that_was_open_before_the_class_is_not_used(self):
        library = self.make_library(self.url("shop.db"))
        Author = library.Author
        with library.app.app_context():
            library.db.create_all()
            library.db.session.add(Author(name="customer"))
            library.db.session.commit()
            library.db.session.query(Author).all()  # left open

            class Case(self.base(library.app, config=models.testing(self.url("shop_test.db")))):
                def test_one(self):
                    self.assertEqual(self.db.session.query(Author).count(), 0)

            self.assertPasses(Case)
            self.assertEqual(library.db.session.query(Author).count(), 1)

    def test_an_app_without_any_url_says_so(self):
        library = self.make_library("sqlite://")
        testing = {"SQLALCHEMY_DATABASE_URI": None, "TESTING": True}

        class Case(self.base(library.app, config=testing)):
            def test_one(self):
                pass

        self.assertEqual(
            self.message_of(Case),
            "ConfigurationError: the app 'webshop' has no SQLALCHEMY_DATABASE_URI in the mapping"
            " given as config: set it in the Testing configuration, for example"
            " postgresql://localhost/webshop_test",
        )
        self.assertEqual(library.app.config["SQLALCHEMY_DATABASE_URI"], "sqlite://")

    def test_the_url_that_flask_sqlalchemy_2_fills_in_counts_as_none(self):
        library = self.make_library("sqlite:///:memory:")

        class Case(self.base(library.app, config={"TESTING": True})):
            def test_one(self):
                pass

        self.assertIn("'webshop' has no SQLALCHEMY_DATABASE_URI in the", self.message_of(Case))

    def test_a_url_that_is_none_says_so_without_showing_it(self):
        library = self.make_library("sqlite://")
        for url, said in (
            ("", "it is empty"),
            ("secret at host", "it has no dialect:// that can be read"),
        ):

            class Case(self.base(library.app, config=models.testing(url))):
                def test_one(self):
                    pass

            self.assertEqual(
                self.message_of(Case),
                "ConfigurationError: SQLALCHEMY_DATABASE_URI is not a URL of a database, such as"
                " postgresql://localhost/app_test: " + said,
            )

    def test_an_app_without_flask_sqlalchemy_says_so(self):

        class Case(self.base(flask.Flask("bare"), config=models.testing("sqlite://"))):
            def test_one(self):
                pass

        self.assertEqual(
            self.message_of(Case),
            "ConfigurationError: the app 'bare' has no Flask-SQLAlchemy: call db.init_app(app), or"
            " give the class engine, metadata and session instead of app.",
        )

    def test_another_dialect_is_refused_before_anything_is_touched(self):
        library = self.make_library("sqlite://")
        url = "mssql+nosuchdriver://sa:secret@localhost/app_test"

        class Case(self.base(library.app, config=models.testing(url))):
            def test_one(self):
                pass

        self.assertEqual(
            self.message_of(Case),
            "UnsupportedDatabaseError: cannot reset a mssql database"
            " (mssql+nosuchdriver://sa:***@localhost/app_test): dbtestcase knows postgresql and"
            " sqlite. Nothing was touched.",
        )
        self.assertEqual(library.app.config["SQLALCHEMY_DATABASE_URI"], "sqlite://")

    def test_a_driver_that_is_not_installed_is_named(self):
        library = self.make_library("sqlite://")

        class Case(
            self.base(library.app, config=models.testing("postgresql+pg8000://u:secret@h/app_test"))
        ):
            def test_one(self):
                pass

        message = self.message_of(Case)
        self.assertTrue(
            message.startswith(
                "ConfigurationError: no engine can be made for"
                " postgresql+pg8000://u:***@h/app_test: ModuleNotFoundError: "
            ),
            message,
        )
        self.assertTrue(message.endswith("Install the driver that the URL asks for."))


class PostgreSQLEnginesTest(EnginesContract, support.Outcomes):
    def test_the_second_bind_is_dropped_created_and_reset_as_well(self):
        library = self.make_library(
            support.url_of("core_shop"), {"audit": support.url_of("core_audit")}
        )
        testing = models.testing(
            support.postgresql_url("core_shop_test"),
            {"audit": support.postgresql_url("core_audit_test")},
        )
        support.administer("CREATE TABLE stale (id int)", database="core_audit_test")
        Visit = library.Visit

        class Case(self.base(library.app, config=testing)):
            def test_one(self):
                self.assertEqual(self.db.session.query(Visit).count(), 0)
                visit = Visit(page="/")
                self.db.session.add(visit)
                self.db.session.commit()
                self.assertEqual(visit.id, 1)
                bind = _compat.live_engines(self.db, self.app)["audit"]
                self.assertEqual(sa.inspect(bind).get_table_names(), ["visit"])

            test_two = test_three = test_one

        self.assertPasses(Case)

    def test_two_binds_on_one_database_are_one(self):
        url = support.postgresql_url("core_shop_test")
        library = self.make_library(url, {"audit": url}, TESTING=True)
        Author, Visit = library.Author, library.Visit

        class Case(self.base(library.app)):
            def test_one(self):
                self.assertEqual(self.db.session.query(Visit).count(), 0)
                self.assertEqual(self.db.session.query(Author).count(), 0)
                self.db.session.add_all([Visit(page="/"), Author(name="a")])
                self.db.session.commit()

            test_two = test_one

        self.assertPasses(Case)

    def test_options_in_a_bind_are_understood(self):
        if not hasattr(type(models.library().db), "engines"):
            self.skipTest("Flask-SQLAlchemy 2 has URLs as binds, and nothing else")
        library = self.make_library("sqlite://", {"audit": {"url": "sqlite://"}})
        url = support.postgresql_url("core_audit_test")
        testing = models.testing("sqlite://", {"audit": {"url": url, "pool_size": 2}})

        class Case(self.base(library.app, config=testing)):
            def test_one(self):
                self.assertEqual(self.db.engines["audit"].pool.size(), 2)

        self.assertPasses(Case)

    def test_the_pools_made_for_the_class_are_closed_after_it(self):
        library = self.make_library("sqlite://")
        url = support.postgresql_url("core_pools_test")

        class Case(self.base(library.app, config=models.testing(url))):
            def test_one(self):
                self.db.session.execute(sa.text("SELECT 1"))

        for _ in range(5):
            self.assertPasses(Case)
        ((backends,),) = support.administer(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = 'core_pools_test'"
        )
        self.assertLessEqual(backends, 1, "the connection that clears, and no other")


if __name__ == "__main__":
    unittest.main()
