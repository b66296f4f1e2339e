#!/usr/bin/env bash
# Installs what the build, the tests and the demo need and this machine lacks. Meant for Debian 12 and later with
# Rust on it; a machine that has everything is left as it is, and nothing is asked of the network.
set -euo pipefail
cd "$(dirname "$0")/.."

die() {
    printf 'setup: %s\n' "$*" >&2
    exit 1
}

has_server() {
    local bin
    for bin in /usr/lib/postgresql/*/bin; do
        [[ -x $bin/initdb && -x $bin/pg_dump ]] && return 0
    done
    return 1
}

has_contrib() {
    local control
    for control in /usr/share/postgresql/*/extension/pgcrypto.control; do
        [[ -e $control ]] && return 0
    done
    return 1
}

# The packages that would fill the gaps, one a line; nothing when there are none.
missing_packages() {
    command -v cc >/dev/null || echo build-essential
    command -v openssl >/dev/null || echo openssl
    command -v strace >/dev/null || echo strace
    command -v shellcheck >/dev/null || echo shellcheck
    command -v zstd >/dev/null || echo zstd
    has_server || echo postgresql
    has_contrib || echo postgresql-contrib
    if ! scripts/python.sh >/dev/null 2>&1; then
        printf '%s\n' python3 python3-cryptography python3-zstandard
    fi
    # A mail server for the tests of alerts.
    scripts/python.sh aiosmtpd >/dev/null 2>&1 || echo python3-aiosmtpd
    # Other readers of our metrics, rules and deployment files.
    scripts/python.sh prometheus_client yaml >/dev/null 2>&1 || printf '%s\n' python3-prometheus-client python3-yaml
}

as_root() {
    if [[ $(id -u) -eq 0 ]]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "needs root to install packages, and there is no sudo; as root: apt-get install $(missing_packages | tr '\n' ' ')"
    fi
}

apt_install() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "$@"
}

# The server package makes a cluster called "main" and starts it, which we have no use for and which fails in many
# containers. It is told not to, for this installation only.
install_server() {
    local settings=/etc/postgresql-common/createcluster.conf saved
    if [[ -e $settings ]]; then
        apt_install "$@"
        return
    fi
    apt_install postgresql-common
    saved=$(mktemp)
    cp "$settings" "$saved"
    as_root sed -i -E 's/^#? *create_main_cluster *=.*/create_main_cluster = false/' "$settings"
    local status=0
    apt_install "$@" || status=$?
    as_root cp "$saved" "$settings"
    rm -f "$saved"
    return "$status"
}

install_packages() {
    local -a wanted server=() others=()
    local package
    mapfile -t wanted < <(missing_packages)
    [[ ${#wanted[@]} -gt 0 ]] || return 0
    command -v apt-get >/dev/null || die "no apt-get here; please install: ${wanted[*]}"
    for package in "${wanted[@]}"; do
        case $package in
            postgresql*) server+=("$package") ;;
            *) others+=("$package") ;;
        esac
    done
    printf 'setup: installing %s\n' "${wanted[*]}"
    as_root apt-get update
    [[ ${#others[@]} -eq 0 ]] || apt_install "${others[@]}"
    if [[ ${#server[@]} -gt 0 ]]; then
        install_server "${server[@]}" || printf 'setup: apt-get reported a problem; looking at what is there now\n' >&2
    fi
    mapfile -t wanted < <(missing_packages)
    [[ ${#wanted[@]} -eq 0 ]] || die "still missing after the installation: ${wanted[*]}"
}

install_rust_tools() {
    command -v cargo >/dev/null || die "no cargo here; install Rust first (https://rustup.rs)"
    local component
    for component in clippy fmt; do
        cargo "$component" --version >/dev/null 2>&1 && continue
        command -v rustup >/dev/null || die "cargo $component is missing, and there is no rustup to add it"
        rustup component add "${component/#fmt/rustfmt}"
    done
    cargo nextest --version >/dev/null 2>&1 || cargo install --locked cargo-nextest
}

install_packages
install_rust_tools
