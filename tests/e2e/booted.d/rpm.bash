#!/usr/bin/env bash
# Scenes of the booted test: the other package. Sourced; see container.bash.
# shellcheck disable=SC2154,SC2034

# Debian's rpm on a Debian system: the scriptlets meet a real systemd, but what the package requires can't be resolved.
install_rpm() {
    cp "$rpm" "$root/opt/test/package.rpm"
    inside rpm -i --nodeps /opt/test/package.rpm >"$work/printed"
    says_what_is_next 'sudo systemctl reload-or-restart privatelinkd'
    # This system presets nothing to "disabled", so both are enabled, as after a preset of one's own.
    nothing_started enabled
    expect 'rpm -V' '' "$(inside rpm -V --nodeps privatelinkd || true)"
}

# Erased before anything was configured: nothing was there, nothing is left.
remove_unused_rpm() {
    inside rpm -e privatelinkd >"$work/printed"
    expect 'what was printed' '' "$(cat "$work/printed")"
    inside test ! -e /etc/privatelinkd/config.toml
    expect 'links of units' '' "$(inside find /etc/systemd/system -name 'privatelinkd*' -type l)"
}

# As on systems that enable nothing by themselves.
install_rpm_without_presets() {
    mkdir -p "$root/etc/systemd/system-preset"
    echo 'disable *' >"$root/etc/systemd/system-preset/00-test.preset"
    inside rpm -i --nodeps /opt/test/package.rpm >"$work/printed"
    says_what_is_next 'sudo systemctl enable --now privatelinkd-hosts privatelinkd privatelinkd-route'
    nothing_started disabled
}

# What runs is left alone, and the config as well.
upgrade_rpm_with_broken_config() {
    local pids
    pids="$(property "$agent" MainPID) $(property "$writer" MainPID)"
    break_config
    inside rpm -U --force --nodeps /opt/test/package.rpm >"$work/printed" 2>&1
    grep -q 'more.toml:[0-9]*:[0-9]*' "$work/printed"
    grep -q 'WARNING: this version refuses the configuration, so its services were not restarted' "$work/printed"
    expect 'PIDs' "$pids" "$(property "$agent" MainPID) $(property "$writer" MainPID)"
    status 0
    rm "$root$settings/more.toml"
    all_resolve
}

# An upgrade runs the same scriptlets.
upgrade_rpm() {
    inside rpm -U --force --nodeps /opt/test/package.rpm >"$work/printed"
    refused grep -q nobody "$work/printed"
    refused grep -q 'Next:' "$work/printed"
    block_says "$managed"
    within 15 well
    # Another process, of the program that is installed now.
    refused grep -q WARNING "$work/printed"
    expect 'the program' /usr/bin/privatelinkd "$(inside readlink "/proc/$(property "$agent" MainPID)/exe")"
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

# make_earlier_rpm: as make_earlier, of this package: another version, with the scriptlets, owners and modes of its own.
make_earlier_rpm() {
    local tree=$work/earlier part
    mkdir -p "$tree/files"
    rpm2cpio "$rpm" | cpio --quiet --extract --make-directories --directory "$tree/files"
    forget_later_key "$tree/files"
    {
        printf '%%global %s %%{nil}\n' debug_package __os_install_post
        printf '%s\n' '%global _build_id_links none' '%global _binary_payload w1.gzdio' 'Name: privatelinkd' \
            "$(rpm -qp --qf 'Version: %{VERSION}~earlier' "$rpm")" 'Release: 1' 'License: Apache-2.0' \
            'Summary: An earlier version' '%description' 'An earlier version.'
        for part in PREIN:pre POSTIN:post PREUN:preun POSTUN:postun; do
            printf '%%%s\n' "${part#*:}"
            rpm -qp --qf "%{${part%:*}}\n" "$rpm" | sed 's/%/%%/g'
        done
        printf '%%install\ncp -a %s/files/. %%{buildroot}/\n%%files\n' "$tree"
        rpm -qp --qf '[%{FILEFLAGS:fflags}\t%{FILEMODES:octal}\t%{FILEUSERNAME}\t%{FILEGROUPNAME}\t%{FILENAMES}\n]' "$rpm" |
            awk -F '\t' '{ print ($1 ~ /c/ ? "%config(noreplace) " : "") ($2 ~ /^4/ ? "%dir " : "") \
                "%attr(" substr($2, length($2) - 3) ", " $3 ", " $4 ") " $5 }'
    } >"$tree/spec"
    rpmbuild -bb --quiet --target "$(rpm -qp --qf '%{ARCH}' "$rpm")" --buildroot "$tree/buildroot" --define "_topdir $tree" \
        --define "_rpmdir $tree" --define '_rpmfilename earlier.rpm' "$tree/spec"
    mv "$tree/earlier.rpm" "$root/opt/test/earlier.rpm"
    rm -r "$tree"
}

# scene_rpm TAR
scene_rpm() {
    unpack rpm "$1"
    furnish
    check 'another container boots' boot
    check 'the rpm installs, presets enable both services; without an endpoint nothing starts' install_rpm
    check 'erased unused it leaves nothing' remove_unused_rpm
    check 'where presets disable everything it installs, and says how to enable it' install_rpm_without_presets
    check 'folders and config have the promised owners and modes' folders
    check 'the rpm has every page of the manual' manual_is_there inside rpm -ql privatelinkd
    network up
    zones start
    check 'the steps that the package printed start both, the names resolve' takes_first_config \
        'systemctl enable --now privatelinkd-hosts privatelinkd privatelinkd-route'
    check 'a config is taken, getent finds the names' takes_config
    check 'status is healthy' within 15 well
    check 'the rpm is installed over itself: the block is ours all the while' upgrade_rpm
    check 'an upgrade with a broken config: what runs goes on, a warning says so' upgrade_rpm_with_broken_config
    kind=rpm
    check 'an rpm of an earlier version can be made of it' make_earlier_rpm
    change_versions
    check 'no lookup was lost, of at least 5000' enough_lookups 5000
    check 'the stub is switched off again' without_stub
    check 'the rpm is removed: services are gone, the edited config is kept, the block serves on and says so' remove_rpm
    check 'the line that it printed deletes the block and nothing else' printed_line_works
}
