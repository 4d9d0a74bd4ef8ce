"""Which test classes are set up: what each runs against, from its set-up until it is left."""

from __future__ import annotations

from typing import Any, Dict, Optional

from ..connections import begin_test, end_test
from ..databases import controls_of
from .target import Target

_targets: Dict[type, Target] = {}


def enter(cls: type, target: Target) -> None:
    """Have a class run against a target until it is left."""
    _targets[cls] = target


def target_of(cls: type) -> Optional[Target]:
    """Return what a class runs against; ``None`` where each of its tests makes that itself."""
    return _targets.get(cls)


def pause(cls: Any) -> None:
    """Hold what a class does between its tests to the same bounds as the tests."""
    target = _targets.get(cls)
    if target is None:
        end_test()
        return
    controls = controls_of(target.databases)
    begin_test(target.engines.values(), cls.__name__, cls.lock_timeout, controls)


def leave(cls: type) -> None:
    """Undo what a class loaded and dispose of what it made; harmless a second time."""
    target = _targets.pop(cls, None)
    if target is not None:
        try:
            target.remove_session()
        finally:
            end_test()
            target.close()


def leave_others(cls: type) -> None:
    """Undo classes whose end never came, as on Python 3.7 after a set-up that failed."""
    for other in [other for other in _targets if other is not cls]:
        leave(other)
