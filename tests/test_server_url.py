"""The server that the environment variable names."""

from __future__ import annotations

import os
import socket
import time

from sqlalchemy.engine.url import make_url

from dbtestcase.errors import ConfigurationError, ServerError
from dbtestcase.server.temporary import temporary_postgresql
from tests.servers import (
    START,
    VARIABLE,
    PrivateCase,
    rows,
)


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
