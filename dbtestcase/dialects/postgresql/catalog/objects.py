"""What a database holds that is neither the system's nor an extension's, read from its catalogs."""

from __future__ import annotations

from typing import Dict, List, Mapping, NamedTuple, Optional, Tuple

from ..sessions import Control
from .properties import default_privileges

#: What a database should have installed: names of extensions, each with its schema and version,
#: or with ``None`` where any will do.
Extensions = Mapping[str, Optional[Tuple[str, str]]]

# The catalogs of objects that DROP knows, beside relations and schemas. What belongs to a table
# (columns, constraints, indexes, triggers, rules, policies) goes with it.
_CATALOGS = (
    "pg_am pg_cast pg_collation pg_conversion pg_foreign_data_wrapper pg_foreign_server"
    " pg_language pg_opclass pg_operator pg_opfamily pg_proc pg_publication pg_statistic_ext"
    " pg_transform pg_ts_config pg_ts_dict pg_ts_parser pg_ts_template pg_type"
).split()

# initdb numbers its objects below 16384; the schema "public" has the number 2200 in every database.
# Dependencies say the rest: 'e' is a member of an extension, 'i' a part of something else (an array
# type, the type of a table's rows), 'a' goes with something else (a sequence with its column).
# Partitions go with their parents too, but are listed: with thousands of them one DROP of the
# parent needs more locks than a server has. Children come before parents and the young before the
# old for the same reason: CASCADE then finds little left to lock.
# Who may not create schemas has not created the ones there are: they are how the database came.
_INVENTORY = """
WITH candidate (classid, objid, rank, is_child, is_table) AS (
    SELECT tableoid, oid, 0, false, false FROM pg_event_trigger WHERE oid >= 16384
    UNION ALL
    SELECT tableoid, oid, 2, EXISTS (SELECT FROM pg_inherits WHERE inhrelid = pg_class.oid),
           relkind IN ('r', 'p', 'f')
      FROM pg_class
     WHERE oid >= 16384 AND relkind IN ('r', 'p', 'f', 'v', 'm', 'S') AND relpersistence <> 't'
    UNION ALL
    {others}
    UNION ALL
    SELECT tableoid, oid, 5, false, false FROM pg_namespace n
     WHERE (oid >= 16384 OR oid = 2200) AND nspname <> 'public' AND nspname !~ '^pg_'
       AND has_database_privilege(current_database(), 'CREATE')
       AND NOT EXISTS (
           SELECT FROM pg_depend d
             LEFT JOIN pg_depend m
               ON (m.classid, m.objid, m.deptype) = (d.classid, d.objid, 'e')
             JOIN pg_extension x
               ON x.oid = CASE d.classid WHEN x.tableoid THEN d.objid ELSE m.refobjid END
            WHERE d.refclassid = n.tableoid AND d.refobjid = n.oid
              AND x.extname <> ALL (%s::text[]))
), object (kind, identity, owner, rank, is_child, objid) AS (
    SELECT o.type, o.identity,
           CASE WHEN o.type NOT IN ('cast', 'transform') THEN pg_get_userbyid(coalesce((
               SELECT refobjid FROM pg_shdepend s
                WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
                  AND s.classid = c.classid AND s.objid = c.objid AND s.deptype = 'o'), 10)) END,
           c.rank, c.is_child, c.objid
      FROM candidate c CROSS JOIN LATERAL pg_identify_object(c.classid, c.objid, 0) o
     WHERE o.identity IS NOT NULL AND (o.schema ~ '^pg_(temp|toast)') IS NOT TRUE
       AND NOT EXISTS (
           SELECT FROM pg_depend d
            WHERE d.classid = c.classid AND d.objid = c.objid AND d.objsubid = 0
              AND (d.deptype IN ('e', 'i') OR d.deptype = 'a' AND NOT c.is_table
                   AND (d.refclassid, d.refobjid) IN (SELECT classid, objid FROM candidate)))
    UNION ALL
    SELECT 'subscription', quote_ident(subname), pg_get_userbyid(subowner), 1, false, 0
      FROM pg_subscription
     WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
    UNION ALL
    SELECT 'replication slot', quote_literal(slot_name), NULL, 3, false, 0
      FROM pg_replication_slots
     WHERE database = current_database() AND slot_type = 'logical' AND NOT active
       AND (SELECT rolsuper OR rolreplication FROM pg_roles WHERE rolname = current_user)
    UNION ALL
    SELECT 'large object', oid::text, pg_get_userbyid(lomowner), 3, false, oid
      FROM pg_largeobject_metadata
    UNION ALL
    SELECT 'extension', quote_ident(extname), pg_get_userbyid(extowner), 4, false, oid
      FROM pg_extension WHERE extname = ANY (%s::text[])
)
SELECT kind, identity, owner FROM object ORDER BY rank, is_child DESC, objid DESC
""".replace(
    "{others}",
    "\n    UNION ALL\n    ".join(
        "SELECT tableoid, oid, 3, false, false FROM %s WHERE oid >= 16384" % catalog
        for catalog in _CATALOGS
    ),
)

_EXTENSIONS = """
SELECT extname, nspname, extversion
  FROM pg_extension x JOIN pg_namespace n ON n.oid = x.extnamespace ORDER BY extname
"""

# What pg_identify_object() calls otherwise than DROP does.
_KEYWORDS = {
    "aggregate": "ROUTINE",
    "foreign-data wrapper": "FOREIGN DATA WRAPPER",
    "function": "ROUTINE",
    "procedure": "ROUTINE",
    "statistics object": "STATISTICS",
}

# Without a slot nothing is asked of the publisher, but for copies of tables that are under way; a
# connection that fails at once ends those too.
_DROP_SUBSCRIPTION = """
ALTER SUBSCRIPTION {0} DISABLE;
ALTER SUBSCRIPTION {0} CONNECTION 'host=/nonexistent dbname=nowhere password=none';
ALTER SUBSCRIPTION {0} SET (slot_name = NONE);
DROP SUBSCRIPTION {0}
"""


class Found(NamedTuple):
    """An object of the database and how to be rid of it."""

    kind: str
    identity: str  # quoted and qualified, as a statement needs it
    owner: Optional[str]
    statement: str  # dropping what went with something else already is no error


def inventory(control: Control, extensions: Optional[Extensions] = None) -> List[Tuple[str, str]]:
    """Return every object of the connected database that a reset would drop, whoever made it.

    Members of extensions and the schema ``public`` are not among them, nor is what goes with
    another object (a sequence that a column owns, an array type); temporary objects neither.

    :param control: the connection that looks.
    :param extensions: what should be installed, all other extensions are listed; by default
        extensions are left as they are.
    :return: kinds (``table``, ``function``) and quoted, qualified identities, in dropping order.
    """
    return [(found.kind, found.identity) for found in look(control, extensions)]


def look(control: Control, extensions: Optional[Extensions] = None) -> List[Found]:
    """Return the same with owners and statements."""
    unwanted = [] if extensions is None else _unwanted(installed_extensions(control), extensions)
    rows = control.execute(_INVENTORY, [unwanted, unwanted])
    granted = [
        Found("default privileges", fact.make, None, fact.unmake)
        for fact in default_privileges(control)
        if fact.mine
    ]
    return granted + [
        Found(kind, identity, owner, _statement(kind, identity)) for kind, identity, owner in rows
    ]


def installed_extensions(control: Control) -> Dict[str, Tuple[str, str]]:
    """Return the installed extensions, each with its schema and version."""
    return {name: (schema, version) for name, schema, version in control.execute(_EXTENSIONS)}


def _unwanted(installed: Extensions, wanted: Extensions) -> List[str]:
    return [
        name
        for name, found in installed.items()
        if name not in wanted or wanted[name] not in (None, found)
    ]


def _statement(kind: str, identity: str) -> str:
    if kind == "subscription":
        return _DROP_SUBSCRIPTION.format(identity).strip()
    if kind == "replication slot":
        return "SELECT pg_drop_replication_slot(%s)" % identity
    if kind == "large object":
        return "SELECT lo_unlink(%s)" % identity
    return "DROP %s IF EXISTS %s CASCADE" % (_KEYWORDS.get(kind, kind.upper()), identity)
