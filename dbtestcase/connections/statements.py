"""Reads statements: what one does to its transaction, and what it leaves in its session.

This is the one place where statements are read.

:func:`read` takes what a program gives to a driver, and says what it does to its transaction and
what it leaves behind. :func:`row_verb` takes the bytes that were sent, with all values in them,
and says whether they certainly do nothing but write rows or read them. Whatever is hard to read
counts as what has to be looked after: that costs time, and nothing else.
"""

from __future__ import annotations

import datetime
import decimal
import functools
import re
import uuid
from typing import Any, FrozenSet, NamedTuple, Optional, Set, Tuple


class Kind:
    """What a statement is, by what it does to its transaction."""

    BEGIN, COMMIT, ROLLBACK, PREPARE = "begin", "commit", "rollback", "prepare"
    READ, WRITE, DEFINE = "read", "write", "define"


class Statement(NamedTuple):
    """What a statement does, as far as its text tells."""

    kind: str  # one of those of Kind
    is_query: bool  # asks for data or changes it; else it controls transactions or sessions
    prepares: Optional[str]  # the name of a transaction that it prepares (2PC)
    lasts: bool  # leaves something in its session that a rollback leaves there
    calls: bool  # does nothing but call a function, which may do anything
    leaves_nothing: bool  # none of these three: it is over when its transaction is
    survives: bool  # leaves something that even the rollback of its transaction leaves there


def read(statement: Any) -> Statement:
    """Return what a statement does.

    A statement that is not text (bytes, a composed one) counts as one that writes, and so does
    one whose first word is not known.

    :param statement: what the driver's ``execute()`` was given.
    """
    return read_text(statement) if isinstance(statement, str) else _UNREAD


_UNREAD = Statement(Kind.WRITE, True, None, False, False, True, False)


@functools.lru_cache(maxsize=2000)
def read_text(statement: str) -> Statement:
    """Return what a statement does that is text."""
    prepares = prepared_by(statement)
    lasts = outlives_its_transaction(statement)
    calls = _CALL.match(statement) is not None
    return Statement(
        _kind_of(statement),
        _is_query(statement),
        prepares,
        lasts,
        calls,
        leaves_nothing=not (prepares or lasts or calls),
        survives=lasts and _SURVIVES.search(statement) is not None,
    )


# --- what it does to its transaction -------------------------------------------------------------

_FIRST_WORD = re.compile(r"(?:\s|/\*.*?\*/|--[^\n]*(?:\n|\Z)|\()*([A-Za-z]*)", re.DOTALL)
# What makes a statement that begins like a query write, lock or hide a second statement.
_WRITES = re.compile(
    r"\b(?:insert|update|delete|merge|into|share|lo_\w+)\b|;(?!\s*\Z)", re.IGNORECASE
)
_NOT_THE_WHOLE = re.compile(r"\b(?:to|prepared)\b", re.IGNORECASE)
_PREPARES = re.compile(r"\s*prepare\s+transaction\b", re.IGNORECASE)

_CONTROL = {
    "BEGIN": Kind.BEGIN,
    "START": Kind.BEGIN,
    "COMMIT": Kind.COMMIT,
    "END": Kind.COMMIT,
    "ROLLBACK": Kind.ROLLBACK,
    "ABORT": Kind.ROLLBACK,
}
_QUERIES = frozenset(
    "SELECT SHOW VALUES WITH TABLE EXPLAIN FETCH MOVE CLOSE PRAGMA DECLARE".split()
)
_DEFINITIONS = frozenset("CREATE ALTER DROP TRUNCATE DO CALL".split())


def _kind_of(statement: str) -> str:
    match = _FIRST_WORD.match(statement)
    word = match.group(1).upper() if match else ""
    if word in _QUERIES:
        return Kind.WRITE if _WRITES.search(statement) else Kind.READ
    if word in _CONTROL:
        if ";" in statement.strip()[:-1]:
            return Kind.WRITE  # a script; where it ends the transaction, that is found afterwards
        rest = statement.upper().partition(word)[2]
        return Kind.WRITE if _NOT_THE_WHOLE.search(rest) else _CONTROL[word]
    if word == "PREPARE" and _PREPARES.match(statement):
        return Kind.PREPARE
    return Kind.DEFINE if word in _DEFINITIONS else Kind.WRITE


# Statements that say where a transaction begins or ends, or how it behaves, ask for no data.
_NO_QUERIES = frozenset(
    ["ABORT", "BEGIN", "COMMIT", "END", "RELEASE", "RESET", "ROLLBACK", "SAVEPOINT", "SET", "START"]
)


def _is_query(statement: str) -> bool:
    words = [word.upper() for word in statement.split(None, 2)[:2]]
    if not words or words[0].rstrip(";") in _NO_QUERIES:
        return False
    return words != ["PREPARE", "TRANSACTION"]


# --- what it leaves behind -----------------------------------------------------------------------

# What it is set to ends with the session or with the transaction, and so is forgotten by itself.
_PASSING = r"""
    select | insert | update | delete | merge | values | with | table | explain | show | truncate
  | analyze | vacuum | lock | notify | unlisten | comment | grant | revoke | drop | alter
  | create (?! \s+ (?: or \s+ replace \s+ )? (?: global \s+ | local \s+ )? temp (?: orary )? \b )
  | begin | start | commit | end | rollback | abort | savepoint | release | prepare \s+ transaction
  | declare | fetch | move | close | copy
  | set \s+ (?: local | transaction | constraints )
"""
_PLAIN = re.compile(r"[\s(]* (?: (?: %s ) \b | $ )" % _PASSING, re.IGNORECASE | re.VERBOSE)
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_LASTING_CALL = re.compile(
    r"set_config(?!\s*\([^()]*,\s*true\s*\)) | pg_(?:try_)?advisory_lock | with\s+hold"
    r" | \binto\s+(?:local\s+|global\s+)?temp(?:orary)?\b | pg_temp"
    r" | \b(?:setseed | set_limit | dblink_(?:dis)?connect\w*)\s*\(",
    re.IGNORECASE | re.VERBOSE,
)
# Settings, temporary objects and LISTEN are undone with their transaction; these are not.
_SURVIVES = re.compile(
    r"\b(?:prepare(?!\s+transaction) | deallocate | discard | load | setseed | set\s+seed"
    r" | dblink_(?:dis)?connect\w*)\b",
    re.IGNORECASE | re.VERBOSE,
)
_CALL = re.compile(
    r"""\s* select \s+ (?: \* \s+ from \s+ )?
    (?! (?: pg_catalog \. )? (?: version | current_schema ) \s* \( ) ["\w.]+ \s* \(
    (?: (?! \b from \b ) . )* \) (?: \s+ as \s+ "? \w+ "? )? [\s;]* \Z""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
_PREPARED_NAME = re.compile(r"\bprepare\s+transaction\s+'((?:[^']|'')+)'[\s;]*\Z", re.IGNORECASE)


def prepared_by(statement: str) -> Optional[str]:
    """Return the name of the transaction that a statement prepares (2PC), ``None`` for others.

    It stands at the end, whatever ran before it.
    """
    match = _PREPARED_NAME.search(statement) or _PREPARED_NAME.search(_COMMENT.sub(" ", statement))
    return match.group(1).replace("''", "'") if match else None


def outlives_its_transaction(statement: str) -> bool:
    """Tell whether a statement may leave something in its session that a rollback leaves there.

    ``SET``, ``LISTEN``, ``PREPARE``, temporary tables, session advisory locks, cursors ``WITH
    HOLD``; everything that is not plainly something else counts as well.
    """
    if "--" in statement or "/*" in statement:
        statement = _COMMENT.sub(" ", statement)
    pieces = statement.split(";")
    return bool(_LASTING_CALL.search(statement)) or not all(map(_PLAIN.match, pieces))


# --- whether it certainly does nothing but write rows or read them -------------------------------

#: The verbs whose ``rowcount`` tells how many rows were written.
ROW_WRITES = (b"insert", b"update", b"delete")
_ROW_READS = (b"select", b"with", b"show", b"set", b"values")

# Longer statements are not read.
_LONGEST = 4 * 1024 * 1024
_SHORT = 1000  # bytes of a statement that is remembered

# Literals and quoted names. Two quotes inside one read as two literals side by side, which end at
# the same place. With backslashes, E'' literals end elsewhere than plain ones do.
_QUOTED = re.compile(rb"""'[^']*'|"[^"]*\"""")
_QUOTED_WITH_BACKSLASHES = re.compile(
    rb"""(?<![\w$\x80-\xff])[eE]'[^'\\]*(?:(?:''|\\.)[^'\\]*)*'|'[^']*'|"[^"]*\"""", re.DOTALL
)
# Quotes that do not end, dollar quotes, comments and unicode escapes are not read.
_UNREAD_BYTES = b"'\"$\\"
_UNREAD_PARTS = (b"--", b"/*", b"u&\0")
_VERB = re.compile(rb"\s*([a-z]+)\b")
_CREATES = re.compile(rb"\binto\b")
_SYSTEM = re.compile(rb"(?<![a-z0-9_])(?:pg_|lo_|setval|information_schema)")

# Values of these types are quoted by the driver, whatever they say.
_QUOTED_TYPES = frozenset(
    (bool, int, float, str, bytes, type(None), decimal.Decimal, uuid.UUID)
    + (datetime.datetime, datetime.date, datetime.time, datetime.timedelta)
)

_names: Set[bytes] = set()
_forbidden: Optional["re.Pattern[bytes]"] = None


def forbid(names: FrozenSet[str]) -> None:
    """Say from now on that statements which name one of these functions may do more."""
    global _forbidden
    new = {name.encode().lower() for name in names} - _names
    if new:
        _names.update(new)
        words = b"|".join(map(re.escape, sorted(_names)))
        _forbidden = re.compile(rb"(?<![a-z0-9_])(?:%s)(?![a-z0-9_])" % words)
        _remembered.cache_clear()


def row_verb(query: bytes, standard: bool = False) -> Optional[bytes]:
    """Return the first word of a statement that certainly does nothing but write or read rows.

    :param query: what was sent.
    :param standard: whether ``standard_conforming_strings`` is known to be on.
    :return: ``None`` for any other.
    """
    return (_remembered if len(query) <= _SHORT else _row_verb)(query, standard)


def _row_verb(query: bytes, standard: bool) -> Optional[bytes]:
    query = query.lower()
    match = _VERB.match(query)
    found = match.group(1) if match else None
    if found not in ROW_WRITES and (found not in _ROW_READS or _CREATES.search(query)):
        return None
    if not _is_one(query, standard):
        return None
    suspect = b"pg_" in query or b"lo_" in query or b"setval" in query
    if (suspect or b"information_schema" in query) and _SYSTEM.search(query):
        return None
    if _forbidden is not None and _forbidden.search(query):
        return None
    return found


# Most tests of a suite run the same statements as others do.
_remembered = functools.lru_cache(maxsize=1000)(_row_verb)


def _is_one(query: bytes, standard: bool) -> bool:
    """Tell whether this is one statement, without anything in it that is hard to read."""
    if len(query) > _LONGEST:
        return False
    quoted = _QUOTED
    if b"\\" in query:
        if not standard:
            return False
        quoted = _QUOTED_WITH_BACKSLASHES
    code = quoted.sub(b"\0", query).rstrip(b"; \t\r\n")
    if b";" in code or len(code.translate(None, _UNREAD_BYTES)) < len(code):
        return False
    return not any(each in code for each in _UNREAD_PARTS)


def all_quoted(rows: Any) -> bool:
    """Tell whether the driver quotes every value of the rows, none being put in as it is."""
    if not isinstance(rows, (list, tuple)):
        return False
    for row in rows:
        values = row.values() if isinstance(row, dict) else row
        if not isinstance(row, (dict, list, tuple)) or not _QUOTED_TYPES.issuperset(
            map(type, values)
        ):
            return False
    return True


# --- savepoints ----------------------------------------------------------------------------------

_SAVEPOINT = re.compile(
    rb"""\s*(?P<verb>SAVEPOINT|RELEASE(?:\s+SAVEPOINT)?|ROLLBACK\s+TO(?:\s+SAVEPOINT)?)\s+
    (?P<name>"(?:[^"]|"")+"|\w+)\s*;?\s*""",
    re.VERBOSE | re.IGNORECASE,
)


def savepoint(query: bytes) -> Optional[Tuple[bytes, bytes]]:
    """Return what a statement does with a savepoint, and its name; ``None`` for any other.

    :param query: what was sent.
    :return: ``b"SAVEPOINT"``, ``b"RELEASE"`` or ``b"ROLLBACK"``, and the name as the server has it.
    """
    match = _SAVEPOINT.fullmatch(query)
    if match is None:
        return None
    name = match.group("name")
    return match.group("verb").split()[0].upper(), name if name[:1] == b'"' else name.lower()


# --- what a session that may only read is not to run ---------------------------------------------

# What lets the session write again, and the few things that a server lets pass in a transaction
# that is read-only although others see them afterwards.
_GETS_PAST = re.compile(
    r"""\b (?: begin | start \s+ transaction | set \s+ (?: (?: local | session ) \s+ )? transaction
        | set \s+ session \s+ characteristics ) \b [^;]*? \b read \s+ write \b
    | \b (?: (?: set | reset ) \b | set_config \s* \( ) [^;]*? transaction_read_only \b
      (?! \s* (?: = | to ) \s* '? (?: on | true | yes | 1 ) \b )
    | \b (?: reset | discard ) \s+ all \b \s* ; \s* \S | ; \s* (?: reset | discard ) \s+ all \b
    | \b (?: commit | rollback ) \s+ prepared \b | \b alter \s+ system \b
    | \b (?: lo_creat | lo_create | lo_from_bytea | lo_put | lo_import | lo_unlink | lo_truncate\w*
        | lowrite ) \s* \(""",
    re.IGNORECASE | re.VERBOSE,
)
_OF_DATABASE = re.compile(
    r"""\s* (?: create | drop | alter (?! .* \b rename \b ) ) \s+ database \s+
    (?: if \s+ exists \s+ )? (?P<name> "(?:[^"]|"")+" | [^\s;"']+ ) [^;]* ;? \s* \Z""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
_TEMPORARY = re.compile(
    r"\s*create\s+(?:(?:local|global)\s+)?temp(?:orary)?\s+table\s+(?:if\s+not\s+exists\s+)?"
    r"[^\s;(]+\s*\((?:(?!\bas\b)[^;])*;?\s*\Z",
    re.IGNORECASE,
)
_WRITES_FIRST = re.compile(
    r"[\s(]*(?:insert|update|delete|merge|truncate|create|alter|drop|copy)\b", re.I
)


def gets_past_read_only(statement: str) -> bool:
    """Tell whether a statement could write, or have the next ones write, in a read-only session."""
    uncommented = _COMMENT.sub(" ", statement)
    return bool(_GETS_PAST.search(statement) or _GETS_PAST.search(uncommented))


def is_plain_write(statement: str) -> bool:
    """Tell whether a statement begins with a word that writes; ``COPY ... TO`` does not."""
    text = _COMMENT.sub(" ", statement)
    if re.match(r"\s*copy\b", text, re.IGNORECASE):
        return re.search(r"\bfrom\s+(?:stdin|program|')", text, re.IGNORECASE) is not None
    return _WRITES_FIRST.match(text) is not None


def is_temporary_table(statement: str) -> bool:
    """Tell whether a statement makes an empty temporary table, and does nothing else."""
    return _TEMPORARY.match(_COMMENT.sub(" ", statement)) is not None


def database_made_or_dropped(statement: str) -> Optional[str]:
    """Return the name of the database that a statement creates, drops or alters, else ``None``."""
    match = _OF_DATABASE.match(_COMMENT.sub(" ", statement))
    if match is None:
        return None
    name = match.group("name")
    return name[1:-1].replace('""', '"') if name[0] == '"' else name.lower()
