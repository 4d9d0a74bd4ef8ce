"""A pooler (PgBouncer) between the tests and the server; each test starts one of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
import unittest

import sqlalchemy as sa

from dbtestcase import DatabaseTestCase, _compat
from tests import models, support

PGBOUNCER = shutil.which("pgbouncer", path=os.environ.get("PATH", "") + ":/usr/sbin")
CONFIGURATION = """\
[databases]
* = {server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
logfile = {folder}/log
pidfile = {folder}/pid
ignore_startup_parameters = extra_float_digits
pool_mode = {mode}
server_round_robin = {round_robin}
"""
TEXT = """\
ConfigurationError: a pooler in transaction mode stands between the tests and the server, at %s:\
 statements that follow each other reach different sessions there, so connect to the server itself,\
 or give the pooler pool_mode = session for the tests.
  Nothing was touched."""


@unittest.skipUnless(PGBOUNCER, "needs pgbouncer")
class PoolerTest(support.Outcomes):
    def setUp(self):
        url = support.postgresql_url("core_pooler_test")
        self.look = sa.create_engine(url, poolclass=sa.pool.NullPool)
        raw = self.look.raw_connection()
        self.parts = _compat.connection_parts(_compat.dbapi_connection(raw))
        raw.close()
        self.password = sa.engine.url.make_url(url).password
        self.models = models.plain_library()

    def pooler(self, mode, round_robin=0):
        """Start a pooler as an ordinary user; return a URL of the database by way of it."""
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        host = self.parts["host"] or "127.0.0.1"
        server = "host=%s port=%s user=%s" % (host, self.parts["port"], self.parts["username"])
        if self.password:
            server += " password=%s" % self.password
        configuration = os.path.join(folder, "pgbouncer.ini")
        with open(configuration, "w") as file:
            file.write(CONFIGURATION.format(**dict(locals(), server=server)))
        command = [PGBOUNCER, "-q", configuration]
        if os.getuid() == 0:  # which it refuses: so as who has the server, or as nobody
            owner = os.stat(host).st_uid if host.startswith("/") else 0
            user = pwd.getpwuid(owner) if owner else pwd.getpwnam("nobody")
            os.chown(folder, user.pw_uid, user.pw_gid)
            command[1:1] = ["-u", user.pw_name]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.02)
        return _compat.url_with(
            self.look.url, host="127.0.0.1", port=port, query={}, password="secret"
        )

    def case(self, engine):
        Author = self.models.Author

        class OrderTest(DatabaseTestCase):
            metadata = self.models.Base

            def test_one(self):
                self.session.add(Author(name="a"))
                self.session.commit()
                self.assertRowCount(Author, 1)
                self.session.execute(sa.text("SELECT 1"))  # in a transaction that is left open

            test_two = test_one

        OrderTest.engine = engine
        return OrderTest

    def assertRefused(self, url):
        message = self.message_of(self.case(url))
        self.assertEqual(message, TEXT % _compat.url_text(url, hide_password=True))
        self.assertNotIn("secret", message)
        with self.look.connect() as connection:
            tables = sa.text("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
            self.assertEqual(connection.execute(tables).scalar(), 0)

    def test_transaction_mode_is_refused(self):
        self.assertRefused(self.pooler("transaction"))

    def test_transaction_mode_by_turns_among_many_sessions_is_refused(self):
        url = self.pooler("transaction", round_robin=1)
        engines = [sa.create_engine(url, poolclass=sa.pool.NullPool) for _ in range(4)]
        connections = [engine.connect() for engine in engines]
        for connection in connections:  # each in a session of its own
            connection.execute(sa.text("SELECT 1"))
        for connection in connections:
            connection.close()
        self.assertRefused(url)

    def test_transaction_mode_while_others_are_at_work_is_refused(self):
        url = self.pooler("transaction")
        engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
        with engine.connect() as connection:
            connection.execute(sa.text("SELECT 1"))
            self.assertRefused(url)

    def test_statement_mode_is_refused(self):
        url = self.pooler("statement")
        engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
        self.addCleanup(engine.dispose)
        try:
            engine.connect().close()
        except sa.exc.DBAPIError as error:
            if "statement pooling mode" not in str(error):
                self.skipTest("SQLAlchemy is not told why it gets no connection")
        message = self.message_of(self.case(engine))
        self.assertEqual(message, TEXT % _compat.url_text(url, hide_password=True))

    def test_session_mode_is_as_no_pooler(self):
        self.assertPasses(self.case(self.pooler("session")))
