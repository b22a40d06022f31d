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

old_config_serves() {
    leads_to more.booted.example "$orders_h" "$orders_i"
    all_resolve
    status 1 "$(problem 'config was refused')"
    status 1 'not r["config"]["last_reload_ok"] and r["config"]["complaints"]'
    told "$agent" '^degraded: .*config'
}

# The broken one would take a name away and point another elsewhere, if anything of it were used.
break_config() {
    settings_file more.toml <<<"[[endpoint]]
name = \"orders\"
private_dns = [\"other.booted.example\"]
colour = \"blue\""
}

bad_reload() {
    local pid
    pid=$(property "$agent" MainPID)
    break_config
    refused inside systemctl reload "$agent"
    # Which complaint it was is in the journal.
    inside journalctl --sync
    inside journalctl -b -u "$agent" -o cat | grep colour
    within 10 old_config_serves
    expect 'PID of the agent' "$pid" "$(property "$agent" MainPID)"
    is_active "$agent"
    is_active "$writer"
    no_misses
}

bad_restart() {
    inside systemctl restart "$agent" "$writer"
    within 15 old_config_serves
    is_active "$writer"
    # The writer, too, goes on with what it had: the block comes back after somebody empties the file.
    inside cp /dev/null /etc/hosts
    within 7 old_config_serves
}

# A second start with the same broken config finds what the first one left.
bad_restart_twice() {
    inside systemctl kill -s KILL --kill-who=main "$agent"
    inside systemctl kill -s KILL --kill-who=main "$writer"
    within 15 is_active "$agent"
    within 15 is_active "$writer"
    within 15 old_config_serves
}

mended() {
    rm "$root$settings/more.toml"
    inside systemctl reload "$agent"
    within 10 status 0
    all_resolve
}

scene_config() {
    check 'reload with a good config: the new name resolves' good_reload
    check 'reload with a broken config: it fails, the old names stay, status says why' bad_reload
    check 'restart with a broken config: the last accepted one is in force' bad_restart
    check 'both are killed with a broken config: the last accepted one is in force again' bad_restart_twice
    check 'the config is mended: reload works and all is well' mended
    settle
}
