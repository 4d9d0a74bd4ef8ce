from __future__ import annotations

import os
import shutil
import tempfile
import types
import unittest

import sqlalchemy as sa

from dbtestcase import DatabaseTestCase, _compat
from tests import models, support


@support.requires("flask_sqlalchemy_lite")
class LiteTest(support.Outcomes):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def url(self, name):
        return "sqlite:///%s" % os.path.join(self.folder, name)

    def library(self, engines, **session_options):
        from flask import Flask
        from flask_sqlalchemy_lite import SQLAlchemy

        library = models.plain_library()
        library.db = SQLAlchemy(session_options=session_options)
        library.app = Flask("webshop")
        library.app.config["SQLALCHEMY_ENGINES"] = engines
        library.db.init_app(library.app)
        self.addCleanup(models.dispose, library.app, library.db)
        return library

    def base(self, library, testing, **attributes):
        attributes = dict({"metadata": library.Base}, **attributes)
        attributes.update(app=library.app, config=dict(testing, TESTING=True))
        return type("Base", (DatabaseTestCase,), attributes)

    def counting(self, library, base):
        """Return a class whose tests each write a row and see no other."""
        Author = library.Author

        class Case(base):
            def test_one(self):
                author = Author(name="a")
                self.db.session.add(author)
                self.assertPending(author)
                self.db.session.commit()
                self.assertPersistent(author)
                self.assertEqual(author.id, 1)
                self.assertRowCount(Author, 1)
                with self.assertNumQueries(1):
                    self.assertEqual(self.db.session.query(Author).count(), 1)

            test_two = test_three = test_one

        return Case

    def test_the_engines_follow_and_are_put_back(self):
        library = self.library({"default": self.url("shop.db")})
        before = _compat.live_engines(library.db, library.app)
        base = self.base(library, {"SQLALCHEMY_ENGINES": {"default": self.url("shop_test.db")}})
        self.assertPasses(self.counting(library, base))
        self.assertEqual(os.listdir(self.folder), ["shop_test.db"])
        self.assertEqual(_compat.live_engines(library.db, library.app), before)
        with library.app.app_context():
            self.assertIs(library.db.session.get_bind(), before[None])

    def test_every_test_is_reset_on_postgresql_by_either_strategy(self):
        url = support.postgresql_url("lite_shop_test")
        library = self.library({"default": support.url_of("lite_shop")})
        for reset in ("recreate", "rollback"):
            with self.subTest(reset):
                testing = {"SQLALCHEMY_ENGINES": {"default": {"url": url, "pool_size": 2}}}
                base = self.base(library, testing, reset=reset)
                self.assertPasses(self.counting(library, base))

    def test_an_engine_and_metadata_of_its_own_for_some_models(self):
        urls = {"default": self.url("shop.db"), "audit": self.url("audit.db")}
        audit = models.plain_library()
        library = self.library(urls, binds={audit.Base: "audit"})
        testing = {name: self.url(name + "_test.db") for name in urls}
        Author, Visitor = library.Author, audit.Author
        case = self

        class Case(
            self.base(
                library,
                {"SQLALCHEMY_ENGINES": testing},
                metadata={"default": library.Base, "audit": audit.metadata},
            )
        ):
            def test_one(self):
                self.assertEqual(self.db.session.query(Visitor).count(), 0)
                self.db.session.add_all([Author(name="a"), Visitor(name="v")])
                self.db.session.commit()
                for name, expected in (("default", "a"), ("audit", "v")):
                    with self.db.get_engine(name).connect() as connection:
                        names = connection.execute(sa.text("SELECT name FROM author")).scalars()
                        self.assertEqual(list(names), [expected])
                case.assertEqual(
                    sorted(os.listdir(case.folder)), ["audit_test.db", "default_test.db"]
                )

            test_two = test_one

        self.assertPasses(Case)
        with library.app.app_context():
            self.assertEqual(library.db.session.get_bind(Visitor), library.db.engines["audit"])

    def test_rows_that_every_test_starts_with(self):
        library = self.library({"default": self.url("shop_test.db")})
        Author = library.Author

        class Case(self.base(library, {})):
            def load_data(self):
                self.db.session.add(Author(name="first"))

            def test_one(self):
                self.assertEqual(self.session, self.db.session)
                self.assertRowCount(Author, 1)
                self.db.session.query(Author).delete()
                self.db.session.commit()

            test_two = test_one

        self.assertPasses(Case)

    def test_a_session_that_was_open_before_the_class_is_not_used(self):
        library = self.library({"default": self.url("shop.db")})
        testing = {"SQLALCHEMY_ENGINES": {"default": self.url("shop_test.db")}}
        with library.app.app_context():
            library.metadata.create_all(library.db.engine)
            library.db.session.add(library.Author(name="customer"))
            library.db.session.commit()
            library.db.session.query(library.Author).all()  # left open
            self.assertPasses(self.counting(library, self.base(library, testing)))
            self.assertEqual(library.db.session.query(library.Author).count(), 1)

    def test_the_sessions_of_a_test_are_closed_by_its_end(self):
        library = self.library({"default": self.url("shop_test.db")})
        sessions = []

        class Case(self.base(library, {})):
            def test_one(self):
                sessions.append(self.db.session)
                sessions.append(self.db.get_session("other"))
                for session in sessions:
                    session.execute(sa.text("SELECT 1"))

        self.assertPasses(Case)
        self.assertEqual([each.in_transaction() for each in sessions], [False, False])

    def test_a_suite_without_metadata_is_told_to_give_it(self):
        library = self.library({"default": "sqlite://"})

        class Case(self.base(library, {}, metadata=None)):
            def test_one(self):
                pass

        self.assertEqual(
            self.message_of(Case),
            "ConfigurationError: there is nothing to create: Flask-SQLAlchemy-Lite does not know"
            " the models of the app 'webshop'. Give the class their metadata (a MetaData or a"
            " declarative base, or a mapping of them by the name of their engine), or override"
            " create_tables().",
        )

    def test_metadata_for_an_engine_that_is_not_configured(self):
        library = self.library({"default": "sqlite://"})

        class Case(self.base(library, {}, metadata={"audit": library.Base})):
            def test_one(self):
                pass

        self.assertEqual(
            self.message_of(Case),
            'ConfigurationError: metadata has tables for SQLALCHEMY_ENGINES["audit"], which is not'
            " configured.",
        )

    def test_a_configuration_without_an_engine_that_sessions_are_bound_to(self):
        library = self.library(
            {"default": self.url("shop.db"), "audit": self.url("audit.db")},
            binds={models.plain_library().Base: "audit"},
        )
        before = _compat.live_engines(library.db, library.app)
        testing = {"SQLALCHEMY_ENGINES": {"default": self.url("shop_test.db")}}

        class Case(self.base(library, testing)):
            def test_one(self):
                pass

        self.assertEqual(
            self.message_of(Case),
            'ConfigurationError: sessions are bound to the engine "audit", which the Testing'
            " configuration does not have: add it to SQLALCHEMY_ENGINES.",
        )
        self.assertEqual(_compat.live_engines(library.db, library.app), before)

    def test_an_app_without_an_engine_is_told_which_setting_it_lacks(self):
        library = self.library({"default": "sqlite://"})

        class Case(self.base(library, {"SQLALCHEMY_ENGINES": {}})):
            def test_one(self):
                pass

        self.assertIn('has no SQLALCHEMY_ENGINES["default"] in the map', self.message_of(Case))

    def test_a_database_that_is_not_for_tests_is_refused_by_the_name_of_its_setting(self):
        support.postgresql_url("lite_shop")
        library = self.library({"default": support.url_of("lite_shop")})

        class Case(self.base(library, {})):
            def test_one(self):
                pass

        message = self.message_of(Case)
        self.assertTrue(message.startswith("UnsafeDatabaseError: "), message)
        self.assertIn("SQLALCHEMY_ENGINES[\"default\"] of the app 'webshop'", message)

    def test_engines_for_asyncio_are_refused(self):
        library = self.library({"default": "sqlite://"})
        testing = {"SQLALCHEMY_ASYNC_ENGINES": {"default": "sqlite+aiosqlite://"}}

        class Case(self.base(library, testing)):
            def test_one(self):
                pass

        self.assertEqual(
            self.message_of(Case),
            "ConfigurationError: the app 'webshop' has SQLALCHEMY_ASYNC_ENGINES, whose databases"
            " cannot be checked and reset: set it to {} in the Testing configuration.",
        )

    def test_an_extension_is_told_apart_by_its_type(self):
        library = self.library({"default": "sqlite://"})
        self.assertTrue(_compat.is_lite(library.db))
        self.assertFalse(_compat.is_lite(types.SimpleNamespace(sessionmaker=None)))


if __name__ == "__main__":
    unittest.main()
