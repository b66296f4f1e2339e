#!/usr/bin/env bash
# The gate: `gate.sh check` is its quick part, `gate.sh test` all of it. It stops at the first step that fails, and
# ends with the closing lines of every test runner that ran.
set -euo pipefail
cd "$(dirname "$0")/.."

logs=target/gate
mkdir -p "$logs"
rm -f "$logs"/*.log

closing_lines() {
    local status=$? log
    printf '\n== what ran ==\n'
    for log in "$logs"/*.log; do
        [[ -e $log ]] || continue
        grep -E '^ +Summary \[|^ +(FAIL|TIMEOUT|SIGKILL|SIGSEGV|SIGABRT) \[|^Ran [0-9]+ tests?|^(OK|FAILED)( \(|$)' "$log" || true
    done
    if [[ $status -eq 0 ]]; then
        printf 'gate: passed in %d s\n' "$SECONDS"
    else
        printf 'gate: FAILED (exit status %d) after %d s\n' "$status" "$SECONDS"
    fi
}
trap closing_lines EXIT

# step NAME COMMAND…: runs it, says how long it took.
step() {
    local name=$1 start=$SECONDS
    shift
    printf '== %s ==\n' "$name"
    "$@"
    printf '== %s: %d s ==\n' "$name" $((SECONDS - start))
}

# The same, keeping a copy of the output for the closing lines.
logged_step() {
    local name=$1
    step "$@" 2>&1 | tee "$logs/${name// /-}.log"
}

shell_syntax() {
    local -a scripts=(scripts/*.sh .ci/run contrib/debian/p*)
    local script
    for script in "${scripts[@]}"; do
        bash -n "$script"
    done
    if command -v shellcheck >/dev/null; then
        shellcheck "${scripts[@]}"
    fi
}

recover_tests() {
    "$(scripts/python.sh)" -W error::ResourceWarning -m unittest discover --start-directory tools/tests --top-level-directory .
}

check() {
    step 'shell scripts' shell_syntax
    step 'format' cargo fmt --all --check
    step 'clippy' cargo clippy --locked --workspace --all-targets --quiet -- -D warnings
    logged_step 'unit tests' cargo nextest run --locked --workspace --lib --bins --no-tests=pass
}

everything() {
    step 'shell scripts' shell_syntax
    step 'format' cargo fmt --all --check
    step 'clippy' cargo clippy --locked --workspace --all-targets --quiet -- -D warnings
    step 'documentation' env RUSTDOCFLAGS='-D warnings' cargo doc --locked --workspace --no-deps --quiet
    logged_step 'recover.py' recover_tests
    # The unit tests, the room table (cli::rooms) and everything that needs a server.
    logged_step 'all tests' cargo nextest run --locked --workspace --no-fail-fast
    if command -v cargo-deny >/dev/null; then
        step 'dependencies' scripts/deny.sh
    else
        echo 'dependency policy: not checked here, cargo-deny is not installed (make deny)'
    fi
}

case ${1:-} in
    check) check ;;
    test) everything ;;
    *)
        echo 'usage: gate.sh check|test' >&2
        exit 2
        ;;
esac
