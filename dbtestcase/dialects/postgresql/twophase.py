"""Transactions of this database that were prepared (2PC): who prepared them, and their end."""

from __future__ import annotations

from typing import Any, List

from .locks import listed

# The name is the server's own, for all databases: two of one name are never there at a time.
_PREPARED_BY = """
SELECT p.gid FROM pg_catalog.pg_prepared_xacts p
  JOIN pg_catalog.pg_stat_activity a ON a.datname = p.database AND a.usename = p.owner
 WHERE p.database = pg_catalog.current_database() AND a.pid IN (%s)
   AND p.prepared BETWEEN a.query_start AND a.state_change
   AND a.query ~* 'prepare\\s+transaction'
   AND pg_catalog.strpos(a.query, pg_catalog.quote_literal(p.gid)) > 0
"""


def prepared_by(control: Any, pids: List[int]) -> List[str]:
    """Return the names of what backends have prepared, and have done nothing since."""
    return [gid for (gid,) in control.execute(_PREPARED_BY % listed(pids))]


def rollback_prepared(control: Any, gid: str) -> None:
    """End a prepared transaction of this database."""
    control.execute("ROLLBACK PREPARED '%s'" % gid.replace("'", "''"))
