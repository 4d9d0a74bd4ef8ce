"""Creates databases of a server, and lists and drops the numbered siblings of one."""

from __future__ import annotations

import re
from typing import Iterable, List, Optional

from .... import _compat
from ....contracts import Member
from ..sessions import LOCK, Control, quoted
from .claiming import COPYING, copying
from .copying import drop_alone

# Somebody is connected to the template, or creates a database of this name and was slow.
_BUSY = ("55006", "55P03")

# A template other than template1 is needed for another locale than it has.
_LIKE = """
WITH kind AS (
    SELECT datname, format('ENCODING %L LC_COLLATE %L LC_CTYPE %L',
                           pg_encoding_to_char(encoding), datcollate, datctype)
           || CASE to_jsonb(d) ->> 'datlocprovider'
              WHEN 'i' THEN format(' LOCALE_PROVIDER icu ICU_LOCALE %L',
                                   coalesce(to_jsonb(d) ->> 'datlocale',
                                            to_jsonb(d) ->> 'daticulocale'))
              WHEN 'b' THEN format(' LOCALE_PROVIDER builtin BUILTIN_LOCALE %L',
                                   to_jsonb(d) ->> 'datlocale')
              ELSE '' END AS options
      FROM pg_database d
)
SELECT CASE WHEN own.options <> usual.options THEN 'TEMPLATE template0 ' || own.options ELSE '' END
  FROM kind own, kind usual
 WHERE own.datname = current_database() AND usual.datname = 'template1'
"""

MAXIMUM = 1001  # the highest number that a run gives

_NAMES = "SELECT datname::text FROM pg_database WHERE datallowconn AND NOT datistemplate"

# Locks of every database are in the one view. The size is shown to whom the server shows it.
_MEMBERS = """
SELECT DISTINCT ON (d.datname) d.datname::text,
       CASE WHEN has_database_privilege(d.oid, 'CONNECT') THEN pg_database_size(d.oid) END,
       (SELECT count(*)::int FROM pg_stat_activity a
         WHERE a.datid = d.oid AND a.usesysid IS NOT NULL AND a.pid <> pg_backend_pid()),
       h.pid, h.application_name, host(h.client_addr),
       extract(epoch FROM clock_timestamp() - h.backend_start)::float8
  FROM pg_database d
  LEFT JOIN (pg_locks l JOIN pg_stat_activity h USING (pid))
    ON l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 AND l.pid <> pg_backend_pid()
   AND ((l.classid, l.objid) = {lock} AND l.database = d.oid
        OR (l.classid, l.objid) = ({copying}, d.oid))
 WHERE d.datname = ANY (%s::name[])
""".format(lock=LOCK, copying=COPYING)


def ensure_database(control: Control, name: str, options: str = "") -> bool:
    """Create a database where there is none of this name.

    :param control: a connection to any database of the server.
    :param name: the database; text longer than the server's limit is cut as the server cuts it.
    :param options: what follows the name in the statement.
    :return: whether it was created.
    """
    for last_time in (False, False, True):
        if _exists(control, name):
            return False
        try:
            control.execute("CREATE DATABASE %s %s" % (quoted(name), options))
            return True
        except Exception as error:
            if _exists(control, name):
                return False  # another process created it between our two statements
            if last_time or _compat.sqlstate(error) not in _BUSY:
                raise
    return False


def create_like(control: Control, name: str, properties: Iterable[str]) -> bool:
    """Create a database with the locale and the settings of the connected one, unless it is there.

    :param control: a connection to the database that it is to be like.
    :param properties: the statements that make that one's properties.
    :return: whether it was created.
    """
    ((options,),) = control.execute(_LIKE)
    if not ensure_database(control, name, options):
        return False
    ((own,),) = control.execute("SELECT quote_ident(current_database())")
    for made in properties:
        for subject in ("ALTER DATABASE %s SET ", "IN DATABASE %s SET "):
            if subject % own in made:
                control.execute(made.replace(subject % own, subject % quoted(name), 1))
    return True


def _exists(control: Control, name: str) -> bool:
    """Tell whether the server has a database of a name."""
    return bool(control.execute("SELECT 1 FROM pg_database WHERE datname = %s::name", [name]))


# --- siblings ------------------------------------------------------------------------------------


def number_of(name: str, base: str) -> Optional[int]:
    """Return the number of a sibling; 1 for the database itself, ``None`` for any other one."""
    if name == base:
        return 1
    match = re.match(r"%s_([1-9]\d{0,3})\Z" % re.escape(base), name)
    number = int(match.group(1)) if match else 0
    return number if 2 <= number <= MAXIMUM else None


def siblings(control: Control, name: str) -> List[str]:
    """Return the names of a database and of its numbered siblings: ``app_test``, ``app_test_2``.

    :param control: a connection to any database of the server.
    :param name: that of one of them.
    """
    names = [found for (found,) in control.execute("SELECT datname::text FROM pg_database")]
    stem = re.sub(r"_\d+\Z", "", name)
    base = stem if stem in names and number_of(name, stem) else name
    return sorted(found for found in names if number_of(found, base))


def members(control: Control, base: str) -> List[Member]:
    """Return a database and the siblings that are there, by their numbers.

    :param control: a connection to any database of the server.
    :param base: the database that is configured.
    """
    names = [name for (name,) in control.execute(_NAMES) if number_of(name, base)]
    found = [Member(*row) for row in control.execute(_MEMBERS, [names])]
    return sorted(found, key=lambda member: number_of(member.name, base) or 0)


def drop_unused(control: Control, name: str, base: str) -> Optional[str]:
    """Drop a sibling that no run has; return why it was left where it was.

    Meanwhile no run takes it, as while one copies it: who finds it so goes on to the next. Without
    FORCE the server itself refuses to drop what somebody is connected to; and a run that comes a
    moment too late finds it missing, and creates it again.

    :param control: a connection to another database of the server.
    """
    if name == base or not number_of(name, base):
        return "it is no sibling"
    rows = control.execute("SELECT oid FROM pg_database WHERE datname = %s::name", [name])
    if not rows:
        return "it is gone already"
    try:
        with copying(control, int(rows[0][0])):
            found = control.execute(_MEMBERS, [[name]])
            if not found:
                return "it is gone already"
            member = Member(*found[0])
            if member.pid is not None:
                return "a run has it"
            return drop_alone(control, name, member.sessions)
    except Exception as error:  # of the driver
        return str(error).strip().splitlines()[0]
