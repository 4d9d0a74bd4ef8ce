"""What a failed test leaves for whoever looks into it: its rows, its queries."""

from .kept_rows import ended as keep_at_end
from .kept_rows import failed as keep_failed
from .kept_rows import forget as forget_kept
from .kept_rows import is_wanted as keeps_rows
from .outcomes import WatchedRuns
from .shown_queries import keep as keep_queries

__all__ = [
    "WatchedRuns",
    "forget_kept",
    "keep_at_end",
    "keep_failed",
    "keep_queries",
    "keeps_rows",
]
