"""What does a suite declare? Its app, config, engine and session, as one target."""

from .classes import enter as enter_class
from .classes import leave as leave_class
from .classes import leave_others as leave_other_classes
from .classes import pause as pause_class
from .classes import target_of as target_of_class
from .flask import application, import_object
from .flask import target_of as target_of_app
from .suite import Given, class_target, no_target, own_target, resolve
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
    "pause_class",
    "resolve",
    "target_of_app",
    "target_of_class",
]
