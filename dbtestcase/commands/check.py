"""Tells which databases a suite would clear, whether that is safe, and why.

It changes nothing: the server itself is told to refuse whatever would.

examples:
  python -m dbtestcase check webapp:app --config webapp.config.Testing
  python -m dbtestcase check tests.test_shop:ShopTest -v
  python -m dbtestcase check postgresql://localhost/app_test --json

exit status:
  0  safe: everything it leads to is for tests
  1  not safe: a suite would be refused
  2  could not tell: a server is not there, the application cannot be imported
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import platform
from typing import Any, Dict, List, Optional, Tuple

from .. import _compat, dialects
from ..connections import describe_backend, describe_prepared
from ..contracts import Administration, Backend, Dialect, Identity, Prepared, Target
from ..databases import NO_TEST_WORD, approval, is_test_name, misled, refusal_of, remedy
from ..errors import DatabaseTestCaseError
from . import lookup
from .output import COULD_NOT_TELL, DONE, FOUND, Output, count, size

LOCK_TIMEOUT = 3.0
STATUSES = {True: DONE, False: FOUND, None: COULD_NOT_TELL}

_LIBRARIES = {
    "python": "Python",
    "sqlalchemy": "SQLAlchemy",
    "flask": "Flask",
    "flask_sqlalchemy": "Flask-SQLAlchemy",
    "flask_sqlalchemy_lite": "Flask-SQLAlchemy-Lite",
    "psycopg2": "psycopg2",
    "psycopg": "psycopg",
}
_VERDICTS = {
    True: ("SAFE", "green"),
    False: ("NOT SAFE", "red"),
    None: ("COULD NOT TELL", "yellow"),
}
_SESSIONS = 5  # that are shown without -v


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    lookup.add_arguments(parser, optional=False)
    parser.add_argument(
        "--allow",
        metavar="NAME",
        action="append",
        default=[],
        help="a name that the suite has in allowed_databases; may be repeated",
    )
    parser.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="name everything that a reset would drop",
    )


def run(options: Any, output: Output) -> int:
    """Look at every bind, print what there is, return the exit status."""
    with lookup.opened(options.subject, options.config) as subject:
        allowed = subject.allowed + tuple(options.allow)
        binds = [
            _bind(subject, key, engine, allowed)
            for key, engine in sorted(
                subject.target.engines.items(), key=lambda item: str(item[0] or "")
            )
        ]
    verdict = {bind["safe"] for bind in binds}
    safe = False if False in verdict else None if None in verdict else True
    document = {
        "subject": subject.named,
        "config": options.config,
        "safe": safe,
        "status": STATUSES[safe],
        "binds": binds,
        "versions": _versions(),
        "broken_pair": _compat.broken_pair(),
    }
    if options.json:
        output.json(document)
    else:
        _show(output, document, options.verbose)
    return STATUSES[safe]


def _bind(
    subject: lookup.Subject, key: Optional[str], engine: Any, allowed: Tuple[str, ...]
) -> Dict[str, Any]:
    """Return what there is to say of the database of one bind.

    ``safe`` is ``None`` where that could not be told; ``reason`` says why in each case.
    """
    bind: Dict[str, Any] = {
        "bind": key,
        "origin": subject.origin(key),
        "url": _compat.url_text(engine.url, hide_password=True),
        "safe": None,
    }
    try:
        with _compat.connect_timeout():
            bind.update(_found(subject.target, engine, allowed))
    except DatabaseTestCaseError as error:
        bind.update(reason=str(error))
    except Exception as error:  # every driver has its own
        text = str(error).strip() or type(error).__name__
        bind.update(reason=" ".join(_compat.without_password(text, engine.url).split()))
    return bind


def _found(target: Target, engine: Any, allowed: Tuple[str, ...]) -> Dict[str, Any]:
    kind = dialects.of_engine(engine)
    identity = kind.would_create(engine)
    if identity is not None:
        return dict(_judged(target, engine, identity, allowed), exists=False)
    try:
        identity = kind.identify_anew(engine)
    except Exception as error:
        name = kind.missing(engine, error)
        if name is None:
            raise
        with contextlib.closing(kind.administer(engine, kind.maintenance)) as server:
            return _not_there_yet(server, target, name, allowed)
    found = _judged(target, engine, identity, allowed)
    with contextlib.closing(kind(engine, identity, LOCK_TIMEOUT)) as database:
        found.update(_contents(database))
    return found


def _judged(
    target: Target, engine: Any, identity: Identity, allowed: Tuple[str, ...]
) -> Dict[str, Any]:
    """Return the verdict of the safeguard, by the rule that a suite is held to."""
    reason = target.refusal() or refusal_of(identity, allowed)
    return {
        "database": identity.name,
        "place": identity.place,
        "server": identity.version,
        "exists": True,
        "safe": reason is None,
        "reason": reason or approval(identity, allowed),
        "note": misled(identity, engine),
        "allow": remedy(target, identity, "the test class") if reason else None,
    }


def _not_there_yet(
    server: Administration, target: Target, name: str, allowed: Tuple[str, ...]
) -> Dict[str, Any]:
    """Return what a run would do about a database of a server that is missing."""
    role = server.role()
    refusal = target.refusal()
    if refusal is None and not (name in allowed or is_test_name(name)):
        refusal = NO_TEST_WORD
    safe, reason = None, "it is not there, and the role may not create it"
    if refusal:
        reason = "it is not there, and no run creates it. " + refusal
    elif role.superuser or role.createdb:
        safe, reason = True, "a run creates it"
    return {
        "database": name,
        "exists": False,
        "role": dict(role._asdict(), owns_database=False, owns_public=False),
        "safe": safe,
        "reason": reason,
    }


def _contents(database: Dialect) -> Dict[str, Any]:
    server = database.administration
    if server is None:
        return {"would_drop": database.inventory()}
    facts = server.facts(_compat.backend_pid(each) for each in _compat.driver_connections())
    return {
        **facts._asdict(),
        "role": server.role()._asdict(),
        "would_drop_kinds": dict(collections.Counter(kind for kind, _ in facts.would_drop)),
        "sessions": [each._asdict() for each in facts.sessions],
        "prepared": [each._asdict() for each in facts.prepared],
    }


def _versions() -> Dict[str, str]:
    versions = {"python": platform.python_version()}
    for library in _LIBRARIES:
        version = _compat.loaded_version(library)
        if version is not None:
            versions[library] = version
    return versions


# --- for people ----------------------------------------------------------------------------------


def _show(output: Output, document: Dict[str, Any], verbose: bool) -> None:
    for bind in document["binds"]:
        _show_bind(output, bind, verbose)
        output.line()
    versions = document["versions"].items()
    output.row(
        "versions",
        ", ".join("%s %s" % (_LIBRARIES[name], each) for name, each in versions),
    )
    if document["broken_pair"]:
        output.row("but", document["broken_pair"])
    if len(document["binds"]) > 1:
        word, colour = _VERDICTS[document["safe"]]
        output.row("altogether", word + ":" if document["safe"] is None else word, colour)


def _show_bind(output: Output, bind: Dict[str, Any], verbose: bool) -> None:
    title = 'bind "%s"' % bind["bind"] if bind["bind"] else "default bind"
    output.line("%s: %s" % (title, bind["origin"]), colour="bold")
    output.row("configured", bind["url"])
    if bind.get("exists"):
        output.row("connected to", '"%(database)s" at %(place)s, %(server)s' % bind)
    elif "exists" in bind:
        output.row("connected to", '"%s" is not there yet' % bind["database"])
    if "role" in bind:
        output.row("role", _role(bind["role"]))
    word, colour = _VERDICTS[bind["safe"]]
    output.row("verdict", "%s: %s" % (word, bind["reason"]), colour)
    for label, key in (("note", "note"), ("to allow it", "allow")):
        if bind.get(key):
            output.row(label, bind[key])
    if "would_drop" in bind:
        _show_contents(output, bind, verbose)
    if "sessions" in bind:
        _show_activity(output, bind, verbose)


def _role(role: Dict[str, Any]) -> str:
    rights = [
        words
        for right, words in (
            ("superuser", "superuser"),
            ("createdb", "may create databases"),
            ("owns_database", "owns the database"),
            ("owns_public", "owns schema public"),
        )
        if role[right]
    ]
    return '"%s": %s' % (role["name"], ", ".join(rights) or "neither owner nor superuser")


def _show_contents(output: Output, bind: Dict[str, Any], verbose: bool) -> None:
    found = bind["would_drop"]
    kinds: Dict[str, List[str]] = {}
    for kind, identity in found:
        kinds.setdefault(kind, []).append(identity)
    words = ", ".join(count(len(names), kind) for kind, names in sorted(kinds.items()))
    hint = "" if verbose or not found else " (-v names them)"
    output.row("would drop", "%s%s" % (words or "nothing, it is empty", hint))
    for kind, names in sorted(kinds.items()) if verbose else ():
        for name in sorted(names):
            output.row("", "%s %s" % (kind, name))
    refused = bind.get("cannot_drop")
    if refused:
        roles = sorted({owner for _, _, owner in refused})
        output.row(
            "cannot drop",
            '%d of these, which belong to "%s": a reset fails' % (len(refused), '", "'.join(roles)),
            "red",
        )
    if "bytes" in bind:
        output.row("size", size(bind["bytes"]))
    if "extensions" in bind:
        kept = sorted("%s %s" % item for item in bind["extensions"].items())
        output.row("would keep", "extensions: " + ", ".join(kept) if kept else "no extension")


def _show_activity(output: Output, bind: Dict[str, Any], verbose: bool) -> None:
    if bind["claimed_by"]:
        output.row("in use by", "the run of %s; another run takes a sibling" % bind["claimed_by"])
    sessions = [Backend(**each) for each in bind["sessions"]]
    blocking = len(bind["in_the_way"])
    words = "%d in the way of a reset" % blocking if blocking else "none in the way of a reset"
    output.row("other sessions", "%d, %s" % (len(sessions), words) if sessions else "none")
    sessions.sort(key=lambda each: each.pid not in bind["in_the_way"])
    shown = sessions if verbose else sessions[:_SESSIONS]
    for backend in shown:
        output.lines(describe_backend(backend))
    if len(shown) < len(sessions):
        output.line("  and %d more (-v shows them)" % (len(sessions) - len(shown)))
    output.row("prepared (2PC)", str(len(bind["prepared"]) or "none"))
    for each in bind["prepared"]:
        output.lines(describe_prepared(Prepared(**each)))
