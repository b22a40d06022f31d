"""The servers of the zones: stand-ins, and real MariaDB."""

import json
import os
import shutil
import signal
import subprocess
import time

from net import run


class Standins:
    """A process with stand-ins, in a zone. `spare` ones wait for start()."""

    def __init__(self, net, zone, binary, work, label, specs, spare=False):
        self.addresses = {spec["at"] for spec in specs}
        self.ca = os.path.join(work, f"{label}.ca.pem")
        path = os.path.join(work, f"{label}.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(specs, file)
        command = net.inside(zone, binary, path, self.ca, *(["spare"] if spare else []))
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.label = label
        self.expect("ready")

    def expect(self, word):
        said = self.process.stdout.readline().strip()
        if said != word:
            raise RuntimeError(f"{self.label}: expected {word!r}, found {said!r}")

    def say(self, **line):
        self.process.stdin.write(json.dumps(line) + "\n")
        self.process.stdin.flush()
        self.expect("ok")

    def mode(self, at, mode):
        self.say(at=at, mode=mode)

    def start(self):
        self.process.stdin.write("start\n")
        self.process.stdin.flush()
        self.expect("ok")

    def signal(self, number):
        self.process.send_signal(number)
        if number == signal.SIGKILL:
            self.process.wait()

    def end(self):
        self.process.kill()
        self.process.wait()


class Greeters:
    """A process of standin.py in a zone."""

    def __init__(self, net, zone, work, label, specs):
        path = os.path.join(work, f"{label}.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(specs, file)
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "standin.py")
        self.process = subprocess.Popen(net.inside(zone, "python3", script, path),
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.label = label
        self.expect("ready")

    expect, say, signal, end = Standins.expect, Standins.say, Standins.signal, Standins.end


class MariaDb:
    """A real server on all these addresses of a zone, with these users."""

    FIRST = None

    def __init__(self, net, zone, work, label, addresses, users, options=()):
        self.net, self.zone, self.work, self.label, self.addresses = net, zone, work, label, addresses
        self.options = options
        self.data = os.path.join(work, f"{label}.data")
        self.socket = os.path.join(work, f"{label}.sock")
        if MariaDb.FIRST is None:
            MariaDb.FIRST = os.path.join(work, "mariadb.first")
            run("mariadb-install-db", "--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db",
                f"--datadir={MariaDb.FIRST}", "--user=root")
        shutil.copytree(MariaDb.FIRST, self.data)
        self.users = os.path.join(work, f"{label}.sql")
        with open(self.users, "w", encoding="utf-8") as file:
            file.write("delete from mysql.global_priv where user = '';\nflush privileges;\n")
            for user, secret in users:
                file.write(f"create or replace user '{user}'@'%' identified by '{secret}';\n")
        self.launch()

    def launch(self):
        command = self.net.inside(
            self.zone, "mariadbd", "--no-defaults", "--user=root", f"--datadir={self.data}", "--port=3306",
            f"--bind-address={','.join(self.addresses)}", f"--socket={self.socket}", f"--pid-file={self.data}.pid",
            f"--log-error={self.work}/{self.label}.err", "--innodb-buffer-pool-size=16M", "--performance-schema=OFF",
            "--skip-log-bin", "--skip-name-resolve", f"--init-file={self.users}", *self.options)
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def wait(self):
        for _ in range(600):
            if self.process.poll() is not None:
                break
            try:
                return self.sql("select 1")
            except RuntimeError:
                time.sleep(0.05)
        with open(f"{self.work}/{self.label}.err", encoding="utf-8", errors="replace") as file:
            raise RuntimeError(f"{self.label} does not answer: {file.read()[-2000:]}")

    def sql(self, text):
        return run("mariadb", "--no-defaults", "-u", "root", "-S", self.socket, "-BN", "-e", text)

    def signal(self, number):
        self.process.send_signal(number)
        if number == signal.SIGKILL:
            self.process.wait()

    def start(self):
        """Again, after it was killed."""
        self.launch()
        self.wait()

    def end(self):
        self.process.kill()
        self.process.wait()
