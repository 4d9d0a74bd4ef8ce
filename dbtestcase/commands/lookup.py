"""Finds the databases to look at: those that the command line names; else those of runs.

What the command line names is a :class:`Subject`: an application, an engine, a test class or a URL.
Without one there are the databases of the runs that are going on, of the last run, or those of a
server that is known. Each is a :class:`Place`, with a connection to it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sys
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

import sqlalchemy as sa

from .. import _compat, dialects, where
from ..connections import duration
from ..contracts import Administration
from ..databases import Run, is_test_name, last_run, runs, unreachable
from ..declared import (
    PlainTarget,
    Target,
    application,
    class_target,
    import_object,
    no_target,
    target_of_app,
)
from ..errors import ConfigurationError, DatabaseTestCaseError, ServerError
from ..server import CONNECT_SECONDS, VARIABLE
from ..testcase import DatabaseMixin

_MAINTENANCE = "postgres"  # a database that servers have, for work on others

_ADVICE = """\
  Name the application or a URL, as: webapp:app --config webapp.config.Testing
  A password that is nowhere in them is read from PGPASSWORD or ~/.pgpass."""


# --- what the command line names -----------------------------------------------------------------


class Subject(NamedTuple):
    """What is looked at, and the names that it allows beside those with a word "test"."""

    target: Target
    allowed: Tuple[str, ...]
    named: str  # as the command line has it, without a password

    def origin(self, key: Optional[str]) -> str:
        """Return which setting led to the engine of a bind key."""
        return self.target.origin(key) if self.target.app is not None else self.named


def add_arguments(parser: argparse.ArgumentParser, optional: bool) -> None:
    """Let a command take an application or URL and a configuration."""
    parser.add_argument(
        "subject",
        metavar="APP_OR_URL",
        nargs="?" if optional else None,
        help="module:attribute of a Flask app, an Engine or a test class; or a URL",
    )
    parser.add_argument(
        "--config",
        metavar="OBJECT",
        help="the Testing configuration, as webapp.config.Testing",
    )


@contextlib.contextmanager
def opened(text: str, config: Optional[str]) -> Iterator[Subject]:
    """Load what the command line names; dispose of the engines that were made for it.

    :raises ConfigurationError: if it cannot be loaded.
    """
    # What an application prints as it is imported is not our output.
    with contextlib.redirect_stdout(sys.stderr):
        subject = _loaded(text, config)
    try:
        yield subject
    finally:
        for engine in subject.target.engines.values():
            engine.dispose()
        subject.target.close()


def _loaded(text: str, config: Optional[str]) -> Subject:
    named = text if "://" not in text else _shown(text)
    try:
        found = text if "://" in text else _imported(text)
        target, allowed = _target(found, config)
    except DatabaseTestCaseError:
        raise
    except Exception as error:  # whatever the code of an application may raise
        raise ConfigurationError(
            "%s cannot be used: %s: %s" % (named, type(error).__name__, error)
        ) from error
    if target is None:
        raise ConfigurationError(
            "%s is %r: it is no Flask application, no Engine, no test class that names one, and"
            " no URL." % (named, found)
        )
    if config is not None and target.app is None:
        raise ConfigurationError("--config is for Flask applications; %s is none." % named)
    return Subject(target, allowed, named)


def _shown(text: str) -> str:
    try:
        return _compat.url_text(text, hide_password=True)
    except Exception:  # whose text may hold the password
        raise ConfigurationError(
            "what you gave is no URL of a database, as postgresql://user:password@host/shop_test"
            " is; in a password, write @ as %40 and : as %3A."
        ) from None


def _imported(text: str) -> Any:
    module, _, attribute = text.partition(":")
    if module.endswith(".py") or "/" in module:
        dotted = re.sub(r"\.py\Z", "", os.path.normpath(module)).replace(os.sep, ".")
        raise ConfigurationError(
            "%r names a file, not a module: write %s:%s, as it is seen from the directory the tests"
            " are started in." % (text, dotted.strip("."), attribute.strip(":") or "ATTRIBUTE")
        )
    if not attribute:
        raise ConfigurationError(
            "%r is neither module:attribute (as webapp:app) nor a URL (as"
            " postgresql://localhost/app_test)." % text
        )
    return import_object(text)


def _target(found: Any, config: Optional[str]) -> Tuple[Optional[Target], Tuple[str, ...]]:
    """Return the target that was named, ``None`` if it is none, and the names that it allows."""
    if isinstance(found, str) or hasattr(found, "raw_connection"):
        return PlainTarget(found, None, None), ()
    if isinstance(found, type) and issubclass(found, DatabaseMixin):
        if config is not None:
            raise ConfigurationError(
                "%s has a config of its own; leave out --config." % found.__name__
            )
        target = class_target(found)
        if target is None:  # made by each test
            case: Any = found
            raise no_target(case("run"))
        allowed = found.allowed_databases
        return target, (allowed,) if isinstance(allowed, str) else tuple(allowed)
    if callable(found) and not hasattr(found, "app_context"):
        found = found()
    app, _ = application(found, "")
    if not hasattr(app, "app_context"):
        return None, ()
    return target_of_app(app, None, config, made_here=False), ()


# --- where to look -------------------------------------------------------------------------------


class Place(NamedTuple):
    """A database to look at."""

    server: Administration
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
    database: Optional[str] = None  # to connect to in place of the URL's


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
                    closing.callback(place.server.close)
                    parts = place.server.control.parts
                    places.setdefault((str(parts), place.name), place)
        if not places:
            raise ConfigurationError(
                "%s uses no PostgreSQL database: with others there is nothing to see from outside."
                % subject.named
            )
        yield list(places.values())


def _of_engine(engine: Any, origin: str) -> Iterator[Place]:
    """Connect to an engine's database, or beside it if it is not there, and to its siblings."""
    kind = dialects.of_engine(engine)
    try:
        with _compat.connect_timeout():
            server = kind.administer(engine)
        base = server.name
    except Exception as error:
        missing = kind.missing(engine, error)
        if missing is None:
            raise unreachable(error, engine, "dbtestcase", origin) from error
        server, base = kind.administer(engine, kind.maintenance), missing
    name = server.name
    yield Place(server, base, origin, base, exists=name == base)
    for member in server.members(base):
        if member.pid is not None and member.name != name:
            sibling = kind.administer(engine, member.name)
            yield Place(sibling, member.name, origin, base)


@contextlib.contextmanager
def found() -> Iterator[List[Place]]:
    """Give the databases of the runs that are going on; else those of a server that is known.

    :raises ServerError: if there is none, or what there is cannot be reached.
    """
    with contextlib.ExitStack() as closing:
        places, problems = _connected(closing, _of_runs())
        if problems and not places:
            raise ServerError("cannot look at what runs:\n%s\n%s" % (problems, _ADVICE))
        if not places:
            places, _ = _connected(closing, _of_last_run())
        yield places or _of_server(closing)


def _of_runs() -> List[_Source]:
    sources = []
    for run in runs():
        since = duration(where.wall() - run.since)
        sources += _of_run(run, "run %d in %s, for %s" % (run.pid, run.folder, since))
    return sources


def _of_last_run() -> List[_Source]:
    run = last_run()
    if run is None or run.ended is None:
        return []
    ago = duration(where.wall() - run.ended)
    return _of_run(run, "no run is going on; the last one, in %s, ended %s ago" % (run.folder, ago))


def _of_run(run: Run, origin: str) -> List[_Source]:
    sources = []
    for parts in run.databases:
        url = _url(**{name: value for name, value in parts.items() if name != "base"})
        sources.append(_Source(url, origin, parts["base"], None if run.ended else run.pid))
    return sources


def _of_server(closing: contextlib.ExitStack) -> List[Place]:
    """Return the test databases in use on the server that the variable names, or libpq's own."""
    if os.environ.get(VARIABLE):
        origin, url = VARIABLE, _of_variable()
    else:
        origin, url = "what libpq connects to by itself", _url()
    sources = [_Source(url, origin), _Source(url, origin, database=_MAINTENANCE)]
    places, problems = _connected(closing, sources)
    if not places:
        raise ServerError(
            "no run is going on, %s is not set, and no server was found:\n%s\n%s"
            % (VARIABLE, problems, _ADVICE)
            if origin != VARIABLE
            else "cannot reach the server that %s names:\n%s" % (VARIABLE, problems)
        )
    first = places[0]
    others = [
        _Source(url, origin, database=name)
        for name in first.server.busy_databases()
        if name != first.name and is_test_name(name)
    ]
    found_there, _ = _connected(closing, others)
    return ([first] if is_test_name(first.name) or not found_there else []) + found_there


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
        url = source.url
        if source.database is not None:
            url = _compat.url_with(url, database=source.database)
        options = {"connect_timeout": CONNECT_SECONDS}
        engine = sa.create_engine(url, poolclass=sa.pool.NullPool, connect_args=options)
        kind = dialects.of_engine(engine)
        try:
            server = kind.administer(engine)
        except Exception as error:  # every driver has its own
            if kind.missing(engine, error) is None:
                text = _compat.without_password(str(error).strip().splitlines()[0], url)
                problems.append("  %s: %s" % (source.origin, text))
            continue
        closing.callback(server.close)
        name = server.name
        places.append(Place(server, name, source.origin, source.base or name, source.run))
    return places, "\n".join(dict.fromkeys(problems))


def _url(**parts: Any) -> Any:
    return _compat.url_with("%s://" % _driver(), **parts)


def _driver() -> str:
    drivername = _compat.postgresql_drivername()
    if drivername is None:
        raise ConfigurationError(
            "no driver for PostgreSQL can be imported: pip install psycopg2-binary"
        )
    return drivername
