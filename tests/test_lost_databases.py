from __future__ import annotations

import contextlib
import signal
import threading
import unittest
import unittest.mock

import sqlalchemy as sa

from dbtestcase import DatabaseTestCase
from dbtestcase.databases import claims, safeguard
from dbtestcase.dialects.postgresql.sessions import LOCK
from tests import servers, support
from tests.claiming import Claims, library, output_of, said, scenario

HELD = """
SELECT pid FROM pg_locks JOIN pg_database d ON d.oid = database
 WHERE locktype = 'advisory' AND (classid, objid) = %s AND datname = '%%s'
""" % LOCK


class LostConnectionsTest(Claims):
    """What others do to the database of a run between its tests and classes."""

    database = "claims_lost_test"

    def setUp(self):
        self.url = support.postgresql_url(self.database)

    def case_that(self, happens, **attributes):
        """Return a class in which something happens between its first and its second test."""

        class LostTest(DatabaseTestCase):
            metadata = library.metadata
            lock_timeout = 1.0

            def test_1(self):
                self.session.add(library.Author(name="a"))
                self.session.commit()
                self.session.remove()
                self.engine.dispose()

            def test_2(self):
                self.assertRowCount(library.Author, 0)
                self.session.add(library.Author(name="a"))
                self.session.commit()

            @classmethod
            def tearDownClass(cls):
                super().tearDownClass()

        def tearDown(case):
            super(LostTest, case).tearDown()
            if case._testMethodName == "test_1":
                happens()

        LostTest.tearDown = tearDown
        LostTest.engine = self.url
        for name, value in attributes.items():
            setattr(LostTest, name, value)
        return LostTest

    def end_claims(self):
        for (pid,) in support.administer(HELD % self.database):
            support.administer("SELECT pg_terminate_backend(%d, 5000)" % pid)

    def end_claims_and_notice(self):
        """As when a test's end asks the server for locks: the loss is known before the check."""
        dialects = safeguard.used_dialects()
        self.end_claims()
        for dialect in dialects:
            with contextlib.suppress(Exception):
                dialect.control.execute("SELECT 1")

    def drop(self):
        support.administer('DROP DATABASE "%s" WITH (FORCE)' % self.database)

    def make_anew(self):
        self.drop()
        support.administer('CREATE DATABASE "%s"' % self.database)

    def test_a_run_whose_connection_was_ended_claims_its_database_again(self):
        self.assertPasses(self.case_that(self.end_claims))
        self.assertEqual(len(support.administer(HELD % self.database)), 1)

    def test_a_database_that_was_dropped_is_created_again_and_said(self):
        for reset in ("recreate", "rollback"):
            with self.subTest(reset=reset), said() as words:
                self.assertPasses(self.case_that(self.drop, reset=reset))
                self.assertIn('created the database "claims_lost_test"', words.getvalue())

    def test_a_database_that_was_dropped_and_made_anew_is_built(self):
        for reset in ("recreate", "rollback"):
            with self.subTest(reset=reset):
                self.assertPasses(self.case_that(self.make_anew, reset=reset))

    def test_a_harness_may_make_the_database_anew_between_classes(self):
        engine = sa.create_engine(self.url)  # with a connection in its pool that is ended
        self.addCleanup(engine.dispose)
        for _ in range(3):
            self.assertPasses(self.case(engine))
            self.make_anew()

    def test_connections_of_pools_that_ended_with_the_server_are_in_nobodys_way(self):
        engine = sa.create_engine(self.url)
        self.addCleanup(engine.dispose)

        def end_all():
            for connection in [engine.connect() for _ in range(5)]:
                connection.close()
            self.make_anew()

        self.assertPasses(self.case_that(end_all, engine=engine, lock_timeout=0.3))

    def test_what_the_database_had_at_first_is_known_after_a_lost_connection(self):
        ends = [self.end_claims, self.end_claims_and_notice, self.end_claims_and_notice]

        def happens():
            ends.pop(0)()
            support.administer("CREATE EXTENSION citext", database=self.database)

        for reset in ("recreate", "recreate", "rollback"):
            self.assertPasses(self.case_that(happens, reset=reset))
            found = support.administer("SELECT extname FROM pg_extension", database=self.database)
            self.assertEqual(found, [("plpgsql",)])

    def test_an_engine_is_not_led_to_where_it_leads_by_itself(self):
        engine = sa.create_engine(self.url)
        self.addCleanup(engine.dispose)
        with unittest.mock.patch.object(claims, "follow") as follow:
            self.assertPasses(self.case_that(self.make_anew, engine=engine))
            self.assertPasses(self.case(engine))
        follow.assert_not_called()

    def test_an_engine_that_leads_elsewhere_by_now_is_refused(self):
        other = support.postgresql_url("claims_elsewhere")
        self.addCleanup(support.administer, "DROP DATABASE claims_elsewhere WITH (FORCE)")
        support.administer("CREATE TABLE author (id int)", database="claims_elsewhere")
        usual, urls = sa.create_engine(self.url), [self.url]

        def connect():
            arguments, options = usual.dialect.create_connect_args(sa.engine.url.make_url(urls[-1]))
            return usual.dialect.connect(*arguments, **options)

        def happens():
            urls.append(other)
            self.end_claims()

        engine = sa.create_engine(self.url, creator=connect)
        self.addCleanup(engine.dispose)
        message = self.message_of(self.case_that(happens, engine=engine))
        self.assertTrue(message.startswith("UnsafeDatabaseError: "), message)
        self.assertIn('"claims_elsewhere"', message)
        tables = support.administer("SELECT 1 FROM author", database="claims_elsewhere")
        self.assertEqual(tables, [])

    def test_a_server_that_takes_its_time_is_waited_for_within_the_bound(self):
        allow = 'ALTER DATABASE "%s" ALLOW_CONNECTIONS %%s' % self.database

        ends = [self.end_claims_and_notice, self.end_claims, self.end_claims]

        def happens():
            support.administer(allow % "false")
            ends.pop(0)()
            later = threading.Timer(0.5, support.administer, [allow % "true"])
            self.addCleanup(later.join)
            later.start()

        for _ in range(2):
            self.assertPasses(self.case_that(happens, lock_timeout=20.0))
        message = self.message_of(self.case_that(happens, lock_timeout=0.1))
        self.assertTrue(message.startswith("ServerError: "), message)
        self.assertIn("is not currently accepting connections", message)

    def test_what_only_allowed_databases_allows_is_created_again_too(self):
        url = support.postgresql_url("claims_plain")
        self.addCleanup(support.administer, "DROP DATABASE claims_plain WITH (FORCE)")

        def drop():
            support.administer("DROP DATABASE claims_plain WITH (FORCE)")

        with said():
            self.assertPasses(self.case_that(drop, engine=url, allowed_databases=("claims_plain",)))

    def test_a_database_that_another_run_took_meanwhile_is_not_shared(self):
        with unittest.mock.patch.object(DatabaseTestCase, "__module__", "shop"):
            pids = []

            def taken():
                self.end_claims()
                context = self.another_run(self.database)
                pids.append(context.__enter__())
                self.addCleanup(context.__exit__, None, None, None)

            message = self.message_of(self.case_that(taken))
        self.assertRegex(
            message,
            "BlockedDatabaseError: LostTest.test_2: another run has the database"
            ' "claims_lost_test",'
            " and did not end within 1.0 s.\n  pid %d .*\n  In one database, .*:\n"
            "  it had this very one, and lost the connection by which it had it.\n"
            "  Did somebody end that connection, or start the server anew\\?" % pids[0],
        )


class RestartedServerTest(support.Outcomes):
    def test_a_server_that_is_started_anew_during_a_run(self):
        done = support.run_python("-c", RESTARTING, env={servers.VARIABLE: ""})
        self.assertEqual(done.stdout.splitlines()[-2:], ["6 tests", "[]"], done.stderr)


RESTARTING = """
import os, subprocess, unittest
from dbtestcase import DatabaseTestCase, temporary_postgresql
from dbtestcase import binaries as _binaries
from tests import servers, support
from tests.claiming import library

url = temporary_postgresql()

def restart():
    account = _binaries.server_account()
    folder = servers.directory_of(url)
    pg_ctl = os.path.join(_binaries.find_binaries(account).directory, "pg_ctl")
    subprocess.check_call(
        [pg_ctl, "restart", "-D", folder + "/data", "-m", "fast", "-l", folder + "/server.log"],
        stdout=subprocess.DEVNULL, **_binaries.run_options(account))

class FirstTest(DatabaseTestCase):
    engine, metadata = url, library.metadata

    def test_1(self):
        self.assertRowCount(library.Author, 0)
        self.session.add(library.Author(name="a"))
        self.session.commit()
        self.session.remove()
        restart()

    def test_2(self):
        self.assertRowCount(library.Author, 0)
        self.session.add(library.Author(name="a"))
        self.session.commit()

class SecondTest(FirstTest):
    pass

class OuterTest(FirstTest):
    reset = "rollback"

    def test_1(self):
        restart()

ran, problems = 0, []
for case in (FirstTest, SecondTest, OuterTest):
    result = support.run_case(case)
    ran += result.testsRun
    problems += [text for _, text in result.errors + result.failures]
print(ran, "tests")
print(problems)
"""


class RunsAtOnceTest(Claims):
    database = "claims_once_test"

    def test_eight_processes_at_once_see_no_rows_but_their_own(self):
        processes = [scenario(self.url, ROUNDS="10") for _ in range(8)]
        outputs = [output_of(process, 300) for process in processes]
        for output in outputs:
            self.assertRegex(output, r"Ran 30 tests in .*\n\nOK")

    def test_a_run_that_was_killed_leaves_nothing_and_the_next_one_says_what_it_found(self):
        killed = scenario(self.url, ROUNDS="3", KILLED_IN="SecondTest.test_1")
        output_of(killed)
        self.assertEqual(killed.returncode, -signal.SIGKILL)
        words = (
            'dbtestcase: process %d had the database "claims_once_test" before, and was killed or'
            " crashed in the middle of its run; found there: 1 table\n" % killed.pid
        )
        next_one, last = (output_of(scenario(self.url, ROUNDS="3")) for _ in range(2))
        self.assertRegex(next_one, r"Ran 9 tests in .*\n\nOK")
        self.assertIn(words, next_one)
        self.assertNotIn("killed", last)


if __name__ == "__main__":
    unittest.main()
