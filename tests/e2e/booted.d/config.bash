#!/usr/bin/env bash
# Scenes of the booted test: good and broken configs. Sourced; see container.bash.
# shellcheck disable=SC2154

good_reload() {
    local pid
    pid=$(property "$agent" MainPID)
    settings_file more.toml <<<"[[endpoint]]
name = \"orders\"
private_dns = [\"$orders\", \"more.booted.example\"]"
    inside systemctl reload "$agent"
    within 10 leads_to more.booted.example "$orders_h" "$orders_i"
    within 10 well
    expect 'PID of the agent' "$pid" "$(property "$agent" MainPID)"
    no_misses
}

old_config_in_force() {
    leads_to more.booted.example "$orders_h" "$orders_i"
    all_resolve
    status 1 "$(problem 'config was refused, an older one is in force')"
    status 1 'not r["config"]["last_reload_ok"] and r["config"]["complaints"]'
}

old_config_serves() {
    old_config_in_force
    told "$agent" '^degraded: .*config'
}

# The broken one would take a name away and point another elsewhere, if anything of it were used.
break_config() {
    settings_file more.toml <<<"[[endpoint]]
name = \"orders\"
private_dns = [\"other.booted.example\"]
colour = \"blue\""
}

# Which complaint it was is in the journal, with its place and its priority, and not a line of it without them.
refusal_is_an_entry() {
    inside journalctl --sync
    inside journalctl -b -u "$agent" -p err -o cat | grep 'config refused.*more\.toml:[0-9]*:[0-9]*: error: .*colour'
    expect 'lines of other priorities' '' "$(inside journalctl -b -u "$agent" -p warning..debug -o cat | grep colour)"
}

bad_reload() {
    local pid
    pid=$(property "$agent" MainPID)
    break_config
    refused inside systemctl reload "$agent"
    within 10 refusal_is_an_entry
    expect 'entries that tell of it' 1 "$(inside journalctl -b -u "$agent" -p err -o cat | grep -c colour)"
    within 10 old_config_serves
    expect 'PID of the agent' "$pid" "$(property "$agent" MainPID)"
    is_active "$agent"
    is_active "$writer"
    no_misses
}

# However long it stays broken.
broken_for_long() {
    sleep 12
    old_config_serves
    no_misses
}

bad_restart() {
    inside systemctl restart "$agent" "$writer"
    within 15 old_config_serves
    refusal_is_an_entry
    is_active "$writer"
    # The writer, too, goes on with what it had: the block comes back after somebody empties the file.
    inside cp /dev/null /etc/hosts
    within 7 old_config_serves
    watch_names
}

# A second start with the same broken config finds what the first one left.
bad_restart_twice() {
    inside systemctl kill -s KILL --kill-who=main "$agent"
    inside systemctl kill -s KILL --kill-who=main "$writer"
    within 15 is_active "$agent"
    within 15 is_active "$writer"
    within 15 old_config_serves
    no_misses
}

# Nothing is left but what both keep on disk.
bad_reboot() {
    power_off
    take_block_out
    boot
    within 15 is_active "$agent"
    is_active "$writer"
    # What is down is told, too, and in one sentence only the first of it.
    within 15 old_config_in_force
    within 15 status 1 "$(problem 'is down')"
    within 10 told "$agent" '^degraded: '
}

bad_reboot_with_network() {
    network up
    zones start
    # One zone may answer a little before the other, which then has to earn its way back.
    within 20 no_problem_but_the_config
    watch_names
}

no_problem_but_the_config() {
    old_config_serves
    status 1 "len(r['problems']) == 1"
}

mended() {
    rm "$root$settings/more.toml"
    inside systemctl reload "$agent"
    within 10 status 0
    # Without the name that the good config had brought in; but that one isn't cut off at once.
    leads_to more.booted.example "$orders_h" "$orders_i"
    all_resolve
    no_misses
}

name_leaves() {
    within 20 leads_to more.booted.example
    # The writer's time begins with the change of the file, the agent's with the reload.
    within 15 well
    no_misses
}

scene_config() {
    check 'reload with a good config: the new name resolves' good_reload
    check 'reload with a broken config: it fails, the old names stay, status says why' bad_reload
    check 'the config stays broken for longer than removal_grace: the old names stay' broken_for_long
    check 'restart with a broken config: the last accepted one is in force' bad_restart
    check 'both are killed with a broken config: the last accepted one is in force again' bad_restart_twice
    check 'reboot with a broken config, an empty hosts file and no network: the last accepted one is in force' bad_reboot
    check 'the network comes: status has nothing to say but the config' bad_reboot_with_network
    check 'the config is mended: reload works and all is well' mended
    check 'a name that left the config stays for removal_grace, and then goes' name_leaves
    settle
}
