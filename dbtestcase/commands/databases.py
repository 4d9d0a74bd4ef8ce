"""Lists a test database and its siblings, which parallel runs take instead of it.

Each run has a database to itself. One that finds shop_test taken takes
shop_test_2, or the next that is free, and creates it if need be. They stay for
later runs; --drop-unused drops those that no run has and nobody is connected
to, never the configured database itself.

examples:
  python -m dbtestcase databases webapp:app --config webapp.config.Testing
  python -m dbtestcase databases postgresql://localhost/shop_test --drop-unused

exit status:
  0  listed, and dropped where it was asked for
  1  a sibling that no run has could not be dropped; the text says why
  2  could not tell, or refused: the database is not for tests, or cannot be
     reached
"""

from __future__ import annotations

import argparse
import contextlib
from typing import Any, Dict, List, Tuple

from .. import _blocked, verdicts
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
        names = [each["name"] for found in families for each in found["members"]]
        for each in families:
            _show(output, each, max(map(len, names + [each["database"]])))
    kept = [reason for each in families for reason in each["kept"].values()]
    return FOUND if kept else DONE


def _families(options: Any, closing: contextlib.ExitStack) -> List[Dict[str, Any]]:
    if options.subject is None:
        places = closing.enter_context(_places.found())
        return _without_members([_family(base, control) for base, control in _bases(places)])
    subject = closing.enter_context(_subject.opened(options.subject, options.config))
    found = _bases(closing.enter_context(_places.of_subject(subject)))
    if options.drop_unused:
        for base, _ in found:
            _require_test(subject.target, base)
    families = []
    for base, control in found:
        families.append(_family(base, control))
        if options.drop_unused:
            _drop_unused(control, families[-1], configured=[base for base, _ in found])
    return families


def _bases(places: List[_places.Place]) -> List[Tuple[str, Any]]:
    """Return the configured databases among them, each with a connection to its server."""
    found: Dict[Any, Tuple[str, Any]] = {}
    for place in places:
        parts = place.control.parts
        found.setdefault((parts["host"], parts["port"], place.base), (place.base, place.control))
    return list(found.values())


def _without_members(families: List[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """Leave out what is a sibling of another one, where it is not known what is configured."""
    members = [
        member["name"]
        for each in families
        for member in each["members"]
        if member["name"] != each["database"]
    ]
    return [each for each in families if each["database"] not in members]


def _require_test(target: Any, name: str) -> None:
    refusal = target.refusal() or (None if verdicts.is_test_name(name) else verdicts.NO_TEST_WORD)
    if refusal:
        raise UnsafeDatabaseError(
            'siblings of "%s" are not dropped. %s. Nothing was touched.' % (name, refusal)
        )


def _family(base: str, control: Any) -> Dict[str, Any]:
    members = [member._asdict() for member in family.members(control, base)]
    return {"database": base, "members": members, "dropped": [], "kept": {}}


def _drop_unused(control: Any, found: Dict[str, Any], configured: List[str]) -> None:
    """Drop the siblings that no run has, and note in the family what was dropped."""
    for member in family.members(control, found["database"]):
        if member.pid is not None or member.name in configured:
            continue
        reason = family.drop_unused(control, member.name, found["database"])
        if reason is None:
            found["dropped"].append(member.name)
        else:
            found["kept"][member.name] = reason


def _show(output: Output, found: Dict[str, Any], width: int) -> None:
    members = found["members"]
    if found["database"] not in [each["name"] for each in members]:
        output.line("%s  is not there" % found["database"].ljust(width))
    for each in members:
        output.line("%s  %9s  %s" % (each["name"].ljust(width), size(each["bytes"]), _user(each)))
    for name in found["dropped"]:
        output.line("dropped %s" % name)
    for name, reason in found["kept"].items():
        output.line("kept %s: %s" % (name, reason))


def _user(member: Dict[str, Any]) -> str:
    if member["pid"] is not None:
        return 'pid %d "%s" from %s for %s' % (
            member["pid"],
            member["application"],
            member["address"] or "a local socket",
            _blocked.duration(member["seconds"]),
        )
    if member["sessions"]:
        return "no run has it, %d connected" % member["sessions"]
    return "not in use"
