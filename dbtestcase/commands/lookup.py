"""Which databases to look at: those of an application; else those of runs, or of a server."""

from __future__ import annotations

import contextlib
import os
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

import sqlalchemy as sa

from .. import _compat, where
from ..connections import duration
from ..databases import Run, is_test_name, last_run, runs, unreachable
from ..dialects.postgresql.catalog import facts
from ..dialects.postgresql.claims import family
from ..dialects.postgresql.database import DIALECT, MAINTENANCE
from ..dialects.postgresql.sessions.control import Control
from ..errors import ConfigurationError, ServerError
from ..server import CONNECT_SECONDS, VARIABLE
from .subjects import Subject

_ADVICE = """\
  Name the application or a URL, as: webapp:app --config webapp.config.Testing
  A password that is nowhere in them is read from PGPASSWORD or ~/.pgpass."""


class Place(NamedTuple):
    """A database to look at."""

    control: Control
    name: str
    origin: str  # how one came to it
    base: str  # the configured database that it may be a sibling of
    run: Optional[int] = None  # the pid of the process that has it
    exists: bool = True  # else the connection is to another database of the server


class _Source(NamedTuple):
    url: Any
    origin: str
    base: Optional[str] = None
    run: Optional[int] = None


@contextlib.contextmanager
def found() -> Iterator[List[Place]]:
    """Give the databases of the runs that are going on; else those of a server that is known.

    :raises ServerError: if there is none, or what there is cannot be reached.
    """
    with contextlib.ExitStack() as closing:
        for sources, is_over in ((_of_runs(), False), (_of_last_run(), True)):
            places, problems = _connected(closing, sources)
            if places:
                break
            if problems and not is_over:
                raise ServerError("cannot look at what runs:\n%s\n%s" % (problems, _ADVICE))
        else:
            places = _of_server(closing)
        yield places


@contextlib.contextmanager
def of_subject(subject: Subject) -> Iterator[List[Place]]:
    """Give the PostgreSQL databases of an application, and the siblings that runs have.

    :raises ServerError: if one cannot be reached.
    """
    with contextlib.ExitStack() as closing:
        places: Dict[Any, Place] = {}
        for key, engine in subject.target.engines.items():
            if engine.dialect.name == "postgresql":
                for place in _of_engine(engine, subject.origin(key)):
                    closing.callback(place.control.close)
                    places.setdefault((str(place.control.parts), place.name), place)
        if not places:
            raise ConfigurationError(
                "%s uses no PostgreSQL database: with others there is nothing to see from outside."
                % subject.named
            )
        yield list(places.values())


def control_of(engine: Any, origin: str) -> Tuple[Control, str]:
    """Connect to an engine's database, or beside it if it is not there; return its name, too.

    :raises ServerError: if the server cannot be reached.
    """
    try:
        with _compat.connect_timeout():
            control = Control(engine)
    except Exception as error:
        name = DIALECT.missing(engine, error)
        if name is None:
            raise unreachable(error, engine, "dbtestcase", origin) from error
        return DIALECT.beside(engine, MAINTENANCE), name
    return control, facts.database_name(control)


def _of_engine(engine: Any, origin: str) -> Iterator[Place]:
    control, base = control_of(engine, origin)
    name = facts.database_name(control)
    yield Place(control, base, origin, base, exists=name == base)
    for member in family.members(control, base):
        if member.pid is not None and member.name != name:
            sibling = DIALECT.beside(engine, member.name)
            yield Place(sibling, member.name, origin, base)


def _of_runs() -> List[_Source]:
    return [
        source
        for run in runs()
        for source in _of_run(
            run,
            "run %d in %s, for %s" % (run.pid, run.folder, duration(where.wall() - run.since)),
        )
    ]


def _of_last_run() -> List[_Source]:
    run = last_run()
    if run is None or run.ended is None:
        return []
    ago = duration(where.wall() - run.ended)
    return _of_run(run, "no run is going on; the last one, in %s, ended %s ago" % (run.folder, ago))


def _of_run(run: Run, origin: str) -> List[_Source]:
    return [
        _Source(
            _url(**{name: value for name, value in parts.items() if name != "base"}),
            origin,
            parts["base"],
            None if run.ended else run.pid,
        )
        for parts in run.databases
    ]


def _of_server(closing: contextlib.ExitStack) -> List[Place]:
    """Return the test databases in use on the server that the variable names, or libpq's own."""
    origin = VARIABLE if os.environ.get(VARIABLE) else "what libpq connects to by itself"
    url = _of_variable() if os.environ.get(VARIABLE) else _url()
    places, problems = _connected(
        closing, [_Source(url, origin), _Source(_on(url, MAINTENANCE), origin)]
    )
    if not places:
        raise ServerError(
            "no run is going on, %s is not set, and no server was found:\n%s\n%s"
            % (VARIABLE, problems, _ADVICE)
            if origin != VARIABLE
            else "cannot reach the server that %s names:\n%s" % (VARIABLE, problems)
        )
    busy = facts.busy_databases(places[0].control)
    others = [
        _Source(_on(url, name), origin)
        for name in busy
        if name != places[0].name and is_test_name(name)
    ]
    found_there, _ = _connected(closing, others)
    is_for_tests = is_test_name(places[0].name)
    return (places[:1] if is_for_tests or not found_there else []) + found_there


def _of_variable() -> Any:
    try:
        url = sa.engine.url.make_url(os.environ[VARIABLE])
    except (sa.exc.ArgumentError, ValueError):  # whose text may hold the password
        raise ConfigurationError("%s is not a URL of a database." % VARIABLE) from None
    if url.drivername == "postgresql":
        url = _compat.url_with(url, drivername=_driver())
    return url


def _connected(closing: contextlib.ExitStack, sources: List[_Source]) -> Tuple[List[Place], str]:
    """Connect to what is there; return why the rest, if not dropped meanwhile, was not reached."""
    places, problems = [], []
    for source in sources:
        options = {"connect_timeout": CONNECT_SECONDS}
        engine = sa.create_engine(source.url, poolclass=sa.pool.NullPool, connect_args=options)
        try:
            control = Control(engine)
        except Exception as error:  # every driver has its own
            if not DIALECT.is_missing(error, str(source.url.database)):
                text = _compat.without_password(str(error).strip().splitlines()[0], source.url)
                problems.append("  %s: %s" % (source.origin, text))
            continue
        closing.callback(control.close)
        name = facts.database_name(control)
        places.append(Place(control, name, source.origin, source.base or name, source.run))
    return places, "\n".join(dict.fromkeys(problems))


def _on(url: Any, database: str) -> Any:
    return _compat.url_with(url, database=database)


def _url(**parts: Any) -> Any:
    return _compat.url_with("%s://" % _driver(), **parts)


def _driver() -> str:
    drivername = _compat.postgresql_drivername()
    if drivername is None:
        raise ConfigurationError(
            "no driver for PostgreSQL can be imported: pip install psycopg2-binary"
        )
    return drivername
