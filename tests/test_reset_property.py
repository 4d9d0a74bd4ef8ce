from __future__ import annotations

import unittest

import psycopg2
import sqlalchemy as sa

from dbtestcase import _compat
from dbtestcase.dialects.postgresql.drop import drop_everything
from dbtestcase.dialects.postgresql.proof import COUNTING
from dbtestcase.dialects.postgresql.reset import Baseline
from tests.baselines import BaselineCase
from tests.dropping import dump

try:
    import hypothesis
    from hypothesis import strategies as st
except ImportError:
    hypothesis = None

SCHEMA = """
CREATE TABLE person (id serial PRIMARY KEY, name text UNIQUE, age int CHECK (age > 0));
CREATE TABLE "Order" (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    person int REFERENCES person ON DELETE CASCADE, best int);
CREATE TABLE item (id serial, "order" int REFERENCES "Order" ON DELETE SET NULL, v text,
    twice text GENERATED ALWAYS AS (v || v) STORED);
ALTER TABLE "Order" ADD CONSTRAINT best FOREIGN KEY (best) REFERENCES person
    DEFERRABLE INITIALLY DEFERRED;
CREATE TABLE tree (id int PRIMARY KEY, up int REFERENCES tree);
CREATE TABLE part (k int, v text) PARTITION BY LIST (k);
CREATE TABLE part1 PARTITION OF part FOR VALUES IN (1);
CREATE TABLE part_rest PARTITION OF part DEFAULT;
CREATE TABLE base (a int);
CREATE TABLE child (b int) INHERITS (base);
CREATE SEQUENCE free START 5 INCREMENT 3;
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE TABLE feeling (m mood);
CREATE VIEW adults AS SELECT * FROM person WHERE age >= 18;
"""
ROWS = """
INSERT INTO person (name, age) VALUES ('ann', 20), ('bob', 10), (NULL, NULL);
INSERT INTO "Order" (person, best) VALUES (1, 2);
INSERT INTO tree VALUES (1, NULL), (2, 1);
INSERT INTO part VALUES (1, 'one');
"""
CHANGES = [
    "INSERT INTO person (name, age) VALUES ('carl', 30)",
    "INSERT INTO person (name) VALUES ('carl') ON CONFLICT DO NOTHING",
    "INSERT INTO person (name, age) VALUES ('dora', -1)",
    "INSERT INTO adults (name, age) VALUES ('eve', 40)",
    "UPDATE person SET age = age + 1",
    "UPDATE person SET name = name WHERE id = 1",
    "DELETE FROM person WHERE id = 1",
    "DELETE FROM person WHERE id = 2",
    'INSERT INTO "Order" (person, best) SELECT id, id FROM person',
    'DELETE FROM "Order"',
    'INSERT INTO item ("order", v) SELECT id, \'x;y\' FROM "Order"',
    "INSERT INTO tree SELECT max(id) + 1, max(id) FROM tree",
    "DELETE FROM tree",
    "INSERT INTO part VALUES (1, 'a'), (2, 'b')",
    "UPDATE part SET k = k + 1",
    "INSERT INTO child VALUES (1, 2)",
    "UPDATE base SET a = 2",
    "INSERT INTO feeling VALUES ('sad')",
    "TRUNCATE person CASCADE",
    "TRUNCATE item RESTART IDENTITY",
    "SELECT nextval('free')",
    "SELECT setval('free', 5, false)",
    "SELECT setval('person_id_seq', 3, true)",
    "ALTER SEQUENCE free RESTART WITH 8",
    "SELECT lo_from_bytea(0, 'abc')",
    "SELECT count(*) FROM person",
    "SAVEPOINT s",
    "ROLLBACK TO SAVEPOINT s",
    "RELEASE SAVEPOINT s",
    "CREATE TABLE more (a serial)",
    "DROP TABLE IF EXISTS more",
    "SELECT * INTO copied FROM person",
    "CREATE TEMP TABLE person (a int)",
    "ALTER TABLE item ADD w int",
    "ALTER TABLE item DROP COLUMN IF EXISTS w",
    "ALTER TABLE person RENAME TO people",
    "ALTER TABLE people RENAME TO person",
    "CREATE INDEX on_age ON person (age)",
    "REINDEX TABLE person",
    "ALTER TYPE mood ADD VALUE IF NOT EXISTS 'calm'",
    "COMMENT ON TABLE person IS 'people'",
    "CREATE SCHEMA IF NOT EXISTS aside CREATE TABLE hidden (a int)",
    "DROP VIEW IF EXISTS adults",
    "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE MATERIALIZED VIEW seen AS SELECT * FROM person",
    "ALTER TABLE tree DISABLE TRIGGER ALL",
    "GRANT SELECT ON person TO PUBLIC",
    "ANALYZE",
    "VACUUM tree",
]
ENDS = ["commit", "rollback", "stay"]


def examples(test):
    """Run a test with random lists of (connection, statement, what follows it)."""
    if hypothesis is None:
        return unittest.skip("hypothesis is not installed")(test)
    # Statements about rows are what most tests are made of: without them, all would be rebuilt.
    rows = st.sampled_from(CHANGES[:29])
    steps = st.tuples(
        st.integers(0, 2), rows | rows | st.sampled_from(CHANGES), st.sampled_from(ENDS)
    )
    few = st.lists(st.tuples(st.integers(0, 2), rows, st.sampled_from(ENDS)), max_size=8)
    given = hypothesis.given(few | st.lists(steps, min_size=1, max_size=8))
    settings = hypothesis.settings(
        max_examples=60,
        deadline=None,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    return settings(given(test))


class ResetPropertyTest(BaselineCase):
    """Whatever several connections do, a restored or rebuilt database dumps like a new one."""

    database = "baseline_property_test"

    def setUp(self):
        COUNTING.subscribe()
        super().setUp()
        self.build()
        self.expected = sorted(dump(self.database))

    def build(self):
        self.run_sql(SCHEMA, ROWS)
        self.baseline = Baseline.take(self.control)

    @examples
    def test_a_reset_database_dumps_like_a_new_one(self, steps):
        self.work(steps)
        sentence = self.baseline.restore(self.control)
        if sentence:
            drop_everything(self.control)
            self.build()
        self.assertEqual(sorted(dump(self.database)), self.expected, sentence)
        self.assertIsNone(self.baseline.matches(self.control))

    def work(self, steps):
        """Run the steps on three connections, the last one past SQLAlchemy."""
        engine = sa.create_engine(_compat.url_with(self.url, drivername="postgresql+psycopg2"))
        arguments, options = engine.dialect.create_connect_args(engine.url)
        connections = [engine.raw_connection() for _ in range(2)]
        connections.append(psycopg2.connect(*arguments, **options))
        connections[2].autocommit = True
        try:
            for number, statement, end in steps:
                self.step(connections[number], statement, end)
        finally:
            for connection in connections:
                connection.close()
            engine.dispose()

    @staticmethod
    def step(connection, statement, end):
        cursor = connection.cursor()
        try:
            cursor.execute("SET lock_timeout = '20ms'")
            cursor.execute(statement)
            if end == "commit":
                connection.commit()
        except Exception as error:
            if not getattr(error, "pgcode", None):
                raise
            connection.rollback()
        if end == "rollback":
            connection.rollback()


if __name__ == "__main__":
    unittest.main()
