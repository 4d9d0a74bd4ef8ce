"""Says what connections of a test are set to, and what they are asked when the next one begins.

A session is given the name of a test and a bound on its waits. What it remembers of sequences is
discarded with every new name, in the same round trip. What functions may have left in it, which no
statement tells, is asked there as well: where the database has such functions, and only for what
they may leave.
"""

from __future__ import annotations

import json
import re
from typing import Any, Callable, Dict, List, Optional, Tuple

from ....connections import Lasting, Left, read_function

_BOUND = (
    "pg_catalog.set_config('lock_timeout',"
    " CASE WHEN extract(epoch from pg_catalog.current_setting('lock_timeout')::interval) * 1000"
    " BETWEEN 1 AND {0} THEN pg_catalog.current_setting('lock_timeout') ELSE '{0}ms' END, {1})"
)
_OWN_BOUND = re.compile(
    r"(?:-c\s*|--)lock[_-]timeout=(\d+(?:\.\d+)?)(us|ms|s|min|h|d|)(?=\s|$)", re.I
)
_UNITS = {"us": 0.001, "": 1, "ms": 1, "s": 1000, "min": 60000, "h": 3600000, "d": 86400000}
_UNBINDING = re.compile(r"lock_timeout|\bRESET\s+ALL\b|\bDISCARD\s+ALL\b", re.I)

_NAME_BYTES = 63  # as much as a server keeps of an application_name

# A session keeps values of a sequence in advance (CACHE), and what lastval() and currval() say.
# A list of statements like this one runs in one round trip; the discarding is next to nothing.
_DISCARD = "DISCARD SEQUENCES; "

# The bodies of functions, but of those in C; where a body is kept parsed (BEGIN ATOMIC), its text.
_FUNCTIONS = """
SELECT CASE WHEN p.prosrc = '' AND p.prokind <> 'a' THEN pg_get_functiondef(p.oid)
            ELSE p.prosrc END, coalesce(array_to_json(p.proargnames)::text, '[]')
  FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
 WHERE p.oid >= 16384 AND l.lanname NOT IN ('c', 'internal')
"""
# Expressions that call functions of the system's themselves: views, defaults, conditions.
_EXPRESSIONS = """
SELECT coalesce(bool_or(tree ~ (SELECT ':funcid (' || string_agg(oid::bigint::text, '|') || ') '
                                  FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace
                                   AND proname ~ %s)), false)
  FROM (SELECT ev_action::text FROM pg_rewrite WHERE ev_class >= 16384
        UNION ALL SELECT adbin::text FROM pg_attrdef
        UNION ALL SELECT conbin::text FROM pg_constraint WHERE conbin IS NOT NULL
        UNION ALL SELECT tgqual::text FROM pg_trigger WHERE tgqual IS NOT NULL
        UNION ALL SELECT concat(polqual::text, polwithcheck::text) FROM pg_policy) AS trees (tree)
"""
_CALLED = {Lasting.ANY_SETTING: "^set_config$", Lasting.LOCKED: "^pg_(try_)?advisory_lock"}
_SETTINGS = "SELECT lower(name) FROM pg_settings"
_UNLISTED = ("role",)  # settings that are not in pg_settings
_PLACEHOLDER = re.compile(r"[a-z_]\w*(?:\.[a-z_]\w*)+$")  # of the user's own: any with a dot
_OWN = "application_name"  # another one for each test

# What tells whether something was left, by its kind; all of it is the session's own.
_ASKED = {
    # No session tells the names of settings of the user's own: none is known to be as it was.
    Lasting.ANY_SETTING: "pg_catalog.clock_timestamp()::text",
    # From the first temporary object on; to look for what is left of them costs too much.
    Lasting.TEMPORARY: "pg_catalog.pg_my_temp_schema()::text",
    Lasting.LISTENING: "ARRAY(SELECT pg_catalog.pg_listening_channels() ORDER BY 1)::text",
    Lasting.HELD: """ARRAY(SELECT name FROM pg_catalog.pg_cursor()
  WHERE is_holdable ORDER BY 1)::text""",
    # Those that the driver prepares itself do not count.
    Lasting.PREPARED: """ARRAY(SELECT name FROM pg_catalog.pg_prepared_statement()
  WHERE from_sql ORDER BY 1)::text""",
}


class Settings:
    """How a session is settled for a test, and set back.

    :param left: what the functions of the database may leave in a session, nothing by default.
    """

    #: Gives back whatever a session holds beside its transaction.
    discard = "DISCARD ALL"

    def __init__(self, left: Optional[Left] = None) -> None:
        left = left or Left()
        #: Whether functions may take advisory locks that outlive their transaction.
        self.locks = Lasting.LOCKED in left.kinds
        asked = ["pg_catalog.current_setting('%s', true)" % name for name in sorted(left.settings)]
        asked += [sql for kind, sql in _ASKED.items() if kind in left.kinds]
        #: What is asked of a session when a test begins to use it: a list of columns, or nothing.
        self.question = ", ".join(asked)

    @classmethod
    def of(cls, execute: Callable[[str], List[Tuple[Any, ...]]]) -> "Settings":
        """Return those for a database with the functions that it has now.

        :param execute: runs a statement there and returns its rows.
        """
        left = Left()
        for source, arguments in execute(_FUNCTIONS):
            left |= read_function(source, json.loads(arguments))
        for kind, names in _CALLED.items():
            if execute(_EXPRESSIONS % _literal(names)) == [(True,)]:
                left |= Left(kinds=frozenset([kind]))
        if left.settings:
            known = {name for (name,) in execute(_SETTINGS)} - {_OWN}
            known.update(_UNLISTED)
            named = [name for name in left.settings if name in known or _PLACEHOLDER.match(name)]
            left = left._replace(settings=frozenset(named))
        return cls(left)

    def settle(self, name: str, milliseconds: int) -> str:
        """Return the query that sets a session for a test.

        Its row is what the session had, in three columns, and the answer to the question after six.
        A shorter ``lock_timeout`` than the test's is kept. No commit waits for a synchronous
        standby, which may be lost: that wait ends at no timeout.
        """
        return _DISCARD + (
            "SELECT pg_catalog.current_setting('application_name') AS name,"
            " pg_catalog.current_setting('lock_timeout') AS lock_timeout,"
            " pg_catalog.current_setting('synchronous_commit') AS synchronous_commit,"
            " pg_catalog.set_config('application_name', %s, false) AS new_name,"
            " %s AS new_lock_timeout,"
            " pg_catalog.set_config('synchronous_commit',"
            " CASE pg_catalog.current_setting('synchronous_commit') WHEN 'off' THEN 'off'"
            " ELSE 'local' END, false) AS new_synchronous_commit%s"
            % (
                _literal(_cut(name)),
                _BOUND.format(milliseconds, "false"),
                self._asked(", "),
            )
        )

    def rename(self, name: str) -> str:
        """Return the statements that give a settled session the name of another test.

        Their row, if there is a question, is the answer to it.
        """
        return "%sSET application_name = %s%s" % (
            _DISCARD,
            _literal(_cut(name)),
            self._asked("; SELECT "),
        )

    def _asked(self, before: str) -> str:
        return before + self.question if self.question else ""

    @staticmethod
    def bound(milliseconds: int, transaction: bool = False) -> str:
        """Return the query that bounds waits again, of a session or of its transaction alone."""
        return "SELECT " + _BOUND.format(milliseconds, "true" if transaction else "false")

    @staticmethod
    def at_start(milliseconds: int) -> Dict[str, str]:
        """Return the settings with which a session starts that is bounded from its beginning."""
        return {"lock_timeout": str(milliseconds)}

    @staticmethod
    def options(own: str, milliseconds: int) -> str:
        """Return what gives sessions this bound, beside the start options of the user's own.

        A shorter one among these is kept, so that nothing is returned.
        """
        given = _OWN_BOUND.findall(own)  # the last one counts
        if given and 1 <= float(given[-1][0]) * _UNITS[given[-1][1]] <= milliseconds:
            return ""
        return "-c lock_timeout=%d" % milliseconds

    @staticmethod
    def may_unbind(statement: str) -> bool:
        """Tell whether a statement may change the bound on a session's waits."""
        return bool(_UNBINDING.search(statement))

    @staticmethod
    def restore(before: Tuple[Any, ...]) -> str:
        """Return the statement that sets back what :func:`settle` found."""
        return "SELECT " + ", ".join(
            "pg_catalog.set_config('%s', %s, false) AS %s"
            % (setting, _literal(str(value)), setting)
            for setting, value in zip(
                ("application_name", "lock_timeout", "synchronous_commit"), before
            )
        )


def _cut(name: str) -> str:
    return name.encode("ascii", "replace")[:_NAME_BYTES].decode("ascii")


def _literal(text: str) -> str:
    return "'%s'" % text.replace("\\", "/").replace("'", "''")
