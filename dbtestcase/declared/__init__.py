"""Reads what a suite declares: its app, config, engine and session become one target.

``suite.py`` reads a class or a test. ``target.py`` holds what it runs against, and knows which
classes are set up; ``flask.py`` holds the same of an application, whose configuration
``config.py`` loads. ``sessions.py`` has sessions follow to the engines of a target.
"""

from .flask import application, import_object
from .flask import target_of as target_of_app
from .suite import class_target, no_target, own_target
from .target import (
    Given,
    PlainTarget,
    Target,
    enter_class,
    leave_class,
    leave_other_classes,
    resolve,
    target_of_class,
)

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
