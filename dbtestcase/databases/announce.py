"""Keeps small files that say which databases the runs of this user have.

``python -m dbtestcase blockers`` needs no arguments therefore. The files are in a folder that
nobody else can read or write, hold no password, and end with their runs; that of the last run is
kept, so that one can look at what it met after it has failed.
"""

from __future__ import annotations

import atexit
import contextlib
import getpass
import json
import os
import stat
import tempfile
from typing import Any, Dict, Iterator, List, NamedTuple, Optional

from .. import where
from ..contracts import Dialect

_LAST = "last.json"
_KEPT_SECONDS = 3600  # for which the last run is of interest

# What this process has announced; a forked child announces for itself.
_announced: Dict[int, Dict[str, Any]] = {}


class Run(NamedTuple):
    """A run that has databases, or the last one that had."""

    pid: int
    folder: str  # that it was started in
    since: float  # seconds of where.wall(), as the next
    ended: Optional[float]
    databases: List[Dict[str, Any]]  # parts of URLs, and the "base" that was configured


def announce(dialect: Dialect, base: str) -> None:
    """Tell other processes of this user that this run has a database.

    :param dialect: the database; one without a server is not told of.
    :param base: the database that was configured, of which it may be a sibling.
    """
    if dialect.control is None:
        return
    with contextlib.suppress(OSError):  # a service, for which no run should fail
        if os.getpid() not in _announced:
            runs()  # clears away what runs left that could not end in order
        content = _announced.setdefault(os.getpid(), _new())
        parts = dict(dialect.control.parts, base=base)
        if parts not in content["databases"]:
            content["databases"].append(parts)
        write(_own_file(), json.dumps(content))


def runs() -> List[Run]:
    """Return the runs that are going on, the oldest first."""
    found = []
    for path in _files():
        content = _read(path)
        if content is None or not _is_running(content["pid"]):
            _retire(path)
        else:
            found.append(Run(ended=None, **content))
    return sorted(found, key=lambda run: run.since)


def last_run() -> Optional[Run]:
    """Return the run that ended last, if that was within the hour."""
    path = os.path.join(folder(), _LAST)
    content = _read(path) if is_ours(folder()) else None
    if content is None:
        return None
    ended = os.path.getmtime(path)
    return Run(ended=ended, **content) if where.wall() - ended < _KEPT_SECONDS else None


@atexit.register
def withdraw() -> None:
    """Say that this run is over."""
    if _announced.pop(os.getpid(), None) is not None:
        with contextlib.suppress(OSError):
            os.utime(_own_file())
            _retire(_own_file())


def _new() -> Dict[str, Any]:
    return {"pid": os.getpid(), "folder": os.getcwd(), "since": where.wall(), "databases": []}


def folder() -> str:
    """Return the folder of the files, which need not be there yet."""
    user = os.getuid() if hasattr(os, "getuid") else getpass.getuser()
    return os.path.join(tempfile.gettempdir(), "dbtestcase-%s" % user)


def _own_file() -> str:
    return os.path.join(folder(), "%d.json" % os.getpid())


def is_ours(folder: str) -> bool:
    """Tell whether nobody else can have put anything there: anyone can make such a folder."""
    try:
        status = os.lstat(folder)
    except OSError:
        return False
    if not hasattr(os, "getuid"):
        return stat.S_ISDIR(status.st_mode)
    private = stat.S_ISDIR(status.st_mode) and not status.st_mode & 0o077
    return private and status.st_uid == os.getuid()


def _files() -> Iterator[str]:
    own = folder()
    if is_ours(own):
        for name in os.listdir(own):
            if name.endswith(".json") and name != _LAST:
                yield os.path.join(own, name)


def write(path: str, content: str) -> None:
    """Write a file of the folder, if nobody else can have put it or the folder there."""
    own = os.path.dirname(path)
    with contextlib.suppress(FileExistsError):
        os.mkdir(own, 0o700)
    if not is_ours(own):
        return
    unfinished = os.path.join(own, "%d.new" % os.getpid())
    with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(content)
    os.replace(unfinished, path)


def _read(path: str) -> Optional[Dict[str, Any]]:
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
        return content if set(content) == set(Run._fields) - {"ended"} else None
    except (OSError, ValueError, TypeError):
        return None


def _retire(path: str) -> None:
    """Keep the file of a run that is over until another one is over."""
    last = os.path.join(os.path.dirname(path), _LAST)
    with contextlib.suppress(OSError):
        if _read(path) is None or _age(path) > _age(last):
            os.remove(path)
        else:
            os.replace(path, last)


def _age(path: str) -> float:
    return where.wall() - os.path.getmtime(path) if os.path.exists(path) else float("inf")


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # there, and somebody else's
    return True
