"""Sessions follow the engine of the class; the other database is looked at from outside."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib.util
import threading
import unittest

import sqlalchemy as sa
import sqlalchemy.orm

from dbtestcase import ConfigurationError, DatabaseTestCase, _compat
from tests import models, support

DEVELOPMENT = "core_following"
HAS_ASYNC = hasattr(sa.orm.Session, "get_one") and importlib.util.find_spec("psycopg")
MAKERS = (
    sa.orm.sessionmaker,
    lambda **options: sa.orm.scoped_session(sa.orm.sessionmaker(**options)),
)


class FollowingContract(support.Outcomes):
    """One row is in the development database, and stays the only one."""

    reset = "recreate"

    @classmethod
    def setUpClass(cls):
        cls.test_url = support.postgresql_url("core_following_test")
        cls.development_url = support.postgresql_url(DEVELOPMENT)

    def setUp(self):
        support.administer("DROP TABLE IF EXISTS book, author", database=DEVELOPMENT)
        self.models = models.plain_library()
        self.dev = self.engine(self.development_url)
        self.models.metadata.create_all(self.dev)
        support.administer("INSERT INTO author (name) VALUES ('customer')", database=DEVELOPMENT)
        self.before = self.look()
        self.addCleanup(self.assertUntouched)

    def engine(self, url, **options):
        engine = sa.create_engine(url, **options)
        self.addCleanup(engine.dispose)
        return engine

    def look(self):
        return support.administer(
            "SELECT xmin, ctid, a.*, (SELECT last_value FROM author_id_seq) FROM author a",
            database=DEVELOPMENT,
        )

    def assertUntouched(self):
        self.assertEqual(self.look(), self.before)

    def case(self, save, session=None, **attributes):
        Author = self.models.Author

        def test_one(self):
            save(Author(name="a"))
            self.assertEqual(self.rows(), ["a"])

        def rows(self):
            with contextlib.closing(sa.orm.Session(bind=self.engine)) as looking:
                return [name for name, in looking.query(Author.name)]

        engine = self.engine(self.test_url)
        attributes = dict(
            {"engine": engine, "metadata": self.models.Base, "reset": self.reset}, **attributes
        )
        if session is not None:
            attributes["session"] = session
        attributes.update(test_one=test_one, test_two=test_one, rows=rows)
        return type("OrderTest", (DatabaseTestCase,), attributes)

    def assertFollows(self, made, session=None, **attributes):
        """Run a class whose code under test saves with a session, scoped session or maker."""

        def save(author):
            used = made if hasattr(made, "add") else made()
            used.add(author)
            used.commit()
            if not hasattr(made, "remove"):
                used.close()

        self.assertPasses(self.case(save, session, **attributes))
        self.assertUntouched()


class NamedSessionTest(FollowingContract):
    def test_a_sessionmaker_and_a_scoped_session_are_bound_for_the_class(self):
        for make in MAKERS:
            made = make(bind=self.dev)
            self.assertFollows(made, made)
            options = getattr(made, "session_factory", made).kw
            self.assertIs(options["bind"], self.dev)

    def test_the_assertions_ask_the_same_database_as_the_code_under_test(self):
        made, Author = MAKERS[1](bind=self.dev), self.models.Author

        class Case(DatabaseTestCase):
            engine, metadata, session = self.test_url, self.models.Base, made

            def test_one(self):
                self.assertRowCount(Author, 0)
                made.add(Author(name="a"))
                made.commit()
                self.assertRowExists(Author, name="a")
                database = made.execute(sa.text("SELECT current_database()")).scalar()
                assert database == "core_following_test", database
                assert made.connection().engine is self.engine
                assert made.get_bind() is made().bind is self.engine

        self.assertPasses(Case)

    def test_binds_of_a_base_a_class_a_mapper_and_a_table(self):
        Base, Author = self.models.Base, self.models.Author
        for key in (Base, Author, Author.__mapper__, Author.__table__):
            for make in MAKERS:
                binds = {key: self.dev}
                made = make(binds=binds)
                self.assertFollows(made, made)
                self.assertIs(getattr(made, "session_factory", made).kw["binds"], binds)
                self.assertEqual(binds, {key: self.dev})

    def test_binds_of_which_one_leads_elsewhere(self):
        ours = self.engine(self.test_url)
        binds = {self.models.Book: ours, self.models.Author: self.dev}
        made = MAKERS[1](bind=ours, binds=binds)
        self.assertFollows(made, made, engine=ours)

    def test_binds_of_the_tables_of_others_are_let_be(self):
        others = models.plain_library()
        another = self.engine(self.development_url)
        made = MAKERS[0](binds={self.models.Base: self.dev, others.Base: another})
        found = []

        def save(author):
            with contextlib.closing(made()) as session:
                session.add(author)
                session.commit()
                found.append(session.get_bind(others.Author.__mapper__))

        self.assertPasses(self.case(save, made))
        self.assertEqual(set(found), {another})

    def test_a_class_of_sessions_that_finds_its_engine_itself(self):
        dev = self.dev

        class Routing(sa.orm.Session):
            def get_bind(self, *arguments, **options):
                return dev

        for make in MAKERS:
            made = make(class_=Routing)
            self.assertFollows(made, made)
            with contextlib.closing(made()) as session:
                self.assertIs(session.get_bind(), dev)
            getattr(made, "remove", lambda: None)()

    def test_a_session_that_has_begun_before_the_class(self):
        made, Author = MAKERS[1](bind=self.dev), self.models.Author
        customer = made.query(Author).one()
        made.add(Author(name="pending"))
        made.execute(sa.text("INSERT INTO author (name) VALUES ('begun')"))
        self.before = self.look()  # a sequence has no transactions
        self.assertFollows(made, made)
        self.assertNotIn(customer, made)
        self.assertEqual([name for name, in made.query(Author.name)], ["customer"])
        made.remove()

    def test_a_session_of_another_thread_that_is_kept_in_its_registry(self):
        made, Author = MAKERS[1](bind=self.dev), self.models.Author
        turns = [threading.Event() for _ in range(2)]

        def work():
            made.add(Author(name="pending"))
            turns[0].set()
            turns[1].wait(20)
            made.commit()
            made.remove()

        worker = threading.Thread(target=work)
        worker.start()
        turns[0].wait(20)
        self.assertFollows(made, made)
        turns[1].set()
        worker.join()

    def test_a_session_itself(self):
        session = sa.orm.Session(bind=self.dev)
        session.add(self.models.Author(name="pending"))
        self.assertFollows(session, session)
        self.assertIs(session.bind, self.dev)

    def test_a_connection(self):
        with contextlib.closing(self.dev.connect()) as connection:
            for make in MAKERS:
                made = make(bind=connection)
                self.assertFollows(made, made)

    def test_the_options_of_its_engine_are_kept(self):
        engine = self.dev.execution_options(schema_translate_map={"shop": "public"})
        made, found = MAKERS[0](bind=engine), []

        def save(author):
            with contextlib.closing(made()) as session:
                session.add(author)
                session.commit()
                found.append(session.get_bind().get_execution_options())

        self.assertPasses(self.case(save, made))
        self.assertEqual(found[0]["schema_translate_map"], {"shop": "public"})

    def test_factories_that_are_no_sessionmakers(self):
        made = functools.partial(sa.orm.Session, bind=self.dev)
        scoped = sa.orm.scoped_session(made)
        self.assertFollows(scoped, scoped)
        self.assertFollows(made, made)
        self.assertFollows(made, staticmethod(lambda: made()))

    def test_what_the_factory_of_a_scoped_session_asks_without_any_table(self):
        scoped, found = sa.orm.scoped_session(lambda: sa.orm.Session(bind=self.dev)), []

        def save(author):
            found.append(scoped.execute(sa.text("SELECT current_database()")).scalar())
            scoped.add(author)
            scoped.commit()

        self.assertPasses(self.case(save, scoped))
        self.assertEqual(set(found), {"core_following_test"})

    def test_configured_anew_while_the_class_runs(self):
        made = MAKERS[0]()

        def save(author):
            made.configure(bind=self.dev)
            with contextlib.closing(made()) as session:
                session.add(author)
                session.commit()

        self.assertPasses(self.case(save, made))

    def test_a_set_up_that_fails_puts_back_as_well(self):
        made = MAKERS[0](bind=self.dev)
        result = support.run_case(self.case(print, made, engine=self.development_url))
        self.assertEqual(len(result.errors), 1)
        self.assertIs(made.kw["bind"], self.dev)

    def test_sessions_made_while_the_class_runs_are_bound_as_before_when_it_is_over(self):
        made, Author = MAKERS[0](bind=self.dev), self.models.Author
        kept = []

        def save(author):
            if not kept:
                kept.append(made())
            kept[0].add(author)
            kept[0].commit()
            kept[0].add(Author(name="never to be written"))

        self.assertPasses(self.case(save, made), "test_one")
        kept[0].commit()
        self.assertEqual([name for name, in kept[0].query(Author.name)], ["customer"])
        kept[0].close()


class NamedSessionInRollbackTest(NamedSessionTest):
    reset = "rollback"


class OtherSessionTest(FollowingContract):
    """The class names no session; the code under test has one of its own."""

    def test_sessionmakers_scoped_sessions_and_plain_sessions(self):
        for make in MAKERS:
            self.assertFollows(make(bind=self.dev))
        self.assertFollows(lambda: sa.orm.Session(bind=self.dev))
        self.assertFollows(sa.orm.scoped_session(lambda: sa.orm.Session(bind=self.dev)))

    def test_binds(self):
        Base, Author = self.models.Base, self.models.Author
        for key in (Base, Author, Author.__mapper__, Author.__table__):
            self.assertFollows(MAKERS[1](binds={key: self.dev}))

    def test_a_session_that_is_bound_for_a_class_later(self):
        Author, ours = self.models.Author, self.engine(self.test_url)

        def save(author):
            with contextlib.closing(sa.orm.Session(bind=ours)) as session:
                session.bind_mapper(Author, self.dev)
                session.add(author)
                session.commit()

        self.assertPasses(self.case(save, engine=ours))

    def test_a_class_of_sessions_that_finds_its_engine_itself(self):
        dev = self.dev

        class Routing(sa.orm.Session):
            def get_bind(self, *arguments, **options):
                return dev

        self.assertFollows(MAKERS[1](class_=Routing))

    def test_statements_without_objects(self):
        Author, made = self.models.Author, MAKERS[1](bind=self.dev)
        for statement in (
            lambda: Author.__table__.insert().values(name="a"),
            lambda: sa.text("INSERT INTO author (name) VALUES ('a')"),
        ):

            def save(author, statement=statement):
                made.execute(statement())
                made.commit()

            self.assertPasses(self.case(save))
            made.remove()

    def test_what_it_asks_once_it_follows_is_asked_there_too(self):
        made, found = MAKERS[1](bind=self.dev), []

        def save(author):
            made.add(author)
            made.flush()
            found.append(made.execute(sa.text("SELECT current_database()")).scalar())
            made.commit()

        self.assertPasses(self.case(save))
        self.assertEqual(set(found), {"core_following_test"})

    def test_a_session_that_has_begun_before_the_class(self):
        Author = self.models.Author
        for begin in (
            lambda session: session.query(Author).one(),
            lambda session: session.add(Author(name="pending")),
            lambda session: (session.add(Author(name="flushed")), session.flush()),
            lambda session: session.execute(sa.text("INSERT INTO author (name) VALUES ('b')")),
        ):
            made = MAKERS[1](bind=self.dev)
            kept = begin(made)  # noqa: F841
            self.before = self.look()  # a sequence has no transactions
            self.assertFollows(made)
            made.remove()

    def test_what_is_pending_when_a_test_or_the_class_is_over_is_never_written(self):
        made, Author = MAKERS[1](bind=self.dev), self.models.Author

        def save(author):
            made.add(author)
            made.commit()
            made.add(Author(name="never to be written"))

        self.assertPasses(self.case(save))
        made.commit()
        self.assertEqual([name for name, in made.query(Author.name)], ["customer"])
        made.remove()

    def test_it_leads_where_it_did_when_the_class_is_over(self):
        made = MAKERS[1](bind=self.dev)
        self.assertFollows(made)
        database = made.execute(sa.text("SELECT current_database()")).scalar()
        self.assertEqual(database, DEVELOPMENT)
        self.assertNotIn("get_bind", vars(made()))
        made.remove()

    def test_a_url_that_says_test_is_no_witness(self):
        from_url = _compat.url_with(self.development_url, database="core_following_test")
        arguments, options = self.dev.dialect.create_connect_args(self.dev.url)
        engine = self.engine(
            from_url, creator=lambda: self.dev.dialect.connect(*arguments, **options)
        )
        self.assertFollows(MAKERS[1](bind=engine))

    def test_a_session_on_another_database_for_tests_is_let_be(self):
        second = self.engine(support.postgresql_url("core_following_second_test"))
        self.models.metadata.create_all(second)
        made = MAKERS[1](bind=second)
        Author = self.models.Author

        class Case(DatabaseTestCase):
            engine, metadata = self.test_url, self.models.Base

            def test_one(self):
                made.add(Author(name="a"))
                made.commit()
                self.assertRowCount(Author, 0)
                assert made.query(Author).count() == 1

        self.assertPasses(Case)
        made.remove()

    def test_allowed_databases_names_one_that_is_let_be(self):
        made, found = MAKERS[1](bind=self.dev), []

        def test_one(self):
            found.extend(name for name, in made.query(Author.name))
            made.remove()

        Author = self.models.Author
        attributes = dict(engine=self.test_url, metadata=self.models.Base, test_one=test_one)
        attributes["allowed_databases"] = (DEVELOPMENT,)
        self.assertPasses(type("OrderTest", (DatabaseTestCase,), attributes))
        self.assertEqual(found, ["customer"])

    def test_a_session_for_other_tables_is_let_be(self):
        others, found = models.plain_library(), []
        made = MAKERS[1](bind=self.dev)

        def save(author):
            found.extend(name for name, in made.query(others.Author.name))
            made.remove()
            with contextlib.closing(sa.orm.Session(bind=self.dev)) as session:
                session.add(author)
                session.commit()

        self.assertPasses(self.case(save), "test_one")
        self.assertEqual(found, ["customer"])

    def test_a_session_that_leads_right_is_not_looked_at(self):
        ours, found = self.engine(self.test_url), []
        made = MAKERS[1](bind=ours)

        def save(author):
            made.add(author)
            made.commit()
            found.append("get_bind" in vars(made()))

        self.assertPasses(self.case(save, engine=ours))
        self.assertEqual(set(found), {False})
        made.remove()

    @unittest.skipIf(not hasattr(sa.MetaData(), "_bind"), "a MetaData has no engine")
    def test_the_engine_of_the_metadata(self):
        Author, metadata = self.models.Author, self.models.metadata
        metadata.bind = self.dev
        made = MAKERS[1]()
        self.assertFollows(made)
        self.assertFollows(made, made)
        self.assertPasses(
            self.case(lambda author: Author.__table__.insert().values(name="a").execute())
        )
        self.assertIs(metadata.bind, self.dev)


class FlaskSessionTest(support.Outcomes):
    def setUp(self):
        self.library = models.library(binds=True)
        names = ("core_flask_dev", "core_flask_dev_audit", "core_flask_test", "core_audit_test")
        urls = [support.postgresql_url(name) for name in names]
        make = functools.partial(models.make_app, self.library.db)
        self.dev = make(urls[0], {"audit": urls[1]})
        self.app = make(urls[2], {"audit": urls[3]}, TESTING=True)
        for app in (self.dev, self.app):
            self.addCleanup(models.dispose, app, self.library.db)
        with self.dev.app_context():
            self.library.db.create_all()

    def assertUntouched(self):
        for table, database in (("author", "core_flask_dev"), ("visit", "core_flask_dev_audit")):
            rows = support.administer("SELECT * FROM " + table, database=database)
            self.assertEqual(rows, [])

    def assertFollows(self, save, **attributes):
        Author, Visit = self.library.Author, self.library.Visit

        def test_one(self):
            save()
            self.assertRowCount(Author, 1)
            self.assertRowCount(Visit, 1)

        for reset in ("recreate", "rollback"):
            attributes.update(app=self.app, reset=reset, test_one=test_one, test_two=test_one)
            self.assertPasses(type("OrderTest", (DatabaseTestCase,), attributes))
            self.assertUntouched()

    def test_the_session_of_another_application(self):
        db, found = self.library.db, []

        def save():
            with self.dev.app_context():
                db.session.add(self.library.Author(name="a"))
                db.session.add(self.library.Visit(page="/"))
                db.session.commit()
                found.append(db.session.execute(sa.text("SELECT current_database()")).scalar())
                db.session.remove()

        self.assertFollows(save)
        self.assertEqual(set(found), {"core_flask_test"})

    def test_a_session_beside_flask(self):
        with self.dev.app_context():
            engines = _compat.live_engines(self.library.db, self.dev)
        Author, Visit = self.library.Author, self.library.Visit
        made = sa.orm.sessionmaker(binds={Author: engines[None], Visit: engines["audit"]})

        def save():
            with contextlib.closing(made()) as session:
                session.add_all([Author(name="a"), Visit(page="/")])
                session.commit()

        self.assertFollows(save)


@unittest.skipUnless(HAS_ASYNC, "needs SQLAlchemy 2 and psycopg")
class AsyncSessionTest(FollowingContract):
    TEXT = """\
ConfigurationError: %s leads to %s, and the engine of the class to %s.
  It is async, so it cannot follow the engine: its rows would go to the other database.\
 Nothing was touched.
  Have both lead to one database for the tests, by engines that are both async or both not."""

    def setUp(self):
        super().setUp()
        from sqlalchemy.ext import asyncio as sa_async

        self.url = _compat.url_with(
            self.development_url, drivername="postgresql+psycopg", password="secret"
        )
        engine = sa_async.create_async_engine(self.url, poolclass=sa.pool.NullPool)
        self.made = sa_async.async_sessionmaker(engine)

    def save(self, author):
        async def saving():
            async with self.made() as session:
                session.add(author)
                await session.commit()

        asyncio.run(saving())

    def assertRefused(self, session, used):
        message = self.message_of(self.case(self.save, session))
        shown = [_compat.url_text(each, hide_password=True) for each in (self.url, self.test_url)]
        self.assertEqual(message, self.TEXT % (used, shown[0], shown[1]))
        self.assertNotIn("secret", message)

    def test_one_that_the_class_names_cannot_follow(self):
        self.assertRefused(self.made, "session")
        self.assertRefused(self.made(), "session")

    def test_one_of_the_code_under_test_is_stopped_before_it_writes(self):
        self.assertRefused(None, "OrderTest.test_one: a session that uses tables of the class")

    def test_it_is_an_error_of_the_set_up(self):
        with self.assertRaises(ConfigurationError):
            self.case(self.save, self.made).setUpClass()


del FollowingContract
