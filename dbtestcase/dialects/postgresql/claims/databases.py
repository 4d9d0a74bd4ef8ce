"""Databases of a server: is there one of this name, make it, and which are its siblings."""

from __future__ import annotations

import re
from typing import List

from .... import _compat
from ..catalog import properties
from ..sessions.control import Control
from .family import number_of

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


def ensure_database(control: Control, name: str, options: str = "") -> bool:
    """Create a database where there is none of this name.

    :param control: a connection to any database of the server.
    :param name: the database; text longer than the server's limit is cut as the server cuts it.
    :param options: what follows the name in the statement.
    :return: whether it was created.
    """
    for last_time in (False, False, True):
        if exists(control, name):
            return False
        try:
            control.execute("CREATE DATABASE %s %s" % (_quoted(name), options))
            return True
        except Exception as error:
            if exists(control, name):
                return False  # another process created it between our two statements
            if last_time or _compat.sqlstate(error) not in _BUSY:
                raise
    return False


def create_like(control: Control, name: str) -> bool:
    """Create a database with the locale and the settings of the connected one, unless it is there.

    :param control: a connection to the database that it is to be like.
    :return: whether it was created.
    """
    ((options,),) = control.execute(_LIKE)
    if not ensure_database(control, name, options):
        return False
    ((own,),) = control.execute("SELECT quote_ident(current_database())")
    for made in properties(control):
        for subject in ("ALTER DATABASE %s SET ", "IN DATABASE %s SET "):
            if subject % own in made:
                control.execute(made.replace(subject % own, subject % _quoted(name), 1))
    return True


def siblings(control: Control, name: str) -> List[str]:
    """Return the names of a database and of its numbered siblings: ``app_test``, ``app_test_2``.

    :param control: a connection to any database of the server.
    :param name: that of one of them.
    """
    names = [found for (found,) in control.execute("SELECT datname::text FROM pg_database")]
    stem = re.sub(r"_\d+\Z", "", name)
    base = stem if stem in names and number_of(name, stem) else name
    return sorted(found for found in names if number_of(found, base))


def exists(control: Control, name: str) -> bool:
    """Tell whether the server has a database of a name."""
    return bool(control.execute("SELECT 1 FROM pg_database WHERE datname = %s::name", [name]))


def _quoted(name: str) -> str:
    return '"%s"' % name.replace('"', '""')
