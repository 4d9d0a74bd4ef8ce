"""Opens cursors that are observed: of the driver's own kind, whatever the driver.

Drivers' helpers written in C accept nothing but real cursors, so these are subclasses of whatever
class the user asked for, not wrappers.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
from typing import Any, Callable, Dict, Sequence

import sqlalchemy as sa

from .. import _compat
from . import statements
from .observers import Observer, subscribers, tell_prepared

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_SQLALCHEMY = os.path.dirname(os.path.abspath(sa.__file__)) + os.sep
_DRIVERS = ("psycopg2", "psycopg", "asyncpg")

# Methods that run something; with what they are given where that is the statement itself.
_WITH_STATEMENT = ("execute", "executemany", "stream", "copy", "copy_expert")
_WITHOUT_STATEMENT = ("callproc", "copy_from", "copy_to")


def open_cursor(
    dbapi: Any, observer: Observer, arguments: Sequence[Any], options: Dict[str, Any]
) -> Any:
    """Open a cursor on a driver's connection with an observer of its own.

    :param arguments: positional arguments of the driver's own ``cursor()``.
    :param options: its keyword arguments.
    """
    cursor = _compat.open_cursor_of_class(dbapi, watched_cursor, arguments, options)
    try:
        cursor._dbtestcase_observer = observer
    except AttributeError:  # made by a function of the user's own: what it runs is not seen
        observer.before(cursor, "execute", None, ())
    return cursor


def watched_cursor(base: Any) -> Any:
    """Return a subclass of a cursor class that is observed; anything else comes back as it is."""
    if not isinstance(base, type) or hasattr(base, "_dbtestcase_observer"):
        return base
    return _watched_class(base)


@functools.lru_cache(maxsize=None)
def _watched_class(base: type) -> type:
    members: Any = {"_dbtestcase_observer": None, "__module__": base.__module__}
    for name in _WITH_STATEMENT + _WITHOUT_STATEMENT:
        if hasattr(base, name):
            method, has_statement = getattr(base, name), name in _WITH_STATEMENT
            is_async = inspect.iscoroutinefunction(method)
            members[name] = (_observed_async if is_async else _observed)(method, has_statement)
    if hasattr(base, "executescript"):
        members["executescript"] = _executescript
    return type(base.__name__, (base,), members)


def _observed(method: Callable[..., Any], takes_statement: bool) -> Callable[..., Any]:
    name = method.__name__

    @functools.wraps(method)
    def run(cursor: Any, *arguments: Any, **options: Any) -> Any:
        observer = cursor._dbtestcase_observer
        if observer is None:
            try:
                result = method(cursor, *arguments, **options)
            except BaseException as error:
                _failed(cursor, error)
                raise
        else:
            statement = arguments[0] if takes_statement and arguments else None
            if not observer.before(cursor, name, statement, arguments):
                return cursor
            try:
                result = method(cursor, *arguments, **options)
            except BaseException as error:
                observer.failed(cursor, error)
                _failed(cursor, error)
                raise
            observer.ran(cursor)
        status = _compat.command_status(cursor)
        if status in _NOTED:
            _ran(cursor, status)
        return result

    return run


def _failed(cursor: Any, error: BaseException) -> None:
    """Tell that a statement failed, or raise the error that says that its connection was ended."""
    if not isinstance(error, Exception):
        return  # whoever interrupts the run, or cancels a task, gets his own
    text = getattr(cursor.connection, "_dbtestcase_ended", None)
    if text is not None:
        raise cursor.connection.OperationalError(text) from error
    if not _caller().startswith((_PACKAGE, _SQLALCHEMY)):
        for subscriber in subscribers:
            subscriber.failed(cursor, error)


# What the server answers where more than a transaction may be left.
_PREPARED = ("PREPARE TRANSACTION", b"PREPARE TRANSACTION")  # to one that had failed: ROLLBACK
_SET = ("SET", b"SET", "RESET", b"RESET", "DISCARD ALL", b"DISCARD ALL")
_NOTED = frozenset(_PREPARED + _SET)


def _ran(cursor: Any, status: Any) -> None:
    """Tell that a statement ran after which more than a transaction may be left."""
    sent = _compat.sent_text(cursor)
    if status in _PREPARED:
        tell_prepared(statements.prepared_by(sent))
    elif not _caller().startswith(_PACKAGE):
        for subscriber in subscribers:
            subscriber.was_set(cursor, sent)


def _caller() -> str:
    """Return the file of the code that asked a driver to run something."""
    frame: Any = sys._getframe(2)
    while frame is not None:
        module = str(frame.f_globals.get("__name__"))
        if module != __name__ and module.split(".")[0] not in _DRIVERS:
            return str(frame.f_code.co_filename)
        frame = frame.f_back
    return ""


def _observed_async(method: Callable[..., Any], takes_statement: bool) -> Callable[..., Any]:
    name = method.__name__

    @functools.wraps(method)
    async def run(cursor: Any, *arguments: Any, **options: Any) -> Any:
        observer = cursor._dbtestcase_observer
        statement = arguments[0] if takes_statement and arguments else None
        if observer is not None and not observer.before(cursor, name, statement, arguments):
            return cursor
        try:
            result = await method(cursor, *arguments, **options)
        except BaseException as error:
            if observer is not None:
                observer.failed(cursor, error)
            _failed(cursor, error)
            raise
        if observer is not None:
            observer.ran(cursor)
        status = _compat.command_status(cursor)
        if status in _NOTED:
            _ran(cursor, status)
        return result

    return run


def _executescript(cursor: Any, script: str) -> Any:
    """Run a script statement by statement: the driver's own would commit for real first."""
    observer = cursor._dbtestcase_observer
    observer.commit()
    for statement in _compat.split_sqlite_script(script):
        cursor.execute(statement)
    observer.commit()
    return cursor
