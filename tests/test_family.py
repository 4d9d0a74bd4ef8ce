import threading
import time
import unittest

import sqlalchemy as sa

from dbtestcase import claims
from dbtestcase.dialects.postgresql import DIALECT, family
from tests import support
from tests.commanding import databases, drop_databases

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

    def database(self, kind=DIALECT):
        engine = sa.create_engine(self.url, poolclass=sa.pool.NullPool)
        database = kind(engine, kind.identify(engine), 5.0)
        database.engine = engine
        self.addCleanup(database.close)
        return database

    def drop_unused(self):
        members = family.members(self.held.control, BASE)
        return [family.drop_unused(self.held.control, member, BASE) for member in members]

    def test_what_a_run_has_is_never_dropped_even_if_the_look_was_earlier(self):
        database = self.database()
        taken = claims.claim(database, database.engine, "OtherTest", True)
        _, member = family.members(self.held.control, BASE)
        seen_before = member._replace(pid=None, sessions=0)
        started = time.monotonic()
        reason = family.drop_unused(self.held.control, seen_before, BASE)
        self.assertIn("is being accessed by other users", reason)
        self.assertLess(time.monotonic() - started, 10)
        self.assertEqual(taken.control.execute("SELECT 1"), [(1,)])
        taken.close()

    def test_a_run_whose_sibling_is_dropped_as_it_comes_creates_it_again(self):
        dropping = [self.drop_unused, lambda: None]

        class Late(DIALECT):
            def sibling(database, engine, name):
                (dropping.pop(0) if dropping else int)()
                return super().sibling(engine, name)

        support.postgresql_url(BASE + "_2")
        database = self.database(Late)
        taken = claims.claim(database, database.engine, "OtherTest", True)
        self.addCleanup(taken.close)
        self.assertEqual(taken.identity.name, BASE + "_2")
        self.assertEqual(dropping, [])

    def test_runs_that_come_and_go_are_not_trampled_by_one_who_tidies_up(self):
        problems, dropped = [], []
        over = threading.Event()

        def tidy_up():
            tidier = self.database()
            while not over.is_set():
                for member in family.members(tidier.control, BASE):
                    if member.pid is None:
                        dropped.append(family.drop_unused(tidier.control, member, BASE))

        def come_and_go():
            for _ in range(12):
                try:
                    database = self.database()
                    taken = claims.claim(database, database.engine, "OtherTest", True)
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
        self.assertIn(None, dropped)
        self.drop_unused()
        self.assertEqual(databases(BASE), [BASE])
