"""recover_wal.py: what it writes from an archive, and what it refuses (docs/format.md, section 15)."""

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from unittest import mock

from tools import recover, recover_wal
from tools.tests.running import RECOVER, RecoverTest
from tools.tests.sealing import HOLDER_KEY, Container, seal_wal, wal_segment

SYSTEM = 7312345678901234567
SIZE = 2 << 20
FIRST, SECOND, THIRD = (f"00000001000000000000000{n}" for n in (3, 4, 5))


def segment(number, timeline=1, system=SYSTEM, size=SIZE):
    return wal_segment(number, timeline, system, size)


class WalTest(RecoverTest):
    def setUp(self):
        super().setUp()
        self.owner = self.repository()

    def seal(self, name, content, **options):
        return seal_wal(self.owner, name, content, SYSTEM, SIZE, **options)

    def put(self, name, content, key=None, **options):
        offset = options.get("offset")
        file = f"{name}.wal" if offset is None else f"{name}.{offset:08X}.piece"
        key = key or f"wal/{SYSTEM}/{name[:8]}/{file}"
        self.owner.put(key, self.seal(name, content, **{"offset": 0, **options}))
        return key

    def run_wal(self, system=SYSTEM):
        arguments = [str(self.directory / "repository"), str(system), str(self.output)]
        stdout, stderr = io.StringIO(), io.StringIO()
        variables = {"BACKUP_ENCRYPTION_KEY": HOLDER_KEY.hex()}
        with mock.patch.dict(os.environ, variables), redirect_stdout(stdout), redirect_stderr(stderr):
            status = recover_wal.main(arguments)
        return status, stdout.getvalue(), stderr.getvalue()

    def assert_refused(self, *words, status=recover.EXIT_DAMAGED):
        found, _, said = self.run_wal()
        self.assertEqual(found, status, said)
        for word in words:
            self.assertIn(word, said)
        self.assertFalse((self.output / "complete").exists())

    def written(self):
        return {path.name: path.read_bytes() for path in self.output.iterdir()}


class Writing(WalTest):
    def test_everything_comes_out_under_its_own_name(self):
        history, label = b"1\t0/3000148\tx\n", b"START WAL LOCATION: 0/3000028\n"
        expected = {
            FIRST: segment(3), SECOND: segment(4), "00000002.history": history,
            f"{THIRD}.partial": segment(5), THIRD: segment(5), f"{FIRST}.00000028.backup": label,
        }  # fmt: skip
        for name, content in expected.items():
            self.put(name, content)
        self.owner.put(f"wal/{SYSTEM}/00000001/README", b"not ours")
        status, out, err = self.run_wal()
        self.assertEqual(status, 0, err)
        self.assertEqual(self.written(), {**expected, "complete": b""})
        self.assertIn(f"restore_command = 'cp {self.output}/%f %p'", out)
        self.assertEqual((self.output / FIRST).stat().st_mode & 0o777, 0o600)

    def test_the_last_segment_is_made_of_its_pieces(self):
        self.put(FIRST, segment(3))
        for start, end in ((0, 9000), (9000, 9001), (5000, 20000), (30000, 40000)):
            self.put(SECOND, segment(4)[start:end], offset=start)
        status, _, err = self.run_wal()
        self.assertEqual(status, 0, err)
        self.assertEqual(self.written()[SECOND], segment(4)[:20000] + bytes(SIZE - 20000))
        self.assertIn(f"{SECOND} is not complete: 20000 bytes", err)

    def test_pieces_before_the_end_are_no_segment(self):
        self.put(SECOND, segment(4)[:9000], offset=0)
        self.put(THIRD, segment(5))
        status, _, err = self.run_wal()
        self.assertEqual((status, sorted(self.written())), (0, [THIRD, "complete"]), err)

    def test_a_whole_segment_needs_no_pieces(self):
        self.put(FIRST, segment(3))
        self.put(FIRST, b"?" * 100, offset=100)
        status, _, err = self.run_wal()
        self.assertEqual((status, self.written()), (0, {FIRST: segment(3), "complete": b""}), err)

    def test_it_runs_alone(self):
        self.put(FIRST, segment(3))
        arguments = [str(self.directory / "repository"), str(SYSTEM), str(self.output)]
        command = [sys.executable, str(RECOVER.with_name("recover_wal.py")), *arguments]
        environment = {"PATH": os.environ["PATH"], "BACKUP_ENCRYPTION_KEY": HOLDER_KEY.hex()}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd="/")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.written()[FIRST], segment(3))


class Refusing(WalTest):
    def test_there_must_be_something(self):
        self.assert_refused("no WAL", status=recover.EXIT_MISSING)

    def test_an_object_is_bound_to_its_key(self):
        cases = [
            f"wal/{SYSTEM}/00000001/{SECOND}.wal",
            f"wal/{SYSTEM}/00000002/{FIRST}.wal",
            f"wal/{SYSTEM}/00000001/{FIRST}.partial.wal",
        ]
        for key in cases:
            self.put(FIRST, segment(3), key=key)
            self.assert_refused(f"it is {FIRST} of the cluster {SYSTEM}")
            (self.owner.directory / key).unlink()
            for path in self.output.iterdir():
                path.unlink()

    def test_a_segment_begins_with_its_first_page(self):
        others = (segment(4), segment(3, timeline=2), segment(3, system=5), segment(3, size=1 << 20) * 2, bytes(SIZE))
        for content in others:
            self.put(FIRST, content)
            self.assert_refused("first page of another segment")
            for path in self.output.iterdir():
                path.unlink()
        self.put(FIRST, segment(3))
        self.assertEqual(self.run_wal()[0], 0)

    def test_heads_and_chunks_must_agree(self):
        cases = [
            (dict(version=2), "version"),
            (dict(segment_bytes=None), "contradicts itself"),
            (dict(segment_bytes=3 << 20), "contradicts itself"),
            (dict(timeline=2), "contradicts itself"),
            (dict(system_id="07"), "contradicts itself"),
            (dict(name="x"), "contradicts itself"),
            (dict(chunks=[0]), "lacks its last chunks"),
            (dict(chunks=[0, 1 << 20, 0]), "wrong length"),
            (dict(chunks=[0, SIZE - 10]), "wrong length"),
        ]
        for changed, words in cases:
            name = changed.pop("name", None)
            key = f"wal/{SYSTEM}/00000001/{FIRST}.wal"
            sealed = self.seal(FIRST, segment(3), **changed)
            if name:
                container = Container(self.owner, b"CHRVWALS")
                container.record(6, json.dumps({"version": 1, "name": name, "system_id": "7", "timeline": 1, "offset": 0,
                                                "bytes": 0}).encode(), chunk_id=bytes(32))  # fmt: skip
                sealed = container.finish()
            self.owner.put(key, sealed)
            self.assert_refused(words)
            for path in self.output.iterdir():
                path.unlink()

    def test_pieces_that_contradict_each_other(self):
        self.put(FIRST, segment(3)[:9000], offset=0)
        self.put(FIRST, b"x" * 9000, offset=5000)
        self.assert_refused("contradicts another piece")

    def test_a_flipped_bit(self):
        key = self.put(FIRST, segment(3))
        path = self.owner.directory / key
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        self.assert_refused("does not authenticate")
