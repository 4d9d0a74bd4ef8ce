"""Set everything up and run the project's own tests: ``python3 -m tests [unittest arguments]``."""

import sys

from tests import environment

everything = ["discover", "-s", "tests", "-t", "."]
sys.exit(environment.run("-W", "error", "-m", "unittest", *(sys.argv[1:] or everything)))
