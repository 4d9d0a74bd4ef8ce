from __future__ import annotations

import logging
import os
import shutil
import socket
import tempfile
import time
import unittest
import unittest.mock

import sqlalchemy as sa

from dbtestcase import DatabaseTestCase, _compat
from dbtestcase.databases import is_test_name, safeguard
from tests import models, support

PRODUCTION = "core_production"


class NamesTest(unittest.TestCase):
    def test_names_with_the_word_are_for_tests(self):
        for name in (
            "app_test", "test", "test-7", "App-Testing", "TEST", "testing", "test_app", "my.test",
            "app_test_2", "a test", "shop$test", "é_test", "testing_shop",
        ):  # fmt: skip
            self.assertTrue(is_test_name(name), name)

    def test_names_that_merely_contain_the_letters_are_not(self):
        for name in (
            "contest", "latest", "attestation", "postgres", "template1", "", "app", "testament",
            "testings", "protest_app", "attest", "apptest", "detest", "éteste", "testé",
        ):  # fmt: skip
            self.assertFalse(is_test_name(name), name)


class PostgreSQLGuardTest(support.Outcomes):
    """Each test tries to have a production database cleared, which holds one row."""

    @classmethod
    def setUpClass(cls):
        cls.production_url = support.postgresql_url(PRODUCTION)
        cls.test_url = support.postgresql_url("core_guard_test")
        support.administer(
            "CREATE TABLE author (id serial primary key, name text)",
            "INSERT INTO author (name) VALUES ('customer')",
            database=PRODUCTION,
        )

    LOOK = (
        "SELECT c.oid, c.relfilenode, a.xmin, a.*, (SELECT count(*) FROM pg_class) FROM author a,"
        " pg_class c WHERE c.oid = 'author'::regclass"
    )

    def setUp(self):
        self.before = support.administer(self.LOOK, database=PRODUCTION)
        self.assertEqual(len(self.before), 1)
        self.addCleanup(self.assertUntouched)
        self.models = models.plain_library()

    def assertUntouched(self):
        self.assertEqual(support.administer(self.LOOK, database=PRODUCTION), self.before)

    def case(self, engine=None, **attributes):
        def test_one(self):
            raise AssertionError("the test ran")

        attributes.setdefault("metadata", self.models.metadata)
        attributes.setdefault("test_one", test_one)
        return type("OrderTest", (DatabaseTestCase,), dict(attributes, engine=engine))

    def engine(self, url, **options):
        engine = sa.create_engine(url, **options)
        self.addCleanup(engine.dispose)
        return engine

    def assertRefused(self, case):
        message = self.message_of(case)
        self.assertTrue(message.startswith("UnsafeDatabaseError: OrderTest would clear"), message)
        self.assertIn('"%s"' % PRODUCTION, message)
        self.assertUntouched()
        return message

    # --- the words ---

    def place(self):
        url = sa.engine.url.make_url(support.server_url())
        if url.host and not url.host.startswith("/"):
            return "%s:%s" % (socket.gethostbyname(url.host), url.port or 5432)
        ((port,),) = support.administer("SHOW port")
        return "a local socket, port %s" % port

    def test_the_refusal_says_which_database_how_it_got_there_and_what_would_allow_it(self):
        url = _compat.url_text(self.production_url, hide_password=True)
        self.assertEqual(
            self.message_of(self.case(self.production_url)),
            'UnsafeDatabaseError: OrderTest would clear "core_production" at %s, which is not'
            " known to"
            " be a test database.\n"
            '  Neither "test" nor "testing" stands as a word of its own in its name. Nothing was'
            " touched.\n"
            "  How it got there: the engine of the class = %s\n"
            "  To allow this very database, write in OrderTest: allowed_databases ="
            " ('core_production',)" % (self.place(), url),
        )

    def test_the_refusal_names_the_setting_the_config_and_the_bind(self):
        library = models.library(binds=True)
        app = models.make_app(
            library.db, self.test_url, {"audit": self.production_url}, TESTING=True
        )
        self.addCleanup(models.dispose, app, library.db)
        case = self.case(app=app, metadata=None)
        self.assertIn(
            "\n  How it got there: bind 'audit', SQLALCHEMY_BINDS[\"audit\"] of the app 'webshop'"
            " (the"
            " class loads no config) = postgresql",
            self.assertRefused(case),
        )

    def test_the_refusal_tells_the_settings_of_the_config_from_those_of_the_app(self):
        library = models.library()
        app = models.make_app(library.db, self.production_url)
        self.addCleanup(models.dispose, app, library.db)
        for config, origin in (
            (models.testing(self.production_url), "the mapping given as config"),
            (
                {"TESTING": True},
                "the app 'webshop' (the mapping given as config does not set it)",
            ),
        ):
            self.assertIn(
                "\n  How it got there: SQLALCHEMY_DATABASE_URI of %s = postgresql" % origin,
                self.assertRefused(self.case(app=app, config=config, metadata=None)),
            )

    def test_the_first_bind_is_untouched_where_the_second_is_refused(self):
        support.administer(
            "DROP TABLE IF EXISTS kept", "CREATE TABLE kept (id int)", database="core_guard_test"
        )
        library = models.library(binds=True)
        app = models.make_app(
            library.db, self.test_url, {"audit": self.production_url}, TESTING=True
        )
        self.addCleanup(models.dispose, app, library.db)
        self.assertRefused(self.case(app=app, metadata=None))
        self.assertEqual(
            support.administer("SELECT count(*) FROM kept", database="core_guard_test"), [(0,)]
        )

    # --- what is allowed ---

    def test_a_name_on_the_list_is_allowed(self):
        support.postgresql_url("core_listed")

        def test_one(self):
            self.assertIn("author", sa.inspect(self.engine).get_table_names())

        for allowed in (("core_listed",), ["core_listed"], {"other", "core_listed"}, "core_listed"):
            self.assertPasses(
                self.case(
                    support.url_of("core_listed"), allowed_databases=allowed, test_one=test_one
                )
            )

    def test_the_list_holds_exact_names(self):
        for allowed in (
            ("core_prod",),
            ("core_production2",),
            ("CORE_PRODUCTION",),
            ("*",),
            "core",
        ):
            self.assertRefused(self.case(self.production_url, allowed_databases=allowed))

    def test_the_databases_of_the_server_itself_are_refused(self):
        for name in ("postgres", "template1"):
            message = self.message_of(self.case(support.url_of(name)))
            self.assertIn('would clear "%s" at' % name, message)

    def test_a_template_is_refused_though_it_is_on_the_list(self):
        message = self.message_of(
            self.case(support.url_of("template1"), allowed_databases=("template1",))
        )
        self.assertIn(
            "It is a template: whatever happens in it is in every database made later. Nothing was"
            " touched.",
            message,
        )
        self.assertNotIn("To allow", message)

    def test_testing_false_is_refused_though_the_name_is_right(self):
        library = models.library()
        app = models.make_app(library.db, self.test_url)
        self.addCleanup(models.dispose, app, library.db)
        support.administer(
            "DROP TABLE IF EXISTS kept", "CREATE TABLE kept (id int)", database="core_guard_test"
        )
        for config in (None, {"SQLALCHEMY_DATABASE_URI": self.test_url}, {"TESTING": False}):
            message = self.message_of(self.case(app=app, config=config, metadata=None))
            self.assertIn(
                "\n  app.config[\"TESTING\"] is false, so 'webshop' may be serving real users."
                " Nothing"
                " was touched.\n",
                message,
            )
            self.assertTrue(
                message.endswith(
                    '\n  If it is the test app, set app.config["TESTING"] = True (or load a'
                    " config)."
                )
            )
        self.assertEqual(
            support.administer("SELECT count(*) FROM kept", database="core_guard_test"), [(0,)]
        )

    # --- the URL is no witness ---

    def assertLedAstray(self, engine):
        message = self.assertRefused(self.case(engine))
        self.assertIn(
            '\n  The URL says "core_guard_test", the live connection is to "core_production":'
            " arguments of the URL or the engine, listeners, PG* variables or a service file lead"
            " it"
            " there.\n",
            message,
        )

    def test_an_argument_of_the_url_leads_elsewhere(self):
        query = dict(
            sa.engine.url.make_url(self.test_url).query, **{database_argument(): PRODUCTION}
        )
        self.assertLedAstray(self.engine(_compat.url_with(self.test_url, query=query)))

    def test_a_host_argument_leads_to_another_server(self):
        url = sa.engine.url.make_url(self.test_url)
        query = dict(url.query, host=url.host, port=str(url.port or 5432))
        query[database_argument()] = PRODUCTION
        if (url.host or "/").startswith("/"):
            self.skipTest("the test server has a socket only")
        elsewhere = _compat.url_with(url, host="nowhere.invalid", port=1, query=query)
        self.assertLedAstray(self.engine(elsewhere))

    def test_connect_args_lead_elsewhere(self):
        self.assertLedAstray(
            self.engine(self.test_url, connect_args={database_argument(): PRODUCTION})
        )

    def test_a_creator_leads_elsewhere(self):
        other = self.engine(self.production_url)
        dialect, url = other.dialect, other.url
        args, kwargs = dialect.create_connect_args(url)
        self.assertLedAstray(
            self.engine(self.test_url, creator=lambda: dialect.connect(*args, **kwargs))
        )

    def test_a_listener_leads_elsewhere(self):
        engine = self.engine(self.test_url)

        @sa.event.listens_for(engine, "do_connect")
        def lead_elsewhere(dialect, record, args, kwargs):
            kwargs[database_argument()] = PRODUCTION
            return dialect.connect(*args, **kwargs)

        self.assertLedAstray(engine)

    def test_an_environment_variable_leads_elsewhere(self):
        url = _compat.url_with(self.test_url, database="")
        with unittest.mock.patch.dict(os.environ, PGDATABASE=PRODUCTION):
            self.assertRefused(self.case(self.engine(url)))

    def test_a_service_file_leads_elsewhere(self):
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        path = os.path.join(folder, "services")
        with open(path, "w") as file:
            file.write("[shop_test]\ndbname=%s\n" % PRODUCTION)
        url = _compat.url_with(self.test_url, database="")
        query = dict(url.query, service="shop_test")
        with unittest.mock.patch.dict(os.environ, PGSERVICEFILE=path):
            self.assertRefused(self.case(self.engine(_compat.url_with(url, query=query))))
        with unittest.mock.patch.dict(os.environ, PGSERVICEFILE=path, PGSERVICE="shop_test"):
            self.assertRefused(self.case(self.engine(url)))

    def test_a_creator_that_leads_here_and_there_by_turns(self):
        safe, other = self.engine(self.test_url), self.engine(self.production_url)
        calls = []

        def turn_by_turn():
            calls.append(1)
            chosen = safe if len(calls) % 2 else other
            args, kwargs = chosen.dialect.create_connect_args(chosen.url)
            return chosen.dialect.connect(*args, **kwargs)

        message = self.message_of(self.case(self.engine(self.test_url, creator=turn_by_turn)))
        self.assertTrue(message.startswith("UnsafeDatabaseError: "), message)

    # --- checked again ---

    def run_two(self, between, **attributes):
        """Run two tests; what the first does to its class must keep the second from running."""

        def test_a(self):
            between(self)

        def test_b(self):
            raise AssertionError("the second test ran")

        case = self.case(test_one=None, test_a=test_a, test_b=test_b, **attributes)
        result = support.run_case(case)
        ((test, text),) = result.errors + result.failures
        self.assertIn("test_b", str(test))
        self.assertIn("dbtestcase.UnsafeDatabaseError: OrderTest.test_b would clear", text)
        self.assertIn('"%s"' % PRODUCTION, text)
        self.assertIn("write in OrderTest: allowed_databases", text)

    def test_an_engine_that_was_replaced_within_the_class(self):
        library = models.library()
        app = models.make_app(library.db, self.test_url, TESTING=True)
        self.addCleanup(models.dispose, app, library.db)

        def replace(case):
            if hasattr(type(case.db), "engines"):
                self.addCleanup(case.db.engines[None].dispose)
                case.db.engines[None] = self.engine(self.production_url)
            else:
                case.app.config["SQLALCHEMY_DATABASE_URI"] = self.production_url

        self.run_two(replace, app=app, metadata=None)

    def test_an_engine_whose_url_was_replaced_within_the_class(self):
        engine = self.engine(self.test_url)

        def replace(case):
            engine.dispose()
            engine.url = sa.engine.url.make_url(self.production_url)
            args, kwargs = engine.dialect.create_connect_args(engine.url)
            engine.pool._creator = lambda *_: engine.dialect.connect(*args, **kwargs)

        self.run_two(replace, engine=engine)

    def test_an_engine_of_the_test_itself(self):
        def replace(case):
            pass

        class Mixed(DatabaseTestCase):
            metadata = self.models.metadata

            def setUp(inner):
                inner.engine = self.engine(
                    self.production_url if "test_b" in inner.id() else self.test_url
                )
                super().setUp()

            def test_a(self):
                pass

            def test_b(self):
                raise AssertionError("the second test ran")

        result = support.run_case(Mixed)
        ((_, text),) = result.errors + result.failures
        self.assertIn("UnsafeDatabaseError: Mixed.test_b would clear", text)

    # --- passwords ---

    def test_no_password_in_any_message_log_or_repr(self):
        secret = "hunter-2-secret"
        url = _compat.url_with(self.production_url, password=secret)
        texts = []
        handler = logging.Handler()
        handler.emit = lambda record: texts.append(record.getMessage())
        logging.getLogger().addHandler(handler)
        self.addCleanup(logging.getLogger().removeHandler, handler)
        with_argument = _compat.url_with(
            self.production_url,
            query=dict(sa.engine.url.make_url(self.production_url).query, password=secret),
        )
        for given in (_compat.url_text(url), _compat.url_text(with_argument)):
            self.assertIn(secret, given)
            result = support.run_case(self.case(given))
            texts += [text for _, text in result.errors]
        closed = _compat.url_text(_compat.url_with(url, host="127.0.0.1", port=closed_port()))
        texts += [text for _, text in support.run_case(self.case(closed)).errors]
        good = self.case(_compat.url_text(_compat.url_with(self.test_url, password=secret)))
        good.test_one = lambda case: None
        self.assertPasses(good)
        texts += [repr(each) for each in safeguard._databases.values()]
        self.assertGreater(len(texts), 3)
        self.assertEqual([text for text in texts if secret in text], [])

    # --- servers that are not there ---

    def test_a_server_that_is_not_there_is_an_error_in_a_few_seconds(self):
        began = time.monotonic()
        port = closed_port()
        url = "postgresql+%s://app:secret@127.0.0.1:%d/app_test" % (driver(), port)
        message = self.message_of(self.case(url))
        self.assertLess(time.monotonic() - began, 5)
        self.assertTrue(
            message.startswith(
                "ServerError: OrderTest: no connection to"
                " postgresql+%s://app:***@127.0.0.1:%d/app_test: " % (driver(), port)
            ),
            message,
        )
        self.assertTrue(
            message.endswith(
                "\n  It is where the engine of the class leads. Nothing was touched.\n"
                "  Is the server running, and does the database exist? To have one started for the"
                " tests alone: dbtestcase.temporary_postgresql()."
            ),
            message,
        )

    def test_a_server_that_never_answers_is_an_error_in_a_few_seconds(self):
        deaf = socket.socket()
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(1)
        self.addCleanup(deaf.close)
        began = time.monotonic()
        port = deaf.getsockname()[1]
        message = self.message_of(
            self.case("postgresql+%s://app@127.0.0.1:%d/app_test" % (driver(), port))
        )
        self.assertLess(time.monotonic() - began, 9)
        self.assertTrue(message.startswith("ServerError: "), message)

    def test_a_role_that_is_not_let_in_is_an_error(self):
        url = _compat.url_with(self.test_url, username="core_no_such_role", password="secret")
        message = self.message_of(self.case(_compat.url_text(url)))
        self.assertTrue(message.startswith("ServerError: "), message)
        self.assertIn("core_no_such_role", message)


def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def database_argument():
    """Return what SQLAlchemy calls the database towards the driver: a second name is an error."""
    engine = sa.create_engine(support.url_of("x"))
    _, arguments = engine.dialect.create_connect_args(engine.url)
    return "dbname" if "dbname" in arguments else "database"


def driver():
    return sa.create_engine(support.server_url()).dialect.driver


if __name__ == "__main__":
    unittest.main()
