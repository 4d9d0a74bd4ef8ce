"""URLs, and the names of drivers in them."""

from __future__ import annotations

import contextlib
import os
import re
from typing import Any, Iterator, Optional, Union

import sqlalchemy as sa
from sqlalchemy.engine.url import URL, make_url

_PASSWORD_ARGUMENT = re.compile(r"([?&](?:ssl)?password=)[^&]*")


def url_key(url: URL) -> Any:
    """Return what is equal as long as a URL is; up to SQLAlchemy 1.3 a URL can be changed."""
    return url if isinstance(url, tuple) else url_text(url)


def url_text(url: Union[str, URL], hide_password: bool = False) -> str:
    """Return a URL as text.

    ``str(url)`` shows the password up to SQLAlchemy 1.4 and hides it after.
    """
    url = make_url(url)
    if hasattr(url, "render_as_string"):
        text = url.render_as_string(hide_password=hide_password)
    else:
        text = str(url.__to_string__(hide_password=hide_password))
    # As an argument it is the driver's, and SQLAlchemy does not hide it.
    return _PASSWORD_ARGUMENT.sub(r"\1***", text) if hide_password else text


def url_with(url: Union[str, URL], **parts: Any) -> URL:
    """Return a copy of the URL with some parts replaced: URLs are mutable up to SQLAlchemy 1.3."""
    url = make_url(url)
    if hasattr(url, "set"):
        return url._replace(**parts)  # set() takes None for no change
    copied = make_url(url_text(url))
    for name, value in parts.items():
        setattr(copied, name, value)
    return copied


@contextlib.contextmanager
def connect_timeout(seconds: int = 4) -> Iterator[None]:
    """Bound the time to connect by libpq's own variable, unless the user has set it."""
    if "PGCONNECT_TIMEOUT" in os.environ:
        yield
        return
    os.environ["PGCONNECT_TIMEOUT"] = str(seconds)
    try:
        yield
    finally:
        os.environ.pop("PGCONNECT_TIMEOUT", None)


def without_password(text: str, url: Union[str, URL]) -> str:
    """Return a message with the URL's password taken out."""
    url = make_url(url)
    for password in (url.password, url.query.get("password"), url.query.get("sslpassword")):
        if password:
            text = text.replace(str(password), "***")
    return text


def postgresql_drivername() -> Optional[str]:
    """Return the shortest name of a PostgreSQL driver that can be imported, ``None`` without any.

    Plain ``postgresql`` means psycopg2 up to SQLAlchemy 2.0 and psycopg (3) from 2.1 on.
    """
    for name in ("postgresql", "postgresql+psycopg2", "postgresql+psycopg"):
        try:
            dialect: Any = make_url(name + "://").get_dialect()
            (getattr(dialect, "import_dbapi", None) or dialect.dbapi)()
        except (ImportError, sa.exc.NoSuchModuleError):
            continue
        return name
    return None
