from __future__ import annotations

import unittest

import sqlalchemy as sa

from dbtestcase import DatabaseTestCase
from tests import models, support
from tests.models import count

flask = support.imported("flask")


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
