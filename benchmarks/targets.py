"""What the project promises of its speed, and whether this run bears it out."""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, NamedTuple, Optional

from .subjects import DROP_ALL, OURS, OURS_ROLLBACK, PLAIN, SUBJECTS
from .summary import Place, Row, find

TABLES, WRITTEN = 50, 5
CHECKOUT_MICROSECONDS = 20
DRIFT = 1.2


class Target(NamedTuple):
    """A promise and what was measured."""

    text: str
    limit: float
    measured: float
    most: bool = True  # whether the limit is the most that it may be, or the least

    @property
    def met(self) -> bool:
        """Whether the promise was kept."""
        return self.measured <= self.limit if self.most else self.measured >= self.limit


def of_rows(rows: List[Row], fsync: bool) -> List[Target]:
    """Return the targets that can be told from what was measured on one server."""
    found = list(_of_server(_Medians(rows, fsync), "fsync %s" % ("on" if fsync else "off")))
    return [target for target in found if target is not None]


class _Medians:
    def __init__(self, rows: List[Row], fsync: bool) -> None:
        self._rows = rows
        self._fsync = fsync

    def of(self, subject: str, tables: int = TABLES, written: int = WRITTEN) -> Optional[float]:
        row = find(self._rows, subject, Place(self._fsync, tables, written))
        return row.median if row else None


def _of_server(medians: _Medians, server: str) -> Iterator[Optional[Target]]:
    where = ", %d tables, %d written, %s" % (TABLES, WRITTEN, server)
    ours, plain = medians.of(OURS), medians.of(PLAIN)
    yield _ratio("recreate / plain recipe" + where, ours, plain, 3)
    yield _ratio("drop_all + create_all / recreate" + where, medians.of(DROP_ALL), ours, 100, False)
    others = {
        each.title: medians.of(each.key)
        for each in SUBJECTS
        if each.commits and each.compared and each.key != OURS
    }
    known = {title: median for title, median in others.items() if median is not None}
    if known:
        fastest = min(known, key=lambda title: known[title])
        text = "recreate / the fastest other with committed data (%s)%s" % (fastest, where)
        yield _ratio(text, ours, known[fastest], 1)
    nothing = "a test that wrote nothing: recreate / plain recipe, %d tables, %s" % (TABLES, server)
    yield _ratio(nothing, medians.of(OURS, written=0), medians.of(PLAIN, written=0), 1.5)
    growth = "recreate at 200 tables / at 10, %d written, %s" % (WRITTEN, server)
    yield _ratio(growth, medians.of(OURS, tables=200), medians.of(OURS, tables=10), 4)
    yield _ratio("rollback / plain recipe" + where, medians.of(OURS_ROLLBACK), plain, 1.3)


def on_one_processor(rows: List[Row], fsync: bool) -> List[Target]:
    """Return the ratios to the plain recipe where round trips cost next to nothing."""
    medians = _Medians(rows, fsync)
    server = "%d tables, fsync %s, all on one processor" % (TABLES, "on" if fsync else "off")
    where = ", %d written, %s" % (WRITTEN, server)
    ours, plain = medians.of(OURS), medians.of(PLAIN)
    nothing = "a test that wrote nothing: recreate / plain recipe, " + server
    found = [
        _ratio("recreate / plain recipe" + where, ours, plain, 3),
        _ratio(nothing, medians.of(OURS, written=0), medians.of(PLAIN, written=0), 1.5),
        _ratio("rollback / plain recipe" + where, medians.of(OURS_ROLLBACK), plain, 1.3),
    ]
    return [target for target in found if target is not None]


def _ratio(
    text: str, one: Optional[float], other: Optional[float], limit: float, most: bool = True
) -> Optional[Target]:
    if one is None or other is None:
        return None
    return Target(text, limit, one / other, most)


def of_checkout(microseconds: float) -> Target:
    """Return the target for what it costs to know of a checkout."""
    text = "microseconds that a checkout takes more in a running test"
    return Target(text, CHECKOUT_MICROSECONDS, microseconds)


def of_drift(ratio: float, resets: int) -> Target:
    """Return the target for a long suite: the last tests beside the first ones."""
    return Target("last tests of a suite of %d / its first ones" % resets, DRIFT, ratio)


def line(target: Target) -> str:
    """Return the target as a line of text."""
    return "%-7s %8.2f  (%s %g)  %s" % (
        "met" if target.met else "NOT MET",
        target.measured,
        "at most" if target.most else "at least",
        target.limit,
        target.text,
    )


def as_json(target: Target) -> Dict[str, Any]:
    """Return the target for other programs to read."""
    return dict(target._asdict(), measured=round(target.measured, 3), met=target.met)
