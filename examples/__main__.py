"""Set everything up and run the web application's tests: ``python3 -m examples [runner]``.

The runner is unittest, nose2 or pytest; what follows it is passed on.
"""

import os
import sys

from tests import environment

runner, *arguments = sys.argv[1:] or ["unittest", "discover", "-v"]
webapp = os.path.join(environment.ROOT, "examples", "webapp")
sys.exit(environment.run("-m", runner, *arguments, folder=webapp))
