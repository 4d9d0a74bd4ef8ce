"""Who is measured when: in rounds of random order, the slow ones in fewer of them.

A machine's speed changes from one second to the next, so those that are compared are measured right
after each other: a round is short, and there are many of them.
"""

from __future__ import annotations

import random
import time
from typing import Any, Callable, Dict, List, NamedTuple, Tuple

from .workers import Worker

FEWEST = 3  # rounds of even the slowest subject
TURNS = 5  # rounds of the fast subjects for one that the slow ones may take part in
BURST = 200  # tests of a round, of the fast ones
BURST_SECONDS = 0.1
LONG_BURST_SECONDS = 0.25
SLOW_SECONDS = 1.0
# Where tests are faster than this, as many are run before those that count: the process has slept,
# and its code and data have to be fetched again, as they do not while a suite runs.
FAST_SECONDS = 0.05

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
    :param rounds: how many rounds of the slow ones at most.
    :param seconds: about how long it may all take.
    :return: for each cell, by number of round, the seconds that each test took.
    """
    share = seconds / (len(workers) * len(written))
    plans = [(worker, plan_for(worker, written, rounds, share)) for worker in workers]
    found: Dict[Cell, Dict[int, List[float]]] = {}
    for number in range(rounds * TURNS):
        if number % TURNS == 0:
            say("round %d of %d" % (number // TURNS + 1, rounds))
        taking_part = [each for each in plans if takes_part(each[1], number, rounds * TURNS)]
        for tables in random.sample(written, len(written)):
            for worker, plan in random.sample(taking_part, len(taking_part)):
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
    fast = seconds < FAST_SECONDS
    tests = int((BURST_SECONDS if fast else LONG_BURST_SECONDS) / seconds)
    tests = max(1, min(BURST, tests))
    warm = tests if fast else 0
    tests += warm
    affordable = share / (beside + tests * seconds)
    return Plan(tests, warm, spread(affordable, rounds * TURNS if fast else rounds))


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
