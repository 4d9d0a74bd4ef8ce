"""What changed in the catalog? Rows that were written and say the same are no change."""

from __future__ import annotations

from typing import Dict, Iterable, List, Optional, Set, Tuple

from ..sessions import Control

# Columns in which the server keeps house: where a table is stored, what it last counted there.
_HOUSEKEEPING = {
    "pg_class": {
        "relfilenode",
        "relpages",
        "reltuples",
        "relallvisible",
        "relallfrozen",
        "relhasindex",
        "relhasrules",
        "relhastriggers",
        "relhassubclass",
        "relfrozenxid",
        "relminmxid",
    },
    "pg_attribute": {"atthasmissing", "attmissingval"},
    "pg_index": {"indcheckxmin"},
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
_CONTENT = """
SELECT '{catalog}', concat_ws(':', count(*), sum(hashtextextended(t, 1)::numeric),
                              sum(hashtextextended(t, 2)::numeric))
  FROM (SELECT ROW({columns})::text AS t FROM pg_catalog.{catalog} c WHERE NOT ({temporary})) x
"""

_NAMED = """
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

# Which named thing a written row of a catalog belongs to.
_BELONGS = dict(_OF_TABLE, pg_policy="polrelid", pg_statistic_ext="stxrelid", pg_enum="enumtypid")
_SELF = ("pg_type", "pg_proc", "pg_namespace", "pg_extension")
_BELONGS.update(dict.fromkeys(_SELF, "oid"))

_WRITTEN = """
SELECT '{catalog}', {column}::text FROM pg_catalog.{catalog}
 WHERE age(xmin) <= age('{mark}'::xid)
"""

_KINDS = ("table", "view", "materialized view", "foreign table", "type", "function", "schema")
_SHOWN = 3

Named = Dict[Tuple[str, str], Tuple[str, str]]


class Objects:
    """What the objects of a database were, to tell what became of them."""

    def __init__(self, control: Control, catalogs: Iterable[str]) -> None:
        columns = dict(control.execute(_COLUMNS % ",".join(catalogs)))
        self._sql = {name: _content_sql(name, columns[name]) for name in catalogs}
        self._contents = self.contents(control, [n for n in catalogs if n in _TEMPORARY])
        self._named = _named(control)

    def contents(self, control: Control, catalogs: Iterable[str]) -> Dict[str, str]:
        """Return a hash of what each of the catalogs says, the order of rows aside."""
        sql = " UNION ALL ".join(self._sql[name] for name in catalogs)
        return dict(control.execute(sql)) if sql else {}

    def changes(self, control: Control, moved: List[str], mark: str) -> Optional[str]:
        """Return a sentence on what became of the objects, or ``None`` if nothing did.

        :param moved: the catalogs that were written.
        :param mark: the first transaction id that may have written.
        """
        other = [name for name in moved if name not in self._contents]
        contents = self.contents(control, [name for name in moved if name in self._contents])
        changed = other + [name for name in contents if contents[name] != self._contents[name]]
        return self._sentence(control, changed, mark) if changed else None

    def _sentence(self, control: Control, changed: List[str], mark: str) -> str:
        before, now = self._named, _named(control)
        told = ["%s was created" % _words(now[key]) for key in now if key not in before]
        told += ["%s was dropped" % _words(before[key]) for key in before if key not in now]
        for key in before:
            if key in now and before[key] != now[key]:
                told.append("%s was renamed to %s" % (_words(before[key]), _words(now[key])))
        if not told:
            told = ["%s was changed" % words for words in _written(control, changed, mark, now)]
        told = _first_things_first(told) or ["the catalog %s changed" % ", ".join(changed)]
        more = "; and %d more" % (len(told) - _SHOWN) if len(told) > _SHOWN else ""
        return "; ".join(told[:_SHOWN]) + more


def _content_sql(catalog: str, columns: List[str]) -> str:
    kept = [name for name in columns if name not in _HOUSEKEEPING.get(catalog, ())]
    return _CONTENT.format(
        catalog=catalog,
        columns=", ".join("c." + name for name in kept),
        temporary=_TEMPORARY.get(catalog, "false"),
    )


def _named(control: Control) -> Named:
    return {(r[0], r[1]): (r[2], _name(r[3], r[4])) for r in control.execute(_NAMED)}


def _name(schema: str, name: str) -> str:
    return name if schema == "public" else "%s.%s" % (schema, name)


def _words(named: Tuple[str, str]) -> str:
    return '%s "%s"' % named


def _written(control: Control, changed: List[str], mark: str, named: Named) -> Set[str]:
    """Return the words for the objects that newer rows of the catalogs belong to."""
    parts = [
        _WRITTEN.format(catalog=name, column=_BELONGS[name], mark=mark)
        for name in changed
        if name in _BELONGS
    ]
    rows = control.execute(" UNION ALL ".join(parts)) if parts else []
    found = set()
    for catalog, oid in rows:
        kind = "pg_type" if catalog == "pg_enum" else catalog
        key = (kind if kind in _SELF else "pg_class", oid)
        if key in named:
            found.add(_words(named[key]))
    return found


def _first_things_first(told: Iterable[str]) -> List[str]:
    """Leave out indexes and sequences beside tables: a new table brings its own."""
    first = {words for words in told if words.startswith(_KINDS)}
    return sorted(first or set(told))
