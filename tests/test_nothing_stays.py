"""Nothing that the last test of a run changed is the base line of the next run."""

import contextlib
import glob
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import unittest

from tests import support
from tests.dropping import dump, run
from tests.holding import another_process
from tests.running import PYTEST, SCENARIOS, has

CHANGES = [
    "ALTER DATABASE {0} SET search_path = nowhere",
    "ALTER DATABASE {0} SET default_transaction_read_only = on",
    "ALTER DATABASE {0} CONNECTION LIMIT 60",
    "ALTER ROLE stays_other IN DATABASE {0} SET work_mem = '5MB'",
    "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO stays_other",
    "COMMENT ON DATABASE {0} IS 'of a test'",
    "ALTER DATABASE {0} OWNER TO stays_other",
    "GRANT CREATE ON SCHEMA public TO PUBLIC",
    "COMMENT ON SCHEMA public IS NULL",
    "GRANT CREATE ON DATABASE {0} TO PUBLIC",
    "GRANT EXECUTE ON FUNCTION pg_read_file(text) TO stays_other",
    "CREATE EXTENSION hstore",
]
OBJECTS = [
    "CREATE SCHEMA more",
    "CREATE TABLE more.note (id int)",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE TYPE mood AS ENUM ('sad')",
    "ALTER TABLE row ADD COLUMN extra int",
]
EARLIER = 'dbtestcase: an earlier run left the database "%s" other than it had found it; '
KILLED = 'had the database "%s" before, and was killed or crashed'


class Runs(unittest.TestCase):
    """Runs the scenario on a database of its own, with temporary files of its own."""

    database = "stays_test"
    owner = None

    def setUp(self):
        support.ensure_role("stays_other")
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.make_anew()

    def make_anew(self):
        self.url = support.postgresql_url(self.database, owner=self.owner)

    def environment(self, changes, **variables):
        changes = ";;".join(changes).format(self.database)
        own = {"SHOP_URL": self.url, "TMPDIR": self.folder, "CHANGES": changes}
        return dict(os.environ, PYTHONPATH=support.ROOT, **dict(own, **variables))

    def start(self, *changes, arguments=("-m", "unittest", "last_changes"), **variables):
        child = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=SCENARIOS,
            env=self.environment(changes, **variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            universal_newlines=True,
        )
        self.addCleanup(self.end, child)
        return child

    def end(self, child):
        if child.poll() is None:
            child.kill()
        child.communicate()

    def run_it(self, *changes, passes=True, **options):
        """Run the scenario to its end; return what it printed."""
        child = self.start(*changes, **options)
        output = child.communicate(timeout=60)[0]
        if passes:
            self.assertEqual(child.returncode, 0, output)
        return output

    def await_stop(self, child):
        """Wait until the last test has changed what it is to change, and waits."""
        while True:
            line = child.stdout.readline()
            self.assertNotEqual(line, "")
            if line.endswith("stops\n"):
                return

    def sql(self, *statements):
        return run(support.url_of(self.database), *statements)

    def extensions(self):
        return [name for (name,) in self.sql("SELECT extname FROM pg_extension ORDER BY 1")]

    def files(self):
        return glob.glob(os.path.join(self.folder, "*", "*.claim"))

    def changed(self, reference):
        """Return what a dump has beside what it should have, and the other way round."""
        return sorted(set(dump(self.database)) ^ set(reference))


class EndsTest(Runs):
    def test_what_the_last_test_changed_is_given_back_when_the_run_ends(self):
        self.run_it()
        reference = dump(self.database)
        for end in ("", "error", "interrupt"):
            with self.subTest(end=end):
                output = self.run_it(*CHANGES, passes=not end, END=end)
                self.assertEqual(self.changed(reference), [], output)
                self.assertNotIn("dbtestcase: ", output)
                self.assertEqual(self.files(), [])
                self.assertNotIn("dbtestcase: ", self.run_it())

    def test_a_run_that_was_killed_is_made_up_for_by_the_next_which_says_so(self):
        self.run_it()
        reference = dump(self.database)
        for end in ("kill", "exit", "term"):
            with self.subTest(end=end):
                self.run_it(*CHANGES, passes=False, END=end)
                self.assertNotEqual(self.changed(reference), [])
                output = self.run_it()
                self.assertIn(KILLED % self.database, output)
                self.assertIn(EARLIER % self.database, output)
                self.assertEqual(self.changed(reference), [], output)
                self.assertEqual(self.files(), [])
                self.assertNotIn("dbtestcase: ", self.run_it())

    def test_killed_again_and_again(self):
        self.run_it()
        reference = dump(self.database)
        self.run_it("CREATE EXTENSION hstore", passes=False, END="kill")
        self.run_it("CREATE EXTENSION citext", passes=False, END="kill")
        self.assertEqual(self.extensions(), ["citext", "plpgsql"])
        self.run_it()
        self.assertEqual(self.changed(reference), [])

    def test_the_words_for_it(self):
        changes = CHANGES[:4] + CHANGES[5:7]
        self.run_it(*changes, passes=False, END="kill")
        self.assertIn(
            'dbtestcase: an earlier run left the database "stays_test" other than it had found it;'
            " this one has given back: %s.\n"
            "  If that was changed on purpose, change it again after this run: what is there when a"
            " run begins stays, and what changes during a run does not.\n"
            % "; ".join(
                [
                    "COMMENT ON DATABASE stays_test IS NULL",
                    "ALTER DATABASE stays_test RESET search_path",
                    "ALTER DATABASE stays_test RESET default_transaction_read_only",
                    "ALTER ROLE stays_other IN DATABASE stays_test RESET work_mem",
                    "ALTER DATABASE stays_test OWNER TO postgres",
                    "and 1 more",
                ]
            ),
            self.run_it(),
        )

    def test_the_schema_public(self):
        self.run_it()
        reference = dump(self.database)
        for changes in (
            ["ALTER SCHEMA public RENAME TO old_public"],
            ["DROP SCHEMA public CASCADE"],
            ["DROP SCHEMA public CASCADE", "CREATE SCHEMA public"],
            ["ALTER SCHEMA public OWNER TO stays_other"],
        ):
            for end in ("", "kill"):
                with self.subTest(changes=changes, end=end):
                    self.run_it(*changes, passes=not end, END=end)
                    output = self.run_it()
                    self.assertEqual(self.changed(reference), [])
                    self.assertEqual(EARLIER % self.database in output, end == "kill")

    def test_an_extension_of_the_environment_comes_back_where_it_was(self):
        self.sql("CREATE SCHEMA ext", "CREATE EXTENSION hstore SCHEMA ext")
        self.run_it()
        reference = dump(self.database)
        for changes in (
            ["DROP SCHEMA ext CASCADE"],
            ["ALTER EXTENSION hstore SET SCHEMA public"],
            ["DROP EXTENSION hstore", "CREATE TYPE hstore AS ENUM ('in its way')"],
        ):
            for end in ("", "kill"):
                with self.subTest(changes=changes, end=end):
                    self.run_it(*changes, passes=not end, END=end)
                    self.run_it()
                    self.assertEqual(self.changed(reference), [])

    def test_objects_are_dropped_by_the_next_run_in_any_case(self):
        self.run_it()
        reference = dump(self.database)
        for end in ("", "kill"):
            with self.subTest(end=end):
                self.run_it(*OBJECTS, passes=not end, END=end)
                self.assertNotEqual(self.changed(reference), [])
                self.assertNotIn(EARLIER % self.database, self.run_it())
                self.assertEqual(self.changed(reference), [])

    def test_however_the_database_is_made_new(self):
        self.run_it()
        reference = dump(self.database)
        for how in ({"RECREATE": "always"}, {"RESET": "rollback"}):
            for end in ("error", "kill"):
                with self.subTest(how=how, end=end):
                    self.run_it(*CHANGES, passes=False, END=end, **how)
                    self.run_it(**how)
                    self.assertEqual(self.changed(reference), [])

    def test_within_the_transaction_of_the_test(self):
        self.run_it()
        reference = dump(self.database)
        changes = ";;".join(CHANGES).format(self.database)
        self.run_it(IN_SESSION=changes, RESET="rollback")
        self.assertEqual(self.changed(reference), [])
        self.run_it(IN_SESSION=changes)
        self.assertEqual(self.changed(reference), [])


class EnvironmentTest(Runs):
    """What is no test's doing stays."""

    def test_what_was_changed_by_hand_between_two_runs_stays(self):
        self.run_it()
        self.sql(
            "CREATE EXTENSION hstore",
            "ALTER DATABASE stays_test SET search_path = public",
            "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO stays_other",
            "COMMENT ON DATABASE stays_test IS 'of the environment'",
        )
        output = self.run_it(SEARCH_PATH="public")
        reference = dump(self.database)
        output += self.run_it(*CHANGES[:4], SEARCH_PATH="public")
        self.assertNotIn("dbtestcase: ", output)
        self.assertEqual(self.changed(reference), [])
        self.assertIn("COMMENT ON DATABASE stays_test IS 'of the environment';", reference)
        self.assertEqual(self.extensions(), ["hstore", "plpgsql"])

    def test_by_hand_after_a_run_that_was_killed_it_is_taken_back_with_a_word_once(self):
        self.run_it(passes=False, END="kill")
        self.sql("CREATE EXTENSION hstore")
        self.assertIn(EARLIER % self.database, self.run_it())
        self.assertEqual(self.extensions(), ["plpgsql"])
        self.sql("CREATE EXTENSION hstore")
        self.assertNotIn("dbtestcase: ", self.run_it())
        self.assertEqual(self.extensions(), ["hstore", "plpgsql"])

    def test_what_create_tables_makes_is_left_like_the_tables(self):
        declared = "CREATE EXTENSION IF NOT EXISTS hstore"
        self.run_it("ALTER TABLE row ADD COLUMN extra hstore", DECLARED=declared)
        self.assertEqual(self.extensions(), ["hstore", "plpgsql"])
        self.assertIn("\textra public.hstore", "".join(dump(self.database)).replace("    ", "\t"))
        self.run_it("DROP EXTENSION hstore CASCADE", passes=False, DECLARED=declared, END="kill")
        self.run_it("DROP EXTENSION hstore CASCADE", DECLARED=declared)
        self.assertEqual(self.extensions(), ["hstore", "plpgsql"])

    def test_a_database_that_was_made_anew_is_another_one(self):
        self.sql("CREATE EXTENSION hstore")
        self.run_it(passes=False, END="kill")
        self.make_anew()
        self.assertNotIn(EARLIER % self.database, self.run_it())
        self.assertEqual(self.extensions(), ["plpgsql"])

    def test_without_the_file_the_run_goes_by_what_it_finds(self):
        for text in (None, "17", '{"environment": [1, 2, 3]}'):
            with self.subTest(text=text):
                self.make_anew()
                self.run_it("CREATE EXTENSION hstore", passes=False, END="kill")
                (path,) = self.files()
                if text is None:
                    os.remove(path)
                else:
                    with open(path, "w") as file:
                        file.write(text)
                self.assertNotIn("dbtestcase: ", self.run_it())
                self.assertEqual(self.extensions(), ["hstore", "plpgsql"])

    def test_a_file_that_others_could_have_written_is_not_read(self):
        self.run_it("CREATE EXTENSION hstore", passes=False, END="kill")
        (path,) = self.files()
        os.chmod(os.path.dirname(path), 0o777)
        self.assertNotIn("dbtestcase: ", self.run_it())

    def test_a_run_that_leaves_the_data_alone_gives_nothing_back(self):
        self.run_it("CREATE EXTENSION hstore", passes=False, END="kill")
        keeping = "import last_changes; last_changes.LastTest.reset = None; import unittest\n"
        keeping += (
            "unittest.main(last_changes, argv=['x', 'LastTest.test_1_finds_it_as_it_should_be'])"
        )
        self.run_it(arguments=("-c", keeping))
        self.assertEqual(self.extensions(), ["hstore", "plpgsql"])
        self.assertIn(EARLIER % self.database, self.run_it())
        self.assertEqual(self.extensions(), ["plpgsql"])


class WhatCannotBeGivenBackTest(Runs):
    owner = "stays_owner"
    granted = "GRANT EXECUTE ON FUNCTION pg_read_file(text) TO PUBLIC"
    revoke = (
        "REVOKE EXECUTE ON ROUTINE pg_catalog.pg_read_file(pg_catalog.text) FROM PUBLIC CASCADE"
    )
    said = (
        'dbtestcase: the last tests changed the database "stays_test" in a way that could not be'
        " undone at the end of the run: this is still missing: %s.\n"
        "  The next run undoes it, or says what its role may not.\n"
    )

    def test_what_the_role_may_not_is_said_at_the_end_and_an_error_of_the_next_run(self):
        child = self.start(END="stops")
        self.await_stop(child)
        self.sql(self.granted)
        output = child.communicate("\n", timeout=60)[0]
        self.assertEqual(child.returncode, 0, output)
        self.assertEqual(output.count(self.said % self.revoke), 1, output)
        (path,) = self.files()
        error = (
            'dbtestcase.ConfigurationError: the database "stays_test" was changed in a way that its'
            " role may not undo: this is still missing: %s. Run it as a role that may.\n"
            "  An earlier run had found the database like that. If it is to stay as it is now,"
            " remove %s\n" % (self.revoke, path)
        )
        for _ in range(2):
            output = self.run_it(passes=False)
            self.assertIn(error, output)
            self.assertNotIn("dbtestcase: ", output)
        os.remove(path)
        self.assertNotIn("dbtestcase: ", self.run_it())

    def test_what_is_locked_is_waited_for_no_longer_than_the_bound_and_left_to_the_next(self):
        child = self.start(
            "CREATE EXTENSION hstore", "CREATE TABLE h (h hstore)", LOCK_TIMEOUT="0.5", END="stops"
        )
        self.await_stop(child)
        with another_process(self.url, "SELECT * FROM h"):
            began = time.monotonic()
            output = child.communicate("\n", timeout=60)[0]
            self.assertLess(time.monotonic() - began, 5)
        self.assertEqual(child.returncode, 0, output)
        left = 'DROP EXTENSION IF EXISTS "hstore" CASCADE; COMMENT ON extension hstore IS NULL'
        self.assertIn(self.said % left, output)
        self.assertIn(EARLIER % self.database, self.run_it())
        self.assertEqual(self.extensions(), ["plpgsql"])

    def test_a_database_that_is_gone_at_the_end_is_no_matter(self):
        child = self.start(END="stops")
        self.await_stop(child)
        support.administer('DROP DATABASE "%s" WITH (FORCE)' % self.database)
        output = child.communicate("\n", timeout=60)[0]
        self.assertNotIn("dbtestcase: the last", output)
        self.make_anew()
        self.assertNotIn(EARLIER % self.database, self.run_it())


class SeveralRunsTest(Runs):
    """Siblings and workers."""

    def tearDown(self):
        for number in (2, 3):
            support.administer('DROP DATABASE IF EXISTS "stays_test_%d" WITH (FORCE)' % number)

    def test_a_sibling_is_like_what_the_other_run_had_found(self):
        self.sql("CREATE EXTENSION citext", "ALTER DATABASE stays_test SET work_mem = '9MB'")
        child = self.start(
            *CHANGES,
            "DROP EXTENSION citext",
            "ALTER DATABASE {0} SET work_mem = '1MB'",
            END="stops"
        )
        self.await_stop(child)
        output = self.run_it()
        self.assertIn('this one creates its sibling "stays_test_2"', output)
        sibling = support.url_of("stays_test_2")
        self.assertEqual(
            run(sibling, "SELECT extname::text FROM pg_extension ORDER BY 1"),
            [("citext",), ("plpgsql",)],
        )
        ((settings,),) = run(
            sibling,
            "SELECT array_agg(setrole || ' ' || setconfig::text) FROM pg_db_role_setting"
            " WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())",
        )
        self.assertEqual(settings, ["0 {work_mem=9MB}"])
        child.communicate("\n", timeout=60)
        self.assertEqual(self.extensions(), ["citext", "plpgsql"])

    def test_two_runs_by_turns(self):
        self.run_it()
        reference = dump(self.database)
        for first, second in (("", ""), ("kill", ""), ("", "kill"), ("kill", "kill")):
            with self.subTest(first=first, second=second):
                one = self.start(*CHANGES, END="stops")
                self.await_stop(one)
                self.run_it("CREATE EXTENSION hstore", passes=not second, END=second)
                if first:
                    one.kill()
                one.communicate("\n" if not first else None, timeout=60)
                one = self.start(END="stops")
                self.await_stop(one)
                self.run_it()
                one.communicate("\n", timeout=60)
                self.assertEqual(self.changed(reference), [])
                self.assertEqual(
                    run(support.url_of("stays_test_2"), "SELECT extname::text FROM pg_extension"),
                    [("plpgsql",)],
                )

    def test_workers_of_multiprocessing(self):
        self.assert_workers("-c", WORKERS % "fork")
        self.assert_workers("-c", WORKERS % "spawn")

    @unittest.skipUnless(has("xdist"), "pytest-xdist is not installed")
    def test_workers_of_xdist(self):
        self.assert_workers(*PYTEST, "-n", "1", "last_changes.py")

    @unittest.skipUnless(has("nose2"), "nose2 is not installed")
    def test_workers_of_nose2(self):
        config = os.path.join(self.folder, "nose2.cfg")
        with open(config, "w") as file:
            file.write("[unittest]\nplugins = nose2.plugins.mp\n[multiprocess]\nalways-on = true\n")
        self.assert_workers("-m", "nose2", "--config", config, "-N", "1", "last_changes")

    def assert_workers(self, *arguments):
        self.make_anew()
        self.run_it()
        reference = dump(self.database)
        output = self.run_it(*CHANGES, arguments=arguments)
        self.assertEqual(self.changed(reference), [], output)
        self.assertEqual(self.files(), [])
        if "nose2" in arguments:
            return  # it would wait for ever for a worker that was killed
        self.run_it(*CHANGES, passes=False, arguments=arguments, END="kill")
        self.assertNotEqual(self.changed(reference), [])
        output = self.run_it()
        self.assertIn(EARLIER % self.database, output)
        self.assertNotIn(KILLED % self.database, output)
        self.assertEqual(self.changed(reference), [])


WORKERS = """
import multiprocessing, sys, unittest

if __name__ == "__main__":
    worker = multiprocessing.get_context("%s").Process(target=unittest.main, args=("last_changes",))
    worker.start()
    worker.join()
    sys.exit(worker.exitcode != 0)
"""


class SQLiteTest(Runs):
    def make_anew(self):
        self.path = os.path.join(self.folder, "stays_test.db")
        self.url = "sqlite:///" + self.path

    def facts(self):
        with contextlib.closing(sqlite3.connect(self.path)) as connection:
            names = ("journal_mode", "user_version", "application_id", "page_size", "auto_vacuum")
            return [connection.execute("PRAGMA " + name).fetchone()[0] for name in names]

    def test_what_the_file_has_beside_its_tables(self):
        self.run_it()
        reference = self.facts()
        self.assertEqual(reference[0], "delete")
        changes = (
            "PRAGMA journal_mode = wal",
            "PRAGMA user_version = 5",
            "PRAGMA application_id = 7",
            "CREATE TABLE note (id int)",
        )
        output = self.run_it(*changes)
        self.assertEqual((self.facts()[0], self.files()), ("delete", []))
        output += self.run_it()
        self.assertEqual(self.facts(), reference)
        self.assertNotIn("dbtestcase: ", output)
        self.run_it(*changes, passes=False, END="kill")
        self.assertEqual(self.facts()[0], "wal")
        self.assertIn(
            (EARLIER % "stays_test.db") + "this one has given back: PRAGMA journal_mode = delete.",
            self.run_it(),
        )
        self.assertEqual((self.facts(), self.files()), (reference, []))

    def test_what_was_set_by_hand_stays(self):
        for mode in ("wal", "delete"):
            with contextlib.closing(sqlite3.connect(self.path)) as connection:
                connection.execute("PRAGMA journal_mode = " + mode).fetchone()
            for _ in range(2):
                self.assertNotIn("dbtestcase: ", self.run_it())
                self.assertEqual(self.facts()[0], mode)

    def test_a_database_in_memory_leaves_no_file(self):
        self.run_it(SHOP_URL="sqlite://")
        self.assertEqual(self.files(), [])


if __name__ == "__main__":
    unittest.main()
