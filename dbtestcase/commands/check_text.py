"""What ``check`` found, for people."""

from __future__ import annotations

from typing import Any, Dict, List

from ..connections import describe_backend, describe_prepared
from ..contracts import Backend, Prepared
from .output import Output, count, size

_VERDICTS = {
    True: ("SAFE", "green"),
    False: ("NOT SAFE", "red"),
    None: ("COULD NOT TELL", "yellow"),
}
_LIBRARIES = {
    "python": "Python",
    "sqlalchemy": "SQLAlchemy",
    "flask": "Flask",
    "flask_sqlalchemy": "Flask-SQLAlchemy",
    "flask_sqlalchemy_lite": "Flask-SQLAlchemy-Lite",
}
_SESSIONS = 5  # that are shown without -v


def show(output: Output, document: Dict[str, Any], verbose: bool) -> None:
    """Print the whole of it."""
    for bind in document["binds"]:
        _show_bind(output, bind, verbose)
        output.line()
    versions = document["versions"].items()
    output.row(
        "versions",
        ", ".join("%s %s" % (_LIBRARIES.get(name, name), each) for name, each in versions),
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
        output.row("connected to", _connected(bind))
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


def _connected(bind: Dict[str, Any]) -> str:
    return '"%s" at %s, %s' % (bind["database"], bind["place"], bind["server"])


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
