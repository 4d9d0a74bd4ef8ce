"""What the tests of set-ups, contexts and runners start from."""

from __future__ import annotations

from dbtestcase import DatabaseTestCase, _compat
from tests import models, support

flask = support.imported("flask")


class ClassAndContext(support.Outcomes):
    """An application on a database in memory, for tests of what surrounds a test."""

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
