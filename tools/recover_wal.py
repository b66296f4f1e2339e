#!/usr/bin/env python3
"""Writes the archived WAL of a cluster as files that PostgreSQL restores from.

    recover_wal.py REPOSITORY SYSTEM_ID OUT_DIR

The companion of recover.py, which lies beside it: the same key, the same demands, the same exit statuses, and written
from docs/format.md (section 15) alone. OUT_DIR must not exist, or be empty. Afterwards it holds every segment, history
and backup label under its own name, as PLAINTEXT, so that this is all that a server needs:

    restore_command = 'cp OUT_DIR/%f %p'

A segment that exists in pieces only is written with zeros behind them when nothing later is archived on its timeline:
it holds the last moments before the archive ends. `complete` is written last: a directory without it is not complete.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import struct
import sys
from typing import BinaryIO, Iterator, NamedTuple, Optional

try:
    from tools import recover
except ImportError:
    import recover  # type: ignore[no-redef]

SEGMENT = re.compile(r"[0-9A-F]{24}")
NAME = re.compile(r"([0-9A-F]{8})(?:[0-9A-F]{16}(?:\.partial|\.[0-9A-F]{8}\.backup)?|\.history)")
PIECE = re.compile(r"([0-9A-F]{24})\.([0-9A-F]{8})\.piece")
PAGE_HEADER = struct.Struct("<HHIQIIQII")
LONG_HEADER = 2
SEGMENT_SIZES = [1 << power for power in range(20, 31)]
TEXT_MAX_BYTES = recover.MEBIBYTE


class Head(NamedTuple):
    """What an object of WAL says that it holds."""

    name: str
    system: int
    timeline: int
    segment_bytes: int  # 0 for what is no segment
    offset: int
    bytes: int

    @property
    def is_piece(self) -> bool:
        return self.segment_bytes > 0 and self.bytes < self.segment_bytes

    @property
    def file(self) -> str:
        """The last part of its key."""
        return f"{self.name}.{self.offset:08X}.piece" if self.is_piece else f"{self.name}.wal"


def parse_head(content: bytes, origin: str) -> Head:
    facts = recover.Facts.parse(content, origin)
    recover.require(facts.number("version") == 1, f"{origin} is of a version that is not known here")
    name, system = facts.text("name"), facts.text("system_id")
    has_size = facts.value.get("segment_bytes") is not None
    size = facts.number("segment_bytes") if has_size else 0
    head = Head(name, int(system) if system.isdecimal() else -1, facts.number("timeline"), size,
                facts.number("offset"), facts.number("bytes"))  # fmt: skip
    match = NAME.fullmatch(name)
    is_segment = match is not None and not name.endswith((".history", ".backup"))
    if not is_segment:
        fits = not has_size and head.offset == 0 and head.bytes <= TEXT_MAX_BYTES
    else:
        fits = size in SEGMENT_SIZES and 0 < head.bytes <= size - head.offset
        fits = fits and (name.endswith(".partial") <= (head.bytes == size))
    fits = fits and match is not None and int(match[1], 16) == head.timeline and str(head.system) == system
    recover.require(fits, f"{origin} contradicts itself")
    return head


class Wal:
    """An object of WAL, open for reading."""

    def __init__(self, file: BinaryIO, key: str, keys: recover.Keys) -> None:
        self.file, self.key = file, key
        self.container = recover.Container(file, key, recover.WAL_MAGIC, keys)
        records = self.container.walk()
        kinds = [record.type for record in records]
        self._require(kinds[:1] == [recover.WAL_HEAD], "it does not begin with a head")
        self._require(all(kind == recover.WAL_CHUNK for kind in kinds[1:]), "it has two heads")
        self.head = parse_head(self.container.plaintext(records[0]), f"the head of {key}")
        self.chunks = records[1:]
        place = f"wal/{self.head.system}/{self.head.timeline:08X}/"
        names = {f"{place}{self.head.file}"}
        if self.head.segment_bytes and not self.head.name.endswith(".partial"):
            # A piece may be as long as its segment.
            names.add(f"{place}{self.head.name}.{self.head.offset:08X}.piece")
        self._require(key in names, f"it is {self.head.name} of the cluster {self.head.system}")
        rest = self.head.bytes
        for chunk in self.chunks:
            self._require(chunk.plain_bytes == min(rest, recover.WAL_CHUNK_BYTES) > 0, "a chunk has a wrong length")
            rest -= chunk.plain_bytes
        self._require(rest == 0, "it lacks its last chunks")

    def __enter__(self) -> Wal:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def _require(self, condition: bool, why: str) -> None:
        recover.require(condition, f"{self.key} is damaged: {why}")

    def content(self) -> Iterator[bytes]:
        """The bytes, chunk by chunk; the first page of a segment is checked first."""
        for number, chunk in enumerate(self.chunks):
            plain = self.container.plaintext(chunk)
            if number == 0 and self.head.segment_bytes and self.head.offset == 0:
                self._require(begins(plain, self.head), "it begins with the first page of another segment")
            yield plain


def begins(plain: bytes, head: Head) -> bool:
    """Whether these bytes begin as the segment of this head does."""
    if len(plain) < PAGE_HEADER.size:
        # Too short a piece to tell.
        return head.is_piece
    magic, flags, timeline, position, _, _, system, size, _ = PAGE_HEADER.unpack_from(plain)
    log, number = int(head.name[8:16], 16), int(head.name[16:24], 16)
    expected = (log << 32) + number * head.segment_bytes
    is_first = magic >> 8 == 0xD1 and flags & LONG_HEADER != 0
    here = (position, system, size) == (expected, head.system, head.segment_bytes)
    return is_first and here and timeline <= head.timeline


def open_wal(store: recover.Store, key: str, keys: recover.Keys) -> Wal:
    return Wal(store.open(key), key, keys)


class Archive:
    """The WAL of one cluster."""

    def __init__(self, store: recover.Store, keys: recover.Keys, system: str) -> None:
        self.store, self.keys, self.root = store, keys, f"wal/{system}"
        self.whole: list[str] = []
        self.pieces: dict[str, list[str]] = {}
        for timeline in store.names(self.root):
            for file in store.names(f"{self.root}/{timeline}"):
                name, piece = file[: -len(".wal")], PIECE.fullmatch(file)
                if piece:
                    self.pieces.setdefault(piece[1], []).append(f"{self.root}/{timeline}/{file}")
                elif file.endswith(".wal") and NAME.fullmatch(name):
                    self.whole.append(f"{self.root}/{timeline}/{file}")
        if not self.whole and not self.pieces:
            raise recover.Failure(f"{store.root} has no WAL of the cluster {system}", recover.EXIT_MISSING)

    def ends(self) -> Iterator[str]:
        """The segments that exist in pieces only and are the last of their timeline."""
        segments = [os.path.basename(key)[: -len(".wal")] for key in self.whole]
        segments = [name for name in segments if SEGMENT.fullmatch(name)]
        for name in sorted(self.pieces):
            later = [other for other in (*segments, *self.pieces) if other[:8] == name[:8] and other >= name]
            if later == [name] and name not in segments:
                yield name

    def joined(self, name: str) -> Iterator[bytes]:
        """The bytes of the pieces up to the first gap, and zeros up to the end of the segment."""
        joined, size = bytearray(), 0
        for key in sorted(self.pieces[name]):
            with open_wal(self.store, key, self.keys) as wal:
                at = wal.head.offset
                if at > len(joined):
                    break
                recover.require(size in (0, wal.head.segment_bytes), f"{key} contradicts another piece")
                size = wal.head.segment_bytes
                for plain in wal.content():
                    known = joined[at : at + len(plain)]
                    recover.require(known == plain[: len(known)], f"{key} contradicts another piece")
                    joined += plain[len(known) :]
                    at += len(plain)
        if joined:
            yield bytes(joined)
            yield bytes(size - len(joined))


def write(archive: Archive, path: str) -> None:
    output = recover.Output(path)
    # A file is called <name>.partial until it is whole, so segments of that name come last.
    for key in sorted(archive.whole, key=lambda key: key.endswith(".partial.wal")):
        with open_wal(archive.store, key, archive.keys) as wal:
            output.write(wal.head.name, wal.content())
    for name in archive.ends():
        content = archive.joined(name)
        first = next(content, None)
        if first is not None:
            recover.say(f"{name} is not complete: {len(first)} bytes of it are archived, zeros follow")
            output.write(name, iter([first, *content]))
    output.write("complete", iter([b""]))


def main(arguments: Optional[list[str]] = None) -> int:
    parser = argparse.ArgumentParser(prog="recover_wal.py", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("repository", metavar="REPOSITORY", help="the directory that holds chronavault.json")
    parser.add_argument("system", metavar="SYSTEM_ID", help="the system identifier of the cluster")
    parser.add_argument("output", metavar="OUT_DIR", help="a directory that does not exist or is empty")
    options = parser.parse_args(arguments)
    if not options.system.isdecimal():
        parser.error(f"{options.system!r} is not a system identifier")
    try:
        store = recover.Store(options.repository)
        keys = recover.open_keys(store, recover.read_holder_key(os.environ))
        write(Archive(store, keys, options.system), options.output)
        print(f"The WAL is in {options.output}, as plaintext. To recover with it, set")
        print(f"  restore_command = 'cp {shlex.quote(os.path.abspath(options.output))}/%f %p'")
    except recover.Failure as failure:
        recover.say(str(failure))
        return failure.status
    except OSError as error:
        recover.say(f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error))
        return recover.EXIT_ENVIRONMENT
    return 0


if __name__ == "__main__":
    sys.exit(main())
