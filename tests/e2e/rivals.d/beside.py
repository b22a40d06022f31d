"""`beside.py WORK AGENT PROGRAMS PREFIX [quick]`: every steerer beside the others on the same faults, and the table.

PROGRAMS is where HAProxy and gdnsd are unpacked.
"""

import os
import shutil
import signal
import sys
import time

import report
from agent import now
from clients import Clients
from figures import Truth, figures
from net import Net
from scenes import CUT, KILL, KILL_AWAY, MAIN, SLOW, all_scenes, places
from servers import Greeters, MariaDb
from steerers import STEERERS

BEGAN = now()


def say(text):
    print(f"   {now() - BEGAN:5.1f} s  {text}", flush=True)


class Rig:
    """Hosts, zones, servers, and who steers."""

    HOSTS = {MAIN: 1, CUT: 2, KILL: 3, KILL_AWAY: 4}

    def __init__(self, work, agent, programs, prefix, of):
        self.work, self.agent, self.programs, self.places = work, agent, programs, of
        self.net = Net(prefix)
        libraries = [os.path.join(programs, "usr/lib", one) for one in ("", "x86_64-linux-gnu", "aarch64-linux-gnu")]
        # No agent of ours runs with them.
        self.rival_env = dict(os.environ, LD_LIBRARY_PATH=":".join(libraries))
        self.servers, self.slow, self.own, self.steerers, self.clients = [], {}, {}, [], []
        self.truth = {place.name: Truth() for place in of}

    def host_address(self, host):
        return f"10.77.0.{self.HOSTS[host]}"

    def program(self, name):
        unpacked = os.path.join(self.programs, "usr/sbin", name)
        return unpacked if os.path.exists(unpacked) else shutil.which(name)

    def hosts(self):
        return [host for host in self.HOSTS if any(place.scene.host == host for place in self.places)]

    # What is there.

    def make_net(self):
        self.net.make_switch()
        for host in self.hosts():
            self.net.plug_in(host, [self.host_address(host)])
        for zone, third in Net.ZONES.items():
            of = [place.b if zone == "b" else place.a for place in self.places
                  if zone == "b" or (zone == "l") == (place.where == "link")]
            self.net.plug_in(zone, [f"10.77.{third}.1", *of])

    def start_greeters(self):
        of = [place for place in self.places if place.kind == "tcp"]

        def spec(place, zone):
            return {"at": [getattr(place, zone), place.port], "zone": zone}

        shared = {"b": [spec(place, "b") for place in of]}
        for place in of:
            if place.where == "process":
                self.own[place.name] = Greeters(self.net, "a", self.work, f"own{place.number}", [spec(place, "a")])
                self.servers.append(self.own[place.name])
            else:
                shared.setdefault("l" if place.where == "link" else "a", []).append(spec(place, "a"))
        for zone, specs in shared.items():
            greeters = Greeters(self.net, zone, self.work, f"greeters-{zone}", specs)
            self.servers.append(greeters)
            self.slow.update({p.name: greeters for p in of if p.where == "slow" and zone == "a"})

    def start_mariadb(self):
        of = [place for place in self.places if place.kind == "mysql"]
        users = [(place.user, place.secret) for place in of] + [("haproxy", ""), ("client", "")]

        def server(zone, label, addresses):
            # A client that gives up before the greeting has come is one of no more than a hundred in a row, by default;
            # and while packets are lost, clients leave connections behind that nobody ends.
            options = (f"--version=10.11-zone-{'b' if zone == 'b' else 'a'}", "--max-connect-errors=4000000000",
                       "--max-connections=3000", "--back-log=4000", "--log-warnings=0")
            one = MariaDb(self.net, zone, self.work, label, addresses, users, options)
            self.servers.append(one)
            return one

        shared = {"b": [place.b for place in of]}
        for place in of:
            if place.where == "process":
                self.own[place.name] = server("a", f"mariadb{place.number}", [place.a])
            elif place.where != "slow":
                shared.setdefault("l" if place.where == "link" else "a", []).append(place.a)
        made = {zone: server(zone, f"mariadb-{zone}", addresses) for zone, addresses in shared.items()}
        for one in self.servers:
            if isinstance(one, MariaDb):
                one.wait()
        # What makes its replies late stands in front of it.
        specs = [{"at": [p.a, p.port], "zone": "a", "to": made["a"].socket} for p in of if p.where == "slow"]
        if specs:
            relay = Greeters(self.net, "a", self.work, "relay", specs)
            self.servers.append(relay)
            self.slow.update({p.name: relay for p in of if p.where == "slow"})

    def start_steerers(self):
        for host in self.hosts():
            of = [place for place in self.places if place.scene.host == host]
            for label, kind in STEERERS.items():
                steerer = kind(self, host, of, label)
                self.steerers.append(steerer)
                steerer.start()
        deadline = now() + 60
        for steerer in self.steerers:
            while not steerer.ready():
                if now() > deadline:
                    raise RuntimeError("not ready: " + steerer.trouble())
                time.sleep(0.1)
        say("the steerers are ready")
        self.clients = [Clients(self.net, steerer.host, steerer.folder, steerer.way, {
            place.name: {"kind": place.client, "a": place.a, "b": place.b, "port": place.port}
            for place in steerer.places
        }) for steerer in self.steerers]

    def await_clients(self):
        """Until all attempts of the latest two seconds were good, for every steerer."""
        deadline = now() + 30
        while True:
            time.sleep(2.5)
            wrong = []
            for steerer, clients in zip(self.steerers, self.clients):
                tries = clients.attempts()
                for place in steerer.places:
                    late = [one for one in tries.get(place.name, ()) if one[0] > now() - 3]
                    if not late or any(not one[2] or one[4] != "a" for one in late):
                        wrong.append(f"{steerer.label} on {steerer.host}: {place.name}: {late[-1:]}")
            if not wrong:
                return
            if now() > deadline:
                raise RuntimeError("no client gets through: " + "; ".join(wrong[:10]))

    # What is done.

    def do(self, place, what):
        """On one endpoint. What is done to a host is done once, for the first of its endpoints."""
        ill = {"break": "a", "break both": "ab", "mend": ""}.get(what)
        first = next(p for p in self.places if p.scene is place.scene) is place
        if ill is None:
            if first:
                self.do_to_host(place.scene.host, what)
        else:
            at = now()
            self.harm(place, ill, first)
            # From before it is so: on a busy machine the rule is in force long before its command has ended, and nobody
            # is blamed for having been fast.
            self.truth[place.name].ill(at, ill)

    def harm(self, place, ill, first):
        if place.where == "nft":
            for zone in "ab":
                if zone in ill:
                    self.net.nft(zone, f"s{place.number}", place.rules[zone] if zone == "a" else self.rules_of_b(place))
                elif self.truth[place.name].is_ill(zone, now()):
                    self.net.nft_end(zone, f"s{place.number}")
        elif place.where == "process":
            self.own[place.name].signal(signal.SIGSTOP if ill else signal.SIGCONT)
        elif place.where == "slow":
            self.slow[place.name].say(at=place.a, delay=SLOW if ill else 0)
        elif place.where == "link" and first:
            self.net.cable("l", "down" if ill else "up")

    @staticmethod
    def rules_of_b(place):
        return [rule.replace(place.a, place.b) for rule in place.rules["a"]]

    def do_to_host(self, host, what):
        of = [steerer for steerer in self.steerers if steerer.host == host]
        if what == "cut":
            self.net.nft(host, "cut", ['in:iifname != "lo" drop', 'out:oifname != "lo" drop'])
        elif what == "uncut":
            self.net.nft_end(host, "cut")
        else:
            for steerer in of:
                (steerer.kill if what == "kill" else steerer.again)()

    def run(self):
        """Every course at once."""
        due = sorted(((at, n, place, what) for n, place in enumerate(self.places) for at, what in place.scene.course),
                     key=lambda one: one[:2])
        end = max(place.scene.end for place in self.places)
        began = now()
        for at, _, place, what in due:
            time.sleep(max(began + at - now(), 0.0))
            self.do(place, what)
        time.sleep(max(began + end - now(), 0.0))
        return began

    def end(self):
        for one in [*self.clients, *self.steerers, *self.servers]:
            one.end()
        self.net.remove()


def measure(rig, began):
    found = {place: {} for place in rig.places}
    for steerer, clients in zip(rig.steerers, rig.clients):
        tries = clients.attempts()
        for place in steerer.places:
            found[place][steerer.label] = figures(tries.get(place.name, []), steerer.leads.get(place.name),
                                                  rig.truth[place.name], began, place.scene)
    return found


def tell(found):
    failed = passed = 0
    for met, what in report.aims(found):
        print(f"{'ok' if met else 'FAILED'} {what}")
        passed, failed = passed + met, failed + (not met)
    wrong = report.differences(places(all_scenes(False)))
    print(f"FAILED the table of {report.DOCUMENT}" if wrong else f"ok the table of {report.DOCUMENT} has the same rows")
    for line in wrong:
        print(f"   {line}")
    passed, failed = passed + (not wrong), failed + bool(wrong)
    print()
    for line in report.beside(found):
        print(f"   {line}")
    print("\nbad seconds / seconds until back in zone a")
    for line in report.table(found, STEERERS):
        print(line)
    print(f"\n{passed} checks passed, {failed} failed")
    return 1 if failed else 0


def main():
    work, agent, programs, prefix = sys.argv[1:5]
    rig = Rig(work, agent, programs, prefix, places(all_scenes("quick" in sys.argv[5:])))
    try:
        rig.make_net()
        rig.start_greeters()
        rig.start_mariadb()
        say("the servers are there")
        rig.start_steerers()
        rig.await_clients()
        say(f"{len(rig.places)} endpoints, {len(rig.steerers)} steerers and their clients are well")
        began = rig.run()
        say("all courses are run")
    finally:
        rig.end()
    sys.exit(tell(measure(rig, began)))


main()
