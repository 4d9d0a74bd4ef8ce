"""What a running test's connections are set to: a name that tells, a bound on their waits."""

from __future__ import annotations

from typing import Any, Tuple

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
            " pg_catalog.set_config('lock_timeout',"
            " CASE WHEN extract(epoch from current_setting('lock_timeout')::interval) * 1000"
            " BETWEEN 1 AND %d THEN pg_catalog.current_setting('lock_timeout') ELSE '%dms' END,"
            " false)"
            " AS new_lock_timeout,"
            " pg_catalog.set_config('synchronous_commit',"
            " CASE pg_catalog.current_setting('synchronous_commit') WHEN 'off' THEN 'off'"
            " ELSE 'local' END, false) AS new_synchronous_commit"
            % (_literal(_cut(name)), milliseconds, milliseconds)
        )

    @staticmethod
    def rename(name: str) -> str:
        """Return the statement that gives a settled session the name of another test."""
        return "SET application_name = %s" % _literal(_cut(name))

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
