"""What the run cost and what it left open, noted while it happens.

Nothing is noted, and next to nothing is spent, unless somebody asks for the report: the environment
variable ``DBTESTCASE_REPORT`` or the nose2 plugin.
"""

from __future__ import annotations

import atexit
import os
from typing import Optional

from .. import events
from . import outputs, parts
from .outputs import files_asked_for
from .outputs import write as write_report
from .recorder import Recorder
from .run import Run
from .text import LINES, render

__all__ = [
    "LINES",
    "Run",
    "files_asked_for",
    "finish",
    "is_on",
    "render",
    "turn_on",
    "write",
    "write_report",
]

_recorder: Optional[Recorder] = None


def is_on() -> bool:
    """Tell whether somebody asked for the report."""
    return _recorder is not None


def turn_on() -> None:
    """Note everything from now on, in this process and in those that it starts."""
    global _recorder
    if _recorder is None:
        _recorder = Recorder(parts.Parts(), _at_exit)
        events.listen(_recorder)
        atexit.register(_at_exit)


def finish() -> Optional[Run]:
    """Stop, and return what was noted, by all processes of the run.

    :return: ``None`` where another process of the run is the one to tell, or has told it.
    """
    global _recorder
    recorder, _recorder = _recorder, None
    if recorder is None:
        return None
    events.stop_listening(recorder)
    return recorder.finish()


def write(run: Run) -> None:
    """Write what was noted to where the environment variable asks for it."""
    outputs.write(run, outputs.asked_for(os.environ.get(outputs.VARIABLE, "")))


def _at_exit() -> None:
    run = finish()
    if run is not None and not run.is_empty:
        write(run)


# A process that was started by one that notes has its variable.
if outputs.asked_for(os.environ.get(outputs.VARIABLE, "")) or os.environ.get(parts.VARIABLE):
    turn_on()
