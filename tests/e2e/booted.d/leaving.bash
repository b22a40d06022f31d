#!/usr/bin/env bash
# Scenes of the booted test: the package leaves, and comes back. Sourced; see container.bash.
# shellcheck disable=SC2154

readonly nobody='# BEGIN privatelinkd (managed by nobody any more' managed='# BEGIN privatelinkd (managed by privatelinkd'

# block_says HEADER: there is one block, and its first line begins so.
block_says() {
    local found
    found=$(grep '^# BEGIN privatelinkd' "$root/etc/hosts")
    expect 'blocks' 1 "$(grep -c . <<<"$found")"
    [[ $found == "$1"* ]] || { printf 'expected a block that begins with %s, found %s\n' "$1" "$found"; return 1; }
}

# printed_line FILE: the command that was printed, to delete the block.
printed_line() {
    sed -n 's/^To delete it: //p' "$1"
}

# An upgrade is no leaving: the block is never anybody else's.
upgrade_deb() {
    inside dpkg -i /opt/test/package.deb >"$work/printed"
    refused grep -q 'nobody' "$work/printed"
    block_says "$managed"
    within 15 well
}

# The names resolve on, and a reader of the file learns that nobody watches them.
remove_deb() {
    inside dpkg -r privatelinkd >"$work/printed"
    refused inside systemctl is-active --quiet "$writer"
    inside test ! -e /usr/bin/privatelinkd
    all_resolve
    block_says "$nobody"
    grep -F "$(printed_line "$work/printed")" "$root/etc/hosts"
    inside test -s /var/lib/privatelinkd-hosts/hosts.orig
}

reinstall_deb() {
    inside dpkg -i /opt/test/package.deb
    within 15 well
    block_says "$managed"
    no_misses
}

# The very bytes that are not ours; once after a removal, without a binary, and once without.
purge_deb() {
    local others
    others=$(without_ours)
    inside dpkg -P privatelinkd
    expect 'the hosts file' "$others" "$(base64 "$root/etc/hosts")"
    inside sh -c '! ls -d /var/lib/privatelinkd* /run/privatelinkd* /etc/privatelinkd/config.toml 2>/dev/null'
    expect 'traces' '' "$(traces)"
    expect 'units that systemd knows' '' "$(inside systemctl list-units --all --no-legend 'privatelinkd*' | grep -v masked || true)"
}

# traces: everything named after the package, but for what this test and its admin put there, and dpkg's own books.
traces() {
    inside find / -xdev \( -path /proc -o -path /sys -o -path /var/lib/dpkg -o -path /opt/test \) -prune -o -iname '*privatelink*' \
        ! -path '/etc/systemd/system/*.d*' -print
}

# without_ours: the hosts file without the block, for a comparison.
without_ours() {
    sed '/^# BEGIN privatelinkd/,/^# END privatelinkd/d' "$root/etc/hosts" | base64
}

printed_line_works() {
    local others
    others=$(without_ours)
    inside sh -c "$(printed_line "$work/printed")"
    expect 'the hosts file' "$others" "$(base64 "$root/etc/hosts")"
}

install_anew() {
    inside dpkg -i /opt/test/package.deb
    write_config
    inside systemctl restart "$writer" "$agent"
    within 15 well
    block_says "$managed"
}

purge_after_removal() {
    inside dpkg -r privatelinkd
    purge_deb
}

scene_leaving() {
    check 'the deb is installed over itself: the block is ours all the while' upgrade_deb
    settle
    check 'the deb is removed: the block stays, and says that nobody manages it and how to delete it' remove_deb
    check 'it is installed again: the block is ours again, names resolve all the while' reinstall_deb
    check 'it is purged: the block and all state are gone, the other lines are as they were' purge_deb
    check 'it is installed anew' install_anew
    check 'it is removed, then purged: the same' purge_after_removal
    check 'it is installed anew once more, for what comes after' install_anew
    settle
}
