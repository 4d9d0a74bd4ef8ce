"""Keeps every difference between versions of Python, SQLAlchemy, Flask and the drivers.

There is one file for each library. What is public in one of them is a name of this door, as
``_compat.select``; mypy accepts no other:

- ``python.py``: unittest, exceptions, processes
- ``drivers.py``: the connections of psycopg2, psycopg 3, asyncpg and sqlite3
- ``cursors.py``: their cursors, and what these and connections are given
- ``sqlalchemy.py``: statements, connections, sessions, URLs
- ``pools.py``: pools, and what they hand out
- ``sessions.py``: what ORM sessions are bound to
- ``flask.py``: Flask-SQLAlchemy in its versions, its Lite variant, the contexts of Flask
- ``pairs.py``: versions that pip installs side by side and that do not work together
"""

from .cursors import *  # noqa: F403
from .drivers import *  # noqa: F403
from .flask import *  # noqa: F403
from .pairs import *  # noqa: F403
from .pools import *  # noqa: F403
from .python import *  # noqa: F403
from .sessions import *  # noqa: F403
from .sqlalchemy import *  # noqa: F403
