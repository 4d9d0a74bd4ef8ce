"""Reports what a run cost and what it left open; both are noted while it happens.

Nothing is noted, and next to nothing is spent, unless somebody asks for the report: the environment
variable ``DBTESTCASE_REPORT`` or the nose2 plugin.

- ``recorder.py``: listens to ``events``, counts queries, and looks what is left on the servers
- ``parts.py``: collects what the processes of one run noted
- ``run.py``: adds it up
- ``outputs.py``: makes the text, the page and the file for machines, and writes them
"""

from __future__ import annotations

import atexit
import os
from typing import Optional

from .. import events
from . import outputs, parts
from .outputs import LINES, files_asked_for, render, write
from .recorder import Recorder
from .run import Run

__all__ = ["LINES", "files_asked_for", "finish", "is_on", "render", "turn_on", "write"]

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

    :return: ``None`` where another process of the run makes the report, or has made it.
    """
    global _recorder
    recorder, _recorder = _recorder, None
    if recorder is None:
        return None
    events.stop_listening(recorder)
    return recorder.finish()


def _at_exit() -> None:
    run = finish()
    if run is not None and not run.is_empty:
        write(run, outputs.asked_for(os.environ.get(outputs.VARIABLE, "")))


# A process that was started by one that notes has its variable.
if outputs.asked_for(os.environ.get(outputs.VARIABLE, "")) or os.environ.get(parts.VARIABLE):
    turn_on()
