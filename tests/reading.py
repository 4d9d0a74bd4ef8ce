"""The source of the package, read without running it: its modules, imports, names and texts.

A package is a mapping of ``{path below the package: source text}``, so that a test can make one.
"""

import ast
import functools
import os

ROOT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "dbtestcase")
NAME = "dbtestcase"
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def package():
    """Return the texts of the real package."""
    found = {}
    for folder, _, names in os.walk(ROOT):
        for name in names:
            if name.endswith(".py"):
                path = os.path.join(folder, name)
                with open(path, encoding="utf-8") as file:
                    found[os.path.relpath(path, ROOT).replace(os.sep, "/")] = file.read()
    return found


def document(name):
    """Return the text of a document beside the package."""
    with open(os.path.join(os.path.dirname(ROOT), name), encoding="utf-8") as file:
        return file.read()


def entries():
    """Return what is directly in the folder of the real package."""
    return [name for name in os.listdir(ROOT) if not name.startswith((".", "__pycache__"))]


@functools.lru_cache(maxsize=None)
def tree_of(text):
    """Return the syntax tree of a module."""
    return ast.parse(text)


def dotted(path):
    """Return the name of a module below the package, ``""`` for the package itself."""
    parts = path[: -len(".py")].split("/")
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def folders(package):
    """Return the dotted names of the rooms that are folders, and of the rooms within them."""
    found = set()
    for path in package:
        parts = path.split("/")[:-1]
        found.update(".".join(parts[: length + 1]) for length in range(len(parts)))
    return found


def is_in(module, folder):
    """Tell whether a module is in a folder, or is its door."""
    return module == folder or module.startswith(folder + ".")


def room_of(module):
    """Return the room of a module: what is directly in the package."""
    return module.split(".")[0] or "__init__"


def import_statements(node, for_types=False):
    """Yield each import, also of functions, and whether only type checkers see it."""
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        yield node, for_types
    test = node.test if isinstance(node, ast.If) else None
    if "TYPE_CHECKING" in (getattr(test, "id", None), getattr(test, "attr", None)):
        for each in node.body:
            yield from import_statements(each, for_types=True)
        for each in node.orelse:
            yield from import_statements(each, for_types)
    else:
        for each in ast.iter_child_nodes(node):
            yield from import_statements(each, for_types)


def own_base(path, node):
    """Return the module of the package that ``from`` names, ``None`` where it names another."""
    parts = path.split("/")[:-1]
    if node.level:
        parts = parts[: len(parts) - node.level + 1]
        return ".".join(parts + ([node.module] if node.module else []))
    first, _, rest = (node.module or "").partition(".")
    return rest if first == NAME else None


def imports(package, path):
    """Yield each module of the package that a file imports, its name there, and if for types alone.

    The name is ``None`` where the file takes something out of the module. What a door has under the
    name of one of its modules is the door's, for all who are outside.
    """
    modules = {dotted(each) for each in package}
    for node, for_types in import_statements(tree_of(package[path])):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first, _, rest = alias.name.partition(".")
                if first == NAME:
                    yield rest, alias.asname, for_types
            continue
        base = own_base(path, node)
        if base is None:
            continue
        for alias in node.names:
            module = ("%s.%s" % (base, alias.name)).strip(".")
            outside = not is_in(dotted(path), base)
            if module not in modules or (outside and alias.name in own_names(package, base)):
                yield base, None, for_types
            else:
                yield module, alias.asname or alias.name, for_types


def named_modules(package, path):
    """Return the names that a file has for modules of the package, with these modules."""
    return {name: module for module, name, _ in imports(package, path) if name}


def own_names(package, folder):
    """Return the names that a door has, without those of modules."""
    path = folder.replace(".", "/") + "/__init__.py"
    names = set()
    for node in tree_of(package.get(path, "")).body:
        if isinstance(node, FUNCTIONS + (ast.ClassDef,)):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names.update(each.id for each in node.targets if isinstance(each, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
        elif isinstance(node, ast.ImportFrom) and own_base(path, node) != folder:
            names.update(alias.asname or alias.name for alias in node.names)
    return names


def modules_used(package, path):
    """Return the modules that a file imports, or has as an attribute of a door."""
    modules = {dotted(each) for each in package}
    doors = named_modules(package, path)
    found = {module for module, _, _ in imports(package, path)}
    for node in ast.walk(tree_of(package[path])):
        door = isinstance(node, ast.Attribute) and doors.get(getattr(node.value, "id", None))
        module = "%s.%s" % (door, getattr(node, "attr", None))
        if door and module in modules and node.attr not in own_names(package, door):
            found.add(module)
    return sorted(found)


def public_names(tree):
    """Return what ``__all__`` of a module says, ``None`` where it has none."""
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(each, ast.Name) and each.id == "__all__" for each in targets):
            return [str(each) for each in ast.literal_eval(node.value)]
    return None


def imported_with_the_module(tree):
    """Yield the names of the modules that an import of this one imports for sure."""
    waiting = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module
        elif isinstance(node, ast.Try):
            waiting += node.body
        elif isinstance(node, (ast.ClassDef, ast.With)):
            waiting += node.body
        elif isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.dump(node.test):
            waiting += node.body + node.orelse


def texts(tree):
    """Yield the texts in a module's code, without its docstrings."""
    documented = (ast.Module, ast.ClassDef) + FUNCTIONS
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        kind = type(node).__name__
        value = node.s if kind == "Str" else getattr(node, "value", None)  # up to Python 3.7
        if kind in ("Constant", "Str") and isinstance(value, str):
            if id(node) not in docstrings:
                yield value
