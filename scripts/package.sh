#!/usr/bin/env bash
# Makes the Debian package: target/debian/chronavault_*.deb. Needs cargo-deb (cargo install --locked cargo-deb).
# CHRONAVAULT_PACKAGE_BINARY names a binary that is packed instead of one that is built now.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v cargo-deb >/dev/null || {
    echo 'package: cargo-deb is missing; cargo install --locked cargo-deb' >&2
    exit 1
}
if [[ -n ${CHRONAVAULT_PACKAGE_BINARY:-} ]]; then
    install -D -m 755 "$CHRONAVAULT_PACKAGE_BINARY" target/release/chronavault
else
    cargo build --release --locked --package chronavault-cli
fi
rm -rf target/release/package
mkdir -p target/release/package
target/release/chronavault man target/release/package/man >/dev/null
target/release/chronavault completions bash >target/release/package/chronavault.bash
target/release/chronavault completions zsh >target/release/package/_chronavault
target/release/chronavault completions fish >target/release/package/chronavault.fish
cargo deb --package chronavault-cli --no-build --locked
