"""Each subject is measured in a process of its own, so that none slows another one down.

What a subject adds to SQLAlchemy, Django or the garbage of a process is its own matter then. One
process measures at a time; the others wait.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import sys
import time
import traceback
import unittest
from typing import Any, Iterator, List

from .profiles import Profile, profile
from .subjects import Subject

NAMES = ("measured", "measured_again")

_spawn = multiprocessing.get_context("spawn")


class Worker:
    """A process that measures one subject on a database of its own.

    :param subject: what it measures.
    :param url: the URL of an empty database.
    :param tables: how many tables it gets.
    """

    def __init__(self, subject: Subject, url: Any, tables: int) -> None:
        self.subject = subject
        self._pipe, theirs = _spawn.Pipe()
        arguments = (theirs, subject, url, tables)
        self._process = _spawn.Process(target=serve, args=arguments, daemon=True)
        self._process.start()
        theirs.close()

    def ready(self) -> None:
        """Wait until its tables are made."""
        self._answer()

    def burst(self, written: int, tests: int) -> List[float]:
        """Run one class of tests; return the seconds that each took, from set-up to tear-down.

        :param written: how many tables each test writes to.
        :param tests: how many tests.
        """
        self._pipe.send((run_class, written, tests))
        return self._answer()  # type: ignore[no-any-return]

    def profile(self, written: int, tests: int) -> Profile:
        """Run one class of tests with a profiler; return where the time of one goes."""
        self._pipe.send((profile_class, written, tests))
        return self._answer()  # type: ignore[no-any-return]

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join(10)
        if self._process.is_alive():
            self._process.terminate()

    def _answer(self) -> Any:
        answer = self._pipe.recv()
        if isinstance(answer, str):
            sys.exit("%s: %s" % (self.subject.title, answer))
        return answer


def serve(pipe: Any, subject: Subject, url: Any, tables: int) -> None:
    """Measure what is asked for until nobody asks any more."""
    try:
        case_class = subject.load()
        case_class.prepare(url, tables)
        pipe.send([])
        while True:
            measure, case_class.written, tests = pipe.recv()
            pipe.send(measure(case_class, tests))
    except EOFError:
        pass
    except Exception:
        pipe.send(traceback.format_exc())


def run_class(case_class: Any, tests: int) -> List[float]:
    """Run a class of as many tests, equal but for their names; return the seconds of each."""
    with class_of(case_class):
        return [seconds_of(case_class(NAMES[number % 2])) for number in range(tests)]


def profile_class(case_class: Any, tests: int) -> Profile:
    """Run a class of as many tests with and without a profiler."""
    numbers = itertools.count()
    with class_of(case_class):
        return profile(lambda: seconds_of(case_class(NAMES[next(numbers) % 2])), tests)


@contextlib.contextmanager
def class_of(case_class: Any) -> Iterator[None]:
    """Set up a class of tests as a runner does, and tear it down."""
    case_class.measured_again = case_class.measured
    case_class.setUpClass()
    try:
        yield
    finally:
        case_class.tearDownClass()
        if hasattr(case_class, "doClassCleanups"):
            case_class.doClassCleanups()


def seconds_of(case: unittest.TestCase) -> float:
    """Run a test from its set-up to its clean-ups."""
    result = unittest.TestResult()
    began = time.perf_counter()
    case(result)
    seconds = time.perf_counter() - began
    for _, text in result.errors + result.failures:
        raise AssertionError(text)
    return seconds
