"""Knows which test runs, which line of the user's code is at work, what the user has set, the time.

The line is the innermost one on the stack that is neither a library's nor the runner's. The time is
the real one, whatever the test has made of its clocks.
"""

from __future__ import annotations

import functools
import os
import sys
import sysconfig
import time
import unittest
from types import FrameType
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

_LIBRARY, _USER, _RUNNER = 1, 2, 3
_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_STDLIB = sysconfig.get_path("stdlib") + os.sep
_UNITTEST = os.path.dirname(os.path.abspath(unittest.__file__)) + os.sep
# What lies outside these calls is the runner's, whoever wrote it: no part of a test.
_RUNNER_FILES = (_UNITTEST + "case.py", _UNITTEST + "suite.py")
_RUNNER_CALLS = ("run", "debug", "doCleanups", "doClassCleanups")

_kinds: Dict[str, int] = {}  # by the name of a file; what has none is looked at each time
_test: Optional[str] = None
_began: List[Tuple[float, str]] = []  # when each test of the run began, the first one first


class Line(NamedTuple):
    """A place in the user's code; ``str()`` gives ``tests/test_order.py:12``."""

    filename: str
    lineno: int
    function: str

    def __str__(self) -> str:
        return "%s:%d" % (short_path(self.filename), self.lineno)


def current_test() -> Optional[str]:
    """Return the name of the test that runs now, as ``OrderTest.test_total``, or None."""
    return _test


def set_current_test(name: Optional[str]) -> None:
    """Remember which test runs now; None when it is over."""
    global _test
    _test = name
    if name:
        _began.append((now(), name))


def test_at(moment: float) -> Optional[str]:
    """Return the name of the test that ran, or had run last, at a moment.

    :param moment: a time of :func:`now`.
    """
    for began, name in reversed(_began):
        if began <= moment:
            return name
    return None


def user_line() -> Optional[Line]:
    """Return the innermost line of the user's code on the stack of this thread."""
    lines = user_lines(1)
    return lines[0] if lines else None


def user_lines(count: int) -> List[Line]:
    """Return up to this many innermost lines of the user's code, the innermost first."""
    lines: List[Line] = []
    frame: Optional[FrameType] = sys._getframe(1)
    while frame is not None and len(lines) < count:
        kind = _kinds.get(frame.f_code.co_filename) or _kind(frame)
        if kind == _USER:
            lines.append(_line(frame))
        elif kind == _RUNNER and frame.f_code.co_name in _RUNNER_CALLS:
            break
        frame = frame.f_back or _awaiting(frame)
    return lines


def is_in_user_code(thread: int) -> bool:
    """Tell whether a thread runs code of the user's; one that waits for work to do does not.

    :param thread: the ``ident`` of the thread.
    """
    frame = sys._current_frames().get(thread)
    while frame is not None:
        if (_kinds.get(frame.f_code.co_filename) or _kind(frame)) == _USER:
            return True
        frame = frame.f_back
    return False


def user_call() -> Tuple[Optional[Line], List[str]]:
    """Return the user's innermost line and the names of the functions below it.

    The names are those of the libraries' functions, the innermost first; the last one is what
    the user's line called.
    """
    called: List[str] = []
    frame: Optional[FrameType] = sys._getframe(1)
    while frame is not None:
        kind = _kinds.get(frame.f_code.co_filename) or _kind(frame)
        if kind == _USER:
            return _line(frame), called
        if kind == _RUNNER and frame.f_code.co_name in _RUNNER_CALLS:
            break
        called.append(frame.f_code.co_name)
        frame = frame.f_back or _awaiting(frame)
    return None, called


def end_at_user(error: BaseException) -> None:
    """Take this package's own frames off the end of an error's traceback.

    For errors whose text says it all. The first frame stays, whoever it belongs to.
    """
    last = traceback = error.__traceback__
    while traceback is not None:
        if not os.path.abspath(traceback.tb_frame.f_code.co_filename).startswith(_PACKAGE):
            last = traceback
        traceback = traceback.tb_next
    if last is not None:
        last.tb_next = None


def _awaiting(outermost: FrameType) -> Optional[FrameType]:
    """Return the frame that awaits the greenlet in which SQLAlchemy runs an asyncio driver.

    :param outermost: the frame that no other one has called.
    """
    library = sys.modules.get("greenlet")
    parent = library.getcurrent().parent if library is not None else None
    awaiting: Optional[FrameType] = parent.gr_frame if parent is not None else None
    last = awaiting
    while last is not None and last.f_back is not None:
        last = last.f_back
    return awaiting if last is not outermost else None


def short_path(filename: str) -> str:
    """Return a path as seen from the current directory, when it lies below it."""
    try:
        relative = os.path.relpath(filename)
    except (ValueError, OSError):  # another drive; a current directory that is gone
        return filename
    return filename if relative.startswith(os.pardir) else relative


def _kind(frame: FrameType) -> int:
    filename = frame.f_code.co_filename
    if filename.startswith("<"):
        # python -c, a prompt, a doctest, a template: the user's. Else some library's exec().
        names = frame.f_globals
        is_users = names.get("__name__") == "__main__" or "__jinja_template__" in names
        return _USER if is_users else _LIBRARY
    path = os.path.abspath(filename)
    folders = path.split(os.sep)
    if path in _RUNNER_FILES:
        kind = _RUNNER
    elif "site-packages" in folders or "dist-packages" in folders:
        kind = _LIBRARY
    else:
        kind = _LIBRARY if path.startswith((_PACKAGE, _STDLIB)) else _USER
    _kinds[filename] = kind
    return kind


def _line(frame: FrameType) -> Line:
    code, lineno = frame.f_code, frame.f_lineno
    template = frame.f_globals.get("__jinja_template__")
    if template is not None:  # compiled: its own line numbers are not those of the file
        lineno = template.get_corresponding_lineno(lineno)
    return Line(code.co_filename, lineno, code.co_name)


# --- what the user has set in the environment ---------------------------------------------------


@functools.lru_cache(maxsize=None)
def setting(variable: str) -> str:
    """Return what an environment variable was set to when first asked for, "" where it was not."""
    return os.environ.get(variable, "")


def is_on(variable: str) -> bool:
    """Tell whether an environment variable turns something on: it is set, and not to ``0``."""
    return setting(variable) not in ("", "0")


# --- the time, whatever a test has made of its clocks -------------------------------------------

# Tests replace functions of the module "time" there, and freezegun in every module that has one as
# an attribute; so they are kept within others from the beginning. freezegun leaves the clocks of
# the system alone, also for who imports this while its time stands still.
_HAS_CLOCKS = hasattr(time, "clock_gettime")

#: Return the seconds of a clock that only goes on, for deadlines and durations.
now: Callable[[], float] = (
    functools.partial(time.clock_gettime, time.CLOCK_MONOTONIC)
    if _HAS_CLOCKS
    else functools.partial(time.monotonic)
)

#: Wait for some seconds.
pause: Callable[[float], None] = functools.partial(time.sleep)

_time: Callable[[], float] = (
    functools.partial(time.clock_gettime, time.CLOCK_REALTIME)
    if _HAS_CLOCKS
    else functools.partial(time.time)
)


def wall() -> float:
    """Return the real time, in seconds since 1970."""
    # time-machine changes the C functions themselves, and says how to come by the real time.
    hatch: Any = getattr(sys.modules.get("time_machine"), "escape_hatch", None)
    travelling = hatch is not None and hatch.is_travelling()
    return float(hatch.time.time()) if travelling else _time()
