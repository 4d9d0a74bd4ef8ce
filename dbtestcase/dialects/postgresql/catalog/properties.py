"""What belongs to a database beside its objects: owners, comments, settings and privileges."""

from __future__ import annotations

from typing import Dict, List, NamedTuple

from ..sessions.control import Control


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
       AND (d.classoid IN ('pg_extension'::regclass, 'pg_language'::regclass)
            OR d.classoid = 'pg_namespace'::regclass AND (o.name = 'public' OR d.objoid < 16384))
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
# '+' was granted, '-' was revoked.
_PRIVILEGES = """
WITH thing (classid, objid, attname, owner, acl, normal) AS (
    SELECT tableoid, oid, NULL, datdba, datacl, acldefault('d', datdba)
      FROM pg_database WHERE datname = current_database() AND datacl IS NOT NULL
    UNION ALL
    SELECT tableoid, oid, NULL, nspowner, nspacl, acldefault('n', nspowner)
      FROM pg_namespace WHERE nspacl IS NOT NULL
    UNION ALL
    SELECT tableoid, oid, NULL, relowner, relacl,
           acldefault(CASE relkind WHEN 'S' THEN 's'::"char" ELSE 'r' END, relowner)
      FROM pg_class WHERE relacl IS NOT NULL
    UNION ALL
    SELECT c.tableoid, c.oid, attname, relowner, attacl, acldefault('c', relowner)
      FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid WHERE attacl IS NOT NULL
    UNION ALL
    SELECT tableoid, oid, NULL, proowner, proacl, acldefault('f', proowner)
      FROM pg_proc WHERE proacl IS NOT NULL
    UNION ALL
    SELECT tableoid, oid, NULL, typowner, typacl, acldefault('T', typowner)
      FROM pg_type WHERE typacl IS NOT NULL
    UNION ALL
    SELECT tableoid, oid, NULL, lanowner, lanacl, acldefault('l', lanowner)
      FROM pg_language WHERE lanacl IS NOT NULL
    UNION ALL
    SELECT tableoid, oid, NULL, fdwowner, fdwacl, acldefault('F', fdwowner)
      FROM pg_foreign_data_wrapper WHERE fdwacl IS NOT NULL
), kept AS (
    SELECT * FROM thing
     WHERE objid < 16384 OR classid = 'pg_database'::regclass
        OR classid = 'pg_namespace'::regclass AND objid = to_regnamespace('public')
        OR EXISTS (SELECT FROM pg_depend d WHERE d.classid = thing.classid
                      AND d.objid = thing.objid AND d.objsubid = 0 AND d.deptype = 'e')
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
    facts += _granted(control, _PRIVILEGES) + default_privileges(control)
    return {fact.make: fact for fact in facts}


def restore_properties(control: Control, recorded: Properties) -> List[str]:
    """Give the database the properties that it had.

    :param control: the connection that changes them.
    :param recorded: what :func:`properties` returned.
    :return: the statements that would still be needed and that the role may not run; objects that
        they name may be gone, too.
    """
    needed = _needed(control, recorded)
    for _ in range(len(needed)):  # some succeed after others alone
        for statement in needed:
            _attempt(control, statement)
        before, needed = needed, _needed(control, recorded)
        if not set(before) - set(needed):
            break
    return needed


def default_privileges(control: Control) -> List[Fact]:
    """Return what ``ALTER DEFAULT PRIVILEGES`` has changed."""
    return _granted(control, _DEFAULT_PRIVILEGES)


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


def _needed(control: Control, recorded: Properties) -> List[str]:
    current = properties(control)
    unmake = [fact.unmake for make, fact in current.items() if make not in recorded]
    return list(filter(None, unmake)) + [make for make in recorded if make not in current]


def _attempt(control: Control, statement: str) -> None:
    try:
        control.execute(statement)
    except Exception:  # what is still needed afterwards tells
        pass
