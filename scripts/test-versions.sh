#!/usr/bin/env bash
# The round trip (back up, prove, restore, compare), base backups, replication and the recovery of tables on a server of every
# version from 13 to 18; from 17 on, also what the server's summaries of its WAL change: backups that read only that, and recovery to moments of them.
set -euo pipefail
cd "$(dirname "$0")/.."

servers=$(scripts/fetch-servers.sh)
failed=()
while read -r major server programs; do
    tests='binary(round_trip) + binary(base_backup) + binary(replication) + binary(recover_cluster) + binary(tables)'
    if ((major >= 17)); then
        tests+=' + binary(moments) + (binary(physical) & test(incremental))'
    fi
    printf '== PostgreSQL %s: %s, programs from %s ==\n' "$major" "$("$server/postgres" --version)" "$programs"
    PATH="$programs:$PATH" CHRONAVAULT_TEST_PG_BIN=$server \
        cargo nextest run --locked --workspace </dev/null \
            -E "$tests" || failed+=("$major")
done <<<"$servers"

if [[ ${#failed[@]} -gt 0 ]]; then
    printf 'test-versions: failed on %s\n' "${failed[*]}" >&2
    exit 1
fi
printf 'test-versions: passed on every version: %s\n' "$(cut -d ' ' -f 1 <<<"$servers" | tr '\n' ' ')"
