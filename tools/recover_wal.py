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
import shlex
import sys
from typing import Optional

try:
    from tools import recover
except ImportError:
    import recover  # type: ignore[no-redef]


def write(archive: recover.Archive, path: str) -> None:
    output = recover.Output(path)
    for name, key in sorted(archive.whole.items()):
        with archive.open(key) as wal:
            output.file(name, wal.content())
    for name in archive.ends():
        parts = archive.known(name) if name in archive.pieces else []
        if parts:
            recover.say(f"{name} is not complete: {parts[-1].end} bytes of it are archived, zeros follow")
            output.file(name, archive.joined(parts))
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
        archive = recover.Archive(store, keys, int(options.system))
        if not archive.whole and not archive.pieces:
            raise recover.Failure(f"{store.root} has no WAL of the cluster {options.system}", recover.EXIT_MISSING)
        write(archive, options.output)
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
