# shellcheck shell=bash
# Makes the environment of the official libraries: make_venv FROM INTO, FROM being the folder with requirements.txt.
# What can't be had ends the script with exit code 3; the last line says why.

cant() {
    printf '%s\n' "$1"
    exit 3
}

make_venv() {
    command -v python3 >/dev/null || cant 'no python3 on this system'
    # Another interpreter or other versions need another environment.
    local from=$1 into=$2 wanted
    wanted=$(python3 -c 'import sys; print(sys.version)'; cat "$from/requirements.txt")
    if [ "$(cat "$into/made-for" 2>/dev/null || true)" != "$wanted" ]; then
        rm -rf "$into"
        mkdir -p "$into"
        python3 -m venv "$into/venv" >"$into/venv.log" 2>&1 || cant 'no module venv in this python3 (Debian: python3-venv)'
        "$into/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps \
            --requirement "$from/requirements.txt" >"$into/pip.log" 2>&1 ||
            cant "$from/requirements.txt can't be installed: $(tail -n 1 "$into/pip.log")"
        printf '%s\n' "$wanted" >"$into/made-for"
    fi
}
