"""Collects what the processes of one run note: each writes lines to a file of its own.

The files lie in one directory, whose name is handed down in the environment. The process that chose
the name collects them when it ends. Workers of pytest-xdist have no such parent, as theirs does not
import the tests: the last one of them that ends collects.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import shutil
import tempfile
import uuid
from typing import Any, Dict, Iterator, List, Optional, TextIO

VARIABLE = "DBTESTCASE_REPORT_PARTS"

_XDIST_RUN = "PYTEST_XDIST_TESTRUNUID"
_XDIST_WORKER = "PYTEST_XDIST_WORKER"

Event = Dict[str, Any]


class Parts:
    """The directory of a run, and this process's file in it."""

    def __init__(self) -> None:
        run = os.environ.get(_XDIST_RUN)
        name = "dbtestcase-report-" + (run or uuid.uuid4().hex)
        self.directory = os.environ.get(VARIABLE) or os.path.join(tempfile.gettempdir(), name)
        self._collector = None if VARIABLE in os.environ else os.getpid()
        self._shared = self._collector is not None and run is not None
        self._file: Optional[TextIO] = None
        self._process: Optional[int] = None
        if self._collector:
            os.makedirs(self.directory, mode=0o700, exist_ok=True)
        if self._shared:  # a lock is held for as long as this process lives, however it ends
            self._alive = self._open("%d.alive" % os.getpid())
            _lock(self._alive)
        os.environ[VARIABLE] = self.directory

    @property
    def process(self) -> str:
        """The name of this process: that of the worker where it has one."""
        return os.environ.get(_XDIST_WORKER) or str(os.getpid())

    def append(self, event: Event) -> None:
        """Write down something that happened; it stays even if this process is killed."""
        if self._file is None or self._process != os.getpid():  # the file of a parent is not ours
            if not os.path.isdir(self.directory):
                return  # collected already: this process outlived its run
            self._process = os.getpid()
            self._file = self._open("%d.jsonl" % self._process)
        self._file.write(json.dumps(event, default=str) + "\n")
        self._file.flush()

    def collect(self) -> Optional[List[Event]]:
        """Return what all processes wrote, the oldest first, and forget it.

        :return: ``None`` where it is not this process that collects.
        """
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._collector != os.getpid():
            return None
        os.environ.pop(VARIABLE, None)
        with self._locked():
            if self._shared and self._others_alive():
                return None
            events = sorted(self._read(), key=lambda event: float(event["at"]))
            shutil.rmtree(self.directory, ignore_errors=True)
        return events

    def _read(self) -> Iterator[Event]:
        for path in glob.glob(os.path.join(glob.escape(self.directory), "*.jsonl")):
            with open(path, encoding="utf-8") as part:
                for line in part:
                    with contextlib.suppress(ValueError):  # cut off: its process was killed
                        yield json.loads(line)

    def _open(self, name: str) -> TextIO:
        return open(os.path.join(self.directory, name), "a", encoding="utf-8")

    # --- workers without a parent that collects --------------------------------------------------

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        if not self._shared:
            yield
            return
        with open(self.directory + ".lock", "w", encoding="utf-8") as lock:
            _lock(lock)
            try:
                yield
            finally:
                self._alive.close()
                if not os.path.exists(self.directory):
                    os.unlink(lock.name)

    def _others_alive(self) -> bool:
        for path in glob.glob(os.path.join(glob.escape(self.directory), "*.alive")):
            if path != self._alive.name:
                with open(path, encoding="utf-8") as file:
                    if not _lock(file, wait=False):
                        return True
        return False


def _lock(file: TextIO, wait: bool = True) -> bool:
    """Lock a file until it is closed; false where another process has it locked."""
    import fcntl  # which Windows has not: there is one process that collects, or none

    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True
