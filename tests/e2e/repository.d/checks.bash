# shellcheck shell=bash
# shellcheck disable=SC2154
# How the test of the repository counts. Sourced.

# check TITLE COMMAND…: what it printed is shown if it fails. A failure within it ends it.
check() {
    local code=0
    set +e
    (set -e; "${@:2}") >"$work/said" 2>&1
    code=$?
    set -e
    if [ "$code" -eq 0 ]; then
        passed=$((passed + 1))
        printf 'ok %s\n' "$1"
    else
        failed=$((failed + 1))
        printf 'FAILED %s\n' "$1"
        sed 's/^/   | /' "$work/said"
    fi
}

# spoil FILE…: another byte in the middle of each, and nothing else.
spoil() {
    python3 - "$@" <<'END'
import os, sys

for path in sys.argv[1:]:
    times = os.stat(path)
    with open(path, "r+b") as file:
        data = bytearray(file.read())
        data[len(data) // 2] ^= 1
        file.seek(0)
        file.write(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
END
}
