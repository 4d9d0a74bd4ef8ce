"""Knows what a reset leaves in place: extensions, the schema ``public``, a database's properties.

What is found of it before the first drop is the environment's, and every drop gives it back. A test
may change it nevertheless, the last one of a run with nobody to give it back.
"""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from .catalog import give_back, installed_extensions, lacking_properties, properties
from .drop import lacking_public
from .sessions import Control, quoted

_SYSTEM = "SELECT system_identifier::text FROM pg_control_system()"


class Environment(NamedTuple):
    """What a reset leaves in place, as it was at one moment; fit for JSON."""

    database: List[Any]  # what tells it from another one of this name: its server and its oid
    extensions: Dict[str, Tuple[str, str]]  # with schema and version
    properties: List[str]  # as the statements that make them

    @classmethod
    def look(cls, control: Control) -> Environment:
        """Return what is there now."""
        extensions = installed_extensions(control)
        return cls(_place(control), extensions, list(properties(control)))

    @classmethod
    def recorded(cls, control: Control, record: Any) -> Optional[Environment]:
        """Return what was written down, if that was of this very database."""
        try:
            place, extensions, statements = record
            if place != _place(control):
                return None
            return cls(place, {key: (a, b) for key, (a, b) in extensions.items()}, statements)
        except (AttributeError, TypeError, ValueError):
            return None

    def lacking(self, control: Control) -> List[str]:
        """Return the statements that make the database like this."""
        now = installed_extensions(control)
        needed = lacking_public(control)
        for name in sorted(now):
            if now[name] != self.extensions.get(name):
                needed.append("DROP EXTENSION IF EXISTS %s CASCADE" % quoted(name))
        for name, (schema, version) in sorted(self.extensions.items()):
            if now.get(name) != (schema, version):
                needed.append(
                    "CREATE EXTENSION IF NOT EXISTS %s SCHEMA %s VERSION %s CASCADE"
                    % (quoted(name), quoted(schema), quoted(version))
                )
        return needed + lacking_properties(control, self.properties)

    def give_back(self, control: Control) -> List[str]:
        """Make the database like this, as far as the role may; return what is lacking still."""
        return give_back(control, lambda: self.lacking(control))


def _place(control: Control) -> List[Any]:
    try:
        ((system,),) = control.execute(_SYSTEM)
    except Exception:  # some providers keep it to themselves
        system = None
    return [system, int(control.database)]
