import os
import re
import shlex
import shutil
import tempfile
import textwrap
import unittest

from tests import support

BLOCK = re.compile(r"^\.\. code-block:: (\w+)\n\n((?:(?:    .*)?\n)+)", re.MULTILINE)
WEBAPP = os.path.join(support.ROOT, "examples", "webapp", "webapp")


def read(*path):
    with open(os.path.join(support.ROOT, *path), encoding="utf-8") as file:
        return file.read()


def blocks(language):
    found = BLOCK.findall(read("README.rst"))
    return [textwrap.dedent(text) for name, text in found if name == language]


def commands(block):
    """Yield each command of a console block with the output that is shown under it."""
    for entry in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, output = entry.partition("\n")
        yield command, output.strip()


def without_varying_parts(output):
    output = re.sub(r"\d+\.\d+s", "0.000s", output)
    return re.sub(r"\((test_\w+\.\w+)(\.test_\w+)?\)", r"(\1)", output.strip())


@support.requires("flask_sqlalchemy")
class ReadmeTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        shutil.copytree(WEBAPP, os.path.join(self.folder, "webapp"))
        for block in blocks("python"):
            path = os.path.join(self.folder, self.file_of(block))
            with open(path, "w", encoding="utf-8") as file:
                file.write(block)

    def file_of(self, block):
        name = re.match(r"# (test_\w+\.py)\n", block)
        self.assertTrue(name, "its first line does not say which file this is:\n" + block)
        return name.group(1)

    def run_here(self, *arguments):
        environment = {
            "DBTESTCASE_POSTGRESQL_URL": support.server_url(),
            "TMPDIR": self.folder,  # where no other run of this user is announced
            "PYTHONWARNINGS": "ignore::DeprecationWarning",  # of Flask-SQLAlchemy 2's own
        }
        return support.run_python(*arguments, cwd=self.folder, env=environment)

    def test_every_python_block_is_a_module_whose_tests_pass(self):
        self.assertTrue(blocks("python"))
        for block in blocks("python"):
            module = self.file_of(block)[: -len(".py")]
            with self.subTest(module):
                done = self.run_here("-m", "unittest", module)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertRegex(done.stderr, "Ran [1-9]")

    def test_every_command_does_what_the_block_shows(self):
        self.assertTrue(blocks("console"))
        for block in blocks("console"):
            for command, output in commands(block):
                with self.subTest(command):
                    self.check(shlex.split(command), output)

    def check(self, command, output):
        if command[0] == "python3":
            self.check_that_the_command_exists(command)
        elif command[:4] == ["python", "-m", "pip", "install"]:
            self.check_that_setup_knows(command[4])
        else:
            self.assertEqual(command[0], "python")
            done = self.run_here(*command[1:])
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            shown = without_varying_parts(done.stdout + done.stderr)
            self.assertEqual(shown if output else "", without_varying_parts(output))

    def check_that_the_command_exists(self, command):
        self.assertTrue(os.path.exists(os.path.join(support.ROOT, command[2], "__main__.py")))
        self.assertIn('"$python" -m %s' % command[2], read(".ci", "run"))

    def check_that_setup_knows(self, requirement):
        name, _, extras = requirement.rstrip("]").partition("[")
        self.assertEqual(name, "dbtestcase")
        for extra in extras.split(","):
            self.assertIn('"%s": ' % extra, read("setup.py"))

    def test_has_no_block_that_is_not_run(self):
        directives = re.findall(r"^.*(?<!image)::(?: .*)?$", read("README.rst"), re.MULTILINE)
        self.assertEqual(len(directives), len(blocks("python") + blocks("console")))

    def test_stays_under_250_lines(self):
        self.assertLess(read("README.rst").count("\n"), 250)
