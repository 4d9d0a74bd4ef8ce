from __future__ import annotations

import multiprocessing
import os
import unittest

import sqlalchemy as sa

from dbtestcase import DatabaseTestCase
from tests import running, support
from tests.claiming import (
    Claims,
    database_of,
    library,
    output_of,
    requires_fork,
    said,
    scenario,
)


def in_child(work):
    """Run a function in a forked process and return the text of what it returned or raised."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        try:
            try:
                text = repr(work())
            except BaseException as error:
                text = "%s: %s" % (type(error).__name__, error)
            os.write(writing, text.encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        text = file.read()
    os.wait()
    return text


def backend(connection):
    return connection.execute(sa.text("SELECT pg_backend_pid()")).scalar()


@requires_fork
class ForkedInATestTest(Claims):
    """A child that uses the engine of the test, as a worker of the code under test does."""

    database = "claims_fork_test"

    def base(self, **attributes):
        attributes.update(engine=self.url, metadata=library.metadata)
        return type("AuthorTest", (DatabaseTestCase,), attributes)

    def test_a_child_sees_committed_rows_over_connections_of_its_own(self):
        class ForkingTest(self.base()):
            def test_one(self):
                author = library.Author(name="a")
                self.session.add(author)
                self.session.commit()
                held = self.engine.connect()
                parents = {backend(self.session), backend(held)}

                def work():
                    with self.engine.connect() as own:
                        children = {backend(self.session), backend(own)}
                    seen = (author.name, len(children & parents))
                    self.session.add(library.Author(name="b"))
                    self.session.commit()
                    self.session.remove()
                    self.engine.dispose()
                    return seen

                self.assertEqual(in_child(work), "('a', 0)")
                self.assertEqual({backend(self.session), backend(held)}, parents)
                held.close()
                self.session.rollback()
                self.assertRowCount(library.Author, 2)

        self.assertPasses(ForkingTest)

    def test_a_child_that_throws_everything_away_leaves_the_parents_transactions(self):
        class ForkingTest(self.base()):
            def test_one(self):
                self.session.add(library.Author(name="pending"))
                self.session.flush()
                held = self.engine.connect()
                transaction = held.begin()
                held.execute(library.Author.__table__.insert().values(name="held"))

                def work():
                    nonlocal held, transaction
                    held = transaction = None
                    import gc

                    self.session.remove()
                    gc.collect()
                    return "done"

                self.assertEqual(in_child(work), "'done'")
                transaction.commit()
                held.close()
                self.session.commit()
                self.assertRowCount(library.Author, 2)

        self.assertPasses(ForkingTest)

    def test_a_child_follows_to_the_sibling_of_its_parent(self):
        class ForkingTest(self.base()):
            def test_one(self):
                parents = database_of(self.session)
                child = in_child(lambda: database_of(self.session))
                self.assertEqual((parents, child), ("claims_fork_test_2", "'claims_fork_test_2'"))

        support.postgresql_url(self.database)
        with self.another_run(self.database), said():
            self.assertPasses(ForkingTest)

    def test_a_child_of_a_test_in_an_outer_transaction_leaves_it_alone(self):
        class ForkingTest(self.base(reset="rollback")):
            def test_one(self):
                self.session.add(library.Author(name="a"))
                self.session.commit()

                def work():
                    names = [author.name for author in self.session.query(library.Author)]
                    self.session.remove()
                    self.engine.dispose()
                    return names

                self.assertEqual(in_child(work), "[]")  # it is not committed for others
                self.assertRowCount(library.Author, 1)

        self.assertPasses(ForkingTest)

    def test_a_database_in_memory_is_copied_by_the_fork(self):
        class ForkingTest(DatabaseTestCase):
            engine = sa.create_engine(
                "sqlite://", poolclass=sa.pool.StaticPool, connect_args={"check_same_thread": False}
            )
            metadata = library.metadata

            def test_one(self):
                self.session.add(library.Author(name="a"))
                self.session.commit()

                def work():
                    return [author.name for author in self.session.query(library.Author)]

                self.assertEqual(in_child(work), "['a']")

        class OuterTest(ForkingTest):
            reset = "rollback"

        self.assertPasses(ForkingTest)
        self.assertPasses(OuterTest)

    def test_a_child_that_goes_on_with_the_test_does_not_touch_the_parents_connections(self):
        parent = os.getpid()

        class ForkingTest(self.base(reset="rollback")):
            def test_one(self):
                self.session.add(library.Author(name="a"))
                self.session.commit()
                if os.getpid() == parent:
                    child = os.fork()
                    if child == 0:
                        raise RuntimeError("in the child")
                    os.waitpid(child, 0)
                self.assertRowCount(library.Author, 1)

        result = support.run_case(ForkingTest)
        if os.getpid() != parent:
            os._exit(0)
        self.assertEqual(result.errors + result.failures, [])


@requires_fork
class ForkedWorkersTest(Claims):
    """Children that run tests themselves: each has a database to itself."""

    database = "claims_workers_test"

    def run_in_children(self, case, children):
        context = multiprocessing.get_context("fork")
        queue = context.Queue()
        all_have_run = context.Barrier(children)  # else the next one could take the same database

        def work():
            with said():
                result = support.run_case(case)
            queue.put((self.seen[-1:], [text for _, text in result.errors + result.failures]))
            all_have_run.wait(60)

        processes = [context.Process(target=work) for _ in range(children)]
        for process in processes:
            process.start()
        found = [queue.get(timeout=60) for _ in processes]
        for process in processes:
            process.join()
        return found

    def test_children_take_siblings_beside_their_parent(self):
        case = self.case(self.url)
        self.assertPasses(case)
        own = self.seen[0][0]
        found = self.run_in_children(case, 3)
        self.assertEqual([problems for _, problems in found], [[], [], []])
        names = {database for seen, _ in found for database, _ in seen}
        siblings = {"claims_workers_test", "claims_workers_test_2", "claims_workers_test_3",
                    "claims_workers_test_4"}  # fmt: skip
        self.assertEqual(names, siblings - {own})
        self.assertPasses(case)
        self.assertEqual(self.seen[-1][0], own)

    def test_a_child_of_a_test_that_runs_tests_leaves_its_parents_rows(self):
        inner, outer = self.case(self.url), []

        class OuterTest(DatabaseTestCase):
            metadata = library.metadata

            def test_one(case):
                case.session.add(library.Author(name="outer"))
                case.session.commit()
                outer.extend(self.run_in_children(inner, 1))
                case.assertRowCount(library.Author, 1)

        OuterTest.engine = self.url
        self.assertPasses(OuterTest)
        self.assertEqual(outer[0][1], [])

    @unittest.skipUnless(running.has("nose2"), "nose2 is not installed")
    def test_nose2_with_several_processes(self):
        arguments = ("-m", "nose2", "--plugin", "nose2.plugins.mp", "-N", "3", "own_rows")
        output = output_of(scenario(self.url, *arguments, ROUNDS="3"))
        self.assertRegex(output, r"Ran 9 tests in .*\n\nOK")

    @unittest.skipUnless(running.has("xdist"), "pytest-xdist is not installed")
    def test_pytest_with_several_processes(self):
        arguments = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "2", "own_rows.py")
        output = output_of(scenario(self.url, *arguments, ROUNDS="3"))
        self.assertIn("9 passed", output)


if __name__ == "__main__":
    unittest.main()
