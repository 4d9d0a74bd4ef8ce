"""From times to numbers that can be compared: medians, quartiles, ratios."""

from __future__ import annotations

import statistics
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from .quantiles import quartiles
from .rounds import Cell, all_times, pairs
from .subjects import NO_RESET, PLAIN


class Place(NamedTuple):
    """What was the same for all subjects that are compared."""

    fsync: bool
    tables: int
    written: int


class Row(NamedTuple):
    """What was found of one subject in one place; times are seconds."""

    place: Place
    subject: str
    tests: int
    median: float
    quartiles: Tuple[float, float]
    ratio: float  # of the medians, to the plain recipe
    ratio_quartiles: Tuple[float, float]  # of the ratios within each round
    reset: Optional[float]  # what it takes more than the same test with no reset


Found = Dict[Cell, Dict[int, List[float]]]


def rows_of(found: Found, fsync: bool, tables: int) -> List[Row]:
    """Return a row for each subject and kind of test."""
    rows = []
    for cell, by_round in found.items():
        plain = found[Cell(PLAIN, cell.written)]
        times = all_times(by_round)
        row = Row(
            place=Place(fsync, tables, cell.written),
            subject=cell.subject,
            tests=len(times),
            median=statistics.median(times),
            quartiles=quartiles(times),
            ratio=statistics.median(times) / statistics.median(all_times(plain)),
            ratio_quartiles=quartiles(
                [statistics.median(a) / statistics.median(b) for a, b in pairs(by_round, plain)]
            ),
            reset=reset_of(found, cell, statistics.median(times)),
        )
        rows.append(row)
    return rows


def reset_of(found: Found, cell: Cell, median: float) -> Optional[float]:
    """Return what the reset alone takes; Django's tests have another body than the others."""
    if cell.subject == NO_RESET or cell.subject.startswith("django"):
        return None
    return median - statistics.median(all_times(found[Cell(NO_RESET, cell.written)]))


def find(rows: List[Row], subject: str, place: Place) -> Optional[Row]:
    """Return the row of a subject, ``None`` where it was not measured."""
    for row in rows:
        if row.subject == subject and row.place == place:
            return row
    return None


def as_json(row: Row) -> Dict[str, Any]:
    """Return a row for other programs to read, in milliseconds."""
    return {
        "fsync": row.place.fsync,
        "tables": row.place.tables,
        "written": row.place.written,
        "subject": row.subject,
        "tests": row.tests,
        "median_ms": milli(row.median),
        "quartiles_ms": [milli(value) for value in row.quartiles],
        "ratio": round(row.ratio, 3),
        "ratio_quartiles": [round(value, 3) for value in row.ratio_quartiles],
        "reset_ms": None if row.reset is None else milli(row.reset),
    }


def milli(seconds: float) -> float:
    return round(seconds * 1000, 4)


def number(value: float) -> str:
    """Return a number with about three digits."""
    digits = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return "%.*f" % (digits, value)
