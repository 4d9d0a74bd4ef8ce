"""A copy of a whole database, made by the server: with its rows, and what else they need."""

from __future__ import annotations

import contextlib
import shlex
from typing import Any, Dict, List, Optional
from urllib.parse import quote

from .... import where
from ..sessions.control import Control
from .claim import copying
from .kept import MARK, comment

_BOUND = 3.0  # seconds until connections that were closed are gone from the server

_OTHERS = """
SELECT pid, application_name FROM pg_stat_activity
 WHERE datname = %s AND usesysid IS NOT NULL AND pid <> pg_backend_pid() ORDER BY pid
"""
_COMMENT = """
SELECT coalesce(shobj_description(oid, 'pg_database'), '') FROM pg_database
 WHERE datname = %s
"""


class NotCopied(Exception):
    """Why there is no copy."""


class Copier:
    """Copies a test database that this run has, over a connection beside it.

    :param control: a connection to another database of the server.
    :param source: the connection that has the database; it is closed, as nobody may be connected.
    :param oid: that of the database.
    :param name: what the copy is called.
    """

    def __init__(self, control: Control, source: Control, oid: int, name: str) -> None:
        self.pid = control.pid
        self._control = control
        self._holding = contextlib.ExitStack()
        self._holding.callback(control.close)
        self._source = source
        self._oid = oid
        self._name = name

    def copy(self, test: str, base: str) -> List[str]:
        """Copy the database in place of an earlier copy of this name.

        :param test: the test that the copy is kept of, for its comment.
        :param base: the configured database, for its comment.
        :return: how to get at the copy: its URL, without a password, and a command.
        :raises NotCopied: if somebody else is connected to either, or the name is taken.
        """
        parts = self._source.parts
        self._drop_earlier()
        self._holding.enter_context(copying(self._control, self._oid))
        self._source.close()
        _require_alone(self._control, parts["database"], _BOUND)
        self._control.execute(
            "CREATE DATABASE %s TEMPLATE %s" % (_quoted(self._name), _quoted(parts["database"]))
        )
        said = _literal(comment(self._control, test, base))
        self._control.execute("COMMENT ON DATABASE %s IS %s" % (_quoted(self._name), said))
        return [_url(parts, self._name), _command(parts, self._name)]

    def close(self) -> None:
        """Close the connection; from now on, only the database's own claim keeps others away."""
        self._holding.close()

    def _drop_earlier(self) -> None:
        for (said,) in self._control.execute(_COMMENT, [self._name]):
            if not said.startswith(MARK):
                raise NotCopied('the database "%s" is no copy of a test\'s' % self._name)
            _require_alone(self._control, self._name, 0)
            self._control.execute("DROP DATABASE %s" % _quoted(self._name))


def _url(parts: Dict[str, Any], name: str) -> str:
    host, port = parts["host"] or "", parts["port"]
    user = quote(parts["username"], safe="")
    if host.startswith("/"):
        return "postgresql://%s@/%s?host=%s&port=%s" % (user, quote(name), host, port)
    return "postgresql://%s@%s:%s/%s" % (user, host or "localhost", port, quote(name))


def _command(parts: Dict[str, Any], name: str) -> str:
    options = [
        ("-h", parts["host"]),
        ("-p", parts["port"]),
        ("-U", parts["username"]),
        ("-d", name),
    ]
    words = [word for option in options if option[1] for word in option]
    return "psql " + " ".join(shlex.quote(str(word)) for word in words)


def _require_alone(control: Control, name: str, seconds: float) -> None:
    deadline = where.now() + seconds
    others = _others(control, name)
    while others:
        if where.now() > deadline:
            raise NotCopied('%s has "%s" open' % (" and ".join(others), name))
        where.pause(0.02)
        others = _others(control, name)


def _others(control: Control, name: str) -> List[str]:
    return [_named(*row) for row in control.execute(_OTHERS, [name])]


def _named(pid: int, application: Optional[str]) -> str:
    return 'pid %d "%s"' % (pid, application or "")


def _quoted(name: str) -> str:
    return '"%s"' % name.replace('"', '""')


def _literal(text: str) -> str:
    return "E'%s'" % text.replace("\\", "\\\\").replace("'", "''")
