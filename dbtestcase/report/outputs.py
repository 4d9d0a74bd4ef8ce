"""Where the report goes: the terminal, a file for machines, a page for people."""

from __future__ import annotations

import json
import os
import sys
from typing import Any, Callable, Dict, List

from . import html, text
from .run import Run

VARIABLE = "DBTESTCASE_REPORT"
TERMINAL = "-"

_OFF = ("", "0", "no", "false", "off")
_ON = ("1", "yes", "true", "on")

# Where the run began: tests may change the directory.
_FOLDER = os.getcwd()


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
    """Write the report to each output; a file that cannot be written is told, not raised.

    :param run: the run.
    :param names: as :func:`asked_for` returns them.
    :param stream: the terminal, standard error by default.
    """
    stream = stream or sys.stderr
    for name in names:
        if name == TERMINAL:
            stream.write("\n" + text.render(run) + "\n")
            continue
        path = os.path.join(_FOLDER, name)
        try:
            with open(path, "w", encoding="utf-8") as file:
                file.write(_renderer(name)(run) + "\n")
        except OSError as error:
            said = "dbtestcase: the report could not be written to %s: %s"
            stream.write(said % (path, error.strerror) + "\n")
        else:
            stream.write("dbtestcase: the report is in %s\n" % path)


def _renderer(name: str) -> Callable[[Run], str]:
    kinds: Dict[str, Callable[[Run], str]] = {
        ".json": lambda run: json.dumps(run.as_json(), indent=1),
        ".html": html.render,
        ".htm": html.render,
    }
    return kinds.get(os.path.splitext(name)[1].lower(), text.render)
