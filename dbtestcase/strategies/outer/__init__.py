"""The outer transaction: one around a whole test, and savepoints in place of the test's own.

    transaction.py    the life of one: engines are led into it, all is rolled back, engines go back
    checkout.py       what pools hand out meanwhile: many users of its one connection
    savepoints.py     what their commits and rollbacks are

What differs between databases is in a :class:`~dbtestcase.contracts.OuterConnection`.
"""

from __future__ import annotations

from .transaction import Outcome, OuterTransaction, close_kept

__all__ = ["Outcome", "OuterTransaction", "close_kept"]
