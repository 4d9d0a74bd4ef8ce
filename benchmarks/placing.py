"""Which processors the client and the server run on.

A round trip takes several times as long where they are on different processors, as the one that
waits has to be woken, and the kernel moves them as it likes. So they are told where to run: on
processors of their own, as with a server that others use as well; or both on one, where hardly
anything but the work of both is measured.
"""

from __future__ import annotations

import os
from typing import NamedTuple, Optional, Set

_ALL: Set[int] = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


class Placing(NamedTuple):
    """The processors of the two sides."""

    client: Set[int]
    server: Set[int]


def apart() -> Optional[Placing]:
    """Return processors of their own for both sides, ``None`` where that cannot be had."""
    if len(_ALL) < 2:
        return None
    first, second = sorted(_ALL)[:2]
    return Placing({first}, {second})


def together() -> Optional[Placing]:
    """Return one processor for both sides, ``None`` where it cannot be chosen."""
    only = set(sorted(_ALL)[:1])
    return Placing(only, only) if only else None


def anywhere() -> None:
    """Let this process, and those that it starts, run anywhere."""
    if _ALL:
        os.sched_setaffinity(0, _ALL)


def place(postmaster: int, placing: Optional[Placing]) -> None:
    """Have the server's future sessions, and future processes of this one, run there.

    :param postmaster: the pid of the server's first process.
    """
    if placing is not None:
        os.sched_setaffinity(postmaster, placing.server)
        os.sched_setaffinity(0, placing.client)


def described() -> str:
    """Return how the two sides are placed, for the results."""
    return "client and server on processors of their own" if apart() else "not placed"
