from __future__ import annotations

import unittest

from dbtestcase.dialects.postgresql.catalog import Fingerprint
from tests import support
from tests.baselines import BaselineCase

SCHEMA = """
CREATE TABLE t (a int, b text DEFAULT 'x', CONSTRAINT positive CHECK (a > 0));
CREATE TABLE u (a int PRIMARY KEY, b text) PARTITION BY LIST (a);
CREATE TABLE u1 PARTITION OF u FOR VALUES IN (1);
CREATE INDEX i ON t (a);
CREATE VIEW v AS SELECT a FROM t;
CREATE MATERIALIZED VIEW m AS SELECT a FROM t;
CREATE SEQUENCE s;
CREATE TYPE mood AS ENUM ('sad');
CREATE DOMAIN d AS int;
CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f();
CREATE SCHEMA w;
CREATE POLICY p ON t USING (true);
"""
# One statement each, in the order in which they can follow each other.
CHANGES = [
    ("CREATE TABLE x (a serial)", 'table "x" was created'),
    ("ALTER TABLE x RENAME TO y", 'table "x" was renamed to table "y"'),
    ("ALTER TABLE y SET SCHEMA w", 'table "y" was renamed to table "w.y"'),
    ("DROP TABLE w.y", 'table "w.y" was dropped'),
    ("ALTER TABLE t ADD c int", 'table "t" was changed'),
    ("ALTER TABLE t ALTER a SET DEFAULT 1", 'table "t" was changed'),
    ("ALTER TABLE t ALTER a SET STATISTICS 10", 'table "t" was changed'),
    ("ALTER TABLE t SET (fillfactor = 50)", 'table "t" was changed'),
    ("ALTER TABLE t DROP CONSTRAINT positive", None),
    ("ALTER TABLE t ADD UNIQUE (a)", None),
    ("ALTER TABLE t DISABLE TRIGGER g", 'table "t" was changed'),
    ("ALTER TABLE t ENABLE ROW LEVEL SECURITY", 'table "t" was changed'),
    ("ALTER TABLE t REPLICA IDENTITY FULL", 'table "t" was changed'),
    ("ALTER POLICY p ON t USING (false)", 'table "t" was changed'),
    ("ALTER TABLE t CLUSTER ON i", 'table "t" was changed'),
    ("CREATE RULE r AS ON DELETE TO t DO INSTEAD NOTHING", 'table "t" was changed'),
    ("CREATE STATISTICS z ON a, b FROM t", 'table "t" was changed'),
    ("GRANT SELECT ON t TO PUBLIC", 'table "t" was changed'),
    ("GRANT SELECT (a) ON t TO PUBLIC", 'table "t" was changed'),
    ("COMMENT ON COLUMN t.a IS 'a'", None),
    ("COMMENT ON COLUMN t.a IS NULL", None),
    ("ALTER TABLE u DETACH PARTITION u1", None),
    ("CREATE OR REPLACE VIEW v AS SELECT a, 1 AS one FROM t", 'view "v" was changed'),
    ("CREATE UNIQUE INDEX ON m (a)", None),
    ("ALTER SEQUENCE s INCREMENT 5", 'sequence "s" was changed'),
    ("ALTER SEQUENCE s OWNED BY t.a", None),
    ("ALTER TYPE mood ADD VALUE 'happy'", 'type "mood" was changed'),
    ("ALTER TYPE mood RENAME VALUE 'sad' TO 'glum'", 'type "mood" was changed'),
    ("ALTER DOMAIN d SET NOT NULL", 'type "d" was changed'),
    ("ALTER FUNCTION f() COST 7", 'function "f" was changed'),
    ("CREATE FUNCTION h(int) RETURNS int LANGUAGE sql AS 'SELECT 1'", 'function "h" was created'),
    ("CREATE OPERATOR @#@ (RIGHTARG = int, FUNCTION = h)", None),
    ("CREATE AGGREGATE total (int) (SFUNC = int4pl, STYPE = int)", 'function "total" was created'),
    ("CREATE COLLATION c (LOCALE = 'C')", None),
    ("CREATE TEXT SEARCH CONFIGURATION e (COPY = english)", None),
    ("CREATE SCHEMA x", 'schema "x" was created'),
    ("ALTER SCHEMA x RENAME TO y", 'schema "x" was renamed to schema "y"'),
    ("ALTER DEFAULT PRIVILEGES IN SCHEMA w GRANT SELECT ON TABLES TO PUBLIC", None),
    ("ALTER DATABASE fingerprint_test SET work_mem = '5MB'", None),
    ("COMMENT ON DATABASE fingerprint_test IS 'mine'", None),
    ("GRANT CREATE ON DATABASE fingerprint_test TO PUBLIC", None),
    ("COMMENT ON SCHEMA public IS 'ours'", None),
]
BY_A_SUPERUSER = [
    "GRANT EXECUTE ON FUNCTION pg_sleep(float8) TO pg_monitor",
    "COMMENT ON FUNCTION now() IS 'then'",
    "CREATE PUBLICATION everything FOR ALL TABLES",
    "CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION noticed()",
    "CREATE FOREIGN DATA WRAPPER far",
    "CREATE SERVER far FOREIGN DATA WRAPPER far",
    "CREATE USER MAPPING FOR PUBLIC SERVER far",
    "ALTER DATABASE fingerprint_test CONNECTION LIMIT 99",
]
NO_CHANGES = [
    "INSERT INTO t VALUES (1), (2)",
    "DELETE FROM t",
    "SELECT nextval('s')",
    "ALTER SEQUENCE s RESTART",
    "TRUNCATE t",
    "VACUUM t",
    "VACUUM FULL t",
    "ANALYZE t",
    "REINDEX TABLE t",
    "REFRESH MATERIALIZED VIEW m",
    "BEGIN; DROP TABLE t CASCADE; ROLLBACK",
    "CREATE TABLE x (a serial); DROP TABLE x",
    "CREATE TEMP TABLE x (a serial PRIMARY KEY, b int CHECK (b > 0))",
    "CREATE TEMP VIEW x AS SELECT 1 AS a",
]


class FingerprintTest(BaselineCase):
    database = "fingerprint_test"

    def test_every_kind_of_ddl_is_noticed_and_named(self):
        self.run_sql(SCHEMA)
        fingerprint = Fingerprint(self.control)
        for statement, sentence in CHANGES:
            with self.subTest(statement):
                self.run_sql(statement)
                found = fingerprint.changes(self.control)
                self.assertIsNotNone(found)
                self.assertIn(sentence or "", found)
                fingerprint = Fingerprint(self.control)
                self.assertIsNone(fingerprint.changes(self.control))

    def test_what_only_a_superuser_changes_is_noticed_by_the_owner(self):
        self.run_as_superuser("""CREATE FUNCTION noticed() RETURNS event_trigger LANGUAGE plpgsql AS
               'BEGIN END'""")
        self.addCleanup(support.postgresql_url, self.database, owner=self.owner)
        for statement in BY_A_SUPERUSER:
            with self.subTest(statement):
                fingerprint = Fingerprint(self.control)
                self.run_as_superuser(statement)
                self.assertIsNotNone(fingerprint.changes(self.control))
        self.control.close()

    def test_what_leaves_no_trace_in_what_the_catalog_says_is_no_change(self):
        self.run_sql(SCHEMA)
        fingerprint = Fingerprint(self.control)
        for statement in NO_CHANGES:
            with self.subTest(statement):
                self.run_sql(statement)
                self.assertIsNone(fingerprint.changes(self.control))
        self.run_sql("ALTER TABLE t ADD c int")
        self.assertEqual(fingerprint.changes(self.control), 'table "t" was changed')

    def test_a_change_is_told_until_the_fingerprint_is_taken_anew(self):
        fingerprint = Fingerprint(self.control)
        self.run_sql("CREATE TABLE x (a int)")
        for _ in range(3):
            self.assertEqual(fingerprint.changes(self.control), 'table "x" was created')
        self.run_sql("DROP TABLE x")
        self.assertIsNone(fingerprint.changes(self.control))

    def test_many_changes_are_told_in_one_sentence(self):
        fingerprint = Fingerprint(self.control)
        self.run_sql(*["CREATE TABLE x%d (a serial PRIMARY KEY)" % number for number in range(5)])
        self.assertEqual(
            fingerprint.changes(self.control),
            'table "x0" was created; table "x1" was created; table "x2" was created; and 2 more',
        )


if __name__ == "__main__":
    unittest.main()
