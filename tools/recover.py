#!/usr/bin/env python3
"""Turns a Chronavault backup into files that stock PostgreSQL commands load.

    recover.py REPOSITORY BACKUP_ID OUT_DIR [--verify-ids]

This is for the day on which the chronavault program is lost. It was written from docs/format.md, shares no code with
the program, and needs Python 3.9 or newer with the modules `cryptography` and `zstandard` (0.19 or newer). Comments
name the section of docs/format.md that a rule is from.

The key comes from BACKUP_ENCRYPTION_KEY (64 hex digits), or from the file that BACKUP_ENCRYPTION_KEY_FILE names.
REPOSITORY is the directory that holds chronavault.json (or the one above it). OUT_DIR must not exist, or be empty;
nothing is written anywhere else. What is in it afterwards is PLAINTEXT (directories 0700, files 0600):

    archive.dump     pg_restore archive: schema, small tables, sequences, large objects
    rows/<n>.copy    the rows of one large table each, as COPY text
    globals.sql      roles and tablespaces
    inventory.json   every object of the database, with hashes of its definition
    load.sh          loads all of it: ./load.sh NEWDB

Before the first byte is written, the whole backup is checked: every pack against its name (SHA-256), the structure of
every container, every list. Memory is bounded by the largest chunk, whatever the size of the backup. load.sh is
written last: a directory without it is not complete.

One thing is not checked by default: that the id of a chunk is the BLAKE3 hash of its plaintext. The standard library
has no BLAKE3, and in pure Python it runs at about 1 MB/s. Leaving it out is sound. The id is part of the data that
AES-GCM authenticates together with each chunk, and it is compared with the id in the list, which is authenticated in
the same way. So nobody without the key can put another chunk in its place; an id that does not fit its chunk could
only come from a fault of the writer. `--verify-ids` checks it nevertheless, and it is always checked where the module
`blake3` is installed. Row proofs (section 9) are not recomputed for the same reason (XXH3); the number of rows is
checked here and again by load.sh.

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
import struct
import sys
from collections import OrderedDict
from typing import Any, BinaryIO, Callable, Iterator, NamedTuple, Optional

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
    commitments: list[bytes]  # of epoch 1, 2, …
    mac: bytes
    mac_message: bytes


class Keys(NamedTuple):
    """What the holder's key opens."""

    repository_id: bytes
    roots: dict[int, bytes]  # by epoch
    chunk_id_key: bytes


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
    lines.append(f"region={chunking.number('region_bytes')}")
    commitments = []
    for number, epoch in enumerate(facts.objects("epochs"), start=1):
        epoch.only("epoch", "commitment")
        require(epoch.number("epoch") == number, f"{HEAD_KEY} is damaged: its epochs are not numbered 1, 2, …")
        commitments.append(epoch.hex("commitment", 32))
        lines.append(f"epoch={number},{commitments[-1].hex()}")
    require(bool(commitments), f"{HEAD_KEY} is damaged: it has no epoch")
    message = "".join(line + "\n" for line in lines).encode()
    return Head(repository_id, commitments, facts.hex("head_mac", 32), message)


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
        content = store.read(f"keys/{name}", MEBIBYTE)
        if len(content) == SLOT.size:
            _magic, _version, _kind, _flags, epoch, owner, identity, *_sealed = SLOT.unpack(content)
            if slot_id(holder_key, owner, epoch) == identity:
                return True
    return False


def open_keys(store: Store, holder_key: bytes) -> Keys:
    """Every root key that the holder's key opens, each checked against its commitment; then the head itself."""
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
    if absent:
        raise Failure(f"{absent[0]} is missing, though the key opens other epochs of this repository", EXIT_MISSING)
    mac_key = hkdf(roots[len(head.commitments)], head.repository_id, b"chronavault v1 head", 32)
    genuine = hmac.compare_digest(hmac.new(mac_key, head.mac_message, hashlib.sha256).digest(), head.mac)
    require(genuine, f"{HEAD_KEY} is damaged: its head_mac does not fit its content")
    return Keys(head.repository_id, roots, hkdf(roots[1], head.repository_id, b"chronavault v1 chunk id", 32))


# --- sealed containers (section 6) -----------------------------------------------------------------------------------

HEADER = struct.Struct("<8sBBHI16s32s")
RECORD = struct.Struct("<4sIBBHII32s")
FULL, DELTA, LIST, MANIFEST, PROOF, TRAILER = 1, 2, 3, 4, 5, 127
STORED, ZSTD, ZSTD_PREFIX = 0, 1, 2
PACK_MAGIC, MANIFEST_MAGIC, PROOF_MAGIC = b"CHRVPACK", b"CHRVMANI", b"CHRVPROF"
TYPES_ALLOWED = {
    PACK_MAGIC: (FULL, DELTA, LIST, TRAILER),
    MANIFEST_MAGIC: (MANIFEST, TRAILER),
    PROOF_MAGIC: (PROOF, TRAILER),
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


class Container:
    """A pack or a manifest, read by offset. Bytes leave it only after their tag was checked."""

    def __init__(self, file: BinaryIO, name: str, magic: bytes, keys: Keys) -> None:
        self.file, self.name, self.magic = file, name, magic
        self.size = os.fstat(file.fileno()).st_size
        self.header = self._read(0, HEADER.size)
        found, version, suite, flags, epoch, repository_id, salt = HEADER.unpack(self.header)
        self._require(found == magic, f"it does not begin with {magic.decode()}")
        require((version, suite, flags) == (1, 1, 0), f"{name} is of a version or suite that is not known here")
        require(repository_id == keys.repository_id, f"{name} belongs to another repository")
        self._require(epoch in keys.roots, f"it is sealed for epoch {epoch}, which this repository does not have")
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
        codecs = {DELTA: (ZSTD_PREFIX,), TRAILER: (STORED,)}.get(kind, (STORED, ZSTD))
        self._require(codec in codecs, f"{where} has codec {codec}, which does not belong to its type")
        self._require(plain <= CHUNK_MAX_BYTES, f"{where} is larger than a chunk can be")
        self._require(index < RECORDS_MAX or kind == TRAILER, f"{where} is one too many")
        least = TAG_BYTES + {STORED: plain, ZSTD: 1, ZSTD_PREFIX: ID_BYTES + 1}[codec]
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
        elif record.codec == ZSTD_PREFIX:
            self._require(content[:ID_BYTES] == base_id, f"the delta {where} has another base than its list says")
            content = self.inflate(record, content[ID_BYTES:], base)
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
    file: str
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


def parse_stream(facts: Facts, tables: dict[tuple[str, str], Table]) -> Stream:
    name, kind = facts.text("name"), facts.text("kind")
    lists = [parse_place(place) for place in facts.objects("lists")]
    sizes = (facts.number("plain_bytes"), facts.number("entries"))
    numbered = ROWS_STREAM.fullmatch(name)
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


class Manifest:
    """What describes one backup."""

    def __init__(self, facts: Facts, backup: str) -> None:
        self.name = facts.origin
        require(facts.number("version") == 1, f"{self.name} has version {facts.number('version')}, not known here")
        require(facts.text("id") == backup, f"{self.name} is that of another backup, {facts.text('id')!r}")
        require(facts.text("kind") == "logical", f"{self.name} is of kind {facts.text('kind')!r}, not known here")
        self.logical = facts.object("logical")
        packs = facts.objects("packs")
        self.pack_sizes = {pack.hex("sha256", 32).hex(): pack.number("bytes") for pack in packs}
        require(len(self.pack_sizes) == len(packs), f"{self.name} is damaged: it names a pack twice")
        tables = parse_tables(self.logical)
        self.streams = [parse_stream(stream, tables) for stream in facts.objects("streams")]
        names = [stream.name for stream in self.streams]
        require(len(set(names)) == len(names), f"{self.name} is damaged: it has a stream twice")
        for name in ARCHIVE_FILES:
            require(name in names, f"{self.name} is damaged: it has no stream {name!r}")

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


def say(text: str) -> None:
    print(f"recover.py: {text}", file=sys.stderr)


def recover(backup: Backup, output_path: str) -> None:
    """Checks everything, then writes everything."""
    manifest = backup.manifest
    backup.check_packs(say)
    say("checking lists")
    backup.check_lists()
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


def instructions(backup: Backup, output_path: str) -> str:
    here = shlex.quote(output_path)
    lines = [
        f"{backup.id} is in {output_path}, as plaintext. To load it, with PGHOST, PGPORT and PGUSER set:",
        "",
        "  1. on a new server, the roles (errors that a role exists are harmless):",
        f"       psql -X -d postgres -f {here}/globals.sql",
        "  2. the database:",
        f"       {here}/load.sh NEWDB",
    ]
    proof = proof_that_counts(backup.proofs())
    if proof is not None:
        lines += ["", f"Its last verification, on {proof.at}: {proof.outcome} (level {proof.level})."]
    if backup.manifest.logical.value.get("globals_without_passwords"):
        lines += ["", "The roles have no passwords in this backup: the role that made it was not allowed to read them."]
    if backup.manifest.is_filtered:
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
    parser.add_argument("--verify-ids", action="store_true", help="check chunk ids too (slow)")
    options = parser.parse_args(arguments)
    if not BACKUP_ID.fullmatch(options.backup):
        parser.error(f"{options.backup!r} is not a backup id")
    return options


def main(arguments: Optional[list[str]] = None) -> int:
    options = parse_arguments(arguments)
    try:
        holder_key = read_holder_key(os.environ)
        store = Store(options.repository)
        with Backup(store, open_keys(store, holder_key), options.backup, options.verify_ids) as backup:
            recover(backup, options.output)
            print(instructions(backup, options.output))
    except Failure as failure:
        say(str(failure))
        return failure.status
    except OSError as error:
        say(f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error))
        return EXIT_ENVIRONMENT
    return 0


if __name__ == "__main__":
    sys.exit(main())
