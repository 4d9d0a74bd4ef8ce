"""Deferred constraints, which a commit checks and a savepoint does not."""

from __future__ import annotations

from typing import Any, Callable

# Which constraints can be deferred, and which of them are from the start. A name that also stands
# for another kind of constraint in its schema cannot be set back to deferred by itself.
_CONSTRAINTS = """
SELECT pg_catalog.format('%I.%I', n.nspname, c.conname), c.condeferred
  FROM pg_catalog.pg_constraint c JOIN pg_catalog.pg_namespace n ON n.oid = c.connamespace
 WHERE c.condeferrable AND NOT (c.condeferred AND EXISTS (
       SELECT 1 FROM pg_catalog.pg_constraint o
        WHERE o.connamespace = c.connamespace AND o.conname = c.conname AND NOT o.condeferred))
"""


def check_of(run: Callable[[str], Any]) -> str:
    """Return the statements that check deferred constraints and defer them again, as a commit does.

    Nothing where no constraint of the database can be deferred.

    :param run: runs a query and returns its rows.
    """
    found = run(_CONSTRAINTS)
    if not found:
        return ""
    check = "SET CONSTRAINTS ALL IMMEDIATE; "
    deferred = sorted({name for name, is_deferred in found if is_deferred})
    if deferred:
        check += "SET CONSTRAINTS %s DEFERRED; " % ", ".join(deferred)
    return check
