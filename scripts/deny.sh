#!/usr/bin/env bash
# Licences, duplicates and sources are checked from Cargo.lock alone. Advisories need the database of RustSec, which is
# fetched; where that is out of reach, this is said and the rest still counts.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo deny --all-features check licenses bans sources
if cargo deny fetch db >/dev/null 2>&1; then
    cargo deny --all-features check advisories
else
    echo 'advisories: not checked, the RustSec database cannot be fetched from here' >&2
fi
