# shellcheck shell=sh
# What is started after an installation or an upgrade, and what is said. packaging/build puts this into the maintainer
# scripts of both packages.

# shellcheck disable=SC2034  # The scripts that this becomes a part of use it.
units='privatelinkd-hosts.service privatelinkd.service privatelinkd-route.service'

# as_agent ARGUMENT…: the program that was just installed, as the user that the agent runs as.
as_agent() {
    runuser -u privatelinkd -- env -i PATH="$PATH" LC_ALL=C.UTF-8 privatelinkd "$@"
}

# takes_config: whether it takes the configuration that is installed; $look and $said tell why it does not. An older
# program may run: what runs is worth more than a new one that doesn't start.
takes_config() {
    look=0
    said=$(as_agent check 2>&1) || look=$?
    [ "$look" -eq 0 ]
}

names_an_endpoint() {
    as_agent check --show 2>/dev/null | grep -q '^endpoint\.'
}

# tell_why_not: why nothing was started or restarted, and what to do about it.
tell_why_not() {
    why='this version refuses the configuration'
    [ "$look" -eq 78 ] || why="the configuration could not be looked at (exit code $look)"
    printf '%s\n' "$said"
    if systemctl --quiet is-active privatelinkd.service; then
        echo "privatelinkd: WARNING: $why, so its services were not restarted: the"
        echo 'version that ran before goes on, and names resolve. If it is restarted before that is mended (a crash, a'
        echo 'reboot), the agent goes on with the configuration that was accepted last. To mend it:'
        echo '  sudo privatelinkd check'
        echo '  sudo systemctl restart privatelinkd-hosts privatelinkd'
    else
        echo "privatelinkd: WARNING: $why, so nothing was started. To mend it:"
        echo '  sudo privatelinkd check'
        echo '  sudo systemctl reload-or-restart privatelinkd'
    fi
}

# tell_next: what comes after the first installation.
tell_next() {
    echo 'privatelinkd is installed. Next:'
    echo '  sudo privatelinkd init                               drafts a configuration for the endpoints of this VPC'
    echo '  sudo privatelinkd check                              says what is wrong with /etc/privatelinkd/config.toml'
    if systemctl --quiet is-enabled privatelinkd.service; then
        echo '  sudo systemctl reload-or-restart privatelinkd        puts it into force'
    else
        echo '  sudo systemctl enable --now privatelinkd-hosts privatelinkd privatelinkd-route'
        echo '                                                       starts it, now and at each boot'
    fi
    echo '  privatelinkd status                                  shows what it does; more: man privatelinkd-guides'
}
