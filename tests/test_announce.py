import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

import sqlalchemy as sa

from dbtestcase import _compat
from dbtestcase.databases import announce
from dbtestcase.dialects.postgresql import PostgreSQL
from tests import support
from tests.commanding import Commands, wait_until


class AnnounceTest(unittest.TestCase):
    """Of this very process, in a folder for temporary files of its own."""

    @classmethod
    def setUpClass(cls):
        cls.url = support.postgresql_url("commands_announce_test")

    def setUp(self):
        temporary = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, temporary)
        for patch in (
            mock.patch.object(tempfile, "tempdir", temporary),
            mock.patch.object(announce, "_announced", {}),
        ):
            patch.start()
            self.addCleanup(patch.stop)
        self.folder = os.path.join(temporary, "dbtestcase-%d" % os.getuid())
        engine = sa.create_engine(self.url, poolclass=sa.pool.NullPool)
        self.database = PostgreSQL(engine, PostgreSQL.identify(engine), 5.0)
        self.addCleanup(self.database.close)

    def announce(self):
        announce.announce(self.database, "commands_base_test")

    def test_another_process_can_connect_by_what_it_says(self):
        self.announce()
        (run,) = announce.runs()
        self.assertEqual((run.pid, run.folder, run.ended), (os.getpid(), os.getcwd(), None))
        (parts,) = run.databases
        self.assertEqual(parts.pop("base"), "commands_base_test")
        url = _compat.url_with("%s://" % _compat.postgresql_drivername(), **parts)
        with sa.create_engine(url).connect() as connection:
            self.assertEqual(
                connection.execute(sa.text("SELECT current_database()")).scalar(),
                "commands_announce_test",
            )

    def test_no_password_is_written(self):
        engine = sa.create_engine(_compat.url_with(self.url, password="s3cret"))
        database = PostgreSQL(engine, PostgreSQL.identify(engine), 5.0)
        announce.announce(database, "commands_base_test")
        database.close()
        engine.dispose()
        (name,) = os.listdir(self.folder)
        with open(os.path.join(self.folder, name)) as file:
            self.assertNotIn("s3cret", file.read())

    def test_nobody_else_can_read_or_write_it(self):
        self.announce()
        (name,) = os.listdir(self.folder)
        for path, mode in ((self.folder, 0o700), (os.path.join(self.folder, name), 0o600)):
            self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), mode)

    def test_a_folder_that_others_can_write_to_is_neither_read_nor_written(self):
        self.announce()
        os.chmod(self.folder, 0o777)
        self.assertEqual((announce.runs(), announce.last_run()), ([], None))
        announce._announced.clear()
        os.remove(announce._own_file())
        self.announce()
        self.assertEqual(os.listdir(self.folder), [])

    def test_a_link_in_its_place_is_not_followed(self):
        elsewhere = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, elsewhere)
        os.symlink(elsewhere, self.folder)
        self.announce()
        self.assertEqual((os.listdir(elsewhere), announce.runs()), ([], []))

    def test_a_run_goes_on_where_nothing_can_be_written(self):
        with mock.patch.object(tempfile, "tempdir", "/nonexistent"):
            self.announce()
            self.assertEqual(announce.runs(), [])

    def test_a_database_is_told_of_once(self):
        self.announce()
        self.announce()
        self.assertEqual(len(announce.runs()[0].databases), 1)

    def test_a_run_that_ended_is_the_last_one_for_an_hour(self):
        self.announce()
        self.assertIsNone(announce.last_run())
        announce.withdraw()
        self.assertEqual(announce.runs(), [])
        self.assertEqual(announce.last_run().pid, os.getpid())
        self.assertEqual(os.listdir(self.folder), ["last.json"])
        os.utime(os.path.join(self.folder, "last.json"), (0, 0))
        self.assertIsNone(announce.last_run())

    def test_the_file_of_a_process_that_is_gone_is_no_run(self):
        gone = subprocess.Popen([sys.executable, "-c", ""])
        gone.wait()
        self.announce()
        with open(announce._own_file()) as file:
            content = dict(json.load(file), pid=gone.pid)
        with open(os.path.join(self.folder, "%d.json" % gone.pid), "w") as file:
            json.dump(content, file)
        self.assertEqual([run.pid for run in announce.runs()], [os.getpid()])
        self.assertEqual(announce.last_run().pid, gone.pid)

    def test_a_file_that_is_no_announcement_is_removed(self):
        self.announce()
        for text in ("", "[]", '{"pid": 1}'):
            with open(os.path.join(self.folder, "1.json"), "w") as file:
                file.write(text)
            self.assertEqual(len(announce.runs()), 1)
            self.assertEqual(len(os.listdir(self.folder)), 1)

    def test_a_forked_child_announces_for_itself(self):
        self.announce()
        child = os.fork()
        if not child:  # pragma: no cover
            announce.withdraw()
            os._exit(0)
        os.waitpid(child, 0)
        self.assertEqual([run.pid for run in announce.runs()], [os.getpid()])


class AnnouncedRunsTest(Commands):
    def files(self):
        names = os.listdir(os.path.join(self.folder, "dbtestcase-%d" % os.getuid()))
        return sorted(name for name in names if name.endswith(".json"))

    def test_a_run_announces_itself_and_withdraws(self):
        suite = self.start_suite(support.postgresql_url("commands_announce_test"), seconds=0.5)
        self.assertEqual(self.files(), ["%d.json" % suite.pid])
        self.assertEqual(suite.wait(30), 0)
        self.assertEqual(self.files(), ["last.json"])

    def test_a_run_that_was_killed_is_cleared_away_by_the_next(self):
        url = support.postgresql_url("commands_announce_test")
        suite = self.start_suite(url, seconds=60)
        suite.send_signal(signal.SIGKILL)
        suite.wait()
        self.assertEqual(self.files(), ["%d.json" % suite.pid])
        self.assertTrue(wait_until(lambda: "not in use" in self.command("databases", url).stdout))
        suite = self.start_suite(url, seconds=60)
        self.assertEqual(self.files(), ["%d.json" % suite.pid, "last.json"])
