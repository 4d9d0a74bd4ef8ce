"""Has the whole process follow to the sibling that a run took, and the children that it starts.

New connections are led there, whoever makes them, from the claim until the process ends: a process
keeps its sibling. While a class runs against it, the configuration of its application and the
environment say its URL, for what they are given to: migrations, ``psql``, a script. A child that is
given the configured URL all the same is given the sibling's. What cannot be led there is refused.
"""

from __future__ import annotations

import os
import re
import subprocess
import weakref
from typing import Any, Callable, List, Mapping, MutableMapping
from urllib.parse import parse_qsl, quote, urlencode

import sqlalchemy as sa
from sqlalchemy.pool import Pool

from .. import _compat, where
from ..connections import (
    astray,
    free,
    leads,
    led,
    loaded_driver,
    warn_of_leaks,
    was_forked,
    watch_installed,
)
from ..contracts import Identity, Target
from ..errors import ConfigurationError

_TAKEN = '{owner}: another run has the database "{base}", and this one its sibling "{name}"; but '

_OPEN_BEFORE = _TAKEN + """\
a connection to "{base}" was opened past SQLAlchemy before that, and is still open (backend {pid}).
  What it does would reach the rows of the other run. Nothing was touched.
  Close it before the tests begin; opened in setUp() or in a test, it leads to "{name}"."""
_NOT_LED = _TAKEN + """\
{what} leads to "{base}" all the same.
  Neither psycopg2.connect() nor psycopg.connect() has made it, so it cannot be led elsewhere.\
 Nothing was touched.
  Make it by one of these, or from self.engine.url, app.config or the environment, which name\
 "{name}"."""

# Connections past SQLAlchemy that were open when this process took a sibling: they cannot follow.
_open_before: List["weakref.ref[Any]"] = []


def lead_process(taken: Identity, dialect: Any) -> None:
    """Lead every new connection of this process to the sibling that it took.

    What it has in its pools for the other database is closed, and what it left open given back.

    :param taken: the database that another run has.
    :param dialect: the sibling.
    """
    if not leads:
        watch_installed()
        sa.event.listen(Pool, "connect", _refuse_astray)
        _compat.change_function("subprocess", "Popen", "__init__", _change_popen)
    dialect.family.lead_here(taken)
    engines, _ = _compat.engines_and_pooled_connections()
    named = (taken.name, None, "")
    there = [each for each in engines if _is_postgresql(each) and each.url.database in named]
    warn_of_leaks(free(there))
    for engine in there:
        _compat.empty_pool(engine)
    location = dialect.control.location[:-1] + (taken.name,)
    if not was_forked():  # else it is of the parent, and nobody's here
        found = {
            _compat.backend_pid(dbapi): dbapi
            for dbapi in _compat.driver_connections()
            if _compat.location(dbapi) == location
        }
        for backend in dialect.control.backends(list(found)) if found else ():
            _open_before.append(weakref.ref(found[backend.pid]))


def _is_postgresql(engine: Any) -> bool:
    return bool(engine.dialect.name == "postgresql")


def _refuse_astray(dbapi: Any, record: Any) -> None:
    """Refuse a pooled connection that leads to what is not to be used, past what leads it."""
    base = astray(dbapi)
    if base is not None:
        dbapi.close()
        raise ConfigurationError(
            _NOT_LED.format(
                owner=where.current_test() or "outside of any test",
                base=base,
                name=leads[base][-1].instead,
                what="a new connection of an engine",
            )
        )


def follow(
    engine: Any, dialect: Any, base: str, target: Target, identity: Identity, owner: str
) -> None:
    """Have an engine, the configuration of its application and the environment say the sibling.

    Put back when the target is closed; the connections go on to lead there.

    :param dialect: the sibling.
    :param base: the configured database.
    :param identity: where the engine led when it was asked.
    :param owner: the class (and test) on whose behalf, for messages.
    :raises ConfigurationError: if something of this process cannot follow.
    """
    former, name = engine.url, dialect.identity.name
    for reference in _open_before:
        dbapi = reference()
        if dbapi is not None and not dbapi.closed:
            raise ConfigurationError(
                _OPEN_BEFORE.format(
                    owner=owner, base=base, name=name, pid=_compat.backend_pid(dbapi)
                )
            )
    engine.url = _compat.url_with(former, database=name)
    engine.dispose()

    def put_back() -> None:
        engine.url = former
        engine.dispose()

    target.on_close(put_back)
    if identity.key != dialect.identity.key:  # it was asked before connections were led
        found = dialect.identify_anew(engine)
        if found.key != dialect.identity.key:
            what = "its engine %s" % _compat.url_text(former, hide_password=True)
            raise ConfigurationError(_NOT_LED.format(owner=owner, base=base, name=name, what=what))
    target.on_close(_say_in(os.environ))
    app = getattr(target, "app", None)
    if app is not None:
        target.on_close(_say_in(app.config))


# --- what says where the database is -------------------------------------------------------------

# A URL, with the name of its database, or a connection string of libpq, anywhere in a text.
_PAIR = r"(?:host|hostaddr|port|user|password|sslmode|connect_timeout)=(?:'[^']*'|[^\s'\"]+)"
_ADDRESS = re.compile(
    r"[\w.+:-]*(?:postg|psql|pgsql)[\w.+-]*://(?P<place>[^/?#\s'\"]*/(?P<name>[^/?#\s'\"]+))"
    r"(?:\?(?P<query>[^#\s'\"]*))?"
    r"|(?:{0}\s+)*\bdbname=(?:'(?P<quoted>[^']+)'|(?P<plain>[^\s'\"]+))(?:\s+{0})*".format(_PAIR),
    re.IGNORECASE,
)
_NAMES_DATABASE = re.compile(r"DATABASE|DBNAME|(?<![A-Z])DB(?![A-Z])", re.I)

# What of a URL says where it leads; other arguments may be of a library's own.
_OF_LIBPQ = ("host", "hostaddr", "port", "user", "password", "sslmode")
# Programs that take the name of a database as an argument.
_PROGRAMS = re.compile(r"(?:.*/)?(?:psql|pg_dump|pg_restore|pgbench|\w+db)(?:\.exe)?\Z", re.DOTALL)


def _say_in(settings: MutableMapping[str, Any]) -> Callable[[], None]:
    """Have settings name the database that is used; return what puts them back."""
    former = dict(settings)
    changed = {key: _said_anew(key, value) for key, value in former.items()}
    changed = {key: value for key, value in changed.items() if value is not former[key]}
    settings.update(changed)

    def put_back() -> None:
        for key, value in changed.items():
            if settings.get(key) == value:  # else somebody has set it since
                settings[key] = former[key]

    return put_back


def _said_anew(key: str, value: Any) -> Any:
    """Return a setting as it is to be; the very same object where it is not to be changed."""
    if isinstance(value, sa.engine.url.URL):
        text = _compat.url_text(value)
        anew = _text_anew(text)
        return value if anew is text else sa.engine.url.make_url(anew)
    if isinstance(value, Mapping):  # binds, the options of an engine, the parts of a URL
        parts = {name: _said_anew(str(name), each) for name, each in value.items()}
        return value if all(parts[name] is each for name, each in value.items()) else parts
    if not isinstance(value, str):
        return value
    if value in leads and _NAMES_DATABASE.search(key):
        return leads[value][-1].instead
    return _text_anew(value)


def _text_anew(text: str) -> str:
    """Return a text in which what would be led says where; the very same where there is none."""
    driver = loaded_driver()
    if driver is None or not any(name in text for name in leads):
        return text

    def said(match: "re.Match[str]") -> str:
        group, conninfo = "plain" if match.group("plain") else "quoted", match.group()
        if match.group("place"):
            arguments = parse_qsl(match.group("query") or "")
            kept = urlencode([each for each in arguments if each[0] in _OF_LIBPQ])
            group, conninfo = "name", "postgresql://%s?%s" % (match.group("place"), kept)
        anew = led(driver, conninfo, connects=False)
        if anew is conninfo:
            return match.group()
        name = _compat.conninfo_parts(driver, anew)["dbname"]
        name = quote(name, safe="") if group == "name" else name
        start, end = (position - match.start() for position in match.span(group))
        return match.group()[:start] + name + match.group()[end:]

    anew = _ADDRESS.sub(said, text)
    return text if anew == text else anew


def _change_popen(start: Callable[..., None]) -> Callable[..., None]:
    """Have children that get a URL or a connection string as an argument get the sibling's."""

    def started(
        process: "subprocess.Popen[Any]", args: Any, *arguments: Any, **options: Any
    ) -> None:
        if isinstance(options.get("env"), Mapping):
            options["env"] = _said_anew("env", options["env"])
        start(process, _arguments_anew(args), *arguments, **options)

    return started


def _arguments_anew(args: Any) -> Any:
    if isinstance(args, str):
        return _text_anew(args)
    if not isinstance(args, (list, tuple)) or not args:
        return args
    takes_name = _PROGRAMS.match(str(args[0]))

    def anew(each: Any) -> Any:
        if not isinstance(each, str):
            return each
        return leads[each][-1].instead if takes_name and each in leads else _text_anew(each)

    return [anew(each) for each in args]
