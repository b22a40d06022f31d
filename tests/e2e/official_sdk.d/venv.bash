# shellcheck shell=bash
# Makes the environment of the official libraries: make_venv PARTS CACHE, PARTS being the folder with requirements.txt.
# What can't be had ends the script with exit code 3; the last line says why.

cant() {
    printf '%s\n' "$1"
    exit 3
}

make_venv() {
    command -v python3 >/dev/null || cant 'no python3 on this system'
    # Another interpreter or other versions need another environment.
    local parts=$1 cache=$2 wanted
    wanted=$(python3 -c 'import sys; print(sys.version)'; cat "$parts/requirements.txt")
    if [ "$(cat "$cache/made-for" 2>/dev/null || true)" != "$wanted" ]; then
        rm -rf "$cache"
        mkdir -p "$cache"
        python3 -m venv "$cache/venv" >"$cache/venv.log" 2>&1 || cant 'no module venv in this python3 (Debian: python3-venv)'
        "$cache/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps \
            --requirement "$parts/requirements.txt" >"$cache/pip.log" 2>&1 ||
            cant "the SDK can't be installed: $(tail -n 1 "$cache/pip.log")"
        printf '%s\n' "$wanted" >"$cache/made-for"
    fi
}
