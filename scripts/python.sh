#!/usr/bin/env bash
# Prints the Python interpreter that has what tools/recover.py needs, or the modules that are named. The first `python3` in PATH may be one without
# Debian's packages, so /usr/bin/python3 is asked too.
set -euo pipefail

modules=("$@")
[[ $# -gt 0 ]] || modules=(cryptography zstandard)

for python in python3 /usr/bin/python3; do
    if "$python" -c "import $(IFS=,; echo "${modules[*]}")" >/dev/null 2>&1; then
        printf '%s\n' "$python"
        exit 0
    fi
done
printf 'no python3 here has the modules %s\n' "${modules[*]}" >&2
exit 1
