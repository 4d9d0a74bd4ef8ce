"""What is written: a table for people, a chart, and all numbers for other programs."""

from __future__ import annotations

import json
import os
from typing import Any, Dict, List

from . import chart, summary, targets
from .subjects import SUBJECTS
from .summary import Place, Row, find, number

HEAD = """Results
=======

Written by ``python3 -m benchmarks``. Each number is the time of one whole test, its set-up and
tear-down included, in milliseconds: the median, with its ratio to that of SQLAlchemy's recipe for
an outer transaction, and in brackets the quartiles of the ratios within each round. "Reset" is what
the test that writes to 5 tables (or to as many as there are) takes more than the same test with no
reset at all, whose rows are committed. Of fast tests as many are run before those that count, as a
suite that runs has its code at hand.

%s

A round trip costs several times as much where the server is on another processor than the test, as
the one that waits is woken for it: there the number of trips counts most, as with any server that
is not shared with the tests alone. Where both have one processor, hardly anything but work is
measured, most of it Python's. The last table has that.

Promises
--------

::

%s

Where the time goes
-------------------

In milliseconds, on the first server: the whole test; in it, how often the driver is called and how
long the test waits for the server; and the work in its own process, by whose code it is. What would
be left without the code of dbtestcase is the floor: what is asked of the server has to be asked.
Subjects take turns; each line is the fastest of its turns.

::

%s
"""


def write(
    folder: str,
    rows: List[Row],
    shared: List[Row],
    promises: List[targets.Target],
    results: Dict[str, Any],
) -> None:
    """Write ``results.json``, ``results.rst`` and ``results.svg``.

    :param folder: where to; made if it is missing.
    :param rows: what was measured.
    :param shared: what was measured with the server on the same processor.
    :param promises: the targets.
    :param results: the environment, the check-outs and the long suite.
    """
    os.makedirs(folder, exist_ok=True)
    told = dict(
        results,
        targets=[targets.as_json(target) for target in promises],
        rows=[summary.as_json(row) for row in rows],
        rows_on_one_processor=[summary.as_json(row) for row in shared],
    )
    texts = {
        "results.json": json.dumps(told, indent=1) + "\n",
        "results.rst": text_of(rows, shared, promises, results),
        "results.svg": chart.svg(rows),
    }
    for name, text in texts.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(text)


def text_of(
    rows: List[Row], shared: List[Row], promises: List[targets.Target], results: Dict[str, Any]
) -> str:
    """Return the tables in reStructuredText."""
    where = ", ".join("%s %s" % item for item in results["environment"].items())
    lines = "\n".join("   " + targets.line(target) for target in promises)
    profiles = "\n".join("   " + line for line in results["profiles"])
    parts = [HEAD % (where, lines, profiles)]
    for fsync, tables in sorted({(row.place.fsync, row.place.tables) for row in rows}):
        parts.append(table_of(rows, fsync, tables))
    for fsync, tables in {(row.place.fsync, row.place.tables) for row in shared}:
        parts.append(table_of(shared, fsync, tables, ", all on one processor"))
    return "\n".join(parts)


def table_of(rows: List[Row], fsync: bool, tables: int, also: str = "") -> str:
    written = sorted({row.place.written for row in rows if row.place.tables == tables})
    title = "%d tables, fsync %s%s" % (tables, "on" if fsync else "off", also)
    head = ["\\"] + [name_of(each, tables) for each in written] + ["reset"]
    lines = [head]
    for subject in SUBJECTS:
        places = [Place(fsync, tables, each) for each in written]
        found = [find(rows, subject.key, place) for place in places]
        if all(found):
            cells = [cell_of(row) for row in found]
            lines.append(["``%s``" % subject.title] + cells + [reset_of(found, written)])
    return "%s\n%s\n\n%s\n" % (title, "-" * len(title), grid(lines))


def name_of(written: int, tables: int) -> str:
    return "%s written" % ("all" if written == tables else written)


def cell_of(row: Any) -> str:
    return "%s %s× (%s–%s)" % (
        number(row.median * 1e3),
        number(row.ratio),
        number(row.ratio_quartiles[0]),
        number(row.ratio_quartiles[1]),
    )


def reset_of(found: List[Any], written: List[int]) -> str:
    """Return the reset alone of the test that writes to 5 tables, or to the most below that."""
    row = found[written.index(max(each for each in written if each <= 5))]
    return "" if row.reset is None else number(row.reset * 1e3)


def grid(lines: List[List[str]]) -> str:
    """Return a simple table of reStructuredText."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    rule = "  ".join("=" * width for width in widths)
    text = [_row(line, widths) for line in lines]
    return "\n".join([rule, text[0], rule] + text[1:] + [rule])


def _row(cells: List[str], widths: List[int]) -> str:
    padded = [cell.ljust(widths[column]) for column, cell in enumerate(cells)]
    return "  ".join(padded).rstrip()
