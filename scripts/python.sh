#!/usr/bin/env bash
# Prints the Python interpreter that has the modules given, by default those that tools/recover.py needs. The first
# `python3` in PATH may be one without Debian's packages, so /usr/bin/python3 is asked too.
set -euo pipefail

[[ $# -gt 0 ]] || set -- cryptography zstandard
modules=$(IFS=,; printf '%s' "$*")
for python in python3 /usr/bin/python3; do
    if "$python" -c "import $modules" >/dev/null 2>&1; then
        printf '%s\n' "$python"
        exit 0
    fi
done
printf 'no python3 here has the modules %s\n' "$*" >&2
exit 1
