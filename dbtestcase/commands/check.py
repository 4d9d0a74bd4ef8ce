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
from typing import Any, Dict, Optional, Tuple

from .. import _compat, dialects
from ..contracts import Identity
from ..databases import NO_TEST_WORD, approval, is_test_name, misled, refusal_of, remedy
from ..errors import DatabaseTestCaseError
from . import check_text, subjects
from .output import COULD_NOT_TELL, DONE, FOUND, Output

LOCK_TIMEOUT = 3.0
STATUSES = {True: DONE, False: FOUND, None: COULD_NOT_TELL}
LIBRARIES = (
    "sqlalchemy",
    "flask",
    "flask_sqlalchemy",
    "flask_sqlalchemy_lite",
    "psycopg2",
    "psycopg",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    subjects.add_arguments(parser, optional=False)
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
    with subjects.opened(options.subject, options.config) as subject:
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
        check_text.show(output, document, options.verbose)
    return STATUSES[safe]


def _bind(
    subject: subjects.Subject, key: Optional[str], engine: Any, allowed: Tuple[str, ...]
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
        kind = dialects.of_engine(engine)
        with _compat.connect_timeout():
            bind.update(_found(kind, subject.target, engine, allowed))
    except DatabaseTestCaseError as error:
        bind.update(reason=str(error))
    except Exception as error:  # every driver has its own
        bind.update(reason=_reason(error, engine))
    return bind


def _reason(error: Exception, engine: Any) -> str:
    text = str(error).strip() or type(error).__name__
    return " ".join(_compat.without_password(text, engine.url).split())


def _found(kind: Any, target: Any, engine: Any, allowed: Tuple[str, ...]) -> Dict[str, Any]:
    if engine.dialect.name == "sqlite":
        return _sqlite(kind, target, engine, allowed)
    try:
        identity = kind.identify_anew(engine)
    except Exception as error:
        missing = kind.missing(engine, error)
        if missing is None:
            raise
        return _not_there_yet(kind, target, engine, missing, allowed)
    found = _judged(target, engine, identity, allowed)
    with contextlib.closing(kind(engine, identity, LOCK_TIMEOUT)) as database:
        found.update(_postgresql(database))
    return found


def _judged(
    target: Any, engine: Any, identity: Identity, allowed: Tuple[str, ...]
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


def _sqlite(kind: Any, target: Any, engine: Any, allowed: Tuple[str, ...]) -> Dict[str, Any]:
    path = kind.missing(engine)
    if path is not None:  # connecting would create it
        return dict(_judged(target, engine, kind.identity_of(path), allowed), exists=False)
    identity = kind.identify(engine)
    found = _judged(target, engine, identity, allowed)
    with contextlib.closing(kind(engine, identity, LOCK_TIMEOUT)) as database:
        found["would_drop"] = database.inventory()
    return found


def _postgresql(database: Any) -> Dict[str, Any]:
    from ..dialects.postgresql.catalog import facts
    from ..dialects.postgresql.claims import claim

    control = database.control
    facts.read_only(control)
    contents = facts.contents(control)
    ours = [_compat.backend_pid(each) for each in _compat.driver_connections()]
    activity = facts.activity(control, ours)
    return {
        "role": facts.role(control)._asdict(),
        "bytes": contents.bytes,
        "would_drop": contents.would_drop,
        "would_drop_kinds": dict(collections.Counter(kind for kind, _ in contents.would_drop)),
        "cannot_drop": contents.cannot_drop,
        "extensions": contents.extensions,
        "claimed_by": claim.holder(control),
        "sessions": [each._asdict() for each in activity.sessions],
        "in_the_way": activity.in_the_way,
        "prepared": [each._asdict() for each in activity.prepared],
    }


def _not_there_yet(
    kind: Any, target: Any, engine: Any, name: str, allowed: Tuple[str, ...]
) -> Dict[str, Any]:
    """Return what a run would do about a PostgreSQL database that is missing."""
    from ..dialects.postgresql import database as postgresql
    from ..dialects.postgresql.catalog import facts

    found: Dict[str, Any] = {"database": name, "exists": False}
    with contextlib.closing(kind.beside(engine, postgresql.MAINTENANCE)) as control:
        role = facts.role(control)
    refusal = target.refusal()
    if refusal is None and not (name in allowed or is_test_name(name)):
        refusal = NO_TEST_WORD
    found["role"] = dict(role._asdict(), owns_database=False, owns_public=False)
    found["safe"] = True if role.superuser or role.createdb else None
    found["reason"] = "a run creates it"
    if found["safe"] is None:
        found["reason"] = "it is not there, and the role may not create it"
    if refusal:
        found.update(safe=None, reason="it is not there, and no run creates it. " + refusal)
    return found


def _versions() -> Dict[str, str]:
    versions = {"python": platform.python_version()}
    for library in LIBRARIES:
        version = _compat.loaded_version(library)
        if version is not None:
            versions[library] = version
    return versions
