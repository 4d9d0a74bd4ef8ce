from __future__ import annotations

import sys
import unittest

from dbtestcase import _compat
from tests import models, support
from tests.leaving import ClassAndContext

flask = support.imported("flask")


class ContextTest(ClassAndContext):
    """The class and its contexts are left, whatever step raised."""

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

    def test_contexts_whose_pop_does_nothing_are_taken_out(self):
        def stuck(context):
            kind = type(context)
            context.__class__ = type("Stuck", (kind,), {"pop": lambda self, exc=None: None})
            context.push()

        for push in (True, False):

            class Case(self.base(push_app_context=push)):
                def test_one(self):
                    stuck(self.app.app_context())

                def test_two(self):
                    stuck(self.app.test_request_context("/"))

                def test_three(self):
                    stuck(self.app.app_context())
                    stuck(self.app.test_request_context("/"))
                    self.app.app_context().push()

                def test_zero(self):
                    self.assertEqual(flask.has_app_context(), self.push_app_context)
                    self.assertFalse(flask.request)

            with self.subTest(push):
                self.assertPasses(Case)
                self.assertLeft()

    def test_a_context_that_pushes_another_one_whenever_it_is_popped(self):
        app = self.app

        class Case(self.base()):
            def test_one(self):
                context = app.app_context()
                kind = type(context)

                def pop(context, exc=None):
                    kind.pop(context, exc)
                    again = app.app_context()
                    again.__class__ = type("Again", (kind,), {"pop": pop})
                    again.push()

                context.__class__ = type("Again", (kind,), {"pop": pop})
                context.push()

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


if __name__ == "__main__":
    unittest.main()
