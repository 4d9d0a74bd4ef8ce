"""Puts one transaction around a whole test, and savepoints in place of the test's own ones.

    transaction.py    its life: engines are led into it, all is rolled back, engines are put back
    checkout.py       what pools hand out meanwhile: each check-out is a user of its one connection
    savepoints.py     what the commits and rollbacks of these users are

What differs between databases is in a :class:`~dbtestcase.contracts.OuterConnection`.
"""

from __future__ import annotations

from .transaction import Outcome, OuterTransaction, close_kept

__all__ = ["Outcome", "OuterTransaction", "close_kept"]
