#!/usr/bin/env bash
# Prints the Python interpreter that has what tools/recover.py needs. The first `python3` in PATH may be one without
# Debian's packages, so /usr/bin/python3 is asked too.
set -euo pipefail

for python in python3 /usr/bin/python3; do
    if "$python" -c 'import cryptography, zstandard' >/dev/null 2>&1; then
        printf '%s\n' "$python"
        exit 0
    fi
done
echo 'no python3 here has the modules cryptography and zstandard' >&2
exit 1
