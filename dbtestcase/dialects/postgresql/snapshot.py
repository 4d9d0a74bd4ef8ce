"""What the server says of transaction ids: which are over, which are open, which is the next."""

from __future__ import annotations

from typing import NamedTuple, Tuple


class Snapshot(NamedTuple):
    """What ``pg_current_snapshot()`` says: the oldest open, the next transaction, the open ones."""

    xmin: int
    xmax: int
    open: Tuple[int, ...]

    @classmethod
    def read(cls, text: str) -> "Snapshot":
        """Read the text form ``xmin:xmax:xip,xip``."""
        xmin, xmax, listed = text.split(":")
        return cls(int(xmin), int(xmax), tuple(int(x) for x in listed.split(",") if x))

    @property
    def mark(self) -> str:
        """The id, as the type ``xid`` has it, from which on transactions are later ones."""
        return str(self.xmax % 2**32)
