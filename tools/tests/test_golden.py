"""tests/golden: repositories that the program made and that every reader must read, forever."""

import hashlib
import json
import re
import unittest
from pathlib import Path

from tools.tests.running import RecoverTest

GOLDEN = Path(__file__).parents[2] / "tests/golden"


class Golden(RecoverTest):
    def recovered(self, repository, *options):
        """What recover.py says of each of both backups, which it has just written to `self.output`."""
        key = re.search(r"`([0-9a-f]{64})`", (GOLDEN / "README.md").read_text()).group(1)
        (self.directory / "repository").symlink_to(GOLDEN / repository)
        backups = sorted(path.stem for path in (GOLDEN / repository).glob("**/*.manifest"))
        self.assertEqual(len(backups), 2)
        for number, backup in enumerate(backups):
            self.output = self.directory / f"out-{number}"
            done = self.run_recover(*options, key=key, backup=backup)
            self.assertEqual(done.returncode, 0, done.stderr)
            yield done

    def test_both_backups_come_out_whole(self):
        rows = []
        for done in self.recovered("v1", "--verify-ids"):
            self.assertIn("proven (level restore)", done.stdout)
            self.assertEqual((self.output / "archive.dump").read_bytes()[:5], b"PGDMP")
            self.assertIn("items", json.loads((self.output / "inventory.json").read_bytes()))
            copies = sorted((self.output / "rows").glob("*.copy"))
            rows.append(sum(copy.read_bytes().count(b"\n") for copy in copies))
        # The rows of the streams are among those that the README counts; the second day has 100 more.
        self.assertEqual(rows[1] - rows[0], 100)

    def test_both_clusters_come_out_whole(self):
        entry, table, wal = "base/16770/16771", [], []
        for done in self.recovered("v1-physical"):
            self.assertIn("proven (level restore)", done.stdout)
            data = self.output / "data"
            self.assertEqual((data / "PG_VERSION").read_text(), "15\n")
            label = (data / "backup_label").read_text()
            segment = re.search(r"\(file ([0-9A-F]{24})\)", label).group(1)
            wal.append(sorted(path.name for path in (self.output / "wal").iterdir()))
            for name in (segment, *wal[-1]):
                place = data / "pg_wal" if name == segment else self.output / "wal"
                self.assertEqual((place / name).stat().st_size, 1 << 20, name)
            table.append((data / entry).read_bytes())
        # In a backup and beside it is the WAL from its end on; the second has differences of the table.
        self.assertEqual(wal[0][-2:], wal[1])
        self.assertEqual(wal[1][-1], "000000010000000000000011")
        self.assertEqual([content.count(b"changed") for content in table], [0, 30])

    def test_they_are_as_they_were(self):
        found = list(GOLDEN.glob("v1*/**/*.sha256"))
        self.assertEqual(len(found), 4)
        for checksums in found:
            for line in checksums.read_text().splitlines():
                expected, key = line.split("  ", 1)
                self.assertEqual(hashlib.sha256((checksums.parent / key).read_bytes()).hexdigest(), expected, key)


if __name__ == "__main__":
    unittest.main()
