"""What no test gets is said in full once; the next tests say a line at once, until it is gone."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import socket
import sqlite3
import tempfile
import threading
import time
import unittest
from typing import Any, Iterator, List

import sqlalchemy as sa

from dbtestcase import DatabaseTestCase, _compat
from dbtestcase.errors import reported
from tests import running, support
from tests.claiming import Claims, library
from tests.holding import another_process

PID = re.compile(r"pid \d+")


class Server:
    """A server on a port of its own, which counts who connects and passes nobody on while down."""

    def __init__(self) -> None:
        self.attempts = 0
        self.up = False
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(50)
        self._sockets: List[socket.socket] = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, database: str) -> str:
        """Return the URL of a database of the server, for one attempt a connection."""
        port = self._listener.getsockname()[1]
        parts = dict(host="127.0.0.1", port=port, query={"sslmode": "disable"})
        return support.url_of(database, **parts)

    def close(self) -> None:
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def end_connections(self) -> None:
        """Be down from now on, for those who are connected as well."""
        self.up = False
        for each in self._sockets[1:]:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.attempts += 1
            if not self.up:
                client.close()
                continue
            real = _connected()
            self._sockets += [client, real]
            for pair in ((client, real), (real, client)):
                threading.Thread(target=_pass_on, args=pair, daemon=True).start()


def _connected() -> socket.socket:
    url = sa.engine.url.make_url(support.server_url())
    host, port = url.host or url.query["host"], url.port or url.query.get("port", 5432)
    if str(host).startswith("/"):
        real = socket.socket(socket.AF_UNIX)
        real.connect("%s/.s.PGSQL.%s" % (host, port))
        return real
    return socket.create_connection((host, int(port)))


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            data = source.recv(65536)
            if not data:
                break
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


class RunsTest(running.ScenarioRuns):
    """A suite of 25 tests in five classes, under each runner."""

    database = "said_runs_test"
    RUNNERS = {
        "unittest": ("-m", "unittest", "five_classes"),
        "nose2": ("-m", "nose2", "five_classes"),
        "pytest": running.PYTEST + ("five_classes.py",),
    }

    def run_with(self, runner: str, url: str, by: str) -> Any:
        if not running.has(runner):
            self.skipTest("%s is not installed" % runner)
        done = self.run_scenario(*self.RUNNERS[runner], SHOP_URL=url, BY=by)
        self.assertNotEqual(done.returncode, 0)
        return done.output

    def down(self, runner: str, by: str, most_lines: int) -> None:
        server = Server()
        self.addCleanup(server.close)
        began = time.monotonic()
        output = self.run_with(runner, server.url("said_runs_test"), by)
        self.assertLess(time.monotonic() - began, 30)
        self.assertEqual(server.attempts, 5, output)
        self.assertLess(len(output.splitlines()), most_lines, output)
        self.assertIn("Is the server running, and does the database exist?", output)
        first = "Class0.test_0" if by == "test" else "Class0"
        for number in range(1, 5):
            owner = "Class%d.test_4" % number if by == "test" else "Class%d" % number
            self.assertRegex(output, r"%s: no connection to \S+, as said for %s\." % (owner, first))
        self.assertNotIn("The above exception", output)
        self.assertNotIn("OperationalError", output.replace("(psycopg2.OperationalError)", ""))

    def test_a_server_that_is_down_by_unittest_and_class(self) -> None:
        self.down("unittest", "class", 60)

    def test_a_server_that_is_down_by_unittest_and_test(self) -> None:
        self.down("unittest", "test", 170)  # before Python 3.11 a line more for each

    def test_a_server_that_is_down_by_nose2_and_test(self) -> None:
        self.down("nose2", "test", 170)

    def test_a_server_that_is_down_by_pytest_and_class(self) -> None:
        self.down("pytest", "class", 160)

    def test_a_server_that_is_down_by_pytest_and_test(self) -> None:
        self.down("pytest", "test", 350)

    def test_a_database_that_is_not_for_tests(self) -> None:
        support.postgresql_url("said_runs_plain")
        output = self.run_with("unittest", support.url_of("said_runs_plain"), "test")
        self.assertEqual(output.count("How it got there"), 1)
        self.assertEqual(output.count("Nothing was touched"), 1)
        line = r"Class4.test_4 would clear \"said_runs_plain\" at .*, which is not known to be a"
        self.assertRegex(output, line + r" test database, as said for Class0.test_0\.\n")
        self.assertEqual(output.count(", as said for Class0.test_0."), 24)
        self.assertLess(len(output.splitlines()), 170)

    def test_a_role_that_is_not_there(self) -> None:
        url = support.url_of("said_runs_test", username="nobody_at_all")
        output = self.run_with("unittest", url, "test")
        self.assertEqual(output.count('role "nobody_at_all" does not exist'), 1)
        self.assertEqual(output.count(", as said for Class0.test_0."), 24)
        self.assertLess(len(output.splitlines()), 170)

    def test_a_database_that_another_process_blocks(self) -> None:
        with another_process(self.url, "CREATE TABLE held (id int)"):
            began = time.monotonic()
            output = self.run_with("unittest", self.url, "test")
        self.assertLess(time.monotonic() - began, 15)  # of which it waits for five
        self.assertEqual(output.count("waited 5.0 s for a lock"), 1)
        self.assertEqual(output.count(" is still in the way, as said for Class0.test_0."), 24)
        self.assertLess(len(output.splitlines()), 170)


class Repeats(support.Outcomes):
    """Inner tests that run one after another, as in one process that has said nothing before."""

    def setUp(self) -> None:
        reported.clear()

    def lines_of(self, case: Any, *names: str) -> List[str]:
        """Run tests, and return what each said, without a traceback; "" for one that passed."""
        result = _Outcome()
        suite = unittest.TestSuite(map(case, names)) if names else self.all_of(case)
        suite.run(result)
        return result.texts

    def all_of(self, case: Any) -> Any:
        return unittest.defaultTestLoader.loadTestsFromTestCase(case)


class _Outcome(unittest.TestResult):
    def __init__(self) -> None:
        super().__init__()
        self.texts: List[str] = []

    def addSuccess(self, test: Any) -> None:
        self.texts.append("")

    def addError(self, test: Any, error: Any) -> None:
        self.texts.append(PID.sub("pid N", str(error[1])))
        self.texts[-1] += " AND %r" % error[1].__cause__ if error[1].__cause__ else ""


class BlockedTest(Repeats):
    """Transactions of another process, one after the other, while tests run."""

    database = "said_blocked_test"
    driver = "psycopg2"
    WRITE = "INSERT INTO author (name) VALUES ('x')"

    def setUp(self) -> None:
        super().setUp()
        support.require(self.driver)
        url = support.postgresql_url(self.database)
        self.plain = url
        self.url = _compat.url_with(url, drivername="postgresql+%s" % self.driver)
        with contextlib.suppress(sa.exc.NoSuchModuleError):
            self.url.get_dialect()
            return
        self.skipTest("no %s for this SQLAlchemy" % self.driver)

    def case(self, happens: Any, **attributes: Any) -> Any:
        """Return a class of which each test, while it runs, does what is given for it."""

        class OrderTest(DatabaseTestCase):
            engine = self.url
            metadata = library.metadata
            lock_timeout = 0.8

        def test(case: Any, number: int = 0) -> None:
            case.session.add(library.Author(name="a"))
            case.session.commit()
            happens.get(number, lambda: None)()

        for number in range(6):
            setattr(OrderTest, "test_%d" % number, functools.partialmethod(test, number))
        for name, value in attributes.items():
            setattr(OrderTest, name, value)
        return OrderTest

    def hold(self, *statements: str, **options: Any) -> Any:
        holding = contextlib.ExitStack()
        self.addCleanup(holding.close)
        holding.enter_context(another_process(self.plain, *statements, **options))
        return holding.close

    def test_a_transaction_is_waited_for_once_until_it_is_gone(self) -> None:
        closing: List[Any] = []
        case = self.case({1: lambda: closing.append(self.hold(self.WRITE))})
        began = time.monotonic()
        lines = self.lines_of(case, *["test_%d" % number for number in range(5)])
        self.assertLess(time.monotonic() - began, 0.8 + 2)
        self.assertEqual(lines[:2], ["", ""])
        self.assertTrue(
            lines[2].startswith(
                'cannot clear "said_blocked_test" for OrderTest.test_2: the reset waited 0.8 s for'
                " a lock.\n  pid N "
            ),
            lines[2],
        )
        self.assertEqual(
            lines[3:],
            [
                'cannot clear "said_blocked_test" for OrderTest.test_%d: pid N is still in the'
                " way, as said for OrderTest.test_2." % number
                for number in (3, 4)
            ],
        )
        closing[0]()
        self.assertEqual(self.lines_of(case, "test_0", "test_2"), ["", ""])

    def test_another_transaction_is_waited_for_anew(self) -> None:
        closing: List[Any] = []

        case = self.case({0: lambda: closing.append(self.hold(self.WRITE))})
        lines = self.lines_of(case, "test_0", "test_1", "test_2")
        closing.pop()()
        self.hold(self.WRITE)
        lines += self.lines_of(case, "test_3")
        self.assertIn("waited 0.8 s", lines[1])
        self.assertIn("as said for OrderTest.test_1", lines[2])
        self.assertIn("waited 0.8 s", lines[3])

    def test_the_next_transaction_of_the_same_session_is_waited_for_anew(self) -> None:
        with self.worker() as step:
            case = self.case({0: lambda: step("BEGIN", self.WRITE)})
            lines = self.lines_of(case, "test_0", "test_1", "test_2")
            step("COMMIT", "BEGIN", self.WRITE)
            lines += self.lines_of(case, "test_3", "test_4")
            step("ROLLBACK")
            lines += self.lines_of(case, "test_5")
        waited = ["waited 0.8 s for a lock" in line for line in lines]
        self.assertEqual(waited, [False, True, False, True, False, False], lines)
        self.assertIn("as said for OrderTest.test_3", lines[4])
        self.assertEqual((lines[0], lines[5]), ("", ""))

    @contextlib.contextmanager
    def worker(self) -> Iterator[Any]:
        """Give what runs statements in one session that is none of this process, as its server."""
        name = "said_worker"
        server = "dblink_connect('%s', 'host='||coalesce(host(inet_server_addr()),"
        server += " current_setting('unix_socket_directories'))||' port='||current_setting('port')"
        server += "||' user='||current_user||' dbname=%s')"
        engine = sa.create_engine(support.url_of("postgres"), poolclass=sa.pool.StaticPool)
        raw = engine.raw_connection()
        dbapi = _compat.dbapi_connection(raw)
        dbapi.autocommit = True
        cursor = dbapi.cursor()
        cursor.execute("CREATE EXTENSION IF NOT EXISTS dblink")
        cursor.execute("SELECT " + server % (name, self.database))
        try:
            yield lambda *statements: [
                cursor.execute("SELECT dblink_exec('%s', $$%s$$)" % (name, each))
                for each in statements
            ]
        finally:
            raw.close()
            engine.dispose()

    def test_a_transaction_that_is_prepared(self) -> None:
        prepare = ("BEGIN", self.WRITE, "PREPARE TRANSACTION 'kept'")
        self.addCleanup(self.end_prepared)
        case = self.case({0: lambda: self.hold(*prepare, mode="autocommit")})
        lines = self.lines_of(case, "test_0", "test_1", "test_2", "test_3")
        self.assertIn('prepared transaction "kept" of role', lines[1])
        self.assertEqual(
            lines[3],
            'cannot clear "said_blocked_test" for OrderTest.test_3: the prepared transaction "kept"'
            " is still in the way, as said for OrderTest.test_1.",
        )
        self.end_prepared()
        self.assertEqual(self.lines_of(case, "test_4"), [""])

    def end_prepared(self) -> None:
        rows = "SELECT gid FROM pg_prepared_xacts WHERE database = current_database()"
        for (gid,) in support.administer(rows, database=self.database):
            support.administer("ROLLBACK PREPARED '%s'" % gid, database=self.database)

    def test_a_reader_that_stands_against_a_truncate(self) -> None:
        many = "INSERT INTO author (name) SELECT repeat('x', 40) FROM generate_series(1, 30000)"
        closing: List[Any] = []

        def fill_and_read() -> None:
            support.administer(many, database=self.database)
            closing.append(self.hold("SELECT count(*) FROM author"))

        case = self.case({0: fill_and_read})
        lines = self.lines_of(case, "test_0", "test_1")
        began = time.monotonic()
        lines += self.lines_of(case, "test_2", "test_3")
        self.assertLess(time.monotonic() - began, 0.7)
        self.assertIn("waited 0.8 s", lines[1])
        for line in lines[2:]:
            self.assertRegex(line, "pid N is still in the way, as said for OrderTest.test_1.$")
        closing[0]()
        self.assertEqual(self.lines_of(case, "test_4"), [""])
        self.hold("SELECT count(*) FROM author")  # no rows by now that only a TRUNCATE takes away
        self.assertEqual(self.lines_of(case, "test_4", "test_5"), ["", ""])

    def test_a_lock_that_statements_of_tests_wait_for(self) -> None:
        def lock(case: Any) -> None:
            case.session.execute(sa.text("LOCK TABLE author"))

        locking = {"test_%d" % number: lock for number in range(3)}
        case = self.case({}, **locking)
        self.assertEqual(self.lines_of(case, "test_4"), [""])
        close = self.hold("SELECT count(*) FROM author")
        lines = self.lines_of(case, "test_0", "test_1")
        self.assertRegex(
            lines[0], "OrderTest.test_0: its statement waited 0.8 s for a lock.\n  pid"
        )
        self.assertIn("last query: SELECT count", lines[0])
        self.assertRegex(
            lines[1],
            r"\AOrderTest.test_1: its statement waited 0.8 s for a lock.\n"
            r"  pid N is still in the way, as said for OrderTest.test_0.\n\(psycopg",
        )
        close()
        self.assertEqual(self.lines_of(case, "test_2"), [""])

    def test_each_class_that_is_built_meets_the_same(self) -> None:
        close = self.hold("CREATE TABLE held (id int)")
        lines = self.lines_of(self.case({}))
        lines += self.lines_of(self.case({}))
        self.assertEqual(len(lines), 2)
        self.assertIn("the reset waited 0.8 s for a lock", lines[0])
        self.assertEqual(
            lines[1],
            'cannot clear "said_blocked_test" for OrderTest: pid N is still in the way, as said for'
            " OrderTest.",
        )
        close()
        self.assertEqual(self.lines_of(self.case({}), "test_0"), [""])


class BlockedWithPsycopg3Test(BlockedTest):
    driver = "psycopg"


class TakenTest(Claims, Repeats):
    """A database that another run has, and of which there can be no sibling."""

    database = "said_taken"

    def setUp(self) -> None:
        Repeats.setUp(self)

    def case(self, engine: Any, **attributes: Any) -> Any:
        given = dict(allowed_databases=("said_taken",), test_two=lambda case: None, **attributes)
        return super().case(engine, test_three=lambda case: None, setUp=self.set_up(), **given)

    def set_up(self) -> Any:
        """Return a set-up by which each test has an engine of its own, and checks again."""

        def set_up(case: Any) -> None:
            case.engine = sa.create_engine(self.url)
            case.addCleanup(case.engine.dispose)
            super(type(case), case).setUp()

        return set_up

    def test_the_next_tests_look_and_do_not_wait(self) -> None:
        case = self.case(None)
        with self.another_run(self.database):
            lines = self.lines_of(case, "test_one")
            began = time.monotonic()
            lines += self.lines_of(case, "test_two", "test_three")
            self.assertLess(time.monotonic() - began, 0.9)
        self.assertIn("and did not end within 1.0 s", lines[0])
        self.assertEqual(
            lines[1:],
            [
                'AuthorTest.test_%s: another run still has the database "said_taken", as said for'
                " AuthorTest.test_one." % name
                for name in ("two", "three")
            ],
        )
        self.assertEqual(self.lines_of(case, "test_two"), [""])

    def test_another_run_is_waited_for_anew(self) -> None:
        case = self.case(None)
        for _ in range(2):
            with self.another_run(self.database):
                lines = self.lines_of(case, "test_one", "test_two")
            self.assertIn("and did not end within 1.0 s", lines[0])
            self.assertIn("as said for AuthorTest.test_one", lines[1])


class UnreachableTest(Repeats):
    """A server that goes and comes."""

    database = "said_server_test"

    def setUp(self) -> None:
        super().setUp()
        support.postgresql_url(self.database)
        self.server = Server()
        self.addCleanup(self.server.close)

    def case(self, name: str = "OrderTest", **attributes: Any) -> Any:
        url = self.server.url(self.database)

        def set_up(case: Any) -> None:
            case.engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
            super(type(case), case).setUp()

        tests = {"test_%d" % number: lambda case: None for number in range(3)}
        given = dict(metadata=library.metadata, lock_timeout=0.5, setUp=set_up, **tests)
        return type(name, (DatabaseTestCase,), dict(given, **attributes))

    def test_the_next_class_finds_it_again(self) -> None:
        lines = self.lines_of(self.case())
        self.assertIn("Is the server running", lines[0])
        self.assertRegex(lines[1], r"^OrderTest.test_1: no connection to \S+, as said for Or")
        self.assertEqual(self.server.attempts, 1)
        self.server.up = True
        self.assertEqual(self.lines_of(self.case("NextTest")), ["", "", ""])

    def test_what_is_gone_is_said_in_full_when_it_comes_again(self) -> None:
        self.assertIn("Is the server running", self.lines_of(self.case(), "test_0")[0])
        self.server.up = True
        self.assertEqual(self.lines_of(self.case("NextTest"), "test_0"), [""])
        self.server.end_connections()
        (line,) = self.lines_of(self.case("LastTest"), "test_0")
        self.assertIn("Is the server running", line)

    def test_a_server_that_is_lost_is_waited_for_once(self) -> None:
        engine = sa.create_engine(self.server.url(self.database))
        self.addCleanup(engine.dispose)
        attempts: List[int] = []

        def set_up(case: Any) -> None:
            attempts.append(self.server.attempts)
            super(type(case), case).setUp()

        def lose(case: Any) -> None:
            self.server.end_connections()

        self.server.up = True
        given = dict(engine=engine, setUp=set_up, test_0=lose)
        lines = self.lines_of(self.case(**given))
        self.assertEqual(lines[0], "")
        self.assertIn("Is the server running", lines[1])
        self.assertRegex(
            lines[2], "^OrderTest.test_2: no connection to .*, as said for OrderTest.te"
        )
        self.assertGreater(attempts[2], attempts[1] + 1)  # as long as the bound
        self.assertEqual(self.server.attempts, attempts[2])
        self.lines_of(self.case("NextTest", **given))
        self.assertEqual(self.server.attempts, attempts[2] + 1)
        self.server.up = True
        given.pop("test_0")
        self.assertEqual(self.lines_of(self.case("LastTest", **given)), ["", "", ""])

    def test_a_role_without_a_connection_left_is_asked_for_by_each_test(self) -> None:
        support.ensure_role("said_role")
        support.administer("ALTER DATABASE said_server_test OWNER TO said_role")
        support.administer("ALTER DATABASE said_server_test CONNECTION LIMIT 0")
        url = support.url_of(self.database, username="said_role")

        def set_up(case: Any) -> None:
            case.engine = sa.create_engine(url)
            case.addCleanup(case.engine.dispose)
            super(type(case), case).setUp()

        case = self.case(setUp=set_up)
        lines = self.lines_of(case, "test_0", "test_1")
        self.assertIn("The server has no connection left.", lines[0])
        self.assertRegex(lines[1], r"^OrderTest.test_1: no connection to .*, as said for Ord")
        support.administer("ALTER DATABASE said_server_test CONNECTION LIMIT -1")
        self.assertEqual(self.lines_of(case, "test_2"), [""])


class ForkTest(unittest.TestCase):
    @unittest.skipUnless(hasattr(os, "fork"), "needs fork()")
    def test_a_forked_process_has_said_nothing_yet(self) -> None:
        reported.clear()
        reported.remember("it", None, "OrderTest")
        child = os.fork()
        if not child:
            os._exit(0 if reported.earlier("it") is None else 1)
        self.assertEqual(os.waitpid(child, 0)[1], 0)
        self.assertEqual(reported.earlier("it"), "OrderTest")


class LockedFileTest(Repeats):
    """A file of SQLite's that another connection has locked; who that is, nothing tells."""

    def setUp(self) -> None:
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = folder.name + "/app_test.db"
        self.blocker = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(self.blocker.close)

    def test_it_is_waited_for_once_until_it_is_gone(self) -> None:
        blocker = self.blocker

        class OrderTest(DatabaseTestCase):
            engine = sa.create_engine("sqlite:///" + self.path, connect_args={"timeout": 0.1})
            metadata = library.metadata
            lock_timeout = 0.5

            def test_0(case) -> None:
                blocker.execute("INSERT INTO author (name) VALUES ('a')")
                blocker.execute("BEGIN IMMEDIATE")

            def test_1(case) -> None:
                pass

            test_2 = test_3 = test_1

        self.addCleanup(OrderTest.engine.dispose)
        lines = self.lines_of(OrderTest, "test_0", "test_1")
        began = time.monotonic()
        lines += self.lines_of(OrderTest, "test_2", "test_3")
        self.assertLess(time.monotonic() - began, 0.4)
        self.assertIn("another connection has had it locked for 0.5 s", lines[1])
        self.assertEqual(
            lines[2:],
            [
                'cannot clear "app_test.db" for OrderTest.test_%d: another connection still has it'
                " locked, as said for OrderTest.test_1." % number
                for number in (2, 3)
            ],
        )
        blocker.execute("INSERT INTO author (name) VALUES ('b')")
        blocker.execute("COMMIT")
        blocker.execute("BEGIN IMMEDIATE")
        self.assertIn("for 0.5 s", self.lines_of(OrderTest, "test_1")[0])
        blocker.execute("COMMIT")
        self.assertEqual(self.lines_of(OrderTest, "test_2"), [""])


class TracebackTest(unittest.TestCase):
    """What a failure shows of the way to our own errors: the user's frames, and none of ours."""

    def traceback_of(self, case: Any, name: str) -> str:
        result = support.run_case(case, name)
        ((_, text),) = result.errors + result.failures
        return text

    def test_the_users_frames_are_shown_and_no_others(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = folder.name + "/shop.db"

        class OrderTest(DatabaseTestCase):
            def setUp(case) -> None:
                case.engine = "sqlite:///" + path
                super().setUp()

            def test_one(case) -> None:
                pass

        text = self.traceback_of(OrderTest, "test_one")
        files = [os.path.basename(each) for each in re.findall(r'File "(.*)", line', text)]
        self.assertEqual(files, ["test_said_once.py"])
        self.assertIn("super().setUp()", text)
        self.assertIn("dbtestcase.UnsafeDatabaseError: OrderTest.test_one would clear", text)

    def test_what_the_users_own_code_raises_is_shown_as_it_is(self) -> None:
        class OrderTest(DatabaseTestCase):
            metadata = sa.MetaData()

            def setUp(case) -> None:
                case.engine = "sqlite://"
                super().setUp()

            def create_tables(case) -> None:
                case.fail("not made")

            def test_one(case) -> None:
                pass

        text = self.traceback_of(OrderTest, "test_one")
        self.assertIn('case.fail("not made")', text)


if __name__ == "__main__":
    unittest.main()
