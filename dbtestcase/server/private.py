"""Starts a PostgreSQL server of our own, which is gone when this process is gone.

The server is started by a guard, a small shell process that waits for the end of its standard
input. Only this process holds the other end of that pipe, so the guard wakes up however this
process ends (exit, exception, ``SIGTERM``, ``kill -9``), stops the server and removes its
directory. Guard and server are in sessions of their own, out of reach of Ctrl-C at the terminal.
"""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from typing import Any, Mapping, Optional
from urllib.parse import quote

from .. import where
from ..binaries import (
    REMEDY,
    Account,
    Binaries,
    copy_binaries,
    find_binaries,
    run_options,
    server_account,
)
from ..errors import ServerError

STARTUP_SECONDS = 60
QUIET_SECONDS = 1
STOP_SECONDS = 15
LOG_LINES = 15
PORT = 5432  # part of the socket's name; in the URL, so that PGPORT leads nowhere else
LONGEST_BASE = 60  # the path of a socket may have 103 bytes; our own part of it needs 34

# The guard is there before anything has to be removed: it makes the directory itself, tells its
# name, reads where the programs are, and tells in a word how the start went. Signals are for the
# suite, not for the guard.
GUARD = """
base=$1 username=$2
trap '' HUP INT PIPE QUIT TERM
directory=$(mktemp -d "$base/dbtestcase-XXXXXXXX") || exit
echo "$directory"
create() {
    "$bin/initdb" -D "$directory/data" -U "$username" -E UTF8 --locale="$1" \
        --auth-local=trust --auth-host=reject --no-sync
}
start() {
    { create C.UTF-8 || create C; } &&
        cat "$directory/settings" >>"$directory/data/postgresql.conf" &&
        "$bin/pg_ctl" start -D "$directory/data" -l "$directory/server.log" -w -t 50
}
if IFS= read -r bin; then
    if start >"$directory/start.log" 2>&1; then echo ready; else echo failed; fi
    exec >/dev/null 2>&1
    read -r end
    "$bin/pg_ctl" stop -D "$directory/data" -m immediate -w -t 10
fi
rm -rf "$directory"
"""


class PrivateServer:
    """A server on a Unix socket in a private directory, without TCP and without passwords.

    :param binaries: the directory of PostgreSQL's programs; searched for when ``None``.
    :param settings: settings for ``postgresql.conf``.
    :param username: the superuser's name.
    :raises ServerError: it cannot be started; the text has the end of its log.
    """

    def __init__(
        self, binaries: Optional[str], settings: Mapping[str, object], username: str
    ) -> None:
        began = where.now()
        account = server_account()
        found = find_binaries(account, binaries)
        self.username = username
        self.directory = ""  # until the guard has made it
        try:
            guard: Any = subprocess.Popen(
                ["/bin/sh", "-c", GUARD, "dbtestcase-guard", _base(account), username],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                universal_newlines=True,
                start_new_session=True,
                **run_options(account),
            )
        except OSError as error:
            raise ServerError("cannot start a private PostgreSQL server: %s" % error) from error
        self._guard = guard
        try:
            self.directory = self._guard.stdout.readline().strip()
            if not self.directory:
                raise ServerError(
                    "cannot start a private PostgreSQL server: it found no room for its"
                    " directory.\n"
                    "  Set TMPDIR to a short path that everybody may write to.\n" + REMEDY
                )
            self._start(found, account, settings)
            self._await_start(found, began)
        except BaseException:
            self.stop()
            raise

    def url(self, drivername: str, database: str) -> str:
        """Return the URL of a database on this server."""
        user = quote(self.username, safe="")
        return "%s://%s@:%d/%s?host=%s" % (drivername, user, PORT, database, self.directory)

    def stop(self) -> None:
        """End the server at once and remove its directory, if it is this process's to end."""
        if self._guard.returncode is not None:
            return
        for stream in (self._guard.stdin, self._guard.stdout):
            with contextlib.suppress(OSError):  # the guard may be gone already
                stream.close()
        deadline = where.now() + STOP_SECONDS
        while self._guard.poll() is None and where.now() < deadline:
            where.pause(0.01)
        if self._guard.returncode is None:
            os.killpg(self._guard.pid, signal.SIGKILL)
            self._guard.wait()
            shutil.rmtree(self.directory, ignore_errors=True)

    def disown(self) -> None:
        """Leave the server, in a forked child, to the process that started it."""
        self._guard.stdin.close()  # or the server would live as long as the child
        self._guard.returncode = 0  # not our child: nothing to wait for, nothing to warn about

    def _start(
        self, found: Binaries, account: Optional[Account], settings: Mapping[str, object]
    ) -> None:
        """Lay out what the guard needs, and let it begin."""
        try:
            _write_settings(self.directory, settings)
            if account and not found.reachable:
                found = copy_binaries(found, self.directory, account)
            self._guard.stdin.write(found.directory + "\n")
            self._guard.stdin.flush()
        except OSError as error:
            raise ServerError("cannot start a private PostgreSQL server: %s" % error) from error

    def _await_start(self, found: Binaries, began: float) -> None:
        with self._guard.stdout as output:
            if not _readable(output, began + QUIET_SECONDS):
                words = "dbtestcase: starting a private PostgreSQL %s server ..." % found.version
                print(words, file=sys.stderr, flush=True)
            in_time = _readable(output, began + STARTUP_SECONDS)
            if in_time and output.readline() == "ready\n":
                return
        raise ServerError(
            "the private PostgreSQL %s server did not start%s.\n"
            "  Its programs: %s\n  The end of its log:\n%s\n%s"
            % (
                found.version,
                "" if in_time else " within %g s" % STARTUP_SECONDS,
                found.directory,
                self._end_of_log(),
                REMEDY,
            )
        )

    def _end_of_log(self) -> str:
        """Return the last lines of the server, or of what should have started it."""
        for name in ("server.log", "start.log"):
            try:
                with open(os.path.join(self.directory, name), errors="replace") as log:
                    lines = log.read().splitlines()[-LOG_LINES:]
            except OSError:
                continue
            if lines:
                return "\n".join("    " + line for line in lines)
        return "    (empty)"


def _readable(stream: Any, deadline: float) -> bool:
    """Wait until there is something to read (or the end), at most until the deadline."""
    with selectors.DefaultSelector() as selector:  # select() fails above 1024 open files
        selector.register(stream, selectors.EVENT_READ)
        return bool(selector.select(max(0.0, deadline - where.now())))


def _base(account: Optional[Account]) -> str:
    """Return where to make the server's directory, with room for a socket's name in the path."""
    bases = [tempfile.gettempdir(), "/tmp", "/var/tmp"]
    return next((base for base in bases if _suits(base, account)), "/tmp")


def _suits(base: str, account: Optional[Account]) -> bool:
    """Tell whether a path fits a socket and a URL as it is, and the account may write there."""
    if len(base) > LONGEST_BASE or not re.match(r"[\w./-]+\Z", base, re.ASCII):
        return False
    if not account:
        return os.access(base, os.W_OK | os.X_OK)
    parts = os.path.realpath(base).split("/")
    paths = ["/".join(parts[: n + 1]) or "/" for n in range(len(parts))]
    passes = all(os.stat(path).st_mode & stat.S_IXOTH for path in paths)
    return passes and bool(os.stat(base).st_mode & stat.S_IWOTH)


def _write_settings(directory: str, settings: Mapping[str, object]) -> None:
    """Write values as PostgreSQL's configuration file has them between quotes."""
    own = {"unix_socket_directories": directory, "port": PORT}
    with open(os.path.join(directory, "settings"), "w", encoding="utf-8") as file:
        for name, value in {**settings, **own}.items():
            text = str(value)
            if isinstance(value, bool):
                text = "on" if value else "off"
            for character, written in (("\\", "\\\\"), ("'", "''"), ("\n", "\\n")):
                text = text.replace(character, written)
            file.write("%s = '%s'\n" % (name, text))
    os.chmod(file.name, 0o644)
