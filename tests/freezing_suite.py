"""A suite that leaves everything open: each test freezes the next, were nothing done about it.

Not found by discovery: ``test_freezes_in_suites`` runs it in processes of its own.
"""

from __future__ import annotations

import contextvars
import os
import threading
import time
from typing import Any, List

import sqlalchemy as sa
from flask import Flask, stream_with_context
from flask_sqlalchemy import SQLAlchemy

from dbtestcase import DatabaseTestCase

app = Flask(__name__)
app.config.update(
    SQLALCHEMY_DATABASE_URI=os.environ["FREEZING_URL"],
    SQLALCHEMY_TRACK_MODIFICATIONS=False,
    TESTING=True,
)
db = SQLAlchemy(app)


class Order(db.Model):  # type: ignore[name-defined,misc]
    """A row that must not be there when a test begins."""

    __tablename__ = "orders"
    id = db.Column(db.Integer, primary_key=True)


@app.route("/stream")
def stream() -> Any:
    """Answer with rows, one at a time."""

    def rows() -> Any:
        for order in db.session.query(Order):
            yield str(order.id)

    return app.response_class(stream_with_context(rows()))


kept: List[Any] = []  # what a runner, a cache or a global of the suite would keep


class FreezingTest(DatabaseTestCase):
    """Whatever a test leaves open, the next one begins at once, and empty."""

    app = app
    lock_timeout = 2.0

    def setUp(self) -> None:
        started = time.monotonic()
        super().setUp()
        self.assertLess(time.monotonic() - started, 2)
        self.assertRowCount(Order, 0)
        db.session.rollback()
        if "ddl" in self._testMethodName:  # drop and create, and not only empty
            with db.engine.begin() as connection:
                connection.execute(sa.text("CREATE TABLE further (id int)"))

    def write(self, session: Any = None) -> Any:
        session = session or db.session
        session.add(Order())
        session.flush()
        return session

    def test_a02_another_app_context(self) -> None:
        def push_and_write() -> None:
            context = app.app_context()
            context.push()
            self.write()
            kept.append((context, db.session()))

        elsewhere = contextvars.copy_context()
        elsewhere.run(push_and_write)
        kept.append(elsewhere)

    def test_a02_ddl_another_app_context(self) -> None:
        self.test_a02_another_app_context()

    def test_a03_ddl_connection(self) -> None:
        kept.append(db.engine.connect())
        self.lock(kept[-1])

    def lock(self, connection: Any) -> None:
        connection.begin()
        connection.execute(sa.text("LOCK TABLE orders"))

    def test_a03_ddl_raw(self) -> None:
        kept.append(db.engine.raw_connection())
        kept[-1].cursor().execute("LOCK TABLE orders")

    def test_a04_second_engine(self) -> None:
        engine = sa.create_engine(os.environ["FREEZING_URL"])
        kept.append((engine, engine.connect()))
        self.lock(kept[-1][1])

    def test_a06_dead_thread(self) -> None:
        def work() -> None:
            with_context = app.app_context()
            with_context.push()
            self.write()
            kept.append((with_context, db.session()))

        thread = threading.Thread(target=work, name="gone")
        thread.start()
        thread.join(10)

    def test_a05_live_thread(self) -> None:
        ready = threading.Event()

        def work() -> None:
            with app.app_context():
                self.write()
                ready.set()
                time.sleep(3)

        threading.Thread(target=work, name="alive", daemon=True).start()
        self.assertTrue(ready.wait(10))

    def test_a11_yield_per(self) -> None:
        session = sa.orm.sessionmaker(bind=db.engine)()
        session.add_all([Order(), Order(), Order()])
        session.flush()
        rows = iter(session.query(Order).yield_per(1))
        next(rows)
        kept.append((session, rows))

    def test_a18_dry_pool(self) -> None:
        while db.engine.pool.checkedout() < 15:
            kept.append(db.engine.connect())

    def test_a20_stream_not_consumed(self) -> None:
        self.write().commit()
        client = app.test_client()
        kept.append(client.get("/stream", buffered=False))

    def test_b30_search_path(self) -> None:
        db.session.execute(sa.text("SET search_path = pg_catalog"))
        db.session.execute(sa.text("CREATE TEMP TABLE orders (id int)"))
        db.session.commit()

    def test_fails_and_keeps_its_frame(self) -> None:
        session = sa.orm.sessionmaker(bind=db.engine)()
        self.write(session)
        raise ValueError("on purpose")

    def test_z_is_empty(self) -> None:
        self.assertRowCount(Order, 0)
