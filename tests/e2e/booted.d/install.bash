#!/usr/bin/env bash
# Scenes of the booted test: from the package to names that resolve. Sourced; see container.bash.
# shellcheck disable=SC2154,SC2034

# furnish: what the test itself needs in the container.
furnish() {
    mkdir -p "$root/opt/test"
    cp "$here"/booted.d/*.py "$root/opt/test/"
    # What a lookup finds is the hosts file, or nothing.
    sed -i 's/^hosts:.*/hosts: files/' "$root/etc/nsswitch.conf"
    cat >"$root/etc/systemd/system/zone@.service" <<'UNIT'
[Service]
ExecStart=/usr/bin/python3 /opt/test/zone.py %i
KillSignal=SIGKILL
SuccessExitStatus=SIGKILL
UNIT
    cat >"$root/etc/systemd/system/watcher.service" <<UNIT
[Service]
RuntimeDirectory=watcher
RuntimeDirectoryPreserve=yes
ExecStart=/usr/bin/python3 /opt/test/watch.py $orders $ledger
KillSignal=SIGKILL
SuccessExitStatus=SIGKILL
UNIT
    # The watchdog of the units waits for half a minute; here it need not.
    local unit
    for unit in "$agent" "$writer"; do
        mkdir -p "$root/etc/systemd/system/$unit.d"
        printf '[Service]\nWatchdogSec=4s\n' >"$root/etc/systemd/system/$unit.d/test.conf"
    done
    # Who may read this file may not see it anywhere else.
    printf '%s\n' "$secret" >"$root/root/secret"
    chmod 0600 "$root/root/secret"
    printf 'planted:%s:19000:0:99999:7:::\n' "$secret" >>"$root/etc/shadow"
}

# network up|down: the addresses behind the endpoints.
network() {
    local address
    for address in "$orders_h" "$orders_i" "$ledger_h" "$ledger_i"; do
        case $1 in
            up) inside ip address add "$address/32" dev lo ;;
            down) inside ip address del "$address/32" dev lo ;;
        esac
    done
}

write_config() {
    cat >"$root/etc/privatelinkd/config.toml" <<CONFIG
[host]
zone = "cn-hangzhou-h"

[hosts]
allowed_ranges = ["10.99.0.0/16"]
agent_lost_after = "20s"
removal_grace = "8s"

[[endpoint]]
name = "orders"
addresses = { "cn-hangzhou-h" = "$orders_h", "cn-hangzhou-i" = "$orders_i" }
private_dns = ["$orders"]
probe = { kind = "tcp", port = 7001, interval = "1s", fast_interval = "100ms", timeout = "500ms", rise = 2, hold = "500ms" }

[[endpoint]]
name = "ledger"
addresses = { "cn-hangzhou-h" = "$ledger_h", "cn-hangzhou-i" = "$ledger_i" }
private_dns = ["$ledger"]
steering = { prefer = "local_zone", answers = "one" }
probe = { kind = "tcp", port = 7002, interval = "1s", fast_interval = "100ms", timeout = "500ms", rise = 2, hold = "500ms" }
CONFIG
}

# says_what_is_next COMMAND: what the first installation printed names the next steps, the last of them this one.
says_what_is_next() {
    local step
    for step in 'sudo privatelinkd init' 'sudo privatelinkd check' "$1" 'privatelinkd status'; do
        grep -qF "  $step " "$work/printed" || grep -qxF "  $step" "$work/printed" || { echo "expected '$step' among what was printed"; return 1; }
    done
}

install_deb() {
    cp "$deb" "$root/opt/test/package.deb"
    inside dpkg -i /opt/test/package.deb >"$work/printed"
    cat "$work/printed"
    says_what_is_next 'sudo systemctl reload-or-restart privatelinkd'
    nothing_started 'enabled'
}

# nothing_started ENABLED_OR_DISABLED: the config that comes with the package names no endpoint.
nothing_started() {
    grep -qF 'the configuration names no endpoint, so nothing was started' "$work/printed"
    expect 'is-enabled' "$(printf '%s\n%s' "$1" "$1")" "$(inside systemctl is-enabled "$agent" "$writer")"
    expect 'what runs' '' "$(inside systemctl list-units --no-legend --state=active,activating,failed 'privatelinkd*')"
    expect 'the hosts file' '' "$(grep privatelinkd "$root/etc/hosts" || true)"
}

# The steps that the package printed, with a config in the place of the draft.
takes_first_config() {
    write_config
    inside privatelinkd check
    # shellcheck disable=SC2086
    inside $1
    within 15 is_active "$agent"
    within 15 is_active "$writer"
    within 10 all_resolve
    # Over another boot, too.
    expect 'is-enabled' "$(printf 'enabled\nenabled')" "$(inside systemctl is-enabled "$agent" "$writer")"
}

# Owners and modes are a promise: the agent and the writer judge each other by them.
folders() {
    local expected found paths
    expected=$(cat <<'LIST'
/etc/privatelinkd 755 root:root
/etc/privatelinkd/conf.d 750 root:privatelinkd
/etc/privatelinkd/config.toml 640 root:privatelinkd
/run/privatelinkd 755 privatelinkd:privatelinkd
/run/privatelinkd-hosts 755 root:root
/var/lib/privatelinkd 750 privatelinkd:privatelinkd
/var/lib/privatelinkd-admin 755 root:root
/var/lib/privatelinkd-hosts 700 root:root
LIST
)
    mapfile -t paths < <(cut -d ' ' -f 1 <<<"$expected")
    found=$(inside stat -c '%n %a %U:%G' "${paths[@]}")
    diff <(echo "$expected") <(echo "$found")
}

# manual_is_there COMMAND…: lists the package's files. Each page is one of them, and its text is that of its source.
manual_is_there() {
    local listed page installed
    listed=$("$@")
    for page in packaging/man/*.7; do
        installed=/usr/share/man/man7/${page##*/}.gz
        grep -qxF "$installed" <<<"$listed" || { printf 'expected %s, found\n%s\n' "$installed" "$listed"; return 1; }
        gzip -dc "$root$installed" | cmp - "$page"
    done
}

# Warnings are about other units of the container, too: only ours count.
units_verify() {
    local said
    # No man(1) in there: that the pages exist is for tests/manual.rs, that they are installed for the check above.
    said=$(inside systemd-analyze verify --man=no "$agent" "$writer" 2>&1 | grep -i privatelinkd || true)
    expect 'systemd-analyze verify' '' "$said"
    no_cycle
    cycle_is_seen
    # Nor with the socket of the stub.
    inside systemctl enable privatelinkd.socket
    no_cycle
    inside systemctl disable privatelinkd.socket
    # And as the booted system saw it.
    said=$(inside journalctl -b -o cat _PID=1 | grep -iE 'privatelinkd.*(unknown|ignoring)' || true)
    expect 'journal' '' "$said"
}

# score UNIT AT_MOST [LINES]: as the package has the unit, without what this test adds to it, or with these lines.
score() {
    if [ $# -gt 2 ]; then
        inside sh -c "{ cat /usr/lib/systemd/system/$1; printf '%s\\n' '[Service]' '$3'; } >/run/$1"
        set -- "/run/$1" "$2"
    else
        set -- "/usr/lib/systemd/system/$1" "$2"
    fi
    # In tenths, and offline: both came with systemd 250.
    inside systemd-analyze security --offline=true --no-pager --threshold=$((10#${2/./})) "$1" >"$work/exposure" 2>&1 ||
        { tail -n 3 "$work/exposure"; return 1; }
    sed -n 's/.*Overall exposure level for .*: \([0-9.]*\) .*/\1/p' "$work/exposure" >"$work/score"
    grep -q '[0-9]' "$work/score"
}

# A threshold that says nothing would pass every unit.
score_is_judged() {
    if score "$agent" 0.1; then
        echo 'no unit is that safe'
        return 1
    fi
}

scores_of_route() {
    score privatelinkd-route.service 1.8
    score privatelinkd-route-refresh.service 0.7
}

# As after a change of the names, with something to follow.
refresh_asks() {
    local before
    before=$(property privatelinkd-route.service InvocationID)
    inside sh -c 'mkdir -p /run/privatelinkd-route && touch /run/privatelinkd-route/wanted'
    inside systemctl stop privatelinkd-route.service
    inside touch /run/privatelinkd-route/wanted
    inside systemctl start privatelinkd-route-refresh.service
    within 10 invoked_anew privatelinkd-route.service "$before"
    within 10 is_active privatelinkd-route.service
    inside rm -f /run/privatelinkd-route/wanted
}

# invoked_anew UNIT BEFORE: it was started since it had this InvocationID.
invoked_anew() {
    local now
    now=$(property "$1" InvocationID)
    if [ -z "$now" ] || [ "$now" = "$2" ]; then
        echo "$1: InvocationID $now, before $2"
        return 1
    fi
}

takes_config() {
    write_config
    expect owner root:privatelinkd "$(inside stat -c %U:%G /etc/privatelinkd/config.toml)"
    inside privatelinkd check
    inside systemctl reload "$agent"
    within 10 all_resolve
    # As an application asks.
    inside getent hosts "$orders"
    inside getent hosts "$ledger"
}

# A service's lines carry their severity, and are found by its name.
journal_has_priorities() {
    local unit
    inside journalctl --sync
    for unit in "$agent" "$writer"; do
        inside journalctl -b -u "$unit" -o json --output-fields=PRIORITY,MESSAGE,_COMM |
            python3 -c '
import json, sys

unit = sys.argv[1]
lines = [json.loads(line) for line in sys.stdin]
ours = [line for line in lines if line.get("_COMM") == "privatelinkd"]
if not ours:
    sys.exit(f"{unit}: no line of the service itself")
bare = [line for line in ours if line.get("PRIORITY") not in list("01234567")]
if bare:
    sys.exit(f"{unit}: lines without PRIORITY: {bare[:3]}")
# stderr without a prefix would give all of them the same.
raw = [line for line in ours if isinstance(line["MESSAGE"], str) and line["MESSAGE"].startswith("<")]
if raw:
    sys.exit(f"{unit}: the prefix was not taken off: {raw[:3]}")
print(unit, sorted({line["PRIORITY"] for line in ours}))
' "$unit"
    done
    # What is down is a warning at least.
    expect 'warnings of the agent' yes "$(inside journalctl -b -u "$agent" -p warning -o cat _COMM=privatelinkd | grep . >/dev/null && echo yes)"
}

scene_install() {
    check 'the deb installs, both services are enabled; without an endpoint nothing starts' install_deb
    check 'folders and config have the promised owners and modes' folders
    check 'the deb has every page of the manual' manual_is_there inside dpkg -L privatelinkd
    check 'systemd finds nothing to say about the units, nor did it at boot' units_verify
    check 'a score above the threshold is noticed' score_is_judged
    check 'the agent scores at most 1.2' score "$agent" 1.2
    figure "exposure of the agent: $(cat "$work/score")"
    check 'with a right to the port of the stub at most 1.4' score "$agent" 1.4 \
        "$(printf 'CapabilityBoundingSet=CAP_NET_BIND_SERVICE\nAmbientCapabilities=CAP_NET_BIND_SERVICE')"
    check 'the writer scores at most 0.7' score "$writer" 0.7
    figure "exposure of the writer: $(cat "$work/score")"
    check 'what tells the resolver scores at most 1.8, what follows the names at most 0.7' scores_of_route
    network up
    zones start
    check 'the steps that the package printed start both, the names resolve' takes_first_config \
        'systemctl reload-or-restart privatelinkd'
    check 'a config with two endpoints in two zones is taken, getent finds the names' takes_config
    check 'status, asked by a user without rights, is healthy' within 15 well
    check 'what follows the names can still ask systemd for its one thing' refresh_asks
    watch_names
}
