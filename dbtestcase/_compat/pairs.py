"""Tells which installed versions do not work together, though pip installs them side by side.

Each such pair is an old library and a newer one that took away what the old one needs.
"""

from __future__ import annotations

import functools
import importlib.machinery
import os
import re
import sys
from typing import Any, Callable, NamedTuple, Optional, Tuple

from ..errors import ConfigurationError


class Pair(NamedTuple):
    """Below one version, the old library does not work with the new one from another version on."""

    old: str
    below: str
    new: str
    since: str


# The stricter ones first: the first that applies is reported.
BROKEN_PAIRS = (
    Pair("Flask-SQLAlchemy", "3.0", "SQLAlchemy", "2.0"),
    Pair("Flask-SQLAlchemy", "2.5", "Werkzeug", "2.1"),
    Pair("Flask-SQLAlchemy", "2.5", "Flask", "2.2"),
    Pair("Flask-SQLAlchemy", "3.0", "Flask", "2.4"),
    Pair("SQLAlchemy", "2.0.16", "Flask-SQLAlchemy", "3.1"),
    Pair("SQLAlchemy", "1.4.18", "Flask-SQLAlchemy", "3.0"),
    Pair("Flask", "2.3", "Werkzeug", "3.1"),  # its test client needs werkzeug.__version__
    Pair("Flask", "2.2.5", "Werkzeug", "3.0"),
    Pair("Jinja2", "3.0", "MarkupSafe", "2.1"),
)

_BROKEN = (
    "{0.old} {old} does not work with {0.new} {new}, though pip installs them together.\n"
    '  {0.old} {old} works with {0.new} below {0.since}: pip install "{0.new}<{0.since}"\n'
    '  {0.new} {new} works with {0.old} {0.below} or later: pip install "{0.old}>={0.below}"'
)

_MODULES = {"flask": "Flask", "flask_sqlalchemy": "Flask-SQLAlchemy"}


def broken_pair(
    version_of: Optional[Callable[[str], Optional[str]]] = None, library: Optional[str] = None
) -> Optional[str]:
    """Return which installed versions do not work together, and which do; ``None`` if all do.

    :param version_of: gives the version of a library by its name, ``None`` where it is not
        installed; by default what is installed here.
    :param library: look only at what breaks when this one, ``"Flask"`` or ``"Flask-SQLAlchemy"``,
        is imported.
    """
    version_of = version_of or installed_version
    for pair in BROKEN_PAIRS:
        extension = "Flask-SQLAlchemy" in (pair.old, pair.new)
        if library is not None and extension != (library == "Flask-SQLAlchemy"):
            continue
        old, new = version_of(pair.old), version_of(pair.new)
        if old and new and _number(old) < _number(pair.below):
            if _number(new) >= _number(pair.since):
                return _BROKEN.format(pair, old=old, new=new)
    return None


def _number(version: str) -> Tuple[int, ...]:
    """Return what a version is compared by; 2.0 and 2.0.0 are the same."""
    release = re.match(r"\d+(?:\.\d+)*", version)
    numbers = [int(part) for part in release.group().split(".")] if release else []
    return tuple((numbers + [0] * 4)[:4])


@functools.lru_cache(maxsize=None)
def require_working_pairs() -> None:
    """Look whether the installed versions work together, before an application is used.

    :raises ConfigurationError: if they do not.
    """
    text = broken_pair()
    if text is not None:
        raise ConfigurationError(text)


def watch_imports() -> None:
    """Have the import of a library say so where its version does not work with another one.

    Test modules import their application at their top, before any test of theirs is asked.
    Nothing is read until one of the libraries is imported.

    :raises ConfigurationError: if such a library was imported before.
    """
    for module, library in _MODULES.items():
        text = broken_pair(library=library) if module in sys.modules else None
        if text is not None:
            raise ConfigurationError(text)
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder:
    """Finds a module that cannot work, and nothing else; loading it says why."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name not in _MODULES or broken_pair(library=_MODULES[name]) is None:
            return None
        return importlib.machinery.ModuleSpec(name, self)  # type: ignore[arg-type]

    def create_module(self, spec: Any) -> None:
        return None

    def exec_module(self, module: Any) -> None:
        raise ConfigurationError(broken_pair(library=_MODULES[module.__name__]))


def installed_version(library: str) -> Optional[str]:
    """Return the version of an installed library without importing it, ``None`` if it is not."""
    try:
        from importlib.metadata import PackageNotFoundError, version
    except ImportError:  # Python 3.7
        return version_in_folders(library)
    try:
        return version(library)
    except PackageNotFoundError:
        return None


def version_in_folders(library: str) -> Optional[str]:
    """Return the version of an installed library by the name of the folder that describes it."""
    for folder in sys.path:
        try:
            names = os.listdir(folder or os.curdir)
        except OSError:  # an archive, or not there
            continue
        for name in names:
            match = re.match(r"(.+?)-(\d[^-]*)(?:-py\d.*)?\.(?:dist|egg)-info$", name)
            if match and _plain(match.group(1)) == _plain(library):
                return match.group(2)
    return None


def _plain(name: str) -> str:
    """Return a name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def missing_driver(
    error: BaseException, version_of: Optional[Callable[[str], Optional[str]]] = None
) -> Optional[str]:
    """Return what to do where psycopg (3) is missed that only a newer SQLAlchemy asks for.

    Plain ``postgresql://`` means psycopg2 up to SQLAlchemy 2.0 and psycopg from 2.1 on.

    :param error: what making an engine raised.
    :param version_of: gives the version of a library, as for :func:`broken_pair`.
    """
    version_of = version_of or installed_version
    psycopg2 = version_of("psycopg2") or version_of("psycopg2-binary")
    if getattr(error, "name", None) != "psycopg" or not psycopg2:
        return None
    return (
        "SQLAlchemy %s takes postgresql:// for psycopg (version 3), which is not installed;"
        " psycopg2 %s is. Write postgresql+psycopg2:// or: pip install 'psycopg[binary]'"
        % (version_of("SQLAlchemy"), psycopg2)
    )
