"""tests/golden/v1: a repository that the program made and that every reader must read, forever."""

import hashlib
import json
import re
import unittest
from pathlib import Path

from tools.tests.running import RecoverTest

GOLDEN = Path(__file__).parents[2] / "tests/golden"


class Golden(RecoverTest):
    def test_both_backups_come_out_whole(self):
        key = re.search(r"`([0-9a-f]{64})`", (GOLDEN / "README.md").read_text()).group(1)
        (self.directory / "repository").symlink_to(GOLDEN / "v1")
        backups = sorted(path.stem for path in (GOLDEN / "v1").glob("**/*.manifest"))
        self.assertEqual(len(backups), 2)
        rows = []
        for number, backup in enumerate(backups):
            self.output = self.directory / f"out-{number}"
            done = self.run_recover("--verify-ids", key=key, backup=backup)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("proven (level restore)", done.stdout)
            self.assertEqual((self.output / "archive.dump").read_bytes()[:5], b"PGDMP")
            self.assertIn("items", json.loads((self.output / "inventory.json").read_bytes()))
            copies = sorted((self.output / "rows").glob("*.copy"))
            rows.append(sum(copy.read_bytes().count(b"\n") for copy in copies))
        # The rows of the streams are among those that the README counts; the second day has 100 more.
        self.assertEqual(rows[1] - rows[0], 100)

    def test_it_is_as_it_was(self):
        for checksums in (GOLDEN / "v1").glob("**/*.sha256"):
            for line in checksums.read_text().splitlines():
                expected, key = line.split("  ", 1)
                self.assertEqual(hashlib.sha256((checksums.parent / key).read_bytes()).hexdigest(), expected, key)


if __name__ == "__main__":
    unittest.main()
