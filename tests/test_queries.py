from __future__ import annotations

import os
import threading
import unittest
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, relationship

from dbtestcase import _compat, where
from dbtestcase.assertions import QueryAssertions, RowAssertions
from tests import support

try:
    from sqlalchemy.orm import declarative_base
except ImportError:  # SQLAlchemy 1.3
    from sqlalchemy.ext.declarative import declarative_base

Base: Any = declarative_base()


class Team(Base):
    __tablename__ = "team"
    id = sa.Column(sa.Integer, primary_key=True)
    players = relationship("Player")


class Player(Base):
    __tablename__ = "player"
    id = sa.Column(sa.Integer, primary_key=True)
    team_id = sa.Column(sa.Integer, sa.ForeignKey("team.id"))


player = Player.__table__


def here(offset: int = 0) -> str:
    """Return the caller's place as failures write it, some lines further down."""
    line = where.user_lines(2)[1]
    return "%s:%d" % (os.path.join("tests", "test_queries.py"), line.lineno + offset)


def one(column):
    """Return the simplest query that selects this number."""
    return _compat.select(sa.literal_column(str(column)).label("n"))


class QueriesOnPostgreSQL(QueryAssertions, RowAssertions, unittest.TestCase):
    maxDiff = None
    parameter = "%(id_1)s"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.engine = cls.make_engine()
        Base.metadata.create_all(cls.engine)

    @classmethod
    def make_engine(cls):
        return sa.create_engine(support.postgresql_url("queries_test"))

    @classmethod
    def tearDownClass(cls):
        cls.engine.dispose()
        super().tearDownClass()

    def setUp(self):
        super().setUp()
        self.session = Session(bind=self.engine)
        self.addCleanup(self.session.close)

    def run_ones(self, *numbers):
        for number in numbers:
            self.session.execute(one(number))

    def message(self, block, work):
        with self.assertRaises(self.failureException) as caught, block:
            work()
        return str(caught.exception)

    def test_passes_when_the_number_is_right(self):
        with self.assertNumQueries(0):
            pass
        with self.assertNumQueries(2):
            self.run_ones(1, 2)
        with self.assertMaxQueries(2):
            self.run_ones(1, 2)
        with self.assertMaxQueries(2):
            pass

    def test_lists_the_queries_with_their_lines(self):
        def work():
            self.session.execute(one(1))
            self.session.execute(player.select().where(player.c.id == 7).order_by(player.c.id))

        words = self.message(self.assertNumQueries(1), work)
        statement, parameters = str(self.last(work)), self.last(work, "parameters")
        self.assertEqual(
            words,
            "1 query expected, 2 were run:\n"
            "  1. SELECT 1 AS n\n"
            "     at %s\n"
            "  2. %s\n"
            "     with %r\n"
            "     at %s" % (here(-12), " ".join(statement.split()), parameters, here(-11)),
        )

    def last(self, work, name="statement"):
        with self.assertNumQueries(2) as block:
            work()
        return getattr(block.queries[-1], name)

    def test_counts_with_the_right_words(self):
        one_run = "  1. SELECT 1 AS n\n     at %s" % self.ones_at()
        self.assertEqual(
            self.message(self.assertNumQueries(0), lambda: self.run_ones(1)),
            "0 queries expected, 1 was run:\n" + one_run,
        )
        self.assertEqual(
            self.message(self.assertMaxQueries(0, "too many"), lambda: self.run_ones(1)),
            "at most 0 queries expected, 1 was run:\n" + one_run + " : too many",
        )
        self.assertEqual(
            self.message(self.assertNumQueries(2), lambda: None),
            "2 queries expected, 0 were run.",
        )

    def ones_at(self):
        line = QueriesOnPostgreSQL.run_ones.__code__.co_firstlineno + 2
        return "%s:%d" % (os.path.join("tests", "test_queries.py"), line)

    def test_names_the_line_of_an_n_plus_1(self):
        def work():
            for team in self.session.query(Team).order_by(Team.id):
                len(team.players)

        self.session.add_all([Team() for _ in range(5)])
        self.session.flush()
        self.session.expire_all()
        words = self.message(self.assertMaxQueries(2), work)
        self.session.expire_all()
        first, second = words.splitlines()[:2]
        self.assertEqual(first, "at most 2 queries expected, 6 were run:")
        self.assertEqual(second, "  N+1: 5 times from %s (queries 2 to 6)" % here(-9))

    def test_names_a_query_that_is_simply_repeated(self):
        words = self.message(self.assertNumQueries(1), lambda: self.run_ones(1, 2, 1))
        self.assertEqual(
            words.splitlines()[:2],
            [
                "1 query expected, 3 were run:",
                "  the same query: 2 times from %s (queries 1, 3)" % self.ones_at(),
            ],
        )

    def test_lists_fifty_at_most(self):
        words = self.message(self.assertNumQueries(0), lambda: self.run_ones(*range(60)))
        self.assertEqual(words.splitlines()[-1], "  ... and 10 more")
        self.assertEqual(len(words.splitlines()), 1 + 2 * 50 + 1)

    def test_cuts_long_statements_and_parameters(self):
        def work():
            names = [sa.literal("x" * 100).label("a_long_name_%d" % number) for number in range(99)]
            self.session.execute(_compat.select(*names))

        for line in self.message(self.assertNumQueries(0), work).splitlines():
            self.assertLess(len(line), 210)

    def test_counts_no_transaction_control(self):
        with self.assertNumQueries(1):
            nested = self.session.begin_nested()
            self.run_ones(1)
            nested.rollback()
            with self.session.begin_nested():
                pass
            self.session.commit()

    def test_counts_many_sets_of_parameters_once(self):
        with self.assertNumQueries(1) as block:
            self.session.execute(player.insert(), [{"team_id": None} for _ in range(3)])
        self.assertEqual(len(block), 1)
        words = self.message(
            self.assertNumQueries(0),
            lambda: self.session.execute(
                player.update().where(player.c.id == sa.bindparam("key")).values(team_id=None),
                [{"key": number} for number in range(3)],
            ),
        )
        self.assertIn(" and 2 more sets\n", words)

    def test_counts_an_insert_in_batches_once(self):
        if not getattr(self.engine.dialect, "use_insertmanyvalues", False):
            self.skipTest("this SQLAlchemy does not insert in batches")
        with self.assertNumQueries(1):
            self.session.add_all([Player() for _ in range(2500)])
            self.session.flush()
        with self.assertNumQueries(2):
            for _ in range(2):
                self.session.add_all([Player() for _ in range(1500)])
                self.session.flush()
        self.session.rollback()

    def test_counts_what_fails(self):
        with self.assertNumQueries(1), self.assertRaises(sa.exc.DBAPIError):
            self.session.execute(sa.text("SELECT nothing_of_this_name"))

    def test_counts_queries_of_other_threads(self):
        def work():
            with self.engine.connect() as connection:
                connection.execute(one(1))

        def start():
            thread = threading.Thread(target=work, name="live server")
            thread.start()
            thread.join()

        self.assertEqual(
            self.message(self.assertNumQueries(0), start),
            "0 queries expected, 1 was run:\n"
            "  1. SELECT 1 AS n\n"
            "     at %s, in thread live server" % here(-11),
        )

    def test_counts_on_the_engines_of_the_test_alone(self):
        other = sa.create_engine("sqlite://")
        self.addCleanup(other.dispose)
        known = [self.engine]
        self._dbtestcase_engines = lambda: known
        with self.assertNumQueries(1), other.connect() as connection:
            connection.execute(one(1))
            self.session.execute(one(2))
            with self.engine.connect() as raw:
                raw.execution_options(a=1)
        known.append(other)
        with self.assertNumQueries(1), other.connect() as connection:
            connection.execute(one(1))

    def test_counts_on_an_engine_with_options(self):
        self._dbtestcase_engines = lambda: [self.engine]
        with self.assertNumQueries(1):
            with self.engine.execution_options(a=1).connect() as connection:
                connection.execute(one(1))

    def test_counts_on_engines_and_connections_of_before_and_after(self):
        with self.engine.connect() as before, self.assertNumQueries(3):
            before.execute(one(1))
            after = self.make_other()
            self.addCleanup(after.dispose)
            with after.connect() as connection:
                connection.execute(one(2))
            self.session.execute(one(3))

    def make_other(self):
        return sa.create_engine(self.engine.url)

    def test_counts_no_queries_of_row_assertions(self):
        self.session.execute(player.delete())
        with self.assertNumQueries(1):
            self.session.add(Player())
            self.assertRowCount(Player, 1)
            self.assertRowCount(player, 1)
            self.assertRowExists(Player)
            with self.assertRowCountChanges({Player: 0}):
                pass
            for target in (Player, player, player.select(), self.session.query(Player)):
                with self.assertRaises(self.failureException):
                    self.assertRowCount(target, 2, player.c.id != 0)
            with self.assertRaises(self.failureException):
                self.assertRowExists(Player, id=0)
        self.session.rollback()

    def test_lets_the_user_look_at_the_queries(self):
        with self.assertNumQueries(2) as block:
            self.run_ones(1)
            self.assertEqual(len(block), 1)
            self.run_ones(2)
        self.assertEqual([query.statement for query in block], ["SELECT 1 AS n", "SELECT 2 AS n"])
        self.assertEqual(str(block.queries[0].line), self.ones_at())
        self.run_ones(3)
        self.assertEqual(len(block), 2)

    def test_passes_on_what_the_block_raises(self):
        with self.assertRaises(ZeroDivisionError), self.assertNumQueries(5) as block:
            raise ZeroDivisionError
        self.run_ones(1)
        self.assertEqual(len(block), 0)

    def test_counts_in_blocks_within_blocks(self):
        with self.assertNumQueries(3):
            self.run_ones(1)
            with self.assertNumQueries(2):
                self.run_ones(2, 3)

    def test_refuses_what_is_no_number(self):
        for number in (True, -1, "1", None):
            for assertion in (self.assertNumQueries, self.assertMaxQueries):
                with self.assertRaises(TypeError) as caught:
                    assertion(number)
                self.assertEqual(
                    str(caught.exception), "a number of queries is 0, 1, 2, ...; got %r" % (number,)
                )

    def test_points_at_the_line_of_the_test(self):
        class Inner(QueryAssertions, unittest.TestCase):
            def test_it(self):
                with self.assertNumQueries(1):
                    pass

        ((_, traceback),) = support.run_case(Inner).failures
        self.assertEqual(traceback.count("  File "), 1)


class QueriesOnSQLite(QueriesOnPostgreSQL):
    @classmethod
    def make_engine(cls):
        return sa.create_engine(
            "sqlite://",
            poolclass=sa.pool.StaticPool,
            connect_args={"check_same_thread": False},
        )

    def make_other(self):
        return sa.create_engine("sqlite://")


class WhereTest(unittest.TestCase):
    def test_finds_the_line_below_a_library(self):
        line, called = sorted([1], key=lambda _: 0) and where.user_call()
        self.assertEqual((str(line), called), (here(-1), []))

    def test_sees_no_line_outside_a_test(self):
        done = support.run_python(
            "-c",
            "import threading, unittest\n"
            "from dbtestcase import where as _where\n"
            "class T(unittest.TestCase):\n"
            "    def runTest(self):\n"
            "        print(_where.user_line(), len(_where.user_lines(9)))\n"
            "    setUp = staticmethod(lambda: print(_where.user_line()))\n"
            "T().run()\n"
            "T.setUp = staticmethod(_where.current_test)\n"
            "T.runTest = lambda self: None\n"
            "test = T()\n"
            "test.addCleanup(map(print, map(str, iter(_where.user_line, 0))).__next__)\n"
            "test.run()\n",
        )
        self.assertEqual(done.stderr, "")
        self.assertEqual(done.stdout.splitlines(), ["<string>:6", "<string>:5 1", "None"])

    def test_names_the_line_of_a_template(self):
        jinja2 = support.imported("jinja2")
        template = jinja2.Environment().from_string("a\n{% if true %}\n\n{{ where() }}{% endif %}")
        self.assertEqual(template.render(where=lambda: 1), "a\n\n\n1")
        seen = []
        template.render(where=lambda: seen.extend(where.user_lines(3)))
        self.assertEqual([line.lineno for line in seen[1:2]], [4])

    def test_remembers_the_test(self):
        before = where.current_test()
        self.addCleanup(where.set_current_test, before)
        where.set_current_test("OrderTest.test_total")
        self.assertEqual(where.current_test(), "OrderTest.test_total")
