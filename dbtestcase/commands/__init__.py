"""Runs ``python -m dbtestcase``: commands that look at databases from outside of a run.

``check.py``, ``blockers.py``, ``databases.py``, ``server.py``
    one command each: its help, which is the module's docstring, what it finds, what it prints.
``lookup.py``
    which databases to look at.
``output.py``
    how it is printed.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import List, Optional

from ..errors import DatabaseTestCaseError
from . import blockers, check, databases, server
from .output import COULD_NOT_TELL, Output

PROGRAM = "python -m dbtestcase"
__all__ = ["main"]

COMMANDS = (check, blockers, databases, server)
INTERRUPTED = 130  # as shells have it

_DESCRIPTION = "Looks at the databases that tests are run against, from outside of a run."

_EPILOG = """\
An APP_OR_URL is one of
  webapp:app                       a Flask application, or what makes one
  webapp.database:engine           an Engine of SQLAlchemy
  tests.test_shop:ShopTest         a test class, with its app and config
  postgresql://localhost/app_test  a URL
Names are seen from the directory in which the command is started.

Each command has its own help: python -m dbtestcase check --help
"""


def main(arguments: Optional[List[str]] = None) -> int:
    """Run a command and return its exit status.

    :param arguments: the words of the command line, ``sys.argv`` by default.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help(sys.stderr)
        return COULD_NOT_TELL
    try:
        return int(options.run(options, Output(sys.stdout)))
    except DatabaseTestCaseError as error:
        name = type(error).__name__
        if options.json:
            Output(sys.stdout).json({"error": name, "message": str(error)})
        else:
            Output(sys.stderr).error("%s: %s" % (name, error))
        return COULD_NOT_TELL
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parsers = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    for command in COMMANDS:
        words = (command.__doc__ or "").partition("\n\n")
        sub = parsers.add_parser(
            command.__name__.rpartition(".")[2],
            help=words[0].replace("\n", " "),
            description=words[0],
            epilog=words[2],
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_arguments(sub)
        sub.add_argument("--json", action="store_true", help="print JSON, for programs")
        sub.set_defaults(run=command.run)
    return parser
