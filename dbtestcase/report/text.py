"""The report on one screen of 80 columns."""

from __future__ import annotations

import textwrap
from typing import Any, Dict, List

from ..assertions import count
from .parts import Event
from .run import Run

WIDTH = 80
LINES = 3

_WORDS = {"error": "with errors"}


def render(run: Run, most: int = LINES) -> str:
    """Return the report.

    :param run: the run.
    :param most: how many lines each list may have.
    """
    title = "Database report "
    lines = [title + "-" * (WIDTH - len(title))]
    if run.is_empty:
        return "\n".join(lines + ["No test of this run used a database."])
    lines += textwrap.wrap(_heading(run), WIDTH) + [""] + _times(run)
    lines += _list("Dropped and created, as something had changed", _changes(run), most)
    lines += _list("Slowest by database time", [_slow(row) for row in run.slowest(most)], most)
    lines += _list("Most queries", [_busy(row) for row in run.busiest(most)], most)
    lines += _list("Left open", [str(row["text"]) for row in run.left_open], most)
    lines += _list("Left on the server", _left(run), most)
    lines += _list("Also", [str(row["text"]) for row in run.notices], most)
    return "\n".join(lines)


def seconds(number: float) -> str:
    """Return a duration in the width of a column: ``0.031 s``, ``12.4 s``."""
    return ("%.3f s" if number < 1 else "%.2f s" if number < 10 else "%.1f s") % number


def _heading(run: Run) -> str:
    unhappy = [
        "%d %s" % (number, _WORDS.get(outcome, outcome))
        for outcome, number in run.outcomes.items()
        if outcome != "passed"
    ]
    words = count(len(run.tests), "test")
    words += " (%s)" % ", ".join(unhappy) if unhappy else ""
    if len(run.processes) > 1:
        words += " in %d processes" % len(run.processes)
    return "%s, %s" % (words, seconds(run.seconds))


def _times(run: Run) -> List[str]:
    resets = run.resets
    kinds = ", ".join(
        "%d %s (%s)" % (number, kind, _each(run.seconds_each(kind), number))
        for kind, number in resets.items()
    )
    inside = "%s of it in %s" % (seconds(run.database_seconds), _queries(run.queries))
    return _row("resets", sum(resets.values()), run.reset_seconds, kinds) + _row(
        "tests", len(run.tests), run.test_seconds, inside
    )


def _row(name: str, number: int, time: float, words: str) -> List[str]:
    row = "%-8s%6d  %9s   %s" % (name, number, seconds(time), words)
    return textwrap.wrap(row, WIDTH, subsequent_indent=" " * 28, drop_whitespace=True)


def _each(time: float, number: int) -> str:
    words = "%.1f ms" % (time * 1000) if time < 0.1 else "%.2f s" % time
    return words if number == 1 else words + " each"


def _queries(number: int) -> str:
    return count(number, "query", "queries")


def _list(title: str, entries: List[str], most: int) -> List[str]:
    if not entries:
        return []
    lines = ["", title]
    for entry in entries[:most]:
        lines += textwrap.wrap(
            entry,
            WIDTH,
            initial_indent="  ",
            subsequent_indent="      ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    if len(entries) > most:
        lines.append(
            "  and %d more: DBTESTCASE_REPORT=report.html shows all" % (len(entries) - most)
        )
    return lines


def _changes(run: Run) -> List[str]:
    several = len({row["database"] for row in run.changes}) > 1
    return [
        "%s%s: %s" % (_after(row), ', in "%s"' % row["database"] if several else "", row["reason"])
        for row in run.changes
    ]


def _after(row: Event) -> str:
    return "after %s" % row["after"] if row["after"] else "before the first test"


def _slow(row: Event) -> str:
    return "%s  %s in %s" % (
        seconds(row["database_seconds"]),
        row["name"],
        _queries(row["queries"]),
    )


def _busy(row: Event) -> str:
    return "%7d  %s in %s" % (row["queries"], row["name"], seconds(row["database_seconds"]))


def _left(run: Run) -> List[str]:
    lines: List[str] = []
    databases: Dict[str, Any] = {}
    kept: Dict[str, Any] = {}
    for row in run.servers:
        lines += row["transactions"]
        databases.update(dict.fromkeys(row["databases"]))
        kept.update(dict.fromkeys(row["kept"]))
    connections = sum(row["connections"] for row in run.servers)
    words = count(connections, "connection") + " of this run"
    if databases:
        names = ", ".join('"%s"' % name for name in sorted(databases))
        words += "; %s %s" % ("database" if len(databases) == 1 else "databases", names)
    if kept:
        words += "; %s of failed tests: python -m dbtestcase databases names %s" % (
            count(len(kept), "copy", "copies"),
            "it" if len(kept) == 1 else "them",
        )
    return [words] + lines if run.servers else []
