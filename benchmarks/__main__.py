"""Set everything up and run the benchmarks: ``python3 -m benchmarks [arguments]``."""

import subprocess
import sys

from tests import environment

DJANGO = "Django>=3.2"  # measured beside ours, and needed for nothing else

environment.prepare()
if subprocess.call([environment.PYTHON, "-c", "import django"], stderr=subprocess.DEVNULL):
    pip = [environment.PYTHON, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    if subprocess.call(pip + [DJANGO]):
        print("Django could not be installed: it is left out", flush=True)
sys.exit(environment.run("-m", "benchmarks.run", *sys.argv[1:]))
