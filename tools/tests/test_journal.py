"""The check of a journal that docs/format.md shows, run on the journal of the test vectors."""

import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from tools import recover
from tools.tests.test_vectors import HOLDER_KEY, REPOSITORY_ID, ROOT_KEYS, VECTORS

ROOT = Path(__file__).parents[2]
LINES = [line.encode() for line in VECTORS["journal"]["lines"]]


def program():
    section = (ROOT / "docs/format.md").read_text().split("\n## 18. Journal\n")[1]
    return re.search(r"```python\n(.*?)```", section, re.DOTALL).group(1)


class Journal(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="journal-test-")
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        repository = self.directory / "repository"
        (repository / "keys").mkdir(parents=True)
        (repository / "chronavault.json").write_text(VECTORS["heads"][1])
        for identity, slot in zip(VECTORS["keys"]["slot_ids"], VECTORS["slots"]):
            (repository / f"keys/{identity}.slot").write_bytes(bytes.fromhex(slot["bytes"]))

    def check(self, lines, with_key):
        """The status of the check and what it says."""
        # In two files, as a journal that was rotated.
        paths = [self.directory / "one.jsonl", self.directory / "two.jsonl"]
        for path, part in zip(paths, (lines[:2], lines[2:])):
            path.write_bytes(b"".join(line + b"\n" for line in part))
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "tools")}
        if with_key:
            key = {"REPOSITORY": str(self.directory / "repository"), "BACKUP_ENCRYPTION_KEY": HOLDER_KEY.hex()}
            environment.update(key)
        command = [sys.executable, "-c", program(), *map(str, paths)]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        self.assertNotIn("Traceback", ended.stderr)
        return ended.returncode, ended.stdout + ended.stderr

    def test_the_key_is_derived_as_the_page_says(self):
        key = recover.hkdf(ROOT_KEYS[0], REPOSITORY_ID, b"chronavault v1 journal", 32)
        self.assertEqual(key.hex(), VECTORS["journal"]["key"])

    def test_the_journal_is_sound(self):
        for with_key in (False, True):
            status, said = self.check(LINES, with_key)
            self.assertEqual((status, said[:9]), (0, "4 entries"), said)

    def test_damage_is_found(self):
        removed, moved = LINES[:1] + LINES[2:], [LINES[1], LINES[0], *LINES[2:]]
        for lines in (removed, moved, LINES[:2] + LINES[3:]):
            for with_key in (False, True):
                status, said = self.check(lines, with_key)
                self.assertEqual(status, 1, said)
        changed = list(LINES)
        changed[-1] = changed[-1].replace(b'"rows":24', b'"rows":23')
        self.assertNotEqual(changed, LINES)
        self.assertEqual(self.check(changed, False)[0], 0, "without a key nobody can tell")
        status, said = self.check(changed, True)
        self.assertEqual((status, "something else" in said), (1, True), said)


if __name__ == "__main__":
    unittest.main()
