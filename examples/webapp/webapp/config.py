"""The configurations of the application.

``DATABASE_URL`` in the environment names the database to work with. Without it, and for the
tests always, the database is on a PostgreSQL server that lives as long as the process.
"""

import os


class TemporaryDatabase:
    """A database URL whose server is started when the URL is first read, not at import."""

    def __init__(self, name):
        self.name = name

    def __get__(self, instance, owner):
        from dbtestcase import temporary_postgresql

        return temporary_postgresql(database=self.name)


class Development:
    SQLALCHEMY_DATABASE_URI = os.environ.get("DATABASE_URL") or TemporaryDatabase(
        "webapp_development"
    )
    SQLALCHEMY_TRACK_MODIFICATIONS = False


class Testing(Development):
    TESTING = True
    SQLALCHEMY_DATABASE_URI = TemporaryDatabase("webapp_test")
