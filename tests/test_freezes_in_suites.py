"""A whole suite that leaves everything open ends by itself, in each runner and with each driver."""

from __future__ import annotations

import importlib.util
import re
import unittest
from typing import List

from dbtestcase import _compat

from . import support
from .holding import driver_url

RUNNERS = {
    "unittest": ["-m", "unittest", "tests.freezing_suite"],
    "nose2": ["-m", "nose2", "tests.freezing_suite"],
    "pytest": ["-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/freezing_suite.py"],
}
LEFT_BY = {
    "test_a03_ddl_connection": ("connection", "test_a03_ddl_connection"),
    "test_a03_ddl_raw": ("raw connection", "test_a03_ddl_raw"),
    "test_a04_second_engine": ("connection", "test_a04_second_engine"),
    "test_a06_dead_thread": ("session", "write"),
    "test_a05_live_thread": ("session", "write"),
    "test_a11_yield_per": ("session", "test_a11_yield_per"),
    "test_a18_dry_pool": ("connection", "test_a18_dry_pool"),
    "test_fails_and_keeps_its_frame": ("session", "write"),
}


@unittest.skipUnless(importlib.util.find_spec("flask_sqlalchemy"), "needs Flask-SQLAlchemy")
class FreezingSuite(unittest.TestCase):
    """One test fails on purpose; every other passes, and each leak is told with its line."""

    def output_of(self, runner: str, driver: str = "psycopg2") -> str:
        if importlib.util.find_spec(runner) is None or importlib.util.find_spec(driver) is None:
            self.skipTest("no %s or %s here" % (runner, driver))
        url = support.postgresql_url("blocks_suite_test")
        url = _compat.url_text(_compat.url_with(url, drivername="postgresql+" + driver))
        arguments: List[str] = ["-W", "always::ResourceWarning"] + RUNNERS[runner]
        ended = support.run_python(*arguments, env={"FREEZING_URL": url}, timeout=60)
        return ended.stdout + ended.stderr

    def test_under_unittest(self) -> None:
        output = self.output_of("unittest")
        self.assertRegex(output, r"Ran 13 tests in \d\.")
        self.assertIn("FAILED (errors=1)", output)
        self.assertIn("ValueError: on purpose", output)
        for test, (kind, function) in LEFT_BY.items():
            self.assertRegex(
                output,
                r"tests/freezing_suite.py:\d+: ResourceWarning: FreezingTest.%s left a %s open at"
                r" \S*freezing_suite.py:\d+ in %s \(" % (test, kind, function),
            )

    def test_under_nose2_which_keeps_failures_for_the_whole_run(self) -> None:
        output = self.output_of("nose2")
        self.assertRegex(output, r"Ran 13 tests in \d\.")
        self.assertIn("FAILED (errors=1)", output)

    def test_under_pytest(self) -> None:
        output = self.output_of("pytest")
        self.assertRegex(output, re.compile(r"^1 failed, 12 passed", re.MULTILINE))

    def test_with_psycopg3(self) -> None:
        if _compat.postgresql_drivername() is None or not _has_psycopg_dialect():
            self.skipTest("this SQLAlchemy has no dialect for psycopg 3")
        self.assertIn("FAILED (errors=1)", self.output_of("unittest", "psycopg"))


def _has_psycopg_dialect() -> bool:
    try:
        _compat.url_with(
            driver_url("postgresql://h/d"), drivername="postgresql+psycopg"
        ).get_dialect()
    except Exception:
        return False
    return True
