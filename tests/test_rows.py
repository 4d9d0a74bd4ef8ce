from __future__ import annotations

import os
import tempfile
import threading
import unittest
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, relationship, scoped_session, sessionmaker

from dbtestcase import _compat
from dbtestcase.assertions import RowAssertions
from dbtestcase.errors import ConfigurationError
from tests import support

try:
    from sqlalchemy.orm import declarative_base
except ImportError:  # SQLAlchemy 1.3
    from sqlalchemy.ext.declarative import declarative_base

Base: Any = declarative_base()


class Team(Base):
    __tablename__ = "team"
    id = sa.Column(sa.Integer, primary_key=True)
    msg = sa.Column(sa.String(50))


class Player(Base):
    __tablename__ = "player"
    id = sa.Column(sa.Integer, primary_key=True)
    kind = sa.Column(sa.String(10))
    name = sa.Column(sa.String(50))
    age = sa.Column(sa.Integer)
    team_id = sa.Column(sa.Integer, sa.ForeignKey("team.id"))
    team = relationship(Team)
    __mapper_args__ = {"polymorphic_on": kind, "polymorphic_identity": "player"}

    def __repr__(self):
        raise AssertionError("a failure must not call the object's own __repr__")


class Keeper(Player):
    __mapper_args__ = {"polymorphic_identity": "keeper"}


tag = sa.Table("tag", Base.metadata, sa.Column("word", sa.String(20)))
player = Player.__table__


class RowsOnPostgreSQL(RowAssertions, unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.engine = cls.make_engine()

    @classmethod
    def make_engine(cls):
        return sa.create_engine(support.postgresql_url("rows_test"))

    @classmethod
    def tearDownClass(cls):
        cls.engine.dispose()
        super().tearDownClass()

    def setUp(self):
        super().setUp()
        Base.metadata.drop_all(self.engine)
        Base.metadata.create_all(self.engine)
        self.session = scoped_session(sessionmaker(bind=self.engine))
        self.addCleanup(self.session.remove)

    def add(self, *names, commit=True, **values):
        for name in names:
            self.session.add(Player(name=name, **values))
            self.session.flush()  # so that the ids follow the names
        if commit:
            self.session.commit()

    def assertFails(self, words, assertion, *arguments, **options):
        with self.assertRaises(self.failureException) as caught:
            assertion(*arguments, **options)
        self.assertEqual(str(caught.exception), words)

    def changes(self, changes, work):
        with self.assertRowCountChanges(changes):
            work()

    # --- assertRowCount

    def test_counts_every_kind_of_target(self):
        self.add("ann", "bob")
        self.assertRowCount(Player, 2)
        self.assertRowCount(player, 2)
        self.assertRowCount(player.select(), 2)
        self.assertRowCount(self.session.query(Player), 2)
        self.assertRowCount(self.session.query(Player.name, Player.age), 2)

    def test_applies_the_criteria_to_every_kind_of_target(self):
        self.add("ann", "bob", "cy")
        for target in (Player, player, player.select(), self.session.query(Player)):
            self.assertRowCount(target, 1, Player.id < 3, Player.name == "bob")

    def test_counts_what_is_not_yet_flushed(self):
        self.session.add(Player(name="ann"))
        self.assertRowCount(Player, 1)
        self.session.add(Player(name="bob"))
        self.assertRowCount(player, 2)

    def test_counts_a_subclass_alone(self):
        self.session.add_all([Player(name="ann"), Keeper(name="bob")])
        self.assertRowCount(Player, 2)
        self.assertRowCount(Keeper, 1)
        self.assertFails(
            "0 rows of Keeper expected, 1 found%s:\n"
            "  <Keeper id=2 kind='keeper' name='bob' age=None team_id=None>" % self.seen(1, 0),
            self.assertRowCount,
            Keeper,
            0,
        )

    def seen(self, here, committed):
        return ": %d in this session, %d committed" % (here, committed)

    def test_tells_uncommitted_rows_from_committed_ones(self):
        self.add("ann")
        self.add("bob", "cy", commit=False, age=3)
        self.assertFails(
            "1 row of Player expected, 3 found%s:\n"
            "  <Player id=1 kind='player' name='ann' age=None team_id=None>\n"
            "  <Player id=2 kind='player' name='bob' age=3 team_id=None>\n"
            "  <Player id=3 kind='player' name='cy' age=3 team_id=None>" % self.seen(3, 1),
            self.assertRowCount,
            Player,
            1,
        )

    def test_counts_rows_of_a_table_as_others_see_them(self):
        self.session.execute(tag.insert().values(word="x"))
        self.assertFails(
            "0 rows of tag expected, 1 found%s:\n  <tag word='x'>" % self.seen(1, 0),
            self.assertRowCount,
            tag,
            0,
        )

    def test_shows_rows_of_a_query_and_of_a_select(self):
        self.add("ann")
        shown = "%s:\n  <row name='ann' age=None>" % self.seen(1, 1)
        self.assertFails(
            "0 rows of the query expected, 1 found" + shown,
            self.assertRowCount,
            self.session.query(Player.name, Player.age),
            0,
        )
        self.assertFails(
            "0 rows of the select() expected, 1 found" + shown,
            self.assertRowCount,
            _compat.select(player.c.name, player.c.age),
            0,
        )

    def test_shows_five_rows_and_the_number_of_the_others(self):
        self.add(*"abcdefg")
        with self.assertRaises(self.failureException) as caught:
            self.assertRowCount(player, 0)
        lines = str(caught.exception).splitlines()
        self.assertEqual(len(lines), 7)
        self.assertEqual(lines[5], "  <player id=5 kind='player' name='e' age=None team_id=None>")
        self.assertEqual(lines[6], "  ... and 2 more")

    def test_shows_the_criteria_and_what_there_is_without_them(self):
        self.add("ann", "bob")
        self.assertFails(
            "1 row of Player where player.name = 'x%%y' AND player.age IS NULL expected, 0 found "
            "(2 without the criteria)%s." % self.seen(0, 0),
            self.assertRowCount,
            Player,
            1,
            Player.name == "x%y",
            Player.age.is_(None),
        )

    def test_says_what_was_not_flushed(self):
        with self.session.no_autoflush:
            self.session.add(Player(name="ann"))
            self.assertFails(
                "1 row of Player expected, 0 found%s.\n"
                "  not counted: 1 new object, for autoflush is off" % self.seen(0, 0),
                self.assertRowCount,
                Player,
                1,
            )
            self.assertRowCount(player, 0)

    def test_leaves_objects_as_they_are(self):
        self.add("ann")
        expired = self.session.query(Player).one()
        self.session.expire(expired)
        for target in (Player, player, self.session.query(Player)):
            with self.assertRaises(self.failureException):
                self.assertRowCount(target, 7)
        self.assertNotIn("name", expired.__dict__)

    def test_leaves_out_what_is_committed_where_that_cannot_be_known(self):
        self._dbtestcase_committed_counts = False
        self.assertFails("1 row of Player expected, 0 found.", self.assertRowCount, Player, 1)
        del self._dbtestcase_committed_counts
        with self.engine.connect() as connection:
            self.session = Session(bind=connection)
            self.addCleanup(self.session.close)
            self.assertFails("1 row of Player expected, 0 found.", self.assertRowCount, Player, 1)
            self.session.close()

    def test_looks_outside_a_pool_that_is_empty(self):
        single = sa.create_engine(
            self.engine.url, poolclass=sa.pool.QueuePool, pool_size=1, max_overflow=0
        )
        self.addCleanup(single.dispose)
        self.session = Session(bind=single)
        self.addCleanup(self.session.close)
        self.session.add(Player(name="ann"))
        with self.assertRaises(self.failureException) as caught:
            self.assertRowCount(Player, 0)
        self.assertIn("1 in this session, 0 committed", str(caught.exception))

    def test_adds_the_message(self):
        self.assertFails(
            "1 row of Player expected, 0 found%s. : after the form" % self.seen(0, 0),
            self.assertRowCount,
            Player,
            1,
            msg="after the form",
        )

    def test_refuses_what_is_no_number(self):
        for number in (True, -1, "1", 1.0, None):
            with self.assertRaises(TypeError) as caught:
                self.assertRowCount(Player, number)
            self.assertEqual(
                str(caught.exception), "a number of rows is 0, 1, 2, ...; got %r" % (number,)
            )

    def test_refuses_what_has_no_rows(self):
        for target, got in (("Player", "str 'Player'"), (None, "NoneType None"), (object, None)):
            with self.assertRaises(TypeError) as caught:
                self.assertRowCount(target, 1)
            self.assertEqual(
                str(caught.exception),
                "rows are those of a mapped class, a Table, a select() or a Query; got %s"
                % (got or "type <class 'object'>"),
            )

    def test_refuses_criteria_that_are_none(self):
        for criterion in ("a message", True, None):
            with self.assertRaises(TypeError) as caught:
                self.assertRowCount(Player, 0, criterion)
            self.assertEqual(
                str(caught.exception),
                "criteria are SQL expressions, as Participant.name == 'test', and a message is "
                "given as msg=...; got %r" % (criterion,),
            )

    # --- assertRowExists, assertNoRowExists

    def test_finds_rows_by_value(self):
        self.add("ann", age=3)
        self.assertRowExists(Player)
        self.assertRowExists(Player, name="ann", age=3)
        self.assertRowExists(player, name="ann", team_id=None)
        self.assertNoRowExists(Player, name="ann", age=4)
        self.assertNoRowExists(player, name=None)
        self.assertNoRowExists(Team)

    def test_finds_rows_by_a_relationship(self):
        team, other = Team(), Team()
        self.session.add_all([team, other])
        self.session.flush()
        self.session.add(Player(name="ann", team=team))
        self.assertRowExists(Player, team=team)
        self.assertNoRowExists(Player, team=other)

    def test_shows_the_nearest_rows(self):
        self.add("ann", age=1)
        self.add("bob", age=3)
        self.session.add(Keeper(name="ann", age=3))
        self.add("cy", age=4)
        self.assertFails(
            "no row of Player has name='ann', age=3, kind='player'; the nearest of 4 rows:\n"
            "  <Player id=1 kind='player' name='ann' age=1 team_id=None>\n"
            "      age is 1, not 3\n"
            "  <Player id=2 kind='player' name='bob' age=3 team_id=None>\n"
            "      name is 'bob', not 'ann'\n"
            "  <Player id=3 kind='keeper' name='ann' age=3 team_id=None>\n"
            "      kind is 'keeper', not 'player'",
            self.assertRowExists,
            Player,
            name="ann",
            age=3,
            kind="player",
        )

    def test_shows_the_only_row_of_a_table(self):
        self.add("ann")
        self.assertFails(
            "no row of player has name='Ann', age=3; the only row:\n"
            "  <player id=1 kind='player' name='ann' age=None team_id=None>\n"
            "      name is 'ann', not 'Ann'\n"
            "      age is None, not 3",
            self.assertRowExists,
            player,
            name="Ann",
            age=3,
        )

    def test_shows_a_relationship_that_differs(self):
        team, other = Team(), Team()
        self.session.add_all([team, other])
        self.session.flush()
        self.session.add(Player(name="ann", team=team))
        with self.assertRaises(self.failureException) as caught:
            self.assertRowExists(Player, name="ann", team=other)
        self.assertIn("\n      team is not <", str(caught.exception))

    def test_says_that_there_are_no_rows(self):
        words = "no row of Player has %s: there are no rows."
        self.assertFails(words % "name='ann'", self.assertRowExists, Player, name="ann")
        self.assertFails(words % "any value", self.assertRowExists, Player)

    def test_shows_the_rows_that_should_not_be(self):
        self.add("ann", "bob")
        self.assertFails(
            "no row of Player with name='ann' expected, 1 found%s:\n"
            "  <Player id=1 kind='player' name='ann' age=None team_id=None>" % self.seen(1, 1),
            self.assertNoRowExists,
            Player,
            name="ann",
        )

    def test_takes_msg_for_a_column_where_there_is_one(self):
        self.session.add(Team(msg="x"))
        self.assertRowExists(Team, msg="x")
        self.assertNoRowExists(Team, msg=None)
        self.assertFails(
            "no row of Player has name='ann': there are no rows. : x",
            self.assertRowExists,
            Player,
            name="ann",
            msg="x",
        )

    def test_names_the_columns_that_there_are(self):
        with self.assertRaises(TypeError) as caught:
            self.assertRowExists(Player, nmae="ann")
        self.assertEqual(
            str(caught.exception),
            "Player has no column 'nmae'; its columns are: id, kind, name, age, team_id",
        )

    def test_finds_no_rows_by_value_in_a_query(self):
        with self.assertRaises(TypeError) as caught:
            self.assertRowExists(self.session.query(Player), name="ann")
        self.assertEqual(
            str(caught.exception),
            "rows are found by value in a mapped class or a Table; got the query",
        )

    # --- assertRowCountChanges

    def test_counts_changes_of_several_targets(self):
        self.add("ann", "bob")
        with self.assertRowCountChanges({Player: -1, tag: +1, Team: 0, player: -1}):
            self.session.execute(tag.insert().values(word="x"))
            self.session.delete(self.session.query(Player).first())

    def test_shows_what_came_and_what_went(self):
        self.add("ann", "bob")

        def work():
            self.session.delete(self.session.query(Player).filter_by(name="ann").one())
            self.session.flush()
            self.add("cy", "di", commit=False)

        self.assertFails(
            "row counts did not change as expected:\n"
            "  Player: +1 instead of 0 (2 before, 3 after)\n"
            "      new: <Player id=3 kind='player' name='cy' age=None team_id=None>\n"
            "      new: <Player id=4 kind='player' name='di' age=None team_id=None>\n"
            "      gone: <Player id=1>\n"
            "  Team: 0 as expected (0 before, 0 after)\n"
            "  tag: 0 instead of -1 (0 before, 0 after)",
            self.changes,
            {Player: 0, Team: 0, tag: -1},
            work,
        )

    def test_counts_changes_of_long_tables_without_their_keys(self):
        self.session.bulk_insert_mappings(Player, [{"name": "x"}] * 201)
        self.session.commit()
        self.assertFails(
            "row counts did not change as expected:\n"
            "  Player: +1 instead of 0 (201 before, 202 after)",
            self.changes,
            {Player: 0},
            lambda: self.add("ann"),
        )

    def test_passes_on_what_the_block_raises(self):
        with self.assertRaises(ZeroDivisionError), self.assertRowCountChanges({Player: 5}):
            raise ZeroDivisionError

    def test_works_when_the_block_removes_the_session(self):
        with self.assertRowCountChanges({Player: +1}):
            self.add("ann")
            self.session.remove()

    def test_refuses_changes_that_are_none(self):
        for changes in ({}, [Player], None):
            with self.assertRaises(TypeError) as caught:
                self.assertRowCountChanges(changes)
            self.assertIn("{Participant: +1, Session: 0}; got ", str(caught.exception))
        with self.assertRaises(TypeError) as caught:
            self.assertRowCountChanges({Player: "1"})
        self.assertEqual(
            str(caught.exception), "a change is a whole number of rows, as +1, 0 or -2; got '1'"
        )

    # --- sessions

    def test_finds_the_session_of_db_and_of_a_sessionmaker(self):
        self.add("ann")

        class Database:
            session = self.session

        self.session, self.db = {"a": "session of another kind"}, Database
        self.assertRowCount(Player, 1)
        self.session = sessionmaker(bind=self.engine)
        self.assertRowCount(Player, 1)
        self.session = Database.session

    def test_says_that_there_is_no_session(self):
        class Inner(RowAssertions, unittest.TestCase):
            session = {"a": "session of another kind"}

        with self.assertRaises(ConfigurationError) as caught:
            Inner("assertRowCount").assertRowCount(Player, 1)
        self.assertEqual(
            str(caught.exception),
            "assertRowCount() found no session on Inner (its session is of type dict). Set session "
            "to a SQLAlchemy session, scoped session or sessionmaker, or db to the "
            "Flask-SQLAlchemy object.",
        )

    def test_points_at_the_line_of_the_test(self):
        outer = self

        class Inner(RowAssertions, unittest.TestCase):
            session = outer.session

            def test_count(self):
                self.assertRowCount(Player, 1)

            def test_row(self):
                self.assertRowExists(Player, name="ann")

            def test_changes(self):
                with self.assertRowCountChanges({Player: 1}):
                    pass

        failures = support.run_case(Inner).failures
        self.assertEqual([text.count("  File ") for _, text in failures], [1, 1, 1])


class RowsOnFileSQLite(RowsOnPostgreSQL):
    @classmethod
    def make_engine(cls):
        cls.folder = tempfile.TemporaryDirectory()
        return sa.create_engine("sqlite:///" + os.path.join(cls.folder.name, "rows.db"))

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        cls.folder.cleanup()


class RowsInMemory(RowsOnPostgreSQL):
    @classmethod
    def make_engine(cls):
        return sa.create_engine("sqlite://", poolclass=sa.pool.StaticPool)

    def seen(self, here, committed):
        return ""

    test_looks_outside_a_pool_that_is_empty = None


class LockedTableTest(RowAssertions, unittest.TestCase):
    def test_does_not_wait_for_a_lock(self):
        engine = sa.create_engine(support.postgresql_url("rows_locked_test"))
        self.addCleanup(engine.dispose)
        Base.metadata.create_all(engine)
        self.session = Session(bind=engine)
        self.addCleanup(self.session.close)
        self.session.execute(sa.schema.DropTable(tag))
        tag.create(self.session.connection())
        failures = []

        def work():
            try:
                self.assertRowCount(tag, 1)
            except self.failureException as failure:
                failures.append(str(failure))

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(10)
        self.assertEqual(failures, ["1 row of tag expected, 0 found."])


class BindKeyTest(RowAssertions, unittest.TestCase):
    def test_counts_in_the_database_of_the_bind_key(self):
        flask = support.imported("flask")
        flask_sqlalchemy = support.imported("flask_sqlalchemy")

        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        app = flask.Flask(__name__)
        app.config.update(
            SQLALCHEMY_DATABASE_URI="sqlite://",
            SQLALCHEMY_BINDS={"other": "sqlite:///" + os.path.join(folder.name, "other.db")},
            SQLALCHEMY_TRACK_MODIFICATIONS=False,
        )
        self.db = db = flask_sqlalchemy.SQLAlchemy(app)

        class Badge(db.Model):
            __bind_key__ = "other"
            id = db.Column(db.Integer, primary_key=True)

        with app.app_context():
            db.create_all()
            db.session.add(Badge())
            for target in (Badge, Badge.__table__, Badge.__table__.select()):
                self.assertRowCount(target, 1)
                self.assertNoRowExists(Badge.__table__, id=2)
                with self.assertRaises(self.failureException) as caught:
                    self.assertRowCount(target, 2)
                self.assertIn(": 1 in this session, 0 committed:\n", str(caught.exception))
            self.assertRowCount(db.session.query(Badge), 1)
            db.session.remove()
        for engine in _compat.live_engines(db, app).values():
            engine.dispose()
