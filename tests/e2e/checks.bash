# shellcheck shell=bash
# How the tests of this folder count: one line a check, "ok" or "FAILED" with what it said, then the count. Sourced.

passed=0 failed=0
# What a command printed. The file has no name from here on: nobody else's can be the same, and nothing is left of it.
attempt_file=$(mktemp)
exec {attempt_output}<>"$attempt_file"
rm "$attempt_file"
attempt_file=/proc/$BASHPID/fd/$attempt_output

# passes TITLE
passes() {
    passed=$((passed + 1))
    printf 'ok %s\n' "$1"
}

# fails TITLE < WHY
fails() {
    failed=$((failed + 1))
    printf 'FAILED %s\n' "$1"
    sed 's/^/   | /'
}

# attempt COMMAND…: in a shell of its own, which ends at the first failure. Its exit code is in attempt_code, what it
# printed in the file attempt_file.
attempt() {
    # Not in a condition: `set -e` would not hold within the command.
    set +e
    (set -e; "$@") >"$attempt_file" 2>&1
    attempt_code=$?
    set -e
}

# check TITLE COMMAND…: it ends well.
check() {
    attempt "${@:2}"
    if [ "$attempt_code" -eq 0 ]; then passes "$1"; else fails "$1" <"$attempt_file"; fi
}

# check_found TITLE PATTERN FOUND: what was found matches the pattern.
check_found() {
    # shellcheck disable=SC2053 # a pattern is what is wanted
    if [[ $3 == $2 ]]; then passes "$1"; else fails "$1" < <(printf 'expected %s\nfound    %s\n' "$2" "$3"); fi
}

# check_lines COMMAND…: of a part that prints such lines itself. One that ends badly without such a word has failed,
# too; not with exit code 3, which says that this machine can't run it.
check_lines() {
    local code=0 wrong
    "$@" | tee "$attempt_file" || code=$?
    wrong=$(grep -c '^FAILED ' "$attempt_file" || true)
    passed=$((passed + $(grep -c '^ok ' "$attempt_file" || true))) failed=$((failed + wrong))
    if [ "$wrong" -eq 0 ] && [ "$code" -ne 0 ] && [ "$code" -ne 3 ]; then fails "$*" <<<"exit code $code"; fi
}

# The last line. Fails if some check did.
count_checks() {
    printf '%d checks passed, %d failed, %d s\n' "$passed" "$failed" "$SECONDS"
    [ "$failed" -eq 0 ]
}
