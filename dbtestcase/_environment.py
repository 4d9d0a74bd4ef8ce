"""What a process is asked by its environment: read once, as it is there from the beginning."""

from __future__ import annotations

import functools
import os


@functools.lru_cache(maxsize=None)
def setting(variable: str) -> str:
    """Return what an environment variable is set to, nothing where it is not."""
    return os.environ.get(variable, "")


def is_on(variable: str) -> bool:
    """Tell whether an environment variable turns something on: it is set, and not to ``0``."""
    return setting(variable) not in ("", "0")
