from __future__ import annotations

import contextlib
import io
import threading
import unittest

import sqlalchemy as sa

from dbtestcase import _compat
from dbtestcase.connections import statements
from dbtestcase.dialects.postgresql.proof import COUNTING, LEDGER
from dbtestcase.dialects.postgresql.reset import Baseline
from tests.baselines import BaselineCase

TABLES = (
    "CREATE TABLE person (id serial PRIMARY KEY, name text UNIQUE CHECK (name <> 'bad'))",
    "CREATE TABLE orders (id serial PRIMARY KEY, person int REFERENCES person ON DELETE CASCADE)",
)
SLY = """CREATE FUNCTION sly() RETURNS int LANGUAGE plpgsql AS
    'BEGIN CREATE TABLE IF NOT EXISTS public.x (a int); RETURN 1; END'"""
INSERT = "INSERT INTO person (name) VALUES (%(name)s)"


class LedgerCase(BaselineCase):
    database = "ledger_test"
    owner = None

    def setUp(self):
        super().setUp()
        self.engine = sa.create_engine(_compat.url_with(self.url, drivername="postgresql+psycopg2"))
        COUNTING.subscribe()  # which watches the drivers that are imported by now
        self.addCleanup(self.engine.dispose)

    def take(self, *statements):
        self.run_sql(*statements)
        baseline = Baseline.take(self.control)
        self.assertIsNone(baseline.restore(self.control))
        return baseline

    @contextlib.contextmanager
    def raw(self):
        """The driver's connection in a transaction that is committed."""
        fairy = self.engine.raw_connection()
        try:
            yield _compat.dbapi_connection(fairy)
            fairy.commit()
        finally:
            fairy.close()


class ProvedTest(LedgerCase):
    """What every suite does is proved; others on the server may use ids meanwhile, so try again."""

    def assert_proved(self, work, *statements):
        baseline = self.take(*(statements or TABLES))
        for _ in range(40):
            work()
            self.assertIsNone(baseline.restore(self.control))
            if baseline.proved:
                return
        self.fail("the catalog was looked at every time")

    def test_nothing(self):
        self.assert_proved(lambda: None)

    def test_inserts_updates_deletes_and_reads(self):
        def work():
            with self.engine.begin() as connection:
                connection.execute(sa.text("INSERT INTO person (name) VALUES ('a;b'), ('it''s')"))
                connection.execute(sa.text("INSERT INTO orders (person) SELECT id FROM person"))
                connection.execute(sa.text("SELECT count(*) FROM person")).scalar()
            with self.engine.begin() as connection:
                connection.execute(sa.text("UPDATE orders SET person = NULL"))
                connection.execute(sa.text("DELETE FROM person"))

        self.assert_proved(work)

    def test_values_of_all_kinds(self):
        def work():
            with self.raw() as connection:
                for name in ["it's", 'a";--', "\\'; x", "/* ;", "$$", "%s"]:
                    connection.cursor().execute(INSERT, {"name": name})

        self.assert_proved(work)

    def test_savepoints(self):
        def work():
            with self.raw() as connection:
                cursor = connection.cursor()
                cursor.execute("SAVEPOINT a")
                cursor.execute("SAVEPOINT b")
                cursor.execute(INSERT, {"name": "1"})
                cursor.execute("ROLLBACK TO SAVEPOINT b")
                cursor.execute(INSERT, {"name": "2"})
                cursor.execute("RELEASE SAVEPOINT b")
                cursor.execute("SAVEPOINT B")
                cursor.execute(INSERT, {"name": "3"})
                cursor.execute("ROLLBACK TO a")
                cursor.execute("SAVEPOINT never_used")
                cursor.execute("RELEASE never_used")

        self.assert_proved(work)

    def test_rolled_back_and_refused_rows(self):
        def work():
            with self.engine.connect() as connection:
                with self.assertRaises(sa.exc.IntegrityError), connection.begin():
                    connection.execute(sa.text("INSERT INTO person (id) VALUES (1), (1)"))
                with self.assertRaises(sa.exc.IntegrityError), connection.begin():
                    connection.execute(sa.text("INSERT INTO orders (id, person) VALUES (1, 7)"))
                transaction = connection.begin()
                connection.execute(sa.text("INSERT INTO person (id) VALUES (1)"))
                transaction.rollback()

        self.assert_proved(work)

    def test_many_rows_at_once(self):
        def work():
            with self.engine.begin() as connection:
                table = sa.table("person", sa.column("name"))
                connection.execute(table.insert(), [{"name": str(i)} for i in range(2500)])
            with self.raw() as connection:
                connection.cursor().executemany(INSERT, [{"name": "x%d" % i} for i in range(3)])

        self.assert_proved(work)

    def test_autocommit(self):
        engine = self.engine.execution_options(isolation_level="AUTOCOMMIT")

        def work():
            with engine.connect() as connection:
                connection.execute(sa.text("INSERT INTO person (name) VALUES ('a')"))
                connection.execute(sa.text("DELETE FROM person"))

        self.assert_proved(work)

    def test_other_kinds_of_cursors(self):
        from psycopg2.extras import RealDictCursor

        def work():
            with self.raw() as connection:
                cursor = connection.cursor(cursor_factory=RealDictCursor)
                cursor.execute(INSERT + " RETURNING name", {"name": "a"})
                self.assertEqual(cursor.fetchone(), {"name": "a"})
                self.assertIsInstance(cursor, RealDictCursor)

        self.assert_proved(work)

    def test_functions_that_only_read_do_not_matter(self):
        self.assert_proved(
            lambda: self.insert(),
            "CREATE TABLE person (name text)",
            "CREATE FUNCTION f(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1'",
        )

    def test_a_sequence_that_is_set_back_unused_beside_a_row(self):
        baseline = self.take(*TABLES, "SELECT nextval('person_id_seq')")
        for _ in range(5):
            with self.raw() as connection:
                cursor = connection.cursor()
                cursor.execute("INSERT INTO orders DEFAULT VALUES")
                cursor.execute("SELECT setval('person_id_seq', 7, false)")
            self.assertIsNone(baseline.restore(self.control))
            self.assertIsNone(baseline.matches(self.control))
        self.assertFalse(baseline.proved)

    def insert(self):
        with self.raw() as connection:
            connection.cursor().execute(INSERT, {"name": "a"})


class SequencesTest(LedgerCase):
    """Sequences are not asked where the server wrote nothing since they were right."""

    def assert_restored(self, baseline):
        self.assertIsNone(baseline.restore(self.control))
        self.assertIsNone(baseline.matches(self.control))

    def test_a_value_that_was_drawn_without_a_record_of_it(self):
        baseline = self.take("CREATE SEQUENCE s", "SELECT nextval('s')")
        self.run_sql("SELECT nextval('s')")
        self.assert_restored(baseline)

    def test_a_sequence_that_went_round_and_drew_without_a_record(self):
        baseline = self.take("CREATE SEQUENCE s MAXVALUE 2 CYCLE", "SELECT setval('s', 1)")
        self.run_sql("SELECT nextval('s')", "SELECT nextval('s')")
        self.assert_restored(baseline)
        self.run_sql("SELECT nextval('s')")
        self.assert_restored(baseline)

    def test_first_values_are_seen_again_and_again(self):
        baseline = self.take(
            "CREATE SEQUENCE s", "CREATE SEQUENCE used", "SELECT setval('used', 7)"
        )
        for _ in range(3):
            self.run_sql("SELECT nextval('s')")
            self.assert_restored(baseline)
            self.run_sql("SELECT nextval('used')", "SELECT nextval('s')")
            self.assert_restored(baseline)

    def test_they_are_not_read_when_nothing_was_written(self):
        baseline = self.take("CREATE SEQUENCE s")
        reads = []
        for _ in range(20):  # others on the server may write meanwhile
            before = self.read()
            self.assertIsNone(baseline.restore(self.control))
            reads.append(self.read() - before)
        self.assertEqual(min(reads), 0)
        self.run_sql("SELECT nextval('s')")
        before = self.read()
        self.assertIsNone(baseline.restore(self.control))
        self.assertGreater(self.read(), before)

    def read(self):
        """How often the control connection has read the sequence."""
        if self.control.server_version < 150000:
            self.skipTest("PostgreSQL tells this late")
        self.control.execute("SELECT pg_stat_force_next_flush()")
        ((blocks,),) = self.control.execute(
            "SELECT blks_read + blks_hit FROM pg_statio_user_sequences"
        )
        return blocks


class SuspectTest(LedgerCase):
    """Whatever could hide a change of the catalog between the rows has the catalog asked."""

    def assert_noticed(self, work, *statements):
        baseline = self.take(*(statements or TABLES))
        work()
        self.assertIsNotNone(baseline.restore(self.control))
        self.assertFalse(baseline.proved)

    def assert_noticed_beside_a_row(self, *queries, arguments=None):
        def work():
            with self.raw() as connection:
                cursor = connection.cursor()
                cursor.execute(INSERT, {"name": "a"})
                for query in queries:
                    cursor.execute(query, arguments)

        self.assert_noticed(work)

    def test_ddl_elsewhere_after_a_savepoint_in_which_nothing_was_written(self):
        def work():
            for query in ("SAVEPOINT a", "INSERT INTO person (name) VALUES ('a')"):
                with self.raw() as connection:
                    connection.cursor().execute(query)
            self.run_sql("CREATE TABLE x (a int)")

        self.assert_noticed(work)

    def test_ddl_in_the_transaction_that_writes(self):
        for query in (
            "CREATE TABLE x (a int)",
            "  /* INSERT */ CREATE TABLE x (a int)",
            "SELECT 1 AS a INTO x",
            "UPDATE person SET name = 'b'; CREATE TABLE x (a int)",
            "DELETE FROM person; -- \n CREATE TABLE x (a int)",
            "DELETE FROM person WHERE name = $$'$$; CREATE TABLE x (a text DEFAULT $$'$$)",
            "DELETE FROM person WHERE name = '\\'; CREATE TABLE x (a text DEFAULT '\\')",
            "SELECT date'2000-01-01', name'\\'; CREATE TABLE x (a text DEFAULT name'\\')",
            "SELECT 1 -- it's\n; CREATE TABLE x (a text DEFAULT ' it')",
            "SELECT U&'\\0027'; CREATE TABLE x (a text DEFAULT U&'\\0027')",
            "WITH a AS (SELECT 1 AS b) SELECT b INTO x FROM a",
            "UPDATE pg_class SET reloptions = '{fillfactor=50}' WHERE relname = 'orders'",
            "DO 'BEGIN CREATE TABLE x (a int); END'",
            "EXPLAIN ANALYZE CREATE TABLE x AS SELECT 1 AS a",
        ):
            with self.subTest(query):
                self.setUp()
                self.assert_noticed_beside_a_row(query)

    def test_a_value_that_the_driver_does_not_quote(self):
        from psycopg2.extensions import AsIs

        arguments = {"x": AsIs("1; CREATE TABLE x (a int)")}
        self.assert_noticed_beside_a_row("SELECT %(x)s", arguments=arguments)
        self.setUp()

        def work():
            with self.raw() as connection:
                cursor = connection.cursor()
                rows = [{"x": AsIs("'a'); CREATE TABLE x (a int); SELECT (1")}, {"x": "b"}]
                cursor.executemany("INSERT INTO person (name) VALUES (%(x)s)", rows)

        self.assert_noticed(work)

    def test_a_function_that_changes_the_catalog(self):
        for make, query in (
            ([], "SELECT sly()"),
            ([], 'SELECT "sly"()'),
            (["CREATE VIEW v AS SELECT sly()"], "SELECT * FROM v"),
            (
                ["ALTER TABLE person ADD a int DEFAULT sly()"],
                "INSERT INTO person (name) VALUES ('b')",
            ),
            (
                [
                    "CREATE FUNCTION calm() RETURNS int STABLE LANGUAGE plpgsql AS"
                    " 'BEGIN RETURN sly(); END'"
                ],
                "SELECT calm()",
            ),
            (
                [
                    "CREATE FUNCTION t() RETURNS trigger LANGUAGE plpgsql AS"
                    " 'BEGIN PERFORM sly(); RETURN NULL; END'",
                    "CREATE TRIGGER t AFTER UPDATE ON person EXECUTE FUNCTION t()",
                ],
                "UPDATE person SET name = 'c'",
            ),
        ):
            with self.subTest(query):
                self.setUp()

                def work(query=query):
                    with self.raw() as connection:
                        cursor = connection.cursor()
                        cursor.execute(INSERT, {"name": "a"})
                        cursor.execute(query)

                self.assert_noticed(work, *TABLES, SLY, *make)

    def test_somebody_else(self):
        def work():
            with self.raw() as connection:
                connection.cursor().execute(INSERT, {"name": "a"})
            self.run_sql("CREATE TABLE x (a int)")

        self.assert_noticed(work)

    def test_rows_that_are_not_written_here_do_not_make_up_for_somebody_else(self):
        def work():
            self.run_sql(
                "CREATE VIEW v AS SELECT 1 AS a",
                """CREATE FUNCTION t() RETURNS trigger LANGUAGE plpgsql AS
                   'BEGIN RETURN NEW; END'""",
                "CREATE TRIGGER i INSTEAD OF INSERT ON v FOR EACH ROW EXECUTE FUNCTION t()",
            )
            for _ in range(3):
                with self.raw() as connection:
                    connection.cursor().execute("INSERT INTO v VALUES (1)")

        self.assert_noticed(work)

    def test_a_conflict_that_writes_nothing_does_not_make_up_for_somebody_else(self):
        def work():
            with self.raw() as connection:
                connection.cursor().execute(INSERT, {"name": "a"})
            with self.raw() as connection:
                connection.cursor().execute(INSERT + " ON CONFLICT DO NOTHING", {"name": "a"})
            self.run_sql("CREATE TABLE x (a int)")

        self.assert_noticed(work)

    def test_a_check_that_fails_does_not_make_up_for_somebody_else(self):
        def work():
            with self.raw() as connection:
                with self.assertRaisesRegex(Exception, "."):
                    connection.cursor().execute(INSERT, {"name": "bad"})
                connection.rollback()
            self.run_sql("CREATE TABLE x (a int)")

        self.assert_noticed(work)

    def test_a_transaction_that_is_prepared(self):
        def work():
            with self.raw() as connection:
                cursor = connection.cursor()
                cursor.execute(INSERT, {"name": "a"})
                connection.commit()
                connection.tpc_begin("one")
                cursor.execute("CREATE TABLE x (a int)")
                connection.tpc_commit()

        self.assert_noticed(work)

    def test_a_transaction_that_began_before_the_last_look(self):
        baseline = self.take(*TABLES)
        with self.raw() as connection:
            cursor = connection.cursor()
            cursor.execute(INSERT, {"name": "a"})
            self.assertIsNone(baseline.restore(self.control))
            self.run_sql("CREATE TABLE x (a int)")
        self.assertIsNotNone(baseline.restore(self.control))

    def test_a_transaction_that_is_over_and_counted_late(self):
        from psycopg2.extensions import connection as plain

        baseline = self.take(*TABLES)
        with self.raw() as connection:
            connection.cursor().execute(INSERT, {"name": "a"})
            plain.commit(connection)  # past the watch
            self.assertIsNone(baseline.restore(self.control))
            connection._dbtestcase_observer.over()
        self.run_sql("CREATE TABLE x (a int)")
        self.assertIsNotNone(baseline.restore(self.control))

    def test_what_could_not_be_put_right_is_seen_again(self):
        baseline = self.take(
            "CREATE TABLE person (name text)", "CREATE MATERIALIZED VIEW v AS SELECT 1 AS a"
        )
        with self.raw() as connection:
            connection.cursor().execute(INSERT, {"name": "a"})
        self.control.execute("REFRESH MATERIALIZED VIEW public.v WITH NO DATA")
        for _ in range(3):
            self.assertIsNotNone(baseline.restore(self.control))
            self.assertFalse(baseline.proved)

    def test_cursors_that_are_not_psycopg2_s_own(self):
        from psycopg2.extensions import cursor as plain

        class Factory:
            __hash__ = None

            def __call__(self, *args, **kw):
                return plain(*args, **kw)

        for factory in (lambda *args, **kw: plain(*args, **kw), Factory()):
            self.setUp()

            def work(factory=factory):
                with self.raw() as connection:
                    connection.cursor().execute(INSERT, {"name": "a"})
                    cursor = connection.cursor(cursor_factory=factory)
                    cursor.execute("CREATE TABLE x (a int)")

            self.assert_noticed(work)

    def test_other_ways_to_run_a_function(self):
        def copies(cursor):
            cursor.copy_expert("COPY (SELECT sly()) TO STDOUT", io.StringIO())

        for call in (copies, lambda cursor: cursor.callproc("sly")):
            self.setUp()

            def work(call=call):
                with self.raw() as connection:
                    cursor = connection.cursor()
                    cursor.execute(INSERT, {"name": "a"})
                    call(cursor)

            self.assert_noticed(work, *TABLES, SLY)

    def test_a_with_block_in_autocommit(self):
        def work():
            with self.raw() as connection:
                connection.cursor().execute(INSERT, {"name": "a"})
                connection.commit()
                connection.autocommit = True
                with connection, connection.cursor() as cursor:
                    cursor.execute(INSERT, {"name": "c"})
                    cursor.execute("CREATE TABLE x (a int)")
                connection.autocommit = False

        self.assert_noticed(work)

    def test_many_threads_lose_no_count_and_add_none(self):
        baseline = self.take(*TABLES)
        key = self.control.key
        before = LEDGER.counted.get(key, 0)

        def work(number):
            for turn in range(25):
                with self.raw() as connection:
                    connection.cursor().execute(INSERT, {"name": "%d %d" % (number, turn)})

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(LEDGER.counted.get(key, 0) - before, 100)
        self.assertIsNone(baseline.restore(self.control))


class HarmlessTest(unittest.TestCase):
    def test_what_was_read_before_a_function_was_known_is_read_again(self):
        query = b"SELECT known_to_write_from_now_on()"
        self.assertEqual(statements.row_verb(query), b"select")
        statements.forbid(frozenset(["known_to_write_from_now_on"]))
        self.assertIsNone(statements.row_verb(query))

    def test_a_long_statement_is_read_as_a_short_one_is(self):
        long = b"SELECT '%s'" % (b"x" * 5000)
        self.assertEqual(statements.row_verb(long), b"select")
        self.assertIsNone(statements.row_verb(long + b"; DROP TABLE t"))


if __name__ == "__main__":
    unittest.main()
