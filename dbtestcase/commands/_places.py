"""Where to look when the command line names nothing: at what runs, at the server that is named."""

from __future__ import annotations

import contextlib
import os
import time
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple

import sqlalchemy as sa

from .. import _blocked, _compat, announce, verdicts
from .._server_url import CONNECT_SECONDS, VARIABLE
from ..dialects import postgresql
from ..dialects.postgresql import facts, family
from ..dialects.postgresql.control import Control
from ..errors import ConfigurationError, ServerError

LOOK = (
    "  Name the application or a URL: python -m dbtestcase blockers webapp:app"
    " --config webapp.config.Testing"
)


class Place(NamedTuple):
    """A database to look at: a connection to it, and how one came to it."""

    control: Control
    name: str
    origin: str
    run: Optional[int] = None  # the pid of the process that has it


@contextlib.contextmanager
def found() -> Iterator[List[Place]]:
    """Give the databases of the runs that are going on; else those of a server that can be found.

    :raises ServerError: if there are none.
    """
    with contextlib.ExitStack() as closing:
        problems: List[str] = []
        for source in (_of_runs, _of_last_run, _of_variable, _of_libpq):
            places = [_kept(closing, place) for place in source(problems)]
            if places:
                yield places
                return
        raise ServerError(
            "no run is going on, and no server was found:\n  %s\n%s"
            % ("\n  ".join(problems), LOOK)
        )


@contextlib.contextmanager
def of_target(target: Any) -> Iterator[List[Place]]:
    """Give the PostgreSQL databases of a target, and the siblings of them that runs have.

    :raises ServerError: if one cannot be reached.
    """
    with contextlib.ExitStack() as closing:
        places: Dict[Tuple[Any, ...], Place] = {}
        for key, engine in target.engines.items():
            if engine.dialect.name != "postgresql":
                continue
            for place in _of_engine(engine, target.origin(key)):
                _kept(closing, place)
                places.setdefault(tuple(sorted(place.control.parts.items(), key=str)), place)
        if not places:
            raise ConfigurationError("there is no PostgreSQL database to look at.")
        yield list(places.values())


def control_of(engine: Any, origin: str) -> Tuple[Control, str]:
    """Connect to an engine's database, or beside it if it is not there; return its name, too.

    :raises ServerError: if the server cannot be reached.
    """
    try:
        with _compat.connect_timeout():
            control = Control(engine)
            return control, control.parts["database"]
    except Exception as error:
        name = postgresql.DIALECT.missing(engine, error)
        if name is None:
            raise verdicts.unreachable(error, engine, "dbtestcase", origin) from error
    return postgresql.DIALECT.beside(engine, postgresql.MAINTENANCE), name


def _of_engine(engine: Any, origin: str) -> Iterator[Place]:
    control, name = control_of(engine, origin)
    yield Place(control, name, origin)
    for member in family.members(control, name):
        if member.pid is not None and member.name != control.parts["database"]:
            with contextlib.suppress(sa.exc.DBAPIError):
                yield Place(postgresql.DIALECT.beside(engine, member.name), member.name, origin)


def _of_runs(problems: List[str]) -> Iterator[Place]:
    for run in announce.runs():
        since = _blocked.duration(time.time() - run.since)
        yield from _of_run(run, "run %d in %s for %s" % (run.pid, run.folder, since), problems)


def _of_last_run(problems: List[str]) -> Iterator[Place]:
    run = announce.last_run()
    if run is not None and run.ended is not None:
        ago = _blocked.duration(time.time() - run.ended)
        yield from _of_run(run, "the last run, in %s, over for %s" % (run.folder, ago), problems)


def _of_run(run: announce.Run, origin: str, problems: List[str]) -> Iterator[Place]:
    for parts in run.databases:
        url = _url(**{name: value for name, value in parts.items() if name != "base"})
        yield from _tried(url, origin, problems, run.pid)


def _of_variable(problems: List[str]) -> Iterator[Place]:
    """Look at the test databases of the server that the variable names, and at the one it names."""
    text = os.environ.get(VARIABLE)
    if not text:
        problems.append("%s is not set" % VARIABLE)
        return
    try:
        named = sa.engine.url.make_url(text)
    except sa.exc.ArgumentError:  # whose text may hold the password
        raise ConfigurationError("%s is not a URL of a database." % VARIABLE) from None
    url = _compat.url_with(named, drivername=_driver()) if named.drivername == "postgresql" else named
    for place in _tried(url, VARIABLE, problems):
        yield place
        for name in facts.databases(place.control):
            if name != place.name and verdicts.is_test_name(name):
                yield from _tried(_compat.url_with(url, database=name), VARIABLE, problems)


def _of_libpq(problems: List[str]) -> Iterator[Place]:
    yield from _tried(_url(), "what libpq connects to by itself", problems)


def _tried(
    url: Any, origin: str, problems: List[str], run: Optional[int] = None
) -> Iterator[Place]:
    """Connect, if the database is still there."""
    engine = sa.create_engine(
        url, poolclass=sa.pool.NullPool, connect_args={"connect_timeout": CONNECT_SECONDS}
    )
    try:
        control = Control(engine)
    except Exception as error:  # every driver has its own
        text = _compat.without_password(str(error).strip().splitlines()[0], url)
        problems.append("%s: %s" % (origin, text))
        return
    yield Place(control, control.parts["database"], origin, run)


def _url(**parts: Any) -> Any:
    return _compat.url_with("%s://" % _driver(), **parts)


def _driver() -> str:
    drivername = _compat.postgresql_drivername()
    if drivername is None:
        raise ConfigurationError(
            "no driver for PostgreSQL can be imported; pip install psycopg2-binary"
        )
    return drivername


def _kept(closing: contextlib.ExitStack, place: Place) -> Place:
    closing.callback(place.control.close)
    return place
