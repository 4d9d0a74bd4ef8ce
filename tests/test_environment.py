import unittest

from tests import support

WITHOUT = """
import importlib.util
from tests import environment
found = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name in ("ensurepip", "virtualenv") else found(name)
environment.create()
"""
TWICE = """
from tests import environment
environment.create = lambda: print("made anew")
environment.install = environment.write_ready = lambda *_: None
environment.has_postgresql = lambda: True
for stamp in (None, "another", environment.fingerprint()):
    environment.read = lambda path: stamp
    environment.prepare()
"""


class EnvironmentTest(unittest.TestCase):
    def test_says_what_to_install_where_no_virtual_environment_can_be_made(self):
        done = support.run_python("-c", WITHOUT)
        self.assertEqual(done.returncode, 1)
        self.assertIn("apt-get install python3-venv", done.stderr)

    def test_is_made_anew_only_when_setup_or_python_changed(self):
        done = support.run_python("-c", TWICE)
        self.assertEqual(done.stdout.count("made anew"), 2, done.stderr)
