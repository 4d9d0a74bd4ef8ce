from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import subprocess
import sys
import tempfile
import unittest
import warnings

import sqlalchemy as sa
from sqlalchemy.engine.url import make_url

from dbtestcase import DatabaseTestCase, _compat
from dbtestcase.binaries import find_programs
from dbtestcase.connections import leading, watch
from dbtestcase.dialects.postgresql.sessions import WHICH
from tests import models, running, support
from tests.claiming import (
    Claims,
    database_of,
    drop_all_of,
    library,
    output_of,
    requires_fork,
    said,
    scenario,
)
from tests.servers import START, PrivateCase
from tests.test_forks import in_child

DATABASE = "follow_app_test"
SIBLING = "follow_app_test_2"

WHERE = "SELECT current_database()"


def drivers():
    return [name for name in ("psycopg2", "psycopg") if not support.missing(name)]


def dialects():
    """Return the names of SQLAlchemy's dialects for the drivers that are there."""
    found = []
    for driver in drivers():
        with contextlib.suppress(sa.exc.NoSuchModuleError):
            make_url("postgresql+%s://" % driver).get_dialect()
            found.append("postgresql+%s" % driver)
    return found


def place_of(parts):
    return parts["host"], parts["port"]


def asked(dbapi):
    """Return the name of a connection's database, and close it."""
    cursor = dbapi.cursor()
    cursor.execute(WHERE)
    (name,) = cursor.fetchone()
    dbapi.close()
    return name


def asked_engine(url, **options):
    engine = sa.create_engine(url, **options)
    with engine.connect() as connection:
        name = database_of(connection)
    engine.dispose()
    return name


class Following(Claims):
    """Tests in which another run has the configured database, and this one takes a sibling."""

    database = DATABASE

    def setUp(self):
        drop_all_of(self.database)
        self.url = support.postgresql_url(self.database)
        self.parts = _compat.conninfo_parts(drivers()[0], "postgresql" + self.url[self.at() :])

    def at(self):
        return self.url.index("://")

    def url_for(self, drivername):
        return drivername + self.url[self.at() :]

    def follows(self, body, engine=None, base=DatabaseTestCase, **attributes):
        """Run a test against the sibling; return what its body returned."""
        found = []
        attributes = dict({"lock_timeout": 1.0, "metadata": library.metadata}, **attributes)
        attributes["test_one"] = lambda case: found.append(body(case))
        if "app" not in attributes:
            attributes["engine"] = self.url if engine is None else engine
        case = type("FollowTest", (base,), attributes)
        with contextlib.ExitStack() as stack:
            if not leading.leads:  # else this process has a sibling, and its children are led there
                stack.enter_context(self.another_run(self.database))
            stack.enter_context(said())
            self.assertPasses(case)
        return found[0]


class ConnectionsFollowTest(Following):
    def connections(self):
        """Yield ways to connect to the configured database, each with what it is."""
        parts = self.parts
        text = " ".join("%s='%s'" % item for item in parts.items())
        for name in drivers():
            connect = __import__(name).connect
            yield name + " url", lambda connect=connect: connect(self.url_for("postgresql"))
            yield name + " dsn", lambda connect=connect: connect(text)
            yield name + " keywords", lambda connect=connect: connect(**parts)
            yield name + " both", lambda connect=connect: connect("user=nobody", **parts)
            yield name + " environment", lambda connect=connect: self.by_environment(connect)
            yield name + " service", lambda connect=connect: self.by_service(connect)
            yield name + " link", lambda connect=connect: self.by_another_spelling(connect)
        if "psycopg2" in drivers():
            from psycopg2 import connect, extensions, extras

            yield "psycopg2 database", lambda: connect(
                database=parts["dbname"],
                **{name: value for name, value in parts.items() if name != "dbname"},
            )
            yield "psycopg2 factory", lambda: connect(
                text, connection_factory=extras.DictConnection
            )
            yield "psycopg2 own class", lambda: connect(
                text, connection_factory=type("Own", (extensions.connection,), {})
            )

    def by_environment(self, connect):
        variables = {"PGHOST": "host", "PGPORT": "port", "PGUSER": "user", "PGDATABASE": "dbname"}
        values = {name: self.parts[part] for name, part in variables.items()}
        with support.environment(**values):
            return connect("")

    def by_service(self, connect):
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
            file.write("[shop]\n" + "".join("%s=%s\n" % item for item in self.parts.items()))
            file.flush()
            with support.environment(PGSERVICEFILE=file.name):
                return connect("service=shop")

    def by_another_spelling(self, connect):
        folder = tempfile.mkdtemp(dir="/tmp")
        self.addCleanup(os.rmdir, folder)
        link = os.path.join(folder, "s")
        os.symlink(self.parts["host"], link)
        self.addCleanup(os.remove, link)
        return connect(**dict(self.parts, host=link))

    def test_whatever_the_drivers_open_leads_to_the_sibling(self):
        ways = dict(self.connections())

        def body(case):
            return {name: asked(connect()) for name, connect in ways.items()}

        self.assertEqual(self.follows(body), dict.fromkeys(ways, SIBLING))
        self.assertGreaterEqual(len(ways), 7)

    def test_a_connection_says_itself_where_it_leads(self):
        def body(case):
            found = []
            for name in drivers():
                dbapi = __import__(name).connect(self.url_for("postgresql"))
                found.append(dbapi.info.dbname)
                dbapi.close()
            return set(found)

        self.assertEqual(self.follows(body), {SIBLING})

    def test_engines_made_before_and_in_a_test_lead_to_the_sibling(self):
        for name in dialects():
            with self.subTest(name):
                self.setUp()
                before = sa.create_engine(self.url_for(name))
                self.addCleanup(before.dispose)
                with before.connect() as connection:  # stays in its pool
                    self.assertEqual(database_of(connection), DATABASE)

                def body(case, name=name, before=before):
                    with before.connect() as connection:
                        return database_of(connection), asked_engine(self.url_for(name))

                self.assertEqual(self.follows(body), (SIBLING, SIBLING))

    def test_a_session_that_was_open_before_is_given_back_and_leads_to_the_sibling(self):
        engine = sa.create_engine(self.url)
        self.addCleanup(engine.dispose)
        session = sa.orm.sessionmaker(bind=engine)()
        self.assertEqual(database_of(session), DATABASE)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            self.assertEqual(self.follows(lambda case: database_of(session)), SIBLING)
        session.close()
        texts = [str(each.message) for each in caught if each.category is ResourceWarning]
        self.assertTrue(any("left a session open" in text for text in texts), texts)

    def test_an_engine_with_a_creator_that_uses_a_driver_leads_to_the_sibling(self):
        for name in drivers():
            with self.subTest(name):
                self.setUp()
                connect = __import__(name).connect
                url = self.url_for("postgresql")
                body = lambda case, url=url, connect=connect, name=name: asked_engine(  # noqa: E731
                    "postgresql+%s://" % name, creator=lambda: connect(url)
                )
                if "postgresql+%s" % name in dialects():
                    self.assertEqual(self.follows(body), SIBLING)

    @support.requires("psycopg")
    def test_connections_of_asyncio_lead_to_the_sibling(self):
        from psycopg import AsyncConnection

        async def ask():
            connection = await AsyncConnection.connect(self.url_for("postgresql"))
            cursor = await connection.execute(WHERE)
            (name,) = await cursor.fetchone()
            await connection.close()
            return name

        self.assertEqual(self.follows(lambda case: asyncio.run(ask())), SIBLING)

    @support.requires("asyncpg")
    def test_connections_of_asyncpg_lead_to_the_sibling(self):
        import asyncpg

        parts = dict(self.parts, database=self.parts["dbname"])
        del parts["dbname"]
        url = "postgresql://%s@/%s?host=%s&port=%s" % tuple(
            [self.parts[name] for name in ("user", "dbname", "host", "port")]
        )

        async def ask(*arguments, **options):
            connection = await asyncpg.connect(*arguments, **options)
            name = await connection.fetchval(WHERE)
            await connection.close()
            return name

        def body(case):
            return asyncio.run(ask(url)), asyncio.run(ask(**parts))

        self.assertEqual(self.follows(body), (SIBLING, SIBLING))

    @support.requires("psycopg2")
    def test_asynchronous_connections_of_psycopg2_lead_to_the_sibling(self):
        import psycopg2.extras

        def body(case):
            dbapi = psycopg2.connect(self.url_for("postgresql"), async_=1)
            psycopg2.extras.wait_select(dbapi)
            name = dbapi.info.dbname
            dbapi.close()
            return name

        self.assertEqual(self.follows(body), SIBLING)

    def test_other_databases_are_reached_as_before(self):
        def body(case):
            found = []
            with unittest.mock.patch.object(_compat, "row_at") as row_at:
                for name in drivers():
                    connect = __import__(name).connect
                    found.append(asked(connect(**dict(self.parts, dbname="postgres"))))
            row_at.assert_not_called()
            return set(found)

        self.assertEqual(self.follows(body), {"postgres"})

    def test_what_a_driver_refuses_it_refuses_in_its_own_words(self):
        def body(case):
            found = []
            for name in drivers():
                for text in ("nonsense", "host=/nowhere dbname=%s" % DATABASE):
                    try:
                        __import__(name).connect(text)
                    except Exception as error:
                        found.append(type(error).__name__)
            return found

        self.assertEqual(
            self.follows(body), ["ProgrammingError", "OperationalError"] * len(drivers())
        )

    def test_the_process_keeps_leading_there_between_classes_and_after_them(self):
        engine = sa.create_engine(self.url)
        self.addCleanup(engine.dispose)

        def body(case):
            with engine.connect() as connection:
                return database_of(connection)

        found = [self.follows(body)]
        with engine.connect() as connection:
            found.append(database_of(connection))
        found += [asked_engine(self.url), self.follows(body)]
        self.assertEqual(found, [SIBLING] * 4)

    def test_a_run_that_has_the_configured_database_leads_nothing(self):
        asked_there = []

        class OneTest(self.case(self.url)):
            def test_two(case):
                asked_there.append((dict(leading.leads), asked_engine(self.url)))

        with support.environment(DATABASE_URL=self.url):
            self.assertPasses(OneTest)
            self.assertEqual(os.environ["DATABASE_URL"], self.url)
        self.assertEqual(asked_there, [({}, DATABASE)])

    def test_a_server_that_is_asked_once_is_known_by_its_spelling(self):
        asked_servers = []

        def row_at(*arguments):
            asked_servers.append(arguments)
            return ordinary(*arguments)

        def body(case):
            for name in drivers():
                for _ in range(3):
                    asked(__import__(name).connect(self.url_for("postgresql")))

        ordinary = _compat.row_at
        with unittest.mock.patch.object(_compat, "row_at", row_at):
            self.follows(body)
        spellings = {arguments[1] for arguments in asked_servers}
        self.assertEqual(len(asked_servers), len(spellings))

    def test_where_the_server_gives_no_answer_a_connection_leads_to_the_sibling(self):
        def body(case):
            refuse = "ALTER DATABASE %s ALLOW_CONNECTIONS %s"
            support.administer(refuse % (DATABASE, "false"))
            try:
                connects = [__import__(name).connect for name in drivers()]
                return {asked(self.by_another_spelling(connect)) for connect in connects}
            finally:
                support.administer(refuse % (DATABASE, "true"))

        self.assertEqual(self.follows(body), {SIBLING})

    def test_a_server_that_was_started_anew_is_known_again(self):
        support.postgresql_url(SIBLING)
        ((started, _),) = support.administer(WHICH)
        self.addCleanup(leading.leads.clear)
        watch()
        leading.lead(DATABASE, WHICH, ("before", DATABASE), SIBLING)
        self.assertEqual(asked_engine(self.url), DATABASE)
        leading.server_restarted("before", started)
        self.assertEqual(asked_engine(self.url), SIBLING)

    @support.requires("psycopg2", "psycopg")
    def test_a_driver_that_a_test_is_the_first_to_import_leads_to_the_sibling(self):
        for kind in dialects():
            with self.subTest(kind), self.another_run(self.database):
                (other,) = set(drivers()) - {kind.partition("+")[2]}
                code = FIRST_IMPORT.format(self.url_for(kind), other, self.url_for("postgresql"))
                output = output_of(scenario(self.url, "-c", code))
                self.assertIn("found: not imported, %s" % SIBLING, output)


FIRST_IMPORT = """
import sys, unittest
from dbtestcase import DatabaseTestCase
import sqlalchemy as sa
before = "imported" if "{1}" in sys.modules else "not imported"
class OneTest(DatabaseTestCase):
    engine, metadata = "{0}", sa.MetaData()
    def test_one(self):
        cursor = __import__("{1}").connect("{2}").cursor()
        cursor.execute("SELECT current_database()")
        print("found: %s, %s" % (before, cursor.fetchone()[0]))
unittest.main()
"""


class AnotherServerTest(PrivateCase, Following):
    database = DATABASE

    def setUp(self):
        PrivateCase.setUp(self)
        Following.setUp(self)

    def test_a_database_of_the_same_name_on_another_server_is_reached(self):
        child = self.child(START + "import sys; sys.stdin.read()")
        elsewhere = child.stdout.readline().strip()
        other = _compat.url_text(_compat.url_with(elsewhere, database=DATABASE))
        administered = sa.create_engine(elsewhere, poolclass=sa.pool.NullPool)
        raw = administered.raw_connection()
        _compat.dbapi_connection(raw).autocommit = True
        raw.cursor().execute("CREATE DATABASE " + DATABASE)
        raw.close()

        def body(case):
            found = []
            for name in drivers():
                connect = __import__(name).connect
                found.append(asked(connect("postgresql" + other[other.index("://") :])))
            return set(found), asked_engine(self.url), os.environ["OTHER_URL"] == other

        with support.environment(OTHER_URL=other):
            self.assertEqual(self.follows(body), ({DATABASE}, SIBLING, True))
        child.stdin.close()


class SettingsFollowTest(Following):
    def environment(self):
        return {
            "DATABASE_URL": self.url,
            "DJANGO_URL": self.url_for("postgis"),
            "OTHER_DSN": "dbname=%s host=%s user=postgres" % (DATABASE, self.parts["host"]),
            "DB_NAME": DATABASE,
            "PGDATABASE": DATABASE,
            "PROJECT": DATABASE,
            "GONE_URL": "postgresql://postgres@/%s?host=/nowhere" % DATABASE,
            "DOCS": "https://example.org/" + DATABASE,
            "LONGER_URL": self.url.replace(DATABASE, DATABASE + "ing"),
        }

    def test_the_environment_says_the_sibling_while_the_class_runs(self):
        former = self.environment()
        with support.environment(**former):
            found = self.follows(lambda case: {name: os.environ[name] for name in former})
            self.assertEqual({name: os.environ[name] for name in former}, former)
        led = {"DATABASE_URL", "DJANGO_URL", "OTHER_DSN", "DB_NAME", "PGDATABASE"}
        self.assertEqual({name for name in former if found[name] != former[name]}, led)
        for name in led - {"OTHER_DSN"}:
            self.assertEqual(found[name], former[name].replace(DATABASE, SIBLING))
        parts = _compat.conninfo_parts(drivers()[0], found["OTHER_DSN"])
        self.assertEqual(parts, {"dbname": SIBLING, "host": self.parts["host"], "user": "postgres"})

    def test_what_was_set_in_a_class_stays_when_the_rest_is_put_back(self):
        def body(case):
            os.environ["DATABASE_URL"] = "postgresql://elsewhere/x"

        with support.environment(DATABASE_URL=self.url, SHOP_URL=self.url):
            self.follows(body)
            self.assertEqual(os.environ["DATABASE_URL"], "postgresql://elsewhere/x")
            self.assertEqual(os.environ["SHOP_URL"], self.url)

    def test_a_child_that_takes_the_url_from_the_environment_leads_to_the_sibling(self):
        code = (
            "import os, sys; driver = __import__(sys.argv[1]);"
            "cursor = driver.connect(*sys.argv[2:] or [os.environ['DATABASE_URL']]).cursor();"
            "cursor.execute(%r); print(cursor.fetchone()[0])" % WHERE
        )

        def body(case):
            found = []
            for name in drivers():
                for arguments in ([], ["host=%s port=%s user=postgres" % place]):
                    command = [sys.executable, "-c", code, name] + arguments
                    found.append(subprocess.check_output(command, universal_newlines=True).strip())
            return set(found)

        place = place_of(self.parts)
        variables = {"DATABASE_URL": self.url_for("postgresql"), "PGDATABASE": DATABASE}
        with support.environment(**variables):
            self.assertEqual(self.follows(body), {SIBLING})

    def test_a_child_that_is_given_the_configured_url_all_the_same_leads_to_the_sibling(self):
        driver, url = drivers()[0], self.url_for("postgresql")
        asks = "cursor.execute(%r); print(cursor.fetchone()[0])" % WHERE
        connects = "import os, sys; cursor = __import__(%r).connect(%s).cursor();" + asks
        dsn = "'host=%s port=%s user=postgres dbname=%s'" % (*place_of(self.parts), DATABASE)
        quoted = " ".join("%s='%s'" % item for item in self.parts.items())
        python = (sys.executable, "-c")
        psql = next(find_programs("psql"))
        place = ("-h", self.parts["host"], "-p", self.parts["port"], "-U", "postgres")
        ways = {
            "url": lambda run: run([*python, connects % (driver, "sys.argv[1]"), url]),
            "quoted": lambda run: run([*python, connects % (driver, "sys.argv[1]"), quoted]),
            "dsn in code": lambda run: run([*python, connects % (driver, dsn)]),
            "environment of its own": lambda run: run(
                [*python, connects % (driver, "os.environ['OWN']")], env=dict(os.environ, OWN=url)
            ),
            "shell": lambda run: run("%s -At -c '%s' '%s'" % (psql, WHERE, url), shell=True),
            "psql": lambda run: run([psql, "-At", "-c", WHERE, *place, "-d", DATABASE]),
        }

        def run(command, **options):
            return subprocess.check_output(command, universal_newlines=True, **options).strip()

        found = self.follows(lambda case: {name: way(run) for name, way in ways.items()})
        self.assertEqual(found, dict.fromkeys(ways, SIBLING))

    def test_the_arguments_of_other_children_are_left_alone(self):
        command = [
            sys.executable,
            "-c",
            "import sys; print(sys.argv[1:])",
            DATABASE,
            self.url + "x",
        ]

        def body(case):
            return subprocess.check_output(command, universal_newlines=True).strip()

        self.assertEqual(self.follows(body), str(command[3:]))

    def test_a_database_that_only_the_environment_names_is_followed(self):
        place = {"PGHOST": "host", "PGPORT": "port", "PGUSER": "user", "PGDATABASE": "dbname"}
        with support.environment(**{name: self.parts[part] for name, part in place.items()}):
            found = self.follows(
                lambda case: (
                    database_of(case.session),
                    asked_engine("postgresql://"),
                    os.environ["PGDATABASE"],
                    case.engine.url.database,
                ),
                engine=sa.create_engine("postgresql://"),
            )
            self.assertEqual(os.environ["PGDATABASE"], DATABASE)
        self.assertEqual(found, (SIBLING,) * 4)

    def shop(self, **settings):
        shop = models.library(binds="SQLALCHEMY_BINDS" in settings)
        app = models.make_app(shop.db, self.url, TESTING=True, **settings)
        self.addCleanup(models.dispose, app, shop.db)
        return app

    def test_the_configuration_of_the_app_says_the_sibling_while_the_class_runs(self):
        app = self.shop(
            SQLALCHEMY_BINDS={"audit": self.url},
            CELERY_RESULT_BACKEND=self.url_for("db+postgresql"),
            REPORTS=make_url(self.url),
            PARTS={"drivername": "postgresql", "database": DATABASE},
            NAME=DATABASE,
        )
        before = dict(app.config)

        def body(case):
            self.assertEqual(
                case.app.config["SQLALCHEMY_DATABASE_URI"], _compat.url_text(case.db.engine.url)
            )
            return {key: value for key, value in app.config.items() if value != before[key]}

        led = self.url.replace(DATABASE, SIBLING)
        self.assertEqual(
            self.follows(body, app=app),
            {
                "SQLALCHEMY_DATABASE_URI": led,
                "SQLALCHEMY_BINDS": {"audit": led},
                "CELERY_RESULT_BACKEND": "db+postgresql" + led[led.index("://") :],
                "REPORTS": make_url(led),
                "PARTS": {"drivername": "postgresql", "database": SIBLING},
            },
        )
        self.assertEqual(dict(app.config), before)

    def test_the_migrations_of_create_tables_are_given_the_sibling(self):
        app, migrated = self.shop(), []

        def create_tables(case):
            engine = sa.create_engine(case.app.config["SQLALCHEMY_DATABASE_URI"])
            with engine.connect() as connection:
                migrated.append(database_of(connection))
            engine.dispose()
            migrated.append(case.app.config["SQLALCHEMY_DATABASE_URI"])
            migrated.extend([os.environ["DATABASE_URL"], asked_engine(self.url)])
            case.db.create_all()

        with support.environment(DATABASE_URL=self.url):
            self.follows(lambda case: None, app=app, create_tables=create_tables)
        led = self.url.replace(DATABASE, SIBLING)
        self.assertEqual(migrated, [SIBLING, led, led, SIBLING])

    def test_an_app_of_each_test_and_a_second_one_beside_it_follow(self):
        test = self

        class OwnApp(DatabaseTestCase):
            def setUp(case):
                case.app = test.shop()
                super().setUp()

        def body(case):
            other = self.shop()
            with other.app_context():
                second = (
                    database_of(other.extensions["sqlalchemy"].session)
                    if hasattr(other.extensions["sqlalchemy"], "session")
                    else database_of(other.extensions["sqlalchemy"].db.session)
                )
            return database_of(case.db.session), second, case.app.config["SQLALCHEMY_DATABASE_URI"]

        found = self.follows(body, base=OwnApp, app=None)
        self.assertEqual(found, (SIBLING, SIBLING, self.url.replace(DATABASE, SIBLING)))


OPEN_BEFORE = """\
ConfigurationError: AuthorTest: another run has the database "follow_app_test", and this one its\
 sibling "follow_app_test_2"; but a connection to "follow_app_test" was opened past SQLAlchemy\
 before that, and is still open (backend %d).
  What it does would reach the rows of the other run. Nothing was touched.
  Close it before the tests begin; opened in setUp() or in a test, it leads to\
 "follow_app_test_2"."""


class RefusedTest(Following):
    """What cannot follow, and would reach the rows of the other run."""

    def test_a_connection_that_was_open_before_is_refused_as_long_as_it_is(self):
        for name in drivers():
            with self.subTest(name):
                self.setUp()
                gc.collect()
                dbapi = __import__(name).connect(self.url_for("postgresql"))
                text = OPEN_BEFORE % dbapi.info.backend_pid
                with self.another_run(self.database), said():
                    for _ in range(2):
                        self.assertEqual(self.message_of(self.case(self.url)), text)
                    dbapi.close()
                    self.assertPasses(self.case(self.url))
                self.assertEqual(self.seen, [(SIBLING, SIBLING)])

    @support.requires("psycopg2")
    def test_a_creator_past_what_leads_connections_is_refused(self):
        from psycopg2 import extensions

        dsn = self.url_for("postgresql")
        engine = sa.create_engine(
            "postgresql+psycopg2://", creator=lambda: extensions.connection(dsn)
        )

        class StrayTest(self.case(self.url)):
            def test_one(case):
                with engine.connect() as connection:
                    connection.execute(sa.text("CREATE TABLE harm (id int)"))

        with self.another_run(self.database), said():
            message = self.message_of(StrayTest)
        self.assertEqual(
            message,
            "ConfigurationError: StrayTest.test_one: another run has the database"
            ' "follow_app_test", and this one its sibling "follow_app_test_2"; but a new connection'
            ' of an engine leads to "follow_app_test" all the same.\n'
            "  Neither psycopg2.connect() nor psycopg.connect() has made it, so it cannot be led"
            " elsewhere. Nothing was touched.\n"
            "  Make it by one of these, or from self.engine.url, app.config or the environment,"
            ' which name "follow_app_test_2".',
        )


class ForkedProcessesTest(Following):
    @requires_fork
    def test_a_child_leads_to_the_sibling_of_its_parent_until_it_has_its_own(self):
        def body(case):
            def work():
                before = asked_engine(self.url)
                with said():
                    support.run_case(self.case(self.url))
                return (
                    before,
                    self.seen,
                    asked_engine(self.url),
                    asked_engine(self.url.replace(DATABASE, SIBLING)),
                )

            return in_child(work), asked_engine(self.url)

        own = SIBLING[:-1] + "3"
        self.assertEqual(
            self.follows(body),
            (repr((SIBLING, [(own, own)], own, own)), SIBLING),
        )


class RunsTest(Claims):
    """Whole runs of an application with an engine of its own, with each runner."""

    database = "follow_runs_test"

    def run_all(self, *arguments):
        """Run the scenario while another run has its database; return what it wrote."""
        drop_all_of(self.database)
        url = support.postgresql_url(self.database)
        with self.another_run(self.database):
            output = output_of(scenario(url, *arguments))
        self.assertIn('its sibling "follow_runs_test_2"', output)
        count = "SELECT count(*) FROM pg_class WHERE relname = 'entry'"
        found = support.administer(count, database=self.database)
        self.assertEqual(found, [(0,)], "the database of the other run was touched")
        return output

    def test_python_unittest(self):
        output = self.run_all("-m", "unittest", "own_engine")
        self.assertRegex(output, r"Ran 4 tests in .*\n\nOK")

    @unittest.skipUnless(running.has("nose2"), "nose2 is not installed")
    def test_nose2_with_several_processes(self):
        plugin = ("--plugin", "nose2.plugins.mp", "-N", "2")
        output = self.run_all("-m", "nose2", *plugin, "own_engine")
        self.assertRegex(output, r"Ran 4 tests in .*\n\nOK")

    @unittest.skipUnless(running.has("xdist"), "pytest-xdist is not installed")
    def test_pytest_with_several_processes(self):
        options = ("-q", "-p", "no:cacheprovider", "-n", "2")
        self.assertIn("4 passed", self.run_all("-m", "pytest", *options, "own_engine.py"))


if __name__ == "__main__":
    unittest.main()
