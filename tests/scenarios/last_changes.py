"""A run whose last test changes what it is told to, and may be the end of the process."""

import os
import signal
import sys
import unittest

import sqlalchemy as sa

from dbtestcase import DatabaseTestCase, _compat

metadata = sa.MetaData()
row = sa.Table("row", metadata, sa.Column("id", sa.Integer, primary_key=True))


def run(engine, variable):
    """Run statements past transactions, in autocommit."""
    raw = sa.create_engine(engine.url, poolclass=sa.pool.NullPool).raw_connection()
    try:
        dbapi = _compat.dbapi_connection(raw)
        if engine.dialect.name == "postgresql":
            _compat.set_autocommit(dbapi)
        cursor = dbapi.cursor()
        for statement in filter(None, os.environ.get(variable, "").split(";;")):
            cursor.execute(statement)
        cursor.close()
    finally:
        raw.close()


class LastTest(DatabaseTestCase):
    engine = os.environ["SHOP_URL"]
    metadata = metadata
    reset = os.environ.get("RESET", "recreate")
    recreate = os.environ.get("RECREATE", "verified")
    lock_timeout = float(os.environ.get("LOCK_TIMEOUT", "5"))

    def create_tables(self):
        run(self._dbtestcase_target.engines[None], "DECLARED")
        super().create_tables()

    def test_1_finds_it_as_it_should_be(self):
        engine = self.session.get_bind()
        if engine.dialect.name == "postgresql":
            self.assertEqual(os.environ.get("SEARCH_PATH", '"$user", public'), self.shown())

    def test_2_changes_it(self):
        run(self._dbtestcase_target.engines[None], "CHANGES")
        for statement in filter(None, os.environ.get("IN_SESSION", "").split(";;")):
            self.session.execute(sa.text(statement))
            self.session.commit()
        end = os.environ.get("END")
        if end == "stops":
            print("stops", flush=True)
            sys.stdin.readline()
        if end == "error":
            raise ValueError("of the test")
        if end == "interrupt":
            os.kill(os.getpid(), signal.SIGINT)
        if end == "exit":
            os._exit(7)
        if end in ("kill", "term"):
            os.kill(os.getpid(), getattr(signal, "SIG" + end.upper()))

    def shown(self):
        return self.session.execute(sa.text("SHOW search_path")).scalar()


if __name__ == "__main__":
    unittest.main()
