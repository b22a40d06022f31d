#!/usr/bin/env bash
# Scenes of the booted test: root takes the block out, lets it in again, and makes the machine an image. Sourced; see
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

reset_makes_an_image() {
    local others
    others=$(without_ours)
    refused inside privatelinkd reset
    all_resolve
    inside systemctl stop privatelinkd.socket "$agent" "$writer"
    inside privatelinkd reset
    expect 'the hosts file' "$others" "$(base64 "$root/etc/hosts")"
    expect 'what is left' '' \
        "$(inside sh -c 'find /var/lib/privatelinkd /var/lib/privatelinkd-hosts /var/lib/privatelinkd-admin /run/privatelinkd /run/privatelinkd-hosts -type f')"
    expect 'beside the hosts file' '' "$(inside find /etc -maxdepth 1 -name '.hosts.*')"
}

it_starts_as_on_a_new_machine() {
    inside systemctl start "$writer" "$agent"
    within 20 well
    all_resolve
    expect 'hosts.orig' "$(without_ours)" "$(inside base64 /var/lib/privatelinkd-hosts/hosts.orig)"
}

scene_removing() {
    check 'hosts remove: the very bytes are there when it returns, and status says why' remove_is_done_when_it_returns
    check 'it stays out over a restart of the services with nothing in /run' it_stays_out_over_restarts_and_an_empty_run
    check 'only root orders, by a file that nobody else may write' only_root_orders
    check 'hosts apply puts it back' apply_puts_it_back
    check 'reset refuses while services run, and leaves no trace once they are stopped' reset_makes_an_image
    check 'what starts then starts as on a new machine' it_starts_as_on_a_new_machine
    settle
}
