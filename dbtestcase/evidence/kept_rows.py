"""Keeps what a failed test had committed, in a database of its own."""

from __future__ import annotations

import contextlib
import re
import sys
import unittest
import zlib
from typing import Any, List, cast

from .. import _compat, events
from ..connections import begin_test
from ..databases import CheckedDatabase, controls_of, name_of, reconnect
from ..errors import first_line

_NAME_BYTES = 63
_BASE_BYTES = 40
#: The attribute of a test that holds the errors of its sub-tests.
FAILED_PARTS = "_dbtestcase_failed_parts"


def failed(case: Any, error: BaseException) -> None:
    """Keep the rows of a test that has just failed, and say in its failure where they are.

    :param case: the test.
    :param error: what it raised; its type and traceback stay as they are.
    """
    if case._dbtestcase_ready and _is_failure(error):
        _compat.add_text(error, _kept(case))


def ended(case: Any) -> None:
    """Keep the rows of a test that came to its end if a sub-test of it has failed."""
    # What sub-tests raised, as unittest keeps it up to Python 3.10.
    so_far = getattr(getattr(case, "_outcome", None), "errors", ())
    errors = vars(case).pop(FAILED_PARTS, []) + [each[1][1] for each in so_far if each[1]]
    if errors:
        text = _kept(case)
        for error in errors:
            _compat.add_text(error, text)
        if _compat.tells_sub_tests_at_once():  # the result has written down what they said
            sys.stderr.write("dbtestcase: %s\n" % text)


def sub_test_failed(case: Any, error: BaseException) -> None:
    """Remember what a sub-test raised until its test comes to an end."""
    vars(case).setdefault(FAILED_PARTS, []).append(error)


def name_of_copy(case: Any, base: str) -> str:
    """Return the name of the database that keeps the rows of a test, the same in every run.

    :param base: the configured database.
    """
    full = "%s.%s.%s" % (type(case).__module__, type(case).__qualname__, case._testMethodName)
    test = re.sub(r"[^a-z0-9]+", "_", name_of(case).lower()).strip("_")
    head = _cut(base, _BASE_BYTES) + "_failed_"
    tail = "_%06x" % (zlib.crc32(full.encode("utf-8")) & 0xFFFFFF)
    return head + _cut(test, _NAME_BYTES - len((head + tail).encode("utf-8"))) + tail


def _is_failure(error: BaseException) -> bool:
    if isinstance(error, (unittest.SkipTest, KeyboardInterrupt, SystemExit, GeneratorExit)):
        return False
    return type(error).__name__ not in ("Skipped", "XFailed", "Exit")  # by pytest


def _kept(case: Any) -> str:
    """Copy the databases of a test; return the text about the copies."""
    test, databases = name_of(case), case._dbtestcase_databases
    with events.during(events.LEAVING, case):
        try:
            case._dbtestcase_remove()
            case._dbtestcase_freed()
            case._dbtestcase_strategy.commit(databases)
            kept = [line for database in databases for line in _copied(database, case)]
        except Exception as error:  # the failure of the test is what matters
            said = first_line(error).rstrip(".")
            return "What %s had committed could not be kept: %s." % (test, said)
        finally:
            with contextlib.suppress(Exception):
                # What is left of the test, its tearDown(), finds everything as usual.
                engines, controls = case._dbtestcase_engines(), controls_of(databases)
                begin_test(engines, test, case.lock_timeout, controls)
    lines = ["What %s had committed is kept until it fails again:" % test]
    return "\n".join(lines + ["  " + line for line in kept])


def _copied(database: CheckedDatabase, case: Any) -> List[str]:
    """Copy a database; return how to get at the copy."""
    test, dialect = name_of(case), cast(Any, database.dialect)
    # Nobody may be connected during a copy: empty the pools of every engine that may be.
    engines, _ = _compat.engines_and_pooled_connections()
    for engine in engines:
        if engine.url.database in (database.name, database.base) or engine in database.engines:
            if not _compat.is_in_memory(engine.pool):
                engine.dispose()
    name = name_of_copy(case, database.base)
    with contextlib.closing(dialect.copier(database.engines[0], name)) as copier:
        try:
            return list(copier.copy(test, database.base))
        finally:
            reconnect(database, test, copier.pid)


def _cut(text: str, size: int) -> str:
    return text.encode("utf-8")[: max(0, size)].decode("utf-8", "ignore")
