from __future__ import annotations

import gc
import os
import pickle
import threading
import unittest
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, make_transient, relationship, scoped_session, sessionmaker

from dbtestcase import _compat, where
from dbtestcase.assertions import ObjectStateAssertions, states
from tests import support

try:
    from sqlalchemy.orm import declarative_base
except ImportError:  # SQLAlchemy 1.3
    from sqlalchemy.ext.declarative import declarative_base

Base: Any = declarative_base()


class Team(Base):
    __tablename__ = "team"
    id = sa.Column(sa.Integer, primary_key=True)


class Player(Base):
    __tablename__ = "player"
    id = sa.Column(sa.Integer, primary_key=True)
    name = sa.Column(sa.String(50), nullable=False)
    team_id = sa.Column(sa.Integer, sa.ForeignKey("team.id"))
    team = relationship(Team, backref="players")

    def __repr__(self):
        raise AssertionError("a failure must not call the object's own __repr__")


def here(offset: int = 0) -> str:
    """Return the caller's place as failures write it, some lines further down."""
    line = where.user_lines(2)[1]
    return "%s:%d" % (os.path.join("tests", "test_states.py"), line.lineno + offset)


class StatesOnSQLite(ObjectStateAssertions, unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.engine = cls.make_engine()

    @classmethod
    def tearDownClass(cls):
        cls.engine.dispose()
        super().tearDownClass()

    @classmethod
    def make_engine(cls):
        return sa.create_engine(
            "sqlite://", poolclass=sa.pool.StaticPool, connect_args={"check_same_thread": False}
        )

    def setUp(self):
        super().setUp()
        Base.metadata.drop_all(self.engine)
        Base.metadata.create_all(self.engine)
        self.session = scoped_session(sessionmaker(bind=self.engine))
        self.addCleanup(self.session.remove)
        self.where = "in %s.%s" % (type(self).__name__, self._testMethodName)

    def stored(self, **values):
        player = Player(name="ann", **values)
        self.session.add(player)
        self.session.commit()
        return player

    def assertFails(self, words, assertion, *arguments, **options):
        with self.assertRaises(self.failureException) as caught:
            assertion(*arguments, **options)
        self.assertEqual(str(caught.exception), words)

    def test_follows_an_object_through_all_its_states(self):
        player = Player(name="ann")
        self.assertTransient(player)
        self.session.add(player)
        self.assertPending(player)
        self.session.flush()
        self.assertPersistent(player)
        self.session.delete(player)
        self.assertPersistent(player)
        self.session.flush()
        self.assertDeleted(player)
        self.session.commit()
        self.assertDetached(player)

    def test_each_state_is_none_of_the_others(self):
        player, walk = Player(name="ann"), ["Transient", "Pending", "Persistent"]
        for index, step in enumerate([None, self.session.add, self.session.flush]):
            if step:
                step(*([player] if index == 1 else []))
            for name in ["Transient", "Pending", "Persistent", "Deleted", "Detached"]:
                assertion = getattr(self, "assert" + name)
                if name == walk[index]:
                    assertion(player)
                else:
                    with self.assertRaises(self.failureException):
                        assertion(player)

    def test_says_that_an_object_was_never_added(self):
        self.assertFails(
            "<Player name='ann'> is transient, not pending: it was never added to a session.",
            self.assertPending,
            Player(name="ann"),
        )

    def test_says_where_an_object_was_added(self):
        player = Player(name="ann")
        self.session.add(player)
        self.assertFails(
            "<Player name='ann'> is pending, not persistent: it was added to a session, but not "
            "flushed (session.add() at %s, %s)." % (here(-3), self.where),
            self.assertPersistent,
            player,
        )

    def test_says_where_a_relationship_added_an_object(self):
        team = Team()
        self.session.add(team)
        player = Player(name="ann")
        team.players.append(player)
        self.assertFails(
            "<Player name='ann'> is pending, not transient: it was added to a session, but not "
            "flushed (at %s, %s)." % (here(-3), self.where),
            self.assertTransient,
            player,
        )

    def test_says_that_the_adding_was_rolled_back(self):
        player = Player(name="ann")
        self.session.add(player)
        self.session.rollback()
        self.assertFails(
            "<Player name='ann'> is transient, not pending: the transaction in which it was added "
            "was rolled back (session.rollback() at %s, %s)." % (here(-3), self.where),
            self.assertPending,
            player,
        )

    def test_says_that_the_insert_failed(self):
        self.session.add(Player(name=None))
        player = next(iter(self.session.new))
        with self.assertRaises(sa.exc.IntegrityError):
            self.session.commit()
        self.session.rollback()
        self.assertFails(
            "<Player name=None> is transient, not persistent: its INSERT failed and was rolled "
            "back (session.commit() at %s, %s)." % (here(-4), self.where),
            self.assertPersistent,
            self.without_key(player),
        )

    def without_key(self, player):
        player.__dict__.pop("id", None)  # some versions put id=None there
        player.__dict__.pop("team_id", None)
        return player

    def test_says_where_an_object_was_flushed(self):
        player = Player(name="ann")
        self.session.add(player)
        self.session.flush()
        self.assertFails(
            "<Player id=1 name='ann'> is persistent, not transient: it was flushed "
            "(session.flush() at %s, %s)." % (here(-3), self.where),
            self.assertTransient,
            player,
        )

    def test_says_that_a_query_flushed_an_object(self):
        player = Player(name="ann")
        self.session.add(player)
        self.session.query(Team).all()
        self.assertFails(
            "<Player id=1 name='ann'> is persistent, not pending: it was flushed "
            "(autoflush at %s, %s)." % (here(-3), self.where),
            self.assertPending,
            player,
        )

    def test_says_that_delete_was_not_flushed(self):
        player = self.stored()
        self.session.delete(player)
        expired = "<Player id=1> is persistent, not %s: delete() was called on it, but not flushed."
        self.assertFails(
            expired % "deleted" + " Flush the session first.", self.assertDeleted, player
        )
        self.assertFails(
            expired % "detached"
            + " An object is deleted from flush to commit, and detached after the commit.",
            self.assertDetached,
            player,
        )

    def test_says_that_the_state_does_not_come_from_the_row(self):
        player = self.stored()
        self.session.execute(Player.__table__.delete())
        self.assertPersistent(player)
        self.assertFails(
            "<Player id=1> is persistent, not deleted: it was flushed (session.commit() at "
            "%s, %s). A row deleted by Query.delete(), by SQL or by another session leaves its "
            "object persistent: use assertNoRowExists()." % (self.stored_at(), self.where),
            self.assertDeleted,
            player,
        )

    def stored_at(self):
        line = StatesOnSQLite.stored.__code__.co_firstlineno + 3
        return "%s:%d" % (os.path.join("tests", "test_states.py"), line)

    def test_says_that_the_delete_was_not_committed(self):
        player = self.stored()
        self.session.delete(player)
        self.session.flush()
        self.assertFails(
            "<Player id=1 name='ann' team_id=None> is deleted, not detached: its DELETE was "
            "flushed, but not committed (session.flush() at %s, %s). An object is deleted from "
            "flush to commit, and detached after the commit." % (here(-4), self.where),
            self.assertDetached,
            self.with_name(player),
        )

    def with_name(self, player):
        player.__dict__.update(name="ann", team_id=None)  # some versions have expired these
        return player

    def test_says_that_the_row_was_deleted_and_committed(self):
        player = self.stored()
        self.session.delete(player)
        self.session.commit()
        self.assertFails(
            "<Player id=1 name='ann' team_id=None> is detached, not persistent: its row was "
            "deleted and that was committed (session.commit() at %s, %s)." % (here(-3), self.where),
            self.assertPersistent,
            self.with_name(player),
        )

    def test_says_that_the_delete_was_never_committed(self):
        player = self.stored()
        self.session.delete(player)
        self.session.flush()
        self.session.remove()
        gc.collect()
        self.assertFails(
            "<Player id=1 name='ann' team_id=None> is detached, not persistent: its DELETE was "
            "flushed, but its session ended without a commit (session.flush() at %s, %s)."
            % (here(-6), self.where),
            self.assertPersistent,
            self.with_name(player),
        )

    def test_says_that_the_delete_was_rolled_back(self):
        player = self.stored()
        self.session.delete(player)
        self.session.flush()
        self.session.rollback()
        self.assertFails(
            "<Player id=1> is persistent, not detached: its DELETE was rolled back "
            "(session.rollback() at %s, %s). Its session is still open." % (here(-3), self.where),
            self.assertDetached,
            player,
        )

    def test_says_that_the_session_was_removed(self):
        player = self.stored()
        self.session.remove()
        self.assertFails(
            "<Player id=1> is detached, not persistent: the session it was in was removed "
            "(session.remove() at %s, %s)." % (here(-3), self.where),
            self.assertPersistent,
            player,
        )

    def test_says_that_the_session_was_closed(self):
        player = self.stored()
        self.session.close()
        self.assertFails(
            "<Player id=1> is detached, not pending: the session it was in was closed "
            "(session.close() at %s, %s)." % (here(-3), self.where),
            self.assertPending,
            player,
        )

    def test_says_that_the_object_was_expunged(self):
        player = self.stored()
        self.session.expunge(player)
        self.assertFails(
            "<Player id=1> is detached, not transient: it was expunged from its session "
            "(session.expunge() at %s, %s)." % (here(-3), self.where),
            self.assertTransient,
            player,
        )

    def test_says_that_the_object_was_made_transient(self):
        player = self.stored()
        make_transient(player)
        self.assertFails(
            "<Player> is transient, not persistent: it was made transient "
            "(make_transient() at %s, %s)." % (here(-3), self.where),
            self.assertPersistent,
            player,
        )

    def test_says_that_the_session_was_garbage(self):
        session = Session(bind=self.engine)
        player = Player(name="ann")
        session.add(player)
        session.commit()
        del session
        gc.collect()
        self.assertFails(
            "<Player id=1> is detached, not persistent: nothing refers to the session it was in, "
            "so that was garbage-collected.",
            self.assertPersistent,
            player,
        )

    def test_says_that_an_object_came_from_outside(self):
        player = pickle.loads(pickle.dumps(self.stored()))
        self.assertFails(
            "<Player id=1> is detached, not persistent: how it left its session was not seen.",
            self.assertPersistent,
            player,
        )

    def test_says_which_earlier_test_added_the_object(self):
        where.set_current_test("TeamTest.test_first")
        player = self.stored()
        where.set_current_test("TeamTest.test_second")
        self.session.remove()
        self.assertFails(
            "<Player id=1> is detached, not persistent: the session it was in was removed "
            "(session.remove() at %s, in TeamTest.test_second). It was first added in "
            "TeamTest.test_first." % here(-4),
            self.assertPersistent,
            player,
        )

    def test_says_which_earlier_test_loaded_the_object(self):
        self.stored()
        self.session.remove()
        where.set_current_test("TeamTest.test_first")
        player = self.session.query(Player).one()
        where.set_current_test("TeamTest.test_second")
        self.assertFails(
            "<Player id=1 name='ann' team_id=None> is persistent, not detached: it was loaded by "
            "a query (in TeamTest.test_first). It was first loaded in TeamTest.test_first. "
            "Its session is still open.",
            self.assertDetached,
            player,
        )

    def test_says_that_another_thread_removed_the_session(self):
        players = []

        def work():
            players.append(self.stored())
            self.session.remove()

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        self.assertFails(
            "<Player id=1> is detached, not persistent: the session it was in was removed "
            "(session.remove() at %s, %s)." % (here(-7), self.where),
            self.assertPersistent,
            players[0],
        )

    def test_neither_loads_nor_flushes_nor_expires(self):
        expired, pending = self.stored(), Player(name="bob")
        self.session.add(pending)
        statements = []
        sa.event.listen(
            self.engine, "before_cursor_execute", lambda *args: statements.append(args[2])
        )
        for assertion in (self.assertDetached, self.assertDeleted, self.assertTransient):
            for player in (expired, pending):
                with self.assertRaises(self.failureException):
                    assertion(player)
        self.assertEqual(statements, [])
        self.assertNotIn("name", expired.__dict__)
        self.assertPending(pending)

    def test_refuses_what_is_no_mapped_object(self):
        words = "assertPersistent() takes a mapped object; got "
        self.assertFails(words + "str 'x'", self.assertPersistent, "x")
        self.assertFails(words + "None", self.assertPersistent, None)
        self.assertFails(words + "the class Player", self.assertPersistent, Player)

    def test_cuts_long_values(self):
        self.assertFails(
            "<Player name='xxxxxxxxxxxxxxxxxxxxxxxxxxx...xxxxxxxxxxxxxxxxxxxxxxxxxxxx'> is "
            "transient, not pending: it was never added to a session.",
            self.assertPending,
            Player(name="x" * 1000),
        )

    def test_adds_the_message(self):
        self.assertFails(
            "<Player name='ann'> is transient, not pending: it was never added to a session. "
            ": after the form was sent",
            self.assertPending,
            Player(name="ann"),
            msg="after the form was sent",
        )


class StatesOnPostgreSQL(StatesOnSQLite):
    @classmethod
    def make_engine(cls):
        return sa.create_engine(support.postgresql_url("states_test"))


class StatesAloneTest(unittest.TestCase):
    def test_points_at_the_line_of_the_test(self):
        class Inner(ObjectStateAssertions, unittest.TestCase):
            def test_it(self):
                self.assertPending(Player(name="ann"))

        ((_, traceback),) = support.run_case(Inner).failures
        self.assertEqual(traceback.count("  File "), 1)
        self.assertIn("self.assertPending(Player", traceback)

    def test_works_when_set_up_does_not_call_super(self):
        class Inner(ObjectStateAssertions, unittest.TestCase):
            def setUp(self):
                pass

            def test_it(self):
                self.assertTransient(Player(name="ann"))

        self.assertTrue(support.run_case(Inner).wasSuccessful())

    def test_importing_records_nothing(self):
        done = support.run_python(
            "-c",
            "from dbtestcase.assertions import states\n"
            "from tests.test_states import Player, Session, sa\n"
            "player = Player()\n"
            "Session().add(player)\n"
            "print(states.steps(sa.inspect(player)))",
        )
        self.assertEqual((done.stderr, done.stdout), ("", "[]\n"))


class StatesInFlaskTest(ObjectStateAssertions, unittest.TestCase):
    def test_blames_the_app_context_before_the_response_that_was_closed(self):
        called = ["remove", "shutdown_session", "do_teardown_appcontext", "pop", "close"]
        self.assertEqual(states._outermost(called), "do_teardown_appcontext")

    def test_says_that_the_app_context_was_left(self):
        flask = support.imported("flask")
        flask_sqlalchemy = support.imported("flask_sqlalchemy")

        app = flask.Flask(__name__)
        app.config.update(SQLALCHEMY_DATABASE_URI="sqlite://", SQLALCHEMY_TRACK_MODIFICATIONS=False)
        db = flask_sqlalchemy.SQLAlchemy(app)

        class Badge(db.Model):
            id = db.Column(db.Integer, primary_key=True)

        context = app.app_context()
        context.push()
        db.create_all()
        badge = Badge()
        db.session.add(badge)
        db.session.commit()
        context.pop()
        for engine in _compat.live_engines(db, app).values():
            engine.dispose()
        with self.assertRaises(self.failureException) as caught:
            self.assertPersistent(badge)
        self.assertEqual(
            str(caught.exception),
            "<Badge id=1> is detached, not persistent: the session it was in was removed with its "
            "app context (app context left at %s, in StatesInFlaskTest."
            "test_says_that_the_app_context_was_left)." % here(-9),
        )
