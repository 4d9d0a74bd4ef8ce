"""Did the run that had a database before come to its end? A small file tells, by still being there.

The files are beside those of :mod:`dbtestcase.announce`. Workers of a run have none, as many
runners just kill them.
"""

from __future__ import annotations

import atexit
import collections
import contextlib
import os
import sys
import zlib
from typing import Any, List, Optional

from ..assertions import count
from ..connections import was_forked
from . import announce

_own: List[str] = []


def left_by(dialect: Any) -> Optional[str]:
    """Note that this run has a database now; return a sentence if the one before it was killed.

    :param dialect: the database, which is claimed; one without a server has no such file.
    """
    if dialect.control is None:
        return None
    with contextlib.suppress(OSError, ValueError):  # a service, for which no run should fail
        path = _path(dialect)
        before = _process_in(path)
        if not _is_worker():
            announce.write(path, str(os.getpid()))
            _own.append(path)
        elif before is not None:
            os.remove(path)
        if before not in (None, os.getpid()):
            return _sentence(before, dialect)
    return None


@atexit.register
def end() -> None:
    """Say that this run has come to its end."""
    if not _is_worker():
        while _own:
            path = _own.pop()
            with contextlib.suppress(OSError, ValueError):
                if _process_in(path) == os.getpid():  # else the next run has the database already
                    os.remove(path)


def _is_worker() -> bool:
    processes = sys.modules.get("multiprocessing.process")
    spawned = processes is not None and processes.current_process().name != "MainProcess"
    return spawned or was_forked() or "PYTEST_XDIST_WORKER" in os.environ


def _path(dialect: Any) -> str:
    parts = dialect.control.parts
    place = "%s %s %s" % (parts["host"], parts["port"], parts["database"])
    return os.path.join(announce.folder(), "%08x.claim" % zlib.crc32(place.encode("utf-8")))


def _process_in(path: str) -> Optional[int]:
    try:
        with open(path, encoding="utf-8") as file:
            return int(file.read())
    except FileNotFoundError:
        return None


def _sentence(pid: Any, dialect: Any) -> str:
    kinds = collections.Counter(kind for kind, _ in dialect.inventory())
    found = ", ".join(count(number, kind) for kind, number in sorted(kinds.items()))
    return (
        'process %d had the database "%s" before, and was killed or crashed in the middle of its'
        " run; found there: %s" % (pid, dialect.identity.name, found or "nothing")
    )
