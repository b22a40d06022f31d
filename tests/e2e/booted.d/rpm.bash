#!/usr/bin/env bash
# Scenes of the booted test: the other package. Sourced; see container.bash.
# shellcheck disable=SC2154

# Debian's rpm on a Debian system: the scriptlets meet a real systemd, but what the package requires can't be resolved.
install_rpm() {
    cp "$rpm" "$root/opt/test/package.rpm"
    inside rpm -i --nodeps /opt/test/package.rpm >"$work/printed"
    says_what_is_next 'sudo systemctl reload-or-restart privatelinkd'
    # This system presets nothing to "disabled", so both are enabled and started, as after a preset of one's own.
    expect 'enabled' "$(printf 'enabled\nenabled')" "$(inside systemctl is-enabled "$agent" "$writer")"
    within 15 is_active "$agent"
    within 15 is_active "$writer"
    expect 'rpm -V' '' "$(inside rpm -V --nodeps privatelinkd || true)"
}

# An upgrade runs the same scriptlets.
upgrade_rpm() {
    inside rpm -U --force --nodeps /opt/test/package.rpm >"$work/printed"
    refused grep -q nobody "$work/printed"
    refused grep -q 'Next:' "$work/printed"
    block_says "$managed"
    within 15 well
}

# rpm has no purge: the block stays, and says so.
remove_rpm() {
    inside rpm -e privatelinkd >"$work/printed"
    refused inside systemctl is-active --quiet "$agent"
    refused inside systemctl is-active --quiet "$writer"
    # The edited config is kept under another name; names resolve on.
    inside test -e /etc/privatelinkd/config.toml.rpmsave
    inside test ! -e /usr/bin/privatelinkd
    all_resolve
    block_says "$nobody"
}

# scene_rpm TAR
scene_rpm() {
    unpack rpm "$1"
    furnish
    check 'another container boots' boot
    check 'the rpm installs, both services start' install_rpm
    check 'folders and config have the promised owners and modes' folders
    check 'the rpm has every page of the manual' manual_is_there inside rpm -ql privatelinkd
    network up
    zones start
    check 'a config is taken, getent finds the names' takes_config
    check 'status is healthy' within 15 well
    check 'the rpm is installed over itself: the block is ours all the while' upgrade_rpm
    check 'the rpm is removed: services are gone, the edited config is kept, the block serves on and says so' remove_rpm
    check 'the line that it printed deletes the block and nothing else' printed_line_works
}
