"""One page, with everything it needs in it, on which a person can look at the run."""

from __future__ import annotations

import json
import os

from .run import Run

_PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "page.html")
_PLACE = '"the run"'


def render(run: Run) -> str:
    """Return the page."""
    with open(_PAGE, encoding="utf-8") as file:
        page = file.read()
    # Nothing that a test is called may end the script.
    data = json.dumps(run.as_json()).replace("<", "\\u003c")
    before, _, after = page.partition(_PLACE)
    return before + data + after
