"""What the tests of recover.py have in common: a directory of their own, and running the program as a person would."""

import io
import os
import subprocess
import sys
import tempfile
import unittest
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

from tools import recover
from tools.tests.sealing import BACKUP, HOLDER_KEY, REGION, ClusterSample, Repository, Sample

RECOVER = Path(__file__).parent.parent / "recover.py"


class RecoverTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="recover-test-")
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        self.output = self.directory / "out"

    def repository(self, name="repository", **options):
        return Repository(self.directory / name, **options)

    def sample(self, name="repository", change=None, **options):
        """A sample backup, stored in a new repository."""
        return Sample(self.repository(name, **options)).put(change)

    def cluster(self, name="repository", **options):
        """A sample of a physical backup, to be stored in a new repository."""
        return ClusterSample(self.repository(name, region_bytes=REGION), **options)

    def run_recover(self, *options, key=HOLDER_KEY.hex(), backup=BACKUP, environment=None):
        """Runs recover.py within this process; returns its status and what it said."""
        arguments = [str(self.directory / "repository"), backup, str(self.output), *options]
        variables = {"BACKUP_ENCRYPTION_KEY": key, **(environment or {})}
        stdout, stderr = io.StringIO(), io.StringIO()
        # Not a strict umask, so that modes are seen to be set by the program.
        umask = os.umask(0o022)
        with mock.patch.dict(os.environ, variables), redirect_stdout(stdout), redirect_stderr(stderr):
            try:
                status = recover.main(arguments)
            except SystemExit as exit:
                status = exit.code
            finally:
                os.umask(umask)
        return subprocess.CompletedProcess(arguments, status, stdout.getvalue(), stderr.getvalue())

    def run_recover_alone(self, *options):
        """The same as a program of its own."""
        arguments = [str(self.directory / "repository"), BACKUP, str(self.output), *options]
        variables = {"PATH": os.environ["PATH"], "BACKUP_ENCRYPTION_KEY": HOLDER_KEY.hex()}
        command = [sys.executable, str(RECOVER), *arguments]
        return subprocess.run(command, env=variables, capture_output=True, text=True, check=False)

    def assert_fails(self, status, *words, **options):
        """It must end with `status`, one sentence that has `words`, and without having written anything."""
        done = self.run_recover(**options)
        self.assertEqual(done.returncode, status, done.stderr)
        sentence = done.stderr.strip().splitlines()[-1]
        self.assertTrue(sentence.startswith("recover.py: "), done.stderr)
        self.assertNotIn("Traceback", done.stderr)
        for word in words:
            self.assertIn(word, sentence)
        written = [path for path in self.output.rglob("*") if path.is_file()] if self.output.exists() else []
        self.assertEqual(written, [])
        self.assertEqual(done.stdout, "")
