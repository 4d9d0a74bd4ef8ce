"""The quartiles of what was measured."""

from __future__ import annotations

from typing import List, Tuple


def quartiles(values: List[float]) -> Tuple[float, float]:
    """Return the first and third quartile, between the values that are there."""
    ordered = sorted(values)
    return _at(ordered, 0.25), _at(ordered, 0.75)


def _at(ordered: List[float], part: float) -> float:
    position = part * (len(ordered) - 1)
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])
