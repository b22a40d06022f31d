"""dnsmasq and unbound with just the lines that `privatelinkd route show` prints for them.

Their hosts file has another address for our name, as it has after a change of which nobody told dnsmasq.
"""

import json
import pathlib
import socket
import subprocess

import queries
import rig
import wire

DEAD = "10.0.9.9"


def lines_for(resolver, advice):
    """The paragraph that begins with its name."""
    found = [part for part in advice.split("\n\n") if part.startswith(f"# {resolver}: ")]
    if len(found) != 1:
        raise rig.Failed(f"{len(found)} paragraphs for {resolver} in {advice}")
    return found[0] + "\n"


class Advised(rig.Peer):
    """Asks the root servers, of which there are none here, for every other name."""

    def __init__(self, folder, programs, advice, at):
        super().__init__(folder, programs, {queries.ORDERS: ""}, at)
        self.advice = lines_for(self.program, advice)

    def addresses(self):
        reply = rig.ask(self.at, wire.message([wire.question(queries.ORDERS, 1)]), 5.0)
        records = wire.read(reply)["answer"] if reply else []
        return sorted(socket.inet_ntoa(bytes(r[4])) for r in records if len(r[4]) == 4)


class Dnsmasq(Advised):
    program = "dnsmasq"

    def prepare(self):
        config = self.folder / "conf"
        # Many a router's refuses private addresses from elsewhere.
        config.write_text(f"stop-dns-rebind\n{self.advice}")
        own = ["-k", "-C", config, "-R", "-p", self.at[1], "-a", self.at[0], "--bind-interfaces", "-u", "root"]
        return [*own, "-x", self.folder / "pid", "--log-facility", self.folder / "dnsmasq.log"]


class Unbound(Advised):
    program = "unbound"

    def prepare(self):
        config = self.folder / "conf"
        config.write_text(
            f'server:\n interface: {self.at[0]}@{self.at[1]}\n username: ""\n chroot: ""\n do-daemonize: no\n'
            f' pidfile: "{self.folder}/pid"\n directory: "{self.folder}"\n use-syslog: no\n'
            f" private-address: 10.0.0.0/8\nremote-control:\n control-enable: no\n{self.advice}"
        )
        return ["-d", "-c", config]


def run(check, agent, programs, folder):
    folder = pathlib.Path(folder)
    config = agent.folder / "config.toml"
    shown = subprocess.run(
        [agent.binary, "--config", config, "route", "show", "--json"], capture_output=True, text=True, timeout=60
    )
    advice = json.loads(shown.stdout)["advice"] if shown.stdout else None
    check("route show has advice for other resolvers", advice is not None, shown.stdout + shown.stderr)
    if advice is None:
        return
    hosts = folder / "stale-hosts"
    hosts.write_text(f"127.0.0.1 localhost\n{DEAD} {queries.ORDERS}\n")
    hosts.chmod(0o644)
    subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)
    try:
        for kind, address in ((Dnsmasq, "127.0.0.4"), (Unbound, "127.0.0.5")):
            resolver = kind(folder / f"advised-{kind.program}", programs, advice, address).start()
            try:
                found = resolver.ready().addresses()
            finally:
                resolver.stop()
            expected = sorted(queries.NAMES[queries.ORDERS])
            check(f"{kind.program} as advised asks the stub", found == expected, f"expected {expected}, found {found}")
    finally:
        subprocess.run(["umount", "/etc/hosts"], check=True)
