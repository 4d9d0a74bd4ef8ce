from __future__ import annotations

from dbtestcase.dialects.postgresql.catalog import properties, restore_properties
from dbtestcase.dialects.postgresql.drop import drop_everything, installed_extensions, inventory
from dbtestcase.errors import ConfigurationError
from tests import support
from tests.dropping import DropCase, dump


class SchemaPublicTest(DropCase):
    owner = "drop_owner"

    def test_it_keeps_comment_and_privileges(self):
        self.assert_drops(
            "CREATE TABLE t (id int)",
            "COMMENT ON SCHEMA public IS 'other'",
            "GRANT CREATE ON SCHEMA public TO PUBLIC",
            "REVOKE USAGE ON SCHEMA public FROM PUBLIC",
            "GRANT USAGE ON SCHEMA public TO pg_monitor WITH GRANT OPTION",
        )

    def test_it_gets_its_owner_back(self):
        self.run_sql("ALTER SCHEMA public OWNER TO drop_owner", "CREATE TABLE t (id int)")
        self.drop()
        self.assert_new()

    def test_it_is_made_again_when_it_was_dropped(self):
        self.run_sql("DROP SCHEMA public")
        self.drop()
        self.assert_new()
        self.run_sql("CREATE TABLE public.t (id int)")

    def test_it_is_renamed_back(self):
        self.run_sql("CREATE TABLE t (id int)", "ALTER SCHEMA public RENAME TO old")
        self.assertIn(("schema", "old"), inventory(self.control))
        self.drop()
        self.assert_new()
        self.assertEqual(self.run_sql("SELECT 'public'::regnamespace::oid"), [(2200,)])

    def test_another_schema_in_its_place_becomes_like_it(self):
        self.assert_drops(
            "ALTER SCHEMA public RENAME TO old",
            "CREATE SCHEMA public",
            "CREATE TABLE public.t (id int)",
            "CREATE TABLE old.t (id int)",
            least=3,
        )


class PropertiesTest(DropCase):
    def test_settings_that_a_test_made_go_and_those_that_were_there_stay(self):
        self.run_sql(
            "ALTER DATABASE drop_test SET search_path = '$user', \"Other\", public",
            "ALTER DATABASE drop_test SET work_mem = '5MB'",
            "ALTER DATABASE drop_test SET my.odd = 'it''s \"x\", y'",
            "ALTER ROLE postgres IN DATABASE drop_test SET timezone = 'Asia/Tokyo'",
        )
        self.remember()
        self.run_sql(
            "ALTER DATABASE drop_test RESET ALL",
            "ALTER ROLE postgres IN DATABASE drop_test RESET ALL",
            "ALTER DATABASE drop_test SET work_mem = '6MB'",
            "ALTER DATABASE drop_test SET datestyle = 'German'",
            "ALTER ROLE postgres IN DATABASE drop_test SET enable_seqscan = off",
        )
        self.drop()
        self.assert_new()

    def test_owner_comment_limit_and_privileges_of_the_database(self):
        self.run_sql("COMMENT ON DATABASE drop_test IS 'it''s ours'")
        self.addCleanup(support.administer, "ALTER DATABASE drop_test IS_TEMPLATE false")
        self.remember()
        self.run_sql(
            "COMMENT ON DATABASE drop_test IS NULL",
            "ALTER DATABASE drop_test OWNER TO pg_monitor",
            "ALTER DATABASE drop_test CONNECTION LIMIT 7",
            "ALTER DATABASE drop_test IS_TEMPLATE true",
            "GRANT CREATE ON DATABASE drop_test TO PUBLIC",
            "REVOKE CONNECT ON DATABASE drop_test FROM PUBLIC",
        )
        self.drop()
        self.assert_new()

    def test_what_the_role_may_not_give_back_is_returned(self):
        support.administer("ALTER DATABASE drop_test OWNER TO drop_owner")
        control = self.new_control(support.url_of(self.database, username="drop_owner"))
        recorded = properties(control)
        self.run_sql("GRANT EXECUTE ON FUNCTION pg_read_file(text) TO PUBLIC")
        self.assertEqual(
            restore_properties(control, recorded),
            [
                "REVOKE EXECUTE ON ROUTINE pg_catalog.pg_read_file(pg_catalog.text)"
                " FROM PUBLIC CASCADE"
            ],
        )

    def remember(self):
        self.recorded = properties(self.control)
        self.new = dump(self.database)


class DefaultPrivilegesTest(DropCase):
    owner = "drop_owner"

    def test_those_that_a_test_made_are_dropped(self):
        dropped = self.assert_drops(
            "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
            "ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC",
            "ALTER DEFAULT PRIVILEGES REVOKE INSERT ON TABLES FROM drop_owner",
            "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON SEQUENCES TO PUBLIC",
            "ALTER DEFAULT PRIVILEGES GRANT USAGE ON TYPES TO pg_monitor WITH GRANT OPTION",
            "CREATE SCHEMA s",
            "ALTER DEFAULT PRIVILEGES IN SCHEMA s GRANT ALL ON TABLES TO pg_monitor",
            least=8,
        )
        self.assertIn(
            (
                "default privileges",
                "ALTER DEFAULT PRIVILEGES FOR ROLE drop_owner GRANT SELECT ON TABLES TO PUBLIC",
            ),
            dropped,
        )

    def test_those_that_were_there_come_back(self):
        self.run_sql(
            "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO pg_monitor",
            "ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC",
        )
        self.recorded = properties(self.control)
        self.new = dump(self.database)
        self.run_sql("CREATE TABLE t (id int)")
        self.drop()
        self.assert_new()

    def test_those_of_another_role_are_left_alone(self):
        self.run_as_superuser("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC")
        self.assertEqual(self.drop(), [])


class ExtensionsTest(DropCase):
    def setUp(self):
        super().setUp()
        self.needs_extension("citext")

    def remember(self):
        self.recorded, self.new = properties(self.control), dump(self.database)
        return installed_extensions(self.control)

    def test_they_and_their_members_stay_with_the_schema_that_they_are_in(self):
        self.run_sql(
            "CREATE SCHEMA ext",
            "CREATE EXTENSION citext SCHEMA ext",
            "CREATE EXTENSION hstore",
        )
        self.remember()
        self.assert_drops(
            "CREATE TABLE ext.t (name ext.citext, h hstore)",
            "CREATE FUNCTION ext.f(ext.citext) RETURNS int LANGUAGE sql AS 'SELECT 1'",
            least=2,
        )

    def test_they_come_back_as_they_were_and_others_go(self):
        self.run_sql("CREATE SCHEMA ext", "CREATE EXTENSION citext SCHEMA ext")
        wanted = self.remember()
        self.run_sql(
            "DROP SCHEMA ext CASCADE",
            "CREATE EXTENSION citext",
            "CREATE SCHEMA more",
            "CREATE EXTENSION hstore SCHEMA more",
            "CREATE TABLE t (name citext, h more.hstore)",
        )
        dropped = self.drop(extensions=wanted)
        self.assertIn(("extension", "hstore"), dropped)
        self.assert_new()

    def test_a_renamed_schema_public_keeps_those_in_it(self):
        self.run_sql("CREATE EXTENSION citext")
        self.remember()
        self.assert_drops("ALTER SCHEMA public RENAME TO old", "CREATE TABLE old.t (n old.citext)")

    def test_one_that_cannot_be_created_again_is_an_error_that_says_so(self):
        support.administer("ALTER DATABASE drop_test OWNER TO drop_owner")
        self.run_sql("CREATE TABLE t (id int)")
        control = self.new_control(support.url_of(self.database, username="drop_owner"))
        with self.assertRaises(ConfigurationError) as raised:
            drop_everything(control, extensions={"plpgsql": None, "postgres_fdw": None})
        self.assertEqual(
            str(raised.exception),
            'the extension "postgres_fdw" is gone from database "drop_test" and cannot be created'
            ' again: permission denied to create extension "postgres_fdw".\n'
            '  Let a role that may run: CREATE EXTENSION "postgres_fdw"',
        )
