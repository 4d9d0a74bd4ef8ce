from __future__ import annotations

import threading
import unittest
from unittest import mock

import sqlalchemy as sa

from dbtestcase import BlockedDatabaseError, DatabaseTestCase, _compat, events
from dbtestcase.databases import claims
from dbtestcase.dialects.postgresql import PostgreSQL
from dbtestcase.dialects.postgresql.claims import claiming
from dbtestcase.dialects.postgresql.sessions import LOCK
from tests import models, support
from tests.claiming import Claims, database_of, drop_all_of, said
from tests.dropping import run


class SiblingsTest(Claims):
    database = "claims_app_test"

    def setUp(self):
        drop_all_of(self.database)
        self.url = support.postgresql_url(self.database)

    def test_a_run_has_the_configured_database_where_no_other_run_has_it(self):
        self.assertPasses(self.case(self.url))
        self.assertEqual(self.seen, [(self.database, self.database)])

    def test_a_second_run_creates_a_sibling_and_says_so(self):
        with self.another_run(self.database), said() as words:
            self.assertPasses(self.case(self.url))
        self.assertEqual(self.seen, [("claims_app_test_2", "claims_app_test_2")])
        self.assertIn(
            'dbtestcase: another run has the database "claims_app_test"; this one creates its'
            ' sibling "claims_app_test_2"\n',
            words.getvalue(),
        )

    def test_the_siblings_that_other_runs_have_are_passed_over(self):
        support.postgresql_url("claims_app_test_2")
        with self.another_run(self.database), self.another_run("claims_app_test_2"), said():
            self.assertPasses(self.case(self.url))
        self.assertEqual(self.seen[0][0], "claims_app_test_3")

    def test_a_sibling_that_a_dead_run_left_is_taken_and_cleared(self):
        sibling = support.postgresql_url("claims_app_test_2")
        support.administer("CREATE TABLE author (stale int)", database="claims_app_test_2")
        with self.another_run(self.database), said() as words:
            self.assertPasses(self.case(self.url))
        self.assertEqual(self.seen[0][0], "claims_app_test_2")
        self.assertIn('this one takes its sibling "claims_app_test_2"', words.getvalue())
        self.assertEqual(sa.engine.url.make_url(sibling).database, "claims_app_test_2")

    def test_a_run_keeps_its_sibling_from_class_to_class(self):
        with said() as words:
            with self.another_run(self.database):
                self.assertPasses(self.case(self.url))
            first = self.seen
            self.assertPasses(self.case(self.url))
        self.assertEqual(first + self.seen, [("claims_app_test_2",) * 2] * 2)
        self.assertEqual(words.getvalue().count("sibling"), 1)

    def test_an_engine_says_what_it_did_and_leads_to_the_sibling_when_its_class_is_over(self):
        engine = sa.create_engine(self.url)
        self.addCleanup(engine.dispose)
        with self.another_run(self.database), said():
            self.assertPasses(self.case(engine))
            self.assertEqual(self.seen[0][0], "claims_app_test_2")
            with engine.connect() as connection:  # not among the rows of the other run
                self.assertEqual(database_of(connection), "claims_app_test_2")
        self.assertEqual(
            _compat.url_text(engine.url), _compat.url_text(sa.create_engine(self.url).url)
        )

    def test_the_engines_of_an_app_follow_and_its_config_comes_back(self):
        shop = models.library()
        app = models.make_app(shop.db, self.url)
        self.addCleanup(models.dispose, app, shop.db)
        seen = []

        class ShopTest(DatabaseTestCase):
            def test_one(self):
                seen.append(database_of(self.db.session))

        ShopTest.app, ShopTest.config = app, models.testing(self.url)
        before = dict(app.config)
        with self.another_run(self.database), said():
            self.assertPasses(ShopTest)
        self.assertEqual(seen, ["claims_app_test_2"])
        self.assertEqual(dict(app.config), before)
        with app.app_context():
            self.assertEqual(database_of(shop.db.session), "claims_app_test_2")
            shop.db.session.remove()

    def test_every_bind_finds_a_database_of_its_own(self):
        audit = support.postgresql_url("claims_audit_test")
        self.addCleanup(drop_all_of, "claims_audit_test")
        shop = models.library(binds=True)
        app = models.make_app(shop.db, self.url, {"audit": audit})
        self.addCleanup(models.dispose, app, shop.db)
        seen = []

        class ShopTest(DatabaseTestCase):
            def test_one(self):
                self.db.session.add_all([shop.Author(name="a"), shop.Visit(page="/")])
                self.db.session.commit()
                engines = _compat.live_engines(self.db, self.app)
                for key in (None, "audit"):
                    with engines[key].connect() as connection:
                        seen.append(database_of(connection))

        ShopTest.app, ShopTest.config = app, models.testing(self.url, {"audit": audit})
        with self.another_run("claims_audit_test"), said():
            self.assertPasses(ShopTest)
        self.assertEqual(seen, [self.database, "claims_audit_test_2"])

    def test_two_engines_on_one_database_go_to_the_same_sibling(self):
        shop = models.library(binds=True)
        app = models.make_app(shop.db, self.url, {"audit": self.url})
        self.addCleanup(models.dispose, app, shop.db)
        seen = []

        class ShopTest(DatabaseTestCase):
            def test_one(self):
                for engine in _compat.live_engines(self.db, self.app).values():
                    with engine.connect() as connection:
                        seen.append(database_of(connection))

        ShopTest.app, ShopTest.config = app, models.testing(self.url, {"audit": self.url})
        with self.another_run(self.database), said():
            self.assertPasses(ShopTest)
        self.assertEqual(seen, ["claims_app_test_2"] * 2)

    def test_a_new_sibling_has_the_settings_locale_and_extensions_of_its_base(self):
        support.administer("DROP DATABASE claims_app_test WITH (FORCE)")
        support.administer(
            "CREATE DATABASE claims_app_test TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'",
            "ALTER DATABASE claims_app_test SET timezone TO 'Asia/Tokyo'",
        )
        support.administer("CREATE EXTENSION citext", database=self.database)
        with self.another_run(self.database), said():
            self.assertPasses(self.case(self.url))
        self.assertEqual(
            support.administer(
                "SELECT datcollate, current_setting('timezone'),"
                " EXISTS (SELECT FROM pg_extension WHERE extname = 'citext')"
                " FROM pg_database WHERE datname = current_database()",
                database="claims_app_test_2",
            ),
            [("C", "Asia/Tokyo", True)],
        )


class NoSiblingsTest(Claims):
    database = "claims_alone_test"

    def message(self, url, pid, reason, name=None):
        message = self.message_of(
            self.case(url) if isinstance(url, (str, sa.engine.Engine)) else url
        )
        first, holder, third, *rest = message.splitlines()
        self.assertEqual(
            first,
            'BlockedDatabaseError: AuthorTest: another run has the database "%s", and did not end'
            " within 1.0 s." % (name or self.database),
        )
        self.assertRegex(holder, r'^  pid %d ".*" from .*$' % pid)
        self.assertEqual(
            third,
            "  In one database, two runs would clear each other's rows; and this one can take no"
            " sibling of it:",
        )
        self.assertEqual("\n".join(line.strip() for line in rest), reason)

    def test_a_role_that_may_not_create_databases_waits_and_names_the_holder(self):
        url = support.postgresql_url(self.database, owner="owner_only")
        with self.another_run(self.database) as pid:
            self.message(
                url,
                pid,
                "its role may not create databases.\n"
                "Wait for that run to end, or end it; or let the role: ALTER ROLE ... CREATEDB.",
            )

    def test_what_only_allowed_databases_allows_has_no_siblings(self):
        url = support.postgresql_url("claims_plain")
        self.addCleanup(drop_all_of, "claims_plain")
        with self.another_run("claims_plain") as pid:
            self.message(
                self.case(url, allowed_databases=("claims_plain",)),
                pid,
                "only allowed_databases says that it is for tests, which the name of a sibling"
                " would not say.\n"
                "Wait for that run to end, or end it; or give the database a name with the word"
                " test.",
                name="claims_plain",
            )
        self.assertEqual(
            support.administer("SELECT datname FROM pg_database WHERE datname = 'claims_plain_2'"),
            [],
        )

    def test_an_engine_with_a_creator_cannot_be_led_elsewhere(self):
        url = support.postgresql_url(self.database)
        usual = sa.create_engine(url)
        arguments, options = usual.dialect.create_connect_args(usual.url)
        engine = sa.create_engine(url, creator=lambda: usual.dialect.connect(*arguments, **options))
        self.addCleanup(engine.dispose)
        with self.another_run(self.database) as pid:
            self.message(
                engine,
                pid,
                "a creator or a listener makes the connections of the engine, so they cannot be led"
                " elsewhere.\n"
                "Wait for that run to end, or end it; or give the engine a URL in place of the"
                " creator.",
            )

    def test_a_name_without_room_for_a_number_has_no_siblings(self):
        name = "claims_test_" + "x" * 51
        url = support.postgresql_url(name)
        self.addCleanup(drop_all_of, name)
        with self.another_run(name) as pid:
            self.message(
                url,
                pid,
                "its name is so long that it leaves no room for a number.\n"
                "Wait for that run to end, or end it; or give the database a shorter name.",
                name=name,
            )

    def test_a_database_that_becomes_free_within_the_bound_is_taken(self):
        url = support.postgresql_url(self.database, owner="owner_only")
        with self.another_run(self.database) as pid:
            ended = []

            class PatientTest(self.case(url, lock_timeout=20.0)):
                @classmethod
                def setUpClass(cls):
                    ended.append(support.administer(END_SOON % pid))
                    super().setUpClass()

            self.assertPasses(PatientTest)
        self.assertEqual(self.seen[0][0], self.database)


class RollbackTest(Claims):
    database = "claims_rollback_test"

    def test_the_database_stays_claimed_when_somebody_commits_elsewhere(self):
        taken = []

        class BusyTest(self.case(self.url, reset="rollback")):
            def setUp(case):
                super().setUp()
                taken.extend(run(self.url, "SELECT pg_try_advisory_lock%s" % LOCK))

            def tearDown(case):
                run(support.server_url(), "SELECT pg_current_xact_id()")
                super().tearDown()

            def test_two(case):
                case.test_one()

        self.assertPasses(BusyTest)
        self.assertEqual(taken, [(False,), (False,)])


class StepsTest(Claims):
    """What a claim does that no run of a test shows."""

    database = "claims_step_test"

    def setUp(self):
        drop_all_of(self.database)
        self.url = support.postgresql_url(self.database)

    def connected(self, kind=PostgreSQL, url=None):
        engine = sa.create_engine(url or self.url, poolclass=sa.pool.NullPool)
        database = kind(engine, kind.identify(engine), 0.2)
        database.engine = engine
        self.addCleanup(database.close)
        return database

    def claim(self, database):
        name = database.identity.name
        taken = claims.claim(database, database.engine, "AuthorTest", name)
        self.addCleanup(taken.close)
        return taken

    def test_no_connection_stays_to_what_others_have(self):
        made = []

        class Noting(PostgreSQL):
            def sibling(database, *arguments):
                made.append(super().sibling(*arguments))
                return made[-1]

        support.postgresql_url(self.database + "_2")
        first = self.connected(Noting)
        with self.another_run(self.database), self.another_run(self.database + "_2"), said():
            taken = self.claim(first)
        self.assertEqual(taken.identity.name, "claims_step_test_3")
        self.assertEqual([each.alive for each in [first] + made], [False, False, True])

    def test_no_connection_stays_where_nothing_could_be_taken(self):
        database = self.connected(url=support.postgresql_url("claims_plain"))
        self.addCleanup(drop_all_of, "claims_plain")
        with self.another_run("claims_plain"), self.assertRaises(BlockedDatabaseError):
            self.claim(database)
        self.assertFalse(database.alive)

    def test_only_what_was_dropped_meanwhile_is_tried_again(self):
        tried = []

        class Broken(PostgreSQL):
            def sibling(database, engine, name, created):
                tried.append(name)
                raise ValueError("no")

        with self.another_run(self.database), self.assertRaisesRegex(ValueError, "^no$"):
            self.claim(self.connected(Broken))
        self.assertEqual(tried, ["claims_step_test_2"])

    def test_there_is_an_end_to_the_siblings(self):
        support.postgresql_url(self.database + "_2")
        with mock.patch.object(claims, "_MAXIMUM", 1), self.another_run(self.database):
            with self.another_run(self.database + "_2"):
                with self.assertRaisesRegex(
                    BlockedDatabaseError, "all 1000 are taken.\n.* end one"
                ):
                    self.claim(self.connected())

    def test_a_holder_that_has_just_ended_is_said_to_have(self):
        class Vanished(PostgreSQL):
            claim = lambda database, copier=0: False  # noqa: E731

        with self.assertRaisesRegex(BlockedDatabaseError, "It ended this very moment: try again"):
            claims.wait_for(self.connected(Vanished), "AuthorTest", "no reason")

    def test_the_report_is_told_what_is_said(self):
        with mock.patch.object(events, "note") as notice, said():
            events.say("a sentence")
        notice.assert_called_once_with(events.NOTICE, text="a sentence")

    def test_a_run_that_copies_its_database_is_named_as_the_one_that_has_it(self):
        first, second = self.connected(), self.connected()
        oid = first.identity.key[-1]
        with claiming.copying(first.control, oid):
            self.assertFalse(second.claim())
            self.assertIn("pid %d " % first.control.pid, second.holder())
            self.assertTrue(second.claim(first.control.pid))
        self.assertTrue(second.claim())

    def test_who_has_another_database_is_not_named(self):
        first = self.connected()
        with self.another_run("postgres"):
            self.assertIsNone(first.holder())
            with self.another_run(self.database) as pid:
                self.assertIn("pid %d " % pid, first.holder())

    def test_a_claim_that_fails_for_a_copy_leaves_the_database_to_others(self):
        copier, late, third = self.connected(), self.connected(), self.connected()
        with claiming.copying(copier.control, copier.identity.key[-1]):
            self.assertFalse(late.claim())
        self.assertTrue(third.claim())

    def test_what_a_run_gives_back_is_free_at_once(self):
        second = self.connected()
        for _ in range(30):
            first = self.connected()
            self.assertTrue(first.claim())
            first.close()
            self.assertTrue(second.claim())
            second.control.execute("SELECT pg_advisory_unlock_all()")

    def test_an_engine_is_led_where_it_was_sent_last_until_that_is_taken_back(self):
        support.postgresql_url(self.database + "_2")
        engine = sa.create_engine(self.url, poolclass=sa.pool.NullPool)
        before = list(engine.dialect.dispatch.do_connect)
        back = claiming.lead_to(engine, "postgres")
        further_back = claiming.lead_to(engine, self.database + "_2")
        self.assertEqual(self.led(engine), "claims_step_test_2")
        further_back()
        self.assertEqual(self.led(engine), "postgres")
        self.assertTrue(claiming.can_lead(engine))
        back()
        self.assertEqual(self.led(engine), self.database)
        self.assertEqual(list(engine.dialect.dispatch.do_connect), before)
        self.assertTrue(claiming.can_lead(engine))

    def test_threads_are_led_apart(self):
        engine = sa.create_engine(self.url, poolclass=sa.pool.NullPool)
        found = []
        with claiming.leading_to(engine, "postgres"):
            thread = threading.Thread(target=lambda: found.append(self.led(engine)))
            thread.start()
            thread.join()
            found.append(self.led(engine))
        self.assertEqual(found, [self.database, "postgres"])

    def test_who_connects_while_an_engine_is_asked_is_not_disturbed(self):
        engine = sa.create_engine(self.url, poolclass=sa.pool.NullPool)
        found, new_connection = [], _compat.new_connection

        def with_another(asked):
            thread = threading.Thread(target=lambda: found.append(self.led(engine)))
            thread.start()
            thread.join()
            return new_connection(asked)

        with mock.patch.object(_compat, "new_connection", with_another):
            self.assertTrue(claiming.can_lead(engine))
        self.assertEqual(found, [self.database])

    def led(self, engine):
        with engine.connect() as connection:
            return database_of(connection)

    def test_oids_beyond_a_signed_number_can_be_locked(self):
        database = self.connected()
        with claiming.copying(database.control, 4000000000):
            self.assertEqual(
                database.control.execute(
                    "SELECT objid::text FROM pg_locks WHERE locktype = 'advisory'"
                    " AND classid = %d" % claiming.COPYING
                ),
                [("4000000000",)],
            )


# In half a second, by a session of its own: the statement returns at once.
END_SOON = """
DO $$ BEGIN
    CREATE EXTENSION IF NOT EXISTS dblink;
    PERFORM dblink_connect('later', 'host='
        || coalesce(host(inet_server_addr()), current_setting('unix_socket_directories'))
        || ' port=' || current_setting('port') || ' user=' || current_user || ' dbname=postgres');
    PERFORM dblink_send_query('later', 'SELECT pg_sleep(0.5), pg_terminate_backend(%d)');
END $$
"""


class MissingDatabaseTest(Claims):
    database = "claims_new_test"

    def setUp(self):
        drop_all_of(self.database)

    def test_a_configured_database_that_is_missing_is_created_and_said_once(self):
        case = self.case(self.url)
        with said() as words:
            self.assertPasses(case)
            self.assertPasses(case)
        self.assertEqual(self.seen, [(self.database, self.database)] * 2)
        self.assertEqual(
            words.getvalue().count(
                'dbtestcase: created the database "claims_new_test", which was not there yet\n'
            ),
            1,
        )

    def test_a_role_that_may_not_create_it_is_told_what_to_do(self):
        support.ensure_role("owner_only")
        url = support.url_of(self.database, username="owner_only")
        self.assertEqual(
            self.message_of(self.case(url)),
            'ServerError: the database "claims_new_test" does not exist, and the role "owner_only"'
            " may not create it. Nothing was touched.\n"
            '  Let a role that may run: CREATE DATABASE "claims_new_test" OWNER "owner_only"\n'
            '  or allow it to, once for all: ALTER ROLE "owner_only" CREATEDB',
        )

    def test_a_missing_database_that_is_not_for_tests_is_not_created(self):
        message = self.message_of(self.case(support.url_of("claims_nothing")))
        self.assertIn('database "claims_nothing" does not exist', message)
        self.assertEqual(
            support.administer("SELECT datname FROM pg_database WHERE datname = 'claims_nothing'"),
            [],
        )


if __name__ == "__main__":
    unittest.main()
