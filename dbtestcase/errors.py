"""Defines every error that dbtestcase raises on purpose, and what the texts of errors share."""


class DatabaseTestCaseError(Exception):
    """The root of all errors of this package."""


class ConfigurationError(DatabaseTestCaseError):
    """The suite is set up in a way that cannot work; the text says what to change."""


class UnsafeDatabaseError(DatabaseTestCaseError):
    """The live connection leads to a database that is not known to be for tests."""


class UnsupportedDatabaseError(DatabaseTestCaseError):
    """The database is of a kind that cannot be reset; nothing was touched."""


class BlockedDatabaseError(DatabaseTestCaseError):
    """Something holds what the reset needs; the text names the holder."""


class ServerError(DatabaseTestCaseError):
    """A PostgreSQL server could not be found, started or reached."""


def count(number: int, noun: str, plural: str = "") -> str:
    """Return a number of things: ``1 table``, ``3 indexes``, ``2 queries``.

    :param plural: the plural, where it is not made as in these.
    """
    if number == 1:
        return "1 " + noun
    if not plural:
        ending = "es" if noun.endswith(("s", "x")) else "ies" if noun.endswith("y") else "s"
        plural = (noun[:-1] if ending == "ies" else noun) + ending
    return "%d %s" % (number, plural)


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, its kind where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


for _error in list(DatabaseTestCaseError.__subclasses__()) + [DatabaseTestCaseError]:
    _error.__module__ = "dbtestcase"  # tracebacks show the public name
del _error
