"""Many users of one connection, whose commits and rollbacks are savepoints of one transaction.

A savepoint is set when a user first writes, so that readers cost nothing and undo nothing. The
first one is always there and always stands where the last commit was.
"""

from __future__ import annotations

import itertools
import threading
import warnings
from typing import Any, List, Optional

from ...connections import Kind

BASE = "dbtestcase"


class _Entry:
    """A savepoint, whose it is, and what happened since."""

    def __init__(self, owner: Any, name: str) -> None:
        self.owner = owner
        self.name = name
        self.wrote = False
        self.mixed = False  # holds writes or commits of others


class Savepoints:
    """The stack of savepoints of one outer transaction.

    :param sql: the transaction, in the words of its dialect.
    :param test: the test, for warnings.
    """

    def __init__(self, sql: Any, test: str) -> None:
        self._sql = sql
        self._test = test
        self._stack: List[_Entry] = []
        self._names = itertools.count(1)
        self._lock = threading.RLock()
        self._failed_owner: Any = None

    def before(self, owner: Any, kind: str) -> None:
        """Set a savepoint where the statement that an owner is about to run needs one."""
        with self._lock:
            if self._failed_owner is not None:
                self._recover_from_another(owner)
            last = self._stack[-1] if self._stack else None
            if last is not None and last.owner is owner and last.wrote:
                if kind != Kind.DEFINE:
                    return  # nothing to do for most statements
            entry = self._find(owner)
            if kind == Kind.READ:
                if entry is None and self._stack:
                    self._push(owner)  # in case it fails, so that it takes nobody's rows along
                return
            if kind == Kind.DEFINE:
                self._sql.definitions_changed()
            self._forget_readers(owner)
            entry = entry or self._push(owner)
            entry.wrote = True
            for other in self._stack[self._stack.index(entry) + 1 :]:
                other.mixed = True

    def failed(self, owner: Any) -> None:
        """Remember whose statement failed: in PostgreSQL nothing else runs until it is undone."""
        self._failed_owner = owner

    def commit(self, owner: Any) -> None:
        """Keep what an owner wrote; deferred constraints are checked, as by a real commit."""
        with self._lock:
            if self._sql.failed:
                self.rollback(owner)  # which is what PostgreSQL makes of it
                return
            entry = self._find(owner)
            if entry is None or not entry.wrote:
                self._drop(entry)
            elif self._stack[0] is entry:
                self._commit_base()
            else:
                index = self._stack.index(entry)
                self._sql.release(entry.name)
                del self._stack[index:]
                for other in self._stack:
                    other.mixed = True

    def rollback(self, owner: Any) -> None:
        """Undo what an owner wrote since its last commit."""
        with self._lock:
            entry = self._find(owner)
            failed = self._sql.failed
            if entry is None:
                if failed and not self._stack:
                    self._sql.rollback_to(BASE)
            elif entry.wrote or failed:
                self._undo(entry)
            else:
                self._drop(entry)

    def _commit_base(self) -> None:
        try:
            self._sql.commit_base(BASE)
        except BaseException:
            if self._sql.failed:
                self._sql.rollback_to(BASE)
            raise
        finally:
            self._stack.clear()

    def _undo(self, entry: _Entry) -> None:
        index = self._stack.index(entry)
        lost = entry.mixed or any(other.wrote for other in self._stack[index + 1 :])
        del self._stack[index:]
        if index:
            self._sql.rollback_to(entry.name, release=True)
        else:
            self._sql.rollback_to(BASE)
        if lost:
            self._warn()

    def _recover_from_another(self, owner: Any) -> None:
        """Undo what a failed owner did, so that others go on as over connections of their own."""
        culprit = self._failed_owner
        if culprit is not None and culprit is not owner and self._sql.failed:
            self._failed_owner = None
            entry = self._find(culprit)
            if entry is not None or not self._stack:
                culprit.doom()
            if entry is not None:
                self._undo(entry)
            elif not self._stack:
                self._sql.rollback_to(BASE)

    def _find(self, owner: Any) -> Optional[_Entry]:
        for entry in self._stack:
            if entry.owner is owner:
                return entry
        return None

    def _push(self, owner: Any) -> _Entry:
        if self._stack:
            entry = _Entry(owner, "%s_%d" % (BASE, next(self._names)))
            self._sql.savepoint(entry.name)
        else:
            entry = _Entry(owner, BASE)
        self._stack.append(entry)
        return entry

    def _forget_readers(self, writer: Any) -> None:
        """Forget the savepoints of readers: what is written from now on is not theirs to undo."""
        self._stack = [entry for entry in self._stack if entry.wrote or entry.owner is writer]

    def _drop(self, entry: Optional[_Entry]) -> None:
        if entry is not None:
            self._stack.remove(entry)

    def _warn(self) -> None:
        warnings.warn(
            "%s: a connection rolled back after another one had written or committed since. All"
            " share one transaction, so both are undone; over connections of their own they would"
            ' not be. If the test depends on it, use reset = "recreate".' % self._test,
            RuntimeWarning,
            stacklevel=2,
        )
