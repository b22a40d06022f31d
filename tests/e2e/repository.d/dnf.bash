# shellcheck shell=bash
# shellcheck disable=SC2154
# What dnf makes of the repository. Sourced.

# system: the folder of a system that dnf installs into, and a repository with what our package asks of a system of
# that kind: none is to be had, so one empty package says that it has all of it.
system() {
    local needed
    needed=$(rpm --query --nosignature --package --requires "$rpm" | grep -v '^rpmlib(' | sort -u)
    {
        printf '%s\n' 'Name: stand-in' 'Version: 1' 'Release: 1' 'Summary: A system' 'License: none' 'BuildArch: noarch'
        sed 's/ >= \(.*\)/ = \1/; s/^/Provides: /' <<<"$needed"
        printf '%s\n' '%description' 'What a system has.' '%files'
    } >"$work/stand-in.spec"
    rpmbuild -bb --quiet --define "_topdir $work/rpmbuild" --define "_rpmdir $work/system" "$work/stand-in.spec"
    createrepo_c --quiet "$work/system"
}

# dnf_on REPOSITORY ARGUMENT…: dnf for a new system that knows nothing but this repository and its public key.
dnf_on() {
    rm -rf "$work/dnf"
    mkdir -p "$work/dnf"/{repos,root,cache,log}
    cat >"$work/dnf/dnf.conf" <<END
[main]
gpgcheck=1
plugins=0
reposdir=$work/dnf/repos
cachedir=$work/dnf/cache
logdir=$work/dnf/log
persistdir=$work/dnf/persist
[stand-in]
name=What a system has
baseurl=file://$work/system
gpgcheck=0
[privatelinkd]
name=privatelinkd
baseurl=file://$1/dnf
gpgkey=file://$repository/privatelinkd.asc
gpgcheck=1
repo_gpgcheck=1
END
    # Its scriptlets have no shell in there; the booted test runs them.
    dnf --config "$work/dnf/dnf.conf" --installroot "$work/dnf/root" --releasever 8 --assumeyes \
        --forcearch "$(rpm --query --nosignature --package --queryformat '%{ARCH}' "$rpm")" \
        --setopt=tsflags=noscripts "${@:2}"
}

dnf_takes_it() {
    system
    dnf_on "$repository" install privatelinkd
    "$work/dnf/root/usr/bin/privatelinkd" --version
    cmp "$work/dnf/root/usr/share/licenses/privatelinkd/LICENSE" LICENSE
}

# dnf_refuses SAYS: what is in $work/changed, and nothing of it is installed.
dnf_refuses() {
    ! dnf_on "$work/changed" install privatelinkd >"$work/refused" 2>&1 || { echo 'dnf took it'; return 1; }
    grep -q "$1" "$work/refused" || { cat "$work/refused"; return 1; }
    [ ! -e "$work/dnf/root/usr/bin/privatelinkd" ]
}

dnf_refuses_changed_signed() {
    changed
    sed -i 's,<revision>.*</revision>,<revision>1</revision>,' "$work/changed/dnf/repodata/repomd.xml"
    dnf_refuses 'Bad GPG signature'
}

dnf_refuses_changed_index() {
    changed
    spoil "$work/changed/dnf/repodata/"*-primary.xml.gz
    dnf_refuses 'Failed to download metadata'
}

dnf_refuses_changed_rpm() {
    changed
    spoil "$work/changed/dnf/"privatelinkd-*.rpm
    dnf_refuses 'GPG check FAILED\|checksum'
}

# With an index of ours that has it.
dnf_refuses_unsigned() {
    changed
    cp "$rpm" "$work/changed/dnf/"
    createrepo_c --quiet --general-compress-type gz "$work/changed/dnf"
    gpg --batch --yes --quiet --local-user "$ours" --armor --detach-sign "$work/changed/dnf/repodata/repomd.xml"
    dnf_refuses 'is not signed'
}

dnf_refuses_stranger() {
    rm -rf "$work/changed"
    packaging/repo --key "$theirs" "$work/changed" "$rpm"
    dnf_refuses 'GPG signature verification error'
}

rpm_signature_holds() {
    mkdir "$work/rpmdb"
    rpmkeys --dbpath "$work/rpmdb" --import "$repository/privatelinkd.asc"
    rpmkeys --dbpath "$work/rpmdb" --checksig "$repository/dnf/"privatelinkd-*.rpm | grep 'digests signatures OK$'
    if rpmkeys --dbpath "$work/rpmdb" --checksig "$rpm" | grep signatures; then
        echo 'what was given had a signature already'
        return 1
    fi
    gpg --batch --verify "$repository/dnf/repodata/repomd.xml.asc" "$repository/dnf/repodata/repomd.xml"
}

check_dnf() {
    check 'rpm and its index are signed by our key' rpm_signature_holds
    if [ "$EUID" -ne 0 ]; then
        echo 'skipped: dnf installs it, and refuses what was changed: only root can run dnf'
        return
    fi
    check 'dnf installs it' dnf_takes_it
    check 'dnf refuses a signed file that was changed' dnf_refuses_changed_signed
    check 'dnf refuses an index that was changed' dnf_refuses_changed_index
    check 'dnf refuses a package that was changed' dnf_refuses_changed_rpm
    check 'dnf refuses a package without a signature' dnf_refuses_unsigned
    check 'dnf refuses the signatures of a stranger' dnf_refuses_stranger
}
