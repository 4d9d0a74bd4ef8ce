from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import unittest

import sqlalchemy as sa

from dbtestcase import DatabaseTestCase
from tests import models, support


class SQLiteGuardTest(support.Outcomes):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.path = os.path.join(self.folder, "latest.db")
        engine = sa.create_engine("sqlite:///" + self.path)
        with engine.begin() as connection:
            connection.execute(sa.text("CREATE TABLE customer (id integer)"))
        engine.dispose()
        self.models = models.plain_library()

    def case(self, engine, **attributes):
        def test_one(self):
            self.assertEqual(self.session.query(Author).count(), 0)

        Author = self.models.Author
        return type(
            "OrderTest",
            (DatabaseTestCase,),
            dict(attributes, engine=engine, metadata=self.models.metadata, test_one=test_one),
        )

    def content(self):
        with open(self.path, "rb") as file:
            return file.read()

    def test_a_file_of_another_name_is_refused(self):
        before = self.content()
        message = self.message_of(self.case("sqlite:///" + self.path))
        self.assertEqual(
            message,
            'UnsafeDatabaseError: OrderTest would clear "latest.db" at %s, which is not known to'
            " be a"
            " test database.\n"
            '  Neither "test" nor "testing" stands as a word of its own in its name. Nothing was'
            " touched.\n"
            "  How it got there: the engine of the class = sqlite:///%s\n"
            "  To allow this very database, write in OrderTest: allowed_databases = ('latest.db',)"
            % (os.path.realpath(self.folder), self.path),
        )
        self.assertEqual(self.content(), before)
        self.assertPasses(self.case("sqlite:///" + self.path, allowed_databases=("latest.db",)))

    def test_the_folder_and_the_ending_are_no_witnesses(self):
        folder = os.path.join(self.folder, "test")
        os.mkdir(folder)
        for name in ("shop.test", "shop.db"):
            message = self.message_of(self.case("sqlite:///" + os.path.join(folder, name)))
            self.assertIn('would clear "%s"' % name, message)

    def test_files_of_the_right_name_pass(self):
        for name in ("test.db", "app_test.sqlite3", "test"):
            self.assertPasses(self.case("sqlite:///" + os.path.join(self.folder, name)))

    def test_a_link_to_another_file_is_refused(self):
        link = os.path.join(self.folder, "app_test.db")
        os.symlink(self.path, link)
        before = self.content()
        self.assertIn('would clear "latest.db"', self.message_of(self.case("sqlite:///" + link)))
        self.assertEqual(self.content(), before)

    def assertRefused(self, url, name="latest.db"):
        before = self.content()
        message = self.message_of(self.case(url))
        self.assertTrue(message.startswith('UnsafeDatabaseError: OrderTest would clear "' + name))
        self.assertEqual(self.content(), before)
        return message

    def test_links_to_links_and_folders_are_followed(self):
        folder, link = os.path.join(self.folder, "test"), os.path.join(self.folder, "app_test.db")
        os.symlink(self.folder, folder)
        os.symlink(os.path.join(folder, "latest.db"), link)
        os.symlink("app_test.db", os.path.join(self.folder, "test.db"))
        for path in (link, os.path.join(folder, "test.db"), os.path.join(folder, "latest.db")):
            self.assertRefused("sqlite:///" + path)
            self.assertRefused("sqlite:///file:%s?mode=rw&uri=true" % path)

    def test_a_relative_path_is_followed(self):
        os.symlink(self.path, os.path.join(self.folder, "app_test.db"))
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.folder)
        for path in ("app_test.db", "./app_test.db", "file:app_test.db?uri=true"):
            self.assertRefused("sqlite:///" + path)

    @unittest.skipUnless(os.path.isdir("/proc/self/fd"), "needs /proc")
    def test_a_descriptor_is_followed(self):
        with open(self.path, "rb") as file:
            self.assertRefused("sqlite:////proc/self/fd/%d" % file.fileno())

    def test_a_hard_link_in_the_same_folder_is_refused(self):
        link = os.path.join(self.folder, "app_test.db")
        os.link(self.path, link)
        self.assertEqual(
            self.assertRefused("sqlite:///" + link, "app_test.db"),
            'UnsafeDatabaseError: OrderTest would clear "app_test.db" at %s, which is not known to'
            " be a test database.\n"
            '  The same file has the name "latest.db" as well, which does not say so. Nothing was'
            " touched.\n"
            "  How it got there: the engine of the class = sqlite:///%s\n"
            "  To allow this very database, write in OrderTest: allowed_databases ="
            " ('app_test.db',)" % (os.path.realpath(self.folder), link),
        )
        for allowed in ("app_test.db", "latest.db"):
            self.assertPasses(self.case("sqlite:///" + link, allowed_databases=(allowed,)))

    def test_a_hard_link_from_another_folder_is_refused(self):
        folder = os.path.join(self.folder, "elsewhere")
        link = os.path.join(folder, "app_test.db")
        os.mkdir(folder)
        os.link(self.path, link)
        message = self.assertRefused("sqlite:///" + link, "app_test.db")
        self.assertIn(
            "  The same file has 1 more name in another folder (a hard link), which may not say"
            " so. Nothing was touched.\n",
            message,
        )
        self.assertPasses(self.case("sqlite:///" + link, allowed_databases="app_test.db"))

    def test_hard_links_that_are_all_for_tests_pass(self):
        path = os.path.join(self.folder, "app_test.db")
        sqlite3.connect(path).close()
        open(path, "a").close()
        os.link(path, os.path.join(self.folder, "test.db"))
        self.assertPasses(self.case("sqlite:///" + path))

    def test_a_file_that_is_mounted_over_another_is_refused(self):
        path = os.path.join(self.folder, "app test.db")
        open(path, "w").close()
        mounting = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
        command = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'
        code = (
            "import sys; from dbtestcase import dialects; import sqlalchemy as sa;"
            "from dbtestcase.databases import refusal_of;"
            "engine = sa.create_engine('sqlite:///' + sys.argv[1]);"
            "print(refusal_of(dialects.of_engine(engine).identify(engine), ()))"
        )
        arguments = mounting + [command, "sh", self.path, path]
        try:
            possible = subprocess.run(arguments + ["true"], stderr=subprocess.DEVNULL).returncode
        except OSError:
            possible = 1
        if possible != 0:
            self.skipTest("may not mount")
        done = subprocess.run(
            arguments + [sys.executable, "-c", code, path],
            cwd=support.ROOT,
            stdout=subprocess.PIPE,
            universal_newlines=True,
        )
        self.assertEqual(
            done.stdout.strip(),
            'The same file has the name "latest.db" as well, which does not say so',
        )

    def test_names_that_end_in_dots_or_spaces(self):
        for name in ("latest .db", "contest.", "latest.test ", "app_tes\u200bt.db"):
            self.assertIn(
                'would clear "%s"' % name,
                self.message_of(self.case("sqlite:///" + os.path.join(self.folder, name))),
            )
        for name in ("app_test .db", "app_test.", "app_test. "):
            self.assertPasses(self.case("sqlite:///" + os.path.join(self.folder, name)))

    def test_a_creator_leads_elsewhere(self):
        before = self.content()
        engine = sa.create_engine(
            "sqlite:///app_test.db", creator=lambda: sqlite3.connect(self.path)
        )
        self.addCleanup(engine.dispose)
        self.assertIn('would clear "latest.db"', self.message_of(self.case(engine)))
        self.assertEqual(self.content(), before)

    def test_a_creator_that_leads_here_and_there_by_turns(self):
        before = self.content()
        paths = [os.path.join(self.folder, "app_test.db"), self.path]

        def turn_by_turn():
            paths.append(paths.pop(0))
            return sqlite3.connect(paths[-1])

        engine = sa.create_engine("sqlite:///app_test.db", creator=turn_by_turn)
        self.addCleanup(engine.dispose)
        message = self.message_of(self.case(engine))
        self.assertIn("does not always lead to the same database", message)
        self.assertEqual(self.content(), before)

    def test_databases_in_memory_and_temporary_ones_pass(self):
        for url in ("sqlite://", "sqlite:///:memory:"):
            self.assertPasses(self.case(url))

    def test_testing_false_is_refused_in_memory_too(self):
        library = models.library()
        app = models.make_app(library.db, "sqlite://")
        self.addCleanup(models.dispose, app, library.db)
        case = type("OrderTest", (DatabaseTestCase,), {"app": app, "test_one": lambda self: None})
        self.assertIn('app.config["TESTING"] is false', self.message_of(case))


if __name__ == "__main__":
    unittest.main()
