"""Writes the report: on the terminal, in a file for machines, on a page for people."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from typing import Any, Dict, List

from ..errors import count
from .run import Run

VARIABLE = "DBTESTCASE_REPORT"
TERMINAL = "-"
WIDTH = 80
LINES = 3

_OFF = ("", "0", "no", "false", "off")
_ON = ("1", "yes", "true", "on")
_WORDS = {"error": "with errors"}

# Where the run began: tests may change the directory.
_FOLDER = os.getcwd()
_PAGES = os.path.dirname(os.path.abspath(__file__))


def asked_for(value: str) -> List[str]:
    """Return the outputs that a value of ``DBTESTCASE_REPORT`` asks for.

    :param value: ``1`` for the terminal, the name of a file, or several of them with commas.
    :return: names of files, and ``-`` for the terminal.
    """
    words = [word.strip() for word in value.split(",")]
    names = [TERMINAL if word.lower() in _ON else word for word in words]
    return [name for name in names if name.lower() not in _OFF]


def files_asked_for(further: str = "") -> List[str]:
    """Return the files that the environment variable asks for, and further ones.

    :param further: as a value of the variable.
    """
    asked = asked_for(os.environ.get(VARIABLE, "")) + asked_for(further)
    return [name for name in asked if name != TERMINAL]


def write(run: Run, names: List[str], stream: Any = None) -> None:
    """Write the report to each output; of a file that cannot be written the terminal says so.

    :param run: the run.
    :param names: as :func:`asked_for` returns them.
    :param stream: the terminal, standard error by default.
    """
    stream = stream or sys.stderr
    for name in names:
        if name == TERMINAL:
            stream.write("\n" + render(run) + "\n")
            continue
        path, kind = os.path.join(_FOLDER, name), os.path.splitext(name)[1].lower()
        try:
            with open(path, "w", encoding="utf-8") as file:
                if kind == ".json":
                    text = json.dumps(run.as_json(), indent=1)
                elif kind in (".html", ".htm"):
                    text = page(run)
                else:
                    text = render(run)
                file.write(text + "\n")
        except OSError as error:
            said = "dbtestcase: the report could not be written to %s: %s"
            stream.write(said % (path, error.strerror) + "\n")
        else:
            stream.write("dbtestcase: the report is in %s\n" % path)


def page(run: Run) -> str:
    """Return one page, with everything it needs in it, on which a person can look at the run."""
    # Nothing that a test is called may end the script.
    data = json.dumps(run.as_json()).replace("<", "\\u003c")
    script = _read("page.js").replace('"the run"', data, 1)
    styled = _read("page.html").replace("the style", _read("page.css"), 1)
    return styled.replace("the script", script, 1)


def _read(name: str) -> str:
    with open(os.path.join(_PAGES, name), encoding="utf-8") as file:
        return file.read().strip()


def render(run: Run, most: int = LINES) -> str:
    """Return the report on one screen of 80 columns.

    :param run: the run.
    :param most: how many lines each list may have.
    """
    title = "Database report "
    lines = [title + "-" * (WIDTH - len(title))]
    if run.is_empty:
        return "\n".join(lines + ["No test of this run used a database."])
    lines += _summary(run)
    lines += _list("Dropped and created, as something had changed", _changes(run), most)
    slowest = [
        "%s  %s in %s" % (_seconds(row["database_seconds"]), row["name"], _queries(row["queries"]))
        for row in run.slowest(most)
    ]
    busiest = [
        "%7d  %s in %s" % (row["queries"], row["name"], _seconds(row["database_seconds"]))
        for row in run.busiest(most)
    ]
    lines += _list("Slowest by database time", slowest, most)
    lines += _list("Most queries", busiest, most)
    lines += _list("Left open", [str(row["text"]) for row in run.left_open], most)
    lines += _list("Left on the server", _left(run), most)
    lines += _list("Also", [str(row["text"]) for row in run.notices], most)
    return "\n".join(lines)


def _seconds(number: float) -> str:
    """Return a duration in the width of a column: ``0.031 s``, ``12.4 s``."""
    return ("%.3f s" if number < 1 else "%.2f s" if number < 10 else "%.1f s") % number


def _summary(run: Run) -> List[str]:
    unhappy = [
        "%d %s" % (number, _WORDS.get(outcome, outcome))
        for outcome, number in run.outcomes.items()
        if outcome != "passed"
    ]
    heading = count(len(run.tests), "test")
    heading += " (%s)" % ", ".join(unhappy) if unhappy else ""
    if len(run.processes) > 1:
        heading += " in %d processes" % len(run.processes)
    lines = textwrap.wrap("%s, %s" % (heading, _seconds(run.seconds)), WIDTH) + [""]
    kinds = []
    for kind, number in run.resets.items():
        time = run.seconds_each(kind)
        words = "%.1f ms" % (time * 1000) if time < 0.1 else "%.2f s" % time
        kinds.append("%d %s (%s%s)" % (number, kind, words, " each" if number > 1 else ""))
    inside = "%s of it in %s" % (_seconds(run.database_seconds), _queries(run.queries))
    lines += _row("resets", sum(run.resets.values()), run.reset_seconds, ", ".join(kinds))
    return lines + _row("tests", len(run.tests), run.test_seconds, inside)


def _row(name: str, number: int, time: float, words: str) -> List[str]:
    row = "%-8s%6d  %9s   %s" % (name, number, _seconds(time), words)
    return textwrap.wrap(row, WIDTH, subsequent_indent=" " * 28, drop_whitespace=True)


def _queries(number: int) -> str:
    return count(number, "query")


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
    lines = []
    for row in run.changes:
        when = "after %s" % row["after"] if row["after"] else "before the first test"
        where = ', in "%s"' % row["database"] if several else ""
        lines.append("%s%s: %s" % (when, where, row["reason"]))
    return lines


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
            count(len(kept), "copy"),
            "it" if len(kept) == 1 else "them",
        )
    return [words] + lines if run.servers else []
