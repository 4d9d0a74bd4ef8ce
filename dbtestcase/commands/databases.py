"""Lists a test database and its siblings: the databases that parallel runs take instead of it.

Each run has a database to itself. One that finds shop_test taken takes shop_test_2, or the next
that is free, and creates it if need be. They stay for later runs; --drop-unused drops those that
no run has and nobody is connected to, never the configured database itself.

examples:
  python -m dbtestcase databases webapp:app --config webapp.config.Testing
  python -m dbtestcase databases postgresql://localhost/shop_test --drop-unused

exit status:
  0  listed, and dropped where it was asked for
  1  a sibling that no run has could not be dropped; the text says why
  2  could not tell, or refused: the database is not for tests, or cannot be reached
"""

from __future__ import annotations

import argparse
import contextlib
from typing import Any, Dict, List, Optional

from .. import _blocked, _compat, dialects, verdicts
from ..dialects.postgresql import family
from ..errors import ConfigurationError, UnsafeDatabaseError
from . import _places, _subject
from ._output import DONE, FOUND, Output, size


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    _subject.add_arguments(parser, optional=True)
    parser.add_argument(
        "--drop-unused",
        action="store_true",
        help="drop the siblings that no run has (needs APP_OR_URL)",
    )


def run(options: Any, output: Output) -> int:
    """List the databases, drop what is unused if asked to, return the exit status."""
    if options.subject is None and options.drop_unused:
        raise ConfigurationError(
            "--drop-unused needs the application or URL whose database it is about, as"
            " python -m dbtestcase databases webapp:app --config webapp.config.Testing"
            " --drop-unused"
        )
    with contextlib.ExitStack() as closing:
        families = _families(options, closing)
    if options.json:
        output.json({"families": families})
    else:
        for each in families:
            _show(output, each)
    kept = [reason for each in families for reason in each["kept"].values()]
    return FOUND if kept else DONE


def _families(options: Any, closing: contextlib.ExitStack) -> List[Dict[str, Any]]:
    if options.subject is None:
        return _of_places(closing.enter_context(_places.found()))
    subject = closing.enter_context(_subject.opened(options.subject, options.config))
    families = []
    for key, engine in subject.target.engines.items():
        if dialects.of_engine(engine).__name__ != "PostgreSQL":
            continue
        control, base = _places.control_of(engine, subject.target.origin(key))
        closing.callback(control.close)
        if base in [each["database"] for each in families]:
            continue
        if options.drop_unused:
            _require_test(subject.target, base)
        families.append(_family(control, base, options.drop_unused))
    if not families:
        raise ConfigurationError(
            "%s uses no PostgreSQL database; others have no siblings." % options.subject
        )
    return families


def _of_places(places: List[_places.Place]) -> List[Dict[str, Any]]:
    """Return the families that databases found by themselves are of."""
    bases: Dict[str, _places.Place] = {}
    for place in places:
        bases.setdefault(place.base, place)
    found = [_family(place.control, base, False) for base, place in bases.items()]
    listed = {member["name"] for each in found for member in each["members"][1:]}
    return [each for each in found if each["database"] not in listed]


def _require_test(target: Any, name: str) -> None:
    refusal = target.refusal() or (None if verdicts.is_test_name(name) else verdicts.NO_TEST_WORD)
    if refusal:
        raise UnsafeDatabaseError(
            'siblings of "%s" are not dropped. %s. Nothing was touched.' % (name, refusal)
        )


def _family(control: Any, base: str, drop: bool) -> Dict[str, Any]:
    members = family.members(control, base)
    dropped, kept = [], {}
    for member in members if drop else ():
        if member.name != base and member.pid is None:
            reason = family.drop_unused(control, member, base)
            if reason is None:
                dropped.append(member.name)
            else:
                kept[member.name] = reason
    return {
        "database": base,
        "members": [member._asdict() for member in members],
        "dropped": dropped,
        "kept": kept,
    }


def _show(output: Output, found: Dict[str, Any]) -> None:
    members = found["members"]
    width = max([len(found["database"])] + [len(each["name"]) for each in members])
    names = [each["name"] for each in members]
    if found["database"] not in names:
        output.line("%s  is not there yet" % found["database"].ljust(width))
    for each in members:
        output.line(
            "%s  %9s  %s" % (each["name"].ljust(width), size(each["bytes"]), _user(each))
        )
    for name in found["dropped"]:
        output.line("dropped %s" % name)
    for name, reason in found["kept"].items():
        output.line("kept %s: %s" % (name, reason))


def _user(member: Dict[str, Any]) -> str:
    if member["pid"] is not None:
        return 'used by pid %d "%s" from %s for %s' % (
            member["pid"],
            member["application"],
            member["address"] or "a local socket",
            _blocked.duration(member["seconds"]),
        )
    if member["sessions"]:
        return "no run has it, %d connected" % member["sessions"]
    return "not in use"
