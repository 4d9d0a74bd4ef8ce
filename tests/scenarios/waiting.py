"""A test that waits for a server, until somebody ends the run; what for is WAITING_FOR."""

import importlib
import os
import sys
import threading
import time
import unittest

import sqlalchemy as sa

from dbtestcase import DatabaseTestCase

URL, WAITING_FOR = os.environ["WAITING_URL"], os.environ["WAITING_FOR"]
DRIVER = importlib.import_module(os.environ["WAITING_DRIVER"])
metadata = sa.MetaData()
table = sa.Table("child", metadata, sa.Column("id", sa.Integer))
SLEEP = "SELECT pg_sleep(30)"


def say(text):
    sys.__stderr__.write(text + "\n")
    sys.__stderr__.flush()


def raw():
    return DRIVER.connect("postgresql" + URL[URL.index("://") :]).cursor()


class WaitingTest(DatabaseTestCase):
    engine = URL
    metadata = metadata
    lock_timeout = 20.0
    allowed_databases = ("waiting_taken",)

    @classmethod
    def setUpClass(cls):
        if WAITING_FOR == "claim":
            say("begins")
        super().setUpClass()

    def create_tables(self):
        super().create_tables()
        if WAITING_FOR == "tables":
            say("waiting")
            with self.engine.connect() as connection:
                connection.execute(sa.text(SLEEP))

    def setUp(self):
        if self._testMethodName == "test_b" and WAITING_FOR == "reset":
            say("waiting")
        super().setUp()

    def test_a(self):
        if WAITING_FOR == "reset":
            say("lock it")
            sys.stdin.readline()
            return
        if WAITING_FOR == "nothing":
            say("has it")
            sys.stdin.readline()
            return
        self.session.execute(table.select()).fetchall()
        say("waiting")
        try:
            self.wait()
        except KeyboardInterrupt:
            say("interrupted")
            raise

    def wait(self):
        if WAITING_FOR == "raw lock":
            raw().execute("TRUNCATE child")
        elif WAITING_FOR == "lock":
            with self.engine.connect() as connection:
                connection.execute(sa.text("LOCK TABLE child"))
        elif WAITING_FOR == "query":
            self.session.execute(sa.text(SLEEP))
        elif WAITING_FOR == "raw query":
            raw().execute(SLEEP)
        elif WAITING_FOR == "thread":
            thread = threading.Thread(target=lambda: raw().execute(SLEEP))
            thread.start()
            thread.join()
        elif WAITING_FOR == "handler":
            self.handles()

    def handles(self):
        """A handler of the suite's own gets the signal, and the query goes on."""
        import signal

        got = []
        before = signal.signal(signal.SIGINT, lambda number, frame: got.append(number))
        try:
            self.session.execute(sa.text("SELECT pg_sleep(1.5)"))
        finally:
            signal.signal(signal.SIGINT, before)
        assert got == [signal.SIGINT], got
        time.sleep(0.1)

    def test_b(self):
        pass


if __name__ == "__main__":
    unittest.main()
