"""Does a long suite get slower? Classes of tests by turns, ours and the plain recipe."""

from __future__ import annotations

import statistics
from typing import Callable, Dict, List, Tuple

from .workers import Worker

CLASS = 100  # tests of one class

# For each subject, the medians of the first and of the last tests, in seconds.
Drift = Dict[str, Tuple[float, float]]


def measure(workers: List[Worker], written: int, resets: int, say: Callable[[str], None]) -> Drift:
    """Run that many tests of each subject.

    :param workers: one for each subject.
    :param written: how many tables each test writes to.
    :param resets: how many tests; the first and the last tenth of them are compared.
    """
    found: Dict[str, List[float]] = {worker.subject.key: [] for worker in workers}
    for worker in workers:
        worker.burst(written, 20)
    size = min(CLASS, resets)
    for done in range(0, resets, size):
        say("%d of %d resets" % (done, resets))
        for worker in workers:
            found[worker.subject.key] += worker.burst(written, size)
    part = max(1, resets // 10)
    return {
        key: (statistics.median(times[:part]), statistics.median(times[-part:]))
        for key, times in found.items()
    }
