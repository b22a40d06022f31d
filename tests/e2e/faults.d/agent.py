"""The real agent on a host of its own, and what can be seen of it from outside: its log, and the hosts file."""

import json
import os
import subprocess
import threading
import time
from collections import defaultdict

ZONES = ("cn-hangzhou-h", "cn-hangzhou-i")
# No public host is asked for anything: the hosts of this test have no route to one anyway.
HEAD = """\
[host]
zone = "cn-hangzhou-h"
state_dir = "{dir}/state"
run_dir = "{dir}/run"
[cloud]
api_endpoint = "https://127.0.0.1:9"
metadata_endpoint = "http://127.0.0.1:9"
resolvers = ["127.0.0.1:9"]
[hosts]
path = "{dir}/etc/hosts"
run_dir = "{dir}/run-hosts"
state_dir = "{dir}/state-hosts"
[log]
target = "stderr"
format = "json"
"""
FOREIGN = "127.0.0.1 localhost\n"


def now():
    return time.monotonic()


class Agent:
    """`privatelinkd run --all-in-one` in a namespace. Everything that happens has the time at which it was seen."""

    def __init__(self, net, host, binary, work, endpoints):
        self.host = host
        self.dir = os.path.join(work, f"host-{host}")
        os.makedirs(f"{self.dir}/etc")
        self.hosts = f"{self.dir}/etc/hosts"
        with open(self.hosts, "w", encoding="utf-8") as file:
            file.write(FOREIGN)
        config = f"{self.dir}/config.toml"
        with open(config, "w", encoding="utf-8") as file:
            file.write(HEAD.format(dir=self.dir) + "".join(endpoints))
        # What the hosts file said, and since when; and what the log told.
        self.files = [(now(), {})]
        # By endpoint, name and kind.
        self.events = defaultdict(list)
        self.ended = False
        self.command = net.inside(host, binary, "--config", config, "run", "--all-in-one")
        threading.Thread(target=self.watch_file, daemon=True).start()
        self.began = now()
        self.launch()

    def launch(self):
        """With what is on disk: nothing the first time."""
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, text=True)
        threading.Thread(target=self.read_log, args=(self.process.stderr,), daemon=True).start()

    def read_log(self, lines):
        with open(f"{self.dir}/log", "a", encoding="utf-8") as copy:
            for line in lines:
                at = now()
                copy.write(line)
                copy.flush()
                try:
                    told = json.loads(line)
                except ValueError:
                    continue
                fields = told.get("fields")
                if isinstance(fields, dict):
                    event = (at, {**fields, "message": told.get("message", "")})
                    for key in ("endpoint", "name", "event"):
                        if key in fields:
                            self.events[key, fields[key]].append(event)

    def watch_file(self):
        """Every change: each is a file of its own."""
        seen = None
        while not self.ended:
            try:
                stat = os.stat(self.hosts)
                stamp = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
                if stamp != seen:
                    at = now()
                    with open(self.hosts, encoding="utf-8") as file:
                        names = parse(file.read())
                    seen = stamp
                    self.files.append((at, names))
            except FileNotFoundError:
                pass
            time.sleep(0.003)

    def addresses(self, name):
        return self.files[-1][1].get(name, frozenset())

    def told(self, event, since=0.0, **fields):
        """Events of a kind, oldest first."""
        wanted = {"event": event, **fields}
        # The narrowest list that has them.
        key = next(key for key in ("endpoint", "name", "event") if key in wanted)
        found = [(at, e) for at, e in list(self.events[key, wanted[key]]) if at >= since]
        return [(at, e) for at, e in found if all(e.get(key) == value for key, value in wanted.items())]

    def log_tail(self):
        with open(f"{self.dir}/log", encoding="utf-8") as file:
            return "".join(file.readlines()[-30:])

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def end(self):
        self.ended = True
        self.stop()


def parse(text):
    """Which addresses each name of the block has."""
    names, inside = {}, False
    for line in text.splitlines():
        if line.startswith("# BEGIN privatelinkd"):
            inside = True
        elif line.startswith("# END privatelinkd"):
            inside = False
        elif inside and line.strip() and not line.startswith("#"):
            address, name = line.split()
            names[name] = names.get(name, frozenset()) | {address}
    return names


def endpoint(row, addresses, work, ca):
    """The configuration of a row, with the default timings of the path check."""
    probe = {"kind": row.kind}
    if row.kind == "tcp":
        probe["port"] = 5432
    if row.kind in ("https", "tdengine") or row.probe.get("tls") == "verify":
        probe["ca_file"] = ca
    if row.kind == "mysql" or row.check == "deep":
        path = os.path.join(work, f"secret{row.number}")
        with open(path, "w", encoding="utf-8", opener=lambda p, f: os.open(p, f, 0o600)) as file:
            file.write(row.secret)
        if row.kind == "tdengine":
            probe["token_file"] = path
        else:
            probe.update(user=row.user, password_file=path)
    if row.check == "deep":
        # The default is a minute, or five.
        probe["deep_interval"] = "10s"
    elif row.kind == "mysql":
        probe["depth"] = "none"
    probe.update(row.probe)
    keys = "\n".join(f"{key} = {json.dumps(value)}" for key, value in probe.items())
    pairs = ", ".join(f'"{zone}" = "{address}"' for zone, address in zip(ZONES, addresses))
    return (f'[[endpoint]]\nname = "{row.endpoint}"\naddresses = {{ {pairs} }}\n'
            f'private_dns = ["{row.name}"]\n[endpoint.probe]\n{keys}\n')
