"""Where does the time of a test go: to the server and the driver, or to Python code, and whose?

The profiler makes Python code slower and leaves the driver's calls as they are. So the time of the
calls is taken from it, and what is left of a test without profiler is shared out as it says.
"""

from __future__ import annotations

import cProfile
import os
import pstats
from typing import Any, Callable, Dict, List, NamedTuple

import sqlalchemy as sa

from .quantiles import quartiles

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
    driver: float  # in these calls: the driver, the way to the server and back, the server
    python: Dict[str, float]  # in Python code, by whose it is


def profile(run: Callable[[], float], tests: int) -> Profile:
    """Run a test many times, without the profiler and with it.

    :param run: runs it once and returns its seconds.
    :param tests: how many times.
    """
    for _ in range(5):
        run()
    total = quartiles([run() for _ in range(tests)])[0]
    profiler = cProfile.Profile()
    driver: List[float] = []
    calls = 0
    owners: Dict[str, float] = {}
    for _ in range(tests):
        profiler.enable()
        run()
        profiler.disable()
        stats = pstats.Stats(profiler).stats  # type: ignore[attr-defined]
        driver.append(sum(entry[2] for key, entry in stats.items() if _is_call(key)))
        calls += sum(entry[0] for key, entry in stats.items() if _is_call(key))
        _share(stats, owners)
        profiler.clear()
    spent = min(quartiles(driver)[0], total)
    whole = sum(owners.values()) or 1.0
    python = {owner: (total - spent) * part / whole for owner, part in owners.items()}
    return Profile(total, calls / tests, spent, python)


def _share(stats: Any, owners: Dict[str, float]) -> None:
    """Add the time of every function to whom it belongs; built-in ones to who calls them."""
    for key, (_, _, own, _, callers) in stats.items():
        if _is_call(key):
            continue
        if key[0] == "~" or key[0].startswith("<"):
            for caller, numbers in callers.items():
                _add(owners, caller, numbers[2])
        else:
            _add(owners, key, own)


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

    :param plain: the profile of the plain recipe: how much of it would be left if the Python code
        of dbtestcase took no time at all.
    """
    parts = sorted(found.python.items(), key=lambda item: -item[1])
    text = "%-52s %6.2f = %4.1f driver calls %6.2f; Python: %s" % (
        title,
        found.total * 1e3,
        found.calls,
        found.driver * 1e3,
        ", ".join("%s %.2f" % (owner, seconds * 1e3) for owner, seconds in parts),
    )
    ours = found.python.get("dbtestcase", 0.0)
    if found is not plain:
        ratios = (found.total / plain.total, (found.total - ours) / plain.total)
        text += "; %.2f x the recipe, %.2f without the Python of dbtestcase" % ratios
    return text
