# shellcheck shell=bash
# Sourced.

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
