#!/usr/bin/env python3
"""Turns a Chronavault backup into files that stock PostgreSQL commands load, or a server starts from.

    recover.py REPOSITORY BACKUP_ID OUT_DIR [--verify-ids] [--no-wal | --until SEGMENT]

This is for the day on which the chronavault program is lost. It was written from docs/format.md, shares no code with
the program, and needs Python 3.9 or newer with the modules `cryptography` and `zstandard` (0.19 or newer). Comments
name the section of docs/format.md that a rule is from.

The key comes from BACKUP_ENCRYPTION_KEY (64 hex digits), or from the file that BACKUP_ENCRYPTION_KEY_FILE names.
REPOSITORY is the directory that holds chronavault.json (or the one above it). OUT_DIR must not exist, or be empty;
nothing is written anywhere else. What is in it afterwards is PLAINTEXT (directories 0700, files 0600). Of a logical
backup:

    archive.dump     pg_restore archive: schema, small tables, sequences, large objects
    rows/<n>.copy    the rows of one large table each, as COPY text
    globals.sql      roles and tablespaces
    inventory.json   every object of the database, with hashes of its definition
    load.sh          loads all of it: ./load.sh NEWDB

Of a physical backup:

    data/                the data directory; modes of files are kept, but never looser than 0640 and 0750
    tablespaces/<oid>/   what data/pg_tblspc/<oid> is a link to
    wal/                 the archived WAL of the cluster from the start of the backup on, if there is any; --until ends
                         it with a segment, --no-wal leaves it out
    start.sh             starts a server on it that is for its owner alone: ./start.sh; or with WAL replayed up to a
                         moment: ./start.sh --target-time '2026-11-23 12:00:00+00'

Before the first byte is written, the whole backup is checked: every pack against its name (SHA-256), the structure of
every container, every list, every byte of WAL. Memory is bounded by the largest chunk, whatever the size of the backup.
load.sh or start.sh is written last: a directory without it is not complete, and no server starts on one without
data/global/pg_control, which comes last of the files.

One thing is not checked by default: that the id of a chunk is the BLAKE3 hash of its plaintext. The standard library
has no BLAKE3, and in pure Python it runs at about 1 MB/s. Leaving it out is sound. The id is part of the data that
AES-GCM authenticates together with each chunk, and it is compared with the id in the list, which is authenticated in
the same way. So nobody without the key can put another chunk in its place; an id that does not fit its chunk could
only come from a fault of the writer. `--verify-ids` checks it nevertheless, and it is always checked where the module
`blake3` is installed. Row proofs (section 9) are not recomputed for the same reason (XXH3); the number of rows is
checked here and again by load.sh.

A key that was left behind when keys were rotated reads what was sealed before, with --before-rotation.

Where only the WAL of a cluster is wanted, recover_wal.py, beside this file, writes all of it.

Exit status: 0 done; 1 the environment failed (disk, permissions); 2 usage; 3 the key is not one of this repository;
4 an object is damaged, truncated or foreign; 5 an object is missing.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import os
import re
import shlex
import shutil
import struct
import sys
import unicodedata
import zlib
from collections import OrderedDict
from typing import Any, BinaryIO, Callable, Iterable, Iterator, NamedTuple, Optional

try:
    import zstandard
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
except ImportError as missing:
    print(
        f"recover.py: this python3 lacks the module {missing.name!r}; on Debian: apt-get install "
        "python3-cryptography python3-zstandard, then run it with /usr/bin/python3",
        file=sys.stderr,
    )
    sys.exit(2)

try:
    from blake3 import blake3 as fast_blake3
except ImportError:
    fast_blake3 = None

EXIT_ENVIRONMENT = 1
EXIT_USAGE = 2
EXIT_WRONG_KEY = 3
EXIT_DAMAGED = 4
EXIT_MISSING = 5

MEBIBYTE = 1 << 20
PACK_MAX_BYTES = 64 * MEBIBYTE
CHUNK_MAX_BYTES = 64 * MEBIBYTE
WAL_CHUNK_BYTES = MEBIBYTE
WAL_MAX_BYTES = 1025 * MEBIBYTE
RECORDS_MAX = 1 << 20
LIST_ENTRIES_MAX = 4096
DELTA_WINDOW_MAX = 1 << 23
HEAD_MAX_BYTES = MEBIBYTE
OPEN_PACKS_MAX = 16
TAG_BYTES = 16
ID_BYTES = 32
NO_ID = bytes(ID_BYTES)
HEAD_KEY = "chronavault.json"


class Failure(Exception):
    """One sentence for a person, and the exit status that goes with it."""

    def __init__(self, sentence: str, status: int = EXIT_DAMAGED) -> None:
        super().__init__(sentence)
        self.status = status


def require(condition: bool, sentence: str) -> None:
    """Fails with `sentence` (an object is damaged) unless the condition holds."""
    if not condition:
        raise Failure(sentence)


# --- primitives (section 1) ------------------------------------------------------------------------------------------


def hkdf(key: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """HKDF-SHA256, RFC 5869."""
    pseudo_random_key = hmac.new(salt, key, hashlib.sha256).digest()
    output, block, counter = b"", b"", 1
    while len(output) < length:
        block = hmac.new(pseudo_random_key, block + info + bytes([counter]), hashlib.sha256).digest()
        output, counter = output + block, counter + 1
    return output[:length]


# fmt: off
BLAKE3_IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
BLAKE3_PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
BLAKE3_MIXES = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
                (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))
# fmt: on
CHUNK_START, CHUNK_END, PARENT, ROOT, KEYED = 1, 2, 4, 8, 16


def blake3_compress(chain: tuple, block: bytes, counter: int, length: int, flags: int) -> tuple:
    """The compression function of BLAKE3, cut to the 8 words of a chaining value."""
    words = struct.unpack("<16I", block.ljust(64, b"\0"))
    state = [*chain, *BLAKE3_IV[:4], counter & 0xFFFFFFFF, counter >> 32, length, flags]
    for _ in range(7):
        for mix, (a, b, c, d) in enumerate(BLAKE3_MIXES):
            va, vb, vc, vd = state[a], state[b], state[c], state[d]
            va = (va + vb + words[2 * mix]) & 0xFFFFFFFF
            vd ^= va
            vd = (vd >> 16 | vd << 16) & 0xFFFFFFFF
            vc = (vc + vd) & 0xFFFFFFFF
            vb ^= vc
            vb = (vb >> 12 | vb << 20) & 0xFFFFFFFF
            va = (va + vb + words[2 * mix + 1]) & 0xFFFFFFFF
            vd ^= va
            vd = (vd >> 8 | vd << 24) & 0xFFFFFFFF
            vc = (vc + vd) & 0xFFFFFFFF
            vb ^= vc
            vb = (vb >> 7 | vb << 25) & 0xFFFFFFFF
            state[a], state[b], state[c], state[d] = va, vb, vc, vd
        words = tuple(words[at] for at in BLAKE3_PERMUTATION)
    return tuple(state[at] ^ state[at + 8] for at in range(8))


def blake3_leaf(key: tuple, leaf: bytes, counter: int, root: int) -> tuple:
    """The chaining value of up to 1,024 bytes of input."""
    chain = key
    last = max(0, (len(leaf) - 1) // 64)
    for at in range(last + 1):
        block = leaf[at * 64 : at * 64 + 64]
        edges = (CHUNK_START if at == 0 else 0) | (CHUNK_END | root if at == last else 0)
        chain = blake3_compress(chain, block, counter, len(block), KEYED | edges)
    return chain


def slow_blake3(key: bytes, message: bytes) -> bytes:
    """The keyed hash of BLAKE3, 32 bytes, in pure Python: about 1 MB/s at best."""
    key_words = struct.unpack("<8I", key)
    leaves = [message[at : at + 1024] for at in range(0, len(message), 1024)] or [b""]
    if len(leaves) == 1:
        return struct.pack("<8I", *blake3_leaf(key_words, leaves[0], 0, ROOT))
    nodes = [blake3_leaf(key_words, leaf, at, 0) for at, leaf in enumerate(leaves)]
    while len(nodes) > 1:
        # Joining neighbours level by level makes the tree of BLAKE3: every left subtree is the largest full one.
        root = ROOT if len(nodes) == 2 else 0
        joined = [
            blake3_compress(key_words, struct.pack("<16I", *left, *right), 0, 64, KEYED | PARENT | root)
            for left, right in zip(nodes[::2], nodes[1::2])
        ]
        nodes = joined + ([nodes[-1]] if len(nodes) % 2 else [])
    return struct.pack("<8I", *nodes[0])


def chunk_id(key: bytes, plaintext: bytes) -> bytes:
    """BLAKE3(key, plaintext) by the fastest means at hand."""
    if fast_blake3 is not None:
        return fast_blake3(plaintext, key=key).digest()
    return slow_blake3(key, plaintext)


# --- JSON that is checked as it is read ------------------------------------------------------------------------------


def is_plain(text: str) -> bool:
    """Whether a text can be written as UTF-8 and passed on; JSON can hold halves of characters and NULs."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


class Facts:
    """A JSON object with its origin. Members are fetched by type, so that an error can name both."""

    def __init__(self, value: Any, origin: str) -> None:
        require(isinstance(value, dict), f"{origin} is damaged: it is not a JSON object")
        self.value: dict = value
        self.origin = origin

    @classmethod
    def parse(cls, content: bytes, origin: str) -> Facts:
        """Reads an object; a member that occurs twice is refused."""

        def unique(pairs: list) -> dict:
            members = dict(pairs)
            require(len(members) == len(pairs), f"{origin} is damaged: a member occurs twice")
            return members

        try:
            return cls(json.loads(content.decode("utf-8"), object_pairs_hook=unique), origin)
        except (ValueError, RecursionError):
            raise Failure(f"{origin} is damaged: it is not valid JSON") from None

    def only(self, *names: str) -> Facts:
        """Refuses members that are not named."""
        for name in self.value:
            require(name in names, f"{self.origin} has a member {name!r}, which is not known here")
        return self

    def _get(self, name: str, kind: type, what: str) -> Any:
        value = self.value.get(name)
        fits = isinstance(value, kind) and not isinstance(value, bool)
        require(fits, f"{self.origin} is damaged: {name} is not {what}")
        return value

    def number(self, name: str) -> int:
        value = self._get(name, int, "a number")
        require(0 <= value < 1 << 64, f"{self.origin} is damaged: {name} is out of range")
        return value

    def text(self, name: str) -> str:
        text = self._get(name, str, "a text")
        require(is_plain(text), f"{self.origin} is damaged: {name} holds what no text can")
        return text

    def hex(self, name: str, length: int) -> bytes:
        text = self.text(name)
        fits = len(text) == 2 * length and re.fullmatch(r"[0-9a-f]*", text) is not None
        require(fits, f"{self.origin} is damaged: {name} is not {2 * length} hexadecimal digits")
        return bytes.fromhex(text)

    def object(self, name: str) -> Facts:
        return Facts(self.value.get(name), f"{self.origin}, {name}")

    def objects(self, name: str) -> list[Facts]:
        items = self._get(name, list, "a list")
        return [Facts(item, f"{self.origin}, {name}[{at}]") for at, item in enumerate(items)]

    def texts(self, name: str) -> list[str]:
        items = self._get(name, list, "a list")
        fits = all(isinstance(item, str) and is_plain(item) for item in items)
        require(fits, f"{self.origin} is damaged: {name} is not a list of texts")
        return items


# --- objects at keys (section 2) -------------------------------------------------------------------------------------


class Store:
    """The objects of a repository on a local disk. Only ever read."""

    def __init__(self, root: str) -> None:
        below = os.path.join(root, "isolated")
        here, there = (os.path.exists(os.path.join(at, HEAD_KEY)) for at in (root, below))
        self.root = below if there and not here else root

    def _path(self, key: str) -> str:
        return os.path.join(self.root, *key.split("/"))

    def open(self, key: str) -> BinaryIO:
        try:
            return open(self._path(key), "rb")
        except (FileNotFoundError, NotADirectoryError):
            raise Failure(f"{key} is missing in {self.root}", EXIT_MISSING) from None

    def read(self, key: str, limit: int) -> bytes:
        """A small object, whole."""
        with self.open(key) as file:
            content = file.read(limit + 1)
        require(len(content) <= limit, f"{key} is damaged: it is longer than {limit} bytes")
        return content

    def exists(self, key: str) -> bool:
        return os.path.exists(self._path(key))

    def names(self, directory: str) -> list[str]:
        path = self._path(directory)
        return sorted(os.listdir(path)) if os.path.isdir(path) else []


def pack_key(pack: str) -> str:
    """The key of the pack with this SHA-256, in hex."""
    return f"packs/{pack[:2]}/{pack}.pack"


def file_sha256(file: BinaryIO) -> bytes:
    digest = hashlib.sha256()
    file.seek(0)
    while True:
        piece = file.read(MEBIBYTE)
        if not piece:
            return digest.digest()
        digest.update(piece)


# --- chronavault.json and key slots (sections 3 to 5) ----------------------------------------------------------------


class Head(NamedTuple):
    """chronavault.json, parsed and not yet authenticated."""

    repository_id: bytes
    region_bytes: int
    commitments: list[bytes]  # of epoch 1, 2, …
    mac: bytes
    mac_message: bytes


class Keys(NamedTuple):
    """What the holder's key opens, and what it vouches for."""

    repository_id: bytes
    roots: dict[int, bytes]  # by epoch
    chunk_id_key: bytes
    region_bytes: int = 0


def parse_head(content: bytes) -> Head:
    facts = Facts.parse(content, HEAD_KEY)
    require(facts.text("format") == "chronavault", f"{HEAD_KEY} is not that of a Chronavault repository")
    for name in ("version", "suite"):
        require(facts.number(name) == 1, f"{HEAD_KEY} has {name} {facts.number(name)}, which is not known here")
    facts.only("format", "version", "suite", "repository_id", "created_at", "chunking", "epochs", "head_mac")
    repository_id = facts.hex("repository_id", 16)
    chunking = facts.object("chunking").only("rows", "archive", "region_bytes")
    lines = ["chronavault", "version=1", "suite=1", f"repository_id={repository_id.hex()}"]
    lines.append(f"created_at={facts.text('created_at')}")
    limits = ("min_bytes", "spread_bytes", "max_bytes")
    for name in ("rows", "archive"):
        sizes = chunking.object(name).only(*limits)
        lines.append(f"{name}=" + ",".join(str(sizes.number(limit)) for limit in limits))
    region_bytes = chunking.number("region_bytes")
    lines.append(f"region={region_bytes}")
    commitments = []
    for number, epoch in enumerate(facts.objects("epochs"), start=1):
        epoch.only("epoch", "commitment")
        require(epoch.number("epoch") == number, f"{HEAD_KEY} is damaged: its epochs are not numbered 1, 2, …")
        commitments.append(epoch.hex("commitment", 32))
        lines.append(f"epoch={number},{commitments[-1].hex()}")
    require(bool(commitments), f"{HEAD_KEY} is damaged: it has no epoch")
    message = "".join(line + "\n" for line in lines).encode()
    return Head(repository_id, region_bytes, commitments, facts.hex("head_mac", 32), message)


SLOT = struct.Struct("<8sBBHI16s16s32s12s48s")
SLOT_CLEAR_BYTES = 92


def slot_id(holder_key: bytes, repository_id: bytes, epoch: int) -> bytes:
    return hkdf(holder_key, repository_id, b"chronavault v1 slot id" + struct.pack("<I", epoch), 16)


def open_slot(content: bytes, name: str, holder_key: bytes, repository_id: bytes, epoch: int) -> bytes:
    """The root key in a slot (section 4)."""
    require(len(content) == SLOT.size, f"{name} is damaged: it has {len(content)} bytes instead of {SLOT.size}")
    magic, version, kind, flags, found_epoch, owner, identity, salt, nonce, sealed = SLOT.unpack(content)
    require(magic == b"CHRVSLOT", f"{name} is damaged: it does not begin with CHRVSLOT")
    require((version, kind, flags) == (1, 1, 0), f"{name} is of a version or type that is not known here")
    require(owner == repository_id, f"{name} belongs to another repository")
    own = (epoch, slot_id(holder_key, repository_id, epoch))
    require((found_epoch, identity) == own, f"{name} is damaged: it holds another slot")
    wrap_key = hkdf(holder_key, salt, b"chronavault v1 slot", 32)
    try:
        return AESGCM(wrap_key).decrypt(nonce, sealed, content[:SLOT_CLEAR_BYTES])
    except InvalidTag:
        raise Failure(f"{name} is damaged: the key is the right one, but the slot does not open") from None


def opens_another(store: Store, holder_key: bytes) -> bool:
    """Whether some slot is for this key, by the repository that the slot itself names: then the key is not to blame."""
    for name in store.names("keys"):
        if not name.endswith(".slot"):
            continue
        content = store.read(f"keys/{name}", MEBIBYTE)
        if len(content) == SLOT.size:
            _magic, _version, _kind, _flags, epoch, owner, identity, *_sealed = SLOT.unpack(content)
            if slot_id(holder_key, owner, epoch) == identity:
                return True
    return False


def open_keys(store: Store, holder_key: bytes, before_rotation: bool = False) -> Keys:
    """Every root key that the holder's key opens, each checked against its commitment; then the head itself.

    A key that was left behind by a rotation has slots of the first epochs only. With `before_rotation` it opens what was
    sealed in these; the head, which the last epoch vouches for, is then not authenticated but for their commitments.
    """
    head = parse_head(store.read(HEAD_KEY, HEAD_MAX_BYTES))
    roots, absent = {}, []
    for epoch, commitment in enumerate(head.commitments, start=1):
        name = f"keys/{slot_id(holder_key, head.repository_id, epoch).hex()}.slot"
        if not store.exists(name):
            absent.append(name)
            continue
        root = open_slot(store.read(name, MEBIBYTE), name, holder_key, head.repository_id, epoch)
        info = b"chronavault v1 commitment" + struct.pack("<I", epoch)
        fits = hmac.compare_digest(hkdf(root, head.repository_id, info, 32), commitment)
        require(fits, f"{HEAD_KEY} is damaged: the commitment of epoch {epoch} does not fit the root key in {name}")
        roots[epoch] = root
    if not roots:
        strange = opens_another(store, holder_key)
        require(not strange, f"{HEAD_KEY} does not belong to the slots in keys/, which do hold one for this key")
        raise Failure("the key is not one of this repository: keys/ has no slot for it", EXIT_WRONG_KEY)
    first, last = len(roots), len(head.commitments)
    if absent and not (before_rotation and set(roots) == set(range(1, first + 1))):
        other = f"{absent[0]} is missing, though the key opens other epochs of this repository"
        hint = "; a key of before a rotation reads earlier backups with --before-rotation" if 1 in roots else ""
        raise Failure(other + hint, EXIT_MISSING)
    if absent:
        say(f"WARNING: the key opens epochs 1 to {first} of {last}; chronavault.json cannot be authenticated with it")
    else:
        mac_key = hkdf(roots[last], head.repository_id, b"chronavault v1 head", 32)
        genuine = hmac.compare_digest(hmac.new(mac_key, head.mac_message, hashlib.sha256).digest(), head.mac)
        require(genuine, f"{HEAD_KEY} is damaged: its head_mac does not fit its content")
    id_key = hkdf(roots[1], head.repository_id, b"chronavault v1 chunk id", 32)
    return Keys(head.repository_id, roots, id_key, head.region_bytes)


# --- sealed containers (section 6) -----------------------------------------------------------------------------------

HEADER = struct.Struct("<8sBBHI16s32s")
RECORD = struct.Struct("<4sIBBHII32s")
FULL, DELTA, LIST, MANIFEST, PROOF, WAL_HEAD, WAL_CHUNK, TRAILER = 1, 2, 3, 4, 5, 6, 7, 127
STORED, ZSTD, ZSTD_PREFIX, ZSTD_XOR = 0, 1, 2, 3
PACK_MAGIC, MANIFEST_MAGIC, PROOF_MAGIC, WAL_MAGIC = b"CHRVPACK", b"CHRVMANI", b"CHRVPROF", b"CHRVWALS"
TYPES_ALLOWED = {
    PACK_MAGIC: (FULL, DELTA, LIST, TRAILER),
    MANIFEST_MAGIC: (MANIFEST, TRAILER),
    PROOF_MAGIC: (PROOF, TRAILER),
    WAL_MAGIC: (WAL_HEAD, WAL_CHUNK, TRAILER),
}
TRAILER_BYTES = 36


class Record(NamedTuple):
    """The clear header of a record, and where it is."""

    offset: int
    head: bytes
    index: int
    type: int
    codec: int
    plain_bytes: int
    sealed_bytes: int
    id: bytes

    @property
    def end(self) -> int:
        return self.offset + RECORD.size + self.sealed_bytes


def exclusive_or(content: bytes, base: bytes) -> bytes:
    """Each byte combined with the byte of the base at the same place, as far as the base goes."""
    length = min(len(content), len(base))
    combined = int.from_bytes(content[:length], "little") ^ int.from_bytes(base[:length], "little")
    return combined.to_bytes(length, "little") + content[length:]


class Container:
    """A pack, a manifest or an object of WAL, read by offset. Bytes leave it only after their tag was checked."""

    def __init__(self, file: BinaryIO, name: str, magic: bytes, keys: Keys) -> None:
        self.file, self.name, self.magic = file, name, magic
        self.size = os.fstat(file.fileno()).st_size
        self.header = self._read(0, HEADER.size)
        found, version, suite, flags, epoch, repository_id, salt = HEADER.unpack(self.header)
        self._require(found == magic, f"it does not begin with {magic.decode()}")
        require((version, suite, flags) == (1, 1, 0), f"{name} is of a version or suite that is not known here")
        require(repository_id == keys.repository_id, f"{name} belongs to another repository")
        self._require(epoch in keys.roots, f"it is sealed for epoch {epoch}, which the key does not open")
        info = b"chronavault v1 container" + self.header
        self.cipher = AESGCM(hkdf(keys.roots[epoch], salt, info, 32))

    def _require(self, condition: bool, why: str) -> None:
        require(condition, f"{self.name} is damaged: {why}")

    def _read(self, offset: int, length: int) -> bytes:
        self.file.seek(offset)
        content = self.file.read(length)
        self._require(len(content) == length, f"it is cut short at {self.size} bytes")
        return content

    def record_at(self, offset: int) -> Record:
        """The header of the record at `offset`, after every check that needs no key."""
        head = self._read(offset, RECORD.size)
        magic, index, kind, codec, zero, plain, sealed, identity = RECORD.unpack(head)
        where = f"the record at byte {offset}"
        self._require(magic == b"CHNK" and zero == 0, f"there is no record at byte {offset}")
        self._require(kind in TYPES_ALLOWED[self.magic], f"{where} has type {kind}, which does not belong here")
        codecs = {DELTA: (ZSTD_PREFIX, ZSTD_XOR), TRAILER: (STORED,)}.get(kind, (STORED, ZSTD))
        self._require(codec in codecs, f"{where} has codec {codec}, which does not belong to its type")
        chunk_max = WAL_CHUNK_BYTES if self.magic == WAL_MAGIC else CHUNK_MAX_BYTES
        self._require(plain <= chunk_max, f"{where} is larger than a chunk can be")
        small = self.magic != WAL_MAGIC or sealed <= chunk_max + TAG_BYTES
        self._require(small, f"{where} is larger than a record can be")
        self._require(index < RECORDS_MAX or kind == TRAILER, f"{where} is one too many")
        least = TAG_BYTES + {STORED: plain, ZSTD: 1}.get(codec, ID_BYTES + 1)
        fits = sealed == least if codec == STORED else sealed >= least
        self._require(fits, f"{where} has lengths that contradict each other")
        self._require(offset + RECORD.size + sealed <= self.size, f"it is cut short at {self.size} bytes")
        if kind == TRAILER:
            self._require(plain == TRAILER_BYTES and identity == NO_ID, "its trailer is not one")
        return Record(offset, head, index, kind, codec, plain, sealed, identity)

    def body(self, record: Record) -> bytes:
        """The body of a record: authenticated, still compressed."""
        sealed = self._read(record.offset + RECORD.size, record.sealed_bytes)
        nonce = bytes(4) + struct.pack(">Q", record.index)
        try:
            return self.cipher.decrypt(nonce, sealed, self.header + record.head)
        except InvalidTag:
            why = f"the record at byte {record.offset} does not authenticate"
            raise Failure(f"{self.name} is damaged: {why}") from None

    def walk(self) -> list[Record]:
        """Checks the structure up to the authenticated trailer, and that nothing follows it."""
        offset, records = HEADER.size, []
        digest = hashlib.sha256(self.header)
        while True:
            record = self.record_at(offset)
            self._require(record.index == len(records), f"the record at byte {offset} is out of order")
            if record.type == TRAILER:
                break
            digest.update(record.head)
            records.append(record)
            offset = record.end
        expected = struct.pack("<I", len(records)) + digest.digest()
        self._require(self.body(record) == expected, "its trailer does not fit its records")
        self._require(record.end == self.size, f"{self.size - record.end} bytes follow its trailer")
        return records

    def inflate(self, record: Record, frame: bytes, base: Optional[bytes]) -> bytes:
        """One zstd frame, with nothing behind it, that has the plain length of the record."""
        where = f"the chunk at byte {record.offset}"
        try:
            parameters = zstandard.get_frame_parameters(frame)
            known = parameters.content_size != zstandard.CONTENTSIZE_UNKNOWN
            fits = parameters.content_size == record.plain_bytes or not known
            self._require(fits, f"{where} has another length than its record says")
            prefix = None
            if base is not None:
                self._require(parameters.window_size <= DELTA_WINDOW_MAX, f"{where} has too large a window")
                prefix = zstandard.ZstdCompressionDict(base, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
            decompressor = zstandard.ZstdDecompressor(dict_data=prefix)
            # The output is limited so that memory is, even where the frame does not say its size.
            return decompressor.decompress(frame, max_output_size=record.plain_bytes, allow_extra_data=False)
        except zstandard.ZstdError:
            raise Failure(f"{self.name} is damaged: {where} does not decompress") from None

    def plaintext(self, record: Record, base: Optional[bytes] = None, base_id: bytes = NO_ID) -> bytes:
        """The chunk of a record; `base` is the chunk that a delta is the difference to."""
        content = self.body(record)
        where = f"at byte {record.offset}"
        if record.codec == ZSTD:
            content = self.inflate(record, content, None)
        elif record.codec in (ZSTD_PREFIX, ZSTD_XOR):
            fits = base is not None and content[:ID_BYTES] == base_id
            self._require(fits, f"the delta {where} has another base than its list says")
            content = self.inflate(record, content[ID_BYTES:], base if record.codec == ZSTD_PREFIX else None)
            if record.codec == ZSTD_XOR:
                content = exclusive_or(content, base)
        self._require(len(content) == record.plain_bytes, f"the chunk {where} has another length than its record says")
        return content


# --- lists (section 8) -----------------------------------------------------------------------------------------------

LIST_HEAD = struct.Struct("<4sII")
ENTRY = struct.Struct("<IIIIIB3sQ32sIIII32s")
FLAG_DELTA, FLAG_CONTINUES = 1, 2


class Place(NamedTuple):
    """Where a chunk is, and which."""

    pack: str
    offset: int
    sealed_bytes: int
    plain_bytes: int
    id: bytes


class Entry(NamedTuple):
    """One entry of a list."""

    place: Place
    rows: int
    continues: bool
    base: Optional[Place]


def parse_list(content: bytes, origin: str) -> list[Entry]:
    """The entries of a list chunk, in order."""
    require(len(content) >= LIST_HEAD.size, f"{origin} is damaged: it is too short")
    magic, pack_count, entry_count = LIST_HEAD.unpack_from(content)
    require(magic == b"LIST", f"{origin} is damaged: it does not begin with LIST")
    require(entry_count <= LIST_ENTRIES_MAX, f"{origin} is damaged: it has {entry_count} entries")
    entries_at = LIST_HEAD.size + ID_BYTES * pack_count
    fits = len(content) == entries_at + ENTRY.size * entry_count
    require(fits, f"{origin} is damaged: its length does not fit its counts")
    packs = [content[at : at + ID_BYTES].hex() for at in range(LIST_HEAD.size, entries_at, ID_BYTES)]

    def place(pack: int, *rest: Any) -> Place:
        require(pack < pack_count, f"{origin} is damaged: it names pack {pack} of {pack_count}")
        return Place(packs[pack], *rest)

    entries = []
    for fields in ENTRY.iter_unpack(content[entries_at:]):
        pack, offset, sealed, plain, rows, flags, zero, _key_hash, identity, *base = fields
        known = flags <= (FLAG_DELTA | FLAG_CONTINUES) and zero == bytes(3)
        require(known, f"{origin} is damaged: it has an entry with unknown flags")
        delta = bool(flags & FLAG_DELTA)
        require(delta or base == [0, 0, 0, 0, NO_ID], f"{origin} is damaged: a full chunk has a base")
        own = place(pack, offset, sealed, plain, identity)
        entries.append(Entry(own, rows, bool(flags & FLAG_CONTINUES), place(*base) if delta else None))
    return entries


# --- the manifest (section 9) ----------------------------------------------------------------------------------------

BACKUP_ID = re.compile(r"backup-[0-9]{4}-[0-9]{2}-[0-9]{2}-[0-9]{6}-[0-9a-f]{6}")
PROOF_NAME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}-[0-9]{6}-[0-9a-f]{6}\.proof")
ROWS_STREAM = re.compile(r"rows/([1-9][0-9]{0,8})")
ARCHIVE_FILES = {"archive": "archive.dump", "globals": "globals.sql", "inventory": "inventory.json"}
LSN = re.compile(r"([0-9A-F]{1,8})/([0-9A-F]{1,8})")
SEGMENT_SIZES = [1 << power for power in range(20, 31)]


LEVELS = ("objects", "contents", "restore")


class Proof(NamedTuple):
    """The result of one verification (section 11)."""

    level: str
    outcome: str
    at: str


class Table(NamedTuple):
    """What the manifest says about a table."""

    schema: str
    name: str
    columns: list[str]
    rows: Optional[int]  # None where the rows were left out on request


class Stream(NamedTuple):
    """One stream: its name, the file that it becomes, and where its lists are."""

    name: str
    file: str  # empty for the streams of a physical backup, which become many
    plain_bytes: int
    entries: int
    sha256: Optional[bytes]  # of archive streams
    table: Optional[Table]  # of row streams
    lists: list[Place]


def parse_place(facts: Facts) -> Place:
    sizes = (facts.number("offset"), facts.number("sealed_bytes"), facts.number("plain_bytes"))
    return Place(facts.hex("pack", 32).hex(), *sizes, facts.hex("id", 32))


def parse_tables(logical: Facts) -> dict[tuple[str, str], Table]:
    tables = {}
    for facts in logical.objects("tables"):
        rows = None if facts.value.get("proof") is None else facts.object("proof").number("rows")
        table = Table(facts.text("schema"), facts.text("name"), facts.texts("columns"), rows)
        tables[table.schema, table.name] = table
    return tables


def parse_stream(facts: Facts, tables: Optional[dict[tuple[str, str], Table]]) -> Stream:
    """A stream of a logical backup with these tables, or of a physical one."""
    name, kind = facts.text("name"), facts.text("kind")
    lists = [parse_place(place) for place in facts.objects("lists")]
    sizes = (facts.number("plain_bytes"), facts.number("entries"))
    numbered = ROWS_STREAM.fullmatch(name)
    hashed = kind == "archive" or "sha256" not in facts.value
    require(hashed, f"{facts.origin} is damaged: only archives have a SHA-256")
    if tables is None:
        known = (name, kind) in (("files", "archive"), ("regions", "regions"))
        require(known, f"{facts.origin}: a stream {name!r} of kind {kind!r} is not known here")
        return Stream(name, "", *sizes, facts.hex("sha256", 32) if kind == "archive" else None, None, lists)
    if kind == "rows" and numbered:
        owner = facts.object("table")
        table = tables.get((owner.text("schema"), owner.text("name")))
        known = table is not None and table.rows is not None
        require(known, f"{facts.origin} is damaged: its table is not among those of the backup")
        # The file is named by the number alone: names of tables never become paths.
        return Stream(name, f"rows/{numbered.group(1)}.copy", *sizes, None, table, lists)
    known = kind == "archive" and name in ARCHIVE_FILES
    require(known, f"{facts.origin}: a stream {name!r} of kind {kind!r} is not known here")
    return Stream(name, ARCHIVE_FILES[name], *sizes, facts.hex("sha256", 32), None, lists)


class Physical(NamedTuple):
    """What the manifest says about a cluster."""

    system_id: int
    major: int  # the version of the server
    timeline: int
    start: int
    stop: int
    segment_bytes: int
    tablespaces: list[int]
    files: int  # directories not counted
    bad_pages: list[tuple[str, int]]
    bad_page_count: int

    @property
    def segments(self) -> range:
        """The numbers of the WAL segments without which the cluster does not start."""
        return range(self.start // self.segment_bytes, (self.stop - 1) // self.segment_bytes + 1)


def parse_lsn(facts: Facts, name: str) -> int:
    match = LSN.fullmatch(facts.text(name))
    require(match is not None, f"{facts.origin} is damaged: {name} is not a position in WAL")
    return int(match[1], 16) << 32 | int(match[2], 16)


def parse_physical(facts: Facts) -> Physical:
    system = facts.text("system_identifier")
    fits = re.fullmatch(r"[1-9][0-9]{0,19}", system) is not None and int(system) < 1 << 64
    require(fits, f"{facts.origin} is damaged: {system!r} is not a system identifier")
    timeline, size = facts.number("timeline"), facts.number("wal_segment_bytes")
    require(0 < timeline < 1 << 32, f"{facts.origin} is damaged: timeline is out of range")
    require(size in SEGMENT_SIZES, f"{facts.origin} is damaged: wal_segment_bytes is not a size of WAL segments")
    start, stop = parse_lsn(facts, "start_lsn"), parse_lsn(facts, "stop_lsn")
    require(0 < start < stop, f"{facts.origin} is damaged: it stops before it starts")
    oids = [space.number("oid") for space in facts.objects("tablespaces")]
    fits = len(set(oids)) == len(oids) and all(0 < oid < 1 << 32 for oid in oids)
    require(fits, f"{facts.origin} is damaged: its tablespaces do not have an OID each")
    bad = facts.objects("bad_pages") if "bad_pages" in facts.value else []
    pages = [(page.text("path"), page.number("block")) for page in bad]
    count = facts.number("bad_page_count") if "bad_page_count" in facts.value else len(pages)
    major = facts.number("server_version") // 10000
    files = facts.number("files")
    return Physical(int(system), major, timeline, start, stop, size, oids, files, pages, count)


class Manifest:
    """What describes one backup: `logical` or `physical`, as the backup is."""

    def __init__(self, facts: Facts, backup: str) -> None:
        self.name = facts.origin
        require(facts.number("version") == 1, f"{self.name} has version {facts.number('version')}, not known here")
        require(facts.text("id") == backup, f"{self.name} is that of another backup, {facts.text('id')!r}")
        kind = facts.text("kind")
        require(kind in ("logical", "physical"), f"{self.name} is of kind {kind!r}, not known here")
        self.physical = parse_physical(facts.object("physical")) if kind == "physical" else None
        self.snapshot_at = facts.text("snapshot_at") if kind == "physical" else ""
        self.logical = facts.object("logical") if kind == "logical" else Facts({}, self.name)
        packs = facts.objects("packs")
        self.pack_sizes = {pack.hex("sha256", 32).hex(): pack.number("bytes") for pack in packs}
        require(len(self.pack_sizes) == len(packs), f"{self.name} is damaged: it names a pack twice")
        tables = parse_tables(self.logical) if kind == "logical" else None
        self.streams = [parse_stream(stream, tables) for stream in facts.objects("streams")]
        self.by_name = {stream.name: stream for stream in self.streams}
        require(len(self.by_name) == len(self.streams), f"{self.name} is damaged: it has a stream twice")
        for name in ("files", "regions") if self.physical else ARCHIVE_FILES:
            require(name in self.by_name, f"{self.name} is damaged: it has no stream {name!r}")

    @property
    def row_streams(self) -> list[Stream]:
        return [stream for stream in self.streams if stream.table is not None]

    @property
    def is_filtered(self) -> bool:
        return any(self.logical.object("filters").value.values())


# --- the backup as a whole -------------------------------------------------------------------------------------------


class Backup:
    """One backup of an opened repository."""

    def __init__(self, store: Store, keys: Keys, backup: str, verify_ids: bool) -> None:
        self.store, self.keys, self.id = store, keys, backup
        self.verify_ids = verify_ids or fast_blake3 is not None
        self._packs: OrderedDict[str, Container] = OrderedDict()
        self.manifest = Manifest(self._only_record(f"{backup}.manifest", MANIFEST_MAGIC), backup)

    def __enter__(self) -> Backup:
        return self

    def __exit__(self, *_error: Any) -> None:
        while self._packs:
            self._packs.popitem()[1].file.close()

    def _only_record(self, name: str, magic: bytes) -> Facts:
        """What a container with a single record says."""
        with self.store.open(name) as file:
            container = Container(file, name, magic, self.keys)
            records = container.walk()
            require(len(records) == 1, f"{name} is damaged: it has {len(records)} records instead of one")
            return Facts.parse(self._open(container, records[0]), name)

    def proofs(self) -> Iterator[Proof]:
        """The verifications of this very manifest, newest first. A proof that is no good is named and passed over."""
        with self.store.open(f"{self.id}.manifest") as file:
            manifest_sha256 = file_sha256(file)
        for file_name in filter(PROOF_NAME.fullmatch, reversed(self.store.names(f"proofs/{self.id}"))):
            name = f"proofs/{self.id}/{file_name}"
            try:
                facts = self._only_record(name, PROOF_MAGIC)
                of_this = (facts.text("backup"), facts.hex("manifest_sha256", 32)) == (self.id, manifest_sha256)
                require(of_this and facts.number("version") == 1, f"{name} is not a proof of this manifest")
                require(facts.text("level") in LEVELS, f"{name} has an unknown level")
                yield Proof(facts.text("level"), facts.text("outcome"), facts.text("at"))
            except Failure as failure:
                say(f"ignored: {failure}")

    def _open(
        self, container: Container, record: Record, base: Optional[bytes] = None, base_id: bytes = NO_ID
    ) -> bytes:
        """The plaintext of a record, compared with its id where that was asked for."""
        content = container.plaintext(record, base, base_id)
        if self.verify_ids:
            fits = hmac.compare_digest(chunk_id(self.keys.chunk_id_key, content), record.id)
            require(fits, f"{container.name} is damaged: the chunk at byte {record.offset} does not have its id")
        return content

    def _pack(self, pack: str) -> Container:
        """A pack, opened. The last few stay open: neighbours in a stream are mostly neighbours in a pack."""
        container = self._packs.pop(pack, None)
        if container is None:
            container = self._open_pack(pack)
            if len(self._packs) >= OPEN_PACKS_MAX:
                self._packs.popitem(last=False)[1].file.close()
        self._packs[pack] = container
        return container

    def _open_pack(self, pack: str) -> Container:
        file = self.store.open(pack_key(pack))
        try:
            return Container(file, pack_key(pack), PACK_MAGIC, self.keys)
        except BaseException:
            file.close()
            raise

    def _record(self, place: Place, kind: int) -> tuple[Container, Record]:
        """The record at a place, which must agree with what the list or the manifest says."""
        named = place.pack in self.manifest.pack_sizes
        require(named, f"{self.manifest.name} is damaged: it does not name {pack_key(place.pack)}, which a list needs")
        container = self._pack(place.pack)
        record = container.record_at(place.offset)
        found = (record.type, record.sealed_bytes, record.plain_bytes, record.id)
        agrees = found == (kind, place.sealed_bytes, place.plain_bytes, place.id)
        require(agrees, f"{container.name} is damaged: the record at byte {place.offset} is not the one that is named")
        return container, record

    def check_packs(self, progress: Callable[[str], None]) -> None:
        """Every pack of the manifest: there, with the bytes that its name says, and well-formed."""
        for number, (pack, size) in enumerate(self.manifest.pack_sizes.items(), start=1):
            progress(f"checking pack {number} of {len(self.manifest.pack_sizes)}")
            name = pack_key(pack)
            require(size <= PACK_MAX_BYTES, f"{name} is larger than a pack can be")
            container = self._pack(pack)  # first, so that a foreign pack is called foreign
            require(container.size >= size, f"{name} is damaged: it is cut short at {container.size} of {size} bytes")
            require(container.size == size, f"{name} is damaged: it has {container.size} bytes instead of {size}")
            genuine = file_sha256(container.file).hex() == pack
            require(genuine, f"{name} is damaged: its bytes do not have the SHA-256 that is its name")
            container.walk()

    def lists(self, stream: Stream) -> Iterator[list[Entry]]:
        """The lists of a stream, one at a time."""
        for place in stream.lists:
            container, record = self._record(place, LIST)
            yield parse_list(self._open(container, record), f"the list at byte {place.offset} of {container.name}")

    def check_lists(self) -> None:
        """Every list, and that the manifest names the packs that are needed and no other."""
        unused = {pack_key(pack) for pack in self.manifest.pack_sizes}
        for stream in self.manifest.streams:
            unused.difference_update(pack_key(place.pack) for place in stream.lists)
            unused.difference_update(self._check_stream(stream))
        for pack in sorted(unused):
            raise Failure(f"{self.manifest.name} is damaged: it names {pack}, which nothing needs")

    def _check_stream(self, stream: Stream) -> set[str]:
        """The records and the sums of the lists of a stream; returns the keys of the packs that its chunks need."""
        packs: set[str] = set()
        entries = size = rows = 0
        continues = False
        for entry in (entry for part in self.lists(stream) for entry in part):
            for container, _record in self._records(entry):
                packs.add(container.name)
            entries, size, rows = entries + 1, size + entry.place.plain_bytes, rows + entry.rows
            continues = entry.continues
            counts_rows = entry.rows > 0 or entry.continues
            fits = stream.table is not None or not counts_rows
            require(fits, f"the lists of {stream.name} are damaged: they count rows in an archive")
        origin = f"{self.manifest.name} does not fit its lists: {stream.name} has there"
        require(entries == stream.entries, f"{origin} {entries} entries instead of {stream.entries}")
        require(size == stream.plain_bytes, f"{origin} {size} bytes instead of {stream.plain_bytes}")
        require(not continues, f"the lists of {stream.name} are damaged: they end within a row")
        if stream.table is not None:
            require(rows == stream.table.rows, f"{origin} {rows} rows instead of {stream.table.rows}")
        return packs

    def _records(self, entry: Entry) -> list[tuple[Container, Record]]:
        """The record of an entry; for a delta, that of its base comes first."""
        if entry.base is None:
            return [self._record(entry.place, FULL)]
        return [self._record(entry.base, FULL), self._record(entry.place, DELTA)]

    def chunk(self, entry: Entry) -> bytes:
        """The plaintext of an entry, through its base if it is a delta."""
        content, identity = None, NO_ID
        for container, record in self._records(entry):
            content, identity = self._open(container, record, content, identity), record.id
        assert content is not None
        return content

    def content(self, stream: Stream) -> Iterator[bytes]:
        """The bytes of a stream, chunk by chunk."""
        digest = hashlib.sha256()
        for entry in (entry for part in self.lists(stream) for entry in part):
            content = self.chunk(entry)
            if stream.table is None:
                digest.update(content)
            else:
                check_rows(content, entry, stream.name)
            yield content
        whole = stream.sha256 in (None, digest.digest())
        require(whole, f"{self.manifest.name}: the stream {stream.name} does not have the SHA-256 that is given for it")


def check_rows(content: bytes, entry: Entry, stream: str) -> None:
    """In COPY text a newline is the end of a row and nothing else, so rows can be counted."""
    fits = content.count(b"\n") == entry.rows and content.endswith(b"\n") != entry.continues
    require(fits, f"a chunk of {stream} is damaged: its rows are not those that its list counts")


# --- the files of a cluster (section 9) ------------------------------------------------------------------------------

CONTROL, LABEL, VERSION, TABLESPACE_MAP = "global/pg_control", "backup_label", "PG_VERSION", "tablespace_map"
HELD_MAX_BYTES = 1 << 18  # of the two files that are not written where they come in the list
LINE_MAX_BYTES = 1 << 16
NAMES_AT_ONCE_BYTES = 32 * MEBIBYTE
SEGMENT = re.compile(r"([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})")


class Node(NamedTuple):
    """A file of the cluster, or a directory."""

    path: str
    mode: int
    bytes: Optional[int]  # None of a directory


def parse_node(line: bytes, origin: str) -> Node:
    """One line of the list. Its path stays below whatever directory it is joined to."""
    facts = Facts.parse(line, origin)
    path, mode = facts.text("path"), facts.number("mode")
    inside = all(part not in ("", ".", "..") for part in path.split("/"))
    inside = inside and not any(unicodedata.category(character) == "Cc" for character in path)
    require(inside, f"{origin} is damaged: {path!r} is not a path in a data directory")
    require(mode <= 0o7777, f"{origin} is damaged: {mode} is not a mode")
    return Node(path, mode, facts.number("bytes") if "bytes" in facts.value else None)


def directories_above(path: str) -> Iterator[str]:
    at = path.find("/")
    while at >= 0:
        yield path[:at]
        at = path.find("/", at + 1)


def segment_number(name: str, segment_bytes: int) -> int:
    """The number of a segment, counted from the beginning of all WAL, whatever its timeline."""
    return int(name[8:16], 16) * ((1 << 32) // segment_bytes) + int(name[16:24], 16)


def segment_name(timeline: int, number: int, segment_bytes: int) -> str:
    each = (1 << 32) // segment_bytes
    return f"{timeline:08X}{number // each:08X}{number % each:08X}"


def map_oids(content: bytes) -> set[str]:
    """The OIDs in a tablespace_map: a line for each, OID and path; what is not the end of a line is escaped."""
    lines = [line for line in re.split(rb"(?<!\\)\n", content) if line]
    found = [re.match(rb"[1-9][0-9]* ", line) for line in lines]
    require(all(found), f"{TABLESPACE_MAP} is damaged: it has a line without an OID")
    return {match[0].decode().strip() for match in found if match}


class Cluster:
    """The files of a physical backup. Both of its streams are read in step, and never held as a whole."""

    def __init__(self, backup: Backup, facts: Physical) -> None:
        self.backup, self.facts = backup, facts
        self.files, self.regions = (backup.manifest.by_name[name] for name in ("files", "regions"))
        self.oids = {str(oid) for oid in facts.tablespaces}
        self.region_bytes = backup.keys.region_bytes
        fits = 0 < self.region_bytes <= CHUNK_MAX_BYTES
        require(fits, f"{HEAD_KEY} is damaged: its region_bytes are not those of a chunk")

    def nodes(self) -> Iterator[Node]:
        """The lines of the list."""
        rest, number = b"", 0
        for content in self.backup.content(self.files):
            lines = (rest + content).split(b"\n")
            rest = lines.pop()
            for line in lines:
                number += 1
                require(len(line) <= LINE_MAX_BYTES, f"line {number} of the list of files is damaged: it is too long")
                yield parse_node(line, f"line {number} of the list of files")
            require(len(rest) <= LINE_MAX_BYTES, f"line {number + 1} of the list of files is damaged: it is too long")
        require(not rest, "the list of files is damaged: its last line does not end")

    def entries(self) -> Iterator[Entry]:
        return (entry for part in self.backup.lists(self.regions) for entry in part)

    def entries_of(self, node: Node, entries: Iterator[Entry]) -> Iterator[Entry]:
        """Takes what belongs to a file off the entries of all; it must be taken to its end."""
        left = node.bytes or 0
        while left > 0:
            length, entry = min(left, self.region_bytes), next(entries, None)
            require(entry is not None, f"the list of regions is damaged: it ends within {node.path!r}")
            fits = entry.place.plain_bytes == length
            require(fits, f"the list of regions is damaged: a region of {node.path!r} does not have {length} bytes")
            left -= length
            yield entry

    def check(self) -> None:
        """Everything about the files that can be known before one is written."""
        self._check_names()
        entries, needed = self.entries(), {CONTROL, LABEL, VERSION}
        if self.oids:
            needed.add(TABLESPACE_MAP)
        segments: set[int] = set()
        files = 0
        for node in self.nodes():
            files += node.bytes is not None
            mine = self.entries_of(node, entries)
            if node.path in (CONTROL, TABLESPACE_MAP):
                require((node.bytes or 0) <= HELD_MAX_BYTES, f"{node.path} is too long to be one")
            if node.path == TABLESPACE_MAP:
                found = map_oids(b"".join(map(self.backup.chunk, mine)))
                require(found == self.oids, f"{TABLESPACE_MAP} has other tablespaces than {self.backup.manifest.name}")
            for _entry in mine:
                pass
            if node.bytes:
                needed.discard(node.path)
            self._check_place(node)
            match = SEGMENT.fullmatch(node.path.removeprefix("pg_wal/")) if node.path.startswith("pg_wal/") else None
            if match and node.bytes == self.facts.segment_bytes and int(match[1], 16) >= self.facts.timeline:
                segments.add(segment_number(match[0], self.facts.segment_bytes))
        require(next(entries, None) is None, "the list of regions is damaged: it goes on behind the last file")
        fits = files == self.facts.files
        require(fits, f"the list of files is damaged: it has {files} files instead of {self.facts.files}")
        for path in sorted(needed):
            raise Failure(f"the list of files is damaged: a cluster does not start without {path}")
        for number in self.facts.segments:
            name = segment_name(self.facts.timeline, number, self.facts.segment_bytes)
            require(number in segments, f"the list of files is damaged: it lacks pg_wal/{name}, which the start needs")

    def _check_place(self, node: Node) -> None:
        """A file must not be where something else will be."""
        link = node.path.removeprefix("pg_tblspc/")
        clear = node.bytes is None or link == node.path or link not in self.oids
        require(clear, f"the list of files is damaged: {node.path} is a file, and a tablespace")
        require(node.path != "postmaster.pid", f"the list of files is damaged: {node.path} is that of a running server")

    def _check_names(self) -> None:
        """No path occurs twice, and none is below a file. Each pass looks at a part of the names only, so that memory
        does not grow with their number."""
        parts = 1 + self.files.plain_bytes // NAMES_AT_ONCE_BYTES
        for part in range(parts):
            is_file: dict[str, bool] = {}
            above: set[str] = set()
            for node in self.nodes():
                if zlib.crc32(node.path.encode()) % parts == part:
                    require(node.path not in is_file, f"the list of files is damaged: it has {node.path!r} twice")
                    is_file[node.path] = node.bytes is not None
                above.update(name for name in directories_above(node.path) if zlib.crc32(name.encode()) % parts == part)
            for name in sorted(above):
                require(not is_file.get(name), f"the list of files is damaged: {name!r} is a file with files below it")

    def place(self, path: str) -> str:
        """Where a path of the list goes, below OUT_DIR: what is in a tablespace goes where its link will lead."""
        parts = path.split("/")
        if parts[0] == "pg_tblspc" and len(parts) > 1 and parts[1] in self.oids:
            return "/".join(["tablespaces", *parts[1:]])
        return f"data/{path}"

    def write(self, output: Output) -> None:
        """Writes all files. Before the last one, no server takes the directory for a cluster."""
        entries, held, written = self.entries(), [], 0
        for name in ("data", *(f"tablespaces/{oid}" for oid in sorted(self.oids))):
            output.directory(name)
        for node in self.nodes():
            name, mine = self.place(node.path), self.entries_of(node, entries)
            if node.bytes is None:
                output.directory(name, node.mode)
            elif node.path in (CONTROL, TABLESPACE_MAP):
                held.append((node, list(mine)))
            else:
                output.file(name, map(self.backup.chunk, mine), node.mode)
            before, written = written, written + (node.bytes or 0)
            if written >> 30 > before >> 30:
                say(f"written: {written >> 30} GiB of {self.regions.plain_bytes >> 30}")
        for oid in sorted(self.oids):
            output.link(f"data/pg_tblspc/{oid}", f"tablespaces/{oid}")
        for node, mine in sorted(held, key=lambda pair: pair[0].path == CONTROL):
            content = iter([self._map(output)]) if node.path == TABLESPACE_MAP else map(self.backup.chunk, mine)
            output.file(self.place(node.path), content, node.mode)

    def _map(self, output: Output) -> bytes:
        """The tablespace_map with the new places."""
        places = ((oid, os.fsencode(output.absolute(f"tablespaces/{oid}"))) for oid in sorted(self.oids, key=int))
        return b"".join(b"%s %s\n" % (oid.encode(), re.sub(rb"([\\\r\n])", rb"\\\1", path)) for oid, path in places)


# --- load.sh ---------------------------------------------------------------------------------------------------------

# Rows are text under these settings (section 12), and must be read under them. The encoding of the rows is given with
# COPY itself, so that the names in the statements may be UTF-8 in every database.
SESSION = (
    "SET DateStyle = 'ISO'; SET IntervalStyle = 'postgres'; SET TimeZone = 'UTC'; SET xmloption = 'content'; "
    "SET lc_monetary = 'C'; SET search_path = ''; SET row_security = off; SET standard_conforming_strings = on; "
    "SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0"
)

LOAD_HEAD = r"""#!/bin/sh
# Loads a backup into a new database with stock PostgreSQL commands: createdb, psql, pg_restore.
#
#     ./load.sh NEWDB [option of pg_restore…]
#
# The server is found as psql finds it: PGHOST, PGPORT, PGUSER, PGPASSWORD, PGPASSFILE, PGSERVICE. The role must be
# allowed to create databases, and be a superuser where the objects have several owners. Where the roles of the backup
# are not wanted, give --no-owner --no-privileges. With JOBS=4 indexes are built by four sessions. It stops at the first
# error; the database is then incomplete and should be dropped.
set -eu

if [ $# -lt 1 ]; then
    echo 'usage: ./load.sh NEWDB [option of pg_restore…]' >&2
    exit 2
fi
NEWDB=$1
shift
cd -- "$(dirname -- "$0")"

# Client programs take a database name with a = or a URI in it for a connection string; so it always gets one.
escaped=$(printf '%s.' "$NEWDB" | sed "s/[\\\\']/\\\\&/g")
target="dbname='${escaped%.}'"

export PGCLIENTENCODING=UTF8

step() {
    printf 'load.sh: %s\n' "$1"
}

run_sql() {
    psql -X -v ON_ERROR_STOP=1 "$@"
}

# Since 17 pg_restore sets transaction_timeout, which older servers take for an error.
check_versions() {
    server=$(run_sql --dbname=postgres --no-align --tuples-only -c 'SHOW server_version_num')
    client=$(pg_restore --version | sed 's/^[^0-9]*\([0-9]*\).*/\1/')
    if [ "$client" -ge 17 ] && [ "$server" -lt 170000 ]; then
        printf 'load.sh: pg_restore %s cannot restore into a server of version %s\n' "$client" $((server / 10000)) >&2
        echo 'load.sh: put client programs of the version of the server first in PATH' >&2
        exit 1
    fi
}

# unless OPTION… COMMAND…: runs the command unless one of the options (up to --) was given to this script.
given=" $* "
unless() {
    while [ "$1" != -- ]; do
        case $given in *" $1 "*) return 0 ;; esac
        shift
    done
    shift
    "$@"
}

restore() {
    section=$1
    shift
    pg_restore --exit-on-error --no-password --section="$section" --dbname="$target" "$@" archive.dump
}

# database STATEMENTS: runs SQL in which :"db" is the new database.
database() {
    printf '%s\n' "$1" | run_sql --quiet --dbname="$target" -v "db=$NEWDB" -f -
}

set_owner() {
    owner=--owner=$1
}

set_tablespace() {
    tablespace=--tablespace=$1
}

# need_roles NAMES: stops when one of the roles (SQL literals) does not exist.
need_roles() {
    missing=$(run_sql --dbname=postgres --no-align --tuples-only -c "
        SELECT string_agg(quote_ident(name), ', ') FROM unnest(ARRAY[$1]::text[]) AS name
         WHERE name NOT IN (SELECT rolname FROM pg_catalog.pg_roles)")
    if [ -n "$missing" ]; then
        printf 'load.sh: these roles do not exist: %s\n' "$missing" >&2
        echo 'load.sh: make them with psql -d postgres -f globals.sql, or give --no-owner --no-privileges' >&2
        exit 1
    fi
}

# rows FILE COUNT STATEMENT: loads a file, and compares how many rows the server says with how many there are.
rows() {
    step "$1 ($2 rows)"
    said=$(run_sql --dbname="$target" -c "$SESSION" -c "$3" < "$1")
    if [ "${said##*COPY }" != "$2" ]; then
        printf 'load.sh: %s should have loaded %s rows; the server said: %s\n' "$1" "$2" "$said" >&2
        exit 1
    fi
}
"""

LOAD_BODY = r"""
step 'definitions'
restore pre-data "$@"
step 'small tables, sequences, large objects'
restore data "$@"
"""

LOAD_TAIL = r"""
step 'indexes, constraints, triggers'
restore post-data --jobs="${JOBS:-1}" "$@"
step 'settings, comment and privileges of the database'
database_properties
step 'done; vacuumdb --analyze-only would now gather statistics for the planner'
"""


def quote_identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def quote_literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def copy_statement(table: Table, encoding: str) -> str:
    columns = ", ".join(quote_identifier(column) for column in table.columns)
    target = f"{quote_identifier(table.schema)}.{quote_identifier(table.name)}"
    listed = f" ({columns})" if columns else ""
    return f"COPY {target}{listed} FROM STDIN (FORMAT text, ENCODING {quote_literal(encoding)})"


# Settings that are lists of names: the catalog keeps them as they are written, and as one literal they would be one
# name (GUC_LIST_QUOTE in the server's source).
LISTS_OF_NAMES = {
    "local_preload_libraries", "search_path", "session_preload_libraries", "shared_preload_libraries",
    "temp_tablespaces", "unix_socket_directories",
}  # fmt: skip


def setting_value(name: str, value: str) -> str:
    """The value of a setting, as the catalog has it, as SQL."""
    if name.lower() not in LISTS_OF_NAMES:
        return quote_literal(value)
    elements = re.findall(r'\s*(?:"((?:[^"]|"")*)"|([^,]+))\s*(?:,|$)', value)
    names = [quoted.replace('""', '"') if not plain else plain.strip() for quoted, plain in elements]
    return ", ".join(map(quote_literal, names)) or "''"


def optional_text(facts: Facts, name: str) -> Optional[str]:
    return None if facts.value.get(name) is None else facts.text(name)


def create_command(manifest: Manifest) -> str:
    """Makes the database from template0 with encoding, locale, owner and tablespace of the source."""
    properties = manifest.logical.object("properties")
    options = ["--template=template0", f"--encoding={manifest.logical.text('encoding')}"]
    for member, option in (("collate", "--lc-collate"), ("ctype", "--lc-ctype"), ("icu_rules", "--icu-rules")):
        value = optional_text(properties, member)
        options += [f"{option}={value}"] if value is not None else []
    provider, locale = optional_text(properties, "locale_provider"), optional_text(properties, "locale")
    if provider in ("icu", "builtin"):
        options += [f"--locale-provider={provider}"]
        options += [f"--{provider}-locale={locale}"] if locale is not None else []
    create = " ".join(map(shlex.quote, options))
    # Servers since 15 have several providers, and template0 may have another one than the source.
    lines = ["provider="]
    if provider == "libc":
        lines.append('[ "$server" -lt 150000 ] || provider=--locale-provider=libc')
    lines += ["owner=", "tablespace="]
    for variable, refused in (("owner", "--no-owner"), ("tablespace", "--no-tablespaces")):
        value = optional_text(properties, variable)
        if value not in (None, "pg_default"):
            lines.append(f"unless {refused} -- set_{variable} {shlex.quote(value)}")
    chosen = '$provider ${owner:+"$owner"} ${tablespace:+"$tablespace"}'
    lines.append(f'createdb --no-password {chosen} {create} -- "$NEWDB"')
    return "\n".join(lines) + "\n"


def grants(properties: Facts) -> list[str]:
    """The privileges on the database; none if they were never changed."""
    if properties.value.get("privileges") is None:
        return []
    owner = properties.text("owner")
    statements = [f'REVOKE ALL ON DATABASE :"db" FROM {who}' for who in ("PUBLIC", quote_identifier(owner))]
    for privilege in properties.objects("privileges"):
        grantee, grantor = optional_text(privilege, "grantee"), quote_identifier(privilege.text("grantor"))
        kind = privilege.text("privilege")
        require(kind in ("CREATE", "CONNECT", "TEMPORARY"), f"{privilege.origin}: {kind!r} is not known here")
        to = "PUBLIC" if grantee is None else quote_identifier(grantee)
        option = " WITH GRANT OPTION" if privilege.value.get("grantable") is True else ""
        grant = [f'GRANT {kind} ON DATABASE :"db" TO {to}{option}']
        if grantor != quote_identifier(owner):
            grant = [f"SET SESSION AUTHORIZATION {grantor}", *grant, "RESET SESSION AUTHORIZATION"]
        statements += grant
    return statements


def settings(properties: Facts) -> Iterator[tuple[bool, str]]:
    """The settings of the database, each with whether it is one of a role."""
    for setting in properties.objects("settings") if "settings" in properties.value else []:
        role, name = optional_text(setting, "role"), setting.text("name")
        whose = 'DATABASE :"db"' if role is None else f'ROLE {quote_identifier(role)} IN DATABASE :"db"'
        quoted = ".".join(map(quote_identifier, name.split(".")))
        yield role is not None, f"ALTER {whose} SET {quoted} TO {setting_value(name, setting.text('value'))}"


def properties_function(properties: Facts) -> str:
    """A shell function that gives the database what is not in the archive."""
    lines = ["database_properties() {", "    :"]

    def add(statements: list[str], *unless: str) -> None:
        if statements:
            guard = " ".join(["unless", *unless, "-- "]) if unless else ""
            lines.append(f"    {guard}database {shlex.quote(';'.join(statements) + ';')}")

    comment = optional_text(properties, "comment")
    if comment is not None:
        add([f'COMMENT ON DATABASE :"db" IS {quote_literal(comment)}'])
    for of_role, statement in settings(properties):
        add([statement], *(["--no-owner"] if of_role else []))
    # Without the owner there is nobody to have granted them.
    add(grants(properties), "--no-privileges", "--no-acl", "-x", "--no-owner", "-O")
    if properties.value.get("connection_limit", -1) != -1:
        limit = properties.value["connection_limit"]
        require(isinstance(limit, int), f"{properties.origin} is damaged: connection_limit is not a number")
        add([f'ALTER DATABASE :"db" CONNECTION LIMIT {limit}'])
    return "\n".join([*lines, "}"]) + "\n"


def load_script(backup: str, manifest: Manifest) -> str:
    """The shell script that loads the files. Every name in it is quoted; comments hold none."""
    encoding = manifest.logical.text("encoding")
    roles = ", ".join(quote_literal(role.text("name")) for role in manifest.logical.objects("roles"))
    parts = [
        LOAD_HEAD,
        f"\nSESSION={shlex.quote(SESSION)}\n\n",
        properties_function(manifest.logical.object("properties")),
        f"\ncheck_versions\nstep 'backup {backup}: creating the database'\n",
        f"unless --no-owner -O -- need_roles {shlex.quote(roles)}\n" if roles else "",
        create_command(manifest),
        LOAD_BODY,
    ]
    for stream in manifest.row_streams:
        statement = shlex.quote(copy_statement(stream.table, encoding))
        parts.append(f"rows {stream.file} {stream.table.rows} {statement}\n")
    return "".join([*parts, LOAD_TAIL])


# --- WAL (section 15) ------------------------------------------------------------------------------------------------

WAL_NAME = re.compile(r"([0-9A-F]{8})(?:[0-9A-F]{16}(?:\.partial|\.[0-9A-F]{8}\.backup)?|\.history)")
WAL_PIECE = re.compile(r"([0-9A-F]{24})\.([0-9A-F]{8})\.piece")
WAL_TEXT_MAX_BYTES = MEBIBYTE
PAGE_HEADER = struct.Struct("<HHIQIIQII")
LONG_HEADER = 2
HISTORY_LINE = re.compile(r"\s*([0-9]{1,10})\s+([0-9A-F]{1,8})/([0-9A-F]{1,8})(?:\s.*)?")


class WalHead(NamedTuple):
    """What an object of WAL says that it holds."""

    name: str
    system: int
    timeline: int
    segment_bytes: int  # 0 of what is no segment
    offset: int
    bytes: int
    archived_at: str


def parse_wal_head(content: bytes, origin: str) -> WalHead:
    facts = Facts.parse(content, origin)
    require(facts.number("version") == 1, f"{origin} is of a version that is not known here")
    name, system, timeline = facts.text("name"), facts.text("system_id"), facts.number("timeline")
    sized = facts.value.get("segment_bytes") is not None
    size, offset, length = facts.number("segment_bytes") if sized else 0, facts.number("offset"), facts.number("bytes")
    match = WAL_NAME.fullmatch(name)
    fits = match is not None and int(match[1], 16) == timeline and re.fullmatch(r"0|[1-9][0-9]*", system) is not None
    if name.endswith((".history", ".backup")):
        fits = fits and not sized and offset == 0 and length <= WAL_TEXT_MAX_BYTES
    else:
        fits = fits and size in SEGMENT_SIZES and 0 < length <= size - offset
        fits = fits and (length == size or not name.endswith(".partial"))
    require(fits, f"{origin} contradicts itself")
    return WalHead(name, int(system), timeline, size, offset, length, facts.text("archived_at"))


class WalObject:
    """An object of WAL, open for reading in any order."""

    def __init__(self, store: Store, key: str, keys: Keys, verify_ids: bool) -> None:
        self.key, self.id_key = key, keys.chunk_id_key if verify_ids else None
        self.file = store.open(key)
        try:
            self.container = Container(self.file, key, WAL_MAGIC, keys)
            self._require(self.container.size <= WAL_MAX_BYTES, f"it is longer than {WAL_MAX_BYTES} bytes")
            records = self.container.walk()
            kinds = [record.type for record in records]
            self._require(kinds[:1] == [WAL_HEAD] and WAL_HEAD not in kinds[1:], "it does not have one head")
            self._require(records[0].codec == STORED, "its head is compressed")
            self.head = parse_wal_head(self._plain(records[0]), f"the head of {key}")
            self.chunks = records[1:]
            self._check()
        except BaseException:
            self.file.close()
            raise

    def _check(self) -> None:
        """The object is at its key, and as long as its head says."""
        head, rest = self.head, self.head.bytes
        named = f"wal/{head.system}/{head.timeline:08X}/{head.name}"
        piece = WAL_PIECE.fullmatch(self.key.rsplit("/", 1)[1])
        if piece:
            here = bool(head.segment_bytes) and self.key == f"{named}.{head.offset:08X}.piece"
        else:
            here = self.key == f"{named}.wal" and head.offset == 0 and head.bytes >= head.segment_bytes
        self._require(here, f"it is {head.name} of the cluster {head.system}, from byte {head.offset} on")
        for chunk in self.chunks:
            self._require(chunk.plain_bytes == min(rest, WAL_CHUNK_BYTES) > 0, "a chunk has a wrong length")
            rest -= chunk.plain_bytes
        self._require(rest == 0, "it lacks its last chunks")

    def __enter__(self) -> WalObject:
        return self

    def __exit__(self, *_error: Any) -> None:
        self.file.close()

    def _require(self, condition: bool, why: str) -> None:
        require(condition, f"{self.key} is damaged: {why}")

    def _plain(self, record: Record) -> bytes:
        content = self.container.plaintext(record)
        if self.id_key is not None:
            genuine = hmac.compare_digest(chunk_id(self.id_key, content), record.id)
            self._require(genuine, f"the chunk at byte {record.offset} does not have its id")
        return content

    def _chunk(self, number: int) -> bytes:
        """One chunk; that of a first page only if the page is that of this segment."""
        content = self._plain(self.chunks[number])
        if number == 0 and self.head.segment_bytes and self.head.offset == 0 and len(content) >= PAGE_HEADER.size:
            self._require(begins(content, self.head), "it begins with the first page of another segment")
        return content

    def content(self) -> Iterator[bytes]:
        return map(self._chunk, range(len(self.chunks)))

    def between(self, start: int, end: int) -> bytes:
        """The bytes from one offset in the segment to another, which must be in the object and not far apart."""
        first, last = (start - self.head.offset) // WAL_CHUNK_BYTES, (end - 1 - self.head.offset) // WAL_CHUNK_BYTES
        content = b"".join(self._chunk(number) for number in range(first, last + 1))
        skip = start - self.head.offset - first * WAL_CHUNK_BYTES
        return content[skip : skip + end - start]


def begins(content: bytes, head: WalHead) -> bool:
    """Whether these bytes begin as the segment of this head does."""
    magic, flags, timeline, position, _, _, system, size, _ = PAGE_HEADER.unpack_from(content)
    is_first = magic >> 8 == 0xD1 and flags & LONG_HEADER != 0 and timeline <= head.timeline
    place = segment_number(head.name, head.segment_bytes) * head.segment_bytes
    return is_first and (position, system, size) == (place, head.system, head.segment_bytes)


class Part(NamedTuple):
    """Bytes of a segment that a piece of it has, by offsets in the segment."""

    start: int
    end: int
    key: str
    segment_bytes: int


class Archive:
    """The WAL of one cluster, by its names alone: objects are opened when they are needed, and one or two at a time."""

    def __init__(self, store: Store, keys: Keys, system: int, verify_ids: bool = False) -> None:
        self.store, self.keys, self.verify_ids = store, keys, verify_ids
        self.whole: dict[str, str] = {}  # keys by name
        self.pieces: dict[str, list[str]] = {}  # keys by name of segment, in the order of offsets
        root = f"wal/{system}"
        for timeline in store.names(root):
            for file in store.names(f"{root}/{timeline}"):
                name, piece = file[: -len(".wal")], WAL_PIECE.fullmatch(file)
                if piece:
                    self.pieces.setdefault(piece[1], []).append(f"{root}/{timeline}/{file}")
                elif file.endswith(".wal") and WAL_NAME.fullmatch(name):
                    require(name not in self.whole, f"{root} is damaged: {name} is there twice")
                    self.whole[name] = f"{root}/{timeline}/{file}"

    def open(self, key: str) -> WalObject:
        return WalObject(self.store, key, self.keys, self.verify_ids)

    def histories(self) -> list[str]:
        return sorted(name for name in self.whole if name.endswith(".history"))

    def ends(self) -> list[str]:
        """The segments that are not there as a whole, and behind which nothing is there on their timelines."""
        names = (name[:24] for name in self.whole if not name.endswith((".history", ".backup")))
        last: dict[str, str] = {}
        for name in (*names, *self.pieces):
            last[name[:8]] = max(name, last.get(name[:8], ""))
        return sorted(name for name in last.values() if name not in self.whole)

    def known(self, name: str) -> list[Part]:
        """What the pieces of a segment have of it from its start on, up to the first gap. Where pieces overlap, they
        must hold the same."""
        parts: list[Part] = []
        end = 0
        for key in sorted(self.pieces[name]):
            with self.open(key) as piece:
                start, stop = piece.head.offset, piece.head.offset + piece.head.bytes
                if start > end:
                    say(f"{key} and what is behind it is of no use: there is nothing from byte {end} on")
                    break
                size = piece.head.segment_bytes
                same = not parts or parts[0].segment_bytes == size
                require(same, f"{key} contradicts another piece: they are of segments of different lengths")
                for part in reversed(parts):
                    if part.end <= start:
                        break
                    self._compare(piece, part, max(start, part.start), min(stop, part.end))
            if stop > end:
                parts.append(Part(end, stop, key, size))
                end = stop
        return parts

    def _compare(self, piece: WalObject, part: Part, start: int, end: int) -> None:
        with self.open(part.key) as other:
            for at in range(start, end, WAL_CHUNK_BYTES):
                upto = min(end, at + WAL_CHUNK_BYTES)
                same = piece.between(at, upto) == other.between(at, upto)
                require(same, f"{piece.key} contradicts another piece, {part.key}")

    def joined(self, parts: list[Part]) -> Iterator[bytes]:
        """The bytes of these pieces, and zeros up to the end of the segment."""
        for part in parts:
            with self.open(part.key) as piece:
                for at in range(part.start, part.end, WAL_CHUNK_BYTES):
                    yield piece.between(at, min(part.end, at + WAL_CHUNK_BYTES))
        end, size = parts[-1].end, parts[-1].segment_bytes
        for at in range(end, size, WAL_CHUNK_BYTES):
            yield bytes(min(WAL_CHUNK_BYTES, size - at))


class Switch(NamedTuple):
    """A line of a history: where another timeline left its parent."""

    parent: int
    lsn: int


def parse_history(content: bytes, name: str) -> list[Switch]:
    switches = []
    for line in content.decode("utf-8", "replace").splitlines():
        match = HISTORY_LINE.fullmatch(line)
        require(match is not None or not line.strip() or line.lstrip().startswith("#"), f"{name} is no history")
        if match:
            switches.append(Switch(int(match[1]), int(match[2], 16) << 32 | int(match[3], 16)))
    return switches


class Replay:
    """The archived WAL that a server needs to go on from a physical backup, as files for its restore_command."""

    def __init__(self, archive: Archive, facts: Physical, until: Optional[str]) -> None:
        self.archive, self.facts, self.size = archive, facts, facts.segment_bytes
        self.first, self.last = facts.segments.start, segment_number(until, self.size) if until else 1 << 64
        if self.last < facts.segments.stop - 1:
            needed = segment_name(facts.timeline, facts.segments.stop - 1, self.size)
            raise Failure(f"{until} is before {needed}, in which the backup ends", EXIT_USAGE)
        segments = (name for name in archive.whole if not name.endswith((".history", ".backup")))
        self.whole = sorted(filter(self._is_between, segments))
        self.joined: dict[str, list[Part]] = {}
        self.cut_off: list[str] = []  # of these there is a .partial only
        self.histories: dict[int, list[Switch]] = {}
        self.times: dict[str, str] = {}

    def _is_between(self, name: str) -> bool:
        return self.first <= segment_number(name, self.size) <= self.last

    def check(self) -> None:
        """Reads every object that will be written, to its end."""
        for name in self.archive.histories():
            with self.archive.open(self.archive.whole[name]) as history:
                self.histories[history.head.timeline] = parse_history(b"".join(history.content()), history.key)
        for name in self.whole:
            with self.archive.open(self.archive.whole[name]) as segment:
                self._note(segment, name[:24])
                for _content in segment.content():
                    pass
        for name in filter(self._is_between, self.archive.ends()):
            parts = self.archive.known(name) if name in self.archive.pieces else []
            for part in parts:
                with self.archive.open(part.key) as piece:
                    self._note(piece, name)
            if parts:
                self.joined[name] = parts
                for _content in self.archive.joined(parts):
                    pass
            elif f"{name}.partial" in self.archive.whole:
                self.cut_off.append(name)

    def _note(self, segment: WalObject, name: str) -> None:
        size = segment.head.segment_bytes
        require(size == self.size, f"{segment.key} is of a segment of {size} bytes, the backup has {self.size}")
        self.times[name] = segment.head.archived_at

    def write(self, output: Output) -> None:
        output.directory("wal")
        copies = {name: name for name in (*self.archive.histories(), *self.whole)}
        copies.update({name: f"{name}.partial" for name in self.cut_off})
        for name, source in copies.items():
            with self.archive.open(self.archive.whole[source]) as segment:
                output.file(f"wal/{name}", segment.content())
        for name, parts in self.joined.items():
            output.file(f"wal/{name}", self.archive.joined(parts))

    @property
    def segments(self) -> list[str]:
        """The segments that there will be for a server to ask for."""
        return sorted([*filter(SEGMENT.fullmatch, self.whole), *self.joined, *self.cut_off])

    @property
    def timeline(self) -> int:
        """The newest timeline that left that of the backup after its end, or left one that did; else its own."""
        own, stop = self.facts.timeline, self.facts.stop
        after = [
            timeline
            for timeline, history in self.histories.items()
            if any(switch.parent == own and switch.lsn >= stop for switch in history)
        ]
        return max(after, default=own)

    def way(self) -> Iterator[tuple[int, int, Optional[int]]]:
        """The timelines that a server goes along, each with its first segment and the first that is not its own."""
        first, target, on_it = self.first, self.timeline, False
        for switch in self.histories[target] if target != self.facts.timeline else []:
            on_it = on_it or switch.parent == self.facts.timeline
            if on_it:
                # The segment in which a timeline begins is its own, with a copy of what came before.
                yield switch.parent, first, switch.lsn // self.size
                first = switch.lsn // self.size
        yield target, first, None

    def reach(self) -> tuple[str, list[tuple[str, str]]]:
        """The last segment up to which nothing is missing, and the first and last segment of every gap."""
        there: dict[int, set[int]] = {self.facts.timeline: set(self.facts.segments)}
        for name in self.segments:
            there.setdefault(int(name[:8], 16), set()).add(segment_number(name, self.size))
        reached, gaps = "", []
        for timeline, first, end in self.way():
            own = sorted(it for it in there.get(timeline, ()) if first <= it and (end is None or it < end))
            for number in (*own, *([] if end is None else [end])):
                if first < number:
                    gaps.append(tuple(segment_name(timeline, it, self.size) for it in (first, number - 1)))
                if not gaps and number != end:
                    reached = segment_name(timeline, number, self.size)
                first = number + 1
        return reached, gaps


# --- start.sh --------------------------------------------------------------------------------------------------------

START = r"""#!/bin/sh
# Starts a recovered cluster with stock PostgreSQL commands: postgres, pg_ctl, pg_controldata.
#
#     ./start.sh [--bin DIR] [TARGET] [-- option of postgres…]
#
# Without a target the cluster is as it was at the end of the backup. With one, the archived WAL in wal/ is replayed up
# to a later moment, and the cluster then goes on as a timeline of its own:
#
#     --target-time T    up to this time, such as '2026-11-23 12:00:00+00' (say the time zone)
#     --target-lsn L     up to this position in WAL, such as 0/3000148
#     --immediate        no further than the end of the backup
#     --latest           all WAL that there is
#     --timeline N       along this timeline, where the one chosen below is not meant
#
# The server runs for its owner alone: on a socket in this directory, not on the network, and it neither archives nor
# subscribes to anything, whatever its configuration says. DIR holds the programs; without it they are looked for.
set -eu
umask 077

backup=@BACKUP@
timeline=@TIMELINE@

usage() {
    sed -n '4,13s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

fail() {
    printf 'start.sh: %s\n' "$@" >&2
    exit 1
}

bin='' target=''
while [ $# -gt 0 ]; do
    case $1 in
        --bin | --timeline | --target-time | --target-lsn) [ $# -ge 2 ] || usage ;;
    esac
    case $1 in
        --target-* | --immediate | --latest) [ -z "$target" ] || usage ;;
    esac
    case $1 in
        --bin) bin=$2 && shift ;;
        --timeline) timeline=$2 && shift ;;
        --target-time)
            # So early a server does not know the names of time zones, and not Z.
            case $2 in *Z) time=${2%Z}+00 ;; *) time=$2 ;; esac
            target="recovery_target_time = '$time'" && shift
            ;;
        --target-lsn) target="recovery_target_lsn = '$2'" && shift ;;
        --immediate) target="recovery_target = 'immediate'" ;;
        --latest) target="recovery_target = ''" ;;
        --) shift && break ;;
        *) usage ;;
    esac
    shift
done
# None of these needs a character that would have to be quoted.
case $target in
    *[!-A-Za-z0-9_\ :./+=\']* | *\'*\'*\'*) usage ;;
esac
case $timeline in
    '' | *[!0-9]*) [ "$timeline" = latest ] || [ "$timeline" = current ] || usage ;;
esac

cd -- "$(dirname -- "$0")"
here=$(pwd -P)

quoted() {
    printf '%s.' "$1" | sed "s/'/'\\\\''/g; 1s/^/'/; \$s/\.\$/'/"
}

if [ "$(id -u)" = 0 ]; then
    fail 'PostgreSQL refuses to run as root. Give the files to another user, who must be able to pass the directories' \
        'above them, and start as that user:' \
        "    chown -R postgres: $(quoted "$here") && runuser -u postgres -- $(quoted "$here/start.sh")"
fi
[ -n "$(find data -prune -user "$(id -u)")" ] ||
    fail "data belongs to another user than $(id -un); only its owner can start the server" \
    "    chown -R $(id -un): $(quoted "$here")          (as root)"

# The programs must be of the major version of the files. A directory may have links to some of them.
major=$(cat data/PG_VERSION)
version=''
found=''

# try DIRECTORY: takes it if it has what is needed, or if the directory has that its postgres is a link to.
try() {
    program=$(readlink -f -- "$1/postgres") && [ -x "$program" ] || return 0
    version=$("$program" --version 2>/dev/null | sed 's/^[^0-9]*\([0-9]*\).*/\1/')
    for directory in "$1" "${program%/*}"; do
        if [ "$version" = "$major" ] && [ -x "$directory/pg_ctl" ]; then
            found=$directory
        fi
    done
}

if [ -n "$bin" ]; then
    try "$bin"
    [ -n "$found" ] || fail "$bin has no PostgreSQL $major, which these files need (${version:-nothing} is there)"
else
    in_path=$(command -v postgres || echo /)
    for place in "${in_path%/*}" "/usr/lib/postgresql/$major/bin" "/usr/pgsql-$major/bin" /usr/local/pgsql/bin; do
        [ -n "$found" ] || try "$place"
    done
    [ -n "$found" ] || fail "these files need PostgreSQL $major, which is not here" \
        "install it (apt-get install postgresql-$major), or say where it is: --bin DIR"
fi
if "$found/pg_ctl" status -D data >/dev/null 2>&1; then
    fail "the server runs already; to stop it: $(quoted "$found/pg_ctl") -D $(quoted "$here/data") stop"
fi

# Tablespaces are where this directory is now, wherever it was written.
newline='
'
rm -f data/map.new
for space in tablespaces/*; do
    [ -d "$space" ] || continue
    case $here in
        *"$newline"*) fail 'tablespaces cannot be found below a directory with a newline in its name' ;;
    esac
    ln -sfn "$here/$space" "data/pg_tblspc/${space#tablespaces/}"
    if [ -f data/tablespace_map ]; then
        printf '%s %s\n' "${space#tablespaces/}" "$(printf '%s' "$here/$space" | sed 's/\\/\\\\/g')" >> data/map.new
    fi
done
[ ! -f data/map.new ] || mv data/map.new data/tablespace_map

if [ -f data/standby.signal ]; then
    mv data/standby.signal data/standby.signal.off
    echo 'start.sh: the backup is of a standby; data/standby.signal is now standby.signal.off'
fi

if [ -n "$target" ]; then
    [ -f data/backup_label ] || [ -f data/recovery.signal ] ||
        fail 'a server has run on these files; a target needs them as recover.py writes them'
    case $target in
        *immediate*) ;;
        *) [ -d wal ] || fail 'there is no wal/ to replay: recover.py found none, or was told --no-wal' ;;
    esac
    # The chosen target comes last: a server refuses two, and takes an empty text for none.
    cat >> data/postgresql.auto.conf <<END
# written by start.sh
restore_command = 'test -f "../wal/%f" && cp "../wal/%f" "%p"'
recovery_target_timeline = '$timeline'
recovery_target_action = 'promote'
recovery_target_inclusive = 'on'
recovery_target = ''
recovery_target_name = ''
recovery_target_xid = ''
recovery_target_time = ''
recovery_target_lsn = ''
$target
END
    : > data/recovery.signal
elif [ -f data/recovery.signal ]; then
    echo 'start.sh: data/recovery.signal is there: the recovery goes on that was asked for before'
fi

# Where the configuration was kept elsewhere, as Debian does, the server gets its defaults, and room for what was open.
config=data/postgresql.conf
if [ ! -f "$config" ]; then
    config=minimal.conf
    echo "start.sh: the backup has no postgresql.conf (it was kept elsewhere); the server gets $here/$config"
    [ -x "$found/pg_controldata" ] || echo 'start.sh: pg_controldata is not here; what is in that file is a guess' >&2
    { LC_ALL=C "$found/pg_controldata" -D data || echo 'max_prepared_xacts setting: 100'; } |
        sed -n 's/^\(max_[a-z_]*\)xacts\{0,1\} setting:/\1transactions setting:/
                s/per_transactions/per_transaction/
                s/^\(max_[a-z_]*\) setting: *\([0-9]*\)$/\1 = \2/p' > "$config"
fi

# Sockets have short names, and the setting is a list.
sockets=$here
case $sockets in
    *[!A-Za-z0-9/._-]*) sockets='' ;;
esac
if [ ${#sockets} -gt 80 ] || [ -z "$sockets" ]; then
    sockets=$(mktemp -d "${TMPDIR:-/tmp}/start-XXXXXX")
fi
echo 'local all all trust' > own-hba.conf

options="-p 5432 -c config_file=$(quoted "$here/$config") -c data_directory=$(quoted "$here/data")"
options="$options -c hba_file=$(quoted "$here/own-hba.conf") -c unix_socket_directories=$(quoted "$sockets")"
options="$options -c external_pid_file=$(quoted "$here/server.pid")"
for setting in listen_addresses= unix_socket_permissions=0700 unix_socket_group= ssl=off logging_collector=off \
    log_destination=stderr lc_messages=C archive_mode=off hot_standby=off max_logical_replication_workers=0 \
    huge_pages=try; do
    options="$options -c $setting"
done
for option in "$@"; do
    options="$options $(quoted "$option")"
done

failed() {
    tail -n 15 server.log >&2
    [ -z "$target" ] || echo 'start.sh: another target can be given' >&2
    fail "the server did not start; its log is $here/server.log"
}

printf 'start.sh: %s: starting PostgreSQL %s on %s; replay may take a while\n' "$backup" "$major" "$here/data"
: > server.log
"$found/pg_ctl" start -D "$here/data" -w -t 604800 -s -l "$here/server.log" -o "$options" 2>/dev/null || failed
# pg_ctl does not wait for the end of a recovery; the last line of this file says when the server is ready.
until sed -n '8p' data/postmaster.pid 2>/dev/null | grep -q '^ready'; do
    "$found/pg_ctl" status -D data >/dev/null || failed
    sleep 1
done
sed -n 's/^.*LOG:  *\(recovery stopping .*\)$/start.sh: \1/p
        s/^.*LOG:  *\(last completed transaction .*\)$/start.sh: \1/p
        s/^.*LOG:  *\(selected new timeline .*\)$/start.sh: \1/p' server.log

client="psql -h $(quoted "$sockets") -p 5432 -d postgres -U"
cat <<END

The server runs, for you alone. To look at it (as any role of the cluster) and to stop it:

    $client postgres
    $(quoted "$found/pg_ctl") -D $(quoted "$here/data") stop

To put it into service: stop it, look through data/postgresql.conf and data/pg_hba.conf, which are those of the source,
give it an archive of its own, and start it as usual.
END
if [ -n "$target" ]; then
    cat <<END

The recovery is over, and its settings do nothing any more. To remove them from data/postgresql.auto.conf:

    for name in restore_command recovery_target recovery_target_action recovery_target_inclusive \\
        recovery_target_lsn recovery_target_name recovery_target_time recovery_target_timeline recovery_target_xid
    do
        $client postgres -c "ALTER SYSTEM RESET \$name"
    done
END
fi
"""


def start_script(backup: str, timeline: str) -> str:
    return START.replace("@BACKUP@", backup).replace("@TIMELINE@", timeline)


# --- writing ---------------------------------------------------------------------------------------------------------


class Output:
    """OUT_DIR: new or empty, and for its owner only."""

    def __init__(self, path: str) -> None:
        self.path = path
        os.umask(0o077)
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            if not os.path.isdir(path) or os.listdir(path):
                raise Failure(f"{path} exists and is not an empty directory", EXIT_USAGE) from None
            os.chmod(path, 0o700)

    def write(self, name: str, pieces: Iterator[bytes], mode: int = 0o600) -> None:
        """Writes a file. Under its name it is whole: until then it is called <name>.partial, also after a failure."""
        final = os.path.join(self.path, *name.split("/"))
        os.makedirs(os.path.dirname(final), mode=0o700, exist_ok=True)
        partial = final + ".partial"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with open(os.open(partial, flags, mode), "wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        os.rename(partial, final)

    def directory(self, name: str, mode: int = 0o700) -> None:
        """Makes a directory, or gives it its mode: for others never to write, and at most for the group to read."""
        path = os.path.join(self.path, *name.split("/"))
        os.makedirs(path, exist_ok=True)
        os.chmod(path, mode & 0o750 | 0o700)

    def file(self, name: str, pieces: Iterable[bytes], mode: int = 0o600) -> None:
        """Writes a file under its own name at once; that all of them are whole is said by another that comes last."""
        path = os.path.join(self.path, *name.split("/"))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with open(os.open(path, flags, 0o600), "wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fchmod(file.fileno(), mode & 0o640)
            os.fsync(file.fileno())

    def absolute(self, name: str) -> str:
        return os.path.join(os.path.realpath(self.path), *name.split("/"))

    def link(self, name: str, target: str) -> None:
        """Makes a symbolic link to another name below OUT_DIR."""
        path = os.path.join(self.path, *name.split("/"))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.symlink(self.absolute(target), path)


def say(text: str) -> None:
    print(f"recover.py: {text}", file=sys.stderr)


def recover(backup: Backup, output_path: str, replay: Optional[Replay]) -> None:
    """Checks everything, then writes everything."""
    manifest = backup.manifest
    backup.check_packs(say)
    say("checking lists")
    backup.check_lists()
    if manifest.physical is not None:
        recover_cluster(Cluster(backup, manifest.physical), output_path, replay)
        return
    output = Output(output_path)
    for stream in manifest.streams:
        say(f"writing {stream.file} ({stream.plain_bytes} bytes)")
        output.write(stream.file, backup.content(stream))
    output.write("load.sh", iter([load_script(backup.id, manifest).encode()]), mode=0o700)


def proof_that_counts(newest_first: Iterator[Proof]) -> Optional[Proof]:
    """Section 11: a lower level hides neither a proof nor a failed restore."""
    newest, cleared = None, -1
    for proof in newest_first:
        level = LEVELS.index(proof.level)
        if proof.outcome == "proven" or (proof.outcome == "failed" and level > cleared):
            return proof
        if proof.outcome != "failed":
            newest, cleared = newest or proof, max(cleared, level)
    return newest


def find_wal(backup: Backup, no_wal: bool, until: Optional[str]) -> Optional[Replay]:
    """The archived WAL of the cluster of a physical backup, where there is some and it is wanted."""
    facts = backup.manifest.physical
    if facts is None and (no_wal or until):
        raise Failure("this backup is a logical one: it has no WAL to limit", EXIT_USAGE)
    if facts is None or no_wal:
        return None
    archive = Archive(backup.store, backup.keys, facts.system_id, backup.verify_ids)
    replay = Replay(archive, facts, until)
    return replay if archive.whole or archive.pieces else None


def warn_of_space(cluster: Cluster, output_path: str, replay: Optional[Replay]) -> None:
    """Hours before the disk is full. It is no more than a warning, since some file systems compress."""
    wal_bytes = len(replay.segments) * cluster.facts.segment_bytes if replay is not None else 0
    needed, above = cluster.regions.plain_bytes + wal_bytes, os.path.dirname(os.path.abspath(output_path))
    free = shutil.disk_usage(above).free
    if free < needed:
        say(f"WARNING: {needed} bytes are to be written, and {free} are free in {above}")


def recover_cluster(cluster: Cluster, output_path: str, replay: Optional[Replay]) -> None:
    say("checking the list of files")
    cluster.check()
    timeline = "latest"
    if replay is not None:
        say(f"checking WAL ({len(replay.whole)} segments and what is unfinished)")
        try:
            replay.check()
        except Failure as failure:
            way_out = "--no-wal recovers the backup without WAL, --until SEGMENT with what comes before"
            raise Failure(f"{failure}; {way_out}", failure.status) from None
        timeline = str(replay.timeline) if replay.timeline != cluster.facts.timeline else "current"
    warn_of_space(cluster, output_path, replay)
    output = Output(output_path)
    if replay is not None:
        say("writing wal")
        replay.write(output)
    say(f"writing data ({cluster.regions.plain_bytes} bytes)")
    cluster.write(output)
    output.write("start.sh", iter([start_script(cluster.backup.id, timeline).encode()]), mode=0o700)


GAPS_SHOWN = 10


def wal_instructions(replay: Optional[Replay]) -> list[str]:
    """What moments can be reached."""
    if replay is None:
        return ["", "There is no archived WAL with it: the cluster will be as it was at the end of the backup."]
    reached, gaps = replay.reach()
    time = replay.times.get(reached)
    when = f"that of {reached}, archived at {time}" if time else f"that of the backup, {reached}"
    count = len(replay.segments)
    lines = ["", f"wal/ has {count} segments. start.sh can replay them up to any moment; the last is {when}."]
    if gaps:
        lines += ["", "WARNING: WAL is missing. No later moment can be reached, although there is WAL behind it:"]
        lines += [f"  {first}" + (f" to {last}" if last != first else "") for first, last in gaps[:GAPS_SHOWN]]
        lines += [f"  and {len(gaps) - GAPS_SHOWN} more gaps"] if len(gaps) > GAPS_SHOWN else []
    return lines


BAD_PAGES_SHOWN = 20


def cluster_instructions(backup: Backup, facts: Physical, output_path: str, replay: Optional[Replay]) -> list[str]:
    here = shlex.quote(os.path.abspath(output_path))
    lines = [
        f"{backup.id} is in {output_path}, as plaintext, a cluster as it was at {backup.manifest.snapshot_at}.",
        f"To start it, with PostgreSQL {facts.major} installed:",
        "",
        "  1. as root, if you are: give it to the user that will run the server",
        f"       chown -R postgres: {here}",
        "  2. as that user (start.sh says what else it can do, such as replaying WAL up to a moment):",
        f"       {here}/start.sh",
        *wal_instructions(replay),
    ]
    if facts.bad_page_count:
        lines += ["", f"WARNING: {facts.bad_page_count} pages had a wrong checksum when they were backed up:"]
        lines += [f"  block {block} of {path!r}" for path, block in facts.bad_pages[:BAD_PAGES_SHOWN]]
        more = facts.bad_page_count - min(len(facts.bad_pages), BAD_PAGES_SHOWN)
        lines += [f"  and {more} more"] if more > 0 else []
    return lines


def instructions(backup: Backup, output_path: str, replay: Optional[Replay]) -> str:
    here, physical = shlex.quote(output_path), backup.manifest.physical
    lines = cluster_instructions(backup, physical, output_path, replay) if physical is not None else [
        f"{backup.id} is in {output_path}, as plaintext. To load it, with PGHOST, PGPORT and PGUSER set:",
        "",
        "  1. on a new server, the roles (errors that a role exists are harmless):",
        f"       psql -X -d postgres -f {here}/globals.sql",
        "  2. the database:",
        f"       {here}/load.sh NEWDB",
    ]  # fmt: skip
    proof = proof_that_counts(backup.proofs())
    if proof is not None:
        lines += ["", f"Its last verification, on {proof.at}: {proof.outcome} (level {proof.level})."]
    if backup.manifest.logical.value.get("globals_without_passwords"):
        lines += ["", "The roles have no passwords in this backup: the role that made it was not allowed to read them."]
    if physical is None and backup.manifest.is_filtered:
        filters = json.dumps(backup.manifest.logical.object("filters").value)
        lines += ["", f"This backup is NOT complete; it was made with filters: {filters}"]
    return "\n".join(lines)


def read_holder_key(environment: Any) -> bytes:
    text, path = environment.get("BACKUP_ENCRYPTION_KEY"), environment.get("BACKUP_ENCRYPTION_KEY_FILE")
    if text and path:
        raise Failure("BACKUP_ENCRYPTION_KEY and BACKUP_ENCRYPTION_KEY_FILE are both set; set one of them", EXIT_USAGE)
    origin = "BACKUP_ENCRYPTION_KEY"
    if path:
        origin = path
        with open(path, encoding="ascii", errors="replace") as file:
            text = file.read(1024)
    if not text:
        raise Failure("no key: set BACKUP_ENCRYPTION_KEY or BACKUP_ENCRYPTION_KEY_FILE", EXIT_USAGE)
    text = text.strip()
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        # The text itself is a secret, even a malformed one.
        raise Failure(f"the key in {origin} is not 64 hexadecimal digits (it has {len(text)} characters)", EXIT_USAGE)
    return bytes.fromhex(text)


def parse_arguments(arguments: Optional[list[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="recover.py", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("repository", metavar="REPOSITORY", help="the directory that holds chronavault.json")
    parser.add_argument("backup", metavar="BACKUP_ID", help="backup-YYYY-MM-DD-HHMMSS-xxxxxx")
    parser.add_argument("output", metavar="OUT_DIR", help="a directory that does not exist or is empty")
    parser.add_argument(
        "--before-rotation", action="store_true", help="the key is of before a rotation: read what was sealed then"
    )
    parser.add_argument("--verify-ids", action="store_true", help="check chunk ids too (slow)")
    limits = parser.add_mutually_exclusive_group()
    limits.add_argument("--no-wal", action="store_true", help="leave out the archived WAL (physical backups)")
    limits.add_argument("--until", metavar="SEGMENT", help="leave out the archived WAL behind this segment")
    options = parser.parse_args(arguments)
    if options.until is not None and not SEGMENT.fullmatch(options.until):
        parser.error(f"{options.until!r} is not the name of a WAL segment")
    if not BACKUP_ID.fullmatch(options.backup):
        parser.error(f"{options.backup!r} is not a backup id")
    return options


def main(arguments: Optional[list[str]] = None) -> int:
    options = parse_arguments(arguments)
    try:
        holder_key = read_holder_key(os.environ)
        store = Store(options.repository)
        keys = open_keys(store, holder_key, options.before_rotation)
        with Backup(store, keys, options.backup, options.verify_ids) as backup:
            replay = find_wal(backup, options.no_wal, options.until)
            recover(backup, options.output, replay)
            print(instructions(backup, options.output, replay))
    except Failure as failure:
        say(str(failure))
        return failure.status
    except OSError as error:
        say(f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error))
        return EXIT_ENVIRONMENT
    return 0


if __name__ == "__main__":
    sys.exit(main())
