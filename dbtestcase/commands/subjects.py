"""What the command line names: an application, an engine, a test class or a URL."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sys
from typing import Any, Iterator, NamedTuple, Optional, Tuple

from .. import _compat
from ..declared import (
    PlainTarget,
    Target,
    application,
    class_target,
    import_object,
    no_target,
    target_of_app,
)
from ..errors import ConfigurationError, DatabaseTestCaseError
from ..testcase import DatabaseMixin


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


def _target(found: Any, config: Optional[str]) -> Tuple[Any, Tuple[str, ...]]:
    """Return the target that was named, ``None`` if it is none, and the names that it allows."""
    if isinstance(found, str) or hasattr(found, "raw_connection"):
        return PlainTarget(found, None, None), ()
    if isinstance(found, type) and issubclass(found, DatabaseMixin):
        return _of_class(found, config)

    if callable(found) and not hasattr(found, "app_context"):
        found = found()
    app, _ = application(found, "")
    if not hasattr(app, "app_context"):
        return None, ()
    return target_of_app(app, None, config, made_here=False), ()


def _of_class(cls: Any, config: Optional[str]) -> Tuple[Any, Tuple[str, ...]]:
    if config is not None:
        raise ConfigurationError("%s has a config of its own; leave out --config." % cls.__name__)
    allowed = cls.allowed_databases
    target = class_target(cls)
    if target is None:  # made by each test
        raise no_target(cls("run"))
    return target, (allowed,) if isinstance(allowed, str) else tuple(allowed)
