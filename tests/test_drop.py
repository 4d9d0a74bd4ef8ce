from __future__ import annotations

from tests.dropping import DropCase

ODD_NAMES = [
    *("group", "select", "user", "MixedCase", "UPPER", "with space", " lead", "trail ", "dot.ted"),
    *('quo"te', '"', "apo'strophe", "per%cent", "%s", "%(name)s", "back\\slash", "new\nline"),
    *(
        "tab\t",
        "semi;colon",
        "--",
        "$$",
        "1digit",
        "grüße",
        "日本語",
        "e\u0301",
        "x" * 63,
        "é" * 31,
    ),
    *(":bind", "{brace}", "ta(ble)", "a,b", "/*", "on server", "NULL", "public.x"),
]


def in_odd_names(statement):
    return [statement.replace("NAME", '"%s"' % name.replace('"', '""')) for name in ODD_NAMES]


class Cases:
    """What an ordinary owner of a database can leave in it."""

    def test_a_foreign_key_of_an_unknown_table(self):
        self.assert_drops(
            'CREATE TABLE "group" (id int PRIMARY KEY)',
            'CREATE TABLE member (id int REFERENCES "group")',
        )

    def test_circular_foreign_keys(self):
        self.assert_drops(
            "CREATE TABLE a (id int PRIMARY KEY, b int)",
            "CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a, b int REFERENCES b)",
            "ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b DEFERRABLE INITIALLY DEFERRED",
            "INSERT INTO a VALUES (1, NULL)",
        )

    def test_odd_names_of_everything_in_odd_schemas(self):
        self.run_sql("CREATE SCHEMA enums", "CREATE SCHEMA sequences", "CREATE SCHEMA views")
        for statement in (
            "CREATE SCHEMA NAME",
            "CREATE TABLE NAME.NAME (NAME serial PRIMARY KEY, x int REFERENCES NAME.NAME)",
            "CREATE TABLE public.NAME (NAME int GENERATED ALWAYS AS IDENTITY, x int)",
            "CREATE INDEX ON public.NAME (x)",
            "CREATE VIEW views.NAME AS SELECT * FROM NAME.NAME",
            "CREATE TYPE enums.NAME AS ENUM ('a')",
            "CREATE SEQUENCE sequences.NAME",
            "CREATE FUNCTION NAME.NAME(a enums.NAME) RETURNS int LANGUAGE sql AS 'SELECT 1'",
            'CREATE COLLATION NAME.NAME FROM "C"',
            "CREATE TRIGGER NAME BEFORE UPDATE ON public.NAME FOR EACH ROW"
            " EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        ):
            self.run_sql(*in_odd_names(statement))
        self.assert_drops(least=8 * len(ODD_NAMES) + 3)

    def test_a_name_that_is_cut_in_the_middle_of_a_character(self):
        self.assert_drops('CREATE TABLE "%s" (id int)' % ("é" * 40))

    def test_views_and_materialized_views(self):
        self.assert_drops(
            "CREATE TABLE t (id int)",
            "CREATE VIEW v AS SELECT * FROM t",
            "CREATE MATERIALIZED VIEW m AS SELECT * FROM v",
            "CREATE INDEX ON m (id)",
            "CREATE VIEW w AS SELECT * FROM m",
            "CREATE RECURSIVE VIEW r (n) AS SELECT 1 UNION ALL SELECT n FROM w JOIN r ON id = n",
            least=5,
        )

    def test_other_schemas(self):
        self.assert_drops(
            "CREATE SCHEMA one CREATE TABLE t (id int PRIMARY KEY)",
            "CREATE SCHEMA two CREATE TABLE t (id int REFERENCES one.t)",
            "CREATE SCHEMA empty",
            least=5,
        )

    def test_partitions_and_keys_to_them(self):
        self.assert_drops(
            "CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id)",
            "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (1) TO (10) PARTITION BY LIST (id)",
            "CREATE TABLE p11 PARTITION OF p1 FOR VALUES IN (1)",
            "CREATE TABLE p1d PARTITION OF p1 DEFAULT",
            "CREATE TABLE pd PARTITION OF p DEFAULT",
            "CREATE TABLE refers (id int REFERENCES p)",
            "CREATE INDEX ON p (id)",
            "INSERT INTO p VALUES (1), (2), (30)",
            least=6,
        )

    def test_children_by_inheritance(self):
        self.assert_drops(
            "CREATE TABLE parent (id int)",
            "CREATE TABLE other (name text)",
            "CREATE TABLE child (x int) INHERITS (parent, other)",
            "CREATE TABLE grandchild () INHERITS (child)",
            least=4,
        )

    def test_enums_domains_composites_and_ranges(self):
        self.assert_drops(
            "CREATE TYPE mood AS ENUM ('sad', 'ok')",
            "CREATE DOMAIN positive AS int CHECK (VALUE > 0)",
            "CREATE TYPE pair AS (a mood, b positive)",
            "CREATE TYPE pairs AS RANGE (subtype = int4)",
            "CREATE DOMAIN many AS pair[]",
            "CREATE TABLE uses (a mood DEFAULT 'ok', b pair[], c pairs, d many)",
            "CREATE TABLE typed OF pair",
            least=7,
        )

    def test_sequences(self):
        dropped = self.assert_drops(
            "CREATE SEQUENCE free START 7",
            "CREATE TABLE t (a serial, b int GENERATED ALWAYS AS IDENTITY)",
            "CREATE SEQUENCE owned OWNED BY t.a",
            "CREATE TABLE borrows (a int DEFAULT nextval('t_a_seq'))",
        )
        self.assertEqual(
            dropped,
            [("table", "public.borrows"), ("table", "public.t"), ("sequence", "public.free")],
        )

    def test_routines_of_every_kind(self):
        self.assert_drops(
            "CREATE TABLE t (id int)",
            "CREATE FUNCTION of_row(t) RETURNS SETOF t LANGUAGE sql AS 'SELECT * FROM t'",
            "CREATE FUNCTION f(int, x text DEFAULT '') RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "CREATE FUNCTION f(VARIADIC text[]) RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "CREATE FUNCTION outs(OUT a int, OUT b int) LANGUAGE sql AS 'SELECT 1, 2'",
            "CREATE PROCEDURE p(INOUT a int) LANGUAGE plpgsql AS 'BEGIN COMMIT; END'",
            "CREATE FUNCTION step(int) RETURNS int LANGUAGE sql AS 'SELECT $1 + 1'",
            "CREATE FUNCTION step2(int, int) RETURNS int LANGUAGE sql AS 'SELECT $1 + $2'",
            "CREATE AGGREGATE total(int) (SFUNC = step2, STYPE = int)",
            "CREATE AGGREGATE stars(*) (SFUNC = step, STYPE = int, INITCOND = '0')",
            "CREATE AGGREGATE ordered(ORDER BY int) (SFUNC = step2, STYPE = int)",
            "CREATE VIEW uses AS SELECT f(id, 'a') FROM t",
            least=12,
        )

    def test_triggers_rules_and_policies(self):
        self.assert_drops(
            "CREATE TABLE t (id int)",
            "CREATE FUNCTION fires() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN RAISE ''no''; END'",
            "CREATE TRIGGER row BEFORE DELETE ON t FOR EACH ROW EXECUTE FUNCTION fires()",
            "CREATE TRIGGER statement BEFORE TRUNCATE ON t EXECUTE FUNCTION fires()",
            "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION fires()",
            "CREATE RULE no_delete AS ON DELETE TO t DO INSTEAD NOTHING",
            "CREATE POLICY mine ON t USING (false)",
            "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
            "ALTER TABLE t FORCE ROW LEVEL SECURITY",
            least=2,
        )

    def test_operators_casts_and_collations(self):
        self.assert_drops(
            "CREATE TYPE pair AS (a int, b int)",
            "CREATE FUNCTION eq(pair, pair) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT true'",
            "CREATE FUNCTION neg(pair) RETURNS pair LANGUAGE sql AS 'SELECT $1'",
            "CREATE FUNCTION to_int(pair) RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "CREATE OPERATOR === (LEFTARG = pair, RIGHTARG = pair, FUNCTION = eq)",
            "CREATE OPERATOR !! (RIGHTARG = pair, FUNCTION = neg)",
            "CREATE CAST (pair AS int) WITH FUNCTION to_int(pair)",
            'CREATE COLLATION german FROM "C"',
            "CREATE CONVERSION mine FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8",
            least=9,
        )

    def test_text_search_and_statistics(self):
        self.assert_drops(
            "CREATE TEXT SEARCH DICTIONARY words (TEMPLATE = simple)",
            "CREATE TEXT SEARCH CONFIGURATION mine (COPY = simple)",
            "ALTER TEXT SEARCH CONFIGURATION mine ALTER MAPPING FOR word WITH words",
            "CREATE TABLE t (a int, b int)",
            "CREATE STATISTICS s ON a, b FROM t",
            least=3,
        )

    def test_unlogged_tables_and_the_version_of_a_migration(self):
        self.assert_drops(
            "CREATE UNLOGGED TABLE u (id int)",
            "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)",
            "INSERT INTO alembic_version VALUES ('abc')",
            least=2,
        )

    def test_large_objects(self):
        self.assert_drops("SELECT lo_from_bytea(0, 'a') FROM generate_series(1, 120)", least=120)

    def test_a_publication(self):
        self.assert_drops("CREATE TABLE t (id int)", "CREATE PUBLICATION p FOR TABLE t", least=2)

    def test_what_a_setting_of_the_database_would_forbid(self):
        self.assert_drops(
            "CREATE TABLE t (id int)",
            "ALTER DATABASE drop_test SET default_transaction_read_only = on",
        )

    def test_an_empty_database_has_nothing_to_drop(self):
        self.assertEqual(self.drop(), [])
        self.assert_new()


class DropAsSuperuserTest(Cases, DropCase):
    pass


class DropAsOwnerTest(Cases, DropCase):
    owner = "drop_owner"
