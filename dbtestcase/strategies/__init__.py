"""How a database is made new for each test: one file a strategy, one contract for all."""

from __future__ import annotations

import functools
from typing import Any, Callable, List, Optional, Tuple

from ..errors import ConfigurationError


class Strategy:
    """What every strategy does, and what it does when there is nothing to do: nothing.

    A strategy works on databases that :mod:`dbtestcase.safeguard` has checked, and on no others.
    """

    resets = True
    """Whether the databases are built and reset at all."""

    def begin(self, case: Any, databases: List[Any]) -> None:
        """Make the databases what each test of this class starts with.

        :param case: the test that is about to run.
        :param databases: the checked databases of the test.
        """

    def end(self, case: Any, databases: List[Any]) -> None:
        """Take back, or check, what the test did.

        :param case: the test that just ran.
        :param databases: the checked databases of the test.
        """

    def commit(self, databases: List[Any]) -> None:
        """Make what the test has committed visible to others, when nothing is left open.

        :param databases: the checked databases of the test.
        """


class NullStrategy(Strategy):
    """Leave the data alone."""

    resets = False


def strategy_of(case_class: type) -> Strategy:
    """Return the strategy that a test class asks for by its ``reset``.

    :raises ConfigurationError: if there is none of that name.
    """
    name = getattr(case_class, "reset", None)
    meant = [strategy for asked, strategy in _strategies() if asked == name]
    if not meant:
        raise ConfigurationError(
            "%s.reset is %r; it can be 'recreate' (as good as drop and create), 'rollback' (an"
            " outer transaction), or None (leave the data alone)." % (case_class.__name__, name)
        )
    return meant[0]()


@functools.lru_cache(maxsize=None)
def _strategies() -> List[Tuple[Optional[str], Callable[[], Strategy]]]:
    from .recreate import RecreateStrategy
    from .rollback import RollbackStrategy

    return [("recreate", RecreateStrategy), ("rollback", RollbackStrategy), (None, NullStrategy)]
