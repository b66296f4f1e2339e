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

from tools.recover import chunk_id, fast_blake3, slow_blake3

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

    def difference(self, plain, base, base_id):
        """The same with codec 3: the exclusive or with the base, as far as that goes."""
        rest = bytes(max(0, len(plain) - len(base)))
        combined = bytes(own ^ other for own, other in zip(plain, base + rest))
        return self.record(DELTA, plain, bytes.fromhex(base_id) + compress(combined), 3)

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


def wal_segment(number, timeline, system, size):
    """A segment with the first page that it should have."""
    header = struct.pack("<HHIQIIQII", 0xD110, 2, timeline, number * size, 0, 0, system, size, 8192)
    return (header + number.to_bytes(1, "little") * size)[:size]


def seal_wal(repository, name, content, system, size, offset=0, chunks=None, **changed):
    """An object of WAL; `chunks` are where its chunks begin, `changed` members of its head."""
    head = {"version": 1, "name": name, "system_id": str(system), "timeline": int(name[:8], 16)}
    head["segment_bytes"] = None if name.endswith((".history", ".backup")) else size
    head.update(offset=offset, bytes=len(content), archived_at="2026-11-23T12:00:00Z")
    head.update(changed)
    container = Container(repository, b"CHRVWALS")
    text = json.dumps(head).encode()
    starts = range(0, len(content), 1 << 20) if chunks is None else chunks
    for kind, plain in ((6, text), *((7, content[at : at + (1 << 20)]) for at in starts)):
        # Ids are looked at where they can be computed; in pure Python that takes too long here.
        container.record(kind, plain, chunk_id=chunk_id(repository.chunk_id_key, plain) if fast_blake3 else bytes(32))
    return container.finish()


class Repository:
    """A repository in a directory, with its keys."""

    def __init__(self, directory, epochs=1, holder_key=HOLDER_KEY, region_bytes=262144):
        self.directory = Path(directory)
        self.region_bytes = region_bytes
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
        head["chunking"] = {"rows": sizes, "archive": sizes, "region_bytes": self.region_bytes}
        commitments = {
            epoch: derive(root, self.id, b"chronavault v1 commitment" + struct.pack("<I", epoch)).hex()
            for epoch, root in self.roots.items()
        }
        commitments = {epoch: changed.get(f"epoch_{epoch}", text) for epoch, text in commitments.items()}
        head["epochs"] = [{"epoch": epoch, "commitment": text} for epoch, text in commitments.items()]
        message = "chronavault\nversion=1\nsuite=1\n"
        message += f"repository_id={self.id.hex()}\ncreated_at=2026-11-23T12:00:00Z\n"
        message += "rows=262144,262144,1048576\narchive=262144,262144,1048576\n"
        message += f"region={self.region_bytes}\n"
        message += "".join(f"epoch={epoch},{text}\n" for epoch, text in commitments.items())
        key = derive(self.roots[max(self.roots)], self.id, b"chronavault v1 head")
        head["head_mac"] = hmac.new(key, message.encode(), hashlib.sha256).hexdigest()
        return head

    def pack_path(self, name):
        return self.directory / f"packs/{name[:2]}/{name}.pack"

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


REGION = 4096
SEGMENT_BYTES = 1 << 20
SYSTEM_ID = 7312345678901234567
PAGES = bytes(range(256)) * 16 * 3
OLD_PAGES = b"\7" * 5000 + PAGES[5000:]
CLUSTER_FILES = {
    "PG_VERSION": b"15\n",
    "base/5/1249": PAGES[:10000],  # regions of 4096, 4096 and 1808 bytes; see DIFFERENCES
    "base/5/1259": PAGES,  # an exact multiple
    "base/5/empty": b"",
    "base/5/one more": PAGES[: 2 * REGION + 1],
    "base/5/one region": PAGES[5 : 5 + REGION],
    "base/5/sm\u00f6rg\u00e5s": b"x",
    "global/pg_control": b"the control file" * 20,
    "pg_tblspc/16385/PG_15_202209061/5/16390": PAGES[:4200],
    "pg_xact/0000": bytes(8192),
    "backup_label": b"START WAL LOCATION: 0/200028\n",
    "tablespace_map": b"16385 /srv/fast\n",
    "pg_wal/000000010000000000000002": bytes(SEGMENT_BYTES),
}
CLUSTER_DIRECTORIES = {"pg_notify": 0o700, "base": 0o750, "pg_wal": 0o777, "pg_tblspc": 0o700}
# Stored as differences, by file and number of the region: to a base of the same length, a shorter and a longer one.
DIFFERENCES = {
    ("base/5/1249", 0): OLD_PAGES[:REGION],
    ("base/5/1249", 1): OLD_PAGES[REGION:6000],
    ("base/5/1249", 2): OLD_PAGES[2 * REGION :],
}


class ClusterSample:
    """A small physical backup with files of all lengths and differences to bases of all lengths. Its parts can be
    changed before `put`: `lines` are those of the list of files, `entries` those of all regions."""

    def __init__(self, repository, files=None, differences=None):
        self.repository, self.contents = repository, dict(CLUSTER_FILES if files is None else files)
        self.differences = DIFFERENCES if differences is None else differences
        self.old, self.new, self.known = Container(repository), Container(repository), {}
        self.lines = [{"path": path, "mode": mode} for path, mode in CLUSTER_DIRECTORIES.items()]
        self.lines += [{"path": path, "mode": 0o600, "bytes": len(it)} for path, it in self.contents.items()]
        self.regions = [region for path, it in self.contents.items() for region in self._regions(path, it)]
        self.packs = []
        for container, places in ((self.old, True), (self.new, False)):
            if not container.heads:
                continue
            name = repository.put_pack(container)
            self.packs.append(name)
            for (is_base, _), place in self.known.items():
                if is_base == places:
                    place["pack"] = name
        self.entries = [self.entry(region) for region in self.regions]

    def _chunk(self, content, is_base=False):
        """The place of a full chunk; the same bytes are stored once."""
        if (is_base, content) not in self.known:
            container = self.old if is_base else self.new
            self.known[is_base, content] = container.full(content, compressed=len(content) != REGION)
        return self.known[is_base, content]

    def _regions(self, path, content):
        for number, at in enumerate(range(0, len(content), self.repository.region_bytes)):
            region = content[at : at + self.repository.region_bytes]
            base = self.differences.get((path, number))
            if base is None:
                yield self._chunk(region), None
            else:
                place = self._chunk(base, is_base=True)
                difference = self.new.difference(region, base, place["id"])
                self.known[False, (path, number)] = difference
                yield difference, place

    def entry(self, region, **changes):
        place, base = region
        return entry(place, self.packs, **{"flags": 1 if base else 0, "base": base, **changes})

    def text(self):
        """The list of files."""
        return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in self.lines).encode()

    def physical(self):
        physical = {"system_identifier": str(SYSTEM_ID), "server_version": 150018, "timeline": 1}
        physical.update(start_lsn="0/200028", stop_lsn="0/200100", wal_segment_bytes=SEGMENT_BYTES, block_bytes=8192)
        physical.update(data_checksums=True, from_standby=False, method="base_backup")
        physical.update(tablespaces=[{"oid": 16385, "location": "/srv/fast"}])
        physical["files"] = sum("bytes" in line for line in self.lines)
        return physical

    def manifest(self, text=None):
        """The manifest as it should be; stores the lists on the way, and another text for the list of files."""
        text, container = self.text() if text is None else text, Container(self.repository)
        # Chunks that end within a line, and lists that end within a file.
        places = [container.full(text[at : at + 150]) for at in range(0, len(text), 150)]
        name = self.repository.put_pack(container)
        for place in places:
            place["pack"] = name
        lists = Container(self.repository)
        files = [lists.full(chunk_list([entry(place, [name]) for place in places], [name]), LIST)]
        parts = [self.entries[at : at + 7] for at in range(0, 49, 7)] + [self.entries[49:]]
        regions = [lists.full(chunk_list(part, self.packs), LIST) for part in parts]
        pack = self.repository.put_pack(lists)
        for place in (*files, *regions):
            place["pack"] = pack
        size = sum(struct.unpack_from("<I", one, 12)[0] for one in self.entries)
        streams = [
            {"name": "files", "kind": "archive", "plain_bytes": len(text), "entries": len(places), "lists": files},
            {"name": "regions", "kind": "regions", "plain_bytes": size, "entries": len(self.entries), "lists": regions},
        ]
        streams[0]["sha256"] = hashlib.sha256(text).hexdigest()
        names = [*self.packs, name, pack]
        packs = [{"sha256": it, "bytes": len(self.repository.pack_path(it).read_bytes())} for it in names]
        manifest = {"version": 1, "id": BACKUP, "kind": "physical", "source": "books", "packs": packs}
        manifest.update(streams=streams, physical=self.physical(), snapshot_at="2026-11-23T12:00:05Z")
        return copy.deepcopy(manifest)

    def put(self, change=None, text=None):
        """Stores the manifest, after `change` had its way with it."""
        manifest = self.manifest(text)
        if change is not None:
            change(manifest)
        self.repository.put_manifest(manifest)
        return self
