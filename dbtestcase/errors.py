"""Defines every error that dbtestcase raises on purpose."""


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


for _error in list(DatabaseTestCaseError.__subclasses__()) + [DatabaseTestCaseError]:
    _error.__module__ = "dbtestcase"  # tracebacks show the public name
del _error
