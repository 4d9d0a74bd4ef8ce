"""The small models and applications that the tests of the core share: authors and their books."""

from __future__ import annotations

import types
from typing import Any, Dict, Optional

import sqlalchemy as sa

from dbtestcase import _compat
from tests import support

try:
    from sqlalchemy.orm import declarative_base
except ImportError:  # SQLAlchemy 1.3
    from sqlalchemy.ext.declarative import declarative_base


def library(binds: bool = False) -> Any:
    """Return a fresh Flask-SQLAlchemy object ``db`` and its models ``Author`` and ``Book``.

    Skips the test where Flask-SQLAlchemy is not installed.

    :param binds: also make ``Visit``, a model with the bind key ``audit``.
    """
    support.require("flask", "flask_sqlalchemy")
    from flask_sqlalchemy import SQLAlchemy

    db = SQLAlchemy()

    class Author(db.Model):  # type: ignore[name-defined]
        __tablename__ = "author"
        id = db.Column(db.Integer, primary_key=True)
        name = db.Column(db.String(50), nullable=False)

    class Book(db.Model):  # type: ignore[name-defined]
        __tablename__ = "book"
        id = db.Column(db.Integer, primary_key=True)
        title = db.Column(db.String(50))
        author_id = db.Column(db.Integer, db.ForeignKey("author.id"))
        author = db.relationship("Author", backref="books")

    models = types.SimpleNamespace(db=db, Author=Author, Book=Book)
    if binds:

        class Visit(db.Model):  # type: ignore[name-defined]
            __bind_key__ = "audit"
            __tablename__ = "visit"
            id = db.Column(db.Integer, primary_key=True)
            page = db.Column(db.String(50))

        models.Visit = Visit
    return models


def plain_library() -> Any:
    """Return a fresh declarative ``Base`` and its models, without Flask."""
    Base: Any = declarative_base()

    class Author(Base):
        __tablename__ = "author"
        id = sa.Column(sa.Integer, primary_key=True)
        name = sa.Column(sa.String(50), nullable=False)

    class Book(Base):
        __tablename__ = "book"
        id = sa.Column(sa.Integer, primary_key=True)
        title = sa.Column(sa.String(50))
        author_id = sa.Column(sa.Integer, sa.ForeignKey("author.id"))

    return types.SimpleNamespace(Base=Base, metadata=Base.metadata, Author=Author, Book=Book)


def make_app(
    db: Any, url: Optional[str], binds: Optional[Dict[str, Any]] = None, **settings: Any
) -> Any:
    """Return a Flask application that the Flask-SQLAlchemy object is registered with.

    Its view ``/authors`` counts the authors. ``TESTING`` is false unless a setting says otherwise.
    """
    from flask import Flask

    app = Flask("webshop")
    app.config["SQLALCHEMY_TRACK_MODIFICATIONS"] = False
    if url is not None:
        app.config["SQLALCHEMY_DATABASE_URI"] = url
    if binds is not None:
        app.config["SQLALCHEMY_BINDS"] = binds
    app.config.update(settings)
    db.init_app(app)

    @app.route("/authors")
    def count_authors() -> str:
        return str(db.session.execute(sa.text("SELECT count(*) FROM author")).scalar())

    return app


def count(session: Any, model: Any) -> int:
    """Return how many rows of a model the session sees."""
    return int(session.query(model).count())


def dispose(app: Any, db: Any) -> None:
    """Close what the application's own pools have open."""
    for engine in _compat.live_engines(db, app).values():
        engine.dispose()


def testing(url: str, binds: Optional[Dict[str, Any]] = None, **settings: Any) -> Dict[str, Any]:
    """Return a Testing configuration, as a mapping."""
    config = dict(TESTING=True, SQLALCHEMY_DATABASE_URI=url, **settings)
    if binds is not None:
        config["SQLALCHEMY_BINDS"] = binds
    return config


def live_url(app: Any, db: Any) -> Any:
    """Return the URL of the engine that the application uses now."""
    with app.app_context():
        return db.engine.url
