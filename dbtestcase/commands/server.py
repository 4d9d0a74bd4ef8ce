"""Starts a throwaway PostgreSQL server and prints its URL.

It is on a Unix socket that only you (and root) can reach, and ends with Ctrl-C
or with the process that started the command. Where DBTESTCASE_POSTGRESQL_URL
names a server, that one is used and nothing is started.

examples:
  python -m dbtestcase server
  python -m dbtestcase server --database shop_test

exit status:
  0  it was ended
  2  it could not be started; the text says why
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

from ..server import VARIABLE, serve
from .output import Output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument(
        "--database",
        metavar="NAME",
        help='the database in the URL, created when missing (default: "test")',
    )


def run(options: Any, output: Output) -> int:
    """Start the server and wait for the end of it."""
    say = Output(sys.stderr).line
    if os.environ.get(VARIABLE):
        say("%s names a server: none is started." % VARIABLE)
    elif sys.stderr.isatty():
        say("Ctrl-C ends the server.")
    return serve(output.stream, _as_json if options.json else str, database=options.database)


def _as_json(url: str) -> str:
    return json.dumps({"url": url})
