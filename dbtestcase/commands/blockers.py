"""Tells who holds locks in test databases, and who waits for whom.

Without an argument it looks at the databases of the runs that you have going
on, in any folder; else at those of the last run, within the hour; else at the
test databases of the server that DBTESTCASE_POSTGRESQL_URL names; else at what
libpq connects to (PGHOST, PGDATABASE).

examples:
  python -m dbtestcase blockers
  python -m dbtestcase blockers --watch
  python -m dbtestcase blockers webapp:app --config webapp.config.Testing

exit status:
  0  nothing is in the way of a reset (and for --watch, which Ctrl-C ends)
  1  something holds locks that a reset would wait for; it is named
  2  could not tell: nothing to look at was found, or it cannot be reached
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import functools
from typing import Any, Callable, ContextManager, Dict, List

from .. import where
from ..connections import describe_backend, describe_prepared, lock_holders
from ..contracts import Backend, Prepared
from ..errors import DatabaseTestCaseError, ServerError
from . import lookup
from .output import DONE, FOUND, Output

PAUSE = 1.0  # seconds between two looks

_PASSING = ("seconds", "origin")

Places = Callable[[], ContextManager[List[lookup.Place]]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    lookup.add_arguments(parser, optional=True)
    parser.add_argument(
        "--watch", action="store_true", help="go on until Ctrl-C, print whatever has changed"
    )


def run(options: Any, output: Output) -> int:
    """Look once, or again and again; return the exit status."""
    with contextlib.ExitStack() as closing:
        places: Places = lookup.found
        if options.subject is not None:
            subject = closing.enter_context(lookup.opened(options.subject, options.config))
            places = functools.partial(lookup.of_subject, subject)
        if options.watch:
            return _watch(places, output, options.json)
        found = _look(places)
        _show(output, found, options.json)
        return FOUND if any(each["backends"] or each["prepared"] for each in found) else DONE


def _watch(places: Places, output: Output, as_json: bool) -> int:
    """Print whatever has changed; what was there to look at may have changed, too."""
    before: Any = None
    with contextlib.suppress(KeyboardInterrupt):  # how it is meant to end
        while True:
            try:
                found: Any = _look(places)
            except DatabaseTestCaseError as error:
                if before is None:
                    raise
                found = str(error)
            if _lasting(found) != before:
                before = _lasting(found)
                _show_again(output, found, as_json)
            where.pause(PAUSE)
    return DONE


def _look(places: Places) -> List[Dict[str, Any]]:
    try:
        with places() as opened:
            return [_look_at(place) for place in opened]
    except (DatabaseTestCaseError, KeyboardInterrupt):
        raise
    except Exception as error:  # of the driver: a database is dropped, a server ends
        raise ServerError("cannot look: %s" % str(error).strip().splitlines()[0]) from error


def _look_at(place: lookup.Place) -> Dict[str, Any]:
    found = {"database": place.name, "origin": place.origin, "run": place.run}
    if not place.exists:
        return dict(found, exists=False, backends=[], prepared=[])
    control = place.server.control
    pids, gids = lock_holders(control)
    prepared = control.prepared_transactions()
    return {
        **found,
        "exists": True,
        "backends": [each._asdict() for each in control.backends(pids)],
        "prepared": [each._asdict() for each in prepared if each.gid in gids],
    }


def _lasting(found: Any) -> Any:
    """Leave out what is different at each look although nothing has happened."""
    if isinstance(found, dict):
        return {key: _lasting(value) for key, value in found.items() if key not in _PASSING}
    return [_lasting(each) for each in found] if isinstance(found, list) else found


def _show_again(output: Output, found: Any, as_json: bool) -> None:
    if not as_json:
        output.line(datetime.datetime.now().strftime("%H:%M:%S"))
    if isinstance(found, list):
        _show(output, found, as_json, indent=None)
    elif as_json:
        output.json({"error": "ServerError", "message": found}, indent=None)
    else:
        output.error(found)


def _show(output: Output, found: List[Dict[str, Any]], as_json: bool, indent: Any = 2) -> None:
    if as_json:
        output.json({"databases": found}, indent)
        return
    origin = None
    for place in found:
        if place["origin"] != origin:
            origin = place["origin"]
            output.line("%s:" % origin, colour="bold")
        _show_place(output, place)


def _show_place(output: Output, place: Dict[str, Any]) -> None:
    backends = sorted(
        (Backend(**each) for each in place["backends"]),
        key=lambda each: bool(each.blocked_by),
    )
    prepared = [Prepared(**each) for each in place["prepared"]]
    number = len(backends) + len(prepared)
    words = "%d in the way:" % number if number else "nothing is in the way."
    if not place["exists"]:
        words = "is not there."
    output.line('"%s": %s' % (place["database"], words))
    for backend in backends:
        output.lines(describe_backend(backend))
    for each in prepared:
        output.lines(describe_prepared(each))
