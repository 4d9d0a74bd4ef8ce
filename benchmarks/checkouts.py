"""What does it cost to know who checked out which connection?

``engine.connect()`` and ``close()``, in a process without dbtestcase and in a running test.
"""

from __future__ import annotations

import statistics
import unittest
from typing import Any, Dict, List

import sqlalchemy as sa

from . import shape
from .subjects import Subject
from .workers import Worker

CYCLES = 1000
UNWATCHED = Subject("unwatched", "engine.connect() alone", "checkouts:Unwatched")
WATCHED = Subject("watched", "engine.connect() in a running test", "checkouts:Watched")


class Unwatched(unittest.TestCase):
    """A burst of check-outs."""

    written = 0

    @classmethod
    def prepare(cls, url: Any, tables: int) -> None:
        cls.engine = sa.create_engine(url)

    def measured(self) -> None:
        for _ in range(CYCLES):
            self.engine.connect().close()


class Watched(Unwatched):
    """The same, while a test of dbtestcase runs on this engine."""

    @classmethod
    def prepare(cls, url: Any, tables: int) -> None:
        super().prepare(url, tables)
        from dbtestcase import DatabaseTestCase

        class Running(DatabaseTestCase):
            engine = cls.engine
            metadata = shape.metadata(1)

        Running.setUpClass()
        cls.running = Running("runTest")
        cls.running.setUp()


def microseconds(workers: List[Worker], rounds: int) -> Dict[str, float]:
    """Return how long one check-out takes, by subject: the median of interleaved rounds."""
    found: Dict[str, List[float]] = {worker.subject.key: [] for worker in workers}
    for worker in workers:
        worker.burst(0, 1)
    for _ in range(rounds):
        for worker in workers:
            found[worker.subject.key] += worker.burst(0, 1)
    return {key: statistics.median(times) / CYCLES * 1e6 for key, times in found.items()}
