"""The processes that tests/e2e/check_cost measures, and those that they talk to."""

import http.client
import os
import re
import shutil
import subprocess
import time

ZONES = ["cn-hangzhou-h", "cn-hangzhou-i"]


def until(seconds, attempt):
    """Tries until it works."""
    end = time.monotonic() + seconds
    while True:
        try:
            found = attempt()
            if found is not False:
                return found
        except (OSError, subprocess.CalledProcessError) as error:
            if time.monotonic() > end:
                raise SystemExit(f"gave up waiting: {error}") from error
        if time.monotonic() > end:
            raise SystemExit("gave up waiting")
        time.sleep(0.1)


class Process:
    """A process that ends with its block."""

    def __init__(self, command, log, **more):
        self.log = log
        with open(log, "wb") as out:
            self.child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, **more)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.terminate()
        try:
            self.child.wait(10)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()

    def cpu_ns(self):
        """CPU time of all its threads, those that have ended included: the process's own clock."""
        return time.clock_gettime_ns((~self.child.pid << 3) | 2)

    def memory_kib(self):
        with open(f"/proc/{self.child.pid}/smaps_rollup", encoding="ascii") as rollup:
            found = dict(re.findall(r"^(Pss|Rss):\s+(\d+) kB", rollup.read(), re.MULTILINE))
        return int(found["Pss"]), int(found["Rss"])


class Standins:
    """Stand-ins for databases, so many of each kind."""

    TOKEN = "5ca1ab1e0standin0token0of0the0agent0001"
    USER = "01926ad5-7c1e-7f3a-9b2d-3c4e5f607182:admin:accountadmin"
    PASSWORD = "standin-password-of-admin-01"

    def __init__(self, program, work, counts):
        work.mkdir()
        self.ca = work / "ca.pem"
        asked = [f"{kind}={count}" for kind, count in counts.items()]
        self.process = Process([program, str(work), *asked], work / "log")
        until(30, (work / "targets").exists)
        self.targets = {kind: [] for kind in counts}
        for line in (work / "targets").read_text().splitlines():
            kind, zone, address, _, _ = line.split()
            self.targets[kind].append((zone, address))

    def __enter__(self):
        return self

    def __exit__(self, *why):
        self.process.__exit__(*why)


class Database:
    """MariaDB at a port of every loopback address, with the user `probe`."""

    port = 19306

    def __init__(self, work):
        work.mkdir()
        self.password = work / "pw"
        self.password.write_text("right\n")
        self.password.chmod(0o600)
        self.dsn = f"probe:right@(127.214.0.1:{self.port})/"
        data, socket = work / "data", work / "socket"
        subprocess.run(
            ["mariadb-install-db", "--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db",
             f"--datadir={data}", "--user=root"], check=True, stdout=subprocess.DEVNULL)
        self.process = Process(
            ["mariadbd", "--no-defaults", "--user=root", f"--datadir={data}", f"--port={self.port}",
             "--bind-address=0.0.0.0", f"--socket={socket}", "--innodb-buffer-pool-size=16M", "--skip-log-bin",
             "--performance-schema=OFF", "--max-connections=600", "--skip-name-resolve"], work / "log")
        sql = ("delete from mysql.global_priv where user = ''; flush privileges;"
               "create user probe@'%' identified by 'right'; grant process, replication client, slave monitor, select"
               " on *.* to probe@'%'")
        until(30, lambda: subprocess.run(
            ["mariadb", "--no-defaults", "-u", "root", "-S", str(socket), "-e", sql], check=True,
            stderr=subprocess.DEVNULL))

    def __enter__(self):
        return self

    def __exit__(self, *why):
        self.process.__exit__(*why)

    @staticmethod
    def addresses(count):
        return ((ZONES[i % 2], f"127.214.{1 + i // 200}.{1 + i % 200}") for i in range(count))


class Agent:
    """An agent with a folder and a hosts file of its own."""

    port = 19966

    def __init__(self, program, work, endpoints):
        shutil.rmtree(work, ignore_errors=True)
        for folder in ("", "state", "run", "writer-run", "writer-state"):
            (work / folder).mkdir()
        (work / "hosts").write_text("127.0.0.1 localhost\n")
        # Nothing in here asks a cloud, and nothing could.
        (work / "config.toml").write_text(f"""
[host]
zone = "{ZONES[0]}"
instance_id = "i-test"
state_dir = "{work}/state"
run_dir = "{work}/run"
[cloud]
metadata_endpoint = "http://127.0.0.1:9"
api_endpoint = "http://127.0.0.1:9"
resolvers = ["127.0.0.1:9"]
[hosts]
path = "{work}/hosts"
allowed_ranges = ["127.0.0.0/8"]
run_dir = "{work}/writer-run"
state_dir = "{work}/writer-state"
[metrics]
listen = "127.0.0.1:{self.port}"

{endpoints}""")
        self.process = Process([program, "--config", str(work / "config.toml"), "run", "--all-in-one"], work / "log")
        until(30, self.is_ready)

    def __enter__(self):
        return self

    def __exit__(self, *why):
        self.process.__exit__(*why)

    def get(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read().decode()
        connection.close()
        return response.status, body

    def is_ready(self):
        if self.process.child.poll() is not None:
            raise SystemExit(f"the agent ended:\n{self.process.log.read_text()}")
        return self.get("/readyz")[0] == 200

    def probes(self):
        """All checks so far, and those that failed."""
        _, body = self.get("/metrics")

        def total(metric):
            return sum(int(float(n)) for n in re.findall(rf"^{metric}(?:{{.*}})? (\S+)$", body, re.MULTILINE))
        return total("privatelink_probes_total"), total("privatelink_probe_failures_total")
