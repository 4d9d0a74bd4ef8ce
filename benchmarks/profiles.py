"""Where does the time of a test go: waiting for the server, or to whose work in this process?

Waiting is the time of a test less the time that the processor spent on it, measured without a
profiler, which would change both. The profiler tells how that work is shared out.
"""

from __future__ import annotations

import cProfile
import os
import pstats
import statistics
import time
from typing import Any, Callable, Dict, List, NamedTuple

import sqlalchemy as sa

TURNS = 9  # a machine is slow for some seconds and fast for others

_HERE = os.path.dirname(os.path.abspath(__file__))
_CALLS = ("execute", "executemany", "commit", "rollback")
_FOLDERS = {
    "dbtestcase": os.path.join(os.path.dirname(_HERE), "dbtestcase"),
    "SQLAlchemy": os.path.dirname(sa.__file__),
    "the test": _HERE,
}


class Profile(NamedTuple):
    """Where the time of one test goes, in seconds."""

    total: float
    calls: float  # how many calls of the driver
    waiting: float  # for the server and the way there and back
    work: Dict[str, float]  # in this process, by whose code it is


def profile(run: Callable[[], float], tests: int) -> Profile:
    """Run a test many times, without the profiler and with it.

    :param run: runs it once and returns its seconds.
    :param tests: how many times.
    """
    for _ in range(tests // 4):
        run()
    before = time.process_time()
    total = statistics.mean(run() for _ in range(tests))
    worked = min((time.process_time() - before) / tests, total)
    profiler = cProfile.Profile(time.process_time)
    profiler.enable()
    for _ in range(tests):
        run()
    profiler.disable()
    stats = pstats.Stats(profiler).stats  # type: ignore[attr-defined]
    calls = sum(entry[0] for key, entry in stats.items() if _is_call(key))
    owners = _owners(stats)
    whole = sum(owners.values()) or 1.0
    work = {owner: worked * part / whole for owner, part in owners.items()}
    return Profile(total, calls / tests, total - worked, work)


def quietest(workers: List[Any], written: int, tests: int) -> Dict[Any, Profile]:
    """Profile each subject several times by turns; return the profile that took the least time.

    :param workers: the processes that measure, one for each subject.
    :param written: how many tables each test writes to.
    :param tests: how many tests each time.
    """
    found: Dict[Any, List[Profile]] = {}
    for _ in range(TURNS):
        for worker in workers:
            found.setdefault(worker.subject, []).append(worker.profile(written, tests))
    return {subject: min(turns, key=lambda turn: turn.total) for subject, turns in found.items()}


def _owners(stats: Any) -> Dict[str, float]:
    """Return the time of every function by whose it is; built-in ones are who calls them's."""
    owners: Dict[str, float] = {}
    for key, (_, _, own, _, callers) in stats.items():
        if _is_call(key):
            owners["the driver"] = owners.get("the driver", 0.0) + own
        elif key[0] == "~" or key[0].startswith("<"):
            for caller, numbers in callers.items():
                _add(owners, caller, numbers[2])
        else:
            _add(owners, key, own)
    return owners


def _add(owners: Dict[str, float], key: Any, seconds: float) -> None:
    owner = "others"
    for name, folder in _FOLDERS.items():
        if key[0].startswith(folder + os.sep):
            owner = name
    owners[owner] = owners.get(owner, 0.0) + seconds


def _is_call(key: Any) -> bool:
    """Tell whether this is a call of the driver that goes to the server."""
    return key[0] == "~" and any(_names(key[2], call) for call in _CALLS)


def _names(builtin: str, call: str) -> bool:
    if "psycopg2" in builtin and "'%s'" % call in builtin:
        return True
    # Methods that dbtestcase puts around the driver's are named by Python's own repr.
    return builtin.startswith("<function ") and ".%s at" % call in builtin


def line(title: str, found: Profile, plain: Profile) -> str:
    """Return a profile as a line of text, in milliseconds.

    :param plain: the profile of the plain recipe, to compare with: the whole, and what would be
        left if the code of dbtestcase took no time at all.
    """
    parts = sorted(found.work.items(), key=lambda item: -item[1])
    text = "%-52s %6.2f = %4.1f driver calls, waiting %.2f; work: %s" % (
        title,
        found.total * 1e3,
        found.calls,
        found.waiting * 1e3,
        ", ".join("%s %.2f" % (owner, seconds * 1e3) for owner, seconds in parts),
    )
    ours = found.work.get("dbtestcase", 0.0)
    if found is not plain:
        ratios = (found.total / plain.total, (found.total - ours) / plain.total)
        text += "; %.2f x the recipe, %.2f without the code of dbtestcase" % ratios
    return text
