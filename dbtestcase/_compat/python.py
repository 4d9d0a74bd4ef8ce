"""Keeps the differences between versions of Python and its own libraries."""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import os
import sys
from typing import Any, Callable, Dict, Iterable, Optional


def add_class_cleanup(case: type, function: Callable[[], Any]) -> None:
    """Have unittest run a clean-up when the class is over, where it knows such clean-ups."""
    if has_class_cleanups(case):
        case.addClassCleanup(function)  # type: ignore[attr-defined]


def has_class_cleanups(case: type) -> bool:
    """Tell whether unittest runs clean-ups of a class, as it does from Python 3.8 on."""
    return hasattr(case, "addClassCleanup")


def tells_sub_tests_at_once() -> bool:
    """Tell whether a result hears of a sub-test before its test is over, as from Python 3.11 on."""
    return sys.version_info >= (3, 11)


def at_exit(function: Callable[[], Any]) -> None:
    """Have a function run, once, before others when this process ends."""
    atexit.unregister(function)
    atexit.register(function)
    # A process that multiprocessing has started ends without atexit's functions, up to Python 3.13.
    processes = sys.modules.get("multiprocessing.process")
    util = sys.modules.get("multiprocessing.util")
    if processes and util and processes.current_process().name != "MainProcess":
        util.Finalize(None, function, exitpriority=0)


def popen_as_user(uid: int, gid: int) -> Dict[str, Any]:
    """Return the arguments of ``Popen`` that run a program as a user, in no group but its own."""
    if sys.version_info >= (3, 9):
        return {"user": uid, "group": gid, "extra_groups": [gid]}

    def become_user() -> None:
        os.setgroups([gid])
        os.setgid(gid)
        os.setuid(uid)

    return {"preexec_fn": become_user}


def in_place_of(error: Any, kind: type, text: str) -> Any:
    """Return an error that is both what a caller may expect and of another kind, with its text.

    It keeps the arguments and attributes of the first, and pickles as the second.
    """
    both: Any = type(
        kind.__name__,
        (kind, type(error)),
        {
            "__module__": kind.__module__,
            "__str__": lambda self: text,
            "__reduce__": lambda self: (kind, (text,)),
        },
    )
    made = both.__new__(both)
    made.args = error.args
    vars(made).update(vars(error))
    return made


def become(error: BaseException, kind: type, text: str) -> None:
    """Have an error, while it is raised, be of another kind as well, with its text.

    All that its driver has put in it stays; it pickles as the other kind.
    """
    members = {
        "__module__": kind.__module__,
        "__str__": lambda self: text,
        "__reduce__": lambda self: (kind, (text,)),
    }
    with contextlib.suppress(TypeError):  # of a class written in C whose objects have another shape
        error.__class__ = type(kind.__name__, (kind, type(error)), members)


def add_text(error: BaseException, text: str) -> None:
    """Add text to the message of an exception, once; its type and traceback stay as they are.

    Notes came with Python 3.11. Before, the message is made longer where it is all that the
    exception says; else its class is replaced by one of the same name that says more.
    """
    known = vars(error).setdefault("_dbtestcase_added", [])
    if text in known:
        return
    known.append(text)
    if hasattr(error, "add_note"):
        error.add_note(text)
    elif len(error.args) == 1 and isinstance(error.args[0], str) and str(error) == error.args[0]:
        error.args = ("%s\n%s" % (error.args[0], text),)
    elif type(error) is AssertionError and error.args in ((), (None,)):  # by assert, self.fail()
        error.args = (("%s\n%s" % (error, text)).lstrip("\n"),)
    else:
        kind = type(error)
        names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
        longer = dict(names, __str__=lambda self: "%s\n%s" % (kind.__str__(self), text))
        try:
            error.__class__ = type(kind.__name__, (kind,), longer)
        except TypeError:  # one of those that are built in, as KeyError
            sys.stderr.write("%s: %s\n%s\n" % (kind.__name__, error, text))


class _AfterImport:
    """Finds modules as others do, and has something called once they are imported."""

    def __init__(self, names: Iterable[str], then: Callable[[], Any]) -> None:
        self.awaited = set(names)
        self.then = then

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Return how a module is loaded, if it is one; others may ask and not import it."""
        if name not in self.awaited:
            return None
        self.awaited.discard(name)  # while the other finders are asked
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self.awaited.add(name)
        loader: Any = spec and spec.loader
        if hasattr(loader, "exec_module"):
            ordinary = loader.exec_module

            def execute(module: Any) -> None:
                ordinary(module)
                self.awaited.discard(name)
                self.then()

            loader.exec_module = execute
        return spec


def call_after_import(names: Iterable[str], then: Callable[[], Any]) -> None:
    """Have something called as soon as any of these modules is imported that are not yet."""
    awaited = [name for name in names if name not in sys.modules]
    if awaited:
        sys.meta_path.insert(0, _AfterImport(awaited, then))


def loaded_version(module: str) -> Optional[str]:
    """Return the version of a library that this process has loaded, ``None`` if it has not.

    Flask and its extensions no longer have it as an attribute, older Pythons no metadata.
    """
    if module not in sys.modules:
        return None
    try:
        from importlib.metadata import version

        return str(version(module.replace("_", "-")))
    except Exception:  # no such module before Python 3.8, no distribution of this name
        return str(getattr(sys.modules[module], "__version__", "?")).split()[0]
