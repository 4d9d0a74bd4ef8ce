from __future__ import annotations

import os
import sys
import unittest
import unittest.mock

from dbtestcase import ConfigurationError, DatabaseMixin, DatabaseTestCase
from tests import models, support
from tests.leaving import ClassAndContext
from tests.models import count

flask = support.imported("flask")


class OverridingTest(ClassAndContext):
    """Fixtures with and without super(), and what a class must declare."""

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

    def test_a_running_test_is_still_a_method_of_its_case(self):
        seen = []

        class Case(self.base()):
            def test_one(self):
                """What it is for."""
                method = getattr(self, self._testMethodName)
                seen.append((method.__self__ is self, method.__name__, method.__doc__))

        self.assertPasses(Case)
        self.assertEqual(seen, [(True, "test_one", "What it is for.")])

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
            "ConfigurationError: Case.reset is 'truncate'; it can be 'recreate' (as good as drop"
            " and"
            " create), 'rollback' (an outer transaction), or None (leave the data alone).",
        )
        self.assertLeft()


class UnittestTest(ClassAndContext):
    """unittest's own things work as ever."""

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


if __name__ == "__main__":
    unittest.main()
