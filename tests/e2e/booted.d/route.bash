#!/usr/bin/env bash
# Scene of the booted test: split DNS, on a system whose resolver is systemd-resolved. Sourced; see container.bash.
#
# The host asks an upstream server behind a link of its own for every name, but for those of the agent. A container is a
# network namespace on a bridge, with the stub's address on the bridge for its server.
# shellcheck disable=SC2154

readonly route=privatelinkd-route.service
readonly outside=outside.elsewhere.example outside_ip=10.97.9.9
readonly stub=127.0.0.153 bridge=10.96.0.1 upstream=10.97.0.2
readonly lab=gw-lab.booted.example lab_too=gw-lab-too.booted.example
readonly lab_in_h=gw-lab-h.booted.example lab_in_i=gw-lab-i.booted.example lab_h=10.99.3.1 lab_i=10.99.3.2

# What is needed besides in a system with systemd-resolved.
furnish_resolving() {
    # A lookup goes to the resolver, by nss-resolve or through its stub listener, and never to the hosts file.
    sed -i 's/^hosts:.*/hosts: resolve [!UNAVAIL=return] dns/' "$root/etc/nsswitch.conf"
    ln -sf ../run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"
    mkdir -p "$root/etc/netns/box"
    printf 'hosts: files dns\n' >"$root/etc/netns/box/nsswitch.conf"
    printf '127.0.0.1 localhost\n' >"$root/etc/netns/box/hosts"
    # Who is refused by the first asks the second.
    printf 'nameserver %s\nnameserver %s\n' "$bridge" "$upstream" >"$root/etc/netns/box/resolv.conf"
    cat >"$root/etc/systemd/system/upstream.service" <<UNIT
[Service]
NetworkNamespacePath=/run/netns/upstream
ExecStart=/usr/bin/python3 /opt/test/names.py /run/upstream.asked $upstream -- $outside=$outside_ip
UNIT
    # Looks the name outside up again and again, and notes each time that it fails.
    cat >"$root/etc/systemd/system/outside.service" <<UNIT
[Service]
RuntimeDirectory=watcher
RuntimeDirectoryPreserve=yes
ExecStart=/usr/bin/python3 /opt/test/watch.py $outside
KillSignal=SIGKILL
SuccessExitStatus=SIGKILL
UNIT
    # Hears what reaches the stub from this host, whoever answers there.
    cat >"$root/etc/systemd/system/overheard.service" <<UNIT
[Service]
ExecStart=/usr/bin/python3 /opt/test/overheard.py /run/overheard $stub
UNIT
}

boot_resolving() {
    boot
    inside sh -e -c "
        sysctl -qw net.ipv4.ip_forward=1 || true
        ip netns add upstream
        ip link add up0 type veth peer name up1 netns upstream
        ip address add 10.97.0.1/24 dev up0
        ip link set up0 up
        ip -n upstream address add $upstream/24 dev up1
        ip -n upstream link set up1 up
        ip -n upstream route add 10.96.0.0/24 via 10.97.0.1
        ip netns add box
        ip link add br-test type bridge
        ip address add $bridge/24 dev br-test
        ip link set br-test up
        ip link add box0 type veth peer name box1 netns box
        ip link set box0 master br-test up
        ip -n box address add 10.96.0.2/24 dev box1
        ip -n box link set box1 up
        ip -n box route add default via $bridge
        systemctl start upstream overheard systemd-resolved
        resolvectl dns up0 $upstream
        resolvectl default-route up0 yes"
}

# stub_is on|off: the hosts file stays out of it, so that what a lookup finds comes from the stub, or from nowhere.
stub_is() {
    settings_file 40-dns.toml <<CONFIG
[hosts]
publish = false

[dns]
publish = $([ "$1" = on ] && echo true || echo false)
listen = ["$stub", "$bridge"]
ttl = "0s"
CONFIG
}

# asked NAME ADDRESSES: what the host finds, on one line: by nss-resolve, by systemd-resolved itself, and at its stub
# listener.
asked() {
    local found
    found=$(inside getent ahostsv4 "$1" | awk '$2 == "STREAM" { print $1 }' | sort | paste -sd ' ') || true
    expect "getent $1" "$2" "$found"
    found=$(inside resolvectl query -4 --legend=no "$1" 2>/dev/null | grep -oE '([0-9]+\.){3}[0-9]+' | sort | paste -sd ' ') || true
    expect "resolvectl query $1" "$2" "$found"
    found=$(inside setpriv --reuid=65534 --regid=65534 --clear-groups getent -s dns ahostsv4 "$1" |
        awk '$2 == "STREAM" { print $1 }' | sort | paste -sd ' ') || true
    expect "getent -s dns $1" "$2" "$found"
}

# box NAME ADDRESSES: what the container finds.
boxed() {
    local found
    found=$(inside ip netns exec box getent ahostsv4 "$1" | awk '$2 == "STREAM" { print $1 }' | sort | paste -sd ' ') || true
    expect "getent $1 in the container" "$2" "$found"
}

# both_families NAME ADDRESSES [OPTION…]: what getent, with these options, finds for who asks for any family.
both_families() {
    local found
    found=$(inside getent "${@:3}" ahosts "$1" | awk '$2 == "STREAM" { print $1 }' | sort | paste -sd ' ') || true
    expect "getent ${*:3} $1, both families" "$2" "$found"
}

# The hosts file of the hosts writer as systemd-resolved reads it: the shape of the https example, with a second name
# of all zones. `-` sorts before `.`, so that the order of names would have the zones' own first.
zone_names_by_hosts() {
    local before
    before=$(cat "$root/etc/hosts")
    settings_file 50-lab.toml <<CONFIG
[hosts]
publish = true

[[endpoint]]
name = "lab"
addresses = { "cn-hangzhou-h" = "$lab_h", "cn-hangzhou-i" = "$lab_i" }
private_dns = ["$lab", "$lab_too"]

[[endpoint.zone]]
id = "cn-hangzhou-h"
private_dns = ["$lab_in_h"]

[[endpoint.zone]]
id = "cn-hangzhou-i"
private_dns = ["$lab_in_i"]
CONFIG
    inside systemctl reload "$agent"
    within 30 names_of_lab
    rm "$root$settings/50-lab.toml"
    inside systemctl reload "$agent"
    within 20 hosts_are "$before"
    # It looks at the hosts file again every two seconds at most.
    within 10 asked "$lab" ''
}

# hosts_are TEXT: puts them back. The writer leaves them alone once it knows that it is to publish nothing.
hosts_are() {
    printf '%s\n' "$1" >"$root/etc/hosts"
    sleep 1
    expect 'the hosts file' "$1" "$(cat "$root/etc/hosts")"
}

names_of_lab() {
    asked "$lab" "$lab_h $lab_i"
    asked "$lab_too" "$lab_h $lab_i"
    asked "$lab_in_h" "$lab_h"
    asked "$lab_in_i" "$lab_i"
    both_families "$lab" "$lab_h $lab_i"
    both_families "$lab" "$lab_h $lab_i" -s dns
    both_families "$lab_in_h" "$lab_h" -s dns
    both_families "$lab_in_i" "$lab_i" -s dns
    # As privatelinkd-guides(7) says: nss-resolve then follows the alias that it makes of a zone's own name.
    if [ "$version" -ge 254 ]; then
        both_families "$lab_in_h" "$lab_h $lab_i"
        both_families "$lab_in_i" "$lab_h $lab_i"
    else
        both_families "$lab_in_h" "$lab_h"
        both_families "$lab_in_i" "$lab_i"
    fi
}

names_by_dns() {
    asked "$orders" "$orders_h $orders_i"
    asked "$ledger" "$ledger_h"
    asked "$outside" "$outside_ip"
}

names_in_container() {
    boxed "$orders" "$orders_h $orders_i"
    boxed "$ledger" "$ledger_h"
    boxed "$outside" "$outside_ip"
}

# registered WAY|nothing NAME…: `route show` says just this.
registered() {
    local said
    # It exits with 1 if that is not what the config wants.
    said=$(inside privatelinkd route show --json) || true
    python3 -c '
import json, sys
r = json.load(sys.stdin)
found = [r["registered"], sorted(n["name"] for n in r["names"] if n["registered"])]
expected = [None if sys.argv[1] == "nothing" else sys.argv[1], sorted(sys.argv[2:])]
if found != expected:
    sys.exit(f"route show: expected {expected}, found {found}: {json.dumps(r)[:2000]}")
' "$@" <<<"$said"
}

# untouched: what belongs to the admin is as it was.
untouched() {
    expect resolv.conf ../run/systemd/resolve/stub-resolv.conf "$(readlink "$root/etc/resolv.conf")"
    expect 'global domains' 'Global:' "$(inside resolvectl domain | grep ^Global | sed 's/ *$//')"
    expect 'files of its own in /etc/systemd' '' "$(inside find /etc/systemd -name '*privatelinkd*' -not -path '/etc/systemd/system/*')"
}

# unregistered: not a trace.
unregistered() {
    registered nothing
    inside sh -c 'test ! -e /sys/class/net/privatelinkd && test ! -e /run/systemd/dns-delegate.d/privatelinkd.dns-delegate'
}

watch_outside() {
    inside sh -c 'systemctl stop outside; rm -f /run/watcher/*; systemctl start outside'
    within 10 has_looked
}

off_is_off() {
    within 10 is_active "$route"
    unregistered
    expect 'what runs' 0 "$(property "$route" MainPID)"
    inside test ! -e /run/privatelinkd-route/wanted
    asked "$outside" "$outside_ip"
    asked "$orders" ''
}

# A reload with the stub switched on.
way_in() {
    stub_is on
    inside systemctl reload "$agent"
    within 30 registered resolved "$ledger" "$orders"
    names_by_dns
    within 10 names_in_container
    inside privatelinkd route show
    untouched
}

# The proof: a hundred names outside, and not one query for any of them at the stub.
nothing_else_reaches_it() {
    local n
    inside sh -c ': >/run/overheard'
    for ((n = 0; n < 50; n++)); do
        inside sh -c "getent ahostsv4 n$n.elsewhere.example; getent ahostsv6 booted.example; resolvectl query n$n.example;
            resolvectl query x-$orders" >/dev/null 2>&1 || true
    done
    names_by_dns
    expect 'what the stub was asked for' "$(printf '%s\n' "$ledger" "$orders")" "$(inside sort -u /run/overheard)"
    # So it does hear.
    inside grep -q "n49.elsewhere.example" /run/upstream.asked
}

agent_stopped() {
    watch_outside
    # Without the socket: a query to it would start the agent again.
    inside systemctl stop privatelinkd.socket "$agent"
    unregistered
    asked "$outside" "$outside_ip"
    asked "$orders" ''
    boxed "$outside" "$outside_ip"
    inside systemctl start privatelinkd.socket "$agent"
    within 30 registered resolved "$ledger" "$orders"
    within 10 names_by_dns
    no_misses
}

# It stays away for a while, and comes back by itself.
agent_killed() {
    watch_outside
    inside sh -c "mkdir -p /run/systemd/system/$agent.d; printf '[Service]\nRestartSec=8s\n' >/run/systemd/system/$agent.d/later.conf
        systemctl daemon-reload"
    inside systemctl kill -s KILL --kill-who=main "$agent"
    within 5 unregistered
    expect "$agent" activating "$(property "$agent" ActiveState)"
    asked "$outside" "$outside_ip"
    within 60 registered resolved "$ledger" "$orders"
    within 10 names_by_dns
    inside sh -c "rm -r /run/systemd/system/$agent.d; systemctl daemon-reload"
    # As shipped, after a second.
    inside systemctl kill -s KILL --kill-who=main "$agent"
    within 30 came_back resolved
    within 10 names_by_dns
    no_misses
}

came_back() {
    is_active "$agent"
    within 10 is_active "$route"
    registered "$1" "$ledger" "$orders"
}

all_restarted() {
    watch_outside
    inside systemctl restart "$agent"
    within 30 came_back resolved
    names_by_dns
    no_misses
    inside systemctl restart systemd-resolved
    within 10 names_by_dns
    inside systemctl restart "$route"
    came_back resolved
    within 10 names_by_dns
    untouched
}

# Stopped while it waits for a stub that serves nothing, it has not failed.
stopped_while_it_waits() {
    local result
    inside systemctl stop "$route"
    inside systemctl kill -s STOP --kill-who=main "$agent"
    inside systemctl start --no-block "$route"
    within 3 waits
    inside systemctl stop "$route"
    result="$(property "$route" Result) $(property "$route" ActiveState)"
    inside systemctl kill -s CONT --kill-who=main "$agent"
    expect 'its end' 'success inactive' "$result"
    inside systemctl start "$route"
    within 30 registered resolved "$ledger" "$orders"
    within 10 names_by_dns
}

waits() {
    expect "$route" start "$(property "$route" SubState)"
}

names_follow() {
    settings_file 50-ledger.toml <<CONFIG
[[endpoint]]
name = "ledger"
enabled = false
CONFIG
    inside systemctl reload "$agent"
    within 10 registered resolved "$orders"
    asked "$ledger" ''
    rm "$root$settings/50-ledger.toml"
    # The agent's plan has it a moment later than the config.
    inside systemctl reload "$agent"
    within 30 registered resolved "$ledger" "$orders"
    within 10 names_by_dns
}

# Nobody reloads anything: the plan itself has it followed.
plan_followed() {
    inside privatelinkd route remove
    unregistered
    # The agent puts it back within some seconds.
    inside rm /run/privatelinkd/plan.json
    within 40 registered resolved "$ledger" "$orders"
    within 10 names_by_dns
}

# What strace sees of the registration itself, and not of the programs that it runs: as the service does it at a stop, a
# start and a reload.
calls_are_listed() {
    local traces=/var/tmp/traces step
    mkdir -p "$root$traces"
    for step in remove install install; do
        inside strace -f -b execve -qq -o "$traces/route-$step-$(date +%N).trace" privatelinkd route "$step"
    done
    registered resolved "$ledger" "$orders"
    python3 -B tests/e2e/portable.d/listed.py "$root$traces" >"$work/listed"
}

switched_off() {
    stub_is off
    inside systemctl reload "$agent"
    within 10 unregistered
    within 10 is_active "$route"
    stub_is on
    inside systemctl reload "$agent"
    within 30 registered resolved "$ledger" "$orders"
}

package_removed() {
    inside dpkg -r privatelinkd
    inside sh -c 'test ! -e /sys/class/net/privatelinkd && test ! -e /run/systemd/dns-delegate.d/privatelinkd.dns-delegate'
    asked "$outside" "$outside_ip"
}

no_word_of_systemd() {
    local said
    said=$(inside systemd-analyze verify --man=no "$route" privatelinkd-route.path privatelinkd-route-refresh.service 2>&1 |
        grep -i privatelinkd || true)
    expect 'systemd-analyze verify' '' "$said"
    no_cycle
    # What the container's cgroups lack is not ours.
    said=$(inside journalctl -b -o cat _PID=1 | grep -iE 'privatelinkd-route.*(unknown|ignoring|failed)' |
        grep -v 'pids.max' || true)
    expect journal '' "$said"
}

# Asked for by name, a delegate does the same; lookups that are under way at a change are another matter.
by_delegate() {
    settings_file 60-delegate.toml <<<$'[dns]\nroute = "dns_delegate"'
    inside systemctl reload "$agent"
    within 30 registered dns_delegate "$ledger" "$orders"
    inside test ! -e /sys/class/net/privatelinkd
    nothing_else_reaches_it
    names_in_container
    untouched
    inside systemctl kill -s KILL --kill-who=main "$agent"
    within 30 came_back dns_delegate
    inside systemctl stop privatelinkd.socket "$agent"
    unregistered
    names_outside
    inside systemctl start privatelinkd.socket "$agent"
    within 30 registered dns_delegate "$ledger" "$orders"
    within 10 names_by_dns
    rm "$root$settings/60-delegate.toml"
    inside systemctl reload "$agent"
    within 30 registered resolved "$ledger" "$orders"
    within 10 names_by_dns
}

names_outside() {
    asked "$outside" "$outside_ip"
    asked "$orders" ''
}

# scene_route SUITE
scene_route() {
    local tar version
    if ! tar=$(tests/e2e/rootfs "$1" systemd-resolved libnss-resolve strace 2>"$work/said"); then
        figure "skipped: no Debian $1 from where this machine gets Debian"
        return
    fi
    unpack "$1" "$tar"
    furnish
    furnish_resolving
    check "split DNS: a Debian $1 with systemd-resolved boots" boot_resolving
    version=$(inside systemctl --version | sed -n '1s/systemd \([0-9]*\).*/\1/p')
    check "$1 (systemd $version): the deb installs, and nothing is registered" install_routed
    check "$1: names of all zones and of one, by the hosts file" zone_names_by_hosts
    check "$1: with the stub on, names resolve on the host and in a container, by a link" way_in
    check "$1: no name outside reaches the stub" nothing_else_reaches_it
    check "$1: the agent stops and starts: the names go and come, others never fail" agent_stopped
    check "$1: the agent is killed: the names go and come, others never fail" agent_killed
    check "$1: agent, resolver and registration restart" all_restarted
    check "$1: stopped while it waits, the registration has not failed" stopped_while_it_waits
    check "$1: names that leave or enter the config leave or enter the resolver" names_follow
    check "$1: a new plan is followed without a reload" plan_followed
    check "$1: every system call of the registration is on the list" calls_are_listed
    figure "system calls: $(cat "$work/listed")"
    check "$1: switched off and on by a reload" switched_off
    if [ "$version" -ge 258 ]; then check "$1: the same by a delegate, where that is asked for" by_delegate; fi
    check "$1: systemd finds nothing to say about the units" no_word_of_systemd
    check "$1: the registration scores at most 2.3" score "$route" 2.3
    figure "exposure of the registration: $(cat "$work/score")"
    check "$1: the package goes, and nothing stays registered" package_removed
}

# As privatelinkd-guides(7) says, with the address of a bridge besides.
sockets_on() {
    mkdir -p "$root/etc/systemd/system/privatelinkd.socket.d"
    printf '[Socket]\nListenDatagram=%s:53\nListenStream=%s:53\n' "$bridge" "$bridge" \
        >"$root/etc/systemd/system/privatelinkd.socket.d/bridge.conf"
    inside systemctl daemon-reload
    inside systemctl enable privatelinkd.socket
    # A socket can't be started under a service that runs.
    inside systemctl stop "$agent"
    inside systemctl start privatelinkd.socket "$agent"
}

install_routed() {
    install_deb
    network up
    zones start
    stub_is off
    write_config
    inside privatelinkd check
    sockets_on
    off_is_off
}
