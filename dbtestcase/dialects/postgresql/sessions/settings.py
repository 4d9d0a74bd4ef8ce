"""What a running test's connections are set to: a name that tells, a bound on their waits."""

from __future__ import annotations

import re
from typing import Any, Dict, Tuple

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


class Settings:
    """How a session is settled for a test, and set back."""

    #: Gives back whatever a session holds beside its transaction.
    discard = "DISCARD ALL"

    @staticmethod
    def settle(name: str, milliseconds: int) -> str:
        """Return the query that sets a session for a test; its row is what the session had.

        A shorter ``lock_timeout`` than the test's is kept. No commit waits for a synchronous
        standby, which may be lost: that wait ends at no timeout.
        """
        return (
            "SELECT pg_catalog.current_setting('application_name') AS name,"
            " pg_catalog.current_setting('lock_timeout') AS lock_timeout,"
            " pg_catalog.current_setting('synchronous_commit') AS synchronous_commit,"
            " pg_catalog.set_config('application_name', %s, false) AS new_name,"
            " %s AS new_lock_timeout,"
            " pg_catalog.set_config('synchronous_commit',"
            " CASE pg_catalog.current_setting('synchronous_commit') WHEN 'off' THEN 'off'"
            " ELSE 'local' END, false) AS new_synchronous_commit"
            % (_literal(_cut(name)), _BOUND.format(milliseconds, "false"))
        )

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
    def rename(name: str) -> str:
        """Return the statement that gives a settled session the name of another test."""
        return "SET application_name = %s" % _literal(_cut(name))

    @staticmethod
    def restore(before: Tuple[Any, ...]) -> str:
        """Return the statements that set back what :func:`settle` found."""
        return "; ".join(
            "SET %s = %s" % (setting, _literal(str(value)))
            for setting, value in zip(
                ("application_name", "lock_timeout", "synchronous_commit"), before
            )
        )


def _cut(name: str) -> str:
    return name.encode("ascii", "replace")[:_NAME_BYTES].decode("ascii")


def _literal(text: str) -> str:
    return "'%s'" % text.replace("\\", "/").replace("'", "''")
