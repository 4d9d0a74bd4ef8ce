"""Describes objects, rows and values in failures: short, and without a query."""

from __future__ import annotations

import reprlib
from typing import Any, Iterable, List, Mapping, Tuple

_LONGEST_VALUE = 60
_MOST_VALUES = 8

_short = reprlib.Repr()
_short.maxstring = _short.maxother = _short.maxlong = _LONGEST_VALUE
_short.maxlevel = 3


def value(thing: Any) -> str:
    """Return the value's representation, cut to 60 characters or some items; never raises."""
    return _short.repr(thing)


def text(words: str, longest: int) -> str:
    """Return the words on one line, cut in the middle where they are too long."""
    line = " ".join(words.split())
    if len(line) <= longest:
        return line
    half = (longest - 5) // 2
    return line[:half] + " ... " + line[-half:]


def row(name: str, values: Iterable[Tuple[str, Any]]) -> str:
    """Return ``<Participant id=1 name='test'>``, with eight values at most."""
    words: List[str] = ["%s=%s" % (key, value(thing)) for key, thing in values]
    if len(words) > _MOST_VALUES:
        words[_MOST_VALUES:] = ["..."]
    return "<%s>" % " ".join([name] + words)


def mapped_object(state: Any) -> str:
    """Return a mapped object's class and the values that it has loaded, its key first.

    Reads what the object's state holds and nothing else: an expired or detached object stays as
    it is, and a ``__repr__`` of its own, which might load or raise, is not called.
    """
    mapper = state.mapper
    keys = [mapper.get_property_by_column(column).key for column in mapper.primary_key]
    values = dict(zip(keys, state.identity or ()))
    for attribute in mapper.column_attrs:
        if attribute.key in state.dict:
            values.setdefault(attribute.key, state.dict[attribute.key])
    return row(mapper.class_.__name__, values.items())


def pairs(values: Mapping[str, Any]) -> str:
    """Return ``name='test', age=3``."""
    return ", ".join("%s=%s" % (name, value(thing)) for name, thing in values.items())


def where(criteria: Iterable[Any], dialect: Any) -> str:
    """Return the SQL expressions as a WHERE clause with the values in it; "" without criteria."""
    words = []
    for criterion in criteria:
        if hasattr(criterion, "__clause_element__"):
            criterion = criterion.__clause_element__()
        try:
            literal = criterion.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
            words.append(text(str(literal).replace("%%", "%"), 200))
        except Exception:  # a value without a literal form: then its name must do
            words.append(text(str(criterion), 200))
    clause = " AND ".join(words)
    return " where " + clause if clause else ""
