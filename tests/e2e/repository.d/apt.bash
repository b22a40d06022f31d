# shellcheck shell=bash
# shellcheck disable=SC2154
# What apt makes of the repository. Sourced.

# apt_here ARGUMENT…: apt with folders of its own under $work/apt, and as source what is in its sources.list.
apt_here() {
    apt-get -q -o Dir="$work/apt" -o Dir::Etc=etc -o Dir::State=state -o Dir::State::status="$work/apt/status" \
        -o Dir::Cache=cache -o Dir::Log=log -o Dir::Bin::methods=/usr/lib/apt/methods -o Dir::Bin::dpkg=/usr/bin/dpkg \
        -o APT::Architecture="$(dpkg-deb --field "$deb" Architecture)" -o APT::Architectures= -o APT::Sandbox::User= \
        -o Acquire::Languages=none -o Acquire::Retries=0 -o Acquire::AllowInsecureRepositories=false "$@"
}

# from URL [KEYRING]: apt knows nothing yet but this source.
from() {
    rm -rf "$work/apt"
    mkdir -p "$work/apt"/{etc/apt.conf.d,etc/preferences.d,etc/sources.list.d,etc/trusted.gpg.d,state/lists/partial} \
        "$work/apt"/{cache/archives/partial,log}
    : >"$work/apt/status"
    echo "deb [signed-by=${2:-$repository/privatelinkd.asc}] $1 stable main" >"$work/apt/etc/sources.list"
}

# serve: the repository over HTTP, on a port that is free.
serve() {
    python3 - "$repository" <<'END' >"$work/port" 2>"$work/requests" &
import functools, http.server, sys

handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=sys.argv[1])
with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
    print(server.server_address[1], flush=True)
    server.serve_forever()
END
    server=$!
    until [ -s "$work/port" ]; do
        kill -0 "$server" || return 1
        sleep 0.05
    done
}

apt_takes_it() {
    from "http://127.0.0.1:$(cat "$work/port")/apt"
    apt_here update
    grep -q 'GET /apt/dists/stable/main/binary-.*/by-hash/SHA256/' "$work/requests"
    (cd "$work" && apt_here download privatelinkd)
    cmp "$deb" "$work"/privatelinkd_*.deb
    rm "$work"/privatelinkd_*.deb
}

# changed NAME: a copy of the repository, to be spoilt.
changed() {
    rm -rf "$work/changed"
    cp -a "$repository" "$work/changed"
    from "file://$work/changed/apt"
}

# update_fails SAYS: and gives nothing to install.
update_fails() {
    ! apt_here update >"$work/refused" 2>&1 || { echo 'apt-get update took it'; return 1; }
    grep -q "$1" "$work/refused" || { cat "$work/refused"; return 1; }
    ! apt_here download --print-uris privatelinkd
}

refuses_changed_signed() {
    changed
    sed -i 's/^Suite: stable/Suite: stab1e/' "$work/changed/apt/dists/stable/InRelease"
    update_fails 'BADSIG\|signature'
}

refuses_changed_index() {
    changed
    find "$work/changed/apt/dists" -path '*/main/*' -type f -size +0 -print0 | while IFS= read -r -d '' file; do
        spoil "$file"
    done
    update_fails 'Hash Sum mismatch\|unexpected size'
}

refuses_stranger() {
    gpg --batch --armor --export "$theirs" >"$work/theirs.asc"
    from "file://$repository/apt" "$work/theirs.asc"
    update_fails NO_PUBKEY
}

refuses_unsigned() {
    changed
    rm "$work/changed/apt/dists/stable/InRelease" "$work/changed/apt/dists/stable/Release.gpg"
    update_fails 'not signed'
}

refuses_changed_deb() {
    changed
    spoil "$work/changed/apt/pool/main/p/privatelinkd/"*.deb
    apt_here update
    if (cd "$work" && apt_here download privatelinkd) >"$work/refused" 2>&1; then
        echo 'apt-get download took it'
        return 1
    fi
    grep -q 'Hash Sum mismatch' "$work/refused"
}

# Into a Debian of its own, without a network.
installs() {
    local root=$work/root
    mkdir "$root"
    tar --extract --file "$1" --directory "$root" --exclude=./dev
    mkdir -p "$root/dev" "$root/opt" "$root/etc/apt/keyrings"
    cp -r "$repository" "$root/opt/repository"
    cp "$repository/privatelinkd.asc" "$root/etc/apt/keyrings/"
    rm -f "$root/etc/apt/sources.list"
    cat >"$root/etc/apt/sources.list.d/privatelinkd.sources" <<'END'
Types: deb
URIs: file:/opt/repository/apt
Suites: stable
Components: main
Signed-By: /etc/apt/keyrings/privatelinkd.asc
END
    # What is mounted goes with the namespace.
    # shellcheck disable=SC2016  # For the shell in there.
    unshare --mount --net --pid --fork --kill-child sh -euc '
        mount --make-rprivate /
        mount -t tmpfs none "$1/dev"
        for device in null urandom; do : >"$1/dev/$device"; mount --bind "/dev/$device" "$1/dev/$device"; done
        mount -t proc none "$1/proc"
        export PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive
        chroot "$1" apt-get -q update
        chroot "$1" apt-get -q install -y privatelinkd
        chroot "$1" privatelinkd --version >"$1/opt/version"
    ' sh "$root"
    cmp "$work/wanted" "$root/opt/version"
    rm -rf --one-file-system "$root"
}

check_apt() {
    local rootfs
    serve
    check 'apt takes index and package over HTTP, by hash' apt_takes_it
    kill "$server"
    server=''
    check 'apt refuses a signed file that was changed' refuses_changed_signed
    check 'apt refuses an index that was changed' refuses_changed_index
    check 'apt refuses a package that was changed' refuses_changed_deb
    check 'apt refuses a repository without a signature' refuses_unsigned
    check 'apt refuses the signature of a stranger' refuses_stranger
    if [ "$EUID" -ne 0 ]; then
        echo 'skipped: apt installs it in a Debian of its own: only root can'
    elif ! rootfs=$(tests/e2e/rootfs 2>"$work/rootfs.log"); then
        echo "skipped: apt installs it in a Debian of its own: there is none: $(tail -n 1 "$work/rootfs.log")"
    else
        dpkg-deb --fsys-tarfile "$deb" | tar --extract --directory "$work" ./usr/bin/privatelinkd
        "$work/usr/bin/privatelinkd" --version >"$work/wanted"
        check 'apt installs it in a Debian of its own, and it runs' installs "$rootfs"
    fi
}
