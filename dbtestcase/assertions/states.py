"""Asserts the state of mapped objects, and records how they got into it.

SQLAlchemy's events show what sessions do to an object; each is recorded with the line of the user's
code and the test, so that a failure can name them.
"""

from __future__ import annotations

import unittest
import weakref
from typing import TYPE_CHECKING, Any, Callable, List, MutableMapping, NamedTuple, Optional

import sqlalchemy as sa
from sqlalchemy.orm import Session
from sqlalchemy.orm.state import InstanceState

from .. import where
from . import describe

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
        begin_to_record()
        super().setUpClass()

    def setUp(self) -> None:
        if not _is_recorded:  # the suite's setUpClass() did not call ours
            begin_to_record()
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
    recorded = _is_recorded
    begin_to_record()
    state = sa.inspect(obj, raiseerr=False)
    if not isinstance(state, InstanceState):
        raise case.failureException(case._formatMessage(msg, _not_mapped(obj, expected)))
    actual = next(name for name in _STATES if getattr(state, name))
    if actual != expected:
        words = "%s is %s, not %s: %s." % (
            describe.mapped_object(state),
            actual,
            expected,
            _reason(state, actual, recorded),
        )
        words += _advice(state, actual, expected)
        raise case.failureException(case._formatMessage(msg, words))


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
        if _is_to_be_deleted(state):
            return " Flush the session first." if expected == "deleted" else _AFTER_COMMIT
        return _ROW_UNSEEN if expected == "deleted" else " Its session is still open."
    if {actual, expected} == {"deleted", "detached"} and state.was_deleted | state.deleted:
        return _AFTER_COMMIT
    return ""


# --- what sessions did to an object -------------------------------------------------------------

_LONGEST_HISTORY = 6

# What was called, by the name of the function, and how to write it.
_CALLS = {
    "add": "session.add()",
    "add_all": "session.add_all()",
    "merge": "session.merge()",
    "delete": "session.delete()",
    "_autoflush": "autoflush",
    "flush": "session.flush()",
    "commit": "session.commit()",
    "rollback": "session.rollback()",
    "expunge": "session.expunge()",
    "expunge_all": "session.expunge_all()",
    "close": "session.close()",
    "remove": "session.remove()",
    "invalidate": "session.invalidate()",
    "close_all": "Session.close_all()",
    "close_all_sessions": "close_all_sessions()",
    "make_transient": "make_transient()",
    "do_teardown_appcontext": "app context left",
}

_EVENTS = (
    "transient_to_pending",
    "pending_to_transient",
    "pending_to_persistent",
    "persistent_to_transient",
    "persistent_to_deleted",
    "persistent_to_detached",
    "deleted_to_detached",
    "deleted_to_persistent",
    "detached_to_persistent",
    "loaded_as_persistent",
)

_is_recorded = False
_histories: MutableMapping[Any, List[Step]] = weakref.WeakKeyDictionary()


class Step(NamedTuple):
    """One change of an object's state."""

    event: str
    call: str  # a key of _CALLS, or "" for something else
    line: Optional[where.Line]
    test: Optional[str]

    def __str__(self) -> str:
        """Return ``session.add() at tests/test_order.py:12, in OrderTest.test_total``."""
        words = [_CALLS.get(self.call, "")]
        if self.line:
            words.append("at " + str(self.line))
        place = " ".join(filter(None, words))
        return ", ".join(filter(None, [place, self.test and "in %s" % self.test]))


def begin_to_record() -> None:
    """Begin to record what sessions do to objects, once in a process."""
    global _is_recorded
    if not _is_recorded:
        _is_recorded = True
        for event in _EVENTS:
            sa.event.listen(Session, event, _recorder(event))


def steps(state: Any) -> List[Step]:
    """Return the recorded changes of an object, the first and the latest ones."""
    return list(_histories.get(state, ()))


def _recorder(event: str) -> Callable[[Any, Any], None]:
    # A query may load thousands of objects: for those the test is enough.
    def record(session: Any, instance: Any) -> None:
        line, called = (None, []) if event == "loaded_as_persistent" else where.user_call()
        step = Step(event, _outermost(called), line, where.current_test())
        history = _histories.setdefault(sa.inspect(instance), [])
        history.append(step)
        if len(history) > _LONGEST_HISTORY:
            del history[1]

    return record


def _outermost(called: List[str]) -> str:
    if "do_teardown_appcontext" in called:
        return "do_teardown_appcontext"
    for name in reversed(called):
        if name in _CALLS:
            return name
    return ""


# --- why an object is in its state --------------------------------------------------------------

_FLUSHES = ("_autoflush", "flush", "commit")
_LEFT = {
    "remove": "the session it was in was removed",
    "do_teardown_appcontext": "the session it was in was removed with its app context",
    "expunge": "it was expunged from its session",
    "expunge_all": "its session was emptied",
    "make_transient": "it was made transient",
}
_CAME = {
    "pending_to_persistent": "it was flushed",
    "deleted_to_persistent": "its DELETE was rolled back",
    "detached_to_persistent": "it was attached to a session again",
}
_UNSEEN = {
    "transient": "it was never added to a session",
    "pending": "it was added to a session, but not flushed",
    "persistent": "it is in an open session, and has a key",
    "deleted": "its DELETE was flushed, but not committed",
    "detached": "how it left its session was not seen",
    "gone": "its DELETE was flushed",
}


def _reason(state: Any, name: str, recorded: bool) -> str:
    """Return how a mapped object became transient, pending, persistent, deleted or detached.

    ``name`` is the state that it is in; ``recorded`` is false when nothing was recorded before
    now, so that an empty history means nothing.
    """
    history = steps(state)
    if name == "detached" and state.was_deleted:
        name = "gone"
    if name == "persistent" and _is_to_be_deleted(state):
        reason = "delete() was called on it, but not flushed"
    elif name == "detached" and state.session_id is not None:
        # It never left: the session is what is gone.
        reason = "nothing refers to the session it was in, so that was garbage-collected"
    elif history:
        reason, how = _cause(name, history[-1]), str(history[-1])
        reason += " (%s)" % how if how else ""
    elif name == "transient" and not recorded:
        reason = "it is in no session, and new"
    else:
        reason = _UNSEEN[name]
    if history and history[0].test not in (None, where.current_test()):
        verb = "loaded" if history[0].event == "loaded_as_persistent" else "added"
        reason += ". It was first %s in %s" % (verb, history[0].test)
    return reason


def _cause(name: str, last: Step) -> str:
    """Return what the last recorded change did to an object that is now in a state."""
    if name == "transient":
        if last.call in _FLUSHES:
            return "its INSERT failed and was rolled back"
        if last.call == "rollback":
            return "the transaction in which it was added was rolled back"
        return _LEFT.get(last.call, "the session it was added to was closed")
    if name == "persistent":
        return _CAME.get(last.event, "it was loaded by a query")
    if name == "gone":
        if last.event == "deleted_to_detached" and last.call in ("commit", ""):
            return "its row was deleted and that was committed"
        return "its DELETE was flushed, but its session ended without a commit"
    if name == "detached":
        return _LEFT.get(last.call, "the session it was in was closed")
    return _UNSEEN[name]


def _is_to_be_deleted(state: Any) -> bool:
    return any(state.obj() is other for other in state.session.deleted)
