"""Keeps what tests change of a database beside its objects out of the runs that come after.

A drop leaves in place, and gives back, what a database has beside its objects: extensions,
settings, owners, privileges. What a run finds of that before its first drop is the environment's.
So nothing of it may stay that a test has changed: it is given back when a run ends. For a run that
does not come to its end, a file says what it had found; the next run goes by that.

The files are in the folder of ``announce.py``, private like it. There is one for each database that
a run has, and it is gone when that run has ended in order. By still being there it says that the
run was killed or crashed, unless it was a worker of a run: many runners just kill these.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import sys
import zlib
from typing import Any, List, Optional

from ..connections import was_forked
from ..contracts import Dialect, Environment
from ..errors import ConfigurationError, count
from ..events import say
from .announce import folder, is_ours, write

_GIVEN_BACK = """\
an earlier run left the database "{0}" other than it had found it; this one has given back: {1}.
  If that was changed on purpose, change it again after this run: what is there when a run begins\
 stays, and what changes during a run does not."""

_FOUND_EARLIER = """
  An earlier run had found the database like that. If it is to stay as it is now, remove {0}"""

_NOT_GIVEN_BACK = """\
the last tests changed the database "{0}" in a way that could not be undone at the end of the run:\
 this is still missing: {1}.
  The next run undoes it, or says what its role may not."""

_SHOWN = 5


class Watched:
    """What a database of this run was like, and the file that tells it to the next run.

    :param dialect: the database, which this run has.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._process = os.getpid()
        self._path = _path(dialect)
        self._has_server = dialect.control is not None
        before = _read(self._path)
        self._former = before.get("pid")  # the process that had the database and was killed
        #: What a run is to find, or what an earlier run has found, if that may differ.
        self._environment: Optional[Environment] = before.get("environment")
        self._known_to: Any = None  # the dialect object that was told what drops give back
        self._written: Optional[str] = None

    def begin(self, dialect: Dialect) -> Optional[str]:
        """Note that this run has the database; return a sentence if the one before was killed."""
        self._write()
        if self._former in (None, os.getpid()):
            return None
        kinds = collections.Counter(kind for kind, _ in dialect.inventory())
        found = ", ".join(count(number, kind) for kind, number in sorted(kinds.items()))
        return (
            'process %d had the database "%s" before, and was killed or crashed in the middle'
            " of its run; found there: %s"
            % (self._former, dialect.identity.name, found or "nothing")
        )

    def drop_everything(self, dialect: Dialect) -> None:
        """Drop all that is found in the database, and what an earlier run has changed beside it.

        :raises ConfigurationError: if the role may not drop or give back all of it.
        """
        lacking: List[str] = []
        if dialect.found is None:
            recorded = record_of(dialect)
            if recorded is not None:
                lacking = dialect.lacking(recorded)
            dialect.found = recorded if lacking else dialect.environment()
        if self._known_to is not dialect:
            self._keep(dialect.found)
            self._known_to = dialect
        try:
            dialect.drop_everything()
        except ConfigurationError as error:
            if not lacking:
                raise
            self._known_to = None  # what is lacking was no test of this run's doing
            raise ConfigurationError(str(error) + _FOUND_EARLIER.format(self._path)) from error
        if lacking:
            say(_GIVEN_BACK.format(dialect.identity.name, _listed(lacking)))

    def built(self, dialect: Dialect) -> None:
        """Have what was just built given back at the end: what it declares is no test's doing."""
        self._keep(dialect.environment())

    def end(self, dialect: Dialect) -> None:
        """Give back what the last tests changed, and say that this run has come to its end."""
        if self._process != os.getpid():
            return
        try:
            # It does not know of it either if the database was dropped and made anew meanwhile.
            known = self._known_to is not None and dialect.found is not None
            if known and dialect.alive:
                lacking = dialect.give_back(self._environment)
                if lacking:
                    say(_NOT_GIVEN_BACK.format(dialect.identity.name, _listed(lacking)))
                else:
                    self._environment = None
        finally:
            self._write(ended=True)

    def _keep(self, environment: Environment) -> None:
        self._environment = environment
        self._write()

    def _write(self, ended: bool = False) -> None:
        counts = self._has_server and not ended and not _is_worker()
        content = {"pid": os.getpid() if counts else None, "environment": self._environment}
        text = json.dumps(content)
        if text == self._written:
            return
        with contextlib.suppress(OSError):  # a service, for which no run should fail
            if any(content.values()):
                write(self._path, text)
            else:
                os.remove(self._path)
        self._written = text


def record_of(dialect: Dialect) -> Optional[Environment]:
    """Return what the run that has a database, or the last one that had it, found in it."""
    record = _read(_path(dialect)).get("environment")
    return None if record is None else dialect.recorded(record)


def _path(dialect: Dialect) -> str:
    if dialect.control is not None:
        parts = dialect.control.parts
        place = "%s %s %s" % (parts["host"], parts["port"], parts["database"])
    else:
        place = os.path.join(dialect.identity.place, dialect.identity.name)
    return os.path.join(folder(), "%08x.claim" % zlib.crc32(place.encode("utf-8")))


def _read(path: str) -> Any:
    if not is_ours(os.path.dirname(path)):
        return {}
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _listed(statements: List[str]) -> str:
    more = "; and %d more" % (len(statements) - _SHOWN) if len(statements) > _SHOWN else ""
    return "; ".join(" ".join(each.split()) for each in statements[:_SHOWN]) + more


def _is_worker() -> bool:
    processes = sys.modules.get("multiprocessing.process")
    spawned = processes is not None and processes.current_process().name != "MainProcess"
    return spawned or was_forked() or "PYTEST_XDIST_WORKER" in os.environ
