"""recover.py from end to end: what it writes, and what every kind of damage by someone without the key leads to."""

import json
import os
import shutil
import stat
import unittest

from tools import recover
from tools.tests.running import RecoverTest
from tools.tests.sealing import BACKUP, HOLDER_KEY, Container, Sample

FILES = {
    "archive": "archive.dump",
    "globals": "globals.sql",
    "inventory": "inventory.json",
    "rows/1": "rows/1.copy",
    "rows/2": "rows/2.copy",
}


class WholeBackups(RecoverTest):
    def test_every_stream_becomes_its_file(self):
        sample = self.sample()
        done = self.run_recover()
        self.assertEqual(done.returncode, 0, done.stderr)
        for stream, content in sample.plain().items():
            self.assertEqual((self.output / FILES[stream]).read_bytes(), content, stream)
        found = {str(path.relative_to(self.output)) for path in self.output.rglob("*") if path.is_file()}
        self.assertEqual(found, {*FILES.values(), "load.sh"})
        self.assertIn("load.sh NEWDB", done.stdout)
        self.assertNotIn("NOT complete", done.stdout)

    def test_it_runs_as_a_program(self):
        sample = self.sample()
        done = self.run_recover_alone()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual((self.output / "rows/1.copy").read_bytes(), sample.plain()["rows/1"])
        done = self.run_recover_alone()
        self.assertEqual(done.returncode, 2)
        self.assertEqual(done.stderr.count("\n"), 5, done.stderr)

    def test_only_the_owner_can_read_the_files(self):
        self.sample()
        self.assertEqual(self.run_recover().returncode, 0)
        for path in [self.output, *self.output.rglob("*")]:
            private = 0o700 if path.is_dir() or path.name == "load.sh" else 0o600
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), private, path)

    def test_nothing_is_written_elsewhere(self):
        self.sample()
        before = {path: path.stat().st_mtime_ns for path in self.directory.rglob("*")}
        self.assertEqual(self.run_recover().returncode, 0)
        after = {path: path.stat().st_mtime_ns for path in self.directory.rglob("*")}
        outside = {path: time for path, time in after.items() if self.output not in (path, *path.parents)}
        self.assertEqual(outside, before)

    def test_an_empty_directory_will_do_and_is_closed_to_others(self):
        self.sample()
        self.output.mkdir(mode=0o755)
        self.assertEqual(self.run_recover().returncode, 0)
        self.assertEqual(stat.S_IMODE(self.output.stat().st_mode), 0o700)

    def test_a_rotated_repository_opens_every_epoch(self):
        sample = Sample(self.repository(epochs=3), epoch=3).put()
        self.assertEqual(self.run_recover().returncode, 0)
        self.assertEqual((self.output / "rows/1.copy").read_bytes(), sample.plain()["rows/1"])

    def test_chunk_ids_are_verified_when_asked(self):
        self.sample()
        self.assertEqual(self.run_recover("--verify-ids").returncode, 0)

    def test_the_key_may_come_from_a_file(self):
        self.sample()
        key_file = self.directory / "key"
        key_file.write_text(HOLDER_KEY.hex().upper() + "\n")
        variables = {"BACKUP_ENCRYPTION_KEY_FILE": str(key_file)}
        done = self.run_recover(key="", environment=variables)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.run_recover(environment=variables).returncode, 2, "both are set")

    def test_the_directory_above_the_repository_will_do(self):
        sample = self.sample("repository/isolated")
        self.assertEqual(self.run_recover().returncode, 0)
        self.assertEqual((self.output / "globals.sql").read_bytes(), sample.plain()["globals"])

    def test_a_filtered_backup_is_not_called_complete(self):
        self.sample(change=lambda manifest: manifest["logical"]["filters"].update(schemas=["ledger"]))
        done = self.run_recover()
        self.assertIn("NOT complete", done.stdout)
        self.assertIn("ledger", done.stdout)


class Usage(RecoverTest):
    def test_a_directory_with_something_in_it_is_left_alone(self):
        self.sample()
        self.output.mkdir()
        (self.output / "precious").write_text("x")
        done = self.run_recover()
        self.assertEqual((done.returncode, os.listdir(self.output)), (2, ["precious"]))
        self.assertIn("not an empty directory", done.stderr)

    def test_a_link_is_not_followed_out_of_the_directory(self):
        self.sample()
        (self.directory / "elsewhere").mkdir()
        (self.directory / "elsewhere" / "precious").write_text("x")
        self.output.symlink_to(self.directory / "elsewhere")
        self.assertEqual(self.run_recover().returncode, 2)

    def test_a_key_that_is_none_is_refused_without_being_shown(self):
        self.sample()
        for key in ("", "abc", "zz" * 32, "00" * 31, "00" * 33):
            done = self.run_recover(key=key)
            self.assertEqual(done.returncode, 2, key)
            if key:
                self.assertNotIn(key, done.stderr)

    def test_a_backup_id_cannot_be_a_path(self):
        self.sample()
        for backup in ("../x", "backup-2026-11-23-120000-abc123/..", "latest", BACKUP + "\n"):
            self.assertEqual(self.run_recover(backup=backup).returncode, 2, backup)

    def test_a_backup_that_is_not_there_is_missing(self):
        self.sample()
        self.assert_fails(5, "backup-2026-11-23-120000-000000.manifest", backup="backup-2026-11-23-120000-000000")

    def test_a_directory_without_repository_is_missing(self):
        (self.directory / "repository").mkdir()
        self.assert_fails(5, "chronavault.json", "missing")


class Keys(RecoverTest):
    def test_a_wrong_key_is_told_from_damage(self):
        self.sample()
        self.assert_fails(3, "not one of this repository", key="11" * 32)

    def test_a_slot_that_is_gone_looks_like_a_wrong_key(self):
        repository = self.sample().repository
        (repository.directory / repository.slot_name(1)).unlink()
        self.assert_fails(3, "keys/ has no slot")

    def test_a_slot_that_is_gone_for_one_epoch_is_missing(self):
        repository = self.sample(epochs=2).repository
        (repository.directory / repository.slot_name(1)).unlink()
        self.assert_fails(5, repository.slot_name(1))

    def test_a_key_of_before_a_rotation_reads_what_was_sealed_then(self):
        sample = self.sample(epochs=2)
        repository = sample.repository
        (repository.directory / repository.slot_name(2)).unlink()
        self.assert_fails(5, repository.slot_name(2), "--before-rotation")
        done = self.run_recover("--before-rotation")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("WARNING: the key opens epochs 1 to 1 of 2", done.stderr)
        self.assertEqual((self.output / "rows/1.copy").read_bytes(), sample.plain()["rows/1"])

    def test_a_key_of_before_a_rotation_reads_nothing_of_after(self):
        repository = Sample(self.repository(epochs=2), epoch=2).put().repository
        (repository.directory / repository.slot_name(2)).unlink()
        done = self.run_recover("--before-rotation")
        self.assertEqual(done.returncode, 4)
        self.assertIn("sealed for epoch 2, which the key does not open", done.stderr)
        # That of the first epoch is needed in any case, and a whole set of slots still needs a head that is genuine.
        (repository.directory / repository.slot_name(1)).unlink()
        self.assertEqual(self.run_recover("--before-rotation").returncode, 3)
        repository.put(repository.slot_name(2), repository.slot(2))
        self.assertEqual(self.run_recover("--before-rotation").returncode, 5)
        repository.put(repository.slot_name(1), repository.slot(1))
        repository.put("chronavault.json", json.dumps({**repository.head(), "head_mac": "00" * 32}).encode())
        done = self.run_recover("--before-rotation")
        self.assertEqual(done.returncode, 4)
        self.assertIn("head_mac", done.stderr)

    def test_slots_of_several_holders_lie_side_by_side(self):
        sample = self.sample(epochs=2)
        repository, own = sample.repository, HOLDER_KEY
        other = bytes(range(1, 33))
        for epoch in (1, 2):
            repository.holder_key = other
            repository.put(repository.slot_name(epoch), repository.slot(epoch))
            note = {"version": 1, "key": repository.slot_id(1).hex(), "created_at": "2026-11-23T12:00:00Z"}
            repository.put(f"keys/{repository.slot_id(epoch).hex()}.json", json.dumps(note).encode())
            # What is as long as a slot and is none.
            repository.put(f"keys/{repository.slot_id(1).hex()}.2026-11-23-120000-abc123.checked", bytes(140))
        for key in (own, other):
            self.assertEqual(self.run_recover(key=key.hex()).returncode, 0)
            shutil.rmtree(self.output)
        self.assert_fails(3, "not one of this repository", key="11" * 32)

    def test_every_byte_of_a_slot_counts(self):
        repository = self.sample().repository
        path = repository.directory / repository.slot_name(1)
        whole = path.read_bytes()
        self.assertEqual(len(whole), 140)
        for at in range(len(whole)):
            path.write_bytes(flipped(whole, at))
            with self.assertRaises(recover.Failure, msg=f"byte {at}") as caught:
                recover.open_keys(recover.Store(str(repository.directory)), HOLDER_KEY)
            self.assertEqual(caught.exception.status, recover.EXIT_DAMAGED)
            self.assertIn(path.name, str(caught.exception))
        for cut in (b"", whole[:92], whole[:-1], whole + b"\0"):
            path.write_bytes(cut)
            self.assert_fails(4, path.name, "bytes instead of 140")

    def test_a_slot_of_another_repository_is_foreign(self):
        repository, other = self.sample().repository, self.repository("other")
        shutil.copy(other.directory / other.slot_name(1), repository.directory / repository.slot_name(1))
        self.assert_fails(4, repository.slot_name(1), "another repository")

    def test_slots_of_two_epochs_cannot_be_exchanged(self):
        repository = self.sample(epochs=2).repository
        exchange(*(repository.directory / repository.slot_name(epoch) for epoch in (1, 2)))
        self.assert_fails(4, repository.slot_name(1), "another slot")

    def test_every_byte_of_the_head_counts(self):
        repository = self.sample(epochs=2).repository
        path = repository.directory / "chronavault.json"
        whole = path.read_bytes()
        for at in range(len(whole)):
            path.write_bytes(flipped(whole, at))
            with self.assertRaises(recover.Failure, msg=f"byte {at}: {path.read_bytes()}") as caught:
                recover.open_keys(recover.Store(str(repository.directory)), HOLDER_KEY)
            self.assertNotEqual(caught.exception.status, recover.EXIT_WRONG_KEY, f"byte {at}")

    def test_a_root_key_must_have_its_commitment(self):
        repository = self.sample().repository
        repository.put("chronavault.json", json.dumps(repository.head(epoch_1="00" * 32)).encode())
        self.assert_fails(4, "chronavault.json", "commitment of epoch 1")

    def test_a_head_needs_an_epoch(self):
        repository = self.sample().repository
        repository.put("chronavault.json", json.dumps({**repository.head(), "epochs": []}).encode())
        self.assert_fails(4, "chronavault.json", "no epoch")

    def test_the_head_has_no_members_but_its_own(self):
        repository = self.sample().repository
        head = repository.head()
        repository.put("chronavault.json", json.dumps({**head, "more": 1}).encode())
        self.assert_fails(4, "chronavault.json", "'more'")
        head["chunking"]["more"] = 1
        repository.put("chronavault.json", json.dumps(head).encode())
        self.assert_fails(4, "chronavault.json", "'more'")
        del head["chunking"]["more"]
        twice = json.dumps(head).replace('"suite": 1', '"suite": 1, "suite": 1')
        repository.put("chronavault.json", twice.encode())
        self.assert_fails(4, "chronavault.json", "occurs twice")

    def test_a_slot_that_is_none_is_called_damaged(self):
        repository = self.sample().repository
        repository.put(repository.slot_name(1), bytes(140))
        self.assert_fails(4, "begin with CHRVSLOT")
        repository.put(repository.slot_name(1), b"CHRVSLOT\2".ljust(140, b"\0"))
        self.assert_fails(4, "not known here")

    def test_the_head_of_another_repository_is_not_accepted(self):
        repository, other = self.sample().repository, self.repository("other")
        shutil.copy(other.directory / "chronavault.json", repository.directory)
        self.assert_fails(4, "chronavault.json", "does not belong")


class Packs(RecoverTest):
    def setUp(self):
        super().setUp()
        self.a_sample = self.sample()
        self.packs = sorted(self.a_sample.repository.directory.glob("packs/*/*.pack"))
        self.assertEqual(len(self.packs), 3)

    def test_a_flipped_byte_in_any_region_is_found(self):
        # Header: magic, version, suite, flags, epoch, repository, salt. Each field of a record, body, tag; the trailer.
        regions = (0, 8, 9, 10, 12, 16, 32, 64, 68, 72, 73, 74, 76, 80, 84, 116, 120, -1, -17, -53, -70, -105)
        for pack in self.packs:
            whole = pack.read_bytes()
            for at in regions:
                pack.write_bytes(flipped(whole, at))
                self.assert_fails(4, pack.name)
            pack.write_bytes(whole)

    def test_a_truncated_or_lengthened_pack_is_found(self):
        for pack in self.packs:
            whole = pack.read_bytes()
            for changed in (b"", whole[:10], whole[:64], whole[: len(whole) // 2], whole[:-1], whole + b"\0"):
                pack.write_bytes(changed)
                self.assert_fails(4, pack.name)
            pack.write_bytes(whole)

    def test_a_missing_pack_is_named(self):
        for pack in self.packs:
            whole = pack.read_bytes()
            pack.unlink()
            self.assert_fails(5, pack.name, "missing")
            pack.write_bytes(whole)

    def test_exchanged_packs_are_found(self):
        exchange(self.packs[0], self.packs[1])
        self.assert_fails(4, ".pack is damaged")

    def test_a_pack_of_another_repository_is_foreign(self):
        other = Container(self.repository("other"))
        other.full(b"something else")
        content = other.finish()
        pack = self.packs[0]
        pack.write_bytes(content.ljust(pack.stat().st_size, b"\0")[: pack.stat().st_size])
        self.assert_fails(4, pack.name, "another repository")

    def test_every_byte_of_a_container_is_authenticated(self):
        """Without the help of the SHA-256 in its name: a pack that was changed and renamed opens nowhere."""
        repository = self.a_sample.repository
        keys = recover.open_keys(recover.Store(str(repository.directory)), HOLDER_KEY)
        container = Container(repository)
        container.full(b"first " * 20)
        container.record(1, b"second")
        whole, path = container.finish(), self.directory / "container"

        def read():
            with open(path, "rb") as file:
                opened = recover.Container(file, "container", b"CHRVPACK", keys)
                return [opened.plaintext(record) for record in opened.walk()]

        path.write_bytes(whole)
        self.assertEqual(read(), [b"first " * 20, b"second"])
        for at in range(len(whole)):
            path.write_bytes(flipped(whole, at))
            with self.assertRaises(recover.Failure, msg=f"byte {at}"):
                read()
        for length in range(len(whole)):
            path.write_bytes(whole[:length])
            with self.assertRaises(recover.Failure, msg=f"cut at {length}"):
                read()


class Manifests(RecoverTest):
    def test_a_flipped_byte_anywhere_is_found(self):
        repository = self.sample().repository
        path = repository.directory / f"{BACKUP}.manifest"
        whole = path.read_bytes()
        keys = recover.open_keys(recover.Store(str(repository.directory)), HOLDER_KEY)
        for at in range(len(whole)):
            path.write_bytes(flipped(whole, at))
            with self.assertRaises(recover.Failure, msg=f"byte {at}") as caught:
                recover.Backup(recover.Store(str(repository.directory)), keys, BACKUP, False)
            self.assertIn(path.name, str(caught.exception))
        self.assert_fails(4, path.name)

    def test_a_truncated_manifest_is_found(self):
        path = self.sample().repository.directory / f"{BACKUP}.manifest"
        whole = path.read_bytes()
        for changed in (b"", whole[:63], whole[:64], whole[:200], whole[:-1], whole + b"\0", whole + whole):
            path.write_bytes(changed)
            self.assert_fails(4, path.name)

    def test_a_manifest_under_another_name_is_found(self):
        repository = self.sample().repository
        other = "backup-2026-11-24-120000-abc123"
        shutil.copy(repository.directory / f"{BACKUP}.manifest", repository.directory / f"{other}.manifest")
        self.assert_fails(4, f"{other}.manifest", "another backup", backup=other)

    def test_a_manifest_of_another_repository_is_foreign(self):
        repository, other = self.sample().repository, self.sample("other").repository
        shutil.copy(other.directory / f"{BACKUP}.manifest", repository.directory)
        self.assert_fails(4, f"{BACKUP}.manifest", "another repository")

    def test_a_pack_is_no_manifest(self):
        repository = self.sample().repository
        pack = next(repository.directory.glob("packs/*/*.pack"))
        shutil.copy(pack, repository.directory / f"{BACKUP}.manifest")
        self.assert_fails(4, f"{BACKUP}.manifest", "CHRVMANI")


class Proofs(RecoverTest):
    """A proof is said, and never stands in the way of a recovery."""

    def test_the_newest_proof_is_said(self):
        sample = self.sample()
        self.assertNotIn("verification", self.run_recover().stdout)
        shutil.rmtree(self.output)
        sample.put_proof("2026-11-23-130000-ffffff", outcome="failed")
        sample.put_proof("2026-11-24-130000-000000", at="2026-11-24T13:00:00Z")
        sample.put_proof("2026-11-25-130000-000000", at="2026-11-25T13:00:00Z", level="objects", outcome="sound")
        (self.directory / f"repository/proofs/{BACKUP}/a-leftover.tmp").write_bytes(b"x")
        done = self.run_recover()
        self.assertIn("on 2026-11-24T13:00:00Z: proven (level restore)", done.stdout)
        self.assertNotIn("ignored", done.stderr)

    def test_a_lower_level_hides_neither_a_proof_nor_a_failed_restore(self):
        def counts(*proofs):
            found = recover.proof_that_counts(recover.Proof(level, outcome, "") for level, outcome in proofs)
            return found and (found.level, found.outcome)

        sound, failed, proven = ("objects", "sound"), ("objects", "failed"), ("restore", "proven")
        not_restored = ("restore", "failed")
        self.assertIsNone(counts())
        self.assertEqual(counts(("contents", "sound"), sound), ("contents", "sound"))
        self.assertEqual(counts(failed, proven), failed)
        self.assertEqual(counts(sound, failed, proven), proven)
        self.assertEqual(counts(("contents", "sound"), not_restored, proven), not_restored)
        self.assertEqual(counts(proven, not_restored), proven)

    def test_a_proof_that_is_no_good_is_ignored(self):
        sample = self.sample()
        other = self.sample("other")
        changes = {"backup": "backup-2026-11-23-120000-000000"}, {"manifest_sha256": "00" * 32}, {"version": 2}
        for change in changes:
            path = sample.put_proof(**change)
            self.assert_ignored(path, "not a proof of this manifest")
        path = sample.put_proof()
        whole = path.read_bytes()
        for at in (0, 70, 116, -1):
            path.write_bytes(flipped(whole, at))
            self.assert_ignored(path, "damaged")
        path.write_bytes(whole[:-1])
        self.assert_ignored(path, "cut short")
        shutil.copy(other.put_proof(), path)
        self.assert_ignored(path, "another repository")

    def assert_ignored(self, path, words):
        done = self.run_recover()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("verification", done.stdout)
        self.assertIn(f"ignored: proofs/{BACKUP}/{path.name}", done.stderr)
        self.assertIn(words, done.stderr)
        shutil.rmtree(self.output)


class Hashes(unittest.TestCase):
    # From the test vectors of BLAKE3 (keyed hash): input byte i is i % 251.
    BLAKE3_KEYED = {
        0: "92b2b75604ed3c761f9d6f62392c8a9227ad0ea3f09573e783f1498a4ed60d26",
        1: "6d7878dfff2f485635d39013278ae14f1454b8c0a3a2d34bc1ab38228a80c95b",
        1023: "c951ecdf03288d0fcc96ee3413563d8a6d3589547f2c2fb36d9786470f1b9d6e",
        1024: "75c46f6f3d9eb4f55ecaaee480db732e6c2105546f1e675003687c31719c7ba4",
        1025: "357dc55de0c7e382c900fd6e320acc04146be01db6a8ce7210b7189bd664ea69",
        3073: "68dede9bef00ba89e43f31a6825f4cf433389fedae75c04ee9f0cf16a427c95a",
        7168: "b42835e40e9d4a7f42ad8cc04f85a963a76e18198377ed84adddeaecacc6f3fc",
        8193: "954a2a75420c8d6547e3ba5b98d963e6fa6491addc8c023189cc519821b4a1f5",
        31744: "efa53b389ab67c593dba624d898d0f7353ab99e4ac9d42302ee64cbf9939a419",
    }

    def test_blake3(self):
        for length, expected in self.BLAKE3_KEYED.items():
            message = bytes(at % 251 for at in range(length))
            self.assertEqual(recover.slow_blake3(b"whats the Elvish word for friend", message).hex(), expected, length)

    def test_hkdf(self):
        # RFC 5869, A.1 and A.2.
        output = recover.hkdf(b"\x0b" * 22, bytes(range(13)), bytes(range(0xF0, 0xFA)), 42)
        self.assertEqual(
            output.hex(), "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
        )
        output = recover.hkdf(bytes(range(0x50)), bytes(range(0x60, 0xB0)), bytes(range(0xB0, 0x100)), 82)
        self.assertTrue(output.hex().startswith("b11e398dc80327a1c8e7f78c596a4934"))
        self.assertTrue(output.hex().endswith("cc30c58179ec3e87c14c01d5c1f3434f1d87"))


def flipped(content, at):
    changed = bytearray(content)
    changed[at] ^= 1
    return bytes(changed)


def exchange(one, other):
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


if __name__ == "__main__":
    unittest.main()
