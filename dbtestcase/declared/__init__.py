"""Reads what a suite declares: its app, config, engine and session become one target.

``suite.py`` reads a class or a test, and knows which classes are set up; ``target.py`` holds what
they run against, ``flask.py`` the same of an application, whose configuration ``config.py`` loads.
``sessions.py`` has sessions follow to the engines of a target.
"""

from .flask import application, import_object
from .flask import target_of as target_of_app
from .suite import (
    Given,
    class_target,
    enter_class,
    leave_class,
    leave_other_classes,
    no_target,
    own_target,
    resolve,
    target_of_class,
)
from .target import PlainTarget, Target

__all__ = [
    "Given",
    "PlainTarget",
    "Target",
    "application",
    "class_target",
    "enter_class",
    "import_object",
    "leave_class",
    "leave_other_classes",
    "no_target",
    "own_target",
    "resolve",
    "target_of_app",
    "target_of_class",
]
