"""What the command line names: an application, an engine, a test class or a URL."""

from __future__ import annotations

import argparse
import contextlib
import sys
from typing import Any, Iterator, NamedTuple, Optional, Tuple

from .. import suite
from ..errors import ConfigurationError, DatabaseTestCaseError
from ..target import PlainTarget, Target
from ..testcase import DatabaseMixin


class Subject(NamedTuple):
    """What is looked at, and the names that it allows beside those with a word "test"."""

    target: Target
    allowed: Tuple[str, ...]


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
    try:
        found = text if "://" in text else _imported(text)
        subject = _subject(found, config)
    except DatabaseTestCaseError:
        raise
    except Exception as error:  # whatever the code of an application may raise
        raise ConfigurationError(
            "%s cannot be used: %s: %s" % (text, type(error).__name__, error)
        ) from error
    if subject is None:
        raise ConfigurationError(
            "%s is %r: it is no Flask application, no Engine, no test class that names one, and"
            " no URL." % (text, found)
        )
    if config is not None and subject.target.app is None:
        raise ConfigurationError("--config is for Flask applications; %s is none." % text)
    return subject


def _imported(text: str) -> Any:
    from ..flask import import_object

    if not text.partition(":")[2]:
        raise ConfigurationError(
            "%r is neither module:attribute (as webapp:app) nor a URL (as"
            " postgresql://localhost/app_test)." % text
        )
    return import_object(text)


def _subject(found: Any, config: Optional[str]) -> Optional[Subject]:
    if isinstance(found, str) or hasattr(found, "raw_connection"):
        return Subject(PlainTarget(found, None, None), ())
    if isinstance(found, type) and issubclass(found, DatabaseMixin):
        return _of_class(found, config)
    from ..flask import FlaskTarget, application

    if callable(found) and not hasattr(found, "app_context"):
        found = found()
    app, _ = application(found, "")
    if not hasattr(app, "app_context"):
        return None
    return Subject(FlaskTarget(app, None, config, made_here=False), ())


def _of_class(cls: Any, config: Optional[str]) -> Optional[Subject]:
    if config is not None:
        raise ConfigurationError("%s has a config of its own; leave out --config." % cls.__name__)
    allowed = cls.allowed_databases
    target = suite.class_target(cls)
    if target is None:  # made by each test
        raise suite.no_target(cls("run"))
    return Subject(target, (allowed,) if isinstance(allowed, str) else tuple(allowed))
