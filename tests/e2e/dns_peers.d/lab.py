"""A container whose one server is the stub with `forward`, and a host whose names come from the hosts file alone.

The endpoint is that of the shipped https example: a name of all zones, and one of each. The hosts file is the one that
the hosts writer really writes.
"""

import pathlib

import advised
import rig
from upstream import Upstream

LAB, H, I = "gw-lab.example.com", "gw-lab-h.example.com", "gw-lab-i.example.com"
# Somebody's names that the upstream leads to ours by a CNAME. The second is in the config, too.
ALIAS, LISTED = "alias.elsewhere.example", "listed.elsewhere.example"
# What the world outside the VPC knows of our name. No address of a documentation's: dnsmasq takes those for private.
PUBLIC = "47.96.1.1"
OUTSIDE, OUTSIDE_IP = "outside.elsewhere.example", "47.96.9.9"
OURS = {
    LAB: ["10.0.1.15", "10.0.2.15"],
    LISTED: ["10.0.1.15", "10.0.2.15"],
    H: ["10.0.1.15"],
    I: ["10.0.2.15"],
}
ENDPOINT = f"""
[[endpoint]]
name = "lab"
addresses = {{ cn-hangzhou-h = "10.0.1.15", cn-hangzhou-i = "10.0.2.15" }}
private_dns = ["{LAB}", "{LISTED}"]
[[endpoint.zone]]
id = "cn-hangzhou-h"
private_dns = ["{H}"]
[[endpoint.zone]]
id = "cn-hangzhou-i"
private_dns = ["{I}"]
"""
STUB, UPSTREAM = "127.0.0.154", "127.0.0.7"
# As Kubernetes has it, and one option more: with it a libc begins with any of its servers.
RESOLV = f"""nameserver {STUB}
search default.svc.cluster.local svc.cluster.local cluster.local
options ndots:5 rotate
"""


def a_container(check, resolvers):
    """`rotate` and `search` cost no name a second, neither ours nor others."""
    for client in (c for c in resolvers if c.small):
        for name, expected in (*OURS.items(), (OUTSIDE, [OUTSIDE_IP])):
            client.resolves(name, expected, ", by the stub alone, within 1 s, ten times", times=10, within=1.0)
        client.resolves(ALIAS, [PUBLIC], ", an alias, leads where its resolver says")
    for client in (c for c in resolvers if not c.small):
        for name, expected in (*OURS.items(), (OUTSIDE, [OUTSIDE_IP])):
            client.resolves(name, expected, ", by the stub alone")


class Dnsmasq(rig.Peer):
    """With nothing but a hosts file."""

    program = "dnsmasq"

    def prepare(self):
        own = ["-k", "-C", "/dev/null", "-R", "-p", self.at[1], "-a", self.at[0], "--bind-interfaces", "-u", "root"]
        return [*own, "-x", self.folder / "pid", "--log-facility", self.folder / "dnsmasq.log"]


def the_hosts_file(check, programs, folder, resolvers):
    """A name of all zones has both addresses, and a zone's own has that of its zone, for who reads the file."""
    for client in (c for c in resolvers if c.reads_hosts):
        for name, expected in OURS.items():
            client.resolves(name, expected, ", by the hosts file")
    answers(check, Dnsmasq(folder / "hosts-dnsmasq", programs, {LAB: ""}, "127.0.0.8"), OURS, "by the hosts file")


def other_resolvers(check, agent, programs, folder):
    """With the lines that are printed for them. Unbound asks for the end of an alias itself, dnsmasq does not."""
    advice = advised.advice_of(agent)
    for kind, address, alias in (
        (advised.Dnsmasq, "127.0.0.10", [PUBLIC]),
        (advised.Unbound, "127.0.0.11", OURS[LAB]),
    ):
        server = kind(folder / f"lab-{kind.program}", programs, advice, address, LAB, UPSTREAM)
        answers(check, server, {**OURS, OUTSIDE: [OUTSIDE_IP], ALIAS: alias}, "as advised")


def answers(check, server, expected, how):
    try:
        server.start().ready()
        for name, addresses in expected.items():
            found = rig.addresses(server.at, name)
            check(f"{server.program}: {name}, {how}", found == addresses, f"expected {addresses}, found {found}")
    finally:
        server.stop()


def run(check, binary, programs, folder, resolvers):
    folder = pathlib.Path(folder)
    Upstream(UPSTREAM, {OUTSIDE: OUTSIDE_IP, LAB: PUBLIC}, {ALIAS: LAB, LISTED: LAB})
    forward = f'forward = ["{UPSTREAM}"]'
    agent = rig.Agent(folder / "lab", binary, endpoints=ENDPOINT, address=STUB, metrics=9966, more=forward).start()
    resolv = pathlib.Path("/etc/resolv.conf")
    before = resolv.read_text()
    try:
        agent.ready(LAB)
        hosts = agent.folder / "hosts"
        rig.until("the hosts file has the names", lambda: all(f" {name}\n" in hosts.read_text() for name in OURS))
        block = hosts.read_text()
        places = [block.index(f" {name}\n") for name in (LAB, LISTED, H, I)]
        check("zones' own names stand last in the hosts file", places == sorted(places), block)
        # In place: it is a mount point.
        resolv.write_text(RESOLV)
        a_container(check, resolvers)
        resolv.write_text("nameserver 127.0.0.9\n")
        other_resolvers(check, agent, programs, folder)
        with rig.hosts_file(hosts):
            the_hosts_file(check, programs, folder, resolvers)
    finally:
        resolv.write_text(before)
        agent.stop()
