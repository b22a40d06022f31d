#!/usr/bin/env bash
# Scenes of the booted test: what dies, hangs, is stopped or taken away, and names that resolve meanwhile. Sourced; see
# container.bash.
# shellcheck disable=SC2154

zone_dies() {
    inside systemctl kill -s KILL "zone@$orders_h-7001"
    within 10 leads_to "$orders" "$orders_i"
    status 1 "$(problem "$orders_h .* is down")"
    status 1 "r['names']['$orders']['reason'] == 'failed_over'"
    leads_to "$ledger" "$ledger_h"
    zones start
    within 20 well
    no_misses
}

# killed UNIT: it comes back by itself.
killed() {
    local before
    before=$(property "$1" NRestarts)
    inside systemctl kill -s KILL --kill-who=main "$1"
    within 15 restarted "$1" "$before"
    within 20 well
    no_misses
}

# hung UNIT: only the watchdog can tell.
hung() {
    local before
    before=$(property "$1" NRestarts)
    inside systemctl kill -s STOP --kill-who=main "$1"
    # An agent that hangs is one that doesn't answer, and so status says.
    [ "$1" = "$writer" ] || status 69
    within 30 restarted "$1" "$before"
    inside journalctl --sync
    inside journalctl -b -o cat -u "$1" | grep 'Watchdog timeout'
    within 20 well
    no_misses
}

# A service that is kept from all it does for longer than its watchdog waits is not well; one that only waits is.
quiet_is_no_hang() {
    local before
    before=$(property "$agent" NRestarts)$(property "$writer" NRestarts)
    sleep 10
    expect restarts "$before" "$(property "$agent" NRestarts)$(property "$writer" NRestarts)"
    well
}

run_files_are_there() {
    inside test -s /run/privatelinkd/plan.json
    inside test -f /run/privatelinkd/alive
    inside test -S /run/privatelinkd/status.sock
    inside test -s /run/privatelinkd-hosts/receipt.json
}

run_files_deleted() {
    inside sh -c 'rm -rf /run/privatelinkd/* /run/privatelinkd-hosts/*'
    within 30 run_files_are_there
    within 15 well
    no_misses
}

run_folders_removed() {
    inside rm -rf /run/privatelinkd /run/privatelinkd-hosts
    inside systemctl restart "$writer" "$agent"
    within 15 run_files_are_there
    within 15 well
    folders
    no_misses
}

standby_is_in() {
    leads_to "$ledger" "$ledger_h" "$ledger_i"
    inside grep -qx "# $ledger: agent_lost" /etc/hosts
    # What the receipt says of it, with the folder of the agent as it left it.
    python3 -c 'import json, sys; sys.exit(json.load(open(sys.argv[1]))["names"][sys.argv[2]] != "agent_lost")' \
        <(inside cat /run/privatelinkd-hosts/receipt.json | cat) "$ledger"
}

agent_lost() {
    inside systemctl stop "$agent"
    all_resolve
    # Nobody answers, and that is what is said.
    status 69
    grep -q 'no agent answers' "$work/status"
    within 40 standby_is_in
    leads_to "$orders" "$orders_h" "$orders_i"
    within 5 told "$writer" 'agent'
    inside systemctl start "$agent"
    within 15 well
    no_misses
}

# With the earlier writer's receipt in its place: it says that all is well, and is no longer believed after 30 s.
writer_stopped() {
    inside systemctl stop "$writer"
    inside test -s /run/privatelinkd-hosts/receipt.json
    within 45 status 1 "$(problem 'no sign of life')"
    within 10 told "$agent" '^degraded: '
    all_resolve
    inside systemctl start "$writer"
    within 15 well
    no_misses
}

# The names stay, the agent starts, and says what is missing. As after a boot: no receipt of an earlier writer is there.
writer_masked() {
    inside systemctl stop "$agent" "$writer"
    inside rm -f /run/privatelinkd-hosts/receipt.json
    inside systemctl mask "$writer"
    local began=${EPOCHREALTIME/./} took
    inside systemctl start "$agent"
    took=$(((${EPOCHREALTIME/./} - began) / 1000))
    # 10 s of its own, and systemd's.
    [ "$took" -lt 12000 ] || { echo "ready after $took ms, expected at most 10 s"; return 1; }
    is_active "$agent"
    told "$agent" '^degraded: '
    all_resolve
    status 1 "$(problem 'not in sync')"
    inside systemctl unmask "$writer"
    inside systemctl start "$writer"
    within 15 well
    within 10 told "$agent" '^[^d]'
    no_misses
}

# file_of OWNER: the hosts file, given to somebody.
file_of() {
    inside chown "$1" /etc/hosts
}

# A hosts file that uid 0 without capabilities can't carry over is left alone; with the documented drop-in it can.
capabilities() {
    local drop_in=$root/etc/systemd/system/$writer.d/capabilities.conf
    file_of nobody:mail
    settings_file more.toml <<<"[[endpoint]]
name = \"orders\"
private_dns = [\"$orders\", \"more.booted.example\"]"
    inside systemctl reload "$agent"
    within 15 status 1 "$(problem 'owner|metadata')"
    all_resolve
    expect owner nobody:mail "$(inside stat -c %U:%G /etc/hosts)"
    cp "$root/usr/share/doc/privatelinkd/examples/hosts-capabilities.conf" "$drop_in"
    inside systemctl daemon-reload
    inside systemctl restart "$writer"
    within 10 leads_to more.booted.example "$orders_h" "$orders_i"
    expect owner nobody:mail "$(inside stat -c %U:%G /etc/hosts)"
    within 10 well
    rm "$drop_in"
    file_of root:root
    inside systemctl daemon-reload
    inside systemctl restart "$writer"
}

# A hosts file that only root may read keeps its mode, and everything says so until all users may.
for_root_alone() {
    inside chmod 0640 /etc/hosts
    within 15 status 1 "$(problem 'not every user may read it.*chmod o[+]r /etc/hosts')"
    status 1 "all(n['verdicts']['hosts'] == 'unreadable' for n in r['names'].values())"
    within 5 told "$writer" '^degraded: 2 names published in a file that not every user may read'
    # It is written anew all the same.
    settings_file more.toml <<<"[[endpoint]]
name = \"orders\"
private_dns = [\"$orders\", \"more.booted.example\"]"
    inside systemctl reload "$agent"
    within 10 leads_to more.booted.example "$orders_h" "$orders_i"
    expect mode 640 "$(inside stat -c %a /etc/hosts)"
    inside chmod 0644 /etc/hosts
    within 15 well
}

# as_the_agent_sees COMMAND…: run by root it says whose eyes it looks with. The caller's own keys count for nothing.
as_the_agent_sees() {
    inside env ALIBABA_CLOUD_ACCESS_KEY_ID=of-root privatelinkd "$@" >"$work/answer" 2>"$work/note"
    expect note 'privatelinkd: as user privatelinkd, as the agent sees it' "$(cat "$work/note")"
}

looks_once() {
    local before
    before=$(inside sha256sum /etc/hosts)
    as_the_agent_sees discover
    grep '^orders:  found$' "$work/answer"
    grep "^  cn-hangzhou-h  .*$orders_h  fixed$" "$work/answer"
    expect 'endpoints that the agent sees alike' 2 "$(grep -c '^  agent  *same$' "$work/answer")"
    as_the_agent_sees discover ledger
    refused grep orders "$work/answer"
    as_the_agent_sees plan
    grep '^/etc/hosts: nothing would change$' "$work/answer"
    expect 'names that the agent answers alike' 2 "$(grep -c '  same$' "$work/answer")"
    expect 'the hosts file' "$before" "$(inside sha256sum /etc/hosts)"
    # Nothing of it is root's.
    expect 'files that are not the agent'"'"'s' '' "$(inside find /var/lib/privatelinkd /run/privatelinkd ! -user privatelinkd)"
    # Without the agent it still is its user who looks.
    inside systemctl stop "$agent"
    inside privatelinkd discover >"$work/answer" 2>"$work/note"
    grep 'as user privatelinkd.*it does not run' "$work/note"
    grep '^agent: no agent answers' "$work/answer"
    inside systemctl start "$agent"
    within 10 well
    no_misses
}

scene_life() {
    check 'discover and plan, run by root, look with the eyes of the agent and change nothing' looks_once
    settle
    check 'a zone dies, the name moves, status says so; the zone comes back' zone_dies
    settle
    check 'the agent is killed: it comes back, names resolve all the while' killed "$agent"
    settle
    check 'the writer is killed: it comes back, names resolve all the while' killed "$writer"
    settle
    check 'the agent hangs: the watchdog restarts it, names resolve all the while' hung "$agent"
    settle
    check 'the writer hangs: the watchdog restarts it, names resolve all the while' hung "$writer"
    settle
    check 'nothing happens for longer than the watchdog waits: nothing is restarted' quiet_is_no_hang
    check 'the files in /run are deleted while both run: they are there again' run_files_deleted
    settle
    check 'the folders in /run are removed, both are restarted: all is there again' run_folders_removed
    settle
    check 'the writer is stopped, its receipt stays: status is degraded, the names stay' writer_stopped
    settle
    check 'the writer is masked: the agent is ready within 10 s and degraded, the names stay' writer_masked
    settle
    check 'the agent is stopped for longer than agent_lost_after: standby addresses serve until it is back' agent_lost
    settle
    check "a foreign owner of the hosts file is kept with the documented drop-in, and refused without" capabilities
    settle
    check 'a hosts file for root alone keeps its mode, and status says so' for_root_alone
    settle
    check 'lines in the journal carry their severity, and are found by unit' journal_has_priorities
}
