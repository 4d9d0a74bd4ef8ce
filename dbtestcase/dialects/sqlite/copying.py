"""A copy of a SQLite database, in a file of its own."""

from __future__ import annotations

import contextlib
import os
import shlex
import sqlite3
import tempfile
from typing import Any, Callable, List

from ...contracts import Identity


class Copier:
    """Copies a database to a file: beside its own, or where temporary files are.

    :param identity: which database it is.
    :param connected: gives a context manager that lends a connection of the driver to it.
    :param name: what the file is called, without the ending.
    """

    pid = 0

    def __init__(self, identity: Identity, connected: Callable[[], Any], name: str) -> None:
        folder = tempfile.gettempdir() if identity.private else identity.place
        ending = os.path.splitext(identity.name)[1] or ".db"
        self._connected = connected
        stem = os.path.splitext(identity.name)[0]
        name = name.replace(identity.name, stem, 1).replace(":", "")
        self._path = os.path.join(folder, name + ending)

    def copy(self, test: str, base: str) -> List[str]:
        """Copy the database in place of an earlier copy of this name.

        :param test: the test that the copy is kept of; its name is in the file's.
        :param base: the configured database; its name is in the file's, too.
        :return: how to get at the copy: its path, and a command.
        """
        with contextlib.suppress(FileNotFoundError):
            os.remove(self._path)
        with contextlib.closing(sqlite3.connect(self._path)) as copy:
            with self._connected() as connection:
                connection.backup(copy)
        return [self._path, "sqlite3 " + shlex.quote(self._path)]

    def close(self) -> None:
        """Do nothing: the file is closed."""
