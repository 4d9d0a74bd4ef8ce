"""Makes a database new for each test: one file a strategy, one contract for all.

``contract.py`` says what a strategy does; ``recreate.py`` gives what drop and create would give,
``rollback.py`` runs a test in one transaction, whose parts are in ``outer/``.
"""

from __future__ import annotations

from typing import Callable, Dict, Optional

from ..errors import ConfigurationError
from .contract import NullStrategy, Strategy
from .recreate import RecreateStrategy
from .rollback import RollbackStrategy

__all__ = ["Strategy", "strategy_of"]

_STRATEGIES: Dict[Optional[str], Callable[[], Strategy]] = {
    "recreate": RecreateStrategy,
    "rollback": RollbackStrategy,
    None: NullStrategy,
}


def strategy_of(case_class: type) -> Strategy:
    """Return the strategy that a test class asks for by its ``reset``.

    :raises ConfigurationError: if there is none of that name.
    """
    name = getattr(case_class, "reset", None)
    try:
        return _STRATEGIES[name]()
    except (KeyError, TypeError):  # the latter for what cannot be a key
        pass
    raise ConfigurationError(
        "%s.reset is %r; it can be 'recreate' (as good as drop and create), 'rollback' (an"
        " outer transaction), or None (leave the data alone)." % (case_class.__name__, name)
    )
