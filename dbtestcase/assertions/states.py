"""Where an object stands between the program, its session and the database."""

from __future__ import annotations

import unittest
from typing import TYPE_CHECKING, Any, Optional

import sqlalchemy as sa
from sqlalchemy.orm.state import InstanceState

from .. import where
from . import describe, history

if TYPE_CHECKING:
    _TestCase = unittest.TestCase
else:
    _TestCase = object

__unittest = True  # a failure points at the line of the test

_STATES = ("transient", "pending", "persistent", "deleted", "detached")

_AFTER_COMMIT = " An object is deleted from flush to commit, and detached after the commit."
_ROW_UNSEEN = (
    " A row deleted by Query.delete(), by SQL or by another session leaves its object persistent:"
    " use assertNoRowExists()."
)


class ObjectStateAssertions(_TestCase):
    """Assertions about the state of a mapped object, as SQLAlchemy defines states.

    They only look: nothing is flushed, loaded or expired. A failure tells how the object got into
    its state, as far as its sessions showed it since the first class with this mixin began.
    """

    @classmethod
    def setUpClass(cls) -> None:
        history.listen()
        super().setUpClass()

    def setUp(self) -> None:
        history.listen()
        if where.current_test() is None:
            where.set_current_test("%s.%s" % (type(self).__name__, self._testMethodName))
            self.addCleanup(where.set_current_test, None)
        super().setUp()

    def assertTransient(self, obj: Any, msg: Optional[str] = None) -> None:
        """Fail unless the object is new: in no session, and without a row of its own."""
        _check(self, obj, "transient", msg)

    def assertPending(self, obj: Any, msg: Optional[str] = None) -> None:
        """Fail unless the object was added to a session and its INSERT is still to come."""
        _check(self, obj, "pending", msg)

    def assertPersistent(self, obj: Any, msg: Optional[str] = None) -> None:
        """Fail unless the object is in a session and was flushed or loaded.

        An object whose row something else deleted is still persistent: see assertRowExists().
        """
        _check(self, obj, "persistent", msg)

    def assertDeleted(self, obj: Any, msg: Optional[str] = None) -> None:
        """Fail unless the object's DELETE was flushed and its transaction is still open.

        After the commit the object is detached.
        """
        _check(self, obj, "deleted", msg)

    def assertDetached(self, obj: Any, msg: Optional[str] = None) -> None:
        """Fail unless the object was in a session, and is in none any more."""
        _check(self, obj, "detached", msg)


def _check(case: unittest.TestCase, obj: Any, expected: str, msg: Optional[str]) -> None:
    recorded = history.listen()
    state = sa.inspect(obj, raiseerr=False)
    if not isinstance(state, InstanceState):
        raise case.failureException(case._formatMessage(msg, _not_mapped(obj, expected)))
    actual = _name_of(state)
    if actual != expected:
        words = "%s is %s, not %s: %s." % (
            describe.mapped_object(state),
            actual,
            expected,
            history.explain(state, actual, recorded),
        )
        words += _advice(state, actual, expected)
        raise case.failureException(case._formatMessage(msg, words))


def _name_of(state: Any) -> str:
    return next(name for name in _STATES if getattr(state, name))


def _not_mapped(obj: Any, expected: str) -> str:
    if obj is None:
        got = "None"
    elif isinstance(obj, type):
        got = "the class %s" % obj.__name__
    else:
        got = "%s %s" % (type(obj).__name__, describe.value(obj))
    return "assert%s() takes a mapped object; got %s" % (expected.capitalize(), got)


def _advice(state: Any, actual: str, expected: str) -> str:
    if actual == "persistent" and expected in ("deleted", "detached"):
        if history.to_be_deleted(state):
            return " Flush the session first." if expected == "deleted" else _AFTER_COMMIT
        return _ROW_UNSEEN if expected == "deleted" else " Its session is still open."
    if {actual, expected} == {"deleted", "detached"} and state.was_deleted | state.deleted:
        return _AFTER_COMMIT
    return ""
