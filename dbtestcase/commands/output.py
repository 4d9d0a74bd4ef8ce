"""What the commands print: 80 columns, colour on terminals only, or JSON."""

from __future__ import annotations

import json
import os
import textwrap
from typing import Any, Iterable, List, TextIO

WIDTH = 79
LABEL = 16  # columns of what stands before each row

DONE, FOUND, COULD_NOT_TELL = 0, 1, 2  # exit statuses

_COLOURS = {"red": "31", "green": "32", "yellow": "33", "bold": "1"}


class Output:
    """Lines of text for people.

    :param stream: where they go; colours are for a terminal, unless ``NO_COLOR`` is set:
        https://no-color.org
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        dumb = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
        self.coloured = stream.isatty() and not dumb

    def paint(self, text: str, colour: str) -> str:
        """Return a text in a colour, or in bold."""
        return "\033[%sm%s\033[0m" % (_COLOURS[colour], text) if self.coloured else text

    def line(self, text: str = "", colour: str = "") -> None:
        """Print a line, in several where it is too long; what follows is set in further."""
        for each in _wrapped(text):
            self._write(self.paint(each, colour) if colour else each)

    def lines(self, texts: Iterable[str]) -> None:
        """Print several lines."""
        for text in texts:
            self.line(text)

    def row(self, label: str, text: str, colour: str = "") -> None:
        """Print a label and what there is to say of it; its first words may have a colour."""
        first, *more = textwrap.wrap(text, WIDTH - LABEL, **_WORDS) or [""]
        if colour:
            word, separator, rest = first.partition(":")
            first = self.paint(word, colour) + separator + rest
        self._write((label.ljust(LABEL) + first).rstrip())
        for each in more:
            self._write(" " * LABEL + each)

    def error(self, text: str) -> None:
        """Print the text of an error, its class in red."""
        lines = [wrapped for line in text.split("\n") for wrapped in _wrapped(line)]
        name, separator, rest = lines[0].partition(":")
        self._write("\n".join([self.paint(name, "red") + separator + rest] + lines[1:]))

    def json(self, document: Any, indent: Any = 2) -> None:
        """Print a document for programs."""
        self._write(json.dumps(document, indent=indent, default=str))

    def _write(self, text: str) -> None:
        print(text, file=self.stream, flush=True)


_WORDS: Any = {"break_long_words": False, "break_on_hyphens": False}


def _wrapped(text: str) -> List[str]:
    if len(text) <= WIDTH:
        return [text]
    words = text.lstrip()
    indent = " " * (len(text) - len(words))
    further = indent + "    "
    return textwrap.wrap(words, WIDTH, initial_indent=indent, subsequent_indent=further, **_WORDS)


def size(number: Any) -> str:
    """Return a number of bytes as people say it: ``7.4 MB``."""
    if number is None:
        return "?"
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000 or unit == "GB":
            break
        number /= 1024.0
    return "%d bytes" % number if unit == "bytes" else "%.1f %s" % (number, unit)


def count(number: int, noun: str) -> str:
    """Return a number of things: ``1 table``, ``3 indexes``."""
    if number == 1:
        return "1 " + noun
    ending = "es" if noun.endswith(("s", "x")) else "ies" if noun.endswith("y") else "s"
    return "%d %s%s" % (number, noun[:-1] if ending == "ies" else noun, ending)
