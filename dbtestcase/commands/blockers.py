"""Tells who holds locks in test databases, and who waits for whom.

Without an argument it looks at the databases of the runs that you have going on, from any folder;
else at those of the last run, within the hour; else at the test databases of the server that
DBTESTCASE_POSTGRESQL_URL names; else at what libpq connects to (PGHOST, PGDATABASE).

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
import time
from typing import Any, Dict, List

from .. import _blocked
from ..dialects.postgresql import locks as server
from . import _places, _subject
from ._output import DONE, FOUND, Output

PAUSE = 1.0  # seconds between two looks

# What changes from one look to the next although nothing has happened.
_PASSING = ("seconds",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    _subject.add_arguments(parser, optional=True)
    parser.add_argument(
        "--watch", action="store_true", help="go on until Ctrl-C, print whatever has changed"
    )


def run(options: Any, output: Output) -> int:
    """Look once, or again and again; return the exit status."""
    with contextlib.ExitStack() as closing:
        if options.subject is None:
            places = closing.enter_context(_places.found())
        else:
            subject = closing.enter_context(_subject.opened(options.subject, options.config))
            places = closing.enter_context(_places.of_target(subject.target))
        show = _show_json if options.json else _show
        if options.watch:
            return _watch(places, lambda found: show(output, found, None))
        found = _look(places)
        show(output, found, 2)
        return FOUND if any(each["backends"] or each["prepared"] for each in found) else DONE


def _watch(places: List[_places.Place], show: Any) -> int:
    before = None
    with contextlib.suppress(KeyboardInterrupt):  # how it is meant to end
        while True:
            found = _look(places)
            if _lasting(found) != before:
                show(found)
                before = _lasting(found)
            time.sleep(PAUSE)
    return DONE


def _look(places: List[_places.Place]) -> List[Dict[str, Any]]:
    found = []
    for place in places:
        pids, gids = _blocked.everyone(place.control)
        queue = pids + server.waiting_for(place.control, pids)
        backends = server.backends(place.control, queue)
        found.append(
            {
                "database": place.name,
                "origin": place.origin,
                "run": place.run,
                "backends": [each._asdict() for each in backends],
                "prepared": [
                    each._asdict()
                    for each in server.prepared_transactions(place.control)
                    if each.gid in gids
                ],
            }
        )
    return found


def _lasting(found: List[Dict[str, Any]]) -> Any:
    return [
        {
            key: (
                [{k: v for k, v in each.items() if k not in _PASSING} for each in value]
                if isinstance(value, list)
                else value
            )
            for key, value in place.items()
            if key != "origin"
        }
        for place in found
    ]


def _show_json(output: Output, found: List[Dict[str, Any]], indent: Any) -> None:
    output.json({"databases": found}, indent)


def _show(output: Output, found: List[Dict[str, Any]], indent: Any) -> None:
    origin = None
    for place in found:
        if place["origin"] != origin:
            origin = place["origin"]
            output.line("%s:" % origin, colour="bold")
        _show_place(output, place)


def _show_place(output: Output, place: Dict[str, Any]) -> None:
    backends = sorted(
        (server.Backend(**each) for each in place["backends"]),
        key=lambda each: bool(each.blocked_by),
    )
    prepared = [server.Prepared(**each) for each in place["prepared"]]
    number = len(backends) + len(prepared)
    words = "%d in the way:" % number if number else "nothing is in the way."
    output.line('"%s": %s' % (place["database"], words))
    for backend in backends:
        output.lines(_blocked.of_backend(backend))
    for each in prepared:
        output.lines(_blocked.of_prepared(each))
