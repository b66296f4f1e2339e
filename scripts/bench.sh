#!/usr/bin/env bash
# Builds the program and measures it against the usual tools, which it installs where they are missing.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh
if ! command -v pgbackrest >/dev/null; then
    [[ $(id -u) -eq 0 ]] || { echo 'bench: as root: apt-get install pgbackrest' >&2; exit 1; }
    DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends pgbackrest
fi
cargo build --release --locked --package chronavault-cli
for bench in logical physical wal; do
    [[ -e benches/$bench.py ]] || continue
    "benches/$bench.py" target/release/chronavault
done
