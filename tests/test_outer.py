import contextlib
import io
import os
import shutil
import tempfile
import threading
import types
import unittest
import warnings

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.exc import DBAPIError, IntegrityError

from dbtestcase import _compat
from dbtestcase.dialects.postgresql.sessions import Control
from dbtestcase.errors import ConfigurationError
from dbtestcase.strategies.outer import OuterTransaction, close_kept
from dbtestcase.strategies.outer.transaction import _kept
from tests import support

metadata = sa.MetaData()
users = sa.Table(
    "users",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(50), unique=True, nullable=False),
)
pets = sa.Table(
    "pets",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column(
        "owner_id",
        sa.ForeignKey("users.id", name="pets_owner", deferrable=True, initially="DEFERRED"),
    ),
)


class User:
    def __init__(self, name):
        self.name = name


if hasattr(orm, "registry"):
    orm.registry().map_imperatively(User, users)
else:
    orm.mapper(User, users)


def add(connection, *names):
    for name in names:
        connection.execute(users.insert(), {"name": name})


def names(connection):
    return sorted(row.name for row in connection.execute(users.select()).fetchall())


class OuterCase(unittest.TestCase):
    """What the scenarios share: an engine, its outer transaction, and the proof of the end."""

    @classmethod
    def make_engine(cls):
        raise unittest.SkipTest("the base of the scenarios")

    @classmethod
    def setUpClass(cls):
        cls.engine = cls.make_engine()
        metadata.drop_all(cls.engine)
        metadata.create_all(cls.engine)

    @classmethod
    def tearDownClass(cls):
        close_kept(cls.engine)
        cls.engine.dispose()

    def setUp(self):
        self.pool = self.engine.pool
        self.outer = self.begin(self.engine)
        self.Session = orm.scoped_session(orm.sessionmaker(bind=self.engine))

    def begin(self, *engines):
        outer = OuterTransaction(list(engines), self.id().split(".", 2)[2], "outer_test")
        outer.begin()
        return outer

    def tearDown(self):
        self.Session.remove()
        if not self.outer.over:
            self.outer.end()
        self.assertIs(self.engine.pool, self.pool)
        with self.engine.connect() as connection:
            self.assertEqual(names(connection), [])

    def assert_nothing_escaped(self, outcome):
        """A commit in another database of the server looks like one that escaped at first."""
        if outcome.committed:
            self.assertEqual(self.outer.connection.escaped_tables(self.checked_database()), [])

    def assert_escaped(self, tables):
        if self.engine.dialect.name == "postgresql":
            found = self.outer.connection.escaped_tables(self.checked_database())
            self.assertEqual(found, tables)

    def clear(self, engine):
        metadata.drop_all(engine)
        metadata.create_all(engine)
        engine.dispose()
        close_kept(self.engine)

    def names(self):
        with self.engine.connect() as connection:
            return names(connection)


class ScenariosMixin:
    def test_commit_then_rollback_keeps_what_was_committed(self):
        self.Session.add(User("kept"))
        self.Session.commit()
        self.Session.rollback()
        self.assertEqual(self.Session.query(User).count(), 1)

    def test_rollback_undoes_only_what_came_after_the_last_commit(self):
        self.Session.add(User("kept"))
        self.Session.commit()
        self.Session.add(User("undone"))
        self.Session.flush()
        self.Session.rollback()
        self.assertEqual(self.names(), ["kept"])

    def test_after_an_integrity_error_and_a_rollback_commits_stay_inside(self):
        self.Session.add(User("first"))
        self.Session.commit()
        self.Session.add(User("first"))
        with self.assertRaises(IntegrityError):
            self.Session.commit()
        self.Session.rollback()
        self.Session.add(User("second"))
        self.Session.commit()
        self.assertEqual(self.names(), ["first", "second"])

    def test_a_nested_block_is_undone_alone(self):
        self.Session.add(User("outside"))
        self.Session.flush()
        nested = self.Session.begin_nested()
        self.Session.add(User("inside"))
        self.Session.flush()
        nested.rollback()
        self.Session.commit()
        self.assertEqual(self.names(), ["outside"])

    def test_two_levels_of_nesting_end_as_told(self):
        first = self.Session.begin_nested()
        self.Session.add(User("first level"))
        second = self.Session.begin_nested()
        self.Session.add(User("second level"))
        self.Session.flush()
        second.rollback()
        first.commit()
        self.Session.commit()
        self.assertEqual(self.names(), ["first level"])

    def test_a_rollback_of_everything_takes_nested_blocks_along(self):
        self.Session.add(User("committed"))
        self.Session.commit()
        self.Session.add(User("outside"))
        nested = self.Session.begin_nested()
        self.Session.add(User("inside"))
        nested.commit()
        self.Session.rollback()
        self.assertEqual(self.names(), ["committed"])

    def test_a_session_after_remove_sees_what_was_committed(self):
        self.Session.add(User("seen"))
        self.Session.commit()
        self.Session.remove()
        self.assertEqual([user.name for user in self.Session.query(User)], ["seen"])

    def test_a_flush_without_a_commit_is_discarded_by_remove(self):
        self.Session.add(User("discarded"))
        self.Session.flush()
        self.Session.remove()
        self.assertEqual(self.Session.query(User).count(), 0)

    def test_two_sessions_commit_and_roll_back_each_for_itself(self):
        other = orm.sessionmaker(bind=self.engine)()
        other.add(User("other"))
        other.commit()
        self.Session.add(User("undone"))
        self.Session.flush()
        self.Session.rollback()
        other.add(User("again"))
        other.commit()
        other.close()
        self.assertEqual(self.names(), ["again", "other"])

    def test_a_session_that_only_read_takes_nothing_of_another_along(self):
        reader = orm.sessionmaker(bind=self.engine)()
        self.assertEqual(reader.query(User).count(), 0)
        self.Session.add(User("written"))
        self.Session.commit()
        reader.rollback()
        reader.close()
        self.assertEqual(self.names(), ["written"])

    def test_a_reader_in_the_middle_leaves_unfinished_work_alone(self):
        self.Session.add(User("unfinished"))
        self.Session.flush()
        self.assertEqual(self.names(), ["unfinished"])
        self.Session.add(User("finished"))
        self.Session.commit()
        self.assertEqual(self.names(), ["finished", "unfinished"])

    def test_a_query_that_fails_takes_no_unfinished_work_of_another_along(self):
        self.Session.add(User("unfinished"))
        self.Session.flush()
        with self.assertRaises(DBAPIError):
            with self.engine.connect() as connection:
                connection.execute(sa.text("SELECT * FROM missing"))
        self.Session.commit()
        self.assertEqual(self.names(), ["unfinished"])

    def test_a_query_that_fails_takes_nothing_along_that_was_written_after_an_earlier_one(self):
        self.Session.add(User("before"))
        self.Session.flush()
        with self.engine.connect() as connection:
            self.assertEqual(names(connection), ["before"])
            self.Session.add(User("after"))
            self.Session.flush()
            with self.assertRaises(DBAPIError):
                connection.execute(sa.text("SELECT * FROM missing"))
        self.Session.commit()
        self.assertEqual(self.names(), ["after", "before"])

    def test_a_raw_connection_goes_on_after_a_query_that_failed(self):
        raw = self.engine.raw_connection()
        cursor = raw.cursor()
        with self.assertRaises(self.engine.dialect.dbapi.Error):
            cursor.execute("SELECT * FROM missing")
        raw.rollback()
        cursor.execute("SELECT count(*) FROM users")
        self.assertEqual(cursor.fetchone()[0], 0)
        raw.close()

    def test_a_connection_that_was_given_back_cannot_be_used(self):
        raw = self.engine.raw_connection()
        dbapi = _compat.dbapi_connection(raw)
        raw.close()
        with self.assertRaises(self.engine.dialect.dbapi.Error):
            dbapi.cursor()

    def test_a_query_that_fails_takes_nothing_committed_along(self):
        self.Session.add(User("committed"))
        self.Session.commit()
        with self.assertRaises(DBAPIError):
            self.Session.execute(sa.text("SELECT * FROM missing"))
        self.Session.rollback()
        self.assertEqual(self.names(), ["committed"])

    def test_engine_begin_sees_the_rows_of_the_test_and_commits_inside(self):
        self.Session.add(User("session"))
        self.Session.commit()
        with self.engine.begin() as connection:
            self.assertEqual(names(connection), ["session"])
            add(connection, "engine")
        self.assertEqual(self.Session.query(User).count(), 2)

    def test_engine_begin_that_raises_is_undone(self):
        with contextlib.suppress(ZeroDivisionError):
            with self.engine.begin() as connection:
                add(connection, "undone")
                raise ZeroDivisionError
        self.assertEqual(self.names(), [])

    def test_disposing_of_the_engine_changes_nothing(self):
        self.Session.add(User("kept"))
        self.Session.commit()
        self.engine.dispose()
        self.assertEqual(self.names(), ["kept"])

    def test_a_clone_of_the_engine_shares_the_transaction(self):
        clone = self.engine.execution_options(compiled_cache={})
        with clone.begin() as connection:
            add(connection, "clone")
        self.assertEqual(self.names(), ["clone"])

    def test_listeners_of_the_engine_go_on_to_be_called(self):
        self.outer.end()
        statements, checkouts = [], []

        def count(connection, cursor, statement, *arguments):
            statements.append(statement)

        def check_out(*arguments):
            checkouts.append(1)

        sa.event.listen(self.engine, "before_cursor_execute", count)
        sa.event.listen(self.engine, "checkout", check_out)
        self.outer = self.begin(self.engine)
        del checkouts[:]
        self.names()
        self.assertEqual(len(checkouts), 1)
        self.outer.end()
        self.names()
        sa.event.remove(self.engine, "before_cursor_execute", count)
        sa.event.remove(self.engine, "checkout", check_out)
        self.assertEqual(len(checkouts), 2)
        self.assertRegex(statements[-1], "^SELECT users")

    def test_listeners_that_a_test_adds_stay_with_the_engine(self):
        checkouts = []

        def check_out(*arguments):
            checkouts.append(1)

        sa.event.listen(self.engine, "checkout", check_out)
        self.outer.end()
        self.names()
        del check_out  # the engine's list alone keeps it
        self.assertEqual(len(checkouts), 1)
        self.engine.pool.dispatch.checkout.clear()

    def test_a_statement_after_a_failed_flush_is_refused_until_the_rollback(self):
        self.Session.add(User(None))
        with self.assertRaises(IntegrityError):
            self.Session.flush()
        with self.assertRaises(sa.exc.InvalidRequestError):
            self.Session.query(User).count()
        self.Session.rollback()
        self.Session.add(User("fine"))
        self.Session.commit()
        self.assertEqual(self.names(), ["fine"])

    def test_autocommit_is_refused(self):
        text = (
            r'%s asks for AUTOCOMMIT on "outer_test", which reset = "rollback" cannot give: the'
            r" whole test runs in one transaction, and this would get past it. Use reset ="
            r' "recreate" for this class\.' % self.outer.test
        )
        with self.assertRaisesRegex(ConfigurationError, text):
            self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        with self.assertRaisesRegex(ConfigurationError, text):
            self.engine.execution_options(isolation_level="AUTOCOMMIT").connect()
        self.assertEqual(self.names(), [])

    def test_a_raw_connection_commits_and_rolls_back_inside(self):
        raw = self.engine.raw_connection()
        cursor = raw.cursor()
        cursor.execute("INSERT INTO users (name) VALUES ('committed')")
        raw.commit()
        cursor.execute("INSERT INTO users (name) VALUES ('undone')")
        raw.rollback()
        cursor.close()
        raw.close()
        self.assertEqual(self.names(), ["committed"])

    def test_the_driver_connection_of_a_session_commits_inside(self):
        fairy = self.Session.connection().connection
        fairy.cursor().execute("INSERT INTO users (name) VALUES ('raw')")
        _compat.dbapi_connection(fairy).commit()
        self.Session.rollback()
        self.assertEqual(self.names(), ["raw"])

    def test_transaction_control_as_text_stays_inside(self):
        raw = self.engine.raw_connection()
        cursor = raw.cursor()
        cursor.execute("BEGIN")
        cursor.execute("INSERT INTO users (name) VALUES ('committed')")
        cursor.execute("COMMIT")
        cursor.execute("INSERT INTO users (name) VALUES ('undone')")
        cursor.execute(" -- enough\n rollback")
        raw.close()
        self.assertEqual(self.names(), ["committed"])

    def test_a_violated_deferred_constraint_fails_the_commit(self):
        with self.assertRaises(IntegrityError):
            with self.engine.begin() as connection:
                connection.execute(pets.insert(), {"owner_id": 7})
        self.Session.add(User("fine"))
        self.Session.commit()
        self.assertEqual(self.names(), ["fine"])
        self.assertIsNone(self.outer.end().violation)

    def test_a_deferred_constraint_that_is_kept_in_time_is_no_violation(self):
        for _ in range(2):
            with self.engine.begin() as connection:
                connection.execute(pets.delete())
                connection.execute(users.delete())
                connection.execute(pets.insert(), {"owner_id": 7})
                connection.execute(users.insert(), {"id": 7, "name": "owner"})
        self.assertEqual(self.names(), ["owner"])

    def test_a_violation_that_nobody_committed_is_none(self):
        self.Session.execute(pets.insert(), {"owner_id": 7})
        self.Session.rollback()
        self.assertIsNone(self.outer.end().violation)

    def test_tables_that_a_test_makes_are_gone(self):
        with self.engine.begin() as connection:
            connection.execute(sa.text("CREATE TABLE made (id INTEGER)"))
        self.Session.remove()
        self.outer.end()
        self.assertNotIn("made", sa.inspect(self.engine).get_table_names())

    def test_a_connection_that_outlives_the_test_is_closed_politely(self):
        connection = self.engine.connect()
        add(connection, "late")
        self.outer.end()
        self.assertEqual(self.names(), [])
        with self.assertRaisesRegex(DBAPIError, "belonged to .*, which is over"):
            add(connection, "later")
        connection.close()

    def test_a_session_that_outlives_the_test_can_be_removed(self):
        self.Session.add(User("late"))
        self.Session.flush()
        self.outer.end()
        self.Session.remove()
        self.assertEqual(self.Session.query(User).count(), 0)

    def test_a_cursor_left_open_is_in_nobodys_way(self):
        connection = self.engine.connect()
        add(connection, "one", "two", "three")
        result = connection.execute(users.select())
        result.fetchone()
        self.outer.end()
        with self.engine.begin() as other:
            other.execute(sa.text("CREATE TABLE passing (id INTEGER)"))
            other.execute(sa.text("DROP TABLE passing"))
        connection.close()

    def test_a_test_that_ends_in_an_error_leaves_nothing(self):
        connection = self.engine.connect()
        add(connection, "left")
        with self.assertRaises(DBAPIError):
            connection.execute(sa.text("INSERT INTO missing VALUES (1)"))
        outcome = self.outer.end()
        self.assert_nothing_escaped(outcome)
        connection.close()

    def test_nothing_is_found_after_an_ordinary_test(self):
        self.Session.add(User("inside"))
        self.Session.commit()
        self.Session.remove()
        outcome = self.outer.end()
        self.assert_nothing_escaped(outcome)
        self.assertIsNone(outcome.violation)

    def test_a_rollback_that_takes_the_commit_of_another_along_warns(self):
        self.Session.add(User("unfinished"))
        self.Session.flush()
        with self.engine.begin() as connection:
            add(connection, "committed")
        with self.assertWarnsRegex(RuntimeWarning, "another one had written or committed since"):
            self.Session.rollback()

    def test_a_rollback_that_takes_later_rows_of_another_along_warns(self):
        first, second = self.engine.raw_connection(), self.engine.raw_connection()
        insert = "INSERT INTO users (name) VALUES ('%s')"
        first.cursor().execute(insert % "first")
        second.cursor().execute(insert % "second")
        first.cursor().execute(insert % "third")
        with self.assertWarnsRegex(RuntimeWarning, "another one had written or committed since"):
            second.rollback()
        first.close()
        second.close()

    def test_two_engines_of_one_database_share_the_transaction(self):
        second = sa.create_engine(self.engine.url)
        second.pool = self.engine.pool.former  # in memory there is no other way to one database
        self.outer.end()
        self.outer = self.begin(self.engine, second)
        with self.engine.begin() as connection:
            add(connection, "first")
        with second.begin() as connection:
            add(connection, "second")
        self.assertEqual(self.names(), ["first", "second"])


class ThreadsMixin:
    def test_threads_one_after_another_share_the_transaction(self):
        def work():
            self.Session.add(User("thread %d" % self.Session.query(User).count()))
            self.Session.commit()
            self.Session.remove()

        for _ in range(2):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
        self.assertEqual(self.names(), ["thread 0", "thread 1"])

    def test_a_session_that_a_dead_thread_left_is_in_nobodys_way(self):
        left = []

        def work():
            session = orm.sessionmaker(bind=self.engine)()
            session.add(User("left"))
            session.flush()
            left.append(session)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        self.outer.end()
        self.assertEqual(self.names(), [])
        left[0].close()


class SQLiteMemoryTest(ScenariosMixin, ThreadsMixin, OuterCase):
    @classmethod
    def make_engine(cls):
        engine = sa.create_engine(
            "sqlite://", poolclass=sa.pool.StaticPool, connect_args={"check_same_thread": False}
        )
        sa.event.listen(engine, "connect", lambda dbapi, record: enforce_foreign_keys(dbapi))
        return engine

    def test_a_script_stays_inside(self):
        raw = self.engine.raw_connection()
        _compat.dbapi_connection(raw).executescript(
            "INSERT INTO users (name) VALUES ('a;b'); INSERT INTO users (name) VALUES ('c')"
        )
        raw.close()
        self.assertEqual(self.names(), ["a;b", "c"])

    def test_an_or_rollback_that_ends_the_transaction_is_found(self):
        with self.engine.begin() as connection:
            add(connection, "first")
        with contextlib.suppress(DBAPIError):
            with self.engine.begin() as connection:
                connection.execute(
                    sa.text("INSERT OR ROLLBACK INTO users (name) VALUES ('first'), ('first')")
                )
        self.assertTrue(self.outer.end().committed)


def enforce_foreign_keys(dbapi):
    dbapi.execute("PRAGMA foreign_keys = ON")


class SQLiteThreadPoolTest(ScenariosMixin, OuterCase):
    @classmethod
    def make_engine(cls):
        engine = sa.create_engine("sqlite://", poolclass=sa.pool.SingletonThreadPool)
        sa.event.listen(engine, "connect", lambda dbapi, record: enforce_foreign_keys(dbapi))
        return engine


class SQLiteFileTest(ScenariosMixin, ThreadsMixin, OuterCase):
    @classmethod
    def make_engine(cls):
        cls.directory = tempfile.mkdtemp(prefix="outer test ")
        engine = sa.create_engine("sqlite:///%s" % os.path.join(cls.directory, "outer_test.db"))
        sa.event.listen(engine, "connect", lambda dbapi, record: enforce_foreign_keys(dbapi))
        return engine

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        shutil.rmtree(cls.directory)

    def test_what_another_connection_commits_is_noticed(self):
        other = sa.create_engine(self.engine.url)
        with other.begin() as connection:
            add(connection, "escaped")
        self.assertTrue(self.outer.end().committed)
        self.assert_escaped(["public.users"])
        self.clear(other)


class SQLiteRecipeTest(ScenariosMixin, ThreadsMixin, OuterCase):
    """With the listeners that SQLAlchemy's documentation gives against the driver's own ways."""

    @classmethod
    def make_engine(cls):
        engine = sa.create_engine(
            "sqlite://", poolclass=sa.pool.StaticPool, connect_args={"check_same_thread": False}
        )

        @sa.event.listens_for(engine, "connect")
        def connect(dbapi, record):
            dbapi.isolation_level = None
            enforce_foreign_keys(dbapi)

        @sa.event.listens_for(engine, "begin")
        def begin(connection):
            execute = getattr(connection, "exec_driver_sql", connection.execute)
            execute("BEGIN")

        return engine

    test_autocommit_is_refused = None  # the driver is in its autocommit mode already
    test_a_raw_connection_commits_and_rolls_back_inside = None  # and begins nothing by itself


class PostgreSQLTest(ScenariosMixin, ThreadsMixin, OuterCase):
    driver = "postgresql+psycopg2"

    @classmethod
    def make_engine(cls):
        url = support.postgresql_url("outer_test")
        return sa.create_engine(_compat.url_with(url, drivername=cls.driver))

    def checked_database(self):
        control = Control(self.engine)
        self.addCleanup(control.close)
        return types.SimpleNamespace(dialect=types.SimpleNamespace(control=control))

    def scalar(self, statement):
        with self.engine.connect() as connection:
            return connection.execute(sa.text(statement)).scalar()

    def test_the_connection_is_kept_for_the_next_test(self):
        pid = self.scalar("SELECT pg_backend_pid()")
        self.outer.end()
        self.outer = self.begin(self.engine)
        self.assertEqual(self.scalar("SELECT pg_backend_pid()"), pid)

    def test_disposing_of_the_engine_after_the_test_closes_the_connection(self):
        dbapi = self.outer.dbapi
        self.outer.end()
        self.engine.dispose()
        self.assertTrue(dbapi.closed)
        self.pool = self.engine.pool

    def test_a_listener_at_the_checkout_may_undo_what_failed(self):
        def try_in_vain(dbapi, record, fairy):
            try:
                dbapi.cursor().execute("SELECT nothing")
            except Exception:
                dbapi.rollback()

        engine = sa.create_engine(self.engine.url)
        sa.event.listen(engine, "checkout", try_in_vain)
        self.outer.end()
        self.outer = self.begin(engine)
        with engine.connect() as connection:
            self.assertEqual(connection.execute(sa.text("SELECT 1")).scalar(), 1)
        self.outer.end()
        engine.dispose()

    def test_an_engine_that_can_be_disposed_of_has_no_listeners_to_be_looked_for(self):
        # It would look for those of all events at each statement.
        self.assertIn(self.engine, _kept)
        self.assertNotIn("_has_events", vars(self.engine))

    def test_an_engine_keeps_the_listeners_that_it_had(self):
        seen = []
        engine = sa.create_engine(self.engine.url)
        sa.event.listen(engine, "before_cursor_execute", lambda *args: seen.append(args[2]))
        self.outer.end()
        self.outer = self.begin(engine)
        with engine.connect() as connection:
            connection.execute(sa.text("SELECT 1"))
        self.assertEqual(seen, ["SELECT 1"])
        self.outer.end()
        engine.dispose()

    def test_each_sequence_is_back_where_it_was(self):
        self.outer.end()
        names = ["three", "nine", "unused"]
        with self.engine.begin() as connection:
            for name, value in zip(names, (3, 9, 1)):
                connection.execute(sa.text("CREATE SEQUENCE %s START %d" % (name, value)))
            connection.execute(sa.text("SELECT nextval('nine')"))
        later = sa.text("SELECT %s" % ", ".join("nextval('%s')" % name for name in names))
        baseline = object()
        for _ in range(3):
            self.outer = OuterTransaction([self.engine], "another", "outer_test")
            self.outer.begin(baseline)
            with self.engine.begin() as connection:
                self.assertEqual(tuple(connection.execute(later).fetchone()), (3, 10, 1))
            self.outer.end()
        with self.engine.begin() as connection:
            connection.execute(sa.text("DROP SEQUENCE %s" % ", ".join(names)))

    def test_sequences_are_back_where_they_were(self):
        self.outer.end()
        for _ in range(3):
            self.outer = self.begin(self.engine)
            with self.engine.begin() as connection:
                add(connection, "one", "two")
                ids = [row.id for row in connection.execute(users.select()).fetchall()]
            self.outer.end()
            self.assertEqual(ids, [1, 2])

    def test_a_sequence_that_was_moved_and_restarted_is_back(self):
        self.scalar("SELECT nextval('users_id_seq') FROM generate_series(1, 5)")
        with self.engine.begin() as connection:
            connection.execute(sa.text("TRUNCATE users RESTART IDENTITY CASCADE"))
        self.outer.end()
        self.outer = self.begin(self.engine)
        self.assertEqual(self.scalar("SELECT nextval('users_id_seq')"), 1)

    def test_what_another_engine_commits_is_noticed(self):
        other = sa.create_engine(self.engine.url)
        with other.begin() as connection:
            add(connection, "escaped")
        self.assertTrue(self.outer.end().committed)
        self.assert_escaped(["public.users"])
        self.clear(other)

    def test_what_was_begun_before_and_is_committed_meanwhile_is_noticed(self):
        self.outer.end()
        other = sa.create_engine(self.engine.url)
        with other.begin() as connection:
            add(connection, "escaped")
            self.outer = self.begin(self.engine)
        self.assertTrue(self.outer.end().committed)
        self.assert_escaped(["public.users"])
        self.clear(other)

    def test_what_was_begun_before_a_later_one_ended_is_noticed_too(self):
        self.outer.end()
        other, later = (sa.create_engine(self.engine.url) for _ in range(2))
        with other.begin() as connection:
            add(connection, "escaped")
            with later.begin() as third:
                third.execute(sa.text("SELECT txid_current()"))
            self.outer = self.begin(self.engine)
        later.dispose()
        self.assertTrue(self.outer.end().committed)
        self.assert_escaped(["public.users"])
        self.clear(other)

    def test_what_is_committed_between_two_tests_is_noticed_by_the_second(self):
        state = self.outer.end().state
        with self.engine.begin() as connection:
            add(connection, "late")
            connection.execute(users.delete())
        self.outer = OuterTransaction([self.engine], "third", "outer_test")
        self.assertFalse(self.outer.begin(state=state))

    def test_a_lost_connection_is_replaced_for_the_next_test(self):
        pid = self.scalar("SELECT pg_backend_pid()")
        support.administer("SELECT pg_terminate_backend(%d)" % pid)
        with self.assertRaises(DBAPIError):
            self.scalar("SELECT 1")
        self.assertTrue(self.outer.end().committed)
        self.outer = self.begin(self.engine)
        self.assertNotEqual(self.scalar("SELECT pg_backend_pid()"), pid)

    def test_a_connection_lost_between_tests_is_replaced(self):
        pid = self.scalar("SELECT pg_backend_pid()")
        self.outer.end()
        support.administer("SELECT pg_terminate_backend(%d)" % pid)
        self.outer = self.begin(self.engine)
        self.assertNotEqual(self.scalar("SELECT pg_backend_pid()"), pid)

    def test_a_set_up_that_fails_leaves_the_engine_as_it_was(self):
        self.outer.end()
        broken = sa.create_engine(_compat.url_with(self.engine.url, database="outer_missing_test"))
        pool = broken.pool
        with self.assertRaises(self.engine.dialect.dbapi.OperationalError):
            self.begin(broken)
        self.assertIs(broken.pool, pool)

    def test_engines_of_different_search_paths_are_refused(self):
        self.outer.end()
        other = sa.create_engine(
            self.engine.url, connect_args={"options": "-c search_path=elsewhere"}
        )
        with self.assertRaisesRegex(ConfigurationError, "two kinds of connection"):
            self.begin(self.engine, other)

    def test_an_engine_in_autocommit_is_refused(self):
        self.outer.end()
        engine = sa.create_engine(self.engine.url, isolation_level="AUTOCOMMIT")
        with self.assertRaisesRegex(ConfigurationError, "asks for AUTOCOMMIT"):
            self.begin(engine)

    def test_the_isolation_level_of_an_engine_is_kept(self):
        self.outer.end()
        engine = sa.create_engine(self.engine.url, isolation_level="REPEATABLE READ")
        outer = self.begin(engine)
        with engine.connect() as connection:
            level = connection.execute(sa.text("SHOW transaction_isolation")).scalar()
        outer.end()
        self.assertEqual(level, "repeatable read")
        engine.dispose()

    def test_another_isolation_level_is_refused(self):
        with self.assertRaisesRegex(
            ConfigurationError, "asks for the isolation level SERIALIZABLE"
        ):
            self.engine.connect().execution_options(isolation_level="SERIALIZABLE")

    def test_two_phase_sessions_are_refused(self):
        session = orm.sessionmaker(bind=self.engine, twophase=True)()
        session.add(User("prepared"))
        with self.assertRaisesRegex(ConfigurationError, "asks for a two-phase commit"):
            session.commit()
        session.close()

    def test_select_for_update_works_inside(self):
        self.Session.add(User("locked"))
        self.Session.commit()
        self.assertEqual(self.Session.query(User).with_for_update().one().name, "locked")
        self.Session.rollback()
        self.assertEqual(self.names(), ["locked"])

    def test_the_driver_copies_rows_inside(self):
        raw = self.engine.raw_connection()
        cursor = raw.cursor()
        if hasattr(cursor, "copy_expert"):
            cursor.copy_expert("COPY users (name) FROM STDIN", io.StringIO("copied\n"))
        else:
            with cursor.copy("COPY users (name) FROM STDIN") as copy:
                copy.write("copied\n")
        raw.commit()
        raw.rollback()
        raw.close()
        self.assertEqual(self.names(), ["copied"])

    def test_a_stream_is_read_from_a_server_side_cursor(self):
        with self.engine.begin() as connection:
            add(connection, "one", "two")
        with self.engine.connect() as connection:
            stream = connection.execution_options(stream_results=True).execute(users.select())
            self.assertEqual(sorted(row.name for row in stream), ["one", "two"])
        with self.engine.begin() as connection:
            add(connection, "three")
        self.assert_nothing_escaped(self.outer.end())

    def test_driver_sql_of_a_session_stays_inside(self):
        connection = self.Session.connection()
        execute = getattr(connection, "exec_driver_sql", connection.execute)
        execute("INSERT INTO users (name) VALUES ('driver')")
        self.Session.commit()
        self.Session.rollback()
        self.assertEqual(self.names(), ["driver"])

    def test_others_go_on_while_a_failed_connection_waits_for_its_rollback(self):
        with self.engine.connect() as failing, warnings.catch_warnings():
            warnings.simplefilter("error")
            with self.assertRaises(DBAPIError):
                failing.execute(sa.text("INSERT INTO missing VALUES (1)"))
            self.Session.add(User("other"))
            self.Session.commit()
        self.assertEqual(self.names(), ["other"])

    def test_a_failed_connection_refuses_statements_until_its_rollback(self):
        raw = self.engine.raw_connection()
        cursor = raw.cursor()
        with self.assertRaises(self.engine.dialect.dbapi.Error):
            cursor.execute("INSERT INTO missing VALUES (1)")
        self.assertEqual(self.names(), [])
        with self.assertRaisesRegex(self.engine.dialect.dbapi.Error, "transaction is aborted"):
            cursor.execute("INSERT INTO users (name) VALUES ('too early')")
        raw.rollback()
        cursor.execute("INSERT INTO users (name) VALUES ('fine')")
        raw.commit()
        raw.close()
        self.assertEqual(self.names(), ["fine"])

    def test_what_cannot_run_in_a_transaction_says_so(self):
        with self.assertRaisesRegex(DBAPIError, "cannot run inside a transaction block"):
            with self.engine.connect() as connection:
                connection.execute(sa.text("VACUUM"))

    def test_initially_deferred_constraints_are_deferred_again_after_a_commit(self):
        with self.engine.begin() as connection:
            add(connection, "first")
        with self.engine.begin() as connection:
            connection.execute(pets.insert(), {"owner_id": 70})
            connection.execute(users.insert(), {"id": 70, "name": "in time"})
        self.assertEqual(self.names(), ["first", "in time"])

    def test_a_deferred_constraint_that_the_test_made_is_checked(self):
        with self.engine.begin() as connection:
            connection.execute(
                sa.text("CREATE TABLE made (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
            )
        with self.assertRaises(IntegrityError):
            with self.engine.begin() as connection:
                connection.execute(sa.text("INSERT INTO made VALUES (1), (1)"))

    def test_session_locks_of_a_test_are_given_back(self):
        self.scalar("SELECT pg_advisory_lock(4711)")
        self.outer.end()
        held = support.administer(
            "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711"
        )
        self.assertEqual(held, [])

    def test_a_forked_child_has_a_connection_of_its_own(self):
        pid = self.scalar("SELECT pg_backend_pid()")
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writer, b"%d" % self.scalar("SELECT pg_backend_pid()"))
            os._exit(0)
        os.waitpid(child, 0)
        self.assertNotEqual(int(os.read(reader, 20)), pid)
        os.close(reader)
        os.close(writer)
        self.assertEqual(self.scalar("SELECT pg_backend_pid()"), pid)


class PsycopgTest(PostgreSQLTest):
    driver = "postgresql+psycopg"

    @classmethod
    def setUpClass(cls):
        try:
            super().setUpClass()
        except (ImportError, sa.exc.NoSuchModuleError) as error:
            raise unittest.SkipTest(str(error)) from error

    def test_a_block_of_the_driver_commits_inside(self):
        raw = self.engine.raw_connection()
        with _compat.dbapi_connection(raw).transaction():
            _compat.dbapi_connection(raw).execute("INSERT INTO users (name) VALUES ('block')")
        raw.commit()
        raw.close()
        self.assertEqual(self.names(), ["block"])
