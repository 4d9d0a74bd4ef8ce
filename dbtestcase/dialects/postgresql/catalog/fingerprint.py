"""Has the catalog changed? One statement over every system catalog tells, whoever changed it.

Of each catalog it takes how many rows there are, and how many of them are of transactions that
were not over when the fingerprint was taken. A change of the catalog either adds versions of rows,
and these carry the id of a newer transaction, or it takes rows away: no newer row and the same
number of rows means the same rows. This holds as long as no older transaction of this database was
still open when the fingerprint was taken, which is made sure of there.

Not covered: roles, tablespaces and settings of the whole cluster, which a new database would
share too, and the contents of tables, sequences and large objects, which rows.py looks after.
"""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Optional

from ..sessions import Control, Snapshot, all_over, one_snapshot, settled
from .changes import Objects

# Ordinary work writes the first ones: statistics, large objects (rows.py looks after them), the
# state of subscriptions. The others say nothing of one database, or hold what is asked below.
_LEFT_OUT = (
    "pg_statistic",
    "pg_statistic_ext_data",
    "pg_largeobject",
    "pg_largeobject_metadata",
    "pg_subscription_rel",
    "pg_user_mapping",
)

_CATALOGS = """
SELECT relname::text FROM pg_class
 WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r' AND NOT relisshared
   AND has_table_privilege(oid, 'SELECT') AND relname <> ALL (%s)
 ORDER BY relname
"""

# The age of a row that was made when the cluster was, or is frozen since long, is the highest.
_PART = """(SELECT count(*) || coalesce(min(age(c.xmin)) <= (SELECT age($1::xid)), false)::text
  FROM {catalog} c)"""

# What shared catalogs say of this database: a few rows, taken whole. A change made from another
# database may still be open, so that the ids of its rows alone would not do.
_OWN = "(SELECT oid FROM pg_database WHERE datname = current_database())"
_SHARED = {
    "pg_database": "SELECT d.xmin::text AS t FROM pg_database d" " WHERE d.oid = {own}",
    "pg_shdescription": "SELECT d.xmin::text AS t FROM pg_shdescription d"
    " WHERE d.classoid = 'pg_database'::regclass AND d.objoid = {own}",
    "pg_db_role_setting": "SELECT s.xmin::text AS t FROM pg_db_role_setting s"
    " WHERE s.setdatabase = {own} OR s.setdatabase = 0 AND s.setrole IN"
    " (0, (SELECT oid FROM pg_roles WHERE rolname = current_user))",
    "pg_user_mappings": "SELECT m::text AS t FROM pg_user_mappings m",
    "pg_subscription": "SELECT ROW(oid, subname, subowner, subenabled, subslotname,"
    " subpublications)::text AS t FROM pg_subscription WHERE subdbid = {own}",
    "pg_replication_slots": "SELECT slot_name::text AS t FROM pg_replication_slots"
    " WHERE database = current_database()",
    "pg_prepared_xacts": "SELECT gid AS t FROM pg_prepared_xacts"
    " WHERE database = current_database()",
}
_SHARED_PART = "(SELECT coalesce(string_agg(t, ',' ORDER BY t COLLATE \"C\"), '') FROM ({sql}) x)"

_SQL = "SELECT pg_current_snapshot()::text, ARRAY[\n{parts}\n]::text[]"


class Seen(NamedTuple):
    """The catalog as one statement saw it."""

    snapshot: Snapshot
    parts: List[str]


class Fingerprint:
    """What the catalog of a database was, and whether it still is.

    :param control: the connection to ask by; each later one serves as well.
    :raises BlockedDatabaseError: if a transaction stays open in this database.
    """

    def __init__(self, control: Control) -> None:
        names = "ARRAY['%s']::name[]" % "','".join(_LEFT_OUT)
        self.catalogs: List[str] = [name for (name,) in control.execute(_CATALOGS % names)]
        parts = [_PART.format(catalog="pg_catalog." + name) for name in self.catalogs]
        parts += [_SHARED_PART.format(sql=sql.format(own=_OWN)) for sql in _SHARED.values()]
        self._sql = _SQL.format(parts=",\n".join(parts))
        self._names = self.catalogs + list(_SHARED)
        with settled(control) as snapshot:
            self._remember(control, snapshot)
            self._objects = Objects(control, self.catalogs)

    def look(self, control: Control, mark: Optional[str] = None) -> Seen:
        """Ask the server for the fingerprint of the catalog as it is now."""
        execution = control.execution(self._sql, "text", mark or self._mark)
        ((snapshot, parts),) = control.execute(execution)
        return Seen(Snapshot.read(snapshot), parts)

    def changes(self, control: Control) -> Optional[str]:
        """Compare the catalog with what it was.

        TRUNCATE, REINDEX, REFRESH, VACUUM FULL, ANALYZE and temporary tables write to the catalog
        and leave it saying the same: then the fingerprint is taken anew.

        :return: ``None`` if it says the same, else a sentence that tells what changed.
        """
        if not self._moved(self.look(control)):
            return None
        with one_snapshot(control) as snapshot:
            moved = self._moved(self.look(control))
            sentence = self._objects.changes(control, moved, self._mark)
            if sentence is None and all_over(control, snapshot):
                self._remember(control, snapshot)
        return sentence

    def _moved(self, seen: Seen) -> List[str]:
        """Return the names of the catalogs that are not as they were."""
        expected = zip(self._names, self._parts, seen.parts)
        return [name for name, before, now in expected if before != now]

    def _remember(self, control: Control, snapshot: Snapshot) -> None:
        self._mark = snapshot.mark
        self._parts = self.look(control).parts

    def contents(self, control: Control) -> Dict[str, str]:
        """Return a hash of what each catalog says, for a comparison that trusts no shortcut."""
        return self._objects.contents(control, self.catalogs)
