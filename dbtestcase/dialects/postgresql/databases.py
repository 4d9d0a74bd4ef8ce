"""Databases of a server: is there one of this name, and make it."""

from __future__ import annotations

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


def _exists(control: Control, name: str) -> bool:
    return bool(control.execute("SELECT 1 FROM pg_database WHERE datname = %s::name", [name]))
