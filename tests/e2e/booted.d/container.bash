#!/usr/bin/env bash
# A Debian system with its own systemd, booted by systemd-nspawn on a host whose own PID 1 may be anything. For the
# booted test, which sources this. One container at a time; $root is its tree.
#
# Sourced after: work (a folder), prefix (what the names of all machines and cgroups begin with).
# shellcheck disable=SC2154  # They come from the test.

container='' root=''

# cgroups: a folder for the container in each hierarchy, so that it doesn't meet others.
cgroups() {
    local top
    for top in /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
        if [ -d "$top" ]; then echo "$top/$container"; fi
    done
    if [ -f /sys/fs/cgroup/cgroup.controllers ]; then echo "/sys/fs/cgroup/$container"; fi
}

# unpack NAME TAR: makes the tree of a new container and makes it the present one.
unpack() {
    container=$prefix-$1 root=$work/$1
    mkdir "$root"
    tar -xf "$2" -C "$root" --xattrs --numeric-owner
    echo "$container" >"$root/etc/hostname"
    mkdir -p "$root/var/log/journal"
    # The minimal system has none.
    [ -e "$root/etc/hosts" ] || printf '127.0.0.1 localhost\n' >"$root/etc/hosts"
}

# boot: boots the present tree and waits until its systemd has done what it was asked at boot.
boot() {
    local groups group
    mapfile -t groups < <(cgroups)
    (
        for group in "${groups[@]}"; do mkdir -p "$group" && echo "$BASHPID" >"$group/cgroup.procs"; done
        # It must not inherit descriptors: a pipe of the caller would stay open as long as it runs.
        exec setsid env SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 systemd-nspawn --boot --directory="$root" \
            --machine="$container" --register=no --keep-unit --private-network --resolv-conf=off --timezone=off \
            --link-journal=no --console=pipe --capability=CAP_BPF,CAP_PERFMON --system-call-filter=bpf
    ) </dev/null >>"$work/console" 2>&1 &
    # In a file, because checks boot in subshells.
    echo $! >"$work/nspawn"
    disown
    local deadline=$((SECONDS + 90)) state
    while [ "$SECONDS" -lt "$deadline" ]; do
        # It exits with 1 for "degraded", which some unit of the distribution always is in a container.
        state=$(inside systemctl is-system-running 2>/dev/null || true)
        case $state in running | degraded) return 0 ;; esac
        runs || break
        sleep 0.1
    done
    echo "the container did not boot within 90 s; its console says:"
    tail -n 30 "$work/console"
    return 1
}

runs() {
    kill -0 "$(cat "$work/nspawn")" 2>/dev/null
}

# leader: the PID of the container's PID 1.
leader() {
    local pid='' nspawn
    nspawn=$(cat "$work/nspawn")
    # The file has no newline at its end.
    read -r pid _ 2>/dev/null <"/proc/$nspawn/task/$nspawn/children" || true
    echo "${pid:?the container does not run}"
}

# inside COMMAND…: runs it as root in the container.
inside() {
    local pid
    pid=$(leader 2>/dev/null) || return 125
    # A session of its own, so that no signal to a process group comes back to us.
    nsenter --target "$pid" --mount --uts --ipc --net --pid --cgroup --root --wd -- setsid --wait env -i \
        PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 HOME=/root SYSTEMD_PAGER='' SYSTEMD_COLORS=0 "$@" </dev/null
}

# power_off: an orderly end.
power_off() {
    inside systemctl poweroff >/dev/null 2>&1 || true
    local tries
    for ((tries = 0; tries < 300; tries++)); do
        if ! runs; then
            remove_cgroups
            return 0
        fi
        sleep 0.1
    done
    echo 'the container did not power off within 30 s'
    return 1
}

# Nothing of the container runs after this, however its nspawn ended.
remove_cgroups() {
    local groups group tries
    mapfile -t groups < <(cgroups)
    for ((tries = 0; tries < 50; tries++)); do
        for group in "${groups[@]}"; do
            [ -d "$group" ] || continue
            if [ -e "$group/cgroup.kill" ]; then echo 1 >"$group/cgroup.kill" 2>/dev/null || true; fi
            find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
        done
        ls -d "${groups[@]}" >/dev/null 2>&1 || return 0
        sleep 0.1
    done
}

# destroy: ends the present container at once and removes all of it.
destroy() {
    local pid tries
    [ -n "$container" ] || return 0
    if [ -s "$work/nspawn" ] && runs; then
        if pid=$(leader 2>/dev/null); then kill -9 "$pid" 2>/dev/null || true; fi
        for ((tries = 0; tries < 50; tries++)); do
            runs || break
            sleep 0.1
        done
        kill -9 "$(cat "$work/nspawn")" 2>/dev/null || true
    fi
    remove_cgroups
    # A tree with something still mounted in it is not ours to empty.
    rm -rf --one-file-system "$root"
    rm -f "$work/nspawn"
    container='' root=''
}
