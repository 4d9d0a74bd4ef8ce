"""Cursors of the driver's own kind that say what they are about to run.

Drivers' helpers written in C accept nothing but real cursors, so these are subclasses of whatever
class the user asked for, not wrappers.
"""

from __future__ import annotations

import functools
from typing import Any, Callable, Sequence

from .. import _compat

# Methods that run something; with what they are given where that is the statement itself.
_WITH_STATEMENT = ("execute", "executemany", "stream", "copy", "copy_expert")
_WITHOUT_STATEMENT = ("callproc", "copy_from", "copy_to")


def open_cursor(checkout: Any, dbapi: Any, arguments: Sequence[Any], options: Any) -> Any:
    """Open a cursor on the driver's connection that reports to the check-out it belongs to.

    :param checkout: has ``before(statement)``, which tells whether to run it, and ``failed()``.
    :param dbapi: the driver's connection.
    :param arguments: positional arguments of the driver's own ``cursor()``.
    :param options: its keyword arguments.
    """
    cursor = _compat.open_cursor_of_class(dbapi, watched, arguments, options)
    try:
        cursor._dbtestcase_checkout = checkout
    except AttributeError:  # made by a function of the user's own: it cannot report
        checkout.before(None)
    return cursor


@functools.lru_cache(maxsize=None)
def watched(base: Any) -> Any:
    """Return a subclass of a cursor class that reports; anything else comes back as it is."""
    if not isinstance(base, type) or hasattr(base, "_dbtestcase_checkout"):
        return base
    members: Any = {"_dbtestcase_checkout": None, "__module__": base.__module__}
    for name in _WITH_STATEMENT + _WITHOUT_STATEMENT:
        if hasattr(base, name):
            members[name] = _watched_method(getattr(base, name), name in _WITH_STATEMENT)
    if hasattr(base, "executescript"):
        members["executescript"] = _executescript
    return type(base.__name__, (base,), members)


def _watched_method(method: Callable[..., Any], takes_statement: bool) -> Callable[..., Any]:
    @functools.wraps(method)
    def run(cursor: Any, *arguments: Any, **options: Any) -> Any:
        checkout = cursor._dbtestcase_checkout
        if checkout is None:
            return method(cursor, *arguments, **options)
        if not checkout.before(arguments[0] if takes_statement and arguments else None):
            return cursor
        try:
            return method(cursor, *arguments, **options)
        except BaseException:
            checkout.failed()
            raise

    return run


def _executescript(cursor: Any, script: str) -> Any:
    """Run a script statement by statement: the driver's own would commit for real first."""
    checkout = cursor._dbtestcase_checkout
    checkout.commit()
    for statement in _compat.split_sqlite_script(script):
        cursor.execute(statement)
    checkout.commit()
    return cursor
