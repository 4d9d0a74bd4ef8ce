"""Says what a test runs against, as a suite declares it."""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional

if TYPE_CHECKING:
    from typing import Protocol
else:
    Protocol = getattr(typing, "Protocol", object)  # it came with Python 3.8


class Target(Protocol):
    """What a test runs against: the engines, tables and sessions that a suite names."""

    built: Any
    databases: List[Any]

    @property
    def engines(self) -> Dict[Optional[str], Any]:
        """The engines in use at this moment, by bind key (``None``: the default)."""

    def tables(self, key: Optional[str]) -> List[Any]:
        """Return the tables that are declared for a bind key."""

    def context(self) -> Any:
        """Return a context manager in which engines and sessions can be used."""

    def remove_session(self) -> None:
        """Remove the session of the present scope."""

    def commit_session(self) -> None:
        """Commit what was left pending in that session."""

    def scoped_sessions(self) -> List[Any]:
        """Return the scoped sessions whose registries are emptied between tests."""

    def refusal(self) -> Optional[str]:
        """Return why nothing of this target may be cleared, whatever the database, or ``None``."""

    def origin(self, key: Optional[str]) -> str:
        """Return which setting led to the engine of a bind key."""

    def on_close(self, undo: Callable[[], None]) -> None:
        """Have something done when the target is closed, the last first."""
