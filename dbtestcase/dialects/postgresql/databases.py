"""Databases of a server: is there one of this name, make it, and which are its siblings."""

from __future__ import annotations

import re
from typing import List

from .control import Control


def ensure_database(control: Control, name: str) -> bool:
    """Create a database where there is none of this name.

    :param control: a connection to any database of the server.
    :param name: the database; text longer than the server's limit is cut as the server cuts it.
    :return: whether it was created.
    """
    if _exists(control, name):
        return False
    try:
        control.execute('CREATE DATABASE "%s"' % name.replace('"', '""'))
    except Exception:
        if not _exists(control, name):
            raise
        return False  # another process created it between our two statements
    return True


def siblings(control: Control, name: str) -> List[str]:
    """Return the names of a database and of its numbered siblings: ``app_test``, ``app_test_2``.

    :param control: a connection to any database of the server.
    :param name: that of one of them.
    """
    names = [found for (found,) in control.execute("SELECT datname::text FROM pg_database")]
    stem = re.sub(r"_\d+$", "", name)
    family = re.compile(re.escape(stem if stem in names else name) + r"(_\d+)?$")
    return sorted(found for found in names if family.match(found))


def _exists(control: Control, name: str) -> bool:
    return bool(control.execute("SELECT 1 FROM pg_database WHERE datname = %s::name", [name]))
