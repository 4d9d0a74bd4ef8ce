"""Drop everything that a database holds, known to a metadata or not, with CASCADE, in batches."""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence, Tuple

from ... import _compat
from ...errors import ConfigurationError
from .catalog import (
    DEADLOCK,
    NOT_ABOUT_OBJECTS,
    Extensions,
    FoundObject,
    find_objects,
    installed_extensions,
    inventory,
)
from .sessions import Control, quoted

__all__ = ["drop_everything", "installed_extensions", "inventory", "lacking_public"]

# A table with keys, indexes and a sequence takes about ten locks and a server has some thousands
# for all its sessions, so this leaves room for others.
_BATCH = 50
_PASSES = 5
_SHOWN = 20

_RENAMED_PUBLIC = """
SELECT quote_ident(nspname) FROM pg_namespace
 WHERE oid = 2200 AND NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'public')
"""

_MAY_CREATE_PUBLIC = """
SELECT has_database_privilege(current_database(), 'CREATE')
 WHERE NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'public')
"""

_HAS_SCHEMA = "SELECT 1 FROM pg_namespace WHERE nspname = %s"

# As initdb makes it. Before PostgreSQL 15 it belongs to the superuser of initdb, so that an
# ordinary role can only have it for itself.
_PUBLIC_COMMENT = "COMMENT ON SCHEMA public IS 'standard public schema'"
_PUBLIC = (
    "CREATE SCHEMA public AUTHORIZATION pg_database_owner",
    _PUBLIC_COMMENT,
    "GRANT USAGE ON SCHEMA public TO PUBLIC",
)
_PUBLIC_BEFORE_15 = (
    "CREATE SCHEMA public",
    _PUBLIC_COMMENT,
    "GRANT ALL ON SCHEMA public TO PUBLIC",
)


def drop_everything(
    control: Control, extensions: Optional[Extensions] = None
) -> List[Tuple[str, str]]:
    """Drop every object of the connected database that is not the system's or an extension's.

    Each batch is a transaction of its own. Nothing is dropped or emptied through a foreign table
    or server, and no publisher is asked. The schema ``public`` stays, or is made again.

    :param control: the connection that drops; it was checked where that leads.
    :param extensions: what should be installed: others are dropped and missing ones created; by
        default extensions are left as they are.
    :return: kinds and identities of what was dropped, as :func:`inventory` gives them.
    :raises ConfigurationError: something is left that the role may not drop.
    :raises Exception: the driver's errors, where a lock was not to be had in time, where a
        deadlock came back three times, or where the connection was lost.
    """
    renamed = _renamed_public(control)
    if renamed:
        _run(renamed, control)
    found = dropped = find_objects(control, extensions)
    for _ in range(_PASSES):
        if not found:
            break
        refused: Dict[str, Exception] = {}
        for start in range(0, len(found), _BATCH):
            batch = found[start : start + _BATCH]
            refused.update(_run([one.statement for one in batch], control))
        before, found = found, find_objects(control, extensions)
        if set(before) <= set(found):
            break
    if found:
        raise ConfigurationError(_what_is_left(control, found, refused))
    for statement in _missing_public(control):
        control.execute(statement)
    if extensions:
        _create_extensions(control, extensions)
    return [(one.kind, one.identity) for one in dropped]


def lacking_public(control: Control) -> List[str]:
    """Return the statements that make the schema ``public``, where it is renamed or dropped."""
    return _renamed_public(control) or _missing_public(control)


def _renamed_public(control: Control) -> List[str]:
    # Renamed back, it keeps owner, privileges, comment and extensions.
    rows = control.execute(_RENAMED_PUBLIC)
    return ["ALTER SCHEMA %s RENAME TO public" % name for (name,) in rows]


def _missing_public(control: Control) -> List[str]:
    statements = _PUBLIC if control.server_version >= 150000 else _PUBLIC_BEFORE_15
    may_create = control.execute(_MAY_CREATE_PUBLIC) == [(True,)]
    return [";\n".join(statements)] if may_create else []


def _run(statements: Sequence[str], control: Control) -> Dict[str, Exception]:
    """Run statements in one transaction; where that fails, each half in one of its own.

    :return: those that were refused.
    """
    for last_time in (False, False, True):
        try:
            control.execute(";\n".join(statements))
            return {}
        except Exception as error:
            failure = error
            if _compat.sqlstate(error) != DEADLOCK or last_time:
                break
    state = _compat.sqlstate(failure)
    if state is None or state.startswith(NOT_ABOUT_OBJECTS):
        raise failure
    if len(statements) == 1:
        return {statements[0]: failure}
    middle = len(statements) // 2
    refused = _run(statements[:middle], control)
    refused.update(_run(statements[middle:], control))
    return refused


def _create_extensions(control: Control, extensions: Extensions) -> None:
    installed = installed_extensions(control)
    for name in sorted(set(extensions) - set(installed)):
        statement, place = "CREATE EXTENSION IF NOT EXISTS %s" % quoted(name), extensions[name]
        try:
            if place is not None:
                schema, version = map(quoted, place)
                if not control.execute(_HAS_SCHEMA, [place[0]]):
                    control.execute("CREATE SCHEMA %s" % schema)
                statement += " SCHEMA %s VERSION %s" % (schema, version)
            control.execute(statement + " CASCADE")
        except Exception as error:
            if _compat.sqlstate(error) is None:
                raise
            raise ConfigurationError(
                "the extension {0} is gone from database {1} and cannot be created again: {2}.\n"
                "  Let a role that may run: CREATE EXTENSION {0}".format(
                    quoted(name), '"%s"' % control.name, _first_line(error)
                )
            ) from None


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]


def _what_is_left(
    control: Control, found: Sequence[FoundObject], refused: Dict[str, Exception]
) -> str:
    ((role,),) = control.execute("SELECT current_user")
    lines = []
    for one in found[:_SHOWN]:
        owner = " of role %s" % one.owner if one.owner else ""
        error = refused.get(one.statement)
        reason = _first_line(error) if error else "it is there again after it was dropped"
        lines.append("  %s %s%s: %s" % (one.kind, one.identity, owner, reason))
    if len(found) > _SHOWN:
        lines.append("  ... and %d more" % (len(found) - _SHOWN))
    owners = sorted({one.owner for one in found if one.owner} - {role})
    return (
        "cannot drop everything in %s as role %s, %d left:\n%s\n"
        "  Drop them as %s, or let the tests connect as a role that may."
        % (
            '"%s"' % control.name,
            role,
            len(found),
            "\n".join(lines),
            " and ".join(owners) or "their owner",
        )
    )
