"""Adds up what all processes of a run noted."""

from __future__ import annotations

import datetime
from typing import Any, Dict, List

from .parts import Event

RESETS = ("verified", "rolled back", "recreated", "built", "failed")
OUTCOMES = (
    "failed",
    "error",
    "unexpected success",
    "skipped",
    "expected failure",
    "unfinished",
    "passed",
)


class Run:
    """One run.

    :param events: what its processes wrote, the oldest first.
    :param began: when it began, in seconds since the epoch.
    :param ended: when it ended.
    """

    def __init__(self, events: List[Event], began: float, ended: float) -> None:
        self.began = min([began] + [float(event["at"]) for event in events])
        self.seconds = ended - self.began
        self.tests = _of(events, "test")
        self.classes = _of(events, "class")
        self.changes = _of(events, "change")
        self.left_open = _of(events, "left open")
        self.notices = _of(events, "notice")
        self.servers = _of(events, "server")

    @property
    def is_empty(self) -> bool:
        """Whether no test of the run used a database."""
        return not self._timed

    @property
    def processes(self) -> List[str]:
        """The names of the processes that ran tests."""
        return sorted({str(row["process"]) for row in self._timed})

    @property
    def resets(self) -> Dict[str, int]:
        """How many resets there were of each kind; a class's counts where it made the schema."""
        kinds = [row["reset"] for row in self._timed]
        return {kind: kinds.count(kind) for kind in RESETS if kind in kinds}

    def seconds_each(self, kind: str) -> float:
        """Return how long a reset of a kind took on average."""
        found = [float(row["reset_seconds"]) for row in self._timed if row["reset"] == kind]
        return sum(found) / len(found)

    @property
    def reset_seconds(self) -> float:
        """How long was spent on resets, on setting classes up and on leaving tests."""
        found = [row["reset_seconds"] + row.get("leave_seconds", 0) for row in self._timed]
        return float(sum(found))

    @property
    def test_seconds(self) -> float:
        """How long was spent in the tests themselves, with their own set-up and tear-down."""
        return self._sum("seconds")

    @property
    def database_seconds(self) -> float:
        """How long the queries of the tests took."""
        return self._sum("database_seconds")

    @property
    def queries(self) -> int:
        """How many queries the tests ran."""
        return int(self._sum("queries"))

    @property
    def outcomes(self) -> Dict[str, int]:
        """How many tests had each outcome."""
        found = [str(row["outcome"]) for row in self.tests]
        return {each: found.count(each) for each in OUTCOMES if each in found}

    def slowest(self, number: int) -> List[Event]:
        """Return the tests for whose queries the database took longest."""
        return self._most("database_seconds", number)

    def busiest(self, number: int) -> List[Event]:
        """Return the tests that ran most queries."""
        return self._most("queries", number)

    def as_json(self) -> Dict[str, Any]:
        """Return everything as it is written for machines."""
        return {
            "version": 1,
            "began": datetime.datetime.fromtimestamp(self.began, datetime.timezone.utc).isoformat(),
            "seconds": self.seconds,
            "processes": self.processes,
            "totals": {
                "tests": len(self.tests),
                "outcomes": self.outcomes,
                "resets": self.resets,
                "reset_seconds": self.reset_seconds,
                "test_seconds": self.test_seconds,
                "database_seconds": self.database_seconds,
                "queries": self.queries,
            },
            "tests": self._relative(self.tests),
            "classes": self._relative(self.classes),
            "changes": self._relative(self.changes),
            "left_open": self._relative(self.left_open),
            "notices": self._relative(self.notices),
            "servers": self._relative(self.servers),
        }

    @property
    def _timed(self) -> List[Event]:
        return self.tests + self.classes

    def _sum(self, key: str) -> float:
        return sum(float(row[key]) for row in self.tests)

    def _most(self, key: str, number: int) -> List[Event]:
        found = sorted((row for row in self.tests if row[key]), key=lambda row: -float(row[key]))
        return found[:number]

    def _relative(self, rows: List[Event]) -> List[Event]:
        """Return rows whose ``at`` is in seconds since the run began."""
        return [
            {key: value - self.began if key == "at" else value for key, value in row.items()}
            for row in rows
        ]


def _of(events: List[Event], kind: str) -> List[Event]:
    found = [event for event in events if event["event"] == kind]
    return [{key: row[key] for key in row if key != "event"} for row in found]
