"""A suite as users write it with type hints: ``mypy --strict`` checks it, no test run finds it."""

from __future__ import annotations

import unittest
from typing import Any, List, Optional

import flask
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from dbtestcase import (
    BlockedDatabaseError,
    ConfigurationError,
    DatabaseMixin,
    DatabaseTestCase,
    DatabaseTestCaseError,
    ObjectStateAssertions,
    QueryAssertions,
    RowAssertions,
    ServerError,
    UnsafeDatabaseError,
    UnsupportedDatabaseError,
    temporary_postgresql,
)

ERRORS: List[type[DatabaseTestCaseError]] = [
    BlockedDatabaseError,
    ConfigurationError,
    ServerError,
    UnsafeDatabaseError,
    UnsupportedDatabaseError,
]
url: str = temporary_postgresql()


class Base(DeclarativeBase):
    pass


class Participant(Base):
    __tablename__ = "participant"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[Optional[str]]


class FlaskSuite(DatabaseTestCase):
    app: Any = "webapp:app"
    config = {"TESTING": True, "SQLALCHEMY_DATABASE_URI": url}
    reset = "rollback"
    recreate = "compare"
    lock_timeout = 2
    allowed_databases = ("scratch",)
    push_app_context = False
    leaks = "error"
    terminate_blockers = True
    show_queries = True
    client: flask.testing.FlaskClient

    def setUp(self) -> None:
        super().setUp()
        self.client = self.app.test_client()

    def load_data(self) -> None:
        self.db.session.add(Participant(name="first"))

    def test_states(self) -> None:
        participant = Participant(name="test")
        self.assertTransient(participant)
        self.assertPending(participant, "after add()")
        self.assertPersistent(participant, msg="after flush()")
        self.assertDeleted(participant)
        self.assertDetached(participant)


class FactorySuite(DatabaseTestCase):
    @classmethod
    def create_app(cls) -> flask.Flask:
        return flask.Flask(__name__)

    def create_tables(self) -> None:
        Base.metadata.create_all(self.db.engine)


class PlainSuite(DatabaseTestCase):
    engine = sa.create_engine(url)
    metadata = Base.metadata
    reset = None

    def test_rows(self) -> None:
        self.assertRowCount(Participant, 1)
        self.assertRowCount(Participant.__table__, 1, Participant.name == "test", msg="once")
        self.assertRowCount(sa.select(Participant), 0)
        self.assertRowExists(Participant, name="test")
        self.assertNoRowExists(Participant, name="other", msg="said twice")
        with self.assertRowCountChanges({Participant: +1}):
            self.session.commit()

    def test_queries(self) -> None:
        with self.assertNumQueries(1), self.assertMaxQueries(3, "N+1"):
            self.session.query(Participant).all()


class MixinSuite(ObjectStateAssertions, RowAssertions, QueryAssertions, unittest.TestCase):
    session: Session


class OwnBase(DatabaseMixin, unittest.TestCase):
    engine = url
    metadata = Base

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
