#!/usr/bin/env bash
# Scenes of the booted test: what a hostile agent achieves, and what each unit is kept from. Sourced; see
# container.bash.
# shellcheck disable=SC2154

# in_unit UNIT ROLE: rights.py in a copy of the unit in which nothing but ExecStart= is another one.
in_unit() {
    local copy=rights-$2.service
    mkdir -p "$root/run/systemd/system"
    inside sh -c "sed 's|^ExecStart=.*|ExecStart=/usr/bin/python3 /opt/test/rights.py $2|' \
        /usr/lib/systemd/system/$1 >/run/systemd/system/$copy"
    inside systemctl daemon-reload
    inside systemctl start "$copy" || { inside journalctl -b -o cat -u "$copy" | tail -n 20; return 1; }
    local said
    inside journalctl --sync
    said=$(inside journalctl -b -o cat -u "$copy" _COMM=python3)
    # Its /tmp is nobody else's.
    inside test ! -e /tmp/rights-was-here -a ! -e /var/tmp/rights-was-here
    inside systemctl stop "$copy"
    inside rm "/run/systemd/system/$copy"
    inside systemctl daemon-reload
    tail -n 1 <<<"$said" >"$work/tried"
    sed -n 's/^OPEN //p' <<<"$said" | tr ' ' '\n' >"$work/open"
    grep -q ' tried, 0 wrong$' "$work/tried" || { grep -v 'tried' <<<"$said"; cat "$work/tried"; return 1; }
}

# What the manual says that it could.
documented() {
    sed -n '/^On a Debian that has little else they are/,/;$/p' packaging/man/privatelinkd-operations.7 |
        sed 's/\\-/-/g' | grep -oP '\\fB\K[^\\]+' | LC_ALL=C sort
}

open_is_documented() {
    [ "$(wc -l <"$work/open")" -gt 5 ]
    [ "$(documented | wc -l)" -gt 5 ]
    expect 'open to the writer in /etc, and not in the manual' '' "$(LC_ALL=C sort "$work/open" | LC_ALL=C comm -23 - <(documented))"
}

scene_rights() {
    check "from the agent's unit nothing can be written outside its folders, no right gained" in_unit "$agent" agent
    figure "$(cat "$work/tried")"
    check "from the writer's unit no socket but AF_UNIX, no write outside its paths, no right gained" in_unit "$writer" writer
    figure "$(cat "$work/tried")"
    check 'what the writer could change in /etc all the same is listed in the manual' open_is_documented
    figure "that is: $(paste -sd ' ' "$work/open")"
}

# as_agent COMMAND…
as_agent() {
    inside setpriv --reuid=privatelinkd --regid=privatelinkd --clear-groups "$@"
}

# The writer lived through it: the same process, never restarted, its watchdog content.
same_writer() {
    is_active "$writer"
    expect 'restarts and PID of the writer' "$1" "$(property "$writer" NRestarts) $(property "$writer" MainPID)"
}

# Neither the secret nor a part of it, in no field of the journal either.
secret_is_nowhere() {
    local found part
    for part in "$secret" "${secret:0:14}" "${secret:13:13}" "${secret:26}"; do printf '%s\n' "$part"; done >"$work/parts"
    cp "$work/parts" "$root/root/parts"
    # Where it is it is found.
    inside grep -qaFf /root/parts /root/secret
    inside journalctl --sync
    found=$(inside grep -rlaFf /root/parts /etc/hosts /run/privatelinkd-hosts /run/privatelinkd \
        /var/lib/privatelinkd-hosts /var/lib/privatelinkd /run/audit || true)
    expect 'files with the secret' '' "$found"
    if inside journalctl --no-pager -o export | grep -aFf "$work/parts"; then
        echo 'that is in the journal'
        return 1
    fi
}

no_complaints() {
    local looks complaints
    looks=$(inside cat /run/audit/looks)
    [ "${looks:-0}" -gt 100 ] || { echo "the audit looked only ${looks:-0} times"; return 1; }
    complaints=$(inside sh -c 'head -n 20 /run/audit/complaints 2>/dev/null || true')
    [ -z "$complaints" ] || { printf '%s\n' "$complaints"; return 1; }
}

hostile_agent() {
    local before
    inside systemctl stop "$agent" watcher
    before="$(property "$writer" NRestarts) $(property "$writer" MainPID)"
    inside sh -c "install -m 0600 /root/secret /run/secret; mkdir -p /run/audit; rm -f /run/audit/*"
    inside systemd-run --quiet --unit=audit python3 /opt/test/audit.py /root/secret "$orders" "$ledger"
    as_agent python3 /opt/test/hostile.py attack "$orders" "$ledger" >"$work/tried"
    # As if the kernel let everybody link everything: a hard link to a file of root's.
    inside sh -c 'rm -f /run/privatelinkd/plan.json; ln /run/secret /run/privatelinkd/plan.json; sleep 1; rm /run/privatelinkd/plan.json'
    same_writer "$before"
    no_complaints
}

good_plan_after() {
    local before
    before="$(property "$writer" NRestarts) $(property "$writer" MainPID)"
    as_agent python3 /opt/test/hostile.py good "$orders" 10.99.1.77
    within 2 leads_to "$orders" 10.99.1.77
    same_writer "$before"
    no_complaints
}

scene_hostile() {
    check 'a hostile agent hands over everything but a plan: nothing but admitted names and addresses' hostile_agent
    figure "$(cat "$work/tried")"
    check 'a good plan after that is published within two seconds' good_plan_after
    check 'no byte of a secret is anywhere' secret_is_nowhere
    inside systemctl stop audit || true
    inside rm -f /run/secret /run/privatelinkd/model.json
    settle
}
