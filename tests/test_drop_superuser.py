from __future__ import annotations

import socket

from dbtestcase.dialects.postgresql.drop import inventory
from tests import support
from tests.dropping import DropCase, run

# A database with a subscription cannot be dropped: for when the test fails.
FORGET_SUBSCRIPTION = """
DO $$ BEGIN
    ALTER SUBSCRIPTION s CONNECTION 'host=/nonexistent';
    ALTER SUBSCRIPTION s SET (slot_name = NONE);
    DROP SUBSCRIPTION s;
EXCEPTION WHEN undefined_object THEN
END $$
"""


class WhatOnlyASuperuserMakesTest(DropCase):
    def test_an_event_trigger_that_forbids_to_drop(self):
        dropped = self.assert_drops(
            "CREATE TABLE t (id int)",
            "CREATE FUNCTION forbid() RETURNS event_trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE 'no %', tg_tag; END $$",
            "CREATE EVENT TRIGGER forbids ON sql_drop EXECUTE FUNCTION forbid()",
            "CREATE EVENT TRIGGER forbids_ddl ON ddl_command_start EXECUTE FUNCTION forbid()",
        )
        kinds = [kind for kind, _ in dropped]
        self.assertEqual(kinds, ["event trigger", "event trigger", "table", "function"])

    def test_languages_access_methods_and_operator_classes(self):
        self.assert_drops(
            "CREATE LANGUAGE mine HANDLER plpgsql_call_handler",
            "CREATE FUNCTION f() RETURNS int LANGUAGE mine AS 'BEGIN RETURN 1; END'",
            "CREATE ACCESS METHOD heap2 TYPE TABLE HANDLER heap_tableam_handler",
            "CREATE TABLE t (id int) USING heap2",
            "CREATE OPERATOR CLASS ints FOR TYPE int4 USING btree AS"
            " OPERATOR 1 <, OPERATOR 3 =, FUNCTION 1 btint4cmp(int, int)",
            "CREATE OPERATOR FAMILY fam USING hash",
            "CREATE FUNCTION sqlf(internal) RETURNS internal LANGUAGE internal IMMUTABLE"
            " AS 'dsimple_init'",
            "CREATE TRANSFORM FOR int LANGUAGE plpgsql (FROM SQL WITH FUNCTION sqlf(internal))",
            least=8,
        )

    def test_text_search_parsers_and_templates(self):
        self.assert_drops(
            "CREATE TEXT SEARCH PARSER words (START = prsd_start, GETTOKEN = prsd_nexttoken,"
            " END = prsd_end, LEXTYPES = prsd_lextype)",
            "CREATE TEXT SEARCH TEMPLATE plain (LEXIZE = dsimple_lexize)",
            "CREATE TEXT SEARCH CONFIGURATION mine (PARSER = words)",
            least=3,
        )

    def test_base_types_and_casts_between_types_of_the_system(self):
        self.assert_drops(
            "CREATE TYPE shell",
            "CREATE TYPE base",
            "CREATE FUNCTION base_in(cstring) RETURNS base LANGUAGE internal STRICT AS 'int4in'",
            "CREATE FUNCTION base_out(base) RETURNS cstring LANGUAGE internal STRICT AS 'int4out'",
            "CREATE TYPE base (INPUT = base_in, OUTPUT = base_out, LIKE = int4)",
            "CREATE CAST (point AS text) WITH INOUT",
            least=5,
        )

    def test_a_subscription_without_a_word_to_its_publisher(self):
        publisher = socket.socket()
        self.addCleanup(publisher.close)
        publisher.bind(("127.0.0.1", 0))
        publisher.listen()
        publisher.settimeout(0.5)
        self.addCleanup(self.run_sql, FORGET_SUBSCRIPTION)
        self.assert_drops(
            "CREATE TABLE t (id int)",
            "CREATE SUBSCRIPTION s CONNECTION 'host=127.0.0.1 port=%d connect_timeout=5'"
            " PUBLICATION p WITH (connect = false, slot_name = 'remote')"
            % publisher.getsockname()[1],
            # As if the first copy of the table had stopped half-way.
            "INSERT INTO pg_subscription_rel"
            " SELECT oid, 't'::regclass, 'd' FROM pg_subscription WHERE subname = 's'",
            least=2,
        )
        with self.assertRaises(OSError):
            publisher.accept()

    def test_objects_that_hide_in_schemas_of_the_system(self):
        self.run_sql(
            "CREATE FUNCTION pg_catalog.hides() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "CREATE TYPE pg_catalog.hidden AS ENUM ('a')",
            "CREATE TABLE information_schema.hidden (id int)",
        )
        self.assertEqual(len(inventory(self.control)), 3)
        self.assertEqual(len(self.drop()), 3)
        self.assertEqual(self.run_sql("SELECT to_regtype('pg_catalog.hidden')"), [(None,)])

    def test_privileges_on_objects_of_the_system(self):
        self.run_sql(
            "GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_file(text) TO PUBLIC",
            "REVOKE EXECUTE ON FUNCTION pg_catalog.pg_sleep(float8) FROM PUBLIC",
            "GRANT UPDATE (relname) ON pg_class TO PUBLIC",
            "REVOKE SELECT ON pg_catalog.pg_tables FROM PUBLIC",
            "GRANT SELECT ON pg_authid TO pg_monitor WITH GRANT OPTION",
            "REVOKE USAGE ON LANGUAGE sql FROM PUBLIC",
            "REVOKE USAGE ON TYPE int4 FROM PUBLIC",
            "COMMENT ON EXTENSION plpgsql IS 'other'",
        )
        self.drop()
        self.assert_new()


class NothingGoesThroughForeignTablesTest(DropCase):
    def test_rows_of_the_other_database_stay(self):
        self.needs_extension("postgres_fdw")
        other = support.postgresql_url("drop_other_test")
        run(other, "CREATE TABLE t (id int)", "INSERT INTO t VALUES (1), (2), (3)")
        address, port = self.run_sql(
            "SELECT coalesce(host(inet_server_addr()), current_setting('unix_socket_directories')),"
            " current_setting('port')"
        )[0]
        self.run_sql(
            "CREATE EXTENSION postgres_fdw",
            "CREATE SERVER other FOREIGN DATA WRAPPER postgres_fdw"
            " OPTIONS (host '%s', port '%s', dbname 'drop_other_test')" % (address, port),
            "CREATE USER MAPPING FOR CURRENT_USER SERVER other OPTIONS (user 'postgres')",
            "CREATE FOREIGN DATA WRAPPER mine",
            "CREATE FOREIGN TABLE far (id int) SERVER other OPTIONS (table_name 't')",
            "CREATE TABLE parted (id int) PARTITION BY LIST (id)",
            "CREATE FOREIGN TABLE part PARTITION OF parted DEFAULT SERVER other"
            " OPTIONS (table_name 't')",
            "CREATE TABLE parent (id int)",
            "CREATE FOREIGN TABLE child () INHERITS (parent) SERVER other"
            " OPTIONS (table_name 't')",
            "CREATE MATERIALIZED VIEW seen AS SELECT count(*) FROM far, parted, parent",
        )
        self.assertEqual(self.run_sql("SELECT * FROM seen"), [(27,)])
        self.drop(extensions={"plpgsql": None})
        self.assert_new()
        self.assertEqual(run(other, "SELECT count(*) FROM t"), [(3,)])
