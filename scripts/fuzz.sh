#!/usr/bin/env bash
# Runs every fuzz target for a while: fuzz.sh SECONDS_EACH [TARGET…]. What it learns stays in target/fuzz/corpus. It stops at the
# first input that breaks a promise; cargo-fuzz says where that is kept and how to run it again.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:?usage: fuzz.sh SECONDS_EACH [TARGET…]}
shift

if ! cargo +nightly fuzz --version >/dev/null 2>&1; then
    echo 'fuzz: needs a nightly compiler and cargo-fuzz: rustup toolchain install nightly, cargo install --locked cargo-fuzz' >&2
    exit 1
fi
targets=("$@")
if [[ ${#targets[@]} -eq 0 ]]; then
    mapfile -t targets < <(cargo +nightly fuzz list)
fi
for target in "${targets[@]}"; do
    corpus=$PWD/target/fuzz/corpus/$target
    directories=("$corpus")
    mkdir -p "$corpus"
    if [[ -d fuzz/seeds/$target ]]; then
        directories+=("$PWD/fuzz/seeds/$target")
    fi
    printf '== %s ==\n' "$target"
    cargo +nightly fuzz run --target-dir target/fuzz "$target" "${directories[@]}" -- \
        -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=65536 -print_final_stats=1
done
