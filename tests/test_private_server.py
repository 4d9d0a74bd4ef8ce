"""A private server ends however its process ends, and says why when it cannot start."""

from __future__ import annotations

import glob
import os
import signal
import tempfile
import textwrap
import time
from typing import Any
from unittest import mock

import sqlalchemy as sa

from dbtestcase import binaries
from dbtestcase.errors import ServerError
from dbtestcase.server.temporary import temporary_postgresql
from tests.servers import (
    PATIENCE,
    START,
    WORDS,
    PrivateCase,
    directory_of,
    is_running,
    postmaster_of,
    wait_until,
)


def is_starting(temporary: str) -> bool:
    """Tell whether a server has its directory: the standard library tries the folder out before."""
    return bool(glob.glob(os.path.join(temporary, "dbtestcase-*")))


class EndTest(PrivateCase):
    # Each child has a temporary directory of its own, which must be empty when it is gone.

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
            self.assertTrue(wait_until(lambda: is_starting(temporary)), "nothing was started")
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
        self.assertTrue(wait_until(lambda: is_starting(temporary)), "nothing was started")
        os.killpg(child.pid, signal.SIGINT)
        out, err = child.communicate(timeout=PATIENCE)
        self.assertIn("KeyboardInterrupt", err)
        self.assertEqual(os.listdir(temporary), [])


class FailedStartTest(PrivateCase):
    def test_a_full_or_closed_temporary_directory_is_told(self) -> None:
        with mock.patch("dbtestcase.server.private._base", return_value="/nowhere"):
            with self.assertRaises(ServerError) as caught:
                temporary_postgresql(username="homeless")
        self.assertIn("it found no room for its directory.\n", str(caught.exception))

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
        found = binaries.find_binaries(None)
        for name in binaries.PROGRAMS:
            with open(os.path.join(slow, name), "w") as file:
                file.write("#!/bin/sh\n")
                file.write("sleep 3\n" if name == "initdb" else "")
                file.write('exec "%s/%s" "$@"\n' % (found.directory, name))
            os.chmod(file.name, 0o755)
        with mock.patch("dbtestcase.server.private.STARTUP_SECONDS", 0.5):
            with self.assertRaises(ServerError) as caught:
                temporary_postgresql(binaries=slow)
        self.assertIn("did not start within 0.5 s.\n", str(caught.exception))
