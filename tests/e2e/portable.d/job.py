"""The main job of privatelinkd in a root folder of its own: agent and hosts writer against the stand-in cloud, with
probes, the DNS stub and metrics, and the commands beside them. What goes before the program, such as strace or an
emulator, is the caller's."""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import time
import urllib.request

ORDERS, LEDGER = "gw-orders.example.com", "ledger-db.example.internal"
PROGRAM = "/usr/bin/privatelinkd"


class Failed(Exception):
    """A check that found something else than expected."""


def until(what, test, seconds=30):
    """Waits for a condition; what it was and the last thing seen if it doesn't come."""
    end = time.monotonic() + seconds
    while True:
        seen = test()
        if seen is True:
            return
        if time.monotonic() > end:
            raise Failed(f"expected within {seconds} s: {what}; found {seen!r}")
        time.sleep(0.05)


def free_port(address="127.0.0.1"):
    with socket.socket() as probe:
        probe.bind((address, 0))
        return probe.getsockname()[1]


class Cloud:
    """The stand-in cloud on loopback, two endpoints in two zones, as a process."""

    def __init__(self, program, folder):
        self.process = subprocess.Popen([program, "--random", "--json"], stdout=subprocess.PIPE, text=True,
                                        stderr=(folder / "cloud.log").open("w"))
        self.told = json.loads(self.process.stdout.readline())
        self.at = self.told["addresses"]

    def zones(self, endpoint):
        """{zone: address} of an endpoint."""
        zones = self.told["endpoints"][endpoint]["zones"]
        return {zone: of["eni_ip"] for zone, of in zones.items()}

    def mode(self, endpoint, zone, mode):
        body = json.dumps({"serve": {"mode": mode}}).encode()
        url = f"http://{self.at['control']}/control/endpoints/{endpoint}/zones/{zone}"
        urllib.request.urlopen(urllib.request.Request(url, body, method="POST"), timeout=10).read()

    def stop(self):
        self.process.kill()
        self.process.wait()


class Job:
    """Both processes in a root folder. `before` goes before chroot, `inside` before the program in there."""

    def __init__(self, root, program, cloud, before=lambda name: [], inside=()):
        self.root, self.cloud, self.before, self.inside = pathlib.Path(root), cloud, before, list(inside)
        self.stub, self.metrics, self.processes = free_port(), free_port(), {}
        # Nothing of an earlier job.
        for old in ("var/lib/privatelinkd", "var/lib/privatelinkd-hosts", "run/privatelinkd", "run/privatelinkd-hosts"):
            shutil.rmtree(self.root / old, ignore_errors=True)
            (self.root / old).mkdir(parents=True)
        for folder in ("usr/bin", "etc/privatelinkd", "tmp", "proc"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        shutil.copy(program, self.root / PROGRAM[1:])
        (self.root / "etc/hosts").write_text("127.0.0.1 localhost\n")
        (self.root / "etc/ca.pem").write_text(cloud.told["ca_pem"])
        self.config = self.root / "etc/privatelinkd/config.toml"

    def configure(self):
        at, ids = self.cloud.at, list(self.cloud.told["endpoints"])
        orders, ledger = (next(one for one in ids if word in one) for word in ("orders", "ledger"))
        self.orders, self.ledger = orders, ledger
        self.config.write_text(f"""
[cloud]
api_endpoint = "https://{at['privatelink_tls']}"
metadata_endpoint = "http://{at['metadata']}"
resolvers = ["{at['dns']}"]
[cloud.credentials]
provider = "ecs_role"
[hosts]
allowed_ranges = ["127.0.0.0/8"]
[metrics]
listen = "127.0.0.1:{self.metrics}"
[dns]
publish = true
listen = ["127.0.0.1:{self.stub}"]
route = "none"
[[endpoint]]
name = "orders"
id = "{orders}"
private_dns = ["{ORDERS}"]
probe = {{ kind = "https", port = 8443, ca_file = "/etc/ca.pem" }}
[[endpoint]]
name = "ledger"
id = "{ledger}"
private_dns = ["{LEDGER}"]
probe = {{ kind = "tcp", port = 5432 }}
""")
        self.config.chmod(0o644)

    def command(self, name, *arguments):
        return [*self.before(name), "chroot", str(self.root), *self.inside, PROGRAM, *arguments]

    def environment(self):
        # Nothing of whoever runs this but the path.
        return {"PATH": os.environ["PATH"], "SSL_CERT_FILE": "/etc/ca.pem", "MALLOC_ARENA_MAX": "1"}

    def run(self, *arguments, codes=(0,), seconds=60):
        """What a command prints; it must end with one of the exit codes."""
        done = subprocess.run(self.command("-".join(arguments[:2]).strip("-"), *arguments), env=self.environment(),
                              capture_output=True, text=True, timeout=seconds)
        if done.returncode not in codes:
            raise Failed(f"{' '.join(arguments)}: exit code {done.returncode}, expected {codes}: "
                         f"{done.stderr[-1000:]}{done.stdout[-1000:]}")
        return done.stdout

    def start(self):
        for name, arguments in (("writer", ("hosts", "run")), ("agent", ("run",))):
            log = (self.root / f"{name}.log").open("w")
            self.processes[name] = subprocess.Popen(self.command(name, *arguments), env=self.environment(), stdout=log,
                                                    stderr=log, start_new_session=True)

    def pid(self, name):
        """The program itself: what stands before it is its parent, as strace is; chroot and an emulator become it."""
        pid = self.processes[name].pid
        if self.before(name):
            return int(pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
        return pid

    def led(self, name):
        """The addresses that the hosts file gives a name."""
        lines = (self.root / "etc/hosts").read_text().splitlines()
        return sorted(line.split()[0] for line in lines if name in line.split()[1:] and not line.startswith("#"))

    def alive(self):
        for name, process in self.processes.items():
            if process.poll() is not None:
                raise Failed(f"the {name} ended with {process.returncode}: {(self.root / f'{name}.log').read_text()[-1500:]}")

    def leads(self, name, addresses, seconds=30):
        def seen():
            self.alive()
            found = self.led(name)
            return found == sorted(addresses) or found
        try:
            until(f"{name} leads to {sorted(addresses)} in the hosts file", seen, seconds)
        except Failed as failed:
            raise Failed(f"{failed}\n{self.logs()}") from None

    def logs(self):
        """The ends of both."""
        return "\n".join((self.root / f"{one}.log").read_text()[-1500:] for one in ("writer", "agent"))

    def asked(self, name):
        """The addresses that the stub answers with."""
        question = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0\0\1\0\1"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(5)
            client.sendto(struct.pack(">6H", 7, 256, 1, 0, 0, 0) + question, ("127.0.0.1", self.stub))
            reply = client.recv(4096)
        records = re.findall(rb"\x00\x01\x00\x01.{4}\x00\x04(.{4})", reply[12 + len(question):], re.S)
        return sorted(socket.inet_ntoa(record) for record in records)

    def stop(self):
        """SIGTERM to both; their exit codes."""
        codes = {}
        for name, process in self.processes.items():
            if process.poll() is None:
                os.kill(self.pid(name), signal.SIGTERM)
            try:
                codes[name] = process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                codes[name] = f"killed: {process.wait()}"
        self.processes = {}
        return codes

    def main_job(self):
        """The whole of it; raises Failed."""
        self.configure()
        self.run("check")
        orders, ledger = self.cloud.zones(self.orders), self.cloud.zones(self.ledger)
        self.start()
        try:
            self.leads(ORDERS, orders.values())
            self.leads(LEDGER, ledger.values())
            until("the status says that all is well", self.well)
            until("the stub answers like the hosts file", lambda: self.asked(LEDGER) == sorted(ledger.values()) or self.asked(LEDGER))
            metrics = urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}/metrics", timeout=10).read().decode()
            if "privatelink_build_info" not in metrics:
                raise Failed(f"no privatelink_build_info in the metrics: {metrics[:500]}")
            for arguments in (("plan",), ("discover",), ("probe",), ("hosts", "show"), ("hosts", "diff"), ("route", "show")):
                # The last three also say "no", which is an answer.
                self.run(*arguments, codes=(0, 1) if len(arguments) > 1 else (0,))
            zone, lost = sorted(ledger.items())[0]
            self.cloud.mode(self.ledger, zone, "refused")
            self.leads(LEDGER, [address for address in ledger.values() if address != lost])
            self.cloud.mode(self.ledger, zone, "up")
            # What is back has to prove itself first.
            self.leads(LEDGER, ledger.values(), 120)
            os.kill(self.pid("agent"), signal.SIGHUP)
            os.kill(self.pid("writer"), signal.SIGHUP)
            until("the status after a reload says that all is well", self.well)
            self.alive()
        finally:
            codes = self.stop()
        if set(codes.values()) != {0}:
            raise Failed(f"expected exit code 0 of both after SIGTERM, found {codes}\n{self.logs()}")

    def well(self):
        try:
            self.run("status")
        except Failed as failed:
            return str(failed)[-600:]
        return True
