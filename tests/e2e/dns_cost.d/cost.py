"""CPU a query, queries a second and memory of our stub and of other servers, alternating in one run.

cost.py FOLDER AGENT REFERENCE PROGRAMS [--quick]
"""

import os
import pathlib
import re
import statistics
import sys
import time

import rig
import wire

SERVER_CORE, CLIENT_CORE = 0, 1
NAMES, NAMES_A_FILE = 10, 20_000
TICK = os.sysconf("SC_CLK_TCK")
# Bounds of what this test takes for broken; the aims are in the table.
GROSS_HOT, GROSS_REFERENCE, GROSS_MEMORY_KIB = 2.0, 4.0, 4096


class Gdnsd(rig.Peer):
    program = "gdnsd"

    def prepare(self):
        for part in ("zones", "run", "state"):
            (self.folder / part).mkdir(mode=0o755)
        for name in self.zones:
            (self.folder / name).rename(self.folder / "zones" / name)
        (self.folder / "config").write_text(
            f"options => {{\n listen => {self.at[0]}:{self.at[1]}\n udp_threads => 1\n tcp_threads => 1\n"
            f" run_dir => {self.folder}/run\n state_dir => {self.folder}/state\n}}\n"
        )
        return ["-c", self.folder, "start"]


class Unbound(rig.Peer):
    program = "unbound"

    def prepare(self):
        lines = [f' local-zone: "{name}." static' for name in self.names]
        for name, addresses in self.names.items():
            lines += [f' local-data: "{name}. {rig.TTL} A {a}"' for a in addresses]
        config = self.folder / "unbound.conf"
        config.write_text(
            "server:\n"
            + f' interface: {self.at[0]}@{self.at[1]}\n num-threads: 1\n username: ""\n chroot: ""\n do-daemonize: no\n'
            f' pidfile: "{self.folder}/pid"\n directory: "{self.folder}"\n use-syslog: no\n do-not-query-localhost: no\n'
            ' access-control: 127.0.0.0/8 allow\n module-config: "iterator"\n'
            + "\n".join(lines)
            + "\nremote-control:\n control-enable: no\n"
        )
        return ["-d", "-c", config]


class Dnsmasq(rig.Peer):
    program = "dnsmasq"

    def prepare(self):
        hosts = self.folder / "names"
        hosts.write_text("".join(f"{a} {name}\n" for name, addresses in self.names.items() for a in addresses))
        hosts.chmod(0o644)
        return [
            "-k",
            "-C",
            "/dev/null",
            "-p",
            self.at[1],
            "-a",
            self.at[0],
            "--bind-interfaces",
            "-h",
            "-H",
            hosts,
            "-R",
            "-u",
            "root",
            "-x",
            self.folder / "pid",
            "-T",
            rig.TTL,
            "--local=/example.com/",
            "-c",
            "0",
            "--log-facility",
            self.folder / "dnsmasq.log",
        ]


class Ours:
    """The agent, its names in one endpoint, since a fixed address has as many names as one likes."""

    def __init__(self, folder, binary, names, at, publish=True):
        self.agent = rig.Agent(folder, binary, endpoints="", address=at[0], port=at[1], metrics=19970 + len(names) % 97)
        # No file of a configuration is larger than 1 MiB.
        (folder / "conf.d").mkdir()
        for n in range(0, len(names), NAMES_A_FILE):
            endpoint = rig.endpoint(f"many-{n}", next(iter(names.values())), list(names)[n : n + NAMES_A_FILE])
            (folder / "conf.d" / f"{n}.toml").write_text(endpoint)
        config = self.agent.folder / "config.toml"
        # Another block of as many lines is not what is measured.
        text = config.read_text().replace("[hosts]\n", "[hosts]\npublish = false\n") + '[log]\nlevel = "warn"\n'
        config.write_text(text if publish else text.replace("[dns]\npublish = true", "[dns]\npublish = false"))
        self.name, self.at = next(iter(names)), self.agent.at

    def start(self, core=None):
        self.agent.start(core)
        self.process = self.agent.process
        return self

    def ready(self, seconds=20):
        self.agent.ready(self.name, seconds)
        return self

    def stop(self):
        self.agent.stop()


class Reference:
    def __init__(self, folder, binary, names, address, port):
        self.folder, self.binary, self.at, self.name = folder, binary, (address, port), next(iter(names))
        folder.mkdir()
        (folder / "names").write_text("".join(f"{n} {' '.join(a)}\n" for n, a in names.items()))

    def start(self, core=None):
        prefix = [] if core is None else ["taskset", "-c", str(core)]
        self.process = rig.start(
            [*prefix, self.binary, f"{self.at[0]}:{self.at[1]}", self.folder / "names"], self.folder / "log"
        )
        return self

    def ready(self, seconds=20):
        rig.until(
            "the reference serves", lambda: rig.ask(self.at, wire.message([wire.question(self.name, 1)]), 0.2), seconds
        )
        return self

    def stop(self):
        rig.stop(self.process)


def family(pid):
    """The process and those that it started."""
    found, pids = [], [pid]
    while pids:
        one = pids.pop()
        found.append(one)
        for task in pathlib.Path(f"/proc/{one}/task").glob("*/children"):
            pids += [int(child) for child in task.read_text().split()]
    return found


def cpu_seconds(pid):
    """utime + stime by the scheduler's count of each living thread, which is finer than ticks."""
    total = 0.0
    for one in family(pid):
        fine = sum(int(p.read_text().split()[0]) for p in pathlib.Path(f"/proc/{one}/task").glob("*/schedstat")) / 1e9
        fields = pathlib.Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
        total += max(fine, (int(fields[11]) + int(fields[12])) / TICK)
    return total


def pss_kib(pid):
    """Of the process and its children."""
    of = lambda one: int(re.search(r"^Pss:\s+(\d+)", pathlib.Path(f"/proc/{one}/smaps_rollup").read_text(), re.M)[1])
    return sum(of(one) for one in family(pid))


class Load:
    def __init__(self, programs, folder, names, seconds):
        self.programs, self.seconds, self.queries = programs, seconds, folder / "queries"
        # Six A for four AAAA, as dual-stack clients ask.
        self.queries.write_text(
            "".join(f"{name} {kind}\n" for _ in range(10) for name in names for kind in ["A"] * 3 + ["AAAA"] * 2)
        )

    def on(self, server):
        """(CPU microseconds a query, queries a second, answers lost) of one run."""
        before = cpu_seconds(server.process.pid)
        done = self.programs.run(
            "dnsperf",
            "-s",
            server.at[0],
            "-p",
            server.at[1],
            "-d",
            self.queries,
            "-l",
            self.seconds,
            "-c",
            4,
            "-q",
            100,
            "-T",
            1,
            preexec_fn=lambda: os.sched_setaffinity(0, {CLIENT_CORE}),
        )
        used = cpu_seconds(server.process.pid) - before
        completed = int(re.search(r"Queries completed:\s+(\d+)", done.stdout)[1])
        lost = int(re.search(r"Queries lost:\s+(\d+)", done.stdout)[1])
        rate = float(re.search(r"Queries per second:\s+([\d.]+)", done.stdout)[1])
        return used / completed * 1e6, rate, lost


def spread(values, form="{:.2f}"):
    return " / ".join(form.format(v) for v in (min(values), statistics.median(values), max(values)))


def peers(folder, programs, binaries, rounds, seconds):
    """The table of all, and the medians of the CPU ratios by name."""
    agent, reference = binaries
    names = rig.names_of(NAMES)
    # As ours, which has all names at the addresses of one endpoint.
    names = {name: next(iter(names.values())) for name in names}
    zones = {name: rig.zone(name, addresses) for name, addresses in names.items()}
    servers = {
        "gdnsd": None,
        "privatelinkd": None,
        "reference": None,
        "nsd": None,
        "knot": None,
        "unbound": None,
        "dnsmasq": None,
    }
    kinds = {"gdnsd": Gdnsd, "nsd": rig.Nsd, "knot": rig.Knot, "unbound": Unbound, "dnsmasq": Dnsmasq}
    load = Load(programs, folder, names, seconds)
    measured = {title: [] for title in servers}
    memory = {}
    try:
        for n, title in enumerate(servers):
            at = (f"127.53.0.{n + 1}", 5353)
            if title == "privatelinkd":
                server = Ours(folder / title, agent, names, at)
            elif title == "reference":
                server = Reference(folder / title, reference, names, *at)
            else:
                server = kinds[title](folder / title, programs, zones, *at)
                server.names = names
            servers[title] = server.start(SERVER_CORE).ready()
        for _ in range(rounds):
            for title, server in servers.items():
                measured[title].append(load.on(server))
        memory = {title: pss_kib(server.process.pid) for title, server in servers.items()}
    finally:
        for server in servers.values():
            if server and hasattr(server, "process"):
                server.stop()
    print(f"\n{rounds} rounds of {seconds} s each, least / median / most; ratios of a round to gdnsd in it")
    print(f"{'server':<14}{'CPU us a query':<24}{'CPU ratio':<24}{'kq/s':<22}{'q/s ratio':<24}{'lost':<8}PSS KiB")
    ratios = {}
    for title, runs in measured.items():
        cpu = [run[0] / base[0] for run, base in zip(runs, measured["gdnsd"])]
        rate = [run[1] / base[1] for run, base in zip(runs, measured["gdnsd"])]
        ratios[title] = statistics.median(cpu)
        row = (spread([r[0] for r in runs]), spread(cpu), spread([r[1] / 1000 for r in runs], "{:.0f}"), spread(rate))
        print(f"{title:<14}{row[0]:<24}{row[1]:<24}{row[2]:<22}{row[3]:<24}{sum(r[2] for r in runs):<8}{memory[title]}")
    return ratios


# Nearly as many names as a configuration may have.
MANY = 8000


def sizes(folder, programs, agent, rounds, seconds):
    """CPU a query of ours as the names grow, interleaved."""
    counts = (10, 1000, MANY)
    servers, loads, measured = {}, {}, {count: [] for count in counts}
    began = {}
    try:
        for n, count in enumerate(counts):
            names = rig.names_of(count)
            names = {name: ["10.0.0.1", "10.0.0.2"] for name in names}
            (folder / f"load-{count}").mkdir()
            # Spread over all of them, but no more than a client's file should be.
            step = max(1, count // 5000)
            loads[count] = Load(programs, folder / f"load-{count}", list(names)[::step], seconds)
            start = time.monotonic()
            servers[count] = Ours(folder / f"size-{count}", agent, names, (f"127.53.1.{n + 1}", 5353))
            servers[count].start(SERVER_CORE).ready(240)
            began[count] = time.monotonic() - start
        for _ in range(rounds):
            for count in counts:
                measured[count].append(loads[count].on(servers[count]))
        memory = {count: pss_kib(server.process.pid) for count, server in servers.items()}
    finally:
        for server in servers.values():
            server.stop()
    print(f"\n{'names':<10}{'CPU us a query':<24}{'CPU ratio to 10 names':<26}{'kq/s':<22}{'PSS KiB':<10}served after")
    for count in counts:
        ratio = [run[0] / base[0] for run, base in zip(measured[count], measured[counts[0]])]
        rate = spread([r[1] / 1000 for r in measured[count]], "{:.0f}")
        print(
            f"{count:<10}{spread([r[0] for r in measured[count]]):<24}{spread(ratio):<26}{rate:<22}{memory[count]:<10}{began[count]:.1f} s"
        )
    return statistics.median([run[0] / base[0] for run, base in zip(measured[counts[-1]], measured[counts[0]])])


def stub_memory(folder, programs, agent, rounds):
    """What the stub adds to the agent, in KiB of PSS, each started afresh and asked by nobody, then by many."""
    names = {name: ["10.0.0.1", "10.0.0.2"] for name in rig.names_of(NAMES)}
    load = Load(programs, folder, names, 1)
    found = {"without": [], "with": [], "with, asked": []}
    for n in range(rounds):
        for m, title in enumerate(("without", "with")):
            server = Ours(
                folder / f"memory-{n}-{title}", agent, names, (f"127.53.2.{m + 1}", 5353), publish=title == "with"
            ).start()
            try:
                if title == "with":
                    server.ready()
                time.sleep(4)
                found[title].append(pss_kib(server.process.pid))
                if title == "with":
                    load.on(server)
                    found["with, asked"].append(pss_kib(server.process.pid))
            finally:
                server.stop()
    print("\nmemory of the agent (PSS KiB, least / median / most)")
    for title, values in found.items():
        more = statistics.median(values) - statistics.median(found["without"])
        print(f"{title:<14}{spread(values, '{:.0f}'):<24}+{more:.0f}")
    return statistics.median(found["with, asked"]) - statistics.median(found["without"])


def main(folder, agent, reference, root, *options):
    quick = "--quick" in options
    folder, programs = pathlib.Path(folder), rig.Programs(root)
    rounds, seconds = (3, 1) if quick else (7, 3)
    ratios = peers(folder, programs, (agent, reference), rounds, seconds)
    growth = sizes(folder, programs, agent, rounds, seconds)
    memory = stub_memory(folder, programs, agent, 2 if quick else 3)
    print(f"\n{'what':<44}{'aim':<12}{'found':<10}fails above")
    bad = 0
    for what, aim, found, gross, form in (
        ("CPU a query, usual queries, times gdnsd", 1.0, ratios["privatelinkd"], GROSS_HOT, "{:.2f}"),
        ("CPU a query, reference alone, times gdnsd", 1.9, ratios["reference"], GROSS_REFERENCE, "{:.2f}"),
        (f"CPU a query, {MANY:,} names, times 10 names", 1.1, growth, 2.0, "{:.2f}"),
        ("memory of the stub, KiB", 1024, memory, GROSS_MEMORY_KIB, "{:.0f}"),
    ):
        bad += found > gross
        print(
            f"{what:<44}{form.format(aim):<12}{form.format(found):<10}{form.format(gross)}{'   FAILED' if found > gross else ''}"
        )
    return bad > 0


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except rig.Failed as error:
        sys.exit(f"FAILED {error}")
