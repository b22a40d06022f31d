"""dnsmasq and unbound with just the lines that `privatelinkd route show` prints for them.

Their hosts file has another address for our name, as it has after a change of which nobody told dnsmasq.
"""

import json
import pathlib
import subprocess

import queries
import rig

DEAD = "10.0.9.9"


def lines_for(resolver, advice):
    """The paragraph that begins with its name."""
    found = [part for part in advice.split("\n\n") if part.startswith(f"# {resolver}: ")]
    if len(found) != 1:
        raise rig.Failed(f"{len(found)} paragraphs for {resolver} in {advice}")
    return found[0] + "\n"


class Advised(rig.Peer):
    """Asks the upstream for every other name; without one, the root servers, of which there are none here."""

    def __init__(self, folder, programs, advice, at, name, upstream=None):
        super().__init__(folder, programs, {name: ""}, at)
        self.advice, self.upstream = lines_for(self.program, advice), upstream


class Dnsmasq(Advised):
    program = "dnsmasq"

    def prepare(self):
        config = self.folder / "conf"
        # Many a router's refuses private addresses from elsewhere.
        upstream = f"server={self.upstream}\n" if self.upstream else ""
        config.write_text(f"stop-dns-rebind\n{upstream}{self.advice}")
        own = ["-k", "-C", config, "-R", "-p", self.at[1], "-a", self.at[0], "--bind-interfaces", "-u", "root"]
        return [*own, "-x", self.folder / "pid", "--log-facility", self.folder / "dnsmasq.log"]


class Unbound(Advised):
    program = "unbound"

    def prepare(self):
        config = self.folder / "conf"
        config.write_text(
            f'server:\n interface: {self.at[0]}@{self.at[1]}\n username: ""\n chroot: ""\n do-daemonize: no\n'
            f' pidfile: "{self.folder}/pid"\n directory: "{self.folder}"\n use-syslog: no\n'
            f" private-address: 10.0.0.0/8\nremote-control:\n control-enable: no\n"
            f"{self.advice}"
            + (f'forward-zone:\n name: "."\n forward-addr: {self.upstream}\n' if self.upstream else "")
        )
        return ["-d", "-c", config]


def advice_of(agent):
    config = agent.folder / "config.toml"
    shown = subprocess.run(
        [agent.binary, "--config", config, "route", "show", "--json"], capture_output=True, text=True, timeout=60
    )
    advice = json.loads(shown.stdout)["advice"] if shown.stdout else None
    if advice is None:
        raise rig.Failed(f"route show has no advice for other resolvers: {shown.stdout + shown.stderr}")
    return advice


def run(check, agent, programs, folder):
    folder, advice = pathlib.Path(folder), advice_of(agent)
    hosts = folder / "stale-hosts"
    hosts.write_text(f"127.0.0.1 localhost\n{DEAD} {queries.ORDERS}\n")
    with rig.hosts_file(hosts):
        for kind, address in ((Dnsmasq, "127.0.0.4"), (Unbound, "127.0.0.5")):
            resolver = kind(folder / f"advised-{kind.program}", programs, advice, address, queries.ORDERS).start()
            try:
                found = rig.addresses(resolver.ready().at, queries.ORDERS)
            finally:
                resolver.stop()
            expected = sorted(queries.NAMES[queries.ORDERS])
            check(f"{kind.program} as advised asks the stub", found == expected, f"expected {expected}, found {found}")
