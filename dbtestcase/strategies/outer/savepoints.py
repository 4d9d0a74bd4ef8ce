"""Makes the commits and rollbacks of many users of one connection savepoints of its transaction.

A savepoint is set when a user first writes, so that readers cost nothing and undo nothing. The
base savepoint is always there and always stands where the last commit was.
"""

from __future__ import annotations

import itertools
import threading
import warnings
from typing import TYPE_CHECKING, List, Optional

from ...connections import Kind
from ...contracts import BASE_SAVEPOINT, OuterConnection

if TYPE_CHECKING:
    from .checkout import Checkout


class _Entry:
    """A savepoint, whose it is, and what happened since."""

    def __init__(self, owner: Checkout, name: str) -> None:
        self.owner = owner
        self.name = name
        self.wrote = False
        self.mixed = False  # holds writes or commits of others


class Savepoints:
    """The stack of savepoints of one outer transaction; their owners are check-outs.

    :param connection: the connection that all share.
    :param test: the test, for warnings.
    """

    def __init__(self, connection: OuterConnection, test: str) -> None:
        self._connection = connection
        self._test = test
        self._stack: List[_Entry] = []
        self._numbers = itertools.count(1)
        self._lock = threading.RLock()
        self._failed_owner: Optional[Checkout] = None

    def before(self, owner: Checkout, kind: str) -> None:
        """Set a savepoint where the statement that an owner is about to run needs one.

        :param kind: what the statement does, as :func:`connections.read_statement` says.
        """
        with self._lock:
            if self._failed_owner is not None and self._failed_owner is not owner:
                self._undo_failed()
            last = self._stack[-1] if self._stack else None
            if last is not None and last.owner is owner and last.wrote:
                if kind != Kind.DEFINE:
                    return  # nothing to do for most statements
            if kind == Kind.DEFINE:
                self._connection.definitions_changed()
            if kind != Kind.READ:  # what is written from now on is not for readers to undo
                self._stack = [each for each in self._stack if each.wrote or each.owner is owner]
            entry = self._find(owner)
            if entry is None and not self._stack:
                if kind == Kind.READ:
                    return
                entry = _Entry(owner, BASE_SAVEPOINT)
                self._stack.append(entry)
            elif entry is None:  # a reader's as well: if it fails, it takes nobody's rows along
                entry = _Entry(owner, "%s_%d" % (BASE_SAVEPOINT, next(self._numbers)))
                self._connection.savepoint(entry.name)
                self._stack.append(entry)
            if kind != Kind.READ:
                entry.wrote = True
                for other in self._stack[self._stack.index(entry) + 1 :]:
                    other.mixed = True

    def failed(self, owner: Checkout) -> None:
        """Remember whose statement failed: in PostgreSQL nothing else runs until it is undone."""
        self._failed_owner = owner

    def commit(self, owner: Checkout) -> None:
        """Keep what an owner wrote; deferred constraints are checked, as by a real commit."""
        with self._lock:
            entry = self._find(owner)
            if self._connection.aborted is not None:
                self.rollback(owner)  # which is what PostgreSQL makes of it
            elif entry is None or not entry.wrote:
                self._forget(entry)
            elif self._stack[0] is entry:
                try:
                    self._connection.commit_base()
                finally:
                    self._stack.clear()
            else:
                self._connection.release(entry.name)
                del self._stack[self._stack.index(entry) :]
                for other in self._stack:
                    other.mixed = True

    def rollback(self, owner: Checkout) -> None:
        """Undo what an owner wrote since its last commit."""
        with self._lock:
            entry = self._find(owner)
            aborted = self._connection.aborted is not None
            if entry is None:
                if aborted and not self._stack:
                    self._connection.rollback_to(BASE_SAVEPOINT)
                return
            if not (entry.wrote or aborted):
                self._forget(entry)
                return
            index = self._stack.index(entry)
            lost = entry.mixed or any(other.wrote for other in self._stack[index + 1 :])
            del self._stack[index:]
            self._connection.rollback_to(entry.name, release=index > 0)
            if lost:
                warnings.warn(
                    "%s: a connection rolled back after another one had written or committed"
                    " since. All share one transaction, so both are undone; over connections of"
                    " their own they would not be. If the test depends on it, use reset ="
                    ' "recreate".' % self._test,
                    RuntimeWarning,
                    stacklevel=1,
                )

    def _undo_failed(self) -> None:
        """Undo what another owner's failed statement left, as if over connections of their own."""
        owner, error = self._failed_owner, self._connection.aborted
        if owner is not None and error is not None:
            self._failed_owner = None
            if self._find(owner) is not None or not self._stack:
                owner.doom(error)
                self.rollback(owner)

    def _find(self, owner: Checkout) -> Optional[_Entry]:
        for entry in self._stack:
            if entry.owner is owner:
                return entry
        return None

    def _forget(self, entry: Optional[_Entry]) -> None:
        if entry is not None:
            self._stack.remove(entry)
