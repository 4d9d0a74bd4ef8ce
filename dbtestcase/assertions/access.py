"""The session of a test, the engine of a statement, and a look at what is committed."""

from __future__ import annotations

import contextlib
import unittest
from typing import Any, Iterator, Optional

import sqlalchemy as sa
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from .. import _compat
from ..connections import OWN_QUERY
from ..errors import ConfigurationError

_ONE_CONNECTION = (sa.pool.StaticPool, sa.pool.SingletonThreadPool)
_MILLISECONDS = "1000"  # a second look at the database must never wait for long


@contextlib.contextmanager
def session_of(case: unittest.TestCase, asker: str) -> Iterator[Any]:
    """Yield the test's own session: ``case.session``, else ``case.db.session``.

    A scoped session gives its current one. A sessionmaker has no current one: then a session of
    its own looks, and is closed afterwards.
    """
    own = getattr(case, "session", None)
    flask = getattr(getattr(case, "db", None), "session", None)
    for candidate in (own, flask):
        if isinstance(candidate, sessionmaker):
            with contextlib.closing(candidate()) as session:
                yield session
            return
        if isinstance(candidate, scoped_session):
            candidate = candidate()
        if isinstance(candidate, Session):
            yield candidate
            return
    raise ConfigurationError(_no_session(case, asker, own))


def _no_session(case: unittest.TestCase, asker: str, own: Any) -> str:
    found = "" if own is None else " (its session is of type %s)" % type(own).__name__
    return (
        "%s() found no session on %s%s. Set session to a SQLAlchemy session, scoped session or "
        "sessionmaker, or db to the Flask-SQLAlchemy object." % (asker, type(case).__name__, found)
    )


def own(statement: Any) -> Any:
    """Mark a statement or Query as the assertions' own, which is not counted as the test's."""
    return statement.execution_options(**{OWN_QUERY: True})


def count_committed(bind: Any, counting: Any) -> Optional[int]:
    """Return what a counting statement gives on a new connection; None when it cannot be known.

    The connection is outside the engine's pool, which may be empty. A test's transaction that
    began on a Connection of its own hides what is committed, and a database in memory is one
    connection.
    """
    if not isinstance(bind, sa.engine.Engine) or isinstance(bind.pool, _ONE_CONNECTION):
        return None
    pool = bind.pool.recreate()
    try:
        with contextlib.closing(sa.engine.Connection(bind, pool.connect())) as connection:
            if bind.dialect.name == "postgresql":
                _bound_waits(connection)
            return int(connection.execute(own(counting)).fetchall()[0][0])
    except Exception:  # locked, not there yet, no connection left: the driver's own errors, too
        return None
    finally:
        pool.dispose()


def _bound_waits(connection: Any) -> None:
    for setting in ("lock_timeout", "statement_timeout"):
        bounded = _compat.select(sa.func.set_config(setting, _MILLISECONDS, False))
        connection.execute(own(bounded))
