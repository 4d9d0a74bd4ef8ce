import threading
import time
import unittest

import sqlalchemy as sa

from dbtestcase.databases import claims
from dbtestcase.dialects.postgresql import PostgreSQL
from dbtestcase.dialects.postgresql.claims import claiming, family, siblings
from tests import support
from tests.commanding import databases, drop_databases, wait_until

BASE = "commands_race_test"


class FamilyTest(unittest.TestCase):
    def test_siblings_are_numbered_from_2_to_1001(self):
        for name, number in (
            ("a_test", 1),
            ("a_test_2", 2),
            ("a_test_1001", 1001),
            ("a_test_1", None),
            ("a_test_02", None),
            ("a_test_1002", None),
            ("a_test_20240101", None),
            ("a_test_2\n", None),
            ("a_test_2_2", None),
            ("b_a_test_2", None),
        ):
            self.assertEqual(family.number_of(name, "a_test"), number, name)
        self.assertIsNone(family.number_of("axtest_2", "a.test"))


class DroppingTest(unittest.TestCase):
    def setUp(self):
        drop_databases(BASE)
        self.url = support.postgresql_url(BASE)
        self.held = self.database()
        self.assertTrue(self.held.claim())

    def database(self, kind=PostgreSQL):
        engine = sa.create_engine(self.url, poolclass=sa.pool.NullPool)
        database = kind(engine, kind.identify(engine), 5.0)
        database.engine = engine
        self.addCleanup(database.close)
        return database

    def drop_unused(self):
        members = family.members(self.held.control, BASE)
        return [family.drop_unused(self.held.control, each.name, BASE) for each in members]

    def take_sibling(self, kind=PostgreSQL):
        database = self.database(kind)
        taken = claims.claim(database, database.engine, "OtherTest", BASE)
        self.addCleanup(taken.close)
        self.assertEqual(taken.identity.name, BASE + "_2")
        return taken

    def test_a_run_leaves_its_database_and_the_numbered_ones_whichever_of_them_it_has(self):
        for end in ("_2", "_10", "_2024", "_old"):
            support.postgresql_url(BASE + end)
        own = sorted([BASE, BASE + "_2", BASE + "_10"])
        self.assertEqual(siblings(self.held.control, BASE), own)
        self.assertEqual(siblings(self.held.control, BASE + "_10"), own)
        self.assertEqual(siblings(self.held.control, BASE + "_2024"), [BASE + "_2024"])

    def test_what_a_run_has_is_not_dropped(self):
        taken = self.take_sibling()
        self.assertEqual(self.drop_unused(), ["it is no sibling", "a run has it"])
        self.assertEqual(taken.control.execute("SELECT 1"), [(1,)])

    def test_what_a_run_copies_is_not_dropped_although_nobody_is_connected_to_it(self):
        support.postgresql_url(BASE + "_2")
        ((oid,),) = support.administer("SELECT oid FROM pg_database WHERE datname = '%s_2'" % BASE)
        copier = PostgreSQL.administer(self.held.engine, "postgres").control
        self.addCleanup(copier.close)
        with claiming.copying(copier, int(oid)):
            _, member = family.members(self.held.control, BASE)
            self.assertEqual((member.pid, member.sessions), (copier.pid, 0))
            self.assertEqual(self.drop_unused(), ["it is no sibling", "a run has it"])
        self.assertEqual(self.drop_unused(), ["it is no sibling", None])

    def test_what_takes_no_connections_is_not_listed_and_a_hidden_size_is_unknown(self):
        support.ensure_role("app")
        for end in ("_2", "_3"):
            support.postgresql_url(BASE + end)
        support.administer(
            'ALTER DATABASE "%s_2" ALLOW_CONNECTIONS false' % BASE,
            'REVOKE CONNECT ON DATABASE "%s_3" FROM PUBLIC' % BASE,
        )
        engine = sa.create_engine(support.url_of(BASE, username="app"))
        control = PostgreSQL.administer(engine, BASE).control
        self.addCleanup(control.close)
        base, third = family.members(control, BASE)
        self.assertGreater(base.bytes, 0)
        self.assertEqual((third.name, third.bytes), (BASE + "_3", None))

    def test_what_is_no_sibling_is_not_dropped_whatever_is_asked(self):
        for name in (BASE, BASE + "_2024", BASE + "_failed_x"):
            if name != BASE:
                support.postgresql_url(name)
            self.assertEqual(
                family.drop_unused(self.held.control, name, BASE), "it is no sibling", name
            )
        self.assertEqual(
            family.drop_unused(self.held.control, BASE + "_9", BASE), "it is gone already"
        )

    def test_what_somebody_is_connected_to_is_not_dropped(self):
        engine = sa.create_engine(support.postgresql_url(BASE + "_2"))
        engine.connect()
        self.addCleanup(engine.dispose)
        self.assertEqual(self.drop_unused(), ["it is no sibling", "1 session is connected to it"])

    def test_what_another_role_owns_is_not_dropped(self):
        support.postgresql_url(BASE + "_2")
        support.ensure_role("app")
        engine = sa.create_engine(support.url_of(BASE, username="app"))
        self.held.close()
        control = PostgreSQL.administer(engine, "postgres").control
        self.addCleanup(control.close)
        self.assertEqual(
            family.drop_unused(control, BASE + "_2", BASE),
            "must be owner of database %s_2" % BASE,
        )

    def test_a_run_that_finds_one_as_it_is_dropped_takes_the_next(self):
        support.postgresql_url(BASE + "_2")
        taken = []

        class Slow:
            """The connection that drops, with a run that comes just before it does."""

            def execute(control, sql, params=None):
                if sql.startswith("DROP"):
                    database = self.database()
                    taken.append(claims.claim(database, database.engine, "OtherTest", BASE))
                return self.held.control.execute(sql, params)

        self.assertIsNone(family.drop_unused(Slow(), BASE + "_2", BASE))
        self.addCleanup(taken[0].close)
        self.assertEqual(taken[0].identity.name, BASE + "_3")
        self.assertEqual(databases(BASE), [BASE, BASE + "_3"])

    def test_a_run_whose_sibling_is_dropped_as_it_comes_creates_it_again(self):
        dropping = [self.drop_unused]

        class Late(PostgreSQL):
            def sibling(database, *arguments):
                while dropping:
                    dropping.pop()()
                return super().sibling(*arguments)

        support.postgresql_url(BASE + "_2")
        self.take_sibling(Late)
        self.assertEqual(dropping, [])

    def test_runs_that_come_and_go_are_not_trampled_by_one_who_tidies_up(self):
        problems, dropped = [], []
        over = threading.Event()

        def tidy_up():
            tidier = self.database()
            while not over.wait(0.3):
                for member in family.members(tidier.control, BASE):
                    dropped.append(family.drop_unused(tidier.control, member.name, BASE))

        def come_and_go():
            for _ in range(6):
                try:
                    database = self.database()
                    taken = claims.claim(database, database.engine, "OtherTest", BASE)
                    taken.control.execute("CREATE TABLE public.mine (id int)")
                    time.sleep(0.02)
                    taken.control.execute("DROP TABLE public.mine")
                    taken.close()
                except Exception as error:
                    problems.append(error)

        tidier = threading.Thread(target=tidy_up)
        runs = [threading.Thread(target=come_and_go) for _ in range(2)]
        for thread in [tidier] + runs:
            thread.start()
        for thread in runs:
            thread.join()
        over.set()
        tidier.join()
        self.assertEqual(problems, [])
        self.assertTrue(dropped)
        # The server takes its time to notice that a connection was closed.
        self.assertTrue(wait_until(lambda: self.drop_unused() and databases(BASE) == [BASE]))
