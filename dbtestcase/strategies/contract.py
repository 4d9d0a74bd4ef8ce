"""The contract of a strategy: what makes a database new for each test."""

from __future__ import annotations

from typing import Any, List

from ..databases import CheckedDatabase


class Strategy:
    """What every strategy does, and what it does when there is nothing to do: nothing.

    A strategy works on databases that :func:`dbtestcase.databases.check` gave, and on no others.
    """

    resets = True
    """Whether the databases are built and reset at all."""

    ends = False
    """Whether something has to be done when a test is over."""

    def begin(self, case: Any, databases: List[CheckedDatabase]) -> None:
        """Make the databases what each test of this class starts with.

        :param case: the test that is about to run.
        :param databases: the checked databases of the test.
        """

    def end(self, case: Any, databases: List[CheckedDatabase]) -> None:
        """Take back, or check, what the test did.

        :param case: the test that just ran.
        :param databases: the checked databases of the test.
        """

    def commit(self, databases: List[CheckedDatabase]) -> None:
        """Make what the test has committed visible to others, when nothing is left open.

        :param databases: the checked databases of the test.
        """


class NullStrategy(Strategy):
    """Leave the data alone."""

    resets = False
