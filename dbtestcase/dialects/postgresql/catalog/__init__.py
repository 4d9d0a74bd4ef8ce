"""What a database's catalog says: what is there, and whether it changed.

- ``objects.py``: what is there beside the system's own, and how to be rid of it or give it back.
- ``fingerprint.py``: whether anything in the catalog changed, and what.
- ``dump.py``: the whole database as ``pg_dump`` shows it, for comparing.
"""

from .dump import dump
from .fingerprint import Fingerprint
from .objects import Extensions, installed_extensions, inventory, properties, restore_properties
from .objects import Found as FoundObject
from .objects import look as find_objects

__all__ = [
    "Extensions",
    "Fingerprint",
    "FoundObject",
    "dump",
    "find_objects",
    "installed_extensions",
    "inventory",
    "properties",
    "restore_properties",
]
