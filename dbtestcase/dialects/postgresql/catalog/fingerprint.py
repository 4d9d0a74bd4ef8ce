"""Tells by a fingerprint of the catalog whether it changed, and what became of its objects.

One statement asks every system catalog how many rows it has, and how many of them are of
transactions that were not over when the fingerprint was taken. A change of the catalog either adds
versions of rows, and these carry the id of a newer transaction, or it takes rows away: no newer row
and the same number of rows means the same rows. This holds as long as no older transaction of this
database was still open when the fingerprint was taken, which is made sure of there.

Rows that were written and say the same are no change: hashes of what the catalogs say tell.

Not covered: roles, tablespaces and settings of the whole cluster, which a new database would
share too, and the contents of tables, sequences and large objects, which the base line looks after.
"""

from __future__ import annotations

from typing import Dict, Iterable, List, Optional, Set, Tuple

from ..sessions import Control, Snapshot, all_over, one_snapshot, settled

# Ordinary work writes the first ones: statistics, large objects, which the base line looks after,
# the state of subscriptions. The others say nothing of one database, or hold what is asked below.
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

_SQL = "SELECT ARRAY[\n{parts}\n]::text[]"

# Columns in which the server keeps house: where a table is stored, what it last counted there.
_HOUSEKEEPING = {
    "pg_class": "relfilenode relpages reltuples relallvisible relallfrozen relhasindex relhasrules"
    " relhastriggers relhassubclass relfrozenxid relminmxid".split(),
    "pg_attribute": ["atthasmissing", "attmissingval"],
    "pg_index": ["indcheckxmin"],
}

# The catalogs that storage and temporary objects touch, with the condition that tells temporary
# rows: temporary objects end with their session, and it is not the reset that ends sessions.
_TEMPORARY_SCHEMA = "(SELECT oid FROM pg_namespace WHERE nspname ~ '^pg_(toast_)?temp_')"
_TEMPORARY_TABLE = "(SELECT oid FROM pg_class WHERE relpersistence = 't')"
_OF_TABLE = {
    "pg_class": "oid",
    "pg_attribute": "attrelid",
    "pg_attrdef": "adrelid",
    "pg_constraint": "conrelid",
    "pg_index": "indrelid",
    "pg_inherits": "inhrelid",
    "pg_rewrite": "ev_class",
    "pg_sequence": "seqrelid",
    "pg_trigger": "tgrelid",
}
_TEMPORARY = {name: "%s IN %s" % (col, _TEMPORARY_TABLE) for name, col in _OF_TABLE.items()}
_TEMPORARY["pg_namespace"] = "nspname ~ '^pg_(toast_)?temp_'"
_TEMPORARY["pg_type"] = "typnamespace IN " + _TEMPORARY_SCHEMA
_TEMPORARY["pg_depend"] = """EXISTS (SELECT FROM (
    SELECT 'pg_class'::regclass AS k, oid AS o FROM pg_class WHERE relpersistence = 't'
    UNION ALL SELECT 'pg_namespace'::regclass, oid FROM pg_namespace
               WHERE nspname ~ '^pg_(toast_)?temp_'
    UNION ALL SELECT 'pg_type'::regclass, oid FROM pg_type WHERE typnamespace IN {schema}
    UNION ALL SELECT 'pg_attrdef'::regclass, oid FROM pg_attrdef WHERE adrelid IN {table}
    UNION ALL SELECT 'pg_constraint'::regclass, oid FROM pg_constraint WHERE conrelid IN {table}
    UNION ALL SELECT 'pg_rewrite'::regclass, oid FROM pg_rewrite WHERE ev_class IN {table}
    UNION ALL SELECT 'pg_trigger'::regclass, oid FROM pg_trigger WHERE tgrelid IN {table}
  ) temporary WHERE k = c.classid AND o = c.objid)""".format(
    schema=_TEMPORARY_SCHEMA, table=_TEMPORARY_TABLE
)

_COLUMNS = """
SELECT attrelid::regclass::text, array_agg(quote_ident(attname) ORDER BY attnum)
  FROM pg_attribute WHERE attrelid = ANY ('{%s}'::regclass[]) AND attnum > 0 AND NOT attisdropped
 GROUP BY attrelid
"""

# Two sums of 64 bits with different seeds, as the rows come in no order.
_CONTENTS = """
SELECT '{catalog}', concat_ws(':', count(*), sum(hashtextextended(t, 1)::numeric),
                              sum(hashtextextended(t, 2)::numeric))
  FROM (SELECT ROW({columns})::text AS t FROM pg_catalog.{catalog} c WHERE NOT ({temporary})) x
"""

_OBJECTS = """
SELECT 'pg_class', c.oid::text, CASE relkind WHEN 'v' THEN 'view' WHEN 'S' THEN 'sequence'
         WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table' WHEN 'c' THEN 'type'
         WHEN 'i' THEN 'index' WHEN 'I' THEN 'index' ELSE 'table' END,
       n.nspname::text, relname::text
  FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
 WHERE c.oid >= 16384 AND relpersistence <> 't' AND relkind <> 't'
UNION ALL SELECT 'pg_type', t.oid::text, 'type', n.nspname, typname
  FROM pg_type t JOIN pg_namespace n ON n.oid = typnamespace
 WHERE t.oid >= 16384 AND typtype IN ('d', 'e', 'r') AND n.nspname !~ '^pg_(toast_)?temp_'
UNION ALL SELECT 'pg_proc', p.oid::text, 'function', n.nspname, proname
  FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace WHERE p.oid >= 16384
UNION ALL SELECT 'pg_namespace', oid::text, 'schema', 'public', nspname FROM pg_namespace
 WHERE nspname !~ '^pg_(toast_)?temp_'
UNION ALL SELECT 'pg_extension', oid::text, 'extension', 'public', extname FROM pg_extension
"""

# The column that tells which object a row of a catalog belongs to.
_OBJECT_COLUMN = dict(
    _OF_TABLE, pg_policy="polrelid", pg_statistic_ext="stxrelid", pg_enum="enumtypid"
)
_OWN_OBJECTS = ("pg_type", "pg_proc", "pg_namespace", "pg_extension")
_OBJECT_COLUMN.update(dict.fromkeys(_OWN_OBJECTS, "oid"))

_NEW_ROWS = """
SELECT '{catalog}', {column}::text FROM pg_catalog.{catalog}
 WHERE age(xmin) <= age('{mark}'::xid)
"""

_KINDS = ("table", "view", "materialized view", "foreign table", "type", "function", "schema")
_SHOWN = 3

Key = Tuple[str, str]  # a catalog, and the object's id in it
Objects = Dict[Key, str]  # kind and name, as a sentence has them


class Fingerprint:
    """What the catalog of a database was, and whether it still is.

    :param control: the connection to ask by; each later one serves as well.
    :raises BlockedDatabaseError: if a transaction stays open in this database.
    """

    def __init__(self, control: Control) -> None:
        names = "ARRAY['%s']::name[]" % "','".join(_LEFT_OUT)
        catalogs: List[str] = [name for (name,) in control.execute(_CATALOGS % names)]
        parts = [_PART.format(catalog="pg_catalog." + name) for name in catalogs]
        parts += [_SHARED_PART.format(sql=sql.format(own=_OWN)) for sql in _SHARED.values()]
        self._sql = _SQL.format(parts=",\n".join(parts))
        self._names = catalogs + list(_SHARED)
        columns = dict(control.execute(_COLUMNS % ",".join(catalogs)))
        self._contents_sql = {name: _contents_sql(name, columns[name]) for name in catalogs}
        with settled(control) as snapshot:
            self._remember(control, snapshot)
            self._contents = self._read(control, [n for n in catalogs if n in _TEMPORARY])
            self._objects = _objects(control)

    def changes(self, control: Control) -> Optional[str]:
        """Compare the catalog with what it was.

        TRUNCATE, REINDEX, REFRESH, VACUUM FULL, ANALYZE and temporary tables write to the catalog
        and leave it saying the same: then the fingerprint is taken anew.

        :return: ``None`` if it says the same, else a sentence that tells what changed.
        """
        if not self._moved(control):
            return None
        with one_snapshot(control) as snapshot:
            moved = self._moved(control)
            before = self._contents
            now = self._read(control, [name for name in moved if name in before])
            changed = [name for name in moved if name not in before]
            changed += [name for name in now if now[name] != before[name]]
            if changed:
                return self._sentence(control, changed)
            if all_over(control, snapshot):
                self._remember(control, snapshot)
        return None

    def _remember(self, control: Control, snapshot: Snapshot) -> None:
        self._mark = snapshot.mark
        ((self._parts,),) = control.execute(control.execution(self._sql, "text", self._mark))

    def _moved(self, control: Control) -> List[str]:
        """Return the names of the catalogs that were written."""
        ((parts,),) = control.execute(control.execution(self._sql, "text", self._mark))
        together = zip(self._names, self._parts, parts)
        return [name for name, before, now in together if before != now]

    def _read(self, control: Control, catalogs: Iterable[str]) -> Dict[str, str]:
        """Return a hash of what each of the catalogs says, the order of rows aside."""
        sql = " UNION ALL ".join(self._contents_sql[name] for name in catalogs)
        return dict(control.execute(sql)) if sql else {}

    def _sentence(self, control: Control, catalogs: List[str]) -> str:
        """Say what became of the objects, where these catalogs changed."""
        before, now = self._objects, _objects(control)
        changes = ["%s was created" % now[key] for key in now if key not in before]
        changes += ["%s was dropped" % before[key] for key in before if key not in now]
        changes += [
            "%s was renamed to %s" % (before[key], now[key])
            for key in before
            if key in now and before[key] != now[key]
        ]
        if not changes:
            changes = ["%s was changed" % now[key] for key in self._written(control, catalogs, now)]
        # A new table brings indexes and sequences of its own, which go without saying.
        changes = sorted({each for each in changes if each.startswith(_KINDS)} or set(changes))
        changes = changes or ["the catalog %s changed" % ", ".join(catalogs)]
        more = "; and %d more" % (len(changes) - _SHOWN) if len(changes) > _SHOWN else ""
        return "; ".join(changes[:_SHOWN]) + more

    def _written(self, control: Control, catalogs: List[str], objects: Objects) -> Set[Key]:
        """Return those of the objects that new rows of the catalogs belong to."""
        parts = [
            _NEW_ROWS.format(catalog=name, column=_OBJECT_COLUMN[name], mark=self._mark)
            for name in catalogs
            if name in _OBJECT_COLUMN
        ]
        found = set()
        for catalog, oid in control.execute(" UNION ALL ".join(parts)) if parts else []:
            kind = "pg_type" if catalog == "pg_enum" else catalog
            found.add((kind if kind in _OWN_OBJECTS else "pg_class", oid))
        return found & set(objects)


def _contents_sql(catalog: str, columns: List[str]) -> str:
    kept = [name for name in columns if name not in _HOUSEKEEPING.get(catalog, ())]
    return _CONTENTS.format(
        catalog=catalog,
        columns=", ".join("c." + name for name in kept),
        temporary=_TEMPORARY.get(catalog, "false"),
    )


def _objects(control: Control) -> Objects:
    return {
        (catalog, oid): '%s "%s"' % (kind, name if schema == "public" else schema + "." + name)
        for catalog, oid, kind, schema, name in control.execute(_OBJECTS)
    }
