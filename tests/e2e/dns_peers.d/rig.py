"""Our stub as the real binary, and other servers with the same names."""

import contextlib
import os
import pathlib
import socket
import subprocess
import time

import wire

TTL = 7


class Failed(Exception):
    """The rig can't be had."""


def start(arguments, log, **more):
    output = open(log, "ab")
    return subprocess.Popen([str(a) for a in arguments], stdin=subprocess.DEVNULL, stdout=output, stderr=output, **more)


def stop(process):
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def ask(at, query, timeout=1.0):
    """One reply by UDP, or None."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(timeout)
        client.connect(at)
        try:
            client.send(query)
            return client.recv(65535)
        except (TimeoutError, ConnectionRefusedError):
            return None


def addresses(at, name, timeout=5.0):
    """What a server says of a name, sorted; an alias is followed within the reply."""
    reply = ask(at, wire.message([wire.question(name, 1)]), timeout)
    records = wire.read(reply)["answer"] if reply else []
    return sorted(socket.inet_ntoa(bytes(data)) for _, kind, _, _, data in records if kind == 1)


def until(what, look, seconds=20):
    end = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > end:
            raise Failed(f"gave up waiting: {what}")
        time.sleep(0.02)


@contextlib.contextmanager
def hosts_file(path):
    """This host's, for all programs here."""
    path.chmod(0o644)
    subprocess.run(["mount", "--bind", path, "/etc/hosts"], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "/etc/hosts"], check=True)


def names_of(count):
    """As many names, the same each time: {name: addresses}."""
    return {
        f"db-{n}.zone-{n % 97}.example.com": [f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}", f"10.99.{n % 250}.1"]
        for n in range(count)
    }


class Agent:
    """`privatelinkd run --all-in-one` in a folder of its own."""

    def __init__(self, folder, binary, *, endpoints, address="127.0.0.153", port=53, metrics=9965, more=""):
        self.folder, self.binary = pathlib.Path(folder), binary
        self.folder.mkdir()
        self.at, self.metrics = (address, port), metrics
        (self.folder / "hosts").write_text("127.0.0.1 localhost\n")
        config = self.folder / "config.toml"
        config.write_text(self.config(more) + endpoints)
        config.chmod(0o644)
        self.process = None

    def config(self, more):
        return f"""
[cloud]
metadata_endpoint = "http://127.0.0.1:9"
api_endpoint = "http://127.0.0.1:9"
resolvers = ["127.0.0.1:9"]
[host]
zone = "cn-hangzhou-h"
instance_id = "i-test"
state_dir = "{self.folder}/state"
run_dir = "{self.folder}/run"
[hosts]
path = "{self.folder}/hosts"
families = ["ipv4", "ipv6"]
allowed_ranges = ["10.0.0.0/8", "fc00::/7", "127.0.0.0/8"]
run_dir = "{self.folder}/run-hosts"
state_dir = "{self.folder}/state-hosts"
[metrics]
listen = "127.0.0.1:{self.metrics}"
[dns]
publish = true
listen = ["{self.at[0]}:{self.at[1]}"]
ttl = "{TTL}s"
route = "none"
{more}
"""

    def start(self, core=None):
        prefix = [] if core is None else ["taskset", "-c", str(core)]
        arguments = [*prefix, self.binary, "--config", self.folder / "config.toml", "run", "--all-in-one"]
        self.process = start(arguments, self.folder / "log")
        return self

    def ready(self, name, seconds=20):
        query = wire.message([wire.question(name, 1)])

        def serves():
            if self.process.poll() is not None:
                raise Failed(f"the agent ended: {(self.folder / 'log').read_text()[-2000:]}")
            reply = ask(self.at, query, 0.2)
            return reply and reply[3] & 15 == 0

        until("the stub serves", serves, seconds)
        return self

    def stop(self):
        stop(self.process)


def endpoint(title, addresses, names, more=""):
    ours = ", ".join(f'"{a}"' for a in addresses)
    theirs = ", ".join(f'"{n}"' for n in names)
    return f'\n[[endpoint]]\nname = "{title}"\naddresses = {{ cn-hangzhou-h = [{ours}] }}\nprivate_dns = [{theirs}]\n{more}'


def zone(name, addresses, serial=1, texts=(), beneath=(), ttl=TTL):
    """A zone file that says what the stub says; other published names `beneath` are delegated to this server."""
    lines = [
        f"$ORIGIN {name}.",
        f"@ 1 IN SOA localhost. nobody.localhost. {serial} 3600 600 1209600 1",
        f"@ {ttl} IN NS localhost.",
    ]
    lines += [f"@ {ttl} IN {'AAAA' if ':' in a else 'A'} {a}" for a in addresses]
    if texts:
        lines.append(f"@ {ttl} IN TXT " + " ".join(f'"{t}"' for t in texts))
    lines += [f"{other}. {ttl} IN NS localhost." for other in beneath]
    return "\n".join(lines) + "\n"


class Programs:
    """What `fetch` unpacked."""

    def __init__(self, root):
        self.root = pathlib.Path(root)
        libraries = [
            "usr/lib/x86_64-linux-gnu",
            "lib/x86_64-linux-gnu",
            "usr/lib/aarch64-linux-gnu",
            "lib/aarch64-linux-gnu",
        ]
        self.env = dict(os.environ, LD_LIBRARY_PATH=":".join(str(self.root / p) for p in libraries))

    def path(self, program):
        for folder in ("usr/sbin", "usr/bin"):
            found = self.root / folder / program
            if found.exists():
                return found
        for folder in ("/usr/sbin", "/usr/bin", "/sbin", "/bin"):
            found = pathlib.Path(folder, program)
            if found.exists():
                return found
        raise Failed(f"no {program} here")

    def run(self, program, *arguments, **more):
        command = [str(self.path(program)), *map(str, arguments)]
        return subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=60, **more)

    def start(self, program, arguments, log, core=None):
        prefix = [] if core is None else ["taskset", "-c", str(core)]
        return start([*prefix, self.path(program), *arguments], log, env=self.env)


class Peer:
    """Another server. `zones` has {name: zone file}."""

    def __init__(self, folder, programs, zones, address, port=53):
        self.folder, self.programs, self.zones, self.at = pathlib.Path(folder), programs, zones, (address, port)
        self.folder.mkdir()
        for name, text in zones.items():
            (self.folder / name).write_text(text)

    def start(self, core=None):
        self.process = self.programs.start(self.program, self.prepare(), self.folder / "log", core)
        return self

    def ready(self, seconds=20):
        query = wire.message([wire.question(next(iter(self.zones)), 1)])

        def serves():
            if self.process.poll() is not None:
                raise Failed(f"{self.program} ended: {(self.folder / 'log').read_text(errors='replace')[-2000:]}")
            reply = ask(self.at, query, 0.2)
            return reply and reply[3] & 15 == 0 and reply[7] > 0

        until(f"{self.program} serves", serves, seconds)
        return self

    def stop(self):
        stop(self.process)


class Nsd(Peer):
    program = "nsd"

    def prepare(self):
        zones = "".join(f'zone:\n name: "{name}"\n zonefile: "{name}"\n' for name in self.zones)
        config = self.folder / "nsd.conf"
        config.write_text(f"""
server:
 ip-address: {self.at[0]}@{self.at[1]}
 server-count: 1
 username: ""
 zonesdir: "{self.folder}"
 database: ""
 pidfile: "{self.folder}/pid"
 xfrdfile: "{self.folder}/xfrd"
 xfrdir: "{self.folder}"
 zonelistfile: "{self.folder}/zones"
 cookie-secret-file: "{self.folder}/cookies"
 rrl-ratelimit: 0
 minimal-responses: yes
 hide-version: yes
 hide-identity: yes
remote-control:
 control-enable: no
{zones}""")
        return ["-d", "-c", config]


class Knot(Peer):
    program = "knotd"

    def prepare(self):
        zones = "".join(f" - domain: {name}\n   file: {name}\n" for name in self.zones)
        config = self.folder / "knot.conf"
        config.write_text(f"""
server:
 listen: {self.at[0]}@{self.at[1]}
 rundir: "{self.folder}"
 identity: ""
 version: ""
 nsid: ""
 udp-workers: 1
 tcp-workers: 1
 background-workers: 1
log:
 - target: stderr
   any: warning
database:
 storage: "{self.folder}/db"
template:
 - id: default
   storage: "{self.folder}"
   zonefile-sync: -1
   journal-content: none
zone:
{zones}""")
        return ["-c", config]
