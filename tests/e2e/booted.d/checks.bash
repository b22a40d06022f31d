#!/usr/bin/env bash
# How the booted test checks, and its everyday words. Sourced; see container.bash.
# shellcheck disable=SC2154  # work, prefix and what the container makes come from elsewhere.

# check TITLE COMMAND…: one check, one line.
check() {
    local began=$EPOCHREALTIME
    attempt "${@:2}"
    judge "$1 ($(awk -v a="$began" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }') s)"
}

# judge TITLE: what came of the latest attempt. The end of its output is shown only if it failed, and kept with the
# journal.
judge() {
    if [ "$attempt_code" -eq 0 ]; then
        passes "$1"
        return
    fi
    fails "$1" < <(tail -n 20 "$attempt_file")
    {
        printf '=== %s\n' "$1"
        cat "$attempt_file"
        inside journalctl --no-pager -n 60 -o short-precise -u privatelinkd -u privatelinkd-hosts || true
        inside cat /etc/hosts || true
    } >>"$work/failures" 2>&1
}

# figure TEXT: something measured, nothing to pass or fail.
figure() {
    printf '        %s\n' "$1"
}

# expect WHAT EXPECTED FOUND
expect() {
    [ "$2" = "$3" ] || { printf '%s: expected %q, found %q\n' "$1" "$2" "$3"; return 1; }
}

# within SECONDS COMMAND…: tries until it succeeds; says what it said last if it never does.
within() {
    local deadline=$((${EPOCHREALTIME/./} + $1 * 1000000)) seconds=$1 said code
    shift
    while true; do
        # Not `if said=$(…)`: in a condition `set -e` would not hold within the command.
        set +e
        said=$(set -e; "$@" 2>&1)
        code=$?
        set -e
        if [ "$code" -eq 0 ]; then return 0; fi
        if [ "${EPOCHREALTIME/./}" -ge "$deadline" ]; then
            printf 'not within %s s: %s\n%s\n' "$seconds" "$*" "$said"
            return 1
        fi
        sleep 0.1
    done
}

# refused COMMAND…: it must fail. For programs, not for functions of several commands.
refused() {
    if "$@"; then printf 'expected a failure of: %s\n' "$*"; return 1; fi
}

# The words of the scenes.

readonly agent=privatelinkd.service writer=privatelinkd-hosts.service
readonly orders=orders.booted.example ledger=ledger.booted.example
readonly orders_h=10.99.1.1 orders_i=10.99.1.2 ledger_h=10.99.2.1 ledger_i=10.99.2.2
readonly settings=/etc/privatelinkd/conf.d

# property UNIT NAME
property() {
    inside systemctl show --value -p "$2" "$1"
}

# addresses NAME: what the name resolves to, on one line; even where no interface has an address.
addresses() {
    inside getent --no-addrconfig ahostsv4 "$1" | awk '$2 == "STREAM" { print $1 }' | sort | paste -sd ' '
}

# leads_to NAME ADDRESS…: the name resolves to just these.
leads_to() {
    local name=$1
    shift
    expect "$name" "$*" "$(addresses "$name")"
}

# all_resolve: every name leads where it does while all is well.
all_resolve() {
    leads_to "$orders" "$orders_h" "$orders_i"
    leads_to "$ledger" "$ledger_h"
}

# status EXPECTED_EXIT [JSON_EXPRESSION]: asks as a user without any rights. The expression is Python over `r`.
status() {
    local report code=0
    report=$(inside setpriv --reuid=65534 --regid=65534 --clear-groups privatelinkd status --json 2>"$work/status") || code=$?
    expect "exit code of status ($(head -c 300 "$work/status")$(said_problems <<<"$report"))" "$1" "$code"
    if [ $# -gt 1 ]; then
        python3 -c 'import json, sys
r = json.load(sys.stdin)
if not eval(sys.argv[1]): sys.exit("status: expected " + sys.argv[1] + ", found " + json.dumps(r)[:3000])' "$2" <<<"$report"
    fi
}

said_problems() {
    python3 -c 'import json, sys; print(*json.load(sys.stdin)["problems"], sep="; ")' 2>/dev/null || true
}

# problem REGEX: a Python expression for status: some problem is told that matches it.
problem() {
    printf 'any(__import__("re").search(r"""%s""", p) for p in r["problems"])' "$1"
}

# no_cycle: no unit would have to be left out of a boot because it waits for itself. What systemd says of that at a boot
# comes before the journal is there, and which unit it leaves out is chance.
no_cycle() {
    expect 'systemd-analyze verify default.target' '' "$(inside systemd-analyze verify default.target 2>&1 | grep -i cycle || true)"
}

# A cycle is found where there is one.
cycle_is_seen() {
    local folder=/run/systemd/system/privatelinkd-route.path.d
    inside sh -c "mkdir -p $folder; printf '[Unit]\nBefore=paths.target\n' >$folder/cycle.conf; systemctl daemon-reload"
    refused no_cycle
    inside sh -c "rm -r $folder; systemctl daemon-reload"
}

# told UNIT REGEX: the STATUS= that the service gave to systemd.
told() {
    local text
    text=$(property "$1" StatusText)
    grep -Eq -- "$2" <<<"$text" || { printf '%s: expected a status that matches %q, found %q\n' "$1" "$2" "$text"; return 1; }
}

is_active() {
    expect "$1" active "$(property "$1" ActiveState)"
}

# restarted UNIT BEFORE: it runs again, with more restarts than BEFORE.
restarted() {
    is_active "$1"
    local now
    now=$(property "$1" NRestarts)
    [ "$now" -gt "$2" ] || { printf '%s: expected more than %s restarts, found %s\n' "$1" "$2" "$now"; return 1; }
}

# well: both run, every name leads to the right place, status has nothing to say.
well() {
    is_active "$agent"
    is_active "$writer"
    all_resolve
    status 0
}

# The watcher looks every name up again and again. A miss is a lookup without an address.
watch_names() {
    inside sh -c 'systemctl stop watcher 2>/dev/null; rm -f /run/watcher/*; systemctl start watcher'
}

no_misses() {
    local misses
    within 10 has_looked
    misses=$(inside sh -c 'cat /run/watcher/misses 2>/dev/null || true')
    [ -z "$misses" ] || { printf 'lookups failed meanwhile:\n%s\n' "$misses"; return 1; }
}

has_looked() {
    local looks
    looks=$(inside cat /run/watcher/looks)
    [ "${looks:-0}" -gt 10 ] || { printf 'the watcher looked only %s times\n' "$looks"; return 1; }
}

# zones start|stop [ENDPOINT_AND_ZONE…]: the servers behind the addresses.
zones() {
    local what=$1
    shift
    [ $# -gt 0 ] || set -- "$orders_h-7001" "$orders_i-7001" "$ledger_h-7002" "$ledger_i-7002"
    inside systemctl "$what" "${@/#/zone@}"
}

# settings_file NAME < TEXT: a drop-in of the config. Put there whole: half of one may be a good config, too.
settings_file() {
    cat >"$root$settings/.$1"
    mv "$root$settings/.$1" "$root$settings/$1"
}

# settle: makes everything as it should be again after a check, so that the next one stands for itself.
settle() {
    attempt make_well
    [ "$attempt_code" -eq 0 ] || judge 'all is well again after that'
}

make_well() {
    rm -f "$root$settings"/* "$root/etc/systemd/system/$writer.d/capabilities.conf"
    inside chown root:root /etc/hosts
    inside chmod 0644 /etc/hosts
    inside systemctl unmask "$writer"
    inside systemctl daemon-reload
    zones start
    inside systemctl reset-failed "$agent" "$writer"
    inside systemctl start "$writer" "$agent"
    inside systemctl kill -s HUP --kill-who=main "$agent"
    within 30 well
    # A name that some check brought in stays for removal_grace.
    within 30 leads_to more.booted.example
    within 30 status 0 "'more.booted.example' not in r['names']"
    watch_names
}
