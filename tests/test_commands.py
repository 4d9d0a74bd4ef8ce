import io
import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import unittest

import sqlalchemy as sa

from dbtestcase.commands.output import Output
from dbtestcase.dialects.postgresql import PostgreSQL
from tests import support
from tests.commanding import (
    Commands,
    databases,
    drop_databases,
    place,
    squeezed,
    version,
    wait_until,
    without_sizes,
)
from tests.dropping import dump, run
from tests.holding import another_process

try:
    import flask_sqlalchemy
except ImportError:
    flask_sqlalchemy = None

CLOSED = "postgresql://someone:s3cret@127.0.0.1:1/planet_test"
FILLED = (
    "CREATE TABLE planet (id int PRIMARY KEY, name text)",
    'CREATE TABLE "group" (id int)',
    "CREATE VIEW planets AS SELECT * FROM planet",
    "CREATE TYPE mood AS ENUM ('fine')",
    "INSERT INTO planet VALUES (1, 'Anarres')",
)


class CheckTest(Commands):
    def check(self, *arguments, env=None):
        return self.command("check", *arguments, env=env)

    def test_says_where_it_leads_that_it_is_safe_and_what_a_reset_would_drop(self):
        url = support.postgresql_url("commands_safe_test")
        run(url, *FILLED)
        done = self.check(url)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        shown, _, versions = without_sizes(done.stdout).partition("\nversions")
        self.assertEqual(
            squeezed(shown),
            squeezed("""
                default bind: {url}
                configured {url}
                connected to "commands_safe_test" at {place}, {version}
                role "postgres": superuser, may create databases, owns the database, owns schema
                  public
                verdict SAFE: "test" or "testing" stands as a word of its own in its name
                would drop 2 tables, 1 type, 1 view (-v names them)
                size 7.4 MB
                would keep extensions: plpgsql 1.0
                other sessions none
                prepared (2PC) none
                """.format(url=url, place=place(), version=version())),
        )
        self.assertIn("SQLAlchemy %s" % sa.__version__, squeezed(versions))
        self.assertIn("Python %d.%d." % sys.version_info[:2], versions)

    def test_names_what_would_be_dropped_on_request(self):
        url = support.postgresql_url("commands_safe_test")
        run(url, *FILLED)
        self.assertIn(
            "would drop      2 tables, 1 type, 1 view\n"
            '                table public."group"\n'
            "                table public.planet\n"
            "                type public.mood\n"
            "                view public.planets\n",
            self.check(url, "-v").stdout,
        )

    def test_changes_nothing(self):
        url = support.postgresql_url("commands_kept_test")
        run(url, *FILLED)
        before = dump("commands_kept_test"), databases("commands_kept")
        for arguments in ((), ("-v",), ("--json",)):
            self.assertEqual(self.check(url, *arguments).returncode, 0)
        self.assertEqual((dump("commands_kept_test"), databases("commands_kept")), before)

    def test_has_the_server_refuse_changes(self):
        engine = sa.create_engine(support.postgresql_url("commands_kept_test"))
        server = PostgreSQL.administer(engine)
        self.addCleanup(server.close)
        server.facts()
        with self.assertRaisesRegex(Exception, "in a read-only transaction"):
            server.control.execute("CREATE TABLE public.planet (id int)")

    def test_takes_no_sibling_of_a_database_that_a_run_has_and_says_who_has_it(self):
        url = support.postgresql_url("commands_taken_test")
        suite = self.start_suite(url, seconds=60)
        done = self.check(url)
        self.assertEqual(done.returncode, 0)
        self.assertEqual(databases("commands_taken"), ["commands_taken_test"])
        self.assertRegex(
            squeezed(done.stdout),
            r'in use by the run of pid \d+ "dbtestcase control %d" from .*, connected since .* UTC;'
            r" another run takes a sibling" % suite.pid,
        )
        self.assertIn("would drop      1 table ", done.stdout)

    def test_is_1_for_a_database_that_is_not_for_tests_and_says_what_would_allow_it(self):
        done = self.check(support.postgresql_url("commands_contest"))
        self.assertEqual(done.returncode, 1)
        self.assertIn(
            'verdict NOT SAFE: Neither "test" nor "testing" stands as a word of its own in its name'
            " to allow it To allow this very database, write in the test class: allowed_databases ="
            " ('commands_contest',) would drop",
            squeezed(done.stdout),
        )

    def test_allows_what_the_suite_allows(self):
        url = support.postgresql_url("commands_contest")
        done = self.check(url, "--allow", "commands_contest")
        self.assertEqual(done.returncode, 0)
        self.assertIn("verdict         SAFE: allowed_databases names it\n", done.stdout)
        self.write(
            "suite.py",
            "from dbtestcase import DatabaseTestCase\n"
            "class PlanetTest(DatabaseTestCase):\n"
            "    engine = %r\n    allowed_databases = 'commands_contest'\n" % url,
        )
        self.assertEqual(self.check("suite:PlanetTest").returncode, 0)

    def test_asks_the_live_connection(self):
        self.write(
            "planet.py",
            "import sqlalchemy as sa\n"
            "other = sa.create_engine(%r)\n"
            "arguments, options = other.dialect.create_connect_args(other.url)\n"
            "creator = lambda: other.dialect.connect(*arguments, **options)\n"
            "engine = sa.create_engine(%r, creator=creator)\n"
            % (support.postgresql_url("commands_contest"), support.url_of("commands_safe_test")),
        )
        done = self.check("planet:engine")
        self.assertEqual(done.returncode, 1)
        self.assertIn('connected to    "commands_contest" at', done.stdout)
        self.assertIn(
            'note The URL says "commands_safe_test", the live connection is to'
            ' "commands_contest": arguments of the URL or the engine, listeners',
            squeezed(done.stdout),
        )

    def test_says_that_a_run_would_create_what_is_not_there_yet(self):
        drop_databases("commands_missing")
        support.ensure_role("app")
        for role, status, words in (
            ("app", 0, "SAFE: a run creates it"),
            ("owner_only", 2, "COULD NOT TELL: it is not there, and the role may not create it"),
        ):
            support.ensure_role(role)
            with self.subTest(role):
                done = self.check(support.url_of("commands_missing_test", username=role))
                self.assertEqual(done.returncode, status, done.stderr)
                self.assertIn('"commands_missing_test" is not there yet\n', done.stdout)
                self.assertIn(words, squeezed(done.stdout))
        done = self.check(support.url_of("commands_missing"))
        self.assertEqual(done.returncode, 2)
        self.assertIn("it is not there, and no run creates it. Neither", squeezed(done.stdout))
        self.assertEqual(databases("commands_missing"), [])

    def test_says_which_rights_the_role_lacks(self):
        url = support.postgresql_url("commands_owned_test", owner="owner_only")
        run(support.url_of("commands_owned_test"), *FILLED)
        text = squeezed(self.check(url).stdout)
        self.assertIn('role "owner_only": owns the database, owns schema public verdict', text)
        self.assertIn(
            'cannot drop 4 of these, which belong to "postgres": a reset fails size', text
        )

    def test_names_other_sessions_what_they_hold_and_prepared_transactions(self):
        url = support.postgresql_url("commands_busy_test")
        run(url, *FILLED)
        run(url, "BEGIN", "LOCK TABLE planet", "PREPARE TRANSACTION 'commands_gid'")
        self.addCleanup(run, url, "ROLLBACK PREPARED 'commands_gid'")
        with another_process(url, 'LOCK TABLE "group"') as pid:
            done = self.check(url)
        self.assertEqual(done.returncode, 0)
        self.assertRegex(
            squeezed(done.stdout),
            r"other sessions 1, 1 in the way of a reset"
            r' pid %d .* idle in transaction for \d\.\d s, holds "group"'
            r' last query: LOCK TABLE "group"'
            r' prepared \(2PC\) 1 prepared transaction "commands_gid" of role "postgres" for'
            r' \d\.\d s, holds "planet"' % pid,
        )

    def test_is_2_where_no_server_answers_and_hides_the_password(self):
        done = self.check(CLOSED)
        self.assertEqual(done.returncode, 2)
        self.assertIn("postgresql://someone:***@127.0.0.1:1/planet_test", done.stdout)
        self.assertIn("verdict         COULD NOT TELL: connection", done.stdout)
        for arguments in ((CLOSED, "--json"), ("postgresql://a:s3cret@host:x/y",)):
            done = self.check(*arguments)
            self.assertEqual(done.returncode, 2)
            self.assertNotIn("s3cret", done.stdout + done.stderr)

    def test_is_2_with_one_clear_text_where_nothing_can_be_loaded(self):
        self.write("planet.py", "number = 3\ndef broken():\n    raise ValueError('no')\n")
        for subject, text in (
            ("nowhere:app", "'nowhere:app' cannot be imported: ModuleNotFoundError: No module"),
            ("planet:app", "'planet:app' cannot be imported: AttributeError: module 'planet' has"),
            ("planet:broken", "planet:broken cannot be used: ValueError: no"),
            ("planet:number", "planet:number is 3: it is no Flask application, no Engine, no test"),
            ("planet", "'planet' is neither module:attribute (as webapp:app) nor a URL (as"),
            (
                "./a/planet.py:app",
                "'./a/planet.py:app' names a file, not a module: write a.planet:app",
            ),
            ("planet.py::app", "'planet.py::app' names a file, not a module: write planet:app, as"),
            ("planet.py", "write planet:ATTRIBUTE, as it is seen from the directory the tests are"),
            ("mysql://localhost/a_test", None),
        ):
            with self.subTest(subject):
                done = self.check(subject)
                self.assertEqual((done.returncode, done.stdout), (2, ""))
                self.assertRegex(done.stderr, r"\A(Configuration|UnsupportedDatabase)Error: ")
                self.assertIn(text or "", squeezed(done.stderr))

    def test_makes_no_file_of_sqlite(self):
        for name, status, verdict in (("a_test.db", 0, "SAFE: "), ("a.db", 1, "NOT SAFE: ")):
            done = self.check("sqlite:///" + name)
            self.assertEqual(done.returncode, status)
            self.assertIn('connected to    "%s" is not there yet' % name, done.stdout)
            self.assertIn("verdict         " + verdict, done.stdout)
        self.assertEqual(os.listdir(self.folder), [])

    def test_lists_what_a_file_of_sqlite_holds_and_leaves_it_as_it_is(self):
        path = os.path.join(self.folder, "planet_test.db")
        engine = sa.create_engine("sqlite:///" + path)
        sa.Table("planet", sa.MetaData(), sa.Column("id", sa.Integer)).create(engine)
        engine.dispose()
        with open(path, "rb") as file:
            before = file.read()
        done = self.check("sqlite:///planet_test.db")
        self.assertEqual(done.returncode, 0)
        self.assertIn("would drop      1 table (-v names them)\n", done.stdout)
        with open(path, "rb") as file:
            self.assertEqual(file.read(), before)
        self.assertEqual(os.listdir(self.folder), ["planet_test.db"])

    def test_gives_programs_the_same_facts(self):
        url = support.postgresql_url("commands_safe_test")
        run(url, *FILLED)
        found = json.loads(self.check(url, "--json").stdout)
        self.assertEqual((found["safe"], found["status"]), (True, 0))
        (bind,) = found["binds"]
        self.assertEqual(bind["database"], "commands_safe_test")
        self.assertEqual(bind["would_drop_kinds"], {"table": 2, "view": 1, "type": 1})
        self.assertTrue(bind["role"]["superuser"])
        error = json.loads(self.check("nowhere:app", "--json").stdout)
        self.assertEqual(error["error"], "ConfigurationError")


@unittest.skipUnless(flask_sqlalchemy and hasattr(flask_sqlalchemy, "SQLAlchemy"), "no Flask here")
class CheckApplicationTest(Commands):
    def test_checks_every_bind_of_the_configuration_and_is_as_safe_as_the_worst(self):
        url = support.postgresql_url("commands_safe_test")
        refused = support.postgresql_url("commands_contest")
        for default, archive, status, word in (
            (url, "sqlite://", 0, "SAFE"),
            (url, CLOSED, 2, "COULD NOT TELL:"),
            (url, refused, 1, "NOT SAFE"),
            (refused, CLOSED, 1, "NOT SAFE"),
        ):
            self.write_app(default, archive)
            done = self.command("check", "planet:app", "--config", "planet.Testing")
            self.assertEqual(done.returncode, status, done.stderr)
            self.assertIn("default bind: SQLALCHEMY_DATABASE_URI of planet.Testing\n", done.stdout)
            self.assertIn(
                'bind "archive": SQLALCHEMY_BINDS["archive"] of planet.Testing\n', done.stdout
            )
            self.assertTrue(done.stdout.endswith("\naltogether      %s\n" % word), done.stdout)

    def test_refuses_an_application_that_is_not_for_tests(self):
        support.postgresql_url("commands_production")
        self.write_app(support.postgresql_url("commands_safe_test"))
        done = self.command("check", "planet:app")
        self.assertEqual(done.returncode, 1)
        self.assertIn(
            "verdict NOT SAFE: app.config[\"TESTING\"] is false, so 'planet' may be serving real",
            squeezed(done.stdout),
        )

    def test_keeps_what_the_application_prints_out_of_its_output(self):
        self.write_app(support.postgresql_url("commands_safe_test"))
        done = self.command("check", "planet:app", "--config", "planet.Testing", "--json")
        self.assertEqual(done.stderr, "hello from the app\n")
        self.assertEqual(json.loads(done.stdout)["config"], "planet.Testing")

    def test_loads_a_config_for_applications_alone(self):
        done = self.command("check", "sqlite://", "--config", "planet.Testing")
        self.assertEqual(done.returncode, 2)
        self.assertIn(
            "--config is for Flask applications; sqlite:// is none.", squeezed(done.stderr)
        )


class ColourTest(Commands):
    def seen_on_a_terminal(self, *arguments, **env):
        """Run a command on a pseudo-terminal and return what it shows there."""
        ours, theirs = pty.openpty()
        child = subprocess.Popen(
            [sys.executable, "-m", "dbtestcase", *arguments],
            cwd=self.folder,
            env=dict(
                os.environ,
                PYTHONPATH=support.ROOT,
                **dict(self.environment(), **dict({"TERM": "xterm"}, **env))
            ),
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        shown = b""
        while select.select([ours], [], [], 30)[0]:
            try:
                shown += os.read(ours, 4096)
            except OSError:  # all is said
                break
        child.wait()
        os.close(ours)
        return shown.decode()

    def test_is_for_terminals(self):
        self.assertIn("\033[32mSAFE\033[0m: ", self.seen_on_a_terminal("check", "sqlite://"))
        self.assertIn("\033[31mConfigurationError\033[0m: ", self.seen_on_a_terminal("check", "x"))
        self.assertNotIn("\033", self.command("check", "sqlite://").stdout)

    def test_is_left_out_on_request(self):
        self.assertNotIn("\033", self.seen_on_a_terminal("check", "sqlite://", NO_COLOR="1"))
        self.assertNotIn("\033", self.seen_on_a_terminal("check", "sqlite://", TERM="dumb"))
        self.assertNotIn("\033", self.seen_on_a_terminal("check", "sqlite://", "--json"))


class HelpTest(Commands):
    def test_has_examples_and_the_meaning_of_the_exit_status(self):
        for command in ("check", "blockers", "databases", "server"):
            with self.subTest(command):
                done = self.command(command, "--help")
                self.assertEqual(done.returncode, 0)
                self.assertIn("\nexamples:\n  python -m dbtestcase %s" % command, done.stdout)
                self.assertIn("\nexit status:\n  0  ", done.stdout)
                self.assertIn("--json", done.stdout)

    def test_lists_the_commands(self):
        text = self.command("--help").stdout
        for command in ("check", "blockers", "databases", "server"):
            self.assertRegex(text, r"(?m)^    %s\b" % command)
        self.assertNotIn("==", text)

    def test_no_command_is_a_mistake(self):
        done = self.command()
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertEqual(done.stderr, self.command("--help").stdout)


class BlockersTest(Commands):
    def setUp(self):
        super().setUp()
        self.url = support.postgresql_url("commands_locks_test")
        run(self.url, *FILLED)

    def test_is_0_where_nothing_is_in_the_way(self):
        done = self.command("blockers", self.url)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(
            done.stdout, '%s:\n"commands_locks_test": nothing is in the way.\n' % self.url
        )

    def test_is_1_where_something_is_and_names_it(self):
        with another_process(self.url, "LOCK TABLE planet") as pid:
            done = self.command("blockers", self.url)
            found = json.loads(self.command("blockers", self.url, "--json").stdout)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(
            squeezed(done.stdout),
            r': "commands_locks_test": 1 in the way: pid %d of role "postgres" from .*, idle in'
            r' transaction for \d\.\d s, holds "planet" last query: LOCK TABLE planet$' % pid,
        )
        (backend,) = found["databases"][0]["backends"]
        self.assertEqual((backend["pid"], backend["held"]), (pid, ['"planet"']))

    def test_finds_a_run_that_waits_and_whom_it_waits_for_without_being_told_where(self):
        run(self.url, "DROP TABLE planet CASCADE")
        suite = self.start_suite(self.url, seconds=1)
        with another_process(self.url, "LOCK TABLE thing") as pid:
            self.assertTrue(wait_until(lambda: "waits behind" in self.command("blockers").stdout))
            done = self.command("blockers")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(
            squeezed(done.stdout),
            r'^run %d in \S+, for \d+(\.\d)? s: "commands_locks_test": 2 in the way: pid %d of role'
            r' .*, holds "thing" last query: LOCK TABLE thing pid \d+ "dbtestcase'
            r' ThingTest.test_waits" .*, active for .*, waits behind pid %d for "thing" its query:'
            r" INSERT INTO thing" % (suite.pid, pid, pid),
        )
        self.assertEqual(suite.wait(30), 0)

    def test_finds_the_sibling_that_a_run_took(self):
        drop_databases("commands_locks_test_2")
        first, second = self.start_suite(self.url, 60), self.start_suite(self.url, 60)
        text = self.command("blockers").stdout
        self.assertRegex(text, r'run %d .*\n?.*\n"commands_locks_test": ' % first.pid)
        self.assertRegex(text, r'run %d .*\n?.*\n"commands_locks_test_2": ' % second.pid)
        text = self.command("blockers", self.url).stdout
        self.assertIn('"commands_locks_test_2": ', text)

    def test_looks_at_the_last_run_when_none_is_going_on(self):
        self.assertEqual(self.start_suite(self.url).wait(30), 0)
        with another_process(self.url, "LOCK TABLE thing") as pid:
            done = self.command("blockers")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(
            squeezed(done.stdout),
            r'^no run is going on; the last one, in %s, ended \d\.\d s ago: "commands_locks_test":'
            r" 1 in the way: pid %d " % (re.escape(self.folder), pid),
        )

    def test_looks_at_the_test_databases_of_the_server_that_the_variable_names(self):
        environment = {"DBTESTCASE_POSTGRESQL_URL": support.server_url()}
        self.assertNotIn("commands_locks_test", self.command("blockers", env=environment).stdout)
        with another_process(self.url, "LOCK TABLE planet") as pid:
            done = self.command("blockers", env=environment)
        self.assertEqual(done.returncode, 1)
        self.assertIn("DBTESTCASE_POSTGRESQL_URL:\n", done.stdout)
        self.assertRegex(
            squeezed(done.stdout), r'"commands_locks_test": 1 in the way: pid %d ' % pid
        )

    def test_is_2_where_there_is_nothing_to_look_at(self):
        nowhere = {"PGHOST": "127.0.0.1", "PGPORT": "1"}
        done = self.command("blockers", env=nowhere)
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertRegex(
            squeezed(done.stderr),
            r"^ServerError: no run is going on, DBTESTCASE_POSTGRESQL_URL is not set, and no server"
            r" was found: what libpq connects to by itself: .* Name the application or a URL, as:"
            r" webapp:app --config webapp.config.Testing A password that is nowhere in them is read"
            r" from PGPASSWORD or ~/.pgpass.$",
        )
        done = self.command("blockers", env={"DBTESTCASE_POSTGRESQL_URL": CLOSED})
        self.assertEqual(done.returncode, 2)
        self.assertIn(
            "cannot reach the server that DBTESTCASE_POSTGRESQL_URL names:", squeezed(done.stderr)
        )
        self.assertNotIn("s3cret", done.stderr)

    def test_does_not_look_elsewhere_where_it_cannot_look_at_what_runs(self):
        suite = self.start_suite(self.url, seconds=60)
        path = os.path.join(self.folder, "dbtestcase-%d" % os.getuid(), "%d.json" % suite.pid)
        with open(path) as file:
            content = json.load(file)
        content["databases"][0].update(host="127.0.0.1", port=1)
        with open(path, "w") as file:
            json.dump(content, file)
        done = self.command("blockers", env={"DBTESTCASE_POSTGRESQL_URL": support.server_url()})
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("cannot look at what runs: run %d in" % suite.pid, squeezed(done.stderr))

    def test_watches_until_ctrl_c(self):
        child = self.start("-u", "-m", "dbtestcase", "blockers", self.url, "--watch", "--json")
        (found,) = json.loads(child.stdout.readline())["databases"]
        self.assertEqual(found["backends"], [])
        with another_process(self.url, "LOCK TABLE planet") as pid:
            (found,) = json.loads(child.stdout.readline())["databases"]
            self.assertEqual([each["pid"] for each in found["backends"]], [pid])
        (found,) = json.loads(child.stdout.readline())["databases"]
        self.assertEqual(found["backends"], [])
        self.assertEqual(self.interrupt(child), (0, "", ""))

    def test_prints_what_has_changed_alone(self):
        child = self.start("-u", "-m", "dbtestcase", "blockers", self.url, "--watch")
        self.assertRegex(child.stdout.readline(), r"\A\d\d:\d\d:\d\d\n\Z")
        with another_process(self.url, "LOCK TABLE planet"):
            lines = [child.stdout.readline() for _ in range(5)]
        self.assertIn('"commands_locks_test": 1 in the way:\n', lines)
        support.administer('DROP DATABASE "commands_locks_test" WITH (FORCE)')
        support.administer("SELECT pg_sleep(2.5)")
        status, out, err = self.interrupt(child)
        self.assertEqual((status, err), (0, ""))
        self.assertLess(out.count("\n"), 20)
        self.assertIn('"commands_locks_test": is not there.\n', out)


class DatabasesTest(Commands):
    def setUp(self):
        super().setUp()
        drop_databases("commands_kin")
        self.url = support.postgresql_url("commands_kin_test")

    def listed(self, *arguments):
        return self.command("databases", self.url, *arguments)

    def test_lists_siblings_with_their_sizes_and_who_has_them(self):
        suite = self.start_suite(self.url, seconds=60)
        for number in (10, 2):
            support.postgresql_url("commands_kin_test_%d" % number)
        with another_process(support.url_of("commands_kin_test_2"), "SELECT 1"):
            done = self.listed()
        self.assertEqual(done.returncode, 0)
        self.assertRegex(
            squeezed(without_sizes(done.stdout)),
            r'^commands_kin_test 7.4 MB pid \d+ "dbtestcase control %d"( from \S+)? for [\d.]+ s'
            r" commands_kin_test_2 7.4 MB no run has it, 1 connected"
            r" commands_kin_test_10 7.4 MB not in use$" % suite.pid,
        )

    def test_drops_what_no_run_has_and_nothing_else(self):
        kept = [
            "commands_kin_test",
            "commands_kin_test_02",
            "commands_kin_test_1",
            "commands_kin_test_2024",
            "commands_kin_test_2_old",
            "commands_kin_test_b",
            "commands_kintest_2",
        ]
        for name in kept + ["commands_kin_test_2", "commands_kin_test_7", "commands_kin_test_3"]:
            support.postgresql_url(name)
        with another_process(support.url_of("commands_kin_test_3"), "SELECT 1"):
            done = self.listed("--drop-unused")
        self.assertEqual(done.returncode, 1)
        self.assertIn(
            "dropped commands_kin_test_2\n"
            "dropped commands_kin_test_7\n"
            "not dropped commands_kin_test_3: 1 session is connected to it\n",
            done.stdout,
        )
        self.assertEqual(databases("commands_kin"), sorted(kept + ["commands_kin_test_3"]))
        done = self.listed("--drop-unused", "--json")
        self.assertEqual(done.returncode, 0)
        self.assertEqual(json.loads(done.stdout)["families"][0]["dropped"], ["commands_kin_test_3"])

    def test_leaves_the_siblings_that_runs_have(self):
        suites = [self.start_suite(self.url, seconds=60) for _ in range(3)]
        suites[1].kill()
        suites[1].wait()
        self.assertTrue(wait_until(lambda: "commands_kin_test_2  " in self.free()))
        done = self.listed("--drop-unused")
        self.assertEqual(done.returncode, 0)
        self.assertIn("dropped commands_kin_test_2\n", done.stdout)
        self.assertEqual(databases("commands_kin"), ["commands_kin_test", "commands_kin_test_3"])

    def free(self):
        lines = self.listed().stdout.splitlines()
        return [line.partition("  ")[0] + "  " for line in lines if line.endswith("not in use")]

    def test_refuses_to_drop_siblings_of_what_is_not_for_tests(self):
        drop_databases("commands_shop")
        for name in ("commands_shop", "commands_shop_2"):
            support.postgresql_url(name)
        done = self.command("databases", support.url_of("commands_shop"), "--drop-unused")
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertEqual(
            squeezed(done.stderr),
            'UnsafeDatabaseError: siblings of "commands_shop" are not dropped. Neither "test" nor'
            ' "testing" stands as a word of its own in its name. Nothing was touched.',
        )
        self.assertEqual(databases("commands_shop"), ["commands_shop", "commands_shop_2"])

    @unittest.skipUnless(flask_sqlalchemy, "no Flask here")
    def test_leaves_what_another_bind_is_configured_for(self):
        for number in (2, 3):
            support.postgresql_url("commands_kin_test_%d" % number)
        self.write_app(self.url, archive=support.url_of("commands_kin_test_2"))
        done = self.command(
            "databases", "planet:app", "--config", "planet.Testing", "--drop-unused"
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(databases("commands_kin"), ["commands_kin_test", "commands_kin_test_2"])

    def test_drops_nothing_without_being_told_whose(self):
        self.assertIn(
            "--drop-kept needs the application or URL",
            squeezed(self.command("databases", "--drop-kept").stderr),
        )
        support.postgresql_url("commands_kin_test_2")
        self.assertEqual(self.start_suite(self.url).wait(30), 0)
        self.assertIn("commands_kin_test_2", self.command("databases").stdout)
        done = self.command("databases", "--drop-unused")
        self.assertEqual(done.returncode, 2)
        self.assertIn("--drop-unused needs the application or URL", squeezed(done.stderr))
        self.assertEqual(databases("commands_kin"), ["commands_kin_test", "commands_kin_test_2"])

    def test_long_names_of_tests_stand_where_others_do(self):
        test = (
            "ThingTest.test_with_a_name_as_long_as_a_sentence_that_says_what_ought_to_happen_then"
        )
        shown = io.StringIO()
        Output(shown).line("  %s, now" % test)
        self.assertEqual(shown.getvalue(), "  %s,\n      now\n" % test)

    def test_lists_what_failed_tests_kept_and_of_which_tests(self):
        name = self.keep_of_failed(self.url)
        with another_process(support.url_of(name), "SELECT 1"):
            for done in (self.listed(), self.command("databases")):
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertRegex(
                    without_sizes(done.stdout),
                    r"\Acommands_kin_test  +7.4 MB  not in use\n"
                    r"kept by failed tests of commands_kin_test \(--drop-kept drops it\):\n"
                    r"  ThingTest.test_fails, \d{4}-\d\d-\d\d \d\d:\d\d UTC, 7.4 MB, 1 connected\n"
                    r"      %s\n\Z" % name,
                )
        (found,) = json.loads(self.listed("--json").stdout)["families"]
        (copy,) = found["kept_by_failed"]
        self.assertEqual((copy["name"], copy["test"]), (name, "ThingTest.test_fails"))
        self.assertEqual((copy["base"], copy["sessions"]), ("commands_kin_test", 0))
        self.assertGreater(copy["bytes"], 1000000)

    def test_a_copy_is_none_of_the_databases_for_tests_that_are_in_use_on_a_server(self):
        name = self.keep_of_failed(self.url)
        shutil.rmtree(os.path.join(self.folder, "dbtestcase-%d" % os.getuid()))
        with another_process(self.url), another_process(support.url_of(name)):
            done = self.command(
                "databases", env={"DBTESTCASE_POSTGRESQL_URL": support.server_url()}
            )
        self.assertIn("      %s\n" % name, done.stdout)
        self.assertNotRegex(done.stdout, "(?m)^%s" % name)

    def test_what_is_unused_is_dropped_without_what_failed_tests_kept(self):
        name = self.keep_of_failed(self.url)
        support.postgresql_url("commands_kin_test_2")
        done = self.listed("--drop-unused")
        self.assertEqual(done.returncode, 0)
        self.assertEqual(databases("commands_kin"), ["commands_kin_test", name])

    def test_what_failed_tests_kept_is_dropped_on_request_and_nothing_else(self):
        name = self.keep_of_failed(self.url)
        others = [
            "commands_kin_test_2",
            "commands_kin_test_failed",
            "commands_kin_test_failed_by_hand_0a1b2c",
        ]
        for other in others:
            support.postgresql_url(other)
        of_another = self.keep_of_failed(support.url_of("commands_kin_test_failed"))
        self.assertIn("commands_kin_test_failed_failed_thing", of_another)
        done = self.listed("--drop-kept")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("kept by failed tests of commands_kin_test:\n", done.stdout)
        self.assertIn("\ndropped %s\n" % name, done.stdout)
        self.assertEqual(
            databases("commands_kin"), sorted(["commands_kin_test", of_another] + others)
        )
        self.assertNotIn("kept", self.listed().stdout)

    def test_what_failed_tests_kept_stays_while_somebody_looks_at_it(self):
        name = self.keep_of_failed(self.url)
        with another_process(support.url_of(name), "SELECT 1"):
            done = self.listed("--drop-kept")
        self.assertEqual(done.returncode, 1)
        self.assertIn("not dropped %s: 1 session is connected to it" % name, squeezed(done.stdout))
        support.ensure_role("app")
        done = self.command(
            "databases", support.url_of("commands_kin_test", username="app"), "--drop-kept"
        )
        self.assertEqual(done.returncode, 1)
        self.assertIn("must be owner of database %s" % name, squeezed(done.stdout))
        self.assertIn(name, databases("commands_kin"))

    def test_what_is_kept_of_an_allowed_database_is_dropped_for_its_suite_alone(self):
        drop_databases("commands_shop")
        url = support.postgresql_url("commands_shop")
        suite = {"THING_URL": url, "THING_ALLOWED": "commands_shop"}
        name = self.keep_of_failed(url, **suite)
        done = self.command("databases", url, "--drop-kept")
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn(
            'what failed tests of "commands_shop" kept is not dropped. Neither',
            squeezed(done.stderr),
        )
        self.assertEqual(databases("commands_shop"), ["commands_shop", name])
        done = self.command("databases", "suite:ThingTest", "--drop-kept", env=suite)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(databases("commands_shop"), ["commands_shop"])

    def test_siblings_of_a_database_that_is_not_there_are_dropped_too(self):
        support.postgresql_url("commands_kin_test_2")
        support.administer("DROP DATABASE commands_kin_test")
        done = self.listed("--drop-unused")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"\Acommands_kin_test    is not there\n")
        self.assertEqual(databases("commands_kin"), [])


class ServerTest(Commands):
    def test_prints_the_url_and_ends_with_ctrl_c(self):
        child = self.start("-m", "dbtestcase", "server", "--database", "commands_own_test")
        url = child.stdout.readline().strip()
        self.assertEqual(run(url, "SELECT current_database()::text"), [("commands_own_test",)])
        status, out, err = self.interrupt(child)
        self.assertEqual((status, out), (0, ""))
        self.assertNotIn("Traceback", err)
        with self.assertRaises(sa.exc.OperationalError):
            sa.create_engine(url).connect()

    def test_says_that_it_starts_none_where_one_is_named(self):
        environment = {"DBTESTCASE_POSTGRESQL_URL": support.server_url()}
        child = self.start("-m", "dbtestcase", "server", "--json", env=environment)
        url = json.loads(child.stdout.readline())["url"]
        self.assertEqual(sa.engine.url.make_url(url), sa.engine.url.make_url(support.server_url()))
        self.assertEqual(
            self.interrupt(child),
            (0, "", "DBTESTCASE_POSTGRESQL_URL names a server: none is started.\n"),
        )
