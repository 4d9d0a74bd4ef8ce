"""temporary_postgresql() and its options; the command that serves one."""

from __future__ import annotations

import io
import os
import signal
import stat
import sys
from unittest import mock

from dbtestcase.errors import ConfigurationError
from dbtestcase.server.temporary import serve, temporary_postgresql
from tests.servers import (
    PATIENCE,
    START,
    WORDS,
    PrivateCase,
    directory_of,
    is_running,
    postmaster_of,
    rows,
    wait_until,
)


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
        slow = "from dbtestcase.server import private; private.QUIET_SECONDS = 0\n" + START
        words = r"\Adbtestcase: starting a private PostgreSQL \d+ server \.\.\.\n\Z"
        self.assertRegex(self.run_child(slow).stderr, words)

    def test_a_fast_start_is_silent(self) -> None:
        fast = "from dbtestcase.server import private; private.QUIET_SECONDS = 50\n"
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

    def test_without_a_driver_nothing_is_started(self) -> None:
        with mock.patch.dict(sys.modules, {"psycopg": None, "psycopg2": None}):
            self.assert_error(
                "no driver for PostgreSQL can be imported.\n  Install one: pip install"
                " psycopg2-binary, or: pip install 'dbtestcase[postgresql]'",
                ConfigurationError,
            )


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
        code = "import subprocess, sys; subprocess.call([sys.executable, '-c', %r])"
        child = self.child(code % self.SERVE)
        url = child.stdout.readline().strip()
        postmaster = postmaster_of(url)
        child.kill()
        self.assertTrue(wait_until(lambda: not is_running(postmaster)))
        self.assertTrue(wait_until(lambda: not os.path.exists(directory_of(url))))

    def test_the_url_goes_to_the_stream_that_is_given(self) -> None:
        stream = io.StringIO()
        with mock.patch("dbtestcase.where.pause", side_effect=KeyboardInterrupt):
            with mock.patch("dbtestcase.server.temporary.stop_servers") as stop:
                self.assertEqual(serve(stream), 0)
        self.assertEqual(stream.getvalue(), temporary_postgresql() + "\n")
        stop.assert_called_once_with()
