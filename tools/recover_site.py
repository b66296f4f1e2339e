#!/usr/bin/env python3
"""Writes the newest documents of a site: its configuration, and its runbook, which says how to go on.

    recover_site.py REPOSITORY OUT_DIR [--host HOST]

The companion of recover.py, which lies beside it: the same key, the same demands, the same exit statuses, and written
from docs/format.md (section 21) alone. OUT_DIR must not exist, or be empty. Afterwards it holds, of each host with a
settings file,

    <host>-<site>/chronavault.toml     the settings file; passwords in it are replaced by …
    <host>-<site>/facts.json           when and where that was, and what else a new host needs to know
    <host>-<site>/runbook.md           what to do

A document that is damaged is named, and the one before it is written. The exit status is 4 then.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
from typing import Iterator, NamedTuple, Optional

try:
    from tools import recover
except ImportError:
    import recover  # type: ignore[no-redef]

MAGIC, DOCUMENT = b"CHRVSITE", 9
recover.TYPES_ALLOWED[MAGIC] = (DOCUMENT, recover.TRAILER)
KINDS = {"configuration": "chronavault.toml", "runbook": "runbook.md"}
SITE = re.compile(r"[0-9a-f]{16}")
NAME = re.compile(r"(\d{4}-\d{2}-\d{2}-\d{6}-[0-9a-f]{6})\.(configuration|runbook)")


class Document(NamedTuple):
    """A document of a site, authenticated and of the place where it was found."""

    host: str
    kind: str
    text: str
    facts: dict


def read(store: recover.Store, keys: recover.Keys, site: str, file: str) -> Document:
    key = f"site/{site}/{file}"
    match = NAME.fullmatch(file)
    assert match is not None
    with store.open(key) as opened:
        container = recover.Container(opened, key, MAGIC, keys)
        records = container.walk()
        recover.require(len(records) == 1, f"{key} is damaged: it does not hold one record")
        facts = recover.Facts.parse(container.plaintext(records[0]), key)
    recover.require(facts.number("version") == 1, f"{key} is of a version that is not known here")
    host, path = facts.text("host"), facts.value.get("path")
    recover.require(path is None or isinstance(path, str), f"{key} is damaged: path is not a text")
    derived = hashlib.sha256(f"{host}\n{path or ''}".encode()).hexdigest()[:16]
    found = (derived, facts.text("name"), facts.text("kind"))
    recover.require(found == (site, match[1], match[2]), f"{key} is the document of another place")
    text = facts.text("text")
    known = {name: value for name, value in facts.value.items() if name != "text"}
    return Document(host, match[2], text, {"sha256": hashlib.sha256(text.encode()).hexdigest(), **known})


def newest(store: recover.Store, keys: recover.Keys, site: str, damaged: list) -> Iterator[Document]:
    """The newest document of each kind that can be read."""
    files = [file for file in reversed(store.names(f"site/{site}")) if NAME.fullmatch(file)]
    for kind in KINDS:
        for file in (file for file in files if file.endswith(f".{kind}")):
            try:
                yield read(store, keys, site, file)
                break
            except recover.Failure as failure:
                damaged.append(failure)


def write(output: recover.Output, directory: str, document: Document) -> None:
    output.write(f"{directory}/{KINDS[document.kind]}", iter([document.text.encode()]))
    if document.kind == "configuration":
        facts = json.dumps(document.facts, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
        output.write(f"{directory}/facts.json", iter([facts.encode()]))


def recover_site(store: recover.Store, keys: recover.Keys, path: str, host: Optional[str]) -> list:
    """Writes everything; returns what was damaged."""
    damaged: list = []
    documents = []
    for site in filter(SITE.fullmatch, store.names("site")):
        for document in newest(store, keys, site, damaged):
            if host in (None, document.host):
                documents.append((site, document))
    if not documents:
        of = f" of the host {host!r}" if host else ""
        raise damaged[0] if damaged else recover.Failure(f"{store.root} has no document{of}", recover.EXIT_MISSING)
    output = recover.Output(path)
    for site, document in documents:
        directory = re.sub(r"[^A-Za-z0-9.-]", "_", document.host).lstrip(".") + f"-{site}"
        write(output, directory, document)
        print(f"{path}/{directory}/{KINDS[document.kind]}: written at {document.facts.get('written_at')}")
    return damaged


def main(arguments: Optional[list[str]] = None) -> int:
    parser = argparse.ArgumentParser(prog="recover_site.py", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("repository", metavar="REPOSITORY", help="the directory that holds chronavault.json")
    parser.add_argument("output", metavar="OUT_DIR", help="a directory that does not exist or is empty")
    parser.add_argument("--host", metavar="HOST", help="only the documents of this host")
    parser.add_argument("--before-rotation", action="store_true", help="the key is of before a rotation")
    options = parser.parse_args(arguments)
    try:
        store = recover.Store(options.repository)
        keys = recover.open_keys(store, recover.read_holder_key(os.environ), options.before_rotation)
        damaged = recover_site(store, keys, options.output, options.host)
    except recover.Failure as failure:
        recover.say(str(failure))
        return failure.status
    except OSError as error:
        recover.say(f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error))
        return recover.EXIT_ENVIRONMENT
    for failure in damaged:
        recover.say(f"passed over: {failure}")
    return recover.EXIT_DAMAGED if damaged else 0


if __name__ == "__main__":
    sys.exit(main())
