"""The way of one database back to what it was when a test begins.

::

    baseline.py      ask what differs; empty and fill if the catalog is the same, else say why not
      emptying.py    the statements that put rows, sequences and large objects back
      rows.py        what is remembered of rows and sequences, and the questions whether they differ
        tables.py    what the catalog says of each table: how it can be read, emptied and filled

The proof that nobody changed the catalog, which only saves time, is ``proof.py`` beside this room.
"""

from .baseline import Baseline

__all__ = ["Baseline"]
