#!/usr/bin/env bash
# Kills backups at random points, COUNT times, and looks each time whether everything that was acknowledged is still
# there; kills the service COUNT / 2 times (at most 200); recovers a cluster to COUNT / 20 random moments of each kind; and kills COUNT / 5 restores of it, which then go on;
# and kills COUNT recoveries of a database and of a cluster, which go on or go back: soak.sh [SEED] [COUNT]. The same seed does the same again; without one, a new one is chosen and printed.
set -euo pipefail
cd "$(dirname "$0")/.."

seed=${1:-$RANDOM$RANDOM}
count=${2:-1000}
printf 'soak: SEED=%s COUNT=%s\n' "$seed" "$count"
# The limits of the profile "soak" are meant for hours.
CHRONAVAULT_SEED=$seed CHRONAVAULT_COUNT=$count CHRONAVAULT_MOMENTS=$((count / 20)) \
    cargo nextest run --locked --workspace --profile soak --no-capture -E 'binary(kill) or binary(moments) or test(interrupted::a_recovery_that_is_killed)'
