"""Has a database for one run, and knows what is beside it: siblings for other runs, and copies.

``claiming.py``
    who has a database, and leading an engine's connections to another one.
``family.py``
    databases of a server: making one, and the numbered siblings of one.
``copying.py``
    copies of whole databases, by which failed tests keep what they had committed.
"""

from .claiming import can_lead, claim, holder, lead_to, leading_to, release
from .copying import Copier, NotCopied, copies, drop_copy
from .family import create_like, drop_unused, ensure_database, members, siblings

__all__ = [
    "Copier",
    "NotCopied",
    "can_lead",
    "claim",
    "copies",
    "create_like",
    "drop_copy",
    "drop_unused",
    "ensure_database",
    "holder",
    "lead_to",
    "leading_to",
    "members",
    "release",
    "siblings",
]
