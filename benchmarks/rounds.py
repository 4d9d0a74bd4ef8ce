"""Who is measured when: in rounds of random order, the slow ones in fewer of them."""

from __future__ import annotations

import random
import time
from typing import Any, Callable, Dict, List, NamedTuple, Tuple

from .workers import Worker

FEWEST = 3  # rounds of even the slowest subject
BURST = 200  # tests of a round, of the fast ones
BURST_SECONDS = 0.25
SLOW_SECONDS = 1.0
# The first tests of a burst are left out where tests are shorter than this: the process has slept,
# and its code and data have to be fetched again, as they do not while a suite runs.
WARM_SECONDS = 0.05
WARM = 5  # one in so many

Say = Callable[[str], None]


class Cell(NamedTuple):
    """What one number stands for."""

    subject: str
    written: int


class Plan(NamedTuple):
    """How often a subject is measured."""

    tests: int  # in each burst
    warm: int  # of which so many are left out
    rounds: int


def measure(
    workers: List[Worker], written: List[int], rounds: int, seconds: float, say: Say
) -> Dict[Cell, Dict[int, List[float]]]:
    """Measure all subjects side by side.

    :param workers: one for each subject.
    :param written: how many tables a test writes to, for each kind of test.
    :param rounds: how many rounds at most.
    :param seconds: about how long it may all take.
    :return: for each cell, by number of round, the seconds that each test took.
    """
    share = seconds / (len(workers) * len(written))
    plans = [(worker, plan_for(worker, written, rounds, share)) for worker in workers]
    found: Dict[Cell, Dict[int, List[float]]] = {}
    for number in range(rounds):
        say("round %d of %d" % (number + 1, rounds))
        jobs = [
            (worker, plan, tables)
            for worker, plan in plans
            for tables in written
            if takes_part(plan, number, rounds)
        ]
        random.shuffle(jobs)
        for worker, plan, tables in jobs:
            times = worker.burst(tables, plan.tests)[plan.warm :]
            found.setdefault(Cell(worker.subject.key, tables), {})[number] = times
    return found


def plan_for(worker: Worker, written: List[int], rounds: int, share: float) -> Plan:
    """Find out how long a subject takes, and so how often it can be measured in its share."""
    usual = sorted(written)[len(written) // 2]
    (seconds,) = worker.burst(usual, 1)
    began = time.perf_counter()
    if seconds < SLOW_SECONDS:
        seconds = min(worker.burst(usual, 3))
    beside = max(0, time.perf_counter() - began - 3 * seconds)  # what a class takes
    tests = max(1, min(BURST, int(BURST_SECONDS / seconds)))
    warm = 1 + tests // WARM if seconds < WARM_SECONDS else 0
    tests += warm
    return Plan(tests, warm, spread(share / (beside + tests * seconds), rounds))


def spread(affordable: float, rounds: int) -> int:
    return min(rounds, max(FEWEST, int(affordable)))


def takes_part(plan: Plan, number: int, rounds: int) -> bool:
    """Tell whether a subject is measured in a round: its rounds are spread over all of them."""
    return (number + 1) * plan.rounds // rounds > number * plan.rounds // rounds


def all_times(by_round: Dict[int, List[float]]) -> List[float]:
    """Return what was measured in all rounds."""
    return [seconds for times in by_round.values() for seconds in times]


def pairs(one: Any, other: Any) -> List[Tuple[List[float], List[float]]]:
    """Return what was measured of two subjects in the rounds in which both took part."""
    return [(one[number], other[number]) for number in sorted(set(one) & set(other))]
