"""Lists a test database, its siblings for parallel runs, what failed tests kept.

Each run has a database to itself. One that finds shop_test taken takes
shop_test_2, or the next that is free, and creates it if need be. They stay for
later runs; --drop-unused drops those that no run has and nobody is connected
to, never the configured database itself.

With keep_failed, a failed test leaves a copy of its database; its name begins
with shop_test_failed. It is evidence: --drop-unused leaves it alone, and
--drop-kept drops all such copies of this database, whoever ran the tests.

Without APP_OR_URL it lists the databases of the runs that blockers looks at.

examples:
  python -m dbtestcase databases webapp:app --config webapp.config.Testing
  python -m dbtestcase databases postgresql://localhost/shop_test --drop-unused
  python -m dbtestcase databases tests.test_shop:ShopTest --drop-kept

exit status:
  0  listed, and dropped where it was asked for
  1  one that nobody needs could not be dropped; the text says why
  2  could not tell, or refused: the database is not for tests, or cannot be
     reached
"""

from __future__ import annotations

import argparse
import contextlib
from typing import Any, Dict, List, Tuple

from ..connections import duration
from ..contracts import Administration, Target
from ..databases import NO_TEST_WORD, is_test_name
from ..errors import ConfigurationError, UnsafeDatabaseError
from . import lookup
from .output import DONE, FOUND, Output, size


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    lookup.add_arguments(parser, optional=True)
    parser.add_argument(
        "--drop-unused",
        action="store_true",
        help="drop the siblings that no run has (needs APP_OR_URL)",
    )
    parser.add_argument(
        "--drop-kept",
        action="store_true",
        help="drop what failed tests kept (needs APP_OR_URL)",
    )


def run(options: Any, output: Output) -> int:
    """List the databases, drop what is to go if asked to, return the exit status."""
    for option, asked in (
        ("--drop-unused", options.drop_unused),
        ("--drop-kept", options.drop_kept),
    ):
        if asked and options.subject is None:
            raise ConfigurationError(
                "%s needs the application or URL whose database it is about, as"
                " python -m dbtestcase databases webapp:app --config webapp.config.Testing %s"
                % (option, option)
            )
    with contextlib.ExitStack() as closing:
        if options.subject is None:
            places = closing.enter_context(lookup.found())
            families = _without_members([_family(*each) for each in _bases(places)])
        else:
            families = _of_subject(options, closing)
    if options.json:
        output.json({"families": families})
    else:
        names = [each["name"] for found in families for each in found["members"]]
        for each in families:
            _show(output, each, max(map(len, names + [each["database"]])), options.drop_kept)
    return FOUND if any(each["not_dropped"] for each in families) else DONE


def _of_subject(options: Any, closing: contextlib.ExitStack) -> List[Dict[str, Any]]:
    """Return the families of an application's databases; drop what is to go."""
    subject = closing.enter_context(lookup.opened(options.subject, options.config))
    found = _bases(closing.enter_context(lookup.of_subject(subject)))
    configured = [base for base, _ in found]
    for base in configured:
        if options.drop_unused:
            _require_test(subject.target, 'siblings of "%s" are', base)
        if options.drop_kept:
            _require_test(
                subject.target, 'what failed tests of "%s" kept is', base, subject.allowed
            )
    families = []
    for base, server in found:
        family = _family(base, server)
        families.append(family)
        outcomes = {}
        if options.drop_unused:
            for member in server.members(base):
                if member.pid is None and member.name not in configured:
                    outcomes[member.name] = server.drop_unused(member.name, base)
        if options.drop_kept:
            for copy in server.copies(base):
                if copy.name not in configured:
                    outcomes[copy.name] = server.drop_copy(copy.name, base)
        for name, reason in outcomes.items():
            if reason is None:
                family["dropped"].append(name)
            else:
                family["not_dropped"][name] = reason
    return families


def _bases(places: List[lookup.Place]) -> List[Tuple[str, Administration]]:
    """Return the configured databases among them, each with a connection to its server."""
    found: Dict[Any, Tuple[str, Administration]] = {}
    for place in places:
        parts = place.server.control.parts
        found.setdefault((parts["host"], parts["port"], place.base), (place.base, place.server))
    return list(found.values())


def _without_members(families: List[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """Leave out what belongs to another one, where it is not known what is configured."""
    members = [
        member["name"]
        for each in families
        for member in each["members"] + each["kept_by_failed"]
        if member["name"] != each["database"]
    ]
    return [each for each in families if each["database"] not in members]


def _require_test(target: Target, what: str, name: str, allowed: Tuple[str, ...] = ()) -> None:
    is_allowed = name in allowed or is_test_name(name)
    refusal = target.refusal() or (None if is_allowed else NO_TEST_WORD)
    if refusal:
        raise UnsafeDatabaseError(
            "%s not dropped. %s. Nothing was touched." % (what % name, refusal)
        )


def _family(base: str, server: Administration) -> Dict[str, Any]:
    return {
        "database": base,
        "members": [each._asdict() for each in server.members(base)],
        "kept_by_failed": [each._asdict() for each in server.copies(base)],
        "dropped": [],
        "not_dropped": {},
    }


def _show(output: Output, found: Dict[str, Any], width: int, dropping: bool) -> None:
    members = found["members"]
    if found["database"] not in [each["name"] for each in members]:
        output.line("%s  is not there" % found["database"].ljust(width))
    for each in members:
        output.line("%s  %9s  %s" % (each["name"].ljust(width), size(each["bytes"]), _user(each)))
    if found["kept_by_failed"]:
        hint = "" if dropping else " (--drop-kept drops it)"
        output.line("kept by failed tests of %s%s:" % (found["database"], hint))
    for copy in found["kept_by_failed"]:
        users = ", %d connected" % copy["sessions"] if copy["sessions"] else ""
        output.line("  %s, %s, %s%s" % (copy["test"], copy["since"], size(copy["bytes"]), users))
        output.line("      %s" % copy["name"])
    for name in found["dropped"]:
        output.line("dropped %s" % name)
    for name, reason in found["not_dropped"].items():
        output.line("not dropped %s: %s" % (name, reason))


def _user(member: Dict[str, Any]) -> str:
    if member["pid"] is not None:
        return 'pid %d "%s"%s for %s' % (
            member["pid"],
            member["application"],
            " from %s" % member["address"] if member["address"] else "",
            duration(member["seconds"]),
        )
    if member["sessions"]:
        return "no run has it, %d connected" % member["sessions"]
    return "not in use"
