"""What the tests of the verified reset share: databases of three roles, pg_dump as the judge."""

from __future__ import annotations

import unittest
from typing import Any, List, Optional

import sqlalchemy as sa

from dbtestcase.dialects.postgresql.drop import drop_everything
from dbtestcase.dialects.postgresql.reset import Baseline
from dbtestcase.dialects.postgresql.sessions import Control
from tests import support
from tests.dropping import dump, run

OWNER = "baseline_owner"
DRIVER = "postgresql"


class BaselineCase(unittest.TestCase):
    """Tests on one database, as its owner or as the superuser."""

    database = "baseline_owner_test"
    owner: Optional[str] = OWNER

    @classmethod
    def setUpClass(cls) -> None:
        if cls is BaselineCase:
            raise unittest.SkipTest("the cases of each role inherit from it")
        if cls.owner:
            support.administer(
                "DO $$ BEGIN CREATE ROLE %s LOGIN; EXCEPTION WHEN duplicate_object THEN END $$"
                % cls.owner
            )
        cls.url = support.postgresql_url(cls.database, owner=cls.owner)

    def setUp(self) -> None:
        self.control = self.new_control()
        drop_everything(self.control)

    def new_control(self, url: Optional[str] = None) -> Control:
        engine = sa.create_engine(url or self.url)
        self.addCleanup(engine.dispose)
        control = Control(engine)
        self.addCleanup(control.close)
        return control

    def run_sql(self, *statements: str) -> List[Any]:
        return run(self.url, *statements)

    def run_as_superuser(self, *statements: str) -> List[Any]:
        return run(support.url_of(self.database), *statements)

    def take(self, *statements: str) -> Baseline:
        """Make objects and rows, and remember them."""
        if statements:
            self.run_sql(*statements)
        self.before = dump(self.database)
        return Baseline.take(self.control)

    def assert_restores(self, baseline: Baseline, *statements: str) -> None:
        """Write, see that it shows, restore, see that nothing is left; and all of it twice."""
        self.run_sql(*statements)
        self.assertNotEqual(dump(self.database), self.before)
        self.assertIsNone(baseline.restore(self.control))
        self.run_sql(*statements)
        self.assertIsNone(baseline.restore(self.control))
        self.assertEqual(dump(self.database), self.before)
        self.assertIsNone(baseline.matches(self.control))
        self.assertIsNone(baseline.restore(self.control))

    def assert_reports(self, baseline: Baseline, words: str, *statements: str) -> None:
        """Write and see that a rebuild is asked for, again and again."""
        self.run_sql(*statements)
        self.assertIn(words, str(baseline.restore(self.control)))
        self.assertIsNotNone(baseline.restore(self.control))
