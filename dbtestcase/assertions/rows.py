"""Asserts which rows there are, as the test's own session sees them."""

from __future__ import annotations

import contextlib
import unittest
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Optional, Set, Tuple

from sqlalchemy.orm import Session, scoped_session, sessionmaker

from ..errors import ConfigurationError, count
from . import describe
from .targets import Target, target_of

if TYPE_CHECKING:
    _TestCase = unittest.TestCase
else:
    _TestCase = object

__unittest = True  # a failure points at the line of the test

_SHOWN = 5
_NEAREST = 3
_MOST_KEYS = 200  # more rows than this are only counted, not remembered
_NO_MESSAGE = object()


class RowAssertions(_TestCase):
    """Assertions about rows, seen by ``self.session``, else by ``self.db.session``.

    Like a query of that session they see uncommitted rows, and flush first where it has
    autoflush. A failure tells uncommitted rows from committed ones, and shows some of them.
    """

    def assertRowCount(
        self, target: Any, expected: int, *criteria: Any, msg: Optional[str] = None
    ) -> None:
        """Fail unless the target has this many rows that meet the criteria.

        Arguments:
            target: a mapped class, a Table, a ``select()`` or a Query.
            expected: the number of rows.
            criteria: SQL expressions as ``filter()`` takes them.
        """
        _check_number(expected, "a number of rows is 0, 1, 2, ...", 0)
        for criterion in criteria:
            if isinstance(criterion, (str, bool)) or criterion is None:
                raise TypeError(
                    "criteria are SQL expressions, as Participant.name == 'test', and a message is "
                    "given as msg=...; got %s" % describe.value(criterion)
                )
        with _session_of(self, "assertRowCount") as session:
            rows = target_of(session, target, *criteria)
            found = rows.count()
            if found != expected:
                number = count(expected, "row")
                what = rows.name + describe.where(criteria, rows.bind.dialect)
                words = "%s of %s expected, %d found" % (number, what, found)
                if criteria and not found:
                    words += " (%d without the criteria)" % target_of(session, target).count()
                _fail(self, msg, words + _seen(self, rows, found))

    def assertRowCountChanges(
        self, changes: Mapping[Any, int], msg: Optional[str] = None
    ) -> RowCountBlock:
        """Return a context manager that fails unless its block changes the numbers of rows so.

        Arguments:
            changes: by target (as assertRowCount takes them), how many rows more or, negative,
                less there must be after the block: ``{Participant: +1, Session: 0}``.
        """
        return RowCountBlock(self, changes, msg)

    def assertRowExists(self, __target: Any, *, msg: Any = _NO_MESSAGE, **values: Any) -> None:
        """Fail unless a row has all these values; the failure shows the nearest rows.

        Arguments:
            target: a mapped class or a Table, given by position.
            values: by attribute or column name; None means NULL.
            msg: as everywhere in unittest, unless the target has a column of this name.
        """
        with _session_of(self, "assertRowExists") as session:
            every = target_of(session, __target)
            msg, values = _wanted(every, msg, values)
            criteria = {name: every.attribute(name) == values[name] for name in values}
            if not target_of(session, __target, *criteria.values()).count():
                words = "no row of %s has %s" % (every.name, describe.pairs(values) or "any value")
                _fail(self, msg, words + _nearest(every, criteria, values))

    def assertNoRowExists(self, __target: Any, *, msg: Any = _NO_MESSAGE, **values: Any) -> None:
        """Fail if a row has all these values; arguments as of assertRowExists()."""
        with _session_of(self, "assertNoRowExists") as session:
            every = target_of(session, __target)
            msg, values = _wanted(every, msg, values)
            rows = target_of(session, __target, *[every.attribute(k) == values[k] for k in values])
            found = rows.count()
            if found:
                has = " with %s" % describe.pairs(values) if values else ""
                words = "no row of %s%s expected, %d found" % (rows.name, has, found)
                _fail(self, msg, words + _seen(self, rows, found))


class RowCountBlock:
    """The context manager of assertRowCountChanges()."""

    def __init__(
        self, case: unittest.TestCase, changes: Mapping[Any, int], msg: Optional[str]
    ) -> None:
        if not isinstance(changes, Mapping) or not changes:
            got = describe.value(changes)
            raise TypeError("changes are given as {Participant: +1, Session: 0}; got %s" % got)
        for change in changes.values():
            _check_number(change, "a change is a whole number of rows, as +1, 0 or -2")
        self._case, self._changes, self._msg = case, dict(changes), msg

    def __enter__(self) -> RowCountBlock:
        with _session_of(self._case, "assertRowCountChanges") as session:
            self._before = {each: _census(target_of(session, each)) for each in self._changes}
        return self

    def __exit__(self, failed: Any, error: Any, traceback: Any) -> None:
        if failed is not None:
            return
        with _session_of(self._case, "assertRowCountChanges") as session:
            targets = {each: target_of(session, each) for each in self._changes}
            after = {each: targets[each].count() for each in targets}
            changed = {each: after[each] - self._before[each][0] for each in targets}
            if changed == self._changes:
                return
            lines = ["row counts did not change as expected:"]
            for each, target in targets.items():
                (before, keys), expected = self._before[each], self._changes[each]
                is_so = changed[each] == expected
                verdict = "as expected" if is_so else "instead of %s" % _signed(expected)
                words = (target.name, _signed(changed[each]), verdict, before, after[each])
                lines.append("  %s: %s %s (%d before, %d after)" % words)
                if not is_so:
                    lines += _new_and_gone(target, keys)
            _fail(self._case, self._msg, "\n".join(lines))


def _fail(case: unittest.TestCase, msg: Any, words: str) -> None:
    raise case.failureException(case._formatMessage(msg, words))


# --- what was asked -----------------------------------------------------------------------------


@contextlib.contextmanager
def _session_of(case: unittest.TestCase, asker: str) -> Iterator[Any]:
    """Yield the test's own session: ``case.session``, else ``case.db.session``.

    A scoped session gives its current one. A sessionmaker has no current one: then a session of
    its own looks, and is closed afterwards.
    """
    own = getattr(case, "session", None)
    flask = getattr(getattr(case, "db", None), "session", None)
    for candidate in (own, flask):
        if isinstance(candidate, sessionmaker):
            with contextlib.closing(candidate()) as session:
                yield session
            return
        if isinstance(candidate, scoped_session):
            candidate = candidate()
        if isinstance(candidate, Session):
            yield candidate
            return
    found = "" if own is None else " (its session is of type %s)" % type(own).__name__
    raise ConfigurationError(
        "%s() found no session on %s%s. Set session to a SQLAlchemy session, scoped session or "
        "sessionmaker, or db to the Flask-SQLAlchemy object." % (asker, type(case).__name__, found)
    )


def _check_number(number: Any, rule: str, least: Optional[int] = None) -> None:
    whole = isinstance(number, int) and not isinstance(number, bool)
    if not whole or (least is not None and number < least):
        raise TypeError("%s; got %s" % (rule, describe.value(number)))


def _wanted(rows: Target, msg: Any, values: Dict[str, Any]) -> Tuple[Any, Dict[str, Any]]:
    # The name msg is the target's, where the target has a column of that name.
    if not rows.columns:
        raise TypeError("rows are found by value in a mapped class or a Table; got " + rows.name)
    if msg is _NO_MESSAGE:
        return None, values
    return (None, dict(values, msg=msg)) if "msg" in rows.columns else (msg, values)


# --- what was found -----------------------------------------------------------------------------


def _seen(case: unittest.TestCase, rows: Target, found: int) -> str:
    """Return the rest of a failure: who sees how many rows, and some of them."""
    known = getattr(case, "_dbtestcase_committed_counts", True)
    committed = rows.count_committed() if known else None
    if committed is None:
        lines = [":" if found else "."]
    else:
        lines = [": %d in this session, %d committed" % (found, committed)]
        lines[0] += ":" if found else "."
    shown = rows.rows(_SHOWN) if found else []
    lines += ["  " + describe.row(rows.row_name, values) for values in shown]
    if found > len(shown):
        lines.append("  ... and %d more" % (found - len(shown)))
    return "\n".join(lines + _unflushed(rows))


def _unflushed(rows: Target) -> List[str]:
    number = 0 if rows.session.autoflush else rows.unflushed()
    objects = count(number, "new object")
    return ["  not counted: %s, for autoflush is off" % objects] if number else []


def _nearest(every: Target, criteria: Dict[str, Any], values: Dict[str, Any]) -> str:
    number = every.count()
    if not number or not criteria:
        return "\n".join([": there are no rows."] + _unflushed(every))
    lines = ["; %s:" % ("the only row" if number == 1 else "the nearest of %d rows" % number)]
    for near in every.nearest(criteria, _NEAREST):
        lines.append("  " + describe.row(every.row_name, near.values))
        found = dict(near.values)
        for name in near.different:
            there = "%s, not " % describe.value(found[name]) if name in found else "not "
            lines.append("      %s is %s%s" % (name, there, describe.value(values[name])))
    return "\n".join(lines + _unflushed(every))


def _census(rows: Target) -> Tuple[int, Optional[Set[Any]]]:
    """Return the number of rows and, where these are few, their primary keys."""
    if rows.key:
        keys = rows.keys(_MOST_KEYS + 1)
        if len(keys) <= _MOST_KEYS:
            return len(keys), set(keys)
    return rows.count(), None


def _signed(number: int) -> str:
    return "%+d" % number if number else "0"


def _new_and_gone(rows: Target, before: Optional[Set[Any]]) -> List[str]:
    """Return the lines for rows that came and rows that went, where the former are known."""
    after = _census(rows)[1]
    if before is None or after is None:
        return []
    lines = []
    for values in rows.rows(_MOST_KEYS):
        if tuple(dict(values)[name] for name in rows.key) not in before:
            lines.append("      new: " + describe.row(rows.row_name, values))
    for key in sorted(before - after, key=repr):
        lines.append("      gone: " + describe.row(rows.row_name, zip(rows.key, key)))
    hidden = len(lines) - 2 * _SHOWN
    return lines[: 2 * _SHOWN] + (["      ... and %d more" % hidden] if hidden > 0 else [])
