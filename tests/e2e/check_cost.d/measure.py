"""Measures what tests/e2e/check_cost says. Started by it."""

import argparse
import contextlib
import http.client
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from rig import Agent, Database, Process, Standins, until

# Checks a second, at the default interval.
RATE = 20
MYSQL_RATE = 10
# Of a thousand targets.
MANY_RATE = 200
INTERVAL = 5
# Until every certificate was looked at, every connection that is kept has been opened, every target is up, and what
# that changed is saved: the work of a start is no check's.
WARM = 40
NAME = "gw-orders.example.com"
# Default collectors of mysqld_exporter 0.14.
COLLECTORS = [
    "global_status", "global_variables", "slave_status",
    "info_schema.innodb_cmp", "info_schema.innodb_cmpmem", "info_schema.query_response_time",
]


class Peer:
    """An exporter that is asked for URLs at a rate, over one kept connection, as Prometheus does."""

    def __init__(self, process, port, paths, expected):
        self.process, self.port, self.paths, self.expected = process, port, paths, expected
        self.asked = 0
        self.failed = None

    def ask_once(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        for path in self.paths:
            self.ask(connection, path)
        connection.close()

    def ask(self, connection, path):
        connection.request("GET", path)
        body = connection.getresponse().read()
        if self.expected not in body:
            raise SystemExit(f"{path}: expected {self.expected!r}, found {body[-600:]!r}")

    def drive(self, rate, stop):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        due = time.monotonic()
        while not stop.is_set():
            self.ask(connection, self.paths[self.asked % len(self.paths)])
            self.asked += 1
            due += random.uniform(0.9, 1.1) / rate
            time.sleep(max(0.0, due - time.monotonic()))
        connection.close()


class Kind:
    """A kind of check of ours, its peers, and what is aimed at."""

    def __init__(self, name, aim, rate, endpoints, peers, floor=None):
        self.name, self.aim, self.rate, self.endpoints, self.peers, self.floor = name, aim, rate, endpoints, peers, floor
        self.ours = []
        self.theirs = {peer: [] for peer in peers}
        self.ratios = {peer: [] for peer in peers}
        self.floors, self.floor_ratios = [], []


def window(kind, rig, work, seconds):
    """One window of one kind: ours and its peers at the same time."""
    with contextlib.ExitStack() as stack:
        agent = stack.enter_context(Agent(rig.agent, work / "agent", kind.endpoints))
        stop = threading.Event()
        peers = kind.peers.values()
        drivers = [threading.Thread(target=peer.drive, args=(kind.rate, stop), daemon=True) for peer in peers]
        for driver in drivers:
            driver.start()
        time.sleep(WARM)
        floor = None
        if kind.floor:
            floor = subprocess.Popen(
                [rig.floor, str(kind.rate), str(seconds), *kind.floor], stdout=subprocess.PIPE, text=True
            )
        probes, failures = agent.probes()
        before = [(peer.process.cpu_ns(), peer.asked) for peer in peers]
        cpu = agent.process.cpu_ns()
        time.sleep(seconds)
        after, failed = agent.probes()
        cpu = agent.process.cpu_ns() - cpu
        results = [(peer.process.cpu_ns() - ns) / (peer.asked - n) / 1000 for peer, (ns, n) in zip(peers, before)]
        stop.set()
        for driver in drivers:
            driver.join()
        if failed > failures:
            raise SystemExit(f"{kind.name}: {failed - failures} checks failed")
        ours = cpu / (after - probes) / 1000
        expected = kind.rate * seconds
        if not 0.8 * expected < after - probes < 1.2 * expected:
            raise SystemExit(f"{kind.name}: expected {expected} checks, found {after - probes}")
        kind.ours.append(ours)
        for name, theirs in zip(kind.peers, results):
            kind.theirs[name].append(theirs)
            kind.ratios[name].append(ours / theirs)
        if floor:
            checks, ns = map(int, floor.communicate(timeout=30)[0].split())
            kind.floors.append(ns / checks / 1000)
            kind.floor_ratios.append(kind.floors[-1] / results[0])


def spread(values, digits):
    return "  ".join(f"{value:.{digits}f}" for value in (min(values), statistics.median(values), max(values)))


def report(kinds):
    print(f"{'check':<18} {'beside':<34} {'aim':>5}  {'ratio: min, median, max':<24} {'us: ours':>9} {'theirs':>8}")
    gross = []
    for kind in kinds:
        ours = statistics.median(kind.ours)
        for peer, aim in zip(kind.peers, kind.aim):
            theirs = statistics.median(kind.theirs[peer])
            aimed = f"{aim:.2f}" if aim else ""
            ratios = kind.ratios[peer]
            print(f"{kind.name:<18} {peer:<34} {aimed:>5}  {spread(ratios, 3):<24} {ours:>9.0f} {theirs:>8.0f}")
            if statistics.median(ratios) > 1:
                gross.append(f"{kind.name} costs more than {peer}")
        if kind.floors:
            floor = statistics.median(kind.floors)
            print(f"{'  floor of it':<18} {'a C program that does the calls':<34} {'':>5}  "
                  f"{spread(kind.floor_ratios, 3):<24} {floor:>9.0f}")
    return gross


def endpoints(targets, kind, probe):
    """Configuration of the targets of a kind, two zones an endpoint. The first checks spread over a whole interval, as
    those of a long-running agent do."""
    lines = []
    for i in range(0, len(targets), 2):
        pair = ", ".join(f'"{zone}" = "{address}"' for zone, address in targets[i:i + 2])
        name = f"{kind}-{i // 2}"
        lines.append(
            f'[[endpoint]]\nname = "{name}"\naddresses = {{ {pair} }}\nprivate_dns = ["{name}.example.internal"]\n'
            f'probe = {{ kind = "{kind}", interval = "{INTERVAL}s", fast_interval = "{INTERVAL}s", {probe} }}\n'
        )
    return "\n".join(lines)


def blackbox(rig, work, ca):
    (work / "blackbox.yml").write_text(f"""
modules:
  tcp:
    prober: tcp
    timeout: 2s
  https:
    prober: http
    timeout: 2s
    http:
      preferred_ip_protocol: ip4
      fail_if_not_ssl: true
      valid_status_codes: [200]
      headers: {{ Host: "{NAME}:8443" }}
      tls_config: {{ ca_file: "{ca}", server_name: "{NAME}" }}
""")
    process = Process([rig.blackbox, f"--config.file={work}/blackbox.yml", "--web.listen-address=127.0.0.1:19116"],
                      work / "blackbox.log")
    until(10, lambda: http.client.HTTPConnection("127.0.0.1", 19116).request("GET", "/-/healthy"))

    def peer(module, targets):
        paths = [f"/probe?module={module}&target={target}" for target in targets]
        return Peer(process, 19116, paths, b"\nprobe_success 1\n")
    return process, peer


def mysqld_exporter(rig, work, port, dsn, flags):
    process = Process([rig.mysqld_exporter, f"--web.listen-address=127.0.0.1:{port}", *flags],
                      work / f"mysqld_exporter-{port}.log", env={**os.environ, "DATA_SOURCE_NAME": dsn})
    until(10, lambda: http.client.HTTPConnection("127.0.0.1", port).request("GET", "/"))
    return process, Peer(process, port, ["/metrics"], b"\nmysql_up 1\n")


def measure(rig, work, stack):
    standins = stack.enter_context(Standins(
        rig.standins, work / "standins",
        {"matrixone": MANY_RATE * INTERVAL, **{kind: RATE * INTERVAL for kind in ("tdengine", "https", "forgetful")}}))
    database = stack.enter_context(Database(work / "database"))
    process, asks = blackbox(rig, work, standins.ca)
    stack.enter_context(process)
    at = standins.targets
    tls = f'port = 8443, ca_file = "{standins.ca}", server_name = "{NAME}"'
    url = "https://{}:8443/"

    def sockets(targets):
        return [f"{address}:6001" for _, address in targets]

    def over_tls(kind, path=""):
        return asks("https", [url.format(address) + path for _, address in at[kind]])

    plain, exporter = mysqld_exporter(rig, work, 19117, database.dsn, [])
    stack.enter_context(plain)
    bare, bare_exporter = mysqld_exporter(
        rig, work, 19118, database.dsn, [f"--no-collect.{collector}" for collector in COLLECTORS])
    stack.enter_context(bare)
    ping = f'port = {database.port}, user = "probe", password_file = "{database.password}", depth = "none", tls = "off"'
    mysql = list(database.addresses(MYSQL_RATE * INTERVAL))
    few, many = at["matrixone"][:RATE * INTERVAL], at["matrixone"]
    kinds = [
        Kind("greeting", [0.1], RATE, endpoints(few, "matrixone", "port = 6001"),
             {"blackbox_exporter, TCP": asks("tcp", sockets(few))}, sockets(few)),
        Kind("greeting of 1,000", [0.1], MANY_RATE, endpoints(many, "matrixone", "port = 6001"),
             {"blackbox_exporter, TCP": asks("tcp", sockets(many))}, sockets(many)),
        Kind("https resumed", [0.3], RATE, endpoints(at["https"], "https", tls),
             {"blackbox_exporter, HTTPS": over_tls("https")}),
        Kind("tdengine resumed", [0.3], RATE, endpoints(at["tdengine"], "tdengine", tls),
             {"blackbox_exporter, HTTPS": over_tls("tdengine", "-/ping")}),
        Kind("https in full", [0.5], RATE, endpoints(at["forgetful"], "https", tls),
             {"blackbox_exporter, HTTPS": over_tls("forgetful")}),
        Kind("mysql ping", [0.05, None], MYSQL_RATE, endpoints(mysql, "mysql", ping),
             {"mysqld_exporter as it comes": exporter, "mysqld_exporter, no collectors": bare_exporter}),
    ]
    for kind in kinds:
        for peer in kind.peers.values():
            peer.ask_once()
    if rig.only:
        kinds = [kind for kind in kinds if kind.name.startswith(rig.only)]
    seconds = 5 if rig.quick else 10
    for _ in range(rig.rounds or (1 if rig.quick else 3)):
        for kind in kinds:
            window(kind, rig, work, seconds)
    return report(kinds)


def thousand(rig, work, stack):
    """Memory of 1,000 targets, each check of each running."""
    count = 250
    standins = stack.enter_context(Standins(
        rig.standins, work / "many", {"matrixone": count, "tdengine": count, "https": count}))
    database = stack.enter_context(Database(work / "big-database"))
    token, login = work / "token", f'user = "probe", password_file = "{database.password}"'
    token.write_text(standins.TOKEN)
    token.chmod(0o600)
    password = work / "matrixone.pw"
    password.write_text(standins.PASSWORD)
    password.chmod(0o600)
    tls = f'port = 8443, ca_file = "{standins.ca}", server_name = "{NAME}"'
    front = f'port = 6001, user = "{standins.USER}", password_file = "{password}"'
    config = "\n".join([
        endpoints(standins.targets["matrixone"], "matrixone", front),
        endpoints(standins.targets["tdengine"], "tdengine", f'{tls}, token_file = "{token}"'),
        endpoints(standins.targets["https"], "https", tls),
        endpoints(list(database.addresses(count)), "mysql", f'port = {database.port}, tls = "off", {login}'),
    ])
    agent = stack.enter_context(Agent(rig.agent, work / "thousand", config))
    time.sleep(20 if rig.quick else 120)
    probes, failures = agent.probes()
    cpu, began, seconds = agent.process.cpu_ns(), time.monotonic(), 10 if rig.quick else 20
    time.sleep(seconds)
    after, failed = agent.probes()
    took = time.monotonic() - began
    share = (agent.process.cpu_ns() - cpu) / 1e9 / took
    pss, rss = agent.process.memory_kib()
    print(f"1,000 targets, {(after - probes) / took:.0f} checks a second, {failed} failed of {after}: "
          f"{pss / 1024:.1f} MiB PSS, {rss / 1024:.1f} MiB RSS (aim 40), {100 * share:.1f} % of a core")
    gross = []
    if pss > 2 * 40 * 1024:
        gross.append("1,000 targets take twice the memory they may")
    if failed > failures or after - probes < took * 1000 / INTERVAL * 0.8:
        gross.append(f"1,000 targets: {after - probes} checks in {took:.0f} s, {failed - failures} failed")
    return gross


def main():
    parser = argparse.ArgumentParser()
    for program in ("agent", "standins", "floor", "blackbox", "mysqld-exporter"):
        parser.add_argument(f"--{program}", required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--only", help="one kind, or 'memory'")
    rig = parser.parse_args()
    work = pathlib.Path(tempfile.mkdtemp())
    try:
        gross = []
        if rig.only != "memory":
            with contextlib.ExitStack() as stack:
                gross += measure(rig, work, stack)
        if rig.only in (None, "memory"):
            with contextlib.ExitStack() as stack:
                gross += thousand(rig, work, stack)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    sys.exit("; ".join(gross) if gross else 0)


main()
