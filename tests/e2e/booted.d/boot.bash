#!/usr/bin/env bash
# Scenes of the booted test: reboots, images and figures. Sourced; see container.bash.
# shellcheck disable=SC2154

# What a program that starts after nss-lookup.target finds, as the first thing after it.
watch_boot() {
    cat >"$root/etc/systemd/system/after-names.service" <<UNIT
[Unit]
After=nss-lookup.target

[Service]
Type=oneshot
ExecStart=/bin/sh -c 'getent hosts $orders && getent hosts $ledger'
RemainAfterExit=yes

[Install]
WantedBy=multi-user.target
UNIT
    inside systemctl enable after-names.service
}

# Somebody else may make the hosts file anew at boot: the names then come from the writer or from nowhere.
take_block_out() {
    printf '127.0.0.1 localhost\n' >"$root/etc/hosts"
}

names_before_nss_lookup() {
    expect 'a program that starts after nss-lookup.target and looks names up' success "$(property after-names.service Result)"
    is_active after-names.service
    local written target
    written=$(property "$writer" ActiveEnterTimestampMonotonic)
    target=$(property nss-lookup.target ActiveEnterTimestampMonotonic)
    if [ "$written" -eq 0 ] || [ "$written" -ge "$target" ]; then
        echo "writer active at $written us, nss-lookup.target at $target us"
        return 1
    fi
}

without_network() {
    is_active "$agent"
    is_active "$writer"
    all_resolve
    # Told, and not only at the first look.
    within 15 status 1 "$(problem 'is down')"
    status 1 "len([p for p in r['problems'] if 'is down' in p]) == 4"
    all_resolve
    within 10 told "$agent" '^degraded: '
}

no_cycle_and_nothing_failed() {
    local said
    no_cycle
    said=$(inside journalctl -b -o cat _PID=1 | grep -iE 'privatelinkd.*(unknown|ignoring|failed)' || true)
    expect journal '' "$said"
    expect 'restarts' '0 0' "$(property "$agent" NRestarts) $(property "$writer" NRestarts)"
}

reboot_without_network() {
    power_off
    take_block_out
    boot
}

scene_reboot() {
    watch_boot >/dev/null 2>&1
    check 'reboot, with nothing left in the hosts file and without network' reboot_without_network
    check 'names resolve before nss-lookup.target is reached' names_before_nss_lookup
    check 'without network both run, the names stay, status tells what is down' without_network
    check 'no ordering cycle, no failure, no restart at that boot' no_cycle_and_nothing_failed
    network up
    zones start
    check 'the network comes, and all is well' within 20 well
    settle
}

# Figures.

# pss UNIT: in KiB.
pss() {
    inside cat "/proc/$(property "$1" MainPID)/smaps_rollup" | awk '/^Pss:/ { print $2 }'
}

median() {
    sort -n | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'
}

memory_is_small() {
    local tries both=()
    for ((tries = 0; tries < 7; tries++)); do
        both+=($(($(pss "$agent") + $(pss "$writer"))))
        sleep 1
    done
    printf '%s\n' "${both[@]}" | median >"$work/pss"
    [ "$(cat "$work/pss")" -le 10240 ] || { echo "expected at most 10240 KiB, found ${both[*]}"; return 1; }
}

# One line a restart: the CPU time of the agent by READY=1, and the time from the start of its process to there, in
# microseconds. The CPU time, of all threads, is read right after, so it is a little more than "by then".
starts() {
    local tries pid
    for ((tries = 0; tries < 5; tries++)); do
        inside systemctl restart "$agent"
        pid=$(property "$agent" MainPID)
        inside sh -c "cat /proc/$pid/task/*/schedstat" | awk '{ spent += $1 } END { printf "%d ", spent / 1000 }'
        echo $(($(property "$agent" ActiveEnterTimestampMonotonic) - $(property "$agent" ExecMainStartTimestampMonotonic)))
        sleep 1
    done
}

# What systemd itself takes of both, to make the unit's walls: the same unit with a program that does nothing but say
# how much CPU time it has used. Lines as in starts.
bare_starts() {
    local copy=bare.service tries spent
    inside sh -c "sed 's|^ExecStart=.*|ExecStart=/bin/cat /proc/self/schedstat|; s|^Type=.*|Type=oneshot\\nRemainAfterExit=yes|; \
        s|^Restart=.*||' /usr/lib/systemd/system/$agent >/run/systemd/system/$copy; systemctl daemon-reload"
    for ((tries = 0; tries < 5; tries++)); do
        inside systemctl restart "$copy"
        inside journalctl --sync
        spent=$(inside journalctl -b -o cat -u "$copy" _COMM=cat | tail -n 1 | cut -d ' ' -f 1)
        echo "$((spent / 1000)) $(($(property "$copy" ExecMainExitTimestampMonotonic) - $(property "$copy" ExecMainStartTimestampMonotonic)))"
    done
    inside systemctl stop "$copy"
    inside sh -c "rm /run/systemd/system/$copy; systemctl daemon-reload"
}

# Only CPU time has a limit here: the rest is this machine's other work, too.
starts_with_cached_plan() {
    bare_starts >"$work/bare"
    starts >"$work/starts"
    cat "$work/starts"
    [ "$(wc -l <"$work/starts")" -eq 5 ]
    local own
    own=$(($(column 1 starts) - $(column 1 bare)))
    [ "$own" -le 50000 ] || { echo "expected at most 50000 us of CPU time of its own, found $own"; return 1; }
    within 15 well
}

# column NUMBER FILE: its median.
column() {
    cut -d ' ' -f "$1" "$work/$2" | median
}

# own_of COLUMN: what of it is the agent's own.
own_of() {
    awk -v all="$(column "$1" starts)" -v bare="$(column "$1" bare)" 'BEGIN {
        printf "%.1f ms of its own, %.1f ms with what systemd takes for the walls", (all - bare) / 1000, all / 1000 }'
}

# scene_figures SINCE: SINCE is when both were started last, as $SECONDS.
scene_figures() {
    # A minute after the start, when what time needs is taken, too.
    local wait=$((60 - (SECONDS - $1)))
    [ "$wait" -le 0 ] || sleep "$wait"
    check 'both together take at most 10 MiB (PSS), with 2 x 2 targets' memory_is_small
    figure "PSS of both: $(cat "$work/pss") KiB (agent $(pss "$agent"), writer $(pss "$writer"))"
    check 'the agent starts with a cached plan in at most 50 ms of CPU time of its own (median of 5)' starts_with_cached_plan
    figure "CPU time by READY=1: $(own_of 1)"
    figure "start to READY=1: $(own_of 2)"
    settle
}

# An image that was made on another machine, for other work: what that one published is not for this one.
becomes_other_machine() {
    power_off
    tr -d - </proc/sys/kernel/random/uuid >"$root/etc/machine-id"
    sed -i "s/$ledger/other.booted.example/" "$root/etc/privatelinkd/config.toml"
    grep -q "$ledger" "$root/etc/hosts"
    boot
}

old_names_are_gone() {
    refused inside grep -q "$ledger" /etc/hosts
    # This machine's own config has the other name: published anew, from its own findings.
    leads_to "$orders" "$orders_h" "$orders_i"
    leads_to other.booted.example "$ledger_h"
}

scene_image() {
    check 'an image is made of this system, and another machine boots it with another config' becomes_other_machine
    network up
    zones start
    check 'the old name is gone, the names of the new config lead to their endpoints' within 15 old_names_are_gone
    check 'status is healthy' within 15 status 0
}
