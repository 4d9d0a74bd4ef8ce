"""Forbids plain test cases to use a database, in suites that want their unit tests to be such.

While it is on, a connection that is asked for by a ``unittest.TestCase`` which is no
``DatabaseTestCase``, from its ``setUpClass()`` to its last clean-up and in threads that it started,
is an error. What runs outside of any test case may connect: modules while they are imported, and
fixtures of modules and packages.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import unittest
from types import FrameType
from typing import Any, Iterator, Optional

import sqlalchemy as sa
from sqlalchemy.pool import Pool

from . import _compat, where
from .errors import ConfigurationError

VARIABLE = "DBTESTCASE_FORBID"

# The functions of runners below which a test case runs, and their variables that say which.
_UNITTEST = os.path.dirname(unittest.__file__) + os.sep
_PYTEST = os.path.join("_pytest", "unittest.py")
_VARIABLES = {
    "run": "self",
    "debug": "self",
    "doClassCleanups": "cls",
    "_handleClassSetUp": "currentClass",
    "_tearDownPreviousClass": "previousClass",
}

_forbidden = False
_watching = False


def forbid_database_access(forbidden: bool = True) -> None:
    """Make it an error if a plain test case, which is no ``DatabaseTestCase``, uses a database.

    Call it where a suite begins, as in ``tests/__init__.py``; or set ``DBTESTCASE_FORBID=1``.

    :param forbidden: false takes it back.
    """
    global _forbidden, _watching
    _forbidden = forbidden
    if forbidden and not _watching:
        _watching = True
        sa.event.listen(sa.engine.Engine, "do_connect", _connecting)
        sa.event.listen(Pool, "checkout", _checked_out)


@contextlib.contextmanager
def allow_database_access() -> Iterator[None]:
    """Allow what :func:`forbid_database_access` forbids within a block."""
    global _forbidden
    before, _forbidden = _forbidden, False
    try:
        yield
    finally:
        _forbidden = before


def _connecting(dialect: Any, record: Any, arguments: Any, parameters: Any) -> None:
    if _forbidden:
        _require_database_test(parameters.get("database") or parameters.get("dbname"))


def _checked_out(dbapi: Any, record: Any, fairy: Any) -> None:
    if _forbidden:
        location = _compat.location(dbapi)
        try:
            _require_database_test(location and location[-1])
        except ConfigurationError:
            _compat.give_back_refused(fairy)
            raise


def _require_database_test(database: Optional[str]) -> None:
    running = _running_case()
    if running is None or hasattr(running, "_dbtestcase_open_class"):
        return
    case = running if isinstance(running, type) else type(running)
    name = case.__name__
    if case is not running:
        name += "." + running._testMethodName
    line = where.user_line()
    raise ConfigurationError(
        "%s connects to %s%s, and plain test cases may not: forbid_database_access() or %s=1 is in"
        " force.\n"
        "  Nothing would clear up after it. Make %s a DatabaseTestCase; or have it do without the"
        " database."
        % (
            name,
            'the database "%s"' % database if database else "a database",
            " at %s in %s" % (line, line.function) if line else "",
            VARIABLE,
            case.__name__,
        )
    )


def _running_case() -> Any:
    """Return the test case that runs now, or the class of which a fixture runs, or ``None``.

    Found on the stack, so that any runner will do: on this thread's own, else on that of
    the main thread, for whatever the test has running beside it.
    """
    found = _case_on(sys._getframe(1))
    if found is None and threading.current_thread() is not threading.main_thread():
        found = _case_on(sys._current_frames().get(threading.main_thread().ident or 0))
    return found


def _case_on(frame: Optional[FrameType]) -> Any:
    while frame is not None:
        code, found = frame.f_code, None
        if code.co_name in _VARIABLES and code.co_filename.startswith(_UNITTEST):
            found = frame.f_locals.get(_VARIABLES[code.co_name])
        elif code.co_filename.endswith(_PYTEST):  # its fixtures for what a class sets up
            found = getattr(frame.f_locals.get("request"), "cls", None)
        if issubclass(found if isinstance(found, type) else type(found), unittest.TestCase):
            return found
        frame = frame.f_back
    return None


if where.is_on(VARIABLE):
    forbid_database_access()
