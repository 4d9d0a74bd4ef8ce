"""What the run cost and what it left open, noted while it happens.

Nothing is noted, and next to nothing is spent, unless somebody asks for the report: the environment
variable ``DBTESTCASE_REPORT`` or the nose2 plugin.
"""

from __future__ import annotations

import atexit
import contextlib
import os
from typing import Any, ContextManager, Optional

from . import outputs, parts
from .recorder import Recorder
from .run import Run

_recorder: Optional[Recorder] = None
_nothing: ContextManager[Any] = contextlib.nullcontext()


def is_on() -> bool:
    """Tell whether somebody asked for the report."""
    return _recorder is not None


def turn_on() -> None:
    """Note everything from now on, in this process and in those that it starts."""
    global _recorder
    if _recorder is None:
        _recorder = Recorder(parts.Parts())
        atexit.register(_at_exit)


def finish() -> Optional[Run]:
    """Stop, and return what was noted, by all processes of the run.

    :return: ``None`` where another process of the run is the one to tell, or has told it.
    """
    global _recorder
    recorder, _recorder = _recorder, None
    return recorder.finish() if recorder else None


def write(run: Run) -> None:
    """Write what was noted to where the environment variable asks for it."""
    outputs.write(run, outputs.asked_for(os.environ.get(outputs.VARIABLE, "")))


# --- what is noted -------------------------------------------------------------------------------


def testing(case: Any) -> ContextManager[Any]:
    """Note a test; the block gets an object to put its ``outcome`` on, or ``None``."""
    return _recorder.testing(case) if _recorder else _nothing


def resetting(owner: Any) -> ContextManager[Any]:
    """Note the time of the block as spent on the reset before a test, or on setting a class up.

    :param owner: the test or the class.
    """
    if _recorder is None:
        return _nothing
    # A private server ends at exit, too: register again to be called before it ends.
    atexit.unregister(_at_exit)
    atexit.register(_at_exit)
    return _recorder.resetting(owner)


def leaving() -> ContextManager[Any]:
    """Note the time of the block as spent on leaving the database after a test."""
    return _recorder.leaving() if _recorder else _nothing


def changed(database: str, reason: str) -> None:
    """Note that a database has to be dropped and created anew.

    :param database: its name.
    :param reason: a sentence: what was no longer as it was made.
    """
    if _recorder:
        _recorder.changed(database, reason)


def built() -> None:
    """Note that the schema is made in the reset that is running."""
    if _recorder:
        _recorder.built()


def left_open(leak: Any) -> None:
    """Note what a test left open.

    :param leak: has ``test``, ``kind``, ``file`` and ``line``; its ``str()`` is a line about it.
    """
    if _recorder:
        _recorder.left_open(leak)


def notice(sentence: str) -> None:
    """Note something that was done and could surprise."""
    if _recorder:
        _recorder.note("notice", text=" ".join(sentence.split()))


def _at_exit() -> None:
    run = finish()
    if run is not None and not run.is_empty:
        write(run)


# A process that was started by one that notes has its variable.
if outputs.asked_for(os.environ.get(outputs.VARIABLE, "")) or os.environ.get(parts.VARIABLE):
    turn_on()
