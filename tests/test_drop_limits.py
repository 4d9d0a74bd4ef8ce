from __future__ import annotations

import threading
import time
from unittest import mock

from dbtestcase import _compat
from dbtestcase.dialects.postgresql import drop
from dbtestcase.errors import ConfigurationError
from tests import support
from tests.dropping import DropCase, dump, run

# COMMIT: the statements of one transaction would need more locks than a server has.
MANY_TABLES = """
DO $$ BEGIN
    CREATE TABLE first (id int PRIMARY KEY);
    FOR i IN 1 .. {0} LOOP
        EXECUTE format('CREATE TABLE t%s (id serial PRIMARY KEY, a int UNIQUE,'
                       ' b int REFERENCES first, c int REFERENCES t%s)', i, greatest(i - 1, 1));
        EXECUTE format('CREATE INDEX ON t%s (b)', i);
        IF i % 50 = 0 THEN COMMIT; END IF;
    END LOOP;
END $$
"""

CHILDREN_BEFORE_PARENTS = """
DO $$ BEGIN
    FOR i IN 1 .. 20 LOOP
        EXECUTE format('CREATE TABLE p%s (id int)', i);
        EXECUTE format('CREATE TABLE c%s (id int)', i);
    END LOOP;
    CREATE TABLE p (id int) PARTITION BY LIST (id);
    CREATE TABLE parent (id int);
    FOR i IN 1 .. 20 LOOP
        EXECUTE format('ALTER TABLE p ATTACH PARTITION p%s FOR VALUES IN (%s)', i, i);
        EXECUTE format('ALTER TABLE c%s INHERIT parent', i);
    END LOOP;
END $$
"""


class ManyObjectsTest(DropCase):
    owner = "drop_owner"

    def test_two_thousand_tables_with_keys_and_indexes(self):
        self.run_sql(MANY_TABLES.format(2000))
        dropped = self.drop()
        self.assertEqual(len(dropped), 2001)
        self.assert_new()

    def test_a_batch_that_needs_more_locks_than_there_are_is_halved(self):
        ((locks,),) = self.run_sql(
            "SELECT current_setting('max_locks_per_transaction')::int"
            " * (current_setting('max_connections')::int"
            "    + current_setting('max_prepared_transactions')::int)"
        )
        self.run_sql("SELECT lo_create(0) FROM generate_series(1, %d)" % (3 * locks))
        with mock.patch.object(drop, "_BATCH", 10 * locks):
            self.drop()
        self.assert_new()

    def test_partitions_and_children_go_before_their_parents(self):
        self.run_sql(CHILDREN_BEFORE_PARENTS)
        names = [identity for _, identity in self.drop()]
        self.assertEqual(set(names[40:]), {"public.p", "public.parent"})
        self.assert_new()


class WhatTheRoleMayNotDropTest(DropCase):
    owner = "drop_owner"

    def test_it_is_listed_with_its_owner_and_what_to_do(self):
        self.run_sql("CREATE TABLE mine (id int)")
        self.run_as_superuser(
            "CREATE SCHEMA theirs",
            'CREATE TABLE theirs."a table" (id int)',
        )
        with self.assertRaises(ConfigurationError) as raised:
            self.drop()
        self.assertEqual(
            str(raised.exception),
            'cannot drop everything in "drop_test" as role drop_owner, 2 left:\n'
            '  table theirs."a table" of role postgres: permission denied for schema theirs\n'
            "  schema theirs of role postgres: must be owner of schema theirs\n"
            "  Drop them as postgres, or let the tests connect as a role that may.",
        )
        self.assertEqual(self.run_sql("SELECT to_regclass('mine')"), [(None,)])

    def test_a_long_list_is_cut(self):
        self.run_as_superuser(
            "CREATE SCHEMA theirs",
            "DO $$ BEGIN FOR i IN 1 .. 60 LOOP"
            " EXECUTE 'CREATE TABLE theirs.t' || i || ' ()'; END LOOP; END $$",
        )
        with self.assertRaises(ConfigurationError) as raised:
            self.drop()
        self.assertIn("61 left:\n", str(raised.exception))
        self.assertIn("  ... and 41 more\n", str(raised.exception))

    def test_an_owner_of_tables_alone_drops_them_and_leaves_schemas_to_who_made_them(self):
        support.administer(
            "DO $$ BEGIN CREATE ROLE drop_guest LOGIN; EXCEPTION WHEN OTHERS THEN END $$"
        )
        url = support.url_of(self.database, username="drop_guest")
        self.run_as_superuser("CREATE SCHEMA work AUTHORIZATION drop_guest")
        self.new = dump(self.database)
        control = self.new_control(url)
        run(url, "CREATE TYPE work.e AS ENUM ()", "CREATE TABLE work.t (e work.e)")
        self.assertEqual(drop.drop_everything(control), [("table", "work.t"), ("type", "work.e")])
        self.assert_new()

    def test_a_superuser_drops_what_other_roles_made(self):
        self.run_sql("CREATE SCHEMA s CREATE TABLE t (id int)", "CREATE TABLE t (id int)")
        control = self.new_control(support.url_of(self.database))
        drop.drop_everything(control)
        self.assert_new()


class OtherSessionsTest(DropCase):
    def hold(self, *statements):
        engine = self.new_engine(self.url)
        raw = engine.raw_connection()
        self.addCleanup(raw.close)
        cursor = _compat.dbapi_connection(raw).cursor()
        for statement in statements:
            cursor.execute(statement)
        return raw

    def test_a_lock_that_is_not_to_be_had_in_time_is_the_drivers_error(self):
        self.run_sql("CREATE TABLE t (id int)", "CREATE TABLE u (id int)")
        self.hold("SELECT * FROM t")
        self.control.execute("SET lock_timeout = 200")
        with self.assertRaises(Exception) as raised:
            self.drop()
        self.assertEqual(_compat.sqlstate(raised.exception), "55P03")

    def test_temporary_tables_of_other_sessions_are_not_ours(self):
        self.run_sql("CREATE TYPE e AS ENUM ('a')")
        other = self.hold("CREATE TEMP TABLE own (e e)", "COMMIT")
        self.assertEqual(drop.inventory(self.control), [("type", "public.e")])
        self.drop()
        self.assert_new()
        other.cursor().execute("SELECT * FROM own")

    def test_a_deadlock_is_tried_again(self):
        self.run_sql("CREATE TABLE old (id int)", "CREATE TABLE young (id int)")
        other = self.hold("SET deadlock_timeout = '10s'", "LOCK TABLE old")
        self.control.execute("SET deadlock_timeout = '1s'")

        def wait_for_what_the_drop_holds():
            time.sleep(0.3)
            other.cursor().execute("LOCK TABLE young")
            other.rollback()

        waiter = threading.Thread(target=wait_for_what_the_drop_holds)
        waiter.start()
        self.drop()
        waiter.join()
        self.assert_new()


class OtherDatabasesAndRolesTest(DropCase):
    owner = "drop_owner"

    def test_tables_and_privileges_there_are_as_before(self):
        other = support.postgresql_url("drop_other_test", owner="drop_owner")
        run(other, "CREATE TABLE t (id int)", "GRANT SELECT ON t TO pg_monitor")
        support.administer("GRANT CONNECT ON DATABASE drop_other_test TO drop_owner")
        query = (
            "SELECT (SELECT array_agg(relacl::text) FROM pg_class WHERE relname = 't'),"
            " (SELECT datacl::text FROM pg_database WHERE datname = 'drop_other_test'),"
            " (SELECT array_agg(rolname || rolcanlogin) FROM pg_roles)"
        )
        before = run(other, query)
        self.run_sql("CREATE TABLE t (id int)", "GRANT SELECT ON t TO pg_monitor")
        drop.drop_everything(self.new_control(support.url_of(self.database)))
        self.assert_new()
        self.assertEqual(run(other, query), before)
