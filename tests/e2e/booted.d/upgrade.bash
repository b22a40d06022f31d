#!/usr/bin/env bash
# Scenes of the booted test: upgrades, downgrades and restarts under a stream of lookups, none of which may fail.
# Sourced; see container.bash.
# shellcheck disable=SC2154

readonly stub_address=127.0.0.153
# A key that an earlier version would not know. What it is there has as many letters.
readonly later_key=flap_half_life earlier_key=flap_half_xxxx

# Which of the packages is installed.
kind=deb

# make_earlier: a deb of an earlier version: the same program, but for a key that it does not know.
make_earlier() {
    local tree=$work/earlier
    dpkg-deb -R "$deb" "$tree"
    forget_later_key "$tree"
    sed -i 's/^Version: .*/&~earlier/' "$tree/DEBIAN/control"
    dpkg-deb --root-owner-group -Zxz -z1 --build "$tree" "$root/opt/test/earlier.deb" >/dev/null
    rm -r "$tree"
}

# forget_later_key TREE
forget_later_key() {
    local program=$1/usr/bin/privatelinkd
    LC_ALL=C sed -i "s/$later_key/$earlier_key/g" "$program"
    grep -q "$earlier_key" "$program"
}

# The stub answers beside the hosts file, on sockets that systemd holds.
with_stub() {
    settings_file 40-dns.toml <<CONFIG
[dns]
publish = true
listen = ["$stub_address:53"]
route = "none"
CONFIG
    inside systemctl stop "$agent"
    inside systemctl start privatelinkd.socket
    inside systemctl start "$agent"
    within 15 well
    local kind
    for kind in hosts stub; do
        cat >"$root/etc/systemd/system/lookups-$kind.service" <<UNIT
[Service]
RuntimeDirectory=lookups
RuntimeDirectoryPreserve=yes
Nice=5
ExecStart=/usr/bin/python3 /opt/test/lookups.py /run/lookups $kind $([ "$kind" = hosts ] || echo "$stub_address") $orders=$orders_h,$orders_i $ledger=$ledger_h,$ledger_i
KillSignal=SIGKILL
SuccessExitStatus=SIGKILL
UNIT
    done
    inside sh -c 'rm -rf /run/lookups; systemctl daemon-reload; systemctl start lookups-hosts lookups-stub'
    within 10 both_count 100
    none_lost
}

# lookups KIND: how many there were.
lookups() {
    inside sh -c "cat /run/lookups/$1.count 2>/dev/null || echo 0"
}

# both_count NUMBER: each way has looked so many times.
both_count() {
    local kind
    for kind in hosts stub; do
        [ "$(lookups "$kind")" -ge "$1" ] || { echo "$kind: $(lookups "$kind") lookups, expected $1"; return 1; }
    done
}

# more_lookups: each way has looked again since now, which takes the time that an application's retry takes.
more_lookups() {
    local by_hosts by_stub
    by_hosts=$(lookups hosts) by_stub=$(lookups stub)
    within 15 more_than "$by_hosts" "$by_stub"
}

more_than() {
    [ "$(lookups hosts)" -gt "$1" ] && [ "$(lookups stub)" -gt "$2" ]
}

none_lost() {
    local misses
    # shellcheck disable=SC2016  # For the shell inside to expand.
    misses=$(inside sh -c 'for f in /run/lookups/*.misses; do [ ! -e "$f" ] || { echo "$f"; head -n 20 "$f"; }; done')
    [ -z "$misses" ] || { printf 'lookups failed:\n%s\n' "$misses"; return 1; }
}

# runs_installed YES_OR_NO: whether both processes run the program that is installed.
runs_installed() {
    local unit found
    for unit in "$agent" "$writer"; do
        found=$(inside readlink "/proc/$(property "$unit" MainPID)/exe")
        case $1:$found in
            yes:/usr/bin/privatelinkd | no:*deleted*) ;;
            *) echo "$unit runs $found, expected the installed one: $1"; return 1 ;;
        esac
    done
}

# knows_key YES_OR_NO: whether the program that is installed takes a config with the later key.
knows_key() {
    local code=0
    printf '[steering]\n%s = "3m"\n' "$later_key" >"$root/opt/test/later.toml"
    inside privatelinkd check /opt/test/later.toml >"$work/checked" 2>&1 || code=$?
    case $1:$code in yes:0 | no:78) ;; *) cat "$work/checked"; echo "exit $code, expected to take it: $1"; return 1 ;; esac
}

# installs WHICH: the package manager upgrades or downgrades to it.
installs() {
    local -a manager=(dpkg -i --force-downgrade)
    [ "$kind" = deb ] || manager=(rpm -U --nodeps --oldpackage)
    inside "${manager[@]}" "/opt/test/$1.$kind" >"$work/printed" 2>&1 || { cat "$work/printed"; return 1; }
}

# starts_of UNIT: how often it was started in this boot.
starts_of() {
    inside journalctl --sync
    inside journalctl -b -o cat _PID=1 "UNIT=$1" MESSAGE_ID=39f53479d3a045ac8e11786248231fbf | wc -l
}

# restarts_once WHICH: the same, and it restarts both services just once.
restarts_once() {
    local of_agent of_writer
    of_agent=$(starts_of "$agent") of_writer=$(starts_of "$writer")
    installs "$1"
    within 15 well
    expect 'starts of the agent meanwhile' 1 $(($(starts_of "$agent") - of_agent))
    expect 'starts of the writer meanwhile' 1 $(($(starts_of "$writer") - of_writer))
    refused grep -q WARNING "$work/printed"
    runs_installed yes
}

to_earlier() {
    knows_key yes
    restarts_once earlier
    knows_key no
    more_lookups
    none_lost
}

to_later() {
    restarts_once package
    settings_file 50-later.toml <<<"[steering]
$later_key = \"3m\""
    inside systemctl reload "$agent"
    within 10 well
    none_lost
}

# The older program refuses the config that the newer one was given: what runs is left alone, and a person is told.
back_with_later_config() {
    local pids
    pids="$(property "$agent" MainPID) $(property "$writer" MainPID)"
    installs earlier
    grep -q "50-later.toml" "$work/printed"
    grep -q 'WARNING: this version refuses the configuration, so its services were not restarted' "$work/printed"
    expect 'PIDs' "$pids" "$(property "$agent" MainPID) $(property "$writer" MainPID)"
    runs_installed no
    well
    more_lookups
    none_lost
}

# The newer one is gone when it dies: the older one goes on with what was accepted last, but for what it does not know.
older_takes_over() {
    inside systemctl kill -s KILL --kill-who=main "$agent"
    inside systemctl kill -s KILL --kill-who=main "$writer"
    within 20 runs_installed yes
    within 20 status 1 "$(problem 'config was refused, an older one is in force')"
    status 1 "$(problem "$later_key is not in force: this version does not know it")"
    all_resolve
    more_lookups
    none_lost
}

forward_again() {
    restarts_once package
    more_lookups
    none_lost
}

# The same version with a config that it never took.
upgrade_with_broken_config() {
    local pids
    pids="$(property "$agent" MainPID) $(property "$writer" MainPID)"
    break_config
    installs package
    grep -q 'more.toml:[0-9]*:[0-9]*' "$work/printed"
    grep -q 'WARNING: this version refuses the configuration' "$work/printed"
    expect 'PIDs' "$pids" "$(property "$agent" MainPID) $(property "$writer" MainPID)"
    status 0
    rm "$root$settings/more.toml"
    more_lookups
    none_lost
}

# restarts NUMBER: of the agent, of the writer and of both, in turns.
restarts() {
    local i
    for ((i = 0; i < $1; i++)); do
        case $((i % 3)) in
            0) inside systemctl restart "$agent" ;;
            1) inside systemctl restart "$writer" ;;
            2) inside systemctl restart "$writer" "$agent" ;;
        esac
    done
    within 15 well
    more_lookups
    none_lost
}

# enough_lookups NUMBER: all in all, while nothing more happens.
enough_lookups() {
    local seconds=60
    [ -z "$full" ] || seconds=900
    within "$seconds" all_in_all "$1"
    none_lost
}

all_in_all() {
    local sum=$(($(lookups hosts) + $(lookups stub)))
    [ "$sum" -ge "$1" ] || { echo "$sum lookups, expected $1"; return 1; }
}

without_stub() {
    inside systemctl stop lookups-hosts lookups-stub
    rm "$root"/etc/systemd/system/lookups-{hosts,stub}.service
    rm "$root$settings/40-dns.toml" "$root$settings/50-later.toml"
    inside systemctl stop "$agent" privatelinkd.socket
    inside systemctl start "$agent"
    within 15 well
}

# From the version that is installed to an earlier one and back, and once more with a config that only the newer takes.
change_versions() {
    check 'the stub answers beside the hosts file, lookups by both run all the time from here' with_stub
    check 'an earlier version is installed: it runs after one restart, no lookup is lost' to_earlier
    check 'upgrade: the newer version runs after one restart, and takes a config with a key of its own' to_later
    check 'downgrade with that config: the older one refuses it, what runs goes on, a warning says so' back_with_later_config
    check 'both are killed: the older one goes on with what it knows of that config, status says what not' older_takes_over
    check 'upgrade again: all is well after one restart' forward_again
}

scene_upgrade() {
    local many=12 lookups=20000
    if [ -n "$full" ]; then many=1000 lookups=1000000; fi
    kind=deb
    make_earlier
    change_versions
    check 'upgrade with a broken config: what runs goes on, a warning says so' upgrade_with_broken_config
    check "$many restarts of agent, writer and both" restarts "$many"
    check "no lookup was lost, of at least $lookups" enough_lookups "$lookups"
    figure "lookups: $(lookups hosts) by the hosts file, $(lookups stub) by the stub"
    check 'the stub is switched off again' without_stub
    settle
}
