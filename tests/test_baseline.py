from __future__ import annotations

import unittest

from dbtestcase.dialects.postgresql.reset import Baseline, emptying
from dbtestcase.errors import BlockedDatabaseError
from tests import support
from tests.baselines import BaselineCase
from tests.dropping import dump, run

SHOP = (
    "CREATE TABLE person (id serial PRIMARY KEY, name text UNIQUE)",
    "CREATE TABLE orders (id serial PRIMARY KEY, person int REFERENCES person)",
    "CREATE TABLE item (id serial PRIMARY KEY, orders int REFERENCES orders ON DELETE CASCADE)",
)
AUDIT = (
    "CREATE TABLE person (id serial PRIMARY KEY, name text)",
    "CREATE TABLE audit (id serial PRIMARY KEY, what text)",
    """CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
       BEGIN INSERT INTO public.audit (what) VALUES (TG_OP); RETURN NULL; END $$""",
)


class OwnerTest(BaselineCase):
    def test_rows_and_sequences_of_written_tables_go(self):
        baseline = self.take(*SHOP)
        self.assert_restores(
            baseline,
            "INSERT INTO person (name) VALUES ('a'), ('b')",
            "INSERT INTO orders (person) VALUES (1)",
            "INSERT INTO item (orders) VALUES (1)",
        )

    def test_nothing_written_needs_nothing(self):
        baseline = self.take(*SHOP)
        self.assertIsNone(baseline.restore(self.control))
        self.assertEqual(dump(self.database), self.before)

    def test_rolled_back_rows_leave_only_their_sequence_to_restart(self):
        baseline = self.take(*SHOP)
        self.assert_restores(baseline, "BEGIN; INSERT INTO person (name) VALUES ('a'); ROLLBACK")

    def test_first_rows_come_back_exactly(self):
        baseline = self.take(
            """CREATE TABLE odd ("Weird ""col%" text, f float8, t timestamptz, a text[], j json,
               b bytea, n numeric, i interval, g int GENERATED ALWAYS AS (1 + 1) STORED,
               k int GENERATED ALWAYS AS IDENTITY, dropped int)""",
            "ALTER TABLE odd DROP COLUMN dropped",
            r"""INSERT INTO odd VALUES
                ('it''s \ " , ) ( %s', 0.1::float8 + 0.2, now(), '{a,NULL,"b c"}', '{"a":  1}',
                 '\x00ff', 1.500, '1 mon 2 days'),
                (NULL, 'nan', 'infinity', '{}', 'null', '', 'NaN', '0')""",
            "INSERT INTO odd SELECT x::text FROM generate_series(1, 20) x",
        )
        self.assert_restores(baseline, "UPDATE odd SET f = 1 WHERE n IS NOT NULL")
        self.assert_restores(baseline, "DELETE FROM odd WHERE n IS NULL")
        self.assert_restores(baseline, "INSERT INTO odd (f) VALUES (3)")
        self.assert_restores(baseline, "TRUNCATE odd RESTART IDENTITY")

    def test_an_update_that_keeps_the_number_of_first_rows_is_seen(self):
        baseline = self.take("CREATE TABLE t AS SELECT 1 AS a UNION ALL SELECT 2")
        self.assert_restores(baseline, "UPDATE t SET a = 7 WHERE a = 1")
        self.assert_restores(
            baseline, "BEGIN; DELETE FROM t WHERE a = 1; INSERT INTO t VALUES (3); COMMIT"
        )

    def test_first_rows_that_refer_to_written_tables_stay(self):
        for action in ("", "ON DELETE CASCADE", "ON DELETE SET NULL", "ON DELETE RESTRICT"):
            with self.subTest(action):
                self.setUp()
                baseline = self.take(
                    "CREATE TABLE parent (id int PRIMARY KEY, name text)",
                    "CREATE TABLE middle (id int PRIMARY KEY, p int REFERENCES parent %s)" % action,
                    "CREATE TABLE leaf (id int PRIMARY KEY, m int REFERENCES middle %s)" % action,
                    "INSERT INTO parent VALUES (1, 'a'), (2, 'b')",
                    "INSERT INTO middle VALUES (1, 1)",
                    "INSERT INTO leaf VALUES (1, 1)",
                )
                self.assert_restores(baseline, "UPDATE parent SET name = 'x'")
                self.assert_restores(baseline, "INSERT INTO parent VALUES (3, 'c')")

    def test_references_in_circles_and_to_itself_do_not_matter(self):
        for rule in (
            "",
            "DEFERRABLE INITIALLY DEFERRED",
            "ON DELETE CASCADE",
            "ON DELETE SET NULL",
        ):
            with self.subTest(rule):
                self.setUp()
                baseline = self.take(
                    "CREATE TABLE a (id int PRIMARY KEY, b int)",
                    "CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a %s)" % rule,
                    "ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b %s" % rule,
                    "CREATE TABLE tree (id int PRIMARY KEY, up int REFERENCES tree %s)" % rule,
                    "INSERT INTO tree VALUES (1, NULL), (2, 1)",
                )
                self.assert_restores(
                    baseline,
                    "INSERT INTO a VALUES (1)",
                    "INSERT INTO b VALUES (1, 1)",
                    "UPDATE a SET b = 1",
                    "INSERT INTO tree VALUES (3, 2), (4, 4)",
                )

    def test_partitions_and_inheritance_and_references_to_them(self):
        baseline = self.take(
            "CREATE TABLE p (id int PRIMARY KEY, v text) PARTITION BY RANGE (id)",
            "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10)",
            "CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20) PARTITION BY LIST (id)",
            "CREATE TABLE p2x PARTITION OF p2 DEFAULT",
            "CREATE TABLE r (id int REFERENCES p)",
            "CREATE TABLE base (a int)",
            "CREATE TABLE child (b int) INHERITS (base)",
            "INSERT INTO p VALUES (1, 'a'), (11, 'b')",
            "INSERT INTO r VALUES (11)",
            "INSERT INTO child VALUES (1, 2)",
        )
        self.assert_restores(
            baseline,
            "UPDATE p SET v = 'x' WHERE id = 11",
            "INSERT INTO p VALUES (12, 'c')",
            "INSERT INTO base VALUES (1)",
            "UPDATE base SET a = 3",
        )

    def test_odd_names_other_schemas_and_unlogged_tables(self):
        baseline = self.take(
            'CREATE SCHEMA "My.Schema%"',
            'CREATE TABLE "My.Schema%"."select ""x"" %s" ("from" serial, "a.b" text)',
            "CREATE UNLOGGED TABLE u (id serial, r int4range, EXCLUDE USING gist (r WITH &&))",
            'INSERT INTO "My.Schema%"."select ""x"" %s" ("a.b") VALUES (\'1\')',
        )
        self.assert_restores(
            baseline,
            'INSERT INTO "My.Schema%"."select ""x"" %s" ("a.b") VALUES (\'2\')',
            "INSERT INTO u (r) VALUES ('[1,2)'), ('[3,4)')",
        )

    def test_every_way_to_move_a_sequence_is_seen(self):
        baseline = self.take(
            "CREATE SEQUENCE s", "CREATE SEQUENCE used", "SELECT nextval('used')", *SHOP
        )
        for statement in (
            "SELECT nextval('s')",
            "SELECT setval('s', 1, true)",
            "SELECT setval('s', 42, false)",
            "SELECT setval('used', 1, false)",
            "ALTER SEQUENCE s RESTART WITH 9",
            "BEGIN; SELECT nextval('s'); ROLLBACK",
        ):
            with self.subTest(statement):
                self.assert_restores(baseline, statement)

    def test_many_rows_are_truncated_and_the_next_reset_is_ordinary(self):
        baseline = self.take(*SHOP)
        rows = emptying.TRUNCATE_FROM // 20
        many = (
            "INSERT INTO person (name) SELECT 'somebody ' || i FROM generate_series(1, %d) i" % rows
        )
        self.assert_restores(baseline, many)
        self.assertEqual(self.run_sql("SELECT pg_relation_size('person')"), [(0,)])
        self.assert_restores(baseline, "INSERT INTO person (name) VALUES ('a')")

    def test_truncating_takes_along_first_rows_and_puts_them_back(self):
        baseline = self.take(
            *SHOP,
            "INSERT INTO person (name) VALUES ('a')",
            "INSERT INTO orders (person) VALUES (1)",
        )
        many = "INSERT INTO person (name) SELECT 'somebody ' || i FROM generate_series(1, 60000) i"
        self.assert_restores(baseline, many)

    def test_what_leaves_the_catalog_saying_the_same_is_no_change(self):
        baseline = self.take(*SHOP)
        for statement in (
            "TRUNCATE person CASCADE",
            "REINDEX TABLE person",
            "VACUUM FULL person",
            "ANALYZE",
            "CREATE TABLE x (id serial PRIMARY KEY); DROP TABLE x",
            "BEGIN; DROP TABLE item; ROLLBACK",
            "CREATE TEMP TABLE x (id serial PRIMARY KEY, b int UNIQUE CHECK (b > 1))",
        ):
            with self.subTest(statement):
                self.run_sql(statement)
                self.assertIsNone(baseline.restore(self.control))
        self.assertEqual(dump(self.database), self.before)

    def test_a_materialized_view_that_was_refreshed_shows_its_first_rows_again(self):
        baseline = self.take(
            "CREATE TABLE t (a int)",
            "INSERT INTO t VALUES (1)",
            "CREATE MATERIALIZED VIEW low AS SELECT a FROM t",
            "CREATE VIEW between_them AS SELECT a FROM low",
            "CREATE MATERIALIZED VIEW high AS SELECT sum(a) AS s FROM between_them",
        )
        self.run_sql(
            "INSERT INTO t VALUES (2)",
            "REFRESH MATERIALIZED VIEW low",
            "REFRESH MATERIALIZED VIEW high",
        )
        self.assertIsNone(baseline.restore(self.control))
        rows = self.run_sql("SELECT a, (SELECT s FROM high) FROM low")
        self.assertEqual(rows, [(1, 1)])
        self.assertIsNone(baseline.matches(self.control))

    def test_a_materialized_view_that_cannot_come_back_by_a_refresh_is_reported(self):
        baseline = self.take(
            "CREATE TABLE t (a int)",
            "CREATE MATERIALIZED VIEW stale AS SELECT a FROM t",
            "INSERT INTO t VALUES (1)",
        )
        self.assert_reports(baseline, "stale", "REFRESH MATERIALIZED VIEW stale")

    def test_a_materialized_view_that_lost_its_rows_is_reported(self):
        baseline = self.take("CREATE MATERIALIZED VIEW one AS SELECT 1 AS a")
        self.assert_reports(
            baseline, 'materialized view "one"', "REFRESH MATERIALIZED VIEW one WITH NO DATA"
        )

    def test_large_objects_go(self):
        baseline = self.take(*SHOP)
        self.assert_restores(baseline, "SELECT lo_from_bytea(0, 'abc')")

    def test_other_contents_of_a_first_large_object_are_reported(self):
        baseline = self.take("SELECT lo_from_bytea(4711, 'abc')")
        self.assertIsNone(baseline.restore(self.control))
        self.assert_reports(baseline, "large object", "SELECT lo_put(4711, 0, 'x')")

    def test_a_lost_large_object_is_reported(self):
        baseline = self.take("SELECT lo_from_bytea(4711, 'abc')")
        self.assert_reports(baseline, "large object", "SELECT lo_unlink(4711)")

    def test_schema_and_data_share_the_fingerprint(self):
        schema = self.take(*SHOP)
        empty = self.before
        self.run_sql("INSERT INTO person (name) VALUES ('a')")
        data = Baseline.take(self.control, schema=schema)
        self.assertIs(data.fingerprint, schema.fingerprint)
        self.before = dump(self.database)
        self.assert_restores(data, "INSERT INTO person (name) VALUES ('b')")
        self.assertIsNone(schema.restore(self.control))
        self.assertEqual(dump(self.database), empty)
        self.assertIsNone(data.restore(self.control))
        self.assertEqual(dump(self.database), self.before)

    def test_first_rows_that_change_the_catalog_get_a_fingerprint_of_their_own(self):
        schema = self.take(*SHOP)
        self.run_sql("CREATE TABLE more AS SELECT 1 AS a")
        data = Baseline.take(self.control, schema=schema)
        self.assertIsNone(data.restore(self.control))
        self.assertEqual(schema.restore(self.control), 'table "more" was created')

    def test_another_control_connection_goes_on(self):
        baseline = self.take(*SHOP)
        self.control = self.new_control()
        self.assert_restores(baseline, "INSERT INTO person (name) VALUES ('a')")

    def test_a_table_made_anew_under_the_same_name_is_reported(self):
        baseline = self.take("CREATE TABLE t (a int)")
        self.run_sql("DROP TABLE t", "CREATE TABLE t (a int)")
        self.assertEqual(
            baseline.restore(self.control), 'table "t" was created; table "t" was dropped'
        )

    def test_an_open_transaction_keeps_a_base_line_from_being_taken(self):
        self.run_sql("CREATE TABLE t (a int)")
        other = self.new_control()
        other.execute("BEGIN")
        other.execute("CREATE TABLE public.u (a int)")
        self.run_sql("CREATE TABLE v (a int)")
        self.control.lock_timeout = 0.2
        with self.assertRaisesRegex(BlockedDatabaseError, "still open"):
            Baseline.take(self.control)
        other.execute("COMMIT")
        self.assertIsNone(Baseline.take(self.control).restore(self.control))

    def test_what_was_not_committed_when_the_base_line_was_taken_is_a_change(self):
        self.run_sql("CREATE TABLE t (a int)")
        other = self.new_control()
        other.execute("BEGIN")
        other.execute("CREATE TABLE public.u (a int)")
        try:
            self.control.lock_timeout = 0.2
            baseline = Baseline.take(self.control)
        except BlockedDatabaseError:
            self.skipTest("another transaction of the server ended in between")
        other.execute("COMMIT")
        self.assertEqual(baseline.restore(self.control), 'table "u" was created')

    def test_a_transaction_open_in_another_database_is_no_obstacle(self):
        self.run_sql("CREATE TABLE t AS SELECT 1 AS a")
        other = self.new_control(support.server_url())
        other.execute("BEGIN")
        other.execute("SELECT pg_current_xact_id()")
        baseline = self.take()
        self.assert_restores(baseline, "UPDATE t SET a = 2")
        other.execute("COMMIT")
        self.assert_restores(baseline, "UPDATE t SET a = 2")

    def test_a_locked_table_is_an_error_and_not_a_change(self):
        baseline = self.take(*SHOP)
        other = self.new_control()
        other.execute("BEGIN")
        other.execute("LOCK TABLE public.person")
        self.control.execute("SET lock_timeout = '100ms'")
        with self.assertRaisesRegex(Exception, "lock timeout"):
            baseline.restore(self.control)
        other.execute("COMMIT")
        self.assertIsNone(baseline.restore(self.control))

    def test_tables_do_not_grow_with_the_number_of_resets(self):
        baseline = self.take("CREATE TABLE t (a int) WITH (autovacuum_enabled = off)")
        sizes = []
        for number in range(3 * emptying.VACUUM_EVERY):
            self.control.execute("INSERT INTO public.t VALUES (1)")
            self.assertIsNone(baseline.restore(self.control))
            if (number + 1) % emptying.VACUUM_EVERY == 0:
                ((size,),) = self.control.execute("SELECT pg_relation_size('public.t')::int")
                sizes.append(size)
        self.assertEqual(sizes, [0, 0, 0])
        self.assertIsNone(baseline.matches(self.control))

    def test_way_is_made_where_others_have_a_transaction_open(self):
        baseline = self.take(*SHOP)
        other = self.new_control()
        made = []
        self.assertIsNone(baseline.restore(self.control, lambda: made.append("nobody")))
        other.execute("BEGIN")
        self.assertIsNone(baseline.restore(self.control, lambda: made.append("idle")))
        other.execute("INSERT INTO public.person (name) VALUES ('a')")

        def commit():
            made.append("writer")
            other.execute("COMMIT")

        self.assertIsNone(baseline.restore(self.control, commit))
        self.assertIsNone(baseline.restore(self.control, lambda: made.append("nobody")))
        self.assertEqual(made, ["idle", "writer"])
        self.assertEqual(dump(self.database), self.before)

    def test_way_is_made_where_a_transaction_is_prepared(self):
        if self.run_sql("SHOW max_prepared_transactions") == [("0",)]:
            self.skipTest("the server prepares no transactions")
        baseline = self.take(*SHOP)
        other = self.new_control()
        other.execute("BEGIN")
        other.execute("INSERT INTO public.person (name) VALUES ('a')")
        other.execute("PREPARE TRANSACTION 'baseline_prepared'")
        made = []

        def roll_back():
            made.append("prepared")
            other.execute("ROLLBACK PREPARED 'baseline_prepared'")

        self.assertIsNone(baseline.restore(self.control, roll_back))
        self.assertIsNone(baseline.restore(self.control, lambda: made.append("nobody")))
        self.assertEqual(made, ["prepared"])
        self.assertEqual(dump(self.database), self.before)

    def test_way_is_made_where_the_role_may_not_see_what_others_do(self):
        baseline = self.take(*SHOP)
        self.new_control(support.url_of(self.database))
        made = []
        self.assertIsNone(baseline.restore(self.control, lambda: made.append("hidden")))
        self.assertEqual(made, [] if self.owner is None else ["hidden"])

    def test_more_tables_than_fit_into_one_statement(self):
        tables = ["CREATE TABLE t%d (id serial)" % number for number in range(450)]
        baseline = self.take(*tables)
        self.assert_restores(
            baseline, *["INSERT INTO t%d DEFAULT VALUES" % n for n in (0, 399, 400, 449)]
        )


class SideEffectsTest(BaselineCase):
    """What an owner cannot delete without side effects is truncated, or reported."""

    def test_a_trigger_that_writes_on_delete_is_not_fired(self):
        baseline = self.take(
            *AUDIT, "CREATE TRIGGER n AFTER DELETE ON person FOR EACH ROW EXECUTE FUNCTION note()"
        )
        self.assert_restores(baseline, "INSERT INTO person (name) VALUES ('a')")
        self.assert_restores(
            baseline, "INSERT INTO person (name) VALUES ('a')", "DELETE FROM person"
        )

    def test_a_deferred_trigger_and_a_partition_s_trigger_are_not_fired(self):
        baseline = self.take(
            *AUDIT,
            "CREATE CONSTRAINT TRIGGER n AFTER DELETE ON person DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION note()",
            "CREATE TABLE p (a int) PARTITION BY LIST (a)",
            "CREATE TABLE p1 PARTITION OF p DEFAULT",
            "CREATE TRIGGER n AFTER DELETE ON p FOR EACH ROW EXECUTE FUNCTION note()",
        )
        self.assert_restores(
            baseline, "INSERT INTO person (name) VALUES ('a')", "INSERT INTO p VALUES (1)"
        )

    def test_a_trigger_that_keeps_rows_does_not_keep_them(self):
        baseline = self.take(
            "CREATE TABLE t (a int)",
            "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
            "CREATE TRIGGER k BEFORE DELETE ON t FOR EACH ROW EXECUTE FUNCTION keep()",
        )
        self.assert_restores(baseline, "INSERT INTO t VALUES (1)")

    def test_rules_that_keep_rows_do_not_keep_them(self):
        baseline = self.take(
            "CREATE TABLE t (a int, gone bool)",
            "CREATE RULE soft AS ON DELETE TO t DO INSTEAD UPDATE t SET gone = true",
            "CREATE TABLE n (a int)",
            "CREATE RULE keep AS ON DELETE TO n DO INSTEAD NOTHING",
        )
        self.assert_restores(baseline, "INSERT INTO t VALUES (1)", "INSERT INTO n VALUES (1)")

    def test_row_security_hides_nothing_from_the_reset(self):
        baseline = self.take(
            "CREATE TABLE t (a int)",
            "CREATE POLICY own ON t FOR ALL USING (a > 5) WITH CHECK (true)",
            "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
            "ALTER TABLE t FORCE ROW LEVEL SECURITY",
        )
        self.run_sql("INSERT INTO t VALUES (1), (7)")
        self.assertIsNone(baseline.restore(self.control))
        self.assertEqual(self.run_as_superuser("SELECT count(*) FROM t"), [(0,)])

    def test_an_insert_trigger_on_first_rows_does_not_fire(self):
        baseline = self.take(
            *AUDIT,
            "INSERT INTO person (name) VALUES ('a')",
            "CREATE TRIGGER n AFTER INSERT ON person FOR EACH ROW EXECUTE FUNCTION note()",
        )
        self.run_sql("INSERT INTO person (name) VALUES ('b')")
        self.assert_refilled(baseline)

    def test_a_table_that_forbids_both_ways_of_emptying(self):
        baseline = self.take(
            "CREATE TABLE t (a int)",
            """CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS
               'BEGIN RAISE ''never''; END'""",
            "CREATE TRIGGER d BEFORE DELETE ON t FOR EACH ROW EXECUTE FUNCTION no()",
            "CREATE TRIGGER t BEFORE TRUNCATE ON t EXECUTE FUNCTION no()",
        )
        self.run_sql("INSERT INTO t VALUES (1)")
        self.assert_refilled(baseline)

    def test_a_revoked_right_is_reported(self):
        baseline = self.take("CREATE TABLE t (a int)")
        owner = self.run_sql("SELECT current_user")[0][0]
        self.assert_reports(baseline, 'table "t" was changed', "REVOKE DELETE ON t FROM %s" % owner)

    def assert_refilled(self, baseline):
        """An owner has no way to put these rows back beside what was declared."""
        self.assertIn("without side effects", str(baseline.restore(self.control)))


class SuperuserTest(OwnerTest):
    database = "baseline_superuser_test"
    owner = None

    def test_nothing_is_emptied_through_a_parent_of_a_foreign_table(self):
        url = support.postgresql_url("baseline_elsewhere_test")
        run(url, "CREATE TABLE far (a int)", "INSERT INTO far VALUES (1), (2)")
        self.addCleanup(self.run_sql, "DROP EXTENSION IF EXISTS postgres_fdw CASCADE")
        baseline = self.take(
            "CREATE EXTENSION postgres_fdw",
            "CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw OPTIONS (dbname"
            " 'baseline_elsewhere_test', host '%s', port '%s')" % self.address(),
            "CREATE USER MAPPING FOR current_user SERVER s OPTIONS (user '%s')" % self.user(),
            "CREATE TABLE p (a int) PARTITION BY LIST (a)",
            "CREATE TABLE p9 PARTITION OF p FOR VALUES IN (9)",
            "CREATE FOREIGN TABLE far PARTITION OF p DEFAULT SERVER s",
            "CREATE TABLE base (a int)",
            "CREATE FOREIGN TABLE far2 () INHERITS (base) SERVER s OPTIONS (table_name 'far')",
        )
        self.assert_restores(baseline, "INSERT INTO p VALUES (9)", "INSERT INTO base VALUES (1)")
        big = "INSERT INTO base SELECT 1 FROM generate_series(1, 60000)"
        self.assert_restores(baseline, big)
        self.assertEqual(run(url, "SELECT count(*) FROM far"), [(2,)])

    def address(self):
        host, port = self.run_sql(
            "SELECT split_part(current_setting('unix_socket_directories'), ',', 1),"
            " current_setting('port')"
        )[0]
        return host, port

    def user(self):
        return self.run_sql("SELECT current_user")[0][0]


class SuperuserSideEffectsTest(SideEffectsTest):
    database = "baseline_superuser_test"
    owner = None

    def test_row_security_hides_nothing_from_the_reset(self):
        self.skipTest("a superuser sees all rows")

    def assert_refilled(self, baseline):
        self.assertIsNone(baseline.restore(self.control))
        self.assertEqual(dump(self.database), self.before)


class OwnerOfTablesAloneTest(BaselineCase):
    """A role that may do nothing but own its tables."""

    database = "baseline_tables_test"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        support.administer('ALTER DATABASE "%s" OWNER TO CURRENT_USER' % cls.database)
        run(support.url_of(cls.database), "GRANT ALL ON SCHEMA public TO %s" % cls.owner)

    test_rows_go = OwnerTest.test_rows_and_sequences_of_written_tables_go
    test_first_rows_come_back = OwnerTest.test_first_rows_come_back_exactly
    test_references = OwnerTest.test_first_rows_that_refer_to_written_tables_stay
    test_truncating = OwnerTest.test_truncating_takes_along_first_rows_and_puts_them_back
    test_storage = OwnerTest.test_what_leaves_the_catalog_saying_the_same_is_no_change
    test_triggers = SideEffectsTest.test_a_trigger_that_writes_on_delete_is_not_fired


if __name__ == "__main__":
    unittest.main()
