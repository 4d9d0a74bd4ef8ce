"""One page, with everything it needs in it, on which a person can look at the run."""

from __future__ import annotations

import json
import os

from .run import Run

_FOLDER = os.path.dirname(os.path.abspath(__file__))


def render(run: Run) -> str:
    """Return the page."""
    # Nothing that a test is called may end the script.
    data = json.dumps(run.as_json()).replace("<", "\\u003c")
    page = _filled(_read("page.html"), "the style", _read("page.css"))
    return _filled(page, "the script", _filled(_read("page.js"), '"the run"', data))


def _read(name: str) -> str:
    with open(os.path.join(_FOLDER, name), encoding="utf-8") as file:
        return file.read().strip()


def _filled(page: str, place: str, text: str) -> str:
    before, _, after = page.partition(place)
    return before + text + after
