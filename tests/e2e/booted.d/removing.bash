#!/usr/bin/env bash
# Scenes of the booted test: root takes the block out, and lets it in again. Sourced; see
# container.bash.
# shellcheck disable=SC2154

readonly order=/var/lib/privatelinkd-admin/hosts.removed

# is_out OTHERS: nothing but these bytes is in the hosts file, and everybody says why.
is_out() {
    expect 'the hosts file' "$1" "$(base64 "$root/etc/hosts")"
    leads_to "$orders" ''
    status 1 "$(problem 'taken out by .hosts remove. since .* puts it back')"
    status 1 "all(n['verdicts']['hosts'] == 'removed' for n in r['names'].values())"
}

remove_is_done_when_it_returns() {
    local others
    others=$(without_ours)
    inside privatelinkd hosts remove
    expect 'the hosts file' "$others" "$(base64 "$root/etc/hosts")"
    within 10 is_out "$others"
    expect 'the order' '644 root:root' "$(inside stat -c '%a %U:%G' "$order")"
    refused inside privatelinkd hosts show
}

it_stays_out_over_restarts_and_an_empty_run() {
    local others
    others=$(base64 "$root/etc/hosts")
    inside systemctl stop "$agent" "$writer"
    inside sh -c 'rm -rf /run/privatelinkd/* /run/privatelinkd-hosts/*'
    inside systemctl start "$writer" "$agent"
    within 20 is_out "$others"
}

only_root_orders() {
    refused inside setpriv --reuid=privatelinkd --regid=privatelinkd --clear-groups privatelinkd hosts apply
    inside test -f "$order"
    inside chmod 0666 "$order"
    within 15 told "$writer" 'expected that only its owner can write'
    inside chmod 0644 "$order"
}

apply_puts_it_back() {
    inside privatelinkd hosts apply
    inside test ! -e "$order"
    all_resolve
    within 15 well
}

scene_removing() {
    check 'hosts remove: the very bytes are there when it returns, and status says why' remove_is_done_when_it_returns
    check 'it stays out over a restart of the services with nothing in /run' it_stays_out_over_restarts_and_an_empty_run
    check 'only root orders, by a file that nobody else may write' only_root_orders
    check 'hosts apply puts it back' apply_puts_it_back
    settle
}
