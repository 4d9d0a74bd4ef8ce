"""The rules of the package's structure, each a function that looks at the source and runs nothing.

A rule takes a package, a mapping of ``{path below the package: source text}``, and returns a line
for each place where the package breaks it.
"""

import ast
import io
import re
import tokenize

from tests.reading import (
    NAME,
    dotted,
    folders,
    import_statements,
    imported_with_the_module,
    imports,
    is_in,
    modules_used,
    named_modules,
    own_base,
    public_names,
    room_of,
    texts,
    tree_of,
)

# --- the order of the rooms, written down here and nowhere else -----------------------------------

# Around the core: each room, and which others of this ring it may import. All may import the core
# and what is below it.
AROUND = {
    "__main__": ["commands"],
    "__init__": ["assertions", "forbidding", "report", "server"],
    "commands": ["server"],
    "nose2": ["report"],
    "report": ["assertions"],
    "evidence": ["assertions"],
    "forbidding": [],
    "server": [],
    "assertions": [],
}
# The core, the watch on connections, and the ground: each room may import those after it.
CORE = ["testcase", "declared", "strategies", "databases", "dialects"]
WATCH = ["connections"]
GROUND = ["contracts", "binaries", "_compat", "where", "events", "errors"]
# What else the test case is put together from.
PUT_TOGETHER = {"testcase": ["assertions", "evidence"]}

FILE_LINES = 420
FUNCTION_LINES = 45  # without its docstring
ENTRIES = 22

OPTIONAL = ("flask", "flask_sqlalchemy", "flask_sqlalchemy_lite", "nose2", "psycopg", "psycopg2")
VERSION = re.compile(r"\bversion_info\b|\b__version__\b|importlib\.metadata|\bhexversion\b")
STATEMENT = re.compile(
    r"^\s*(SELECT\s.+\sFROM|INSERT INTO|UPDATE\s.+\sSET|DELETE FROM|TRUNCATE|LOCK TABLE|SHOW|SET"
    r"|PRAGMA"
    r"|(CREATE|DROP|ALTER) (TABLE|DATABASE|INDEX|SCHEMA|SEQUENCE|TYPE|VIEW|ROLE|FUNCTION))\s+\S",
    re.DOTALL,
)
NAMED = re.compile(r"``((?!tests/)[\w/]+\.py)``|:mod:`dbtestcase\.([\w.]+)`")
POSTGRESQL = "dialects.postgresql"
POSTGRESQL_IN_TEXT = re.compile(r"(?<!sqlalchemy\.)\bdialects[./]postgresql\b")


# --- the rules ------------------------------------------------------------------------------------


def wrong_layers(package):
    """Rooms import downwards alone, also in functions; for types they may import any."""
    below = CORE + WATCH + GROUND
    found = []
    for path in sorted(package):
        room = room_of(dotted(path))
        if room in AROUND:
            allowed = AROUND[room] + below
        elif room in below:
            allowed = below[below.index(room) + 1 :] + PUT_TOGETHER.get(room, [])
        else:
            found.append("%s: the room %s is in no ring" % (path, room))
            continue
        for module, _, for_types in imports(package, path):
            if not for_types and room_of(module) not in [room] + allowed:
                found.append("%s imports %s" % (path, module or NAME))
    return found


def circles_of_rooms(package):
    """No rooms import each other, also by way of others."""
    return ["circle of rooms: " + ", ".join(each) for each in circles(_graph(package, room_of))]


def circles_of_files(package):
    """No files import each other, also by way of others, also in functions."""
    return ["circle: " + ", ".join(each) for each in circles(_graph(package, lambda name: name))]


def circles(graph):
    """Return the groups of nodes that lead to each other."""
    reached = {}
    for start in graph:
        found, waiting = set(), [start]
        while waiting:
            new = graph.get(waiting.pop(), set()) - found
            found |= new
            waiting += new
        reached[start] = found
    groups = {
        tuple(sorted(b for b in reached[a] if a in reached.get(b, ())))
        for a in graph
        if a in reached[a]
    }
    return sorted(groups)


def _graph(package, node_of):
    graph = {}
    for path in sorted(package):
        node = node_of(dotted(path))
        used = {node_of(module) for module, _, types in imports(package, path) if not types}
        graph.setdefault(node, set()).update(used - {node})
    return graph


def past_doors(package):
    """A folder is imported by others through its ``__init__`` alone, also for types."""
    found = []
    for path in sorted(package):
        for module in modules_used(package, path):
            behind = [each for each in folders(package) if is_in(module, each) and module != each]
            passed = [each for each in sorted(behind) if not is_in(dotted(path), each)]
            if passed:
                found.append("%s goes past the door of %s: %s" % (path, passed[0], module))
    return found


def bad_doors(package):
    """Each folder has a door with a docstring and an ``__all__``, in which there are no modules."""
    found = []
    for folder in sorted(folders(package) | {""}):
        path = (folder.replace(".", "/") + "/__init__.py").lstrip("/")
        if path not in package:
            found.append("%s has no door" % folder)
            continue
        tree = tree_of(package[path])
        names = public_names(tree)
        if not ast.get_docstring(tree):
            found.append("%s has no docstring" % path)
        if names is None and not (folder == "_compat" and _is_star_door(package, path)):
            found.append("%s has no __all__" % path)
        handed = set(names or []) & set(named_modules(package, path))
        found += ["%s hands out the module %s" % (path, name) for name in sorted(handed)]
    return found


def _is_star_door(package, path):
    """Tell whether a door hands out what is public in each module of its room."""
    starred = {
        own_base(path, node)
        for node, _ in import_statements(tree_of(package[path]))
        if isinstance(node, ast.ImportFrom) and node.names[0].name == "*"
    }
    room = dotted(path)
    return starred == {dotted(each) for each in package if is_in(dotted(each), room)} - {room}


def postgresql_outside(package):
    """Only ``dialects/`` knows ``dialects.postgresql``, by an import, by importlib or by a text."""
    found = []
    for path in sorted(package):
        if not path.startswith("dialects/"):
            used = modules_used(package, path)
            found += ["%s uses %s" % (path, each) for each in used if is_in(each, POSTGRESQL)]
        if path != "dialects/__init__.py":
            tree = tree_of(package[path])
            named = [each for each in texts(tree) if POSTGRESQL_IN_TEXT.search(each)]
            found += ["%s names %s" % (path, each) for each in named]
            found += ["%s imports its own by importlib" % path] * len(list(_own_by_importlib(tree)))
    return found


def _own_by_importlib(tree):
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        if name in ("import_module", "__import__"):
            relative = name == "import_module" and len(node.args) + len(node.keywords) > 1
            named = [each for part in node.args for each in texts(part)]
            if relative or any(each.startswith((".", NAME)) for each in named):
                yield node


def events_importing(package):
    """``events`` imports nothing of the package."""
    return [
        "%s imports %s" % (path, module or NAME)
        for path in sorted(package)
        if is_in(dotted(path), "events")
        for module, _, _ in imports(package, path)
    ]


def private_names(package):
    """No module uses a name of another that begins with an underscore."""
    found = []
    for path in sorted(package):
        tree = tree_of(package[path])
        for node, _ in import_statements(tree):
            base = own_base(path, node) if isinstance(node, ast.ImportFrom) else None
            if base:
                found += [(path, base, alias.name) for alias in node.names]
        modules = named_modules(package, path)
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and getattr(node.value, "id", None) in modules:
                found.append((path, modules[node.value.id], node.attr))
    return ["%s uses %s.%s" % each for each in found if re.match("_(?!_)", each[2])]


def versions_outside(package):
    """Versions are looked at in ``_compat`` alone."""
    return _outside(package, "_compat", lambda text: VERSION.findall(text))


def clocks_outside(package):
    """The time is asked and waited for in ``where.py`` alone: tests stop and mock other clocks."""
    return _outside(
        package,
        "where.py",
        lambda text: [
            name
            for node, _ in import_statements(tree_of(text))
            for name in (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module] * (not node.level)
            )
            if name == "time"
        ],
    )


def sql_outside(package):
    """SQL is in ``dialects/`` alone."""
    return _outside(
        package,
        "dialects/",
        lambda text: [each for each in texts(tree_of(text)) if STATEMENT.search(each)],
    )


def optional_libraries(package):
    """Optional libraries are imported where they are used; nose2 itself loads its plugin."""
    return _outside(
        package,
        "nose2.py",
        lambda text: [
            name
            for name in imported_with_the_module(tree_of(text))
            if name.split(".")[0] in OPTIONAL
        ],
    )


def _outside(package, allowed, look):
    return [
        "%s: %s" % (path, each)
        for path in sorted(package)
        if not path.startswith(allowed)
        for each in look(package[path])
    ]


def errors_outside(package):
    """Public exceptions are in ``errors.py`` alone."""
    classes = [
        (path, node)
        for path in sorted(package)
        for node in ast.walk(tree_of(package[path]))
        if isinstance(node, ast.ClassDef)
    ]
    public, before = {"DatabaseTestCaseError"}, set()
    while public != before:
        before = set(public)
        for _, node in classes:
            bases = {getattr(base, "id", getattr(base, "attr", None)) for base in node.bases}
            if bases & public:
                public.add(node.name)
    return [
        "%s has the error %s" % (path, node.name)
        for path, node in classes
        if node.name in public and path != "errors.py"
    ]


def long_files(package):
    """No file is too long."""
    lengths = [(path, len(package[path].splitlines())) for path in sorted(package)]
    return ["%s has %d lines" % each for each in lengths if each[1] > FILE_LINES]


def long_functions(package):
    """No function is too long."""
    return [
        "%s: %s() has %d lines" % (path, name, lines)
        for path in sorted(package)
        for name, lines in function_lengths(package[path])
        if lines > FUNCTION_LINES
    ]


def function_lengths(text):
    """Yield the name of each function and its number of lines without decorators and docstring.

    By tokens: syntax trees of Python 3.7 do not say where a function ends.
    """
    lines = list(_logical_lines(text))
    for number, (depth, tokens) in enumerate(lines):
        words = [token.string for token in tokens if token.string != "async"]
        if words[0] != "def":
            continue
        body = []
        for deeper, inner in lines[number + 1 :]:
            if deeper <= depth:
                break
            body.append(inner)
        end = (body or [tokens])[-1][-1].end[0]
        length = end - tokens[0].start[0] + 1
        if body and all(token.type == tokenize.STRING for token in body[0]):
            length -= body[0][-1].end[0] - body[0][0].start[0] + 1
        yield words[1], length


def _logical_lines(text):
    """Yield the depth and the tokens of each statement, or of the first line of a block."""
    depth, tokens = 0, []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (tokenize.INDENT, tokenize.DEDENT):
            depth += 1 if token.type == tokenize.INDENT else -1
        elif token.type == tokenize.NEWLINE:
            yield depth, tokens
            tokens = []
        elif token.type not in (tokenize.NL, tokenize.COMMENT, tokenize.ENDMARKER):
            tokens.append(token)


def stale_names(package, documents=None):
    """Files that are named in prose are there.

    :param documents: other texts by their names, such as that of CONTRIBUTING.rst.
    """
    files = ["/%s/%s" % (NAME, path) for path in package]
    modules = {dotted(path) for path in package}
    found = []
    for path, text in sorted(dict(package, **(documents or {})).items()):
        for file, module in NAMED.findall(text):
            if module and module not in modules:
                found.append("%s names %s" % (path, module))
            elif file and not any(each.endswith("/" + file) for each in files):
                found.append("%s names %s" % (path, file))
    return found


def too_many_entries(names):
    """Not too much is directly in the package."""
    return ["%d entries: %s" % (len(names), ", ".join(sorted(names)))] * (len(names) > ENTRIES)


def collected_by_runners(package):
    """No public name begins as tests do: runners would collect it."""
    names = public_names(tree_of(package["__init__.py"])) or []
    return [name for name in names if name.startswith(("Test", "test_"))]
