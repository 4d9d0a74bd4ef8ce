"""The chart: one line for each subject, one dot for each number of tables, by time."""

from __future__ import annotations

import math
from html import escape
from typing import Dict, List, Optional, Tuple

from .subjects import OURS, OURS_ROLLBACK, PLAIN, SUBJECTS, Subject
from .summary import Place, Row, find, number

LEFT, RIGHT, WIDTH = 300, 96, 860
TOP, STEP, BOTTOM = 92, 30, 46
RADII = (3.5, 5.5, 8.0)

# It brings its own background, so that it can be read on any page.
STYLE = """
  text { font: 13px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; }
  .back { fill: #ffffff; stroke: #d0d7de; } .text { fill: #1f2328; } .soft { fill: #59636e; }
  .title { font-size: 16px; font-weight: 600; } .own { font-weight: 600; }
  .grid { stroke: #d8dee4; } .small { font-size: 12px; }
  .ours { fill: #0969da; stroke: #0969da; } .others { fill: #6e7781; stroke: #6e7781; }
  line.ours, line.others { stroke-width: 2; opacity: 0.55; }
  .hollow { fill: #ffffff; stroke-width: 1.8; }
  @media (prefers-color-scheme: dark) {
    .back { fill: #0d1117; stroke: #30363d; } .text { fill: #e6edf3; } .soft { fill: #9198a1; }
    .grid { stroke: #2a313c; } .ours { fill: #58a6ff; stroke: #58a6ff; }
    .others { fill: #8b949e; stroke: #8b949e; } .hollow { fill: #0d1117; }
  }
"""


class Scale:
    """Where a time stands: logarithmic, from one power of ten to another."""

    def __init__(self, times: List[float]) -> None:
        self.low = math.floor(math.log10(min(times)))
        self.high = max(math.ceil(math.log10(max(times))), self.low + 1)

    def at(self, seconds: float) -> float:
        part = (math.log10(seconds) - self.low) / (self.high - self.low)
        return LEFT + part * (WIDTH - LEFT - RIGHT)

    def ticks(self) -> List[float]:
        return [10.0**power for power in range(self.low, self.high + 1)]


Dots = List[Tuple[int, Row]]


def svg(rows: List[Row], fsync: bool = False) -> str:
    """Return the chart of the tests that write to 5 tables, or to the most below that.

    :param rows: what was measured.
    :param fsync: on which of the servers.
    """
    sizes = sorted({row.place.tables for row in rows})
    lines = [(subject, dots_of(rows, subject, fsync, sizes)) for subject in SUBJECTS]
    lines = [(subject, dots) for subject, dots in lines if subject.compared and dots]
    lines.sort(key=lambda line: middle(line[1], sizes).median)
    scale = Scale([row.median for _, dots in lines for _, row in dots])
    height = TOP + STEP * len(lines) + BOTTOM
    parts = head(height, sizes, fsync) + axis(scale, height)
    for position, (subject, dots) in enumerate(lines):
        y = TOP + STEP * position + STEP / 2
        parts += line_of(subject, dots, middle(dots, sizes), scale, y, radii(sizes))
    return "\n".join(parts + ["</svg>", ""])


def dots_of(rows: List[Row], subject: Subject, fsync: bool, sizes: List[int]) -> Dots:
    """Return what was measured of a subject, by number of tables."""
    found: List[Tuple[int, Optional[Row]]] = []
    for tables in sizes:
        written = {row.place.written for row in rows if row.place.tables == tables}
        most = max(each for each in written if each <= 5)
        found.append((tables, find(rows, subject.key, Place(fsync, tables, most))))
    return [(tables, row) for tables, row in found if row is not None]


def middle(dots: Dots, sizes: List[int]) -> Row:
    """Return the dot that the ratio is told of: that of 50 tables, or the middle one."""
    by_size = dict(dots)
    return by_size.get(50) or by_size.get(sizes[len(sizes) // 2]) or dots[0][1]


def radii(sizes: List[int]) -> Dict[int, float]:
    """Return how large the dots are: the more tables, the larger."""
    last = max(1, len(sizes) - 1)
    spread = RADII[-1] - RADII[0]
    return {size: RADII[0] + spread * place / last for place, size in enumerate(sizes)}


def head(height: float, sizes: List[int], fsync: bool) -> List[str]:
    told = 50 if 50 in sizes else sizes[len(sizes) // 2]
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d"'
        ' role="img" aria-label="Time of one test, by way to reset the database">'
        % (WIDTH, height, WIDTH, height),
        "<style>%s</style>" % STYLE,
        '<rect class="back" x="0.5" y="0.5" width="%d" height="%d" rx="8"/>'
        % (WIDTH - 1, height - 1),
        text(20, 30, "One test that writes to 5 tables, with its reset", "text title"),
        text(
            20,
            52,
            "milliseconds, median, logarithmic; PostgreSQL with fsync %s;"
            " hollow: nothing is committed for real" % ("on" if fsync else "off"),
            "soft small",
        ),
        text(WIDTH - 20, 76, "at %d tables" % told, "soft small", "end"),
    ]
    return parts + legend(sizes)


def legend(sizes: List[int]) -> List[str]:
    parts, x = [], float(LEFT)
    for size, radius in radii(sizes).items():
        parts.append('<circle class="others" cx="%g" cy="72" r="%g"/>' % (x, radius))
        parts.append(text(x + 13, 76, "%d tables" % size, "soft small"))
        x += 104
    return parts


def axis(scale: Scale, height: float) -> List[str]:
    parts = []
    for tick in scale.ticks():
        x, end = scale.at(tick), height - BOTTOM + 8
        parts.append('<line class="grid" x1="%g" y1="%d" x2="%g" y2="%g"/>' % (x, TOP, x, end))
        parts.append(text(x, end + 18, "%g ms" % (tick * 1e3), "soft small", "middle"))
    return parts


def line_of(
    subject: Subject, dots: Dots, told: Row, scale: Scale, y: float, sizes: Dict[int, float]
) -> List[str]:
    kind = "ours" if subject.key in (OURS, OURS_ROLLBACK) else "others"
    weight = "text own" if kind == "ours" else "text"
    first, last = scale.at(dots[0][1].median), scale.at(dots[-1][1].median)
    parts = [
        text(LEFT - 16, y + 4, subject.title, weight, "end"),
        '<line class="%s" x1="%g" y1="%g" x2="%g" y2="%g"/>' % (kind, first, y, last, y),
    ]
    look = kind if subject.commits else kind + " hollow"
    for tables, row in reversed(dots):
        x = scale.at(row.median)
        name = "<title>%s, %d tables: %.3g ms</title>" % (
            escape(subject.title),
            tables,
            row.median * 1e3,
        )
        circle = '<circle class="%s" cx="%.1f" cy="%g" r="%g">%s</circle>'
        parts.append(circle % (look, x, y, sizes[tables], name))
    ratio = "1" if subject.key == PLAIN else number(told.ratio) + "×"
    parts.append(text(WIDTH - 20, y + 4, ratio, weight, "end"))
    return parts


def text(x: float, y: float, words: str, look: str, anchor: str = "start") -> str:
    return '<text class="%s" x="%g" y="%g" text-anchor="%s">%s</text>' % (
        look,
        x,
        y,
        anchor,
        escape(words),
    )
