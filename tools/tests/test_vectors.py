"""tests/golden/vectors.json: the same values that the Rust tests are held against."""

import hashlib
import hmac
import json
import tempfile
import unittest
from pathlib import Path

from tools import recover

VECTORS = json.loads((Path(__file__).parents[2] / "tests/golden/vectors.json").read_text())
HOLDER_KEY = bytes.fromhex(VECTORS["keys"]["holder_key"])
REPOSITORY_ID = bytes.fromhex(VECTORS["keys"]["repository_id"])
ROOT_KEYS = [bytes.fromhex(key) for key in VECTORS["keys"]["root_keys"]]


def from_first_root(info, length):
    return recover.hkdf(ROOT_KEYS[0], REPOSITORY_ID, info, length)


KEYS = recover.Keys(REPOSITORY_ID, dict(enumerate(ROOT_KEYS, start=1)), from_first_root(b"chronavault v1 chunk id", 32))


class Vectors(unittest.TestCase):
    def test_derived_secrets(self):
        keys = VECTORS["keys"]
        self.assertEqual(from_first_root(b"chronavault v1 row hash", 192).hex(), keys["row_secret"])
        self.assertEqual(from_first_root(b"chronavault v1 gear", 2048).hex(), keys["gear"])
        for epoch, expected in enumerate(keys["slot_ids"], start=1):
            self.assertEqual(recover.slot_id(HOLDER_KEY, REPOSITORY_ID, epoch).hex(), expected)
        for chunk in keys["chunk_ids"]:
            plaintext = bytes.fromhex(chunk["plaintext"])
            self.assertEqual(recover.slow_blake3(KEYS.chunk_id_key, plaintext).hex(), chunk["id"])
            self.assertEqual(recover.chunk_id(KEYS.chunk_id_key, plaintext).hex(), chunk["id"])

    def test_slots(self):
        for root, slot in zip(ROOT_KEYS, VECTORS["slots"]):
            opened = recover.open_slot(bytes.fromhex(slot["bytes"]), "slot", HOLDER_KEY, REPOSITORY_ID, slot["epoch"])
            self.assertEqual(opened, root)

    def test_heads(self):
        """A repository of each head and the slots, opened as a whole: commitments and head_mac included."""
        for number, head in enumerate(VECTORS["heads"], start=1):
            with tempfile.TemporaryDirectory() as directory:
                (Path(directory) / "chronavault.json").write_text(head)
                (Path(directory) / "keys").mkdir()
                for identity, slot in zip(VECTORS["keys"]["slot_ids"], VECTORS["slots"]):
                    (Path(directory) / f"keys/{identity}.slot").write_bytes(bytes.fromhex(slot["bytes"]))
                keys = recover.open_keys(recover.Store(directory), HOLDER_KEY)
            self.assertEqual(keys.chunk_id_key, KEYS.chunk_id_key)
            parsed = recover.parse_head(head.encode())
            expected = VECTORS["keys"]["commitments"][: len(keys.roots)]
            self.assertEqual([commitment.hex() for commitment in parsed.commitments], expected)
            mac_key = recover.hkdf(keys.roots[len(keys.roots)], REPOSITORY_ID, b"chronavault v1 head", 32)
            self.assertEqual(hmac.new(mac_key, parsed.mac_message, hashlib.sha256).digest(), parsed.mac, number)

    def test_containers(self):
        magics = {
            "pack": recover.PACK_MAGIC, "manifest": recover.MANIFEST_MAGIC,
            "proof": recover.PROOF_MAGIC, "wal": recover.WAL_MAGIC,
        }  # fmt: skip
        for container in VECTORS["containers"]:
            content = bytes.fromhex(container["bytes"])
            self.assertEqual(hashlib.sha256(content).hexdigest(), container["sha256"])
            chunks = {}
            with tempfile.TemporaryFile() as file:
                file.write(content)
                file.flush()
                opened = recover.Container(file, container["kind"], magics[container["kind"]], KEYS)
                records = opened.walk()
                self.assertEqual(len(records), len(container["records"]))
                for record, expected in zip(records, container["records"]):
                    found = (record.type, record.codec, record.offset, record.sealed_bytes, record.id.hex())
                    members = ("type", "codec", "offset", "sealed_bytes", "id")
                    self.assertEqual(found, tuple(expected[member] for member in members))
                    base = bytes.fromhex(expected["base"]) if expected["base"] else recover.NO_ID
                    plaintext = opened.plaintext(record, chunks.get(base), base)
                    self.assertEqual(plaintext.hex(), expected["plaintext"])
                    self.assertEqual(recover.slow_blake3(KEYS.chunk_id_key, plaintext), record.id)
                    chunks[record.id] = plaintext

    def test_wal(self):
        """The two objects of WAL, at their keys."""
        names = []
        for container in VECTORS["containers"]:
            if container["kind"] == "wal":
                head = recover.parse_wal_head(bytes.fromhex(container["records"][0]["plaintext"]), "the head")
                is_piece = head.segment_bytes > head.bytes
                file = f"{head.name}.{head.offset:08X}.piece" if is_piece else f"{head.name}.wal"
                key = f"wal/{head.system}/{head.timeline:08X}/{file}"
                with tempfile.TemporaryDirectory() as directory:
                    path = Path(directory) / key
                    path.parent.mkdir(parents=True)
                    path.write_bytes(bytes.fromhex(container["bytes"]))
                    with recover.WalObject(recover.Store(directory), key, KEYS, True) as wal:
                        self.assertEqual(b"".join(wal.content()).hex(), container["records"][1]["plaintext"])
                names.append(file)
        self.assertEqual(names, ["00000002.history.wal", "000000010000000A000000FF.00004000.piece"])

    def test_lists(self):
        pack, list_pack = VECTORS["containers"][:2]
        (record,) = list_pack["records"]
        entries = recover.parse_list(bytes.fromhex(record["plaintext"]), "the list")
        self.assertEqual(len(entries), 3)
        known = {(r["offset"], r["sealed_bytes"], len(r["plaintext"]) // 2, r["id"]): r for r in pack["records"]}
        for entry in entries:
            self.assertEqual(entry.place.pack, pack["sha256"])
            expected = known[(*entry.place[1:4], entry.place.id.hex())]
            self.assertEqual(entry.base is not None, expected["type"] == recover.DELTA)
            if entry.base is not None:
                self.assertIn((*entry.base[1:4], entry.base.id.hex()), known)
            recover.check_rows(bytes.fromhex(expected["plaintext"]), entry, "rows/1")
        self.assertFalse(entries[-1].continues)

    def test_archive_cuts(self):
        """Section 7 is of no concern to a reader, but the document should be enough to cut by."""
        words = recover.struct.unpack("<256Q", bytes.fromhex(VECTORS["keys"]["gear"]))
        for case in VECTORS["cuts"]["gear"]:
            self.assertEqual(gear_cuts(case, words), case["cuts"])


def gear_cuts(case, words):
    sizes, mask = case["sizes"], (1 << 64) - 1
    least, most, spread = sizes["min_bytes"], sizes["max_bytes"], sizes["spread_bytes"]
    shift = 64 - (spread.bit_length() - 1)
    state, start, gear, cuts = case["seed"], 0, 0, []
    for at in range(1, case["bytes"] + 1):
        state = (state * 6364136223846793005 + 1442695040888963407) & mask
        gear = ((gear << 1) + words[state >> 56]) & mask
        length = at - start
        if length >= most or (length >= least and gear >> shift == 0):
            cuts.append(at)
            start, gear = at, 0
    return cuts
