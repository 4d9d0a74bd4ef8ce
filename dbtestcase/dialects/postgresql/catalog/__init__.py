"""What a database's catalog says: what is there, and whether it changed.

- ``objects.py``: what is there beside the system's own, and how to be rid of it or give it back.
- ``fingerprint.py``: whether anything in the catalog changed, and what.
- ``dump.py``: the whole database as ``pg_dump`` shows it, for comparing.
"""

from .dump import dump
from .fingerprint import Fingerprint
from .objects import (
    DEADLOCK,
    NOT_ABOUT_OBJECTS,
    Extensions,
    give_back,
    installed_extensions,
    inventory,
    lacking_properties,
    properties,
    restore_properties,
)
from .objects import Found as FoundObject
from .objects import look as find_objects

__all__ = [
    "DEADLOCK",
    "NOT_ABOUT_OBJECTS",
    "Extensions",
    "Fingerprint",
    "FoundObject",
    "dump",
    "find_objects",
    "give_back",
    "installed_extensions",
    "inventory",
    "lacking_properties",
    "properties",
    "restore_properties",
]
