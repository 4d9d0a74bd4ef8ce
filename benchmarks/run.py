"""Measure everything, tell which promises are kept, and write a table and a chart."""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import sys
import time
from typing import Any, Dict, Iterator, List, Optional

import psycopg2
import sqlalchemy as sa

from . import checkouts, drift, outputs, placing, profiles, targets
from .rounds import measure
from .servers import Server
from .subjects import NO_RESET, OURS, OURS_ROLLBACK, PLAIN, SUBJECTS, Subject, available
from .summary import Row, rows_of
from .workers import Worker

FOLDER = os.path.dirname(os.path.abspath(__file__))
# About how long the rounds may take on one server, by the number of tables at most.
SECONDS = ((10, 20.0), (50, 80.0), (200, 160.0))
QUICK = 0.15
ROUNDS, RESETS = 3, 5000

began = time.monotonic()


def main() -> int:
    """Run all of it; return the exit status: 0 if every promise is kept, else 1."""
    options = read_options()
    missing = [each.title for each in SUBJECTS if each not in available()]
    if missing:
        say("left out, as Django is not installed: %s" % ", ".join(missing))
    rows: List[Row] = []
    results: Dict[str, Any] = {}
    promises: List[targets.Target] = []
    for fsync in options.fsync:
        with server(fsync) as running:
            results.setdefault("environment", environment(running))
            for tables in options.tables:
                rows += measured(running, tables, options)
            promises += targets.of_rows(rows, fsync)
            if fsync == options.fsync[0]:
                results["checkout"] = checkout(running, options)
                results["drift"] = long_suite(running, options)
                results["profiles"] = where_it_goes(running, options)
    with server(options.fsync[0], shared=True) as running:
        shared = measured(running, usual(options), options, [NO_RESET, PLAIN, OURS_ROLLBACK, OURS])
    promises += targets.on_one_processor(shared, options.fsync[0])
    promises.append(targets.of_checkout(results["checkout"]["cost_us"]))
    promises.append(targets.of_drift(results["drift"][OURS]["ratio"], options.resets))
    outputs.write(options.output, rows, shared, promises, results)
    print("\n".join(targets.line(target) for target in promises))
    say("written to %s" % options.output)
    return int(not all(target.met for target in promises))


def read_options() -> Any:
    parser = argparse.ArgumentParser(prog="python3 -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="far less exact, in minutes")
    parser.add_argument("--tables", default="10,50,200", help="how many tables: %(default)s")
    parser.add_argument("--written", default="0,1,5,all", help="written by a test: %(default)s")
    parser.add_argument("--fsync", default="off,on", help="of the servers: %(default)s")
    parser.add_argument("--rounds", type=int, help="of slow subjects: %d" % ROUNDS)
    parser.add_argument("--resets", type=int, help="tests of the long suite: %d" % RESETS)
    parser.add_argument("--output", default=FOLDER, help="folder for the results")
    options = parser.parse_args()
    options.fsync = [word == "on" for word in options.fsync.split(",")]
    options.tables = [int(number) for number in options.tables.split(",")]
    options.resets = options.resets or (RESETS // 10 if options.quick else RESETS)
    options.rounds = options.rounds or (1 if options.quick else ROUNDS)
    return options


def measured(
    running: Server, tables: int, options: Any, keys: Optional[List[str]] = None
) -> List[Row]:
    """Measure all subjects, or some, on a server with that many tables."""
    what = "fsync %s, %d tables" % ("on" if running.fsync else "off", tables)
    subjects = [each for each in available() if keys is None or each.key in keys]
    seconds = [most for size, most in SECONDS if tables <= size] or [SECONDS[-1][1]]
    with workers(running, subjects, tables, what) as started:
        found = measure(
            started,
            written_by(options.written, tables),
            options.rounds,
            seconds[0] * (QUICK if options.quick else 1),
            lambda text: say("%s, %s" % (what, text)),
        )
    return rows_of(found, running.fsync, tables)


def written_by(text: str, tables: int) -> List[int]:
    """Return how many tables are written to, for each kind of test that there can be."""
    wanted = [tables if word == "all" else int(word) for word in text.split(",")]
    return sorted(set(min(number, tables) for number in wanted))


def checkout(running: Server, options: Any) -> Dict[str, float]:
    pair = [checkouts.UNWATCHED, checkouts.WATCHED]
    with workers(running, pair, 1, "check-outs") as started:
        found = checkouts.microseconds(started, 5 if options.quick else 40)
    return {
        "unwatched_us": round(found["unwatched"], 2),
        "watched_us": round(found["watched"], 2),
        "cost_us": round(found["watched"] - found["unwatched"], 2),
    }


def long_suite(running: Server, options: Any) -> Dict[str, Any]:
    tables = usual(options)
    pair = [each for each in SUBJECTS if each.key in (OURS, PLAIN)]
    with workers(running, pair, tables, "long suite") as started:
        found = drift.measure(started, min(5, tables), options.resets, say)
    return {
        key: {"first_ms": first * 1e3, "last_ms": last * 1e3, "ratio": last / first}
        for key, (first, last) in found.items()
    }


def where_it_goes(running: Server, options: Any) -> List[str]:
    """Profile the plain recipe and ours, with nothing written and with some tables."""
    tables = usual(options)
    subjects = [each for each in SUBJECTS if each.key in (PLAIN, OURS_ROLLBACK, OURS)]
    lines = []
    with workers(running, subjects, tables, "profiles") as started:
        for written in (0, min(5, tables)):
            tests = 10 if options.quick else 50
            found = profiles.quietest(started, written, tests)
            plain = next(found[each] for each in subjects if each.key == PLAIN)
            for subject in subjects:
                title = "%s, %d written" % (subject.title, written)
                lines.append(profiles.line(title, found[subject], plain))
    return lines


def usual(options: Any) -> int:
    """Return the number of tables that most is told about."""
    return 50 if 50 in options.tables else int(options.tables[0])


@contextlib.contextmanager
def server(fsync: bool, shared: bool = False) -> Iterator[Server]:
    where = ", on one processor with those who measure" if shared else ""
    say("starting a server with fsync %s%s" % ("on" if fsync else "off", where))
    running = Server(fsync, shared)
    try:
        yield running
    finally:
        running.close()


@contextlib.contextmanager
def workers(
    running: Server, subjects: List[Subject], tables: int, what: str
) -> Iterator[List[Worker]]:
    """Start a worker for each subject, and end them all."""
    started: List[Worker] = []
    try:
        say("%s: making the tables of %d subjects" % (what, len(subjects)))
        for subject in subjects:
            name = "%s_%d_test" % (subject.key.replace("-", "_"), tables)
            started.append(Worker(subject, running.database(name), tables))
        for worker in started:
            worker.ready()
        running.settle()
        yield started
    finally:
        for worker in started:
            worker.close()


def environment(running: Server) -> Dict[str, Any]:
    """Return what the numbers depend on."""
    return {
        "Python": platform.python_version(),
        "SQLAlchemy": sa.__version__,
        "psycopg2": psycopg2.__version__.split()[0],
        "Django": django_version(),
        "PostgreSQL": running.version,
        "processors": os.cpu_count(),
        "placing": placing.described(),
    }


def django_version() -> str:
    try:
        import django
    except ImportError:
        return "not measured"
    return str(django.get_version())


def say(text: str) -> None:
    """Tell how far it is."""
    seconds = int(time.monotonic() - began)
    print("%d:%02d  %s" % (seconds // 60, seconds % 60, text), file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
