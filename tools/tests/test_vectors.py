"""tests/golden/vectors.json: recover.py reads what the Rust program wrote, and the rules of docs/format.md that
recover.py has no use for (derivation of the gear table, cut points) give the same values when written down again."""

import hashlib
import json
import shutil
import struct
import unittest
from pathlib import Path

from tools import recover
from tools.tests.running import RecoverTest

VECTORS = json.loads((Path(__file__).parents[2] / "tests/golden/vectors.json").read_text(encoding="utf-8"))
MODULUS = 1 << 64


def generate(seed, length):
    """Bytes of the generator that the file describes."""
    state, content = seed, bytearray()
    for _ in range(length):
        state = (state * 6364136223846793005 + 1442695040888963407) % MODULUS
        content.append(state >> 56)
    return bytes(content)


def gear_cuts(content, sizes, table):
    """Ends of the chunks of an archive stream (docs/format.md, section 7)."""
    bits = sizes["spread_bytes"].bit_length() - 1
    cuts, start, gear = [], 0, 0
    for at, byte in enumerate(content, start=1):
        gear = ((gear << 1) + table[byte]) % MODULUS
        length = at - start
        if length >= sizes["max_bytes"] or (length >= sizes["min_bytes"] and gear >> (64 - bits) == 0):
            cuts.append(at)
            start, gear = at, 0
    return cuts


class Vectors(RecoverTest):
    def setUp(self):
        super().setUp()
        facts = VECTORS["keys"]
        self.holder_key = bytes.fromhex(facts["holder_key"])
        self.repository_id = bytes.fromhex(facts["repository_id"])
        self.roots = dict(enumerate(map(bytes.fromhex, facts["root_keys"]), start=1))

    def derive(self, info, length):
        return recover.hkdf(self.roots[1], self.repository_id, info, length)

    def keys(self):
        return recover.Keys(self.repository_id, self.roots, self.derive(b"chronavault v1 chunk id", 32))

    def test_every_head_opens_with_its_slots(self):
        for epochs, head in enumerate(VECTORS["heads"], start=1):
            root = self.directory / str(epochs)
            (root / "keys").mkdir(parents=True)
            (root / "chronavault.json").write_text(head, encoding="utf-8")
            for identity, slot in zip(VECTORS["keys"]["slot_ids"], VECTORS["slots"][:epochs]):
                (root / f"keys/{identity}.slot").write_bytes(bytes.fromhex(slot["bytes"]))
            keys = recover.open_keys(recover.Store(str(root)), self.holder_key)
            self.assertEqual(keys.roots, {epoch: self.roots[epoch] for epoch in range(1, epochs + 1)})
            self.assertEqual(keys.chunk_id_key, self.keys().chunk_id_key)
            shutil.rmtree(root)

    def test_secrets_and_ids(self):
        facts = VECTORS["keys"]
        self.assertEqual(self.derive(b"chronavault v1 row hash", 192).hex(), facts["row_secret"])
        self.assertEqual(self.derive(b"chronavault v1 gear", 2048).hex(), facts["gear"])
        for chunk in facts["chunk_ids"]:
            identity = recover.chunk_id(self.keys().chunk_id_key, bytes.fromhex(chunk["plaintext"]))
            self.assertEqual(identity.hex(), chunk["id"])
        for epoch, commitment in enumerate(facts["commitments"], start=1):
            info = b"chronavault v1 commitment" + struct.pack("<I", epoch)
            self.assertEqual(recover.hkdf(self.roots[epoch], self.repository_id, info, 32).hex(), commitment)

    def test_containers(self):
        magics = {"pack": recover.PACK_MAGIC, "manifest": recover.MANIFEST_MAGIC}
        plaintexts = {}
        for number, container in enumerate(VECTORS["containers"]):
            content = bytes.fromhex(container["bytes"])
            self.assertEqual(hashlib.sha256(content).hexdigest(), container["sha256"])
            if container["kind"] not in magics:
                continue
            path = self.directory / str(number)
            path.write_bytes(content)
            with path.open("rb") as file:
                reader = recover.Container(file, path.name, magics[container["kind"]], self.keys())
                records = reader.walk()
                self.assertEqual(len(records), len(container["records"]))
                for record, expected in zip(records, container["records"]):
                    base = expected["base"]
                    arguments = (plaintexts[base], bytes.fromhex(base)) if base else ()
                    plain = reader.plaintext(record, *arguments)
                    self.assertEqual(plain.hex(), expected["plaintext"])
                    self.assertEqual(record.id, recover.chunk_id(self.keys().chunk_id_key, plain))
                    found = (record.offset, record.sealed_bytes)
                    self.assertEqual(found, (expected["offset"], expected["sealed_bytes"]))
                    plaintexts[expected["id"]] = plain

    def test_the_list(self):
        old, new = VECTORS["containers"][:2]
        entries = recover.parse_list(bytes.fromhex(new["records"][0]["plaintext"]), "the list")
        self.assertEqual([entry.rows for entry in entries], [23, 0, 1])
        self.assertEqual([entry.continues for entry in entries], [False, True, False])
        places = [entries[0].base, *(entry.place for entry in entries)]
        found = [(place.pack, place.offset, place.id.hex()) for place in places]
        self.assertEqual(found, [(old["sha256"], record["offset"], record["id"]) for record in old["records"]])

    def test_gear_cuts(self):
        table = struct.unpack("<256Q", bytes.fromhex(VECTORS["keys"]["gear"]))
        for facts in VECTORS["cuts"]["gear"]:
            content = generate(facts["seed"], facts["bytes"])
            self.assertEqual(gear_cuts(content, facts["sizes"], table), facts["cuts"])


if __name__ == "__main__":
    unittest.main()
