"""Leads new connections of this process to another database than the one that they ask for.

A run that found its database taken has a sibling of it. From then on nothing of the process may
reach the database of the other run, whoever connects and by whatever spelling: what asks for it is
given the sibling. Which server a connection asks for, the server itself says once for each spelling
(``localhost``, an address, a socket, a service), on a connection made for that. Where nothing is to
be led, drivers look whether :data:`leads` is empty, and that is all.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Set, Tuple

from .. import _compat


class _Lead(NamedTuple):
    """A database that is not to be used, as its server tells it from others, and what is."""

    answer: Tuple[str, ...]
    instead: str


#: By the name of a database that is not to be used: one for each server that has it.
leads: Dict[str, List[_Lead]] = {}

_question = ""
# What was found for a spelling: host, address, port and database.
_found: Dict[Tuple[str, ...], Optional[str]] = {}
_silent: Set[Tuple[str, ...]] = set()  # of which nothing was found, as no server answered

_PARTS = (("host", "PGHOST"), ("hostaddr", "PGHOSTADDR"), ("port", "PGPORT"))


def lead(name: str, question: str, answer: Tuple[str, ...], instead: str) -> None:
    """Have new connections to a database be made to another one of the same server.

    In force until the process ends, and in what it forks from now on.

    :param name: the database that is not to be used.
    :param question: the query by which a server tells which of its databases this is.
    :param answer: what it says of that one: a row of texts, the first of which tells the server.
    :param instead: the name of the one that is used in its place.
    """
    global _question
    _question = question
    for others in list(leads.values()):  # a forked process goes on from its parent's
        others[:] = [
            (
                each._replace(instead=instead)
                if (each.answer[0], each.instead) == (answer[0], name)
                else each
            )
            for each in others
            if each.answer != answer
        ]
    leads.setdefault(name, []).append(_Lead(answer, instead))
    _found.clear()
    _silent.clear()


def server_restarted(before: str, now: str) -> None:
    """Know the databases of a server again that was started anew, by what tells servers apart."""
    for found in leads.values():
        found[:] = [
            each._replace(answer=(now,) + each.answer[1:]) if each.answer[0] == before else each
            for each in found
        ]
    _found.clear()
    _silent.clear()


def _destination(driver: str, parameters: Mapping[str, str], connects: bool) -> Optional[str]:
    """Return the database that a connection is led to; ``None``: where it asks.

    :param driver: the driver that may be asked; it is imported.
    :param parameters: what the connection asks for, by the names of libpq.
    :param connects: whether it is made at once; if not, a server that gives no answer is asked no
        second time.
    """
    environ = os.environ
    service = parameters.get("service") or environ.get("PGSERVICE")
    name = parameters.get("dbname")
    if name is None and not service:
        user = parameters.get("user") or environ.get("PGUSER")
        name = environ.get("PGDATABASE") or user or ""
    if name is not None and name not in leads:
        return None
    place = [parameters.get(part) or environ.get(variable) or "" for part, variable in _PARTS]
    spelling = tuple(place + [name or ""])
    if not service and spelling in _found:
        return _found[spelling]
    if not connects and spelling in _silent:
        return None
    asked = dict({"connect_timeout": "4"}, **parameters)
    try:
        conninfo = _compat.conninfo_with(driver, "", **asked)
        answer = _compat.row_at(driver, conninfo, _question)
    except Exception:  # whoever connects is told by the driver itself, and harms nobody meanwhile
        _silent.add(spelling)
        return leads[name][-1].instead if connects and name else None
    found = [each.instead for some in leads.values() for each in some if each.answer == answer]
    instead = found[0] if found else None
    if not service:  # whose file may change
        _found[spelling] = instead
    return instead


def led(driver: str, conninfo: Any, connects: bool = True) -> Any:
    """Return a connection string for where its connection is to lead.

    :param conninfo: a connection string or a URL; it comes back itself where it is to lead there.
    :param connects: whether it is used at once.
    """
    try:
        parameters = _compat.conninfo_parts(driver, conninfo or "")
    except Exception:  # the driver itself says what is wrong with it
        return conninfo
    instead = _destination(driver, parameters, connects)
    if instead is None:
        return conninfo
    return _compat.conninfo_with(driver, conninfo or "", dbname=instead)


def led_options(options: Dict[str, Any]) -> Dict[str, Any]:
    """Return the arguments of asyncpg for where its connection is to lead."""
    driver = loaded_driver()
    if driver is None:
        return options
    try:
        parameters = _compat.conninfo_parts(driver, options.get("dsn") or "")
    except Exception:
        return options
    names = ("host", "port", "user", "password", "database", "service")
    for option, name in zip(names, names[:4] + ("dbname", "service")):
        value = options.get(option)
        if value and not callable(value):
            several = isinstance(value, (list, tuple))
            parameters[name] = ",".join(map(str, value)) if several else str(value)
    instead = _destination(driver, parameters, connects=True)
    return options if instead is None else dict(options, database=instead)


def loaded_driver() -> Optional[str]:
    """Return a driver of libpq that was imported."""
    return next((name for name in ("psycopg2", "psycopg") if name in sys.modules), None)


def astray(dbapi: Any) -> Optional[str]:
    """Return the name of the database that is not to be used, if a connection leads there."""
    name = getattr(getattr(dbapi, "info", None), "dbname", None)
    if not leads or (name is not None and name not in leads):
        return None
    with contextlib.suppress(Exception):  # of a driver for something else
        cursor = dbapi.cursor()
        cursor.execute(_question)
        answer = tuple(cursor.fetchone())
        cursor.close()
        dbapi.rollback()
        for name, found in leads.items():
            if any(each.answer == answer for each in found):
                return name
    return None
