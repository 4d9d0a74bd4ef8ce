"""Lists what is in a database beside the system's and its extensions' own: objects and properties.

Objects are what a reset drops. Properties (owners, comments, settings, privileges) belong to what
no reset drops, and are given back after it.
"""

from __future__ import annotations

from typing import Callable, Collection, Dict, List, Mapping, NamedTuple, Optional, Tuple

from .... import _compat
from ..sessions import Control

DEADLOCK = "40P01"
#: What says nothing about the object that a statement is about: lost connections, waits that took
#: too long, a server that shuts down or is full.
NOT_ABOUT_OBJECTS = ("08", "55P03", "57", "53100", DEADLOCK)

# --- objects -------------------------------------------------------------------------------------

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
    unwanted = []
    if extensions is not None:
        for name, found in installed_extensions(control).items():
            if name not in extensions or extensions[name] not in (None, found):
                unwanted.append(name)
    rows = control.execute(_INVENTORY, [unwanted, unwanted])
    granted = [
        Found("default privileges", fact.make, None, fact.unmake)
        for fact in _granted(control, _DEFAULT_PRIVILEGES)
        if fact.mine
    ]
    return granted + [
        Found(kind, identity, owner, _statement(kind, identity)) for kind, identity, owner in rows
    ]


def installed_extensions(control: Control) -> Dict[str, Tuple[str, str]]:
    """Return the installed extensions, each with its schema and version."""
    return {name: (schema, version) for name, schema, version in control.execute(_EXTENSIONS)}


def _statement(kind: str, identity: str) -> str:
    if kind == "subscription":
        return _DROP_SUBSCRIPTION.format(identity).strip()
    if kind == "replication slot":
        return "SELECT pg_drop_replication_slot(%s)" % identity
    if kind == "large object":
        return "SELECT lo_unlink(%s)" % identity
    return "DROP %s IF EXISTS %s CASCADE" % (_KEYWORDS.get(kind, kind.upper()), identity)


# --- properties ----------------------------------------------------------------------------------


class Fact(NamedTuple):
    """A property of the database as the statements that make and unmake it."""

    make: str
    unmake: str  # empty where another fact takes its place
    mine: bool = True  # whether the role may change it


# Lists of names are stored as they are written in SQL, every other value as bare text. The server
# keeps this list in guc.c (GUC_LIST_QUOTE), pg_dump has a copy of it.
_OWNERS_COMMENTS_SETTINGS = """
WITH own AS (
    SELECT oid, quote_ident(datname) AS name, datdba, datconnlimit, datistemplate
      FROM pg_database WHERE datname = current_database()
), setting AS (
    SELECT CASE setrole WHEN 0 THEN 'ALTER DATABASE ' || own.name
                ELSE format('ALTER ROLE %I IN DATABASE %s', pg_get_userbyid(setrole), own.name)
           END AS subject,
           split_part(entry, '=', 1) AS name, substr(entry, strpos(entry, '=') + 1) AS value
      FROM own JOIN pg_db_role_setting ON setdatabase = own.oid, unnest(setconfig) AS entry
), comment AS (
    SELECT format('COMMENT ON DATABASE %s IS ', own.name) AS subject, description
      FROM own JOIN pg_shdescription d ON d.objoid = own.oid
     WHERE d.classoid = 'pg_database'::regclass
    UNION ALL
    SELECT format('COMMENT ON %s %s IS ', o.type, o.identity), description
      FROM pg_description d, pg_identify_object(d.classoid, d.objoid, 0) o
     WHERE d.objsubid = 0
       AND d.classoid IN ('pg_extension'::regclass, 'pg_language'::regclass,
                          'pg_namespace'::regclass)
       AND (d.classoid <> 'pg_namespace'::regclass OR o.name = 'public' OR d.objoid < 16384)
)
SELECT format('ALTER DATABASE %s OWNER TO %I', name, pg_get_userbyid(datdba)), '' FROM own
UNION ALL
SELECT format('ALTER DATABASE %s CONNECTION LIMIT %s', name, datconnlimit), '' FROM own
UNION ALL
SELECT format('ALTER DATABASE %s IS_TEMPLATE %s', name, datistemplate::text), '' FROM own
UNION ALL
SELECT format('ALTER SCHEMA %I OWNER TO %I', nspname, pg_get_userbyid(nspowner)), ''
  FROM pg_namespace WHERE nspname = 'public'
UNION ALL
SELECT subject || quote_literal(description), subject || 'NULL' FROM comment
UNION ALL
SELECT format('%s SET %s TO %s', subject, name,
              CASE WHEN value <> '' AND name IN (
                  'local_preload_libraries', 'search_path', 'session_preload_libraries',
                  'shared_preload_libraries', 'temp_tablespaces', 'unix_socket_directories')
              THEN value ELSE quote_literal(value) END),
       format('%s RESET %s', subject, name)
  FROM setting
"""

# Privileges of what no reset drops, as far as they differ from those that such objects begin with:
# '+' was granted, '-' was revoked. The system's and extensions' objects begin with what initdb and
# CREATE EXTENSION gave them; the schema "public" need not be the one that initdb made.
_PRIVILEGES = """
WITH thing (classid, objid, objsubid, attname, acl, usual) AS (
    SELECT tableoid, oid, 0, NULL, datacl, acldefault('d', datdba)
      FROM pg_database WHERE datname = current_database() AND datacl IS NOT NULL
    UNION ALL
    SELECT tableoid, oid, 0, NULL, nspacl, acldefault('n', nspowner)
      FROM pg_namespace WHERE nspacl IS NOT NULL
    UNION ALL
    SELECT tableoid, oid, 0, NULL, relacl,
           acldefault(CASE relkind WHEN 'S' THEN 's'::"char" ELSE 'r' END, relowner)
      FROM pg_class WHERE relacl IS NOT NULL
    UNION ALL
    SELECT c.tableoid, c.oid, attnum, attname, attacl, acldefault('c', relowner)
      FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid WHERE attacl IS NOT NULL
    UNION ALL
    SELECT tableoid, oid, 0, NULL, proacl, acldefault('f', proowner)
      FROM pg_proc WHERE proacl IS NOT NULL
    UNION ALL
    SELECT tableoid, oid, 0, NULL, typacl, acldefault('T', typowner)
      FROM pg_type WHERE typacl IS NOT NULL
    UNION ALL
    SELECT tableoid, oid, 0, NULL, lanacl, acldefault('l', lanowner)
      FROM pg_language WHERE lanacl IS NOT NULL
    UNION ALL
    SELECT tableoid, oid, 0, NULL, fdwacl, acldefault('F', fdwowner)
      FROM pg_foreign_data_wrapper WHERE fdwacl IS NOT NULL
), kept AS (
    SELECT classid, objid, attname, acl, coalesce(initprivs, usual) AS normal
      FROM thing LEFT JOIN pg_init_privs i
        ON (i.classoid, i.objoid, i.objsubid) = (classid, objid, thing.objsubid)
       AND NOT (classid = 'pg_namespace'::regclass AND objid = 2200)
     WHERE acl IS DISTINCT FROM coalesce(initprivs, usual)
       AND (objid < 16384 OR classid = 'pg_database'::regclass
            OR classid = 'pg_namespace'::regclass AND objid = to_regnamespace('public')
            OR EXISTS (SELECT FROM pg_depend d WHERE d.classid = thing.classid
                          AND d.objid = thing.objid AND d.objsubid = 0 AND d.deptype = 'e'))
), entry AS (
    SELECT '+' AS sign, classid, objid, attname, e.* FROM kept, {explode_acl} EXCEPT
    SELECT '+', classid, objid, attname, e.* FROM kept, {explode_normal}
    UNION ALL (
    SELECT '-', classid, objid, attname, e.* FROM kept, {explode_normal} EXCEPT
    SELECT '-', classid, objid, attname, e.* FROM kept, {explode_acl})
)
SELECT sign,
       privilege_type || coalesce(' (' || quote_ident(attname) || ')', ''),
       CASE WHEN classid = 'pg_proc'::regclass THEN 'ROUTINE '
            WHEN classid = 'pg_foreign_data_wrapper'::regclass THEN 'FOREIGN DATA WRAPPER '
            WHEN classid = 'pg_class'::regclass AND o.type <> 'sequence' THEN 'TABLE '
            ELSE o.type || ' ' END
       || coalesce((SELECT format('%I.%I', nspname, typname)  -- GRANT knows no "integer"
                      FROM pg_type t JOIN pg_namespace n ON n.oid = typnamespace
                     WHERE t.tableoid = classid AND t.oid = objid), o.identity),
       CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
       is_grantable, '', true
  FROM entry, pg_identify_object(classid, objid, 0) o WHERE o.identity IS NOT NULL
"""

_DEFAULT_PRIVILEGES = """
WITH kept AS (
    SELECT d.*, defaclacl AS acl, defaclrole AS owner,
           CASE defaclnamespace WHEN 0 THEN acldefault(
               CASE defaclobjtype WHEN 'S' THEN 's'::"char" ELSE defaclobjtype END, defaclrole)
           ELSE acldefault('c', defaclrole) END AS normal  -- a column begins with none
      FROM pg_default_acl d
     WHERE NOT EXISTS (SELECT FROM pg_depend m WHERE m.classid = d.tableoid AND m.objid = d.oid
                          AND m.deptype = 'e')
), entry AS (
    SELECT '+' AS sign, defaclrole, defaclnamespace, defaclobjtype, e.*
      FROM kept, {explode_acl} EXCEPT
    SELECT '+', defaclrole, defaclnamespace, defaclobjtype, e.* FROM kept, {explode_normal}
    UNION ALL (
    SELECT '-', defaclrole, defaclnamespace, defaclobjtype, e.* FROM kept, {explode_normal} EXCEPT
    SELECT '-', defaclrole, defaclnamespace, defaclobjtype, e.* FROM kept, {explode_acl})
)
SELECT sign, privilege_type,
       CASE defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES'
                          WHEN 'f' THEN 'ROUTINES' WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS'
                          ELSE 'LARGE OBJECTS' END,
       CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
       is_grantable,
       format('ALTER DEFAULT PRIVILEGES FOR ROLE %I%s ', pg_get_userbyid(defaclrole),
              (SELECT format(' IN SCHEMA %I', nspname)
                 FROM pg_namespace WHERE oid = defaclnamespace)),
       pg_has_role(defaclrole, 'USAGE')
  FROM entry
"""

_EXPLODED = {
    "explode_" + column: "LATERAL (SELECT grantee, privilege_type, is_grantable"
    " FROM aclexplode(%s)) e" % column
    for column in ("acl", "normal")
}

#: The properties of a database, by the statements that make them.
Properties = Dict[str, Fact]


def properties(control: Control) -> Properties:
    """Return what a database has beside its objects, to be given back after a reset.

    That is: its owner, comment, connection limit and settings (also those of roles in it), owner,
    comment and privileges of its schema ``public``, default privileges, privileges on the system's
    and extensions' objects, and comments on extensions and languages.

    :param control: the connection that looks.
    """
    facts = [Fact(make, unmake) for make, unmake in control.execute(_OWNERS_COMMENTS_SETTINGS)]
    facts += _granted(control, _PRIVILEGES) + _granted(control, _DEFAULT_PRIVILEGES)
    return {fact.make: fact for fact in facts}


def restore_properties(control: Control, recorded: Collection[str]) -> List[str]:
    """Give the database the properties that it had.

    :param control: the connection that changes them.
    :param recorded: what :func:`properties` returned; the statements alone will do.
    :return: the statements that would still be needed and that the role may not run; objects that
        they name may be gone, too.
    :raises Exception: the driver's errors, where they are about no statement: a lock that was not
        to be had in time, a connection that was lost.
    """
    return give_back(control, lambda: lacking_properties(control, recorded))


def give_back(control: Control, lacking: Callable[[], List[str]]) -> List[str]:
    """Run the statements that are needed as long as that makes them fewer.

    :param control: the connection that runs them.
    :param lacking: looks which statements are needed.
    :return: those that are needed still.
    :raises Exception: the driver's errors, where they are about no statement.
    """
    needed = lacking()
    for _ in range(len(needed)):  # some succeed after others alone
        for statement in needed:
            try:
                control.execute(statement)
            except Exception as error:  # what is still needed afterwards tells
                state = _compat.sqlstate(error)
                if state is None or state.startswith(NOT_ABOUT_OBJECTS):
                    raise
        before, needed = needed, lacking()
        if not set(before) - set(needed):
            break
    return needed


def _granted(control: Control, query: str) -> List[Fact]:
    facts = []
    for sign, privilege, subject, grantee, grantable, prefix, mine in control.execute(
        query.format(**_EXPLODED)
    ):
        grant = "%sGRANT %s ON %s TO %s" % (prefix, privilege, subject, grantee)
        grant += " WITH GRANT OPTION" if grantable else ""
        revoke = "%sREVOKE %s ON %s FROM %s CASCADE" % (prefix, privilege, subject, grantee)
        facts.append(Fact(grant, revoke, mine) if sign == "+" else Fact(revoke, grant, mine))
    return facts


def lacking_properties(control: Control, recorded: Collection[str]) -> List[str]:
    """Return the statements that give the database the properties that it had."""
    current = properties(control)
    unmake = [fact.unmake for make, fact in current.items() if make not in recorded]
    return list(filter(None, unmake)) + [make for make in recorded if make not in current]
