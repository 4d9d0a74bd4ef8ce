from __future__ import annotations

import gc
import os
import shutil
import sqlite3
import sys
import tempfile
import threading
import time
import unittest
import weakref

import sqlalchemy as sa

from dbtestcase import DatabaseTestCase
from dbtestcase.databases import safeguard
from tests import models, support


class FileTest(support.Outcomes):
    """What is particular to SQLite in a file; the life of a test is in test_testcase."""

    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.path = os.path.join(self.folder, "app_test.db")
        self.url = "sqlite:///" + self.path
        self.models = models.plain_library()

    def base(self, **attributes):
        attributes.setdefault("engine", self.url)
        attributes.setdefault("metadata", self.models.metadata)
        return type("Base", (DatabaseTestCase,), attributes)

    def outside(self, *statements):
        connection = sqlite3.connect(self.path)
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        connection.close()

    def test_what_another_process_wrote_is_gone(self):
        outside, Author = self.outside, self.models.Author

        class Case(self.base()):
            def test_one(self):
                self.assertEqual(self.session.query(Author).count(), 0)
                self.session.remove()
                outside("INSERT INTO author (name) VALUES ('x')", "CREATE TABLE stray (id integer)")

            test_two = test_one

        self.assertPasses(Case)

    def test_a_file_that_a_test_deleted_is_made_again(self):
        path, Author = self.path, self.models.Author

        class Case(self.base()):
            def test_one(self):
                self.assertEqual(self.session.query(Author).count(), 0)
                self.session.add(Author(name="a"))
                self.session.commit()
                self.session.remove()
                os.unlink(path)

            test_two = test_three = test_one

        self.assertPasses(Case)

    def test_a_file_that_was_deleted_between_two_classes(self):
        path, Author = self.path, self.models.Author

        class Case(self.base()):
            def test_one(self):
                self.assertEqual(self.session.query(Author).count(), 0)
                self.session.add(Author(name="a"))
                self.session.commit()

            @classmethod
            def tearDownClass(cls):
                super().tearDownClass()
                os.unlink(path)

        self.assertPasses(Case)
        self.assertPasses(Case)

    def test_autoincrement_starts_at_one_again(self):
        metadata = sa.MetaData()
        table = sa.Table(
            "ticket",
            metadata,
            sa.Column("id", sa.Integer, primary_key=True),
            sqlite_autoincrement=True,
        )

        class Case(self.base(metadata=metadata)):
            def test_one(self):
                with self.engine.begin() as connection:
                    for _ in range(3):
                        connection.execute(table.insert())
                    ids = [row[0] for row in connection.execute(table.select())]
                self.assertEqual(ids, [1, 2, 3])

            test_two = test_one

        self.assertPasses(Case)

    def test_settings_kept_in_the_file_are_as_before(self):
        class Case(self.base()):
            def test_one(self):
                with self.engine.connect() as connection:
                    raw = connection.connection
                    self.assertEqual(raw.cursor().execute("PRAGMA user_version").fetchone(), (0,))
                    raw.cursor().execute("PRAGMA user_version = 7")

            test_two = test_one

        self.assertPasses(Case)

    def test_a_file_that_somebody_has_locked_is_an_error_in_time(self):
        blocker = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(blocker.close)
        blocker.execute("CREATE TABLE mine (id integer)")
        blocker.execute("BEGIN EXCLUSIVE")

        class Case(
            self.base(
                lock_timeout=0.5, engine=sa.create_engine(self.url, connect_args={"timeout": 0.2})
            )
        ):
            def test_one(self):
                pass

        began = time.monotonic()
        text = support.run_case(Case).errors[0][1]
        self.assertLess(time.monotonic() - began, 5)
        self.assertIn("locked", text)
        Case.engine.dispose()

    def test_a_writer_that_does_not_end_is_an_error_in_time(self):
        path = self.path

        class Case(self.base(lock_timeout=0.5)):
            def test_a_leaves_a_writer(self):
                type(self).blocker = sqlite3.connect(path, isolation_level=None)
                self.blocker.execute("INSERT INTO author (name) VALUES ('committed')")
                self.blocker.execute("BEGIN IMMEDIATE")
                self.blocker.execute("INSERT INTO author (name) VALUES ('pending')")

            def test_b(self):
                raise AssertionError("the test ran")

        began = time.monotonic()
        result = support.run_case(Case)
        Case.blocker.close()
        self.assertLess(time.monotonic() - began, 5)
        ((test, text),) = result.errors + result.failures
        self.assertIn("test_b", str(test))
        self.assertIn(
            'dbtestcase.BlockedDatabaseError: cannot clear "app_test.db": another connection has'
            " had"
            " it locked for 0.5 s. Find what has the file open (another process, or a transaction"
            " that was not ended).",
            text,
        )

    def test_a_writer_that_ends_in_time_is_waited_for(self):
        path, Author = self.path, self.models.Author

        class Case(self.base(lock_timeout=5)):
            def test_a_leaves_a_writer(self):
                blocker = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
                blocker.execute("INSERT INTO author (name) VALUES ('committed')")
                blocker.execute("BEGIN IMMEDIATE")
                threading.Timer(0.4, blocker.close).start()

            def test_b(self):
                self.assertEqual(self.session.query(Author).count(), 0)

        self.assertPasses(Case)

    def test_a_file_in_wal_mode(self):
        self.outside("PRAGMA journal_mode = wal")
        Author = self.models.Author

        class Case(self.base()):
            def test_one(self):
                self.assertEqual(self.session.query(Author).count(), 0)
                self.session.add(Author(name="a"))
                self.session.commit()

            test_two = test_three = test_one

        self.assertPasses(Case)

    def test_foreign_keys_that_are_enforced_do_not_stand_in_the_way(self):
        engine = sa.create_engine(self.url)
        self.addCleanup(engine.dispose)
        sa.event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA foreign_keys = on"))
        Author, Book = self.models.Author, self.models.Book

        class Case(self.base(engine=engine)):
            def test_one(self):
                self.assertEqual(self.session.query(Author).count(), 0)
                self.session.add(Author(id=1, name="a"))
                self.session.flush()
                self.session.add(Book(author_id=1))
                self.session.commit()

            def test_two(self):
                self.test_one()
                with self.assertRaises(sa.exc.IntegrityError):
                    self.session.add(Book(author_id=99))
                    self.session.commit()

        self.assertPasses(Case)

    def test_two_engines_on_one_file_are_one_database(self):
        library = models.library(binds=True)
        app = models.make_app(library.db, self.url, {"audit": self.url}, TESTING=True)
        self.addCleanup(models.dispose, app, library.db)
        Visit, Author = library.Visit, library.Author

        class Case(DatabaseTestCase):
            def test_one(self):
                self.assertEqual(self.db.session.query(Author).count(), 0)
                self.assertEqual(self.db.session.query(Visit).count(), 0)
                self.db.session.add(Author(name="a"))
                self.db.session.commit()
                self.db.session.add(Visit(page="/"))
                self.db.session.commit()

            test_two = test_one

        Case.app = app
        self.assertPasses(Case)

    @unittest.skipUnless(hasattr(os, "fork"), "there are no forked children here")
    def test_a_forked_child_does_not_touch_the_parents_connection(self):
        Author = self.models.Author

        class Case(self.base()):
            def test_one(self):
                self.session.remove()
                pid = os.fork()
                if not pid:
                    status = 1
                    try:
                        (database,) = safeguard._databases.values()
                        status = 0 if not database.dialect.alive else 2
                    finally:
                        os._exit(status)
                self.assertEqual(os.waitpid(pid, 0)[1] >> 8, 0)
                self.assertEqual(self.session.query(Author).count(), 0)

        safeguard.close_all()
        self.assertPasses(Case)


class MemoryTest(support.Outcomes):
    def setUp(self):
        self.models = models.plain_library()

    def base(self, **attributes):
        attributes.setdefault("engine", "sqlite://")
        return type("Base", (DatabaseTestCase,), dict(attributes, metadata=self.models.metadata))

    def test_a_pool_that_a_test_disposed_of_is_filled_again(self):
        Author = self.models.Author

        class Case(self.base()):
            def test_one(self):
                self.assertEqual(self.session.query(Author).count(), 0)
                self.session.remove()
                self.engine.dispose()

            test_two = test_one

        self.assertPasses(Case)

    def test_temporary_tables_are_gone(self):
        class Case(self.base()):
            def test_one(self):
                self.session.execute(sa.text('CREATE TEMP TABLE "of mine" (id integer)'))
                self.session.execute(
                    sa.text("CREATE TEMP TABLE second (id integer primary key autoincrement)")
                )
                self.session.execute(sa.text("CREATE TEMP VIEW seen AS SELECT 1"))
                self.session.commit()

            test_two = test_one

        self.assertPasses(Case)

    def test_rows_half_read_do_not_stand_in_the_way(self):
        Author = self.models.Author
        held = []

        class Case(self.base()):
            def test_one(self):
                self.assertEqual(self.session.query(Author).count(), 0)
                self.session.add_all([Author(name="a"), Author(name="b")])
                self.session.commit()
                cursor = self.engine.raw_connection().cursor()
                held.append(cursor.execute("SELECT * FROM author"))
                cursor.fetchone()

            test_two = test_one

        self.assertPasses(Case)

    def test_engines_made_for_a_class_do_not_pile_up_in_memory(self):
        engines = []

        class Case(self.base()):
            def test_one(self):
                engines.append(weakref.ref(self.engine))

        for _ in range(3):
            self.assertPasses(Case)
        gc.collect()
        # The last one may be known until another class runs.
        self.assertEqual([each() for each in engines[:-1]], [None] * 2)

    def test_two_apps_in_memory_do_not_share_rows(self):
        library = models.library()

        class Case(DatabaseTestCase):
            def setUp(self):
                self.app = models.make_app(library.db, "sqlite://", TESTING=True)
                super().setUp()

            def test_one(self):
                self.assertEqual(self.db.session.query(library.Author).count(), 0)
                self.db.session.add(library.Author(name="a"))
                self.db.session.commit()

        for number in range(20):
            setattr(Case, "test_%d" % number, Case.test_one)
        self.assertPasses(Case)
        private = [each for each in safeguard._databases.values() if each.dialect.identity.private]
        self.assertLessEqual(len(private), 1)

    @unittest.skipIf(
        sa.__version__ < "1.4", "SQLAlchemy 1.3 takes such a URL for a file of its own"
    )
    def test_a_named_database_in_shared_memory(self):
        url = "sqlite:///file:core_shared_test?mode=memory&cache=shared&uri=true"
        keeper = sqlite3.connect("file:core_shared_test?mode=memory&cache=shared", uri=True)
        self.addCleanup(keeper.close)
        Author = self.models.Author

        engine = sa.create_engine(url, poolclass=sa.pool.StaticPool)
        self.addCleanup(engine.dispose)

        class Case(self.base(engine=engine)):
            def test_one(self):
                self.assertEqual(self.session.query(Author).count(), 0)
                self.session.add(Author(name="a"))
                self.session.commit()

            test_two = test_one

        self.assertPasses(Case)


class WarningsTest(support.Outcomes):
    @unittest.skipIf(sys.version_info < (3, 13), "older versions do not warn of open databases")
    def test_no_connection_is_left_to_the_garbage_collector(self):
        source = (
            "import gc, unittest, sqlalchemy as sa\n"
            "from dbtestcase import DatabaseTestCase\n"
            "class Case(DatabaseTestCase):\n"
            "    engine, metadata = %r, sa.MetaData()\n"
            "    def load_data(self): pass\n"
            "    def test_one(self): self.session.execute(sa.text('SELECT 1'))\n"
            "unittest.main(exit=False)\n"
            "gc.collect()\n"
        )
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        for url in (
            "sqlite://",
            "sqlite:///%s/test.db" % folder,
            support.postgresql_url("core_gc_test"),
        ):
            ran = support.run_python("-W", "always", "-c", source % url)
            self.assertEqual(ran.returncode, 0, ran.stderr)
            self.assertNotIn("ResourceWarning", ran.stderr)


if __name__ == "__main__":
    unittest.main()
