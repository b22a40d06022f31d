#!/usr/bin/env bash
# Scenes of the booted test: what fails around both services (the journal, the clock, the disk), and secrets that come
# from systemd. Sourced; see container.bash.
# shellcheck disable=SC2154

# A frozen journal takes no lines. Enough are told to fill every socket to it, for longer than the watchdog waits.
journal_frozen() {
    local before
    before="$(property "$agent" NRestarts) $(property "$writer" NRestarts)"
    inside systemctl kill -s STOP --kill-who=main systemd-journald
    more_lines_than_fit
    inside systemctl kill -s KILL "zone@$orders_h-7001"
    within 10 leads_to "$orders" "$orders_i"
    status 1 "$(problem "$orders_h .* is down")"
    inside systemctl start "zone@$orders_h-7001"
    within 20 well
    expect restarts "$before" "$(property "$agent" NRestarts) $(property "$writer" NRestarts)"
    # It was frozen all the while.
    inside grep -q '^State:.*T' "/proc/$(property systemd-journald MainPID)/status"
    inside systemctl kill -s CONT --kill-who=main systemd-journald
    no_misses
}

# Both services tell what they take, and what they refuse.
more_lines_than_fit() {
    break_config
    inside sh -c "for i in \$(seq 300); do kill -HUP $(property "$agent" MainPID) $(property "$writer" MainPID); sleep 0.02; done"
    rm "$root$settings/more.toml"
    inside systemctl kill -s HUP --kill-who=main "$agent"
    inside systemctl kill -s HUP --kill-who=main "$writer"
}

# The clock of both processes alone: the container has that of the machine.
fake_clocks() {
    local library unit
    library=/$(cd "$root" && echo usr/lib/*/faketime/libfaketime.so.1)
    [ -e "$root$library" ]
    inside sh -c 'echo +0 >/run/faketime'
    for unit in "$agent" "$writer"; do
        cat >"$root/etc/systemd/system/$unit.d/clock.conf" <<DROP_IN
[Service]
Environment=LD_PRELOAD=$library FAKETIME_TIMESTAMP_FILE=/run/faketime FAKETIME_NO_CACHE=1 FAKETIME_DISABLE_SHM=1
Environment=FAKETIME_DONT_FAKE_MONOTONIC=1 DONT_FAKE_MONOTONIC=1 NO_FAKE_STAT=1
DROP_IN
    done
    inside systemctl daemon-reload
    inside systemctl restart "$writer" "$agent"
    within 15 well
    inside grep -q libfaketime "/proc/$(property "$agent" MainPID)/maps"
}

# days_off EXPRESSION DAYS: a Python expression for status: the time that EXPRESSION tells is so many days from now, and
# tells its age right.
days_off() {
    printf 'abs((__import__("datetime").datetime.fromisoformat(%s["at"][:19] + "+00:00").timestamp() - __import__("time").time()) / 86400 - %s) < 1 and 0 <= %s["ago_ms"] < 60_000' \
        "$1" "$2" "$1"
}

# clock_jumps DAYS: while both run, and over a restart of both. Names move as ever.
clock_jumps() {
    local before
    before="$(property "$agent" NRestarts) $(property "$writer" NRestarts)"
    inside sh -c "echo $1d >/run/faketime"
    inside systemctl kill -s KILL "zone@$orders_h-7001"
    within 10 leads_to "$orders" "$orders_i"
    status 1 "$(problem "$orders_h .* is down")"
    status 1 "$(days_off "r['names']['$orders']['changed']" "$1")"
    inside systemctl start "zone@$orders_h-7001"
    within 20 well
    expect restarts "$before" "$(property "$agent" NRestarts) $(property "$writer" NRestarts)"
    inside systemctl restart "$writer" "$agent"
    within 20 well
    status 0 "$(days_off "r['started']" "$1")"
    no_misses
}

true_clocks() {
    rm "$root/etc/systemd/system/$agent.d/clock.conf" "$root/etc/systemd/system/$writer.d/clock.conf"
    inside systemctl daemon-reload
    inside systemctl restart "$writer" "$agent"
    within 20 well
    no_misses
}

# Disks of their own for what both write, so that they can fill up and become read-only.
own_disks() {
    inside sh -ec "
        systemctl stop $agent $writer
        for folder in /etc /var/lib/privatelinkd /var/lib/privatelinkd-hosts; do
            disk=/run/disks/\${folder##*/}
            mkdir -p \$disk
            mount -t tmpfs -o size=8m,mode=\$(stat -c %a \$folder),uid=\$(stat -c %u \$folder),gid=\$(stat -c %g \$folder) disk \$disk
            # Whole before it is there: lookups go on meanwhile.
            cp -a \$folder/. \$disk/
            mount --bind \$disk \$folder
        done
        systemctl start $writer $agent"
    within 15 well
}

# The hosts file and all state are on full disks: nothing can be written, everything that resolved does.
disks_full() {
    # shellcheck disable=SC2016  # For the shell inside to expand.
    inside sh -c 'for folder in /etc /var/lib/privatelinkd /var/lib/privatelinkd-hosts; do
        dd if=/dev/zero of=$folder/filler bs=64k; dd if=/dev/zero of=$folder/filler.more bs=1; done 2>/dev/null; true'
    refused inside sh -c 'echo x >>/etc/filler'
    nothing_can_be_written
    inside systemctl kill -s KILL --kill-who=main "$agent"
    inside systemctl kill -s KILL --kill-who=main "$writer"
    within 15 is_active "$writer"
    within 15 is_active "$agent"
    within 20 status 1 "$(problem 'not in sync|No space')"
    all_resolve
    inside sh -c 'rm /etc/filler* /var/lib/privatelinkd/filler* /var/lib/privatelinkd-hosts/filler*'
    all_is_written_again
}

nothing_can_be_written() {
    inside systemctl kill -s KILL "zone@$orders_h-7001"
    within 15 status 1 "$(problem "$orders_h .* is down")"
    within 15 status 1 "$(problem 'not in sync|No space|[Rr]ead-only')"
    leads_to "$orders" "$orders_h" "$orders_i"
    leads_to "$ledger" "$ledger_h"
    is_active "$agent"
    is_active "$writer"
}

all_is_written_again() {
    within 20 leads_to "$orders" "$orders_i"
    inside systemctl start "zone@$orders_h-7001"
    within 20 well
    no_misses
}

etc_read_only() {
    inside mount -o remount,ro /etc
    refused inside touch /etc/hosts
    nothing_can_be_written
    inside mount -o remount,rw /etc
    all_is_written_again
}

disks_of_before() {
    inside sh -ec "
        systemctl stop $agent $writer
        for folder in /etc /var/lib/privatelinkd /var/lib/privatelinkd-hosts /run/disks/*; do umount -l \$folder; done
        rm -r /run/disks
        systemctl start $writer $agent"
    within 15 well
}

scene_outside() {
    if [ -n "$full" ]; then
        check 'the journal is frozen and its sockets are full: nothing hangs, names move, status says so' journal_frozen
        settle
    fi
    check 'both services run with a clock of their own' fake_clocks
    check 'their clock jumps a year ahead: names move as ever, also after a restart' clock_jumps +365
    if [ -n "$full" ]; then
        check 'their clock jumps back by two years: the same' clock_jumps -365
    fi
    check 'they have the clock of the machine again' true_clocks
    settle
    check 'what both write is on disks of its own' own_disks
    check 'these disks are full: the names stay, also after a crash of both; status says so, and all mends by itself' disks_full
    check '/etc is read-only: the names stay, status says so, and all mends by itself' etc_read_only
    check 'the disks are as before' disks_of_before
    settle
}

# Secrets from systemd.

# secret_from NAME: the config wants a secret by this name. Nothing needs it, but it is read with the config.
secret_from() {
    settings_file 60-secret.toml <<CONFIG
[cloud.credentials]
provider = "access_key"
access_key_id = "LTAI-of-the-test"
access_key_secret_file = "credential:$1"
CONFIG
}

not_given() {
    secret_from api-key
    # Root sees from outside what it can't judge, and doesn't take that for a fault.
    inside privatelinkd check >"$work/checked" 2>&1
    grep -q 'warning: cloud.credentials.access_key_secret_file: expected a credential that can be looked at from here' "$work/checked"
    grep -q 'LoadCredential=api-key:/path' "$work/checked"
    # The service knows better, and goes on with what it had. What checks at a reload may not see what the service has.
    inside systemctl reload "$agent"
    within 10 status 1 "$(problem 'config was refused, an older one is in force')"
    all_resolve
}

given() {
    printf '%s\n' "$secret" >"$root/root/api-key"
    chmod 0600 "$root/root/api-key"
    printf '[Service]\nLoadCredential=api-key:/root/api-key\n' >"$root/etc/systemd/system/$agent.d/credentials.conf"
    inside systemctl daemon-reload
    inside systemctl restart "$agent"
    within 15 well
    inside systemctl reload "$agent"
    within 10 well
    inside privatelinkd check >"$work/checked" 2>&1
    refused grep -q warning "$work/checked"
    inside privatelinkd check --show | grep 'access_key_secret_file = "credential:api-key"'
    # As the service user, with what the agent was given.
    as_the_agent_sees discover
    no_misses
}

# What systemd gives is read, and judged: it comes anew with a restart.
rotated() {
    printf 'two\nlines of %s\n' "$secret" >"$root/root/api-key"
    inside systemctl restart "$agent"
    within 10 status 1 "$(problem 'config was refused, an older one is in force|no credentials')"
    inside sh -c '! privatelinkd check' >"$work/checked" 2>&1
    grep -q 'expected one line of printable ASCII in the credential, found other characters' "$work/checked"
    all_resolve
    printf '%s\n' "$secret" >"$root/root/api-key"
    inside systemctl restart "$agent"
    within 15 well
    no_misses
}

# token_from NAME: the agent has an endpoint that it finds through the API, with the keys of a role that it takes on by
# a token of this name. Who is asked is the stand-in cloud, which knows one good token.
token_from() {
    settings_file 60-secret.toml <<CONFIG
[cloud]
metadata_endpoint = "http://127.84.0.30:8080"
api_endpoint = "http://127.84.0.10:8080"
resolvers = ["127.84.0.40:5353"]

[cloud.credentials]
provider = "oidc_role"
role_arn = "acs:ram::1234567890123456:role/agent"
oidc_provider_arn = "acs:ram::1234567890123456:oidc-provider/standin"
oidc_token_file = "credential:$1"
sts_endpoint = "http://127.84.0.20:8080"

[[endpoint]]
name = "found"
id = "ep-bp1standinledger00001"
private_dns = ["found.booted.example"]
CONFIG
}

# gives_token TOKEN: systemd gives it to the agent, at its next start.
gives_token() {
    printf '%s\n' "$1" >"$root/root/oidc-token"
    chmod 0600 "$root/root/oidc-token"
    printf '%s\n' '[Service]' LoadCredential=oidc-token:/root/oidc-token Environment=SSL_CERT_FILE=/opt/test/cloud.pem \
        >"$root/etc/systemd/system/$agent.d/credentials.conf"
    inside systemctl daemon-reload
    inside systemctl restart "$agent"
}

oidc_token_given() {
    cp "$cloud" "$root/opt/test/privatelink-sim"
    inside systemd-run --quiet --unit=cloud /opt/test/privatelink-sim --ca /opt/test/cloud.pem
    within 10 inside test -s /opt/test/cloud.pem
    token_from oidc-token
    # It comes with a start of the service, and whoever looks with the agent's eyes is told so.
    refused inside privatelinkd discover >"$work/answer" 2>&1
    grep -q "first .systemctl restart privatelinkd" "$work/answer"
    gives_token standin.oidc.token
    within 15 status_is 'r["credentials"]["provider"] == "oidc_role" and r["credentials"]["key_id"]'
    # As the service user, with what the agent was given: the API says what there is.
    inside privatelinkd discover found >"$work/answer" 2>&1 || true
    cat "$work/answer"
    grep -q "^  status   Active, Normal, Connected$" "$work/answer"
    all_resolve
}

# Another token is read, and refused by whom it is shown to; nobody else's keys are taken.
oidc_token_refused() {
    gives_token "of-nobody-$secret"
    within 15 status_is "$(problem 'oidc_role.*OIDCToken')"
    all_resolve
    no_misses
}

# status_is EXPRESSION: whatever else status says.
status_is() {
    inside privatelinkd status --json >"$work/report" || true
    python3 -c 'import json, sys
r = json.load(sys.stdin)
if not eval(sys.argv[1]): sys.exit("status: expected " + sys.argv[1] + ", found " + json.dumps(r)[:3000])' "$1" <"$work/report"
}

no_cloud_any_more() {
    not_given_any_more
    inside systemctl stop cloud
    no_misses
}

not_given_any_more() {
    rm "$root/etc/systemd/system/$agent.d/credentials.conf" "$root$settings/60-secret.toml"
    inside systemctl daemon-reload
    inside systemctl restart "$agent"
    within 15 well
}

scene_credentials() {
    check 'a credential that systemd does not give: reload says so, check from outside only what it cannot see' not_given
    check 'LoadCredential= gives it: the service and all commands read it' given
    check 'another secret comes with a restart; one that is none is told, and the names stay' rotated
    check 'no byte of it is anywhere' secret_is_nowhere
    check 'and without it again' not_given_any_more
    check 'a token for a role, given by LoadCredential=: its keys sign, and the API is asked with them' oidc_token_given
    check 'another one, of nobody: it is told, and the names stay' oidc_token_refused
    check 'no byte of that is anywhere' secret_is_nowhere
    check 'and without a cloud again' no_cloud_any_more
    settle
}
