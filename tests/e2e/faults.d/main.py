"""`main.py WORK AGENT SERVERS PREFIX [quick]`: all rows at once, each at an endpoint of its own, and the table."""

import os
import sys
import time
from collections import defaultdict

from agent import Agent, endpoint, now
from clients import Clients
from course import Course
from cuts import Cut
from net import Net
from rows import CUTS, PORTS, all_rows
from servers import Greeters, MariaDb, Standins
from starts import start
import table

# Of rows in which both zones fail: one place, so that one rule is the end of it for both. In the other zones' places
# their addresses are as ever.
BOTH = "o"
PLACES = {**Net.ZONES, BOTH: 4}
# The hosts whose agents start late.
STARTS = {"first": "f", "again": "g"}


class Rig:
    """Hosts, zones and servers."""

    def __init__(self, work, binaries, prefix, rows):
        self.work, self.binaries, self.rows = work, binaries, rows
        self.net = Net(prefix)
        self.standins, self.mariadb, self.own, self.spares, self.late = {}, {}, {}, {}, {}
        self.link_rows = {row.number for row in rows if row.where == "link"}
        self.link_ready, self.link_up = set(), True
        self.agents, self.clients = [], []
        # Which endpoints of the cut hosts are the same to the servers.
        self.cut_rows = [row for row in rows if row.where == "cut"]
        self.hosts = {fault: f"h{n}" for n, fault in enumerate(CUTS, 2) if any(r.how == fault for r in self.cut_rows)}
        starts = {host: [row for row in rows if row.start == when] for when, host in STARTS.items()}
        self.starts = {host: of for host, of in starts.items() if of}

    @staticmethod
    def zones(row):
        """The namespaces of its addresses."""
        return (BOTH, BOTH) if row.where == "both" else ("l" if row.where == "link" else "a", "b")

    def addresses(self, row):
        zone = 3 if row.where == "link" else 1
        return f"10.77.{zone}.{row.number}", f"10.77.2.{row.number}"

    def link(self, up):
        if up != self.link_up:
            self.net.cable("l", "up" if up else "down")
            self.link_up = up

    def make_net(self):
        self.net.make_switch()
        # The clients are on a host of their own, which reads the first one's hosts file: what a server comes to think
        # of those that gave up (MySQL's blocks) must not hit the agent.
        for n, host in enumerate(["h", *self.hosts.values(), *self.starts, "y"], 1):
            self.net.plug_in(host, [f"10.77.0.{n}"])
        of = {zone: {f"10.77.{third}.1"} for zone, third in PLACES.items()}
        for row in self.rows:
            for zone, address in zip(self.zones(row), self.addresses(row)):
                of[zone].add(address)
        for zone, addresses in of.items():
            self.net.plug_in(zone, sorted(addresses))
            # Many rows have one host; a real one would not be told "unreachable" of so many addresses at once.
            self.net.set(zone, "net/ipv4/icmp_ratelimit", "0")

    def spec(self, row, address):
        spec = {"kind": row.kind, "at": f"{address}:{PORTS[row.kind]}", "name": row.name}
        if row.kind == "mysql":
            spec.update(kind="matrixone", setup={"users": {row.user: row.secret}, "version": "8.0.36"})
        elif row.kind == "matrixone":
            spec["setup"] = {"users": {row.user: row.secret}}
        elif row.kind == "tdengine":
            spec["setup"] = {"tokens": [row.secret]}
        return spec

    def start_standins(self):
        binary = self.binaries["servers"]
        # A process for each kind: those with TLS have more to do than one core has time for when all come back at once.
        served = defaultdict(list)
        for row in (row for row in self.rows if row.server == "standin"):
            (a, b), zones = self.addresses(row), self.zones(row)
            served[zones[1], row.kind].append(self.spec(row, b))
            if row.where == "late":
                continue
            if row.where != "process":
                served[zones[0], row.kind].append(self.spec(row, a))
                continue
            label, specs = f"own{row.number}", [self.spec(row, a)]
            self.own[row.number] = Standins(self.net, "a", binary, self.work, label, specs)
            if row.how == "kill":
                self.spares[row.number] = Standins(self.net, "a", binary, self.work, f"{label}.spare", specs, spare=True)
        for (zone, kind), specs in served.items():
            self.standins[zone, kind] = Standins(self.net, zone, binary, self.work, f"zone-{zone}-{kind}", specs)
        self.ca = os.path.join(self.work, "ca.pem")
        with open(self.ca, "w", encoding="utf-8") as bundle:
            for one in [*self.standins.values(), *self.own.values(), *self.spares.values()]:
                if isinstance(one, Standins):
                    with open(one.ca, encoding="utf-8") as file:
                        bundle.write(file.read())

    def start_mariadb(self):
        rows = [row for row in self.rows if row.server == "mariadb"]
        served = defaultdict(list)
        users = [(row.user, row.secret) for row in rows] + [("client", "")]
        for row in rows:
            (a, b), zones = self.addresses(row), self.zones(row)
            served[zones[1]].append(b)
            if row.where == "process":
                self.own[row.number] = MariaDb(self.net, "a", self.work, f"mariadb{row.number}", [a], users)
            elif row.where != "late":
                served[zones[0]].append(a)
        for zone, addresses in served.items():
            self.mariadb[zone] = MariaDb(self.net, zone, self.work, f"mariadb-{zone}", addresses, users)
        for one in [*self.mariadb.values(), *self.own.values()]:
            if isinstance(one, MariaDb):
                one.wait()

    def start_late(self):
        """What can make its replies late: a server that greets, or what stands in front of a real one."""
        for row in (row for row in self.rows if row.where == "late"):
            spec = {"at": [self.addresses(row)[0], PORTS[row.kind]], "zone": "a"}
            if row.server == "mariadb":
                spec["to"] = self.mariadb["a"].socket
            self.late[row.number] = Greeters(self.net, "a", self.work, f"late{row.number}", [spec])

    def restart(self, row):
        if row.number in self.spares:
            self.own[row.number] = self.spares.pop(row.number)
        self.own[row.number].start()

    def start_agent(self, host, rows):
        parts = [endpoint(row, self.addresses(row), self.work, self.ca) for row in rows]
        agent = Agent(self.net, host, self.binaries["agent"], self.work, parts)
        self.agents.append(agent)
        return agent

    def start_clients(self, agent, rows):
        """Of the rows in which anybody's connection tells what a client of the database would meet."""
        self.clients.append(Clients(self.net, "y", agent.dir, {"hosts": agent.hosts}, {
            row.name: {"kind": row.client, "port": PORTS[row.kind], **dict(zip("ab", self.addresses(row)))}
            for row in rows if row.client}))

    def attempts(self):
        return {name: tries for clients in self.clients for name, tries in clients.attempts().items()}

    def end(self):
        servers = (self.standins, self.mariadb, self.own, self.spares, self.late)
        for one in [*self.clients, *self.agents, *(server for of in servers for server in of.values())]:
            one.end()
        self.net.remove()


def await_health(agent, rows):
    """Every check of every address up, and every name with both addresses."""
    checks = {(row.endpoint, zone, check) for row in rows for zone in ("cn-hangzhou-h", "cn-hangzhou-i")
              for check in {"path", row.check}}
    deadline = now() + 60
    while True:
        ups = {(e["endpoint"], e["zone"], e["check"]) for _, e in agent.told("target_up")}
        without = [row.name for row in rows if len(agent.addresses(row.name)) != 2]
        if ups >= checks and not without:
            return
        if now() > deadline or agent.process.poll() is not None:
            failures = [e["message"] for _, e in agent.told("edge_began")]
            raise RuntimeError(f"host {agent.host}: not up: {sorted(checks - ups)}, unpublished: {without}\n"
                               + "\n".join(failures[:20]) + "\n" + agent.log_tail())
        time.sleep(0.1)


def go(rig, rows):
    """Begins every fault, and follows each to its end."""
    alone = [row for row in rows if row.where != "cut" and not row.start]
    main = rig.start_agent("h", alone)
    courses = [Course(row, rig, main, rig.addresses(row)) for row in alone]
    cuts = []
    for fault, host in rig.hosts.items():
        of_cut = [row for row in rig.cut_rows if row.how == fault]
        agent = rig.start_agent(host, of_cut)
        cuts.append(Cut(fault, host, rig, agent, [Course(row, rig, agent, rig.addresses(row)) for row in of_cut]))
    for agent, of_agent in [(main, alone)] + [(c.agent, [x.row for x in c.courses]) for c in cuts]:
        await_health(agent, of_agent)
    say(f"{len(rows)} endpoints are up in both zones")
    rig.start_clients(main, alone)
    starts = [course for host, of_host in rig.starts.items() for course in start(rig, host, of_host)]
    say(f"{len(starts)} endpoints begin beside a fault")
    # The others' faults leave them alone for a while.
    time.sleep(2)
    courses += starts
    under_way = [*cuts, *courses]
    for one in under_way:
        one.begin()
    say(f"{len(alone)} faults and {len(cuts)} cuts are there")
    looked = now()
    while not all(one.done for one in under_way):
        for one in under_way:
            one.step()
        if now() > looked + 30:
            looked = now()
            left = [f"{c.row.kind}: {c.row.fault}" for c in courses if not c.done]
            say(f"{len(left)} left" + (f": {'; '.join(left)}" if len(left) < 6 else ""))
        time.sleep(0.05)
    for one in under_way:
        one.judge()
    return courses + [course for cut in cuts for course in cut.courses]


BEGAN = time.monotonic()


def say(text):
    print(f"   {time.monotonic() - BEGAN:5.1f} s  {text}", flush=True)


def tell(courses):
    """A line a row, a line a document, the table."""
    failed = 0
    for course in courses:
        row = course.row
        title = f"{row.kind}, {row.fault}: {row.verdict}, {table.fate(row)}"
        if course.complaints:
            failed += 1
            print(f"FAILED {title}")
            for complaint in dict.fromkeys(course.complaints):
                print(f"   {complaint}")
        else:
            print(f"ok {title}")
    for document in table.DOCUMENTS:
        wrong = table.differences(document, all_rows(False))
        failed += bool(wrong)
        print(f"FAILED the table of {document}" if wrong else f"ok the table of {document} has the same rows")
        for line in wrong:
            print(f"   {line}")
    print()
    for line in table.lines(courses):
        print(line)
    print(f"\n{len(courses) + len(table.DOCUMENTS) - failed} checks passed, {failed} failed")
    return 1 if failed else 0


def main():
    work, agent, servers, prefix = sys.argv[1:5]
    rows = all_rows("quick" in sys.argv[5:])
    binaries = {"agent": agent, "servers": servers}
    rig = Rig(work, binaries, prefix, rows)
    try:
        rig.make_net()
        rig.start_standins()
        rig.start_mariadb()
        rig.start_late()
        say("the servers are there")
        courses = go(rig, rows)
    finally:
        rig.end()
    attempts = rig.attempts()
    for course in courses:
        course.count_bad(attempts.get(course.row.name))
    sys.exit(tell(courses))


main()
