"""The servers that are measured on: private ones, so that nobody else is at work on them."""

from __future__ import annotations

import os
from typing import Any

import sqlalchemy as sa

from dbtestcase.server import temporary

from . import placing

DURABLE = {"fsync": True, "full_page_writes": True, "synchronous_commit": True}


class Server:
    """A private PostgreSQL server.

    :param fsync: whether it is as durable as one in production, or as fast as one for tests.
    :param shared: whether it shares one processor with those who measure it.
    """

    def __init__(self, fsync: bool, shared: bool = False) -> None:
        os.environ.pop(temporary.VARIABLE, None)
        placing.anywhere()
        url = temporary.temporary_postgresql(database="postgres", settings=DURABLE if fsync else {})
        self.fsync = fsync
        self._url = sa.engine.make_url(url).set(drivername="postgresql+psycopg2")
        self._engine = sa.create_engine(self._url, isolation_level="AUTOCOMMIT")
        postmaster = int(self.run("SELECT split_part(pg_read_file('postmaster.pid'), chr(10), 1)"))
        placing.place(postmaster, placing.together() if shared else placing.apart())
        self._engine.dispose()

    @property
    def version(self) -> str:
        """PostgreSQL's version, as ``15.18``."""
        return str(self.run("SHOW server_version")).split()[0]

    def run(self, statement: str) -> Any:
        """Run a statement outside of any transaction; return the first value, if there is one."""
        with self._engine.connect() as connection:
            result = connection.execute(sa.text(statement))
            return result.scalar() if result.returns_rows else None

    def database(self, name: str) -> Any:
        """Return the URL of a new and empty database."""
        self.run("DROP DATABASE IF EXISTS %s WITH (FORCE)" % name)
        self.run("DROP DATABASE IF EXISTS %s_template WITH (FORCE)" % name)
        self.run("CREATE DATABASE %s" % name)
        return self._url.set(database=name).render_as_string(hide_password=False)

    def settle(self) -> None:
        """Have the server write what is to be written before something else is measured."""
        self.run("CHECKPOINT")

    def close(self) -> None:
        """End the server."""
        self._engine.dispose()
        temporary.stop_servers()
