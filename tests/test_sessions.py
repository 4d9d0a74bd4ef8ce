"""What is known of every checkout, what holds on connections of a test, and what is told."""

from __future__ import annotations

import gc
import multiprocessing
import os
import unittest
import warnings
from typing import Any, List

import sqlalchemy as sa
from sqlalchemy.orm import scoped_session, sessionmaker

from dbtestcase import _compat, where
from dbtestcase.connections import (
    checkouts,
    leak_text,
    leftovers,
    settling,
    warn_of_leaks,
    watch,
)
from dbtestcase.dialects.postgresql.sessions import Control

from . import support
from .holding import BOUND, NAME, Shop


class Checkouts(Shop):
    """Who has what checked out."""

    def opened(self) -> Any:
        pool = self.engine.pool
        return [each for each in checkouts.opened() if each.fairy()._pool is pool]

    def test_a_checkout_is_known_with_its_test_and_line(self) -> None:
        connection = self.engine.connect()
        (checkout,) = self.opened()
        self.assertEqual(checkout.test, NAME)
        self.assertEqual(
            checkout.lines[0].function, "test_a_checkout_is_known_with_its_test_and_line"
        )
        self.assertIs(checkout.owner, connection)
        connection.close()
        self.assertEqual(self.opened(), [])

    def test_a_connection_with_other_options_is_the_owner(self) -> None:
        connection = self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        (checkout,) = self.opened()
        self.assertIs(checkout.owner, connection)
        connection.close()

    def test_a_connection_thrown_away_is_out_no_more(self) -> None:
        self.engine.raw_connection()
        before = len(checkouts.opened())
        connection = self.engine.connect()
        connection.detach()
        del connection
        gc.collect()
        self.assertLessEqual(len(checkouts.opened()), before)

    def test_sessions_of_a_registry_are_removed_although_nothing_is_checked_out(self) -> None:
        scope = ["one"]
        registry = scoped_session(sessionmaker(bind=self.engine), scopefunc=lambda: scope[0])
        left = registry()
        scope[0] = "another"
        self.assertEqual(leftovers.free([self.engine], [registry]), [])
        scope[0] = "one"
        self.assertIsNot(registry(), left)

    def test_the_control_connection_is_nobodys_leak(self) -> None:
        before = len(checkouts.opened())
        control = Control(self.engine, BOUND)
        self.assertEqual(len(checkouts.opened()), before)
        self.assertEqual(leftovers.free([self.engine]), [])
        control.execute("SELECT 1")
        control.close()

    def test_what_is_forgotten_is_left_alone(self) -> None:
        connection = self.engine.connect()
        transaction = connection.begin()
        connection.execute(sa.text("INSERT INTO parent VALUES (0)"))
        checkouts.forget(connection.connection)
        self.assertEqual(leftovers.free([self.engine]), [])
        transaction.commit()
        connection.close()

    def test_watching_twice_counts_once(self) -> None:
        watch()
        with self.engine.connect():
            self.assertEqual(len(self.opened()), 1)

    @unittest.skipUnless(hasattr(os, "fork"), "needs fork()")
    def test_a_forked_child_leaves_the_parents_connections_alone(self) -> None:
        session = scoped_session(sessionmaker(bind=self.engine))
        session.execute(sa.text("INSERT INTO parent VALUES (0)"))
        raw = self.raw()
        raw.cursor().execute("INSERT INTO parent VALUES (-1)")
        pooled = [self.engine.raw_connection()]
        pooled[0].cursor().execute("INSERT INTO parent VALUES (-2)")
        child = multiprocessing.get_context("fork").Process(
            target=self.free_all, args=(session, raw.info.backend_pid, pooled)
        )
        child.start()
        child.join(20)
        self.assertEqual(child.exitcode, 0)
        session.commit()
        raw.commit()
        _compat.dbapi_connection(pooled[0]).commit()
        count = session.execute(sa.text("SELECT count(*) FROM parent WHERE id < 1")).scalar()
        self.assertEqual(count, 3)
        session.remove()

    def free_all(self, session: Any, pid: int, pooled: List[Any]) -> None:
        assert leftovers.free([self.engine], [session]) == []
        assert leftovers.take_back([pid]) == []
        pooled.clear()  # nobody but the tracker has it now
        gc.collect()


class Leaks(Shop):
    """What is told of what was left open."""

    def test_a_leak_is_one_line_that_says_who_and_where(self) -> None:
        session = sessionmaker(bind=self.engine)()
        session.execute(sa.text("SELECT 1"))
        (leak,) = leftovers.free([self.engine])
        self.assertRegex(
            str(leak),
            r"\AShopTest.test_total left a session open at \S*test_sessions.py:%d in"
            r" test_a_leak_is_one_line_that_says_who_and_where \(0.\d s, backend %d\)\Z"
            % (leak.line, leak.pid),
        )

    def test_a_warning_points_at_the_users_line(self) -> None:
        session = sessionmaker(bind=self.engine)()
        session.execute(sa.text("SELECT 1"))
        leaks = leftovers.free([self.engine])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            warn_of_leaks(leaks)
        (warning,) = caught
        self.assertIs(warning.category, ResourceWarning)
        self.assertEqual(warning.filename, __file__)
        self.assertEqual(warning.lineno, leaks[0].line)
        self.assertIn(str(leaks[0]), leak_text(leaks))

    def test_a_test_that_closed_everything_has_none(self) -> None:
        with self.engine.connect() as connection:
            connection.execute(sa.text("SELECT 1"))
        self.assertEqual(leftovers.free([self.engine]), [])

    def test_a_connection_of_the_class_is_rolled_back_and_stays_usable(self) -> None:
        where.set_current_test(None)
        connection = self.engine.connect()
        connection.begin()
        connection.execute(sa.text("INSERT INTO parent VALUES (0)"))
        where.set_current_test(NAME)
        (leak,) = leftovers.free([self.engine])
        self.assertIn("something outside of any test left a connection open", str(leak))
        found = connection.execute(sa.text("SELECT count(*) FROM parent WHERE id = 0")).scalar()
        self.assertEqual(found, 0)
        self.assertEqual(leftovers.free([self.engine]), [])  # told once
        connection.close()

    def test_an_idle_connection_of_the_class_is_left_alone(self) -> None:
        where.set_current_test(None)
        connection = self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        connection.execute(sa.text("SELECT 1"))
        where.set_current_test(NAME)
        self.assertEqual(leftovers.free([self.engine]), [])
        self.assertEqual(connection.execute(sa.text("SELECT 7")).scalar(), 7)
        connection.close()

    def test_an_engine_on_another_database_is_left_alone(self) -> None:
        url = support.url_of("postgres")
        other = sa.create_engine(url)
        connection = other.connect()
        transaction = connection.begin()
        connection.execute(sa.text("CREATE TEMP TABLE mine (id int)"))
        self.assertEqual(leftovers.free([self.engine]), [])
        connection.execute(sa.text("SELECT * FROM mine"))
        transaction.rollback()
        connection.close()
        other.dispose()

    def test_sqlite_is_given_back_too(self) -> None:
        engine = sa.create_engine("sqlite://")
        settling.begin_test([engine], NAME, BOUND)
        session = scoped_session(sessionmaker(bind=engine))
        session.execute(sa.text("CREATE TABLE kept (id int)"))
        session.commit()
        session.execute(sa.text("SELECT * FROM kept"))
        (leak,) = leftovers.free([engine], [session])
        self.assertEqual((leak.kind, leak.pid), ("session", None))
        settling.end_test()
        session.execute(sa.text("SELECT * FROM kept"))
        session.remove()
        engine.dispose()
