"""Writes repositories for the tests of recover.py, from docs/format.md and without using recover.py, except for BLAKE3.

Everything can be made wrong on purpose: a builder takes any header field, record or manifest member from its caller.
"""

import copy
import hashlib
import hmac
import json
import os
import struct
from pathlib import Path

import zstandard
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tools.recover import slow_blake3

FULL, DELTA, LIST, MANIFEST, PROOF, TRAILER = 1, 2, 3, 4, 5, 127
HOLDER_KEY = bytes(range(32))
BACKUP = "backup-2026-11-23-120000-abc123"


def derive(key, salt, info, length=32):
    return HKDF(algorithm=hashes.SHA256(), length=length, salt=salt, info=info).derive(key)


def compress(plain, base=None):
    """One zstd frame; with a base, the whole of it is the prefix."""
    prefix = zstandard.ZstdCompressionDict(base, dict_type=zstandard.DICT_TYPE_RAWCONTENT) if base else None
    return zstandard.ZstdCompressor(level=3, dict_data=prefix).compress(plain)


class Container:
    """A pack, a manifest, a proof or an object of WAL that grows record by record."""

    def __init__(self, repository, magic=b"CHRVPACK", epoch=1, version=1, suite=1, flags=0, owner=None):
        self.repository = repository
        salt = os.urandom(32)
        self.header = magic + struct.pack("<BBHI", version, suite, flags, epoch) + (owner or repository.id) + salt
        root = repository.roots.get(epoch, bytes(32))
        self.cipher = AESGCM(derive(root, salt, b"chronavault v1 container" + self.header))
        self.heads, self.content = [], self.header

    def record(self, kind, plain, body=None, codec=0, chunk_id=None, **changes):
        """Appends a record; returns its place as a manifest has it, without the pack."""
        body = plain if body is None else body
        if chunk_id is None:
            chunk_id = slow_blake3(self.repository.chunk_id_key, plain)
        index = changes.get("index", len(self.heads))
        lengths = (changes.get("plain_bytes", len(plain)), len(body) + 16)
        head = struct.pack("<4sIBBHII32s", b"CHNK", index, kind, codec, changes.get("zero", 0), *lengths, chunk_id)
        sealed = self.cipher.encrypt(bytes(4) + struct.pack(">Q", index), body, self.header + head)
        place = {"offset": len(self.content), "sealed_bytes": lengths[1], "plain_bytes": lengths[0]}
        place["id"] = chunk_id.hex()
        self.heads.append(head)
        self.content += head + sealed
        return place

    def full(self, plain, kind=FULL, compressed=True):
        return self.record(kind, plain, compress(plain) if compressed else plain, 1 if compressed else 0)

    def delta(self, plain, base, base_id):
        return self.record(DELTA, plain, bytes.fromhex(base_id) + compress(plain, base), 2)

    def finish(self, count=None):
        """The bytes of the whole object, trailer included."""
        count = len(self.heads) if count is None else count
        digest = hashlib.sha256(self.header + b"".join(self.heads)).digest()
        self.record(TRAILER, struct.pack("<I", count) + digest, chunk_id=bytes(32))
        return self.content


def entry(place, packs, rows=0, flags=0, base=None, key_hash=0, zero=bytes(3)):
    """One list entry as bytes; `packs` is the table of packs of its list."""

    def where(place):
        sizes = (place["offset"], place["sealed_bytes"], place["plain_bytes"])
        return packs.index(place["pack"]), *sizes, bytes.fromhex(place["id"])

    pack, offset, sealed, plain, identity = where(place)
    own = struct.pack("<IIIIIB3sQ32s", pack, offset, sealed, plain, rows, flags, zero, key_hash, identity)
    return own + (struct.pack("<IIII32s", *where(base)) if base else bytes(48))


def chunk_list(entries, packs, magic=b"LIST"):
    counts = struct.pack("<4sII", magic, len(packs), len(entries))
    return counts + b"".join(map(bytes.fromhex, packs)) + b"".join(entries)


class Repository:
    """A repository in a directory, with its keys."""

    def __init__(self, directory, epochs=1, holder_key=HOLDER_KEY):
        self.directory = Path(directory)
        self.id = os.urandom(16)
        self.roots = {epoch: os.urandom(32) for epoch in range(1, epochs + 1)}
        self.chunk_id_key = derive(self.roots[1], self.id, b"chronavault v1 chunk id")
        self.holder_key = holder_key
        for epoch in self.roots:
            self.put(self.slot_name(epoch), self.slot(epoch))
        self.put("chronavault.json", json.dumps(self.head(), indent=2).encode())

    def put(self, key, content):
        path = self.directory / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def slot_id(self, epoch):
        return derive(self.holder_key, self.id, b"chronavault v1 slot id" + struct.pack("<I", epoch), 16)

    def slot_name(self, epoch):
        return f"keys/{self.slot_id(epoch).hex()}.slot"

    def slot(self, epoch):
        salt, nonce = os.urandom(32), os.urandom(12)
        clear = b"CHRVSLOT" + struct.pack("<BBHI", 1, 1, 0, epoch) + self.id + self.slot_id(epoch) + salt + nonce
        wrap = AESGCM(derive(self.holder_key, salt, b"chronavault v1 slot"))
        return clear + wrap.encrypt(nonce, self.roots[epoch], clear)

    def head(self, **changed):
        """The head; `changed` commitments (epoch_1="…") come under a MAC that fits."""
        sizes = {"min_bytes": 262144, "spread_bytes": 262144, "max_bytes": 1048576}
        head = {"format": "chronavault", "version": 1, "suite": 1, "repository_id": self.id.hex()}
        head["created_at"] = "2026-11-23T12:00:00Z"
        head["chunking"] = {"rows": sizes, "archive": sizes, "region_bytes": 262144}
        commitments = {
            epoch: derive(root, self.id, b"chronavault v1 commitment" + struct.pack("<I", epoch)).hex()
            for epoch, root in self.roots.items()
        }
        commitments = {epoch: changed.get(f"epoch_{epoch}", text) for epoch, text in commitments.items()}
        head["epochs"] = [{"epoch": epoch, "commitment": text} for epoch, text in commitments.items()]
        message = "chronavault\nversion=1\nsuite=1\n"
        message += f"repository_id={self.id.hex()}\ncreated_at=2026-11-23T12:00:00Z\n"
        message += "rows=262144,262144,1048576\narchive=262144,262144,1048576\nregion=262144\n"
        message += "".join(f"epoch={epoch},{text}\n" for epoch, text in commitments.items())
        key = derive(self.roots[max(self.roots)], self.id, b"chronavault v1 head")
        head["head_mac"] = hmac.new(key, message.encode(), hashlib.sha256).hexdigest()
        return head

    def put_pack(self, container):
        """Finishes and stores a pack; returns its name."""
        content = container.finish()
        name = hashlib.sha256(content).hexdigest()
        self.put(f"packs/{name[:2]}/{name}.pack", content)
        return name

    def put_manifest(self, manifest, backup=BACKUP, epoch=1, **header):
        container = Container(self, b"CHRVMANI", epoch, **header)
        container.full(json.dumps(manifest).encode(), MANIFEST)
        self.put(f"{backup}.manifest", container.finish())


SCHEMA, TABLE = "Büro", "o'dd \"$na\\me\"\n--\t\\."
COLUMNS = ["id", 'a "quoted" $column', "naïve\nname"]
ROWS = [b"1\tone\t\\N\n", b"2\ttwo\\n\\\\.\t\xc3\xa9\n"]
OLD_ROWS = b"".join(b"%d\tan old row %d\t\\N\n" % (at, at * at) for at in range(40))
NEW_ROWS = OLD_ROWS.replace(b"\tan old row 81\t", b"\tchanged\t")
LONG_ROW = [b"99\t" + b"x" * 3000, b"y" * 3000, b"z" * 10 + b"\t\\N\n"]
ARCHIVE = [b"PGDMP" + bytes(range(256)) * 8, b"the second chunk of the archive" * 30]
GLOBALS = b"CREATE ROLE auditor;\n"
INVENTORY = b'{"items": []}'


class Sample:
    """A small backup that has every kind of thing: two packs, a delta across them, a row in several chunks, a stored
    and a compressed chunk, an empty table. Its parts can be changed before `put`."""

    def __init__(self, repository, epoch=1):
        self.repository, self.epoch = repository, epoch
        old, new = Container(repository), Container(repository, epoch=epoch)
        base = old.full(OLD_ROWS)
        plain_rows = old.full(b"".join(ROWS))
        first = old.record(FULL, ARCHIVE[0])
        old_pack = repository.put_pack(old)
        places = {"base": base, "rows": plain_rows, "archive-0": first}
        for place in places.values():
            place["pack"] = old_pack
        fresh = {"delta": new.delta(NEW_ROWS, OLD_ROWS, base["id"])}
        for at, piece in enumerate(LONG_ROW):
            fresh[f"long-{at}"] = new.full(piece)
        fresh["archive-1"], fresh["globals"] = new.full(ARCHIVE[1]), new.full(GLOBALS)
        fresh["inventory"] = new.full(INVENTORY, compressed=False)
        new_pack = repository.put_pack(new)
        for place in fresh.values():
            place["pack"] = new_pack
        self.places = {**places, **fresh}
        self.packs = [old_pack, new_pack]
        self.entries = self._entries()
        self.changes = {}

    def _entries(self):
        """Per stream: its entries and the table of packs of its list."""
        place, packs = self.places, self.packs
        rows = [
            entry(place["rows"], packs, rows=2, key_hash=7),
            entry(place["delta"], packs, rows=40, flags=1, base=place["base"], key_hash=8),
            entry(place["long-0"], packs, flags=2, key_hash=9),
            entry(place["long-1"], packs, flags=2, key_hash=9),
            entry(place["long-2"], packs, rows=1, key_hash=9),
        ]
        archive = [entry(place["archive-0"], packs), entry(place["archive-1"], packs)]
        return {
            "archive": archive,
            "globals": [entry(place["globals"], packs)],
            "inventory": [entry(place["inventory"], packs)],
            "rows/1": rows,
            "rows/2": [],
        }

    def plain(self):
        """What recover.py must write, by stream."""
        return {
            "archive": b"".join(ARCHIVE),
            "globals": GLOBALS,
            "inventory": INVENTORY,
            "rows/1": b"".join(ROWS) + NEW_ROWS + b"".join(LONG_ROW),
            "rows/2": b"",
        }

    def table(self, schema, name, columns, rows, size):
        proof = {"rows": rows, "sum": "00" * 16}
        return {"schema": schema, "name": name, "columns": columns, "proof": proof, "plain_bytes": size}

    def manifest(self):
        """The manifest as it should be; stores the lists on the way."""
        lists = Container(self.repository, epoch=self.epoch)
        streams, plain = [], self.plain()
        for name, entries in self.entries.items():
            # Two lists for the row stream, so that order across lists matters.
            parts = [entries[:3], entries[3:]] if len(entries) > 3 else [entries]
            places = [lists.full(chunk_list(part, self.packs), LIST) for part in parts]
            stream = {"name": name, "plain_bytes": len(plain[name]), "entries": len(entries), "lists": places}
            if name.startswith("rows/"):
                table = {"schema": SCHEMA, "name": TABLE} if name == "rows/1" else {"schema": "public", "name": "none"}
                stream.update(kind="rows", table=table)
            else:
                stream.update(kind="archive", sha256=hashlib.sha256(plain[name]).hexdigest())
            streams.append(stream)
        pack = self.repository.put_pack(lists)
        for stream in streams:
            for place in stream["lists"]:
                place["pack"] = pack
        names = [*self.packs, pack]
        sizes = {name: (self.repository.directory / f"packs/{name[:2]}/{name}.pack").stat().st_size for name in names}
        tables = [
            self.table(SCHEMA, TABLE, COLUMNS, 43, len(plain["rows/1"])),
            self.table("public", "none", [], 0, 0),
            self.table("public", "small", ["id"], 5, 10),
            {"schema": "public", "name": "left out", "columns": ["id"], "proof": None, "plain_bytes": 0},
        ]
        logical = {"database": "books", "server_version": 150018, "encoding": "UTF8"}
        logical.update(properties={}, roles=[], tables=tables, filters={"schemas": []})
        manifest = {"version": 1, "id": BACKUP, "kind": "logical", "source": "books", "a later member": True}
        manifest["packs"] = [{"sha256": name, "bytes": size} for name, size in sizes.items()]
        manifest.update(streams=streams, logical=logical)
        return copy.deepcopy(manifest)

    def put(self, change=None):
        """Stores the manifest, after `change` had its way with it."""
        manifest = self.manifest()
        if change is not None:
            change(manifest)
        self.repository.put_manifest(manifest, epoch=self.epoch)
        return self

    def put_proof(self, name="2026-11-23-130000-0000aa", **changes):
        """Stores a proof of the manifest as it is now; returns its path."""
        manifest = (self.repository.directory / f"{BACKUP}.manifest").read_bytes()
        proof = {"version": 1, "backup": BACKUP, "manifest_sha256": hashlib.sha256(manifest).hexdigest()}
        proof.update({"level": "restore", "outcome": "proven", "at": "2026-11-23T13:00:00Z", **changes})
        container = Container(self.repository, b"CHRVPROF")
        container.full(json.dumps(proof).encode(), PROOF)
        self.repository.put(f"proofs/{BACKUP}/{name}.proof", container.finish())
        return self.repository.directory / f"proofs/{BACKUP}/{name}.proof"
