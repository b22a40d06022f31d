"""Runs the hosts writer on hosts files of several sizes and measures it. See ../hosts_cost."""

import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import handover

MIB = 1024 * 1024
TICKS = os.sysconf("SC_CLK_TCK")
ROUNDS = 8
# Until what an update displaced is settled, and the file known by its stamp.
QUIET = 9


def plan(last, reason="healthy"):
    return handover.of({"db.example.com": [f"10.0.0.{last}"]}, reason)


class Writer:
    """A writer at work in a folder."""

    def __init__(self, program, folder, lines, in_place):
        self.run, self.hosts = folder / "run", folder / "etc/hosts"
        for each in ("run", "etc", "config", "peer"):
            (folder / each).mkdir()
        self.peer = folder / "peer"
        content = "".join(f"10.{n // 62500 % 250}.{n // 250 % 250}.{n % 250} n{n}.example\n" for n in range(lines))
        self.hosts.write_text(content)
        self.size = len(content)
        config = folder / "config/config.toml"
        config.write_text(
            f'[host]\nrun_dir = "{self.run}"\n[hosts]\npath = "{self.hosts}"\nrun_dir = "{folder}/run-hosts"\n'
            f'state_dir = "{folder}/state"\nin_place = {json.dumps(in_place)}\n[[endpoint]]\nname = "db"\n'
            'addresses = { z = "10.0.0.1" }\nprivate_dns = ["db.example.com"]\n'
            'probe = { kind = "tcp", port = 5432 }\n'
        )
        (self.run / "alive").touch()
        self.last = 1
        self.log = open(folder / "log", "wb")
        environment = {**os.environ, "MALLOC_ARENA_MAX": "1"}  # As the unit has it.
        command = [program, "--config", config, "hosts", "run"]
        before = self.stamp()
        handover.put(self.run, plan(self.last))
        self.process = subprocess.Popen(command, stderr=self.log, stdout=self.log, env=environment)
        self.waits(before)

    def stamp(self):
        facts = os.stat(self.hosts)
        return facts.st_ino, facts.st_mtime_ns

    def waits(self, before):
        end = time.monotonic() + 60
        while self.stamp() == before:
            assert time.monotonic() < end and self.process.poll() is None, f"nothing is written; see {self.log.name}"
            time.sleep(0.0002)

    def update(self):
        """How long the next update takes, in seconds."""
        self.last = 3 - self.last
        before, began = self.stamp(), time.monotonic()
        handover.put(self.run, plan(self.last))
        self.waits(before)
        took = time.monotonic() - began
        assert f"\n10.0.0.{self.last} db.example.com\n".encode() in self.tail(), "another content is there"
        return took

    def tail(self):
        with open(self.hosts, "rb") as file:
            file.seek(max(0, os.stat(self.hosts).st_size - 4096))
            return file.read()

    def commands(self):
        """How long the commands cp, sync and mv take, as an admin's script has them."""
        began = time.monotonic()
        script = 'cp -p "$1" "$2/new" && sync "$2/new" && mv "$2/new" "$2/hosts"'
        subprocess.run(["sh", "-c", script, "sh", self.hosts, self.peer], check=True)
        return time.monotonic() - began

    def copy(self):
        """How long their system calls take by themselves."""
        began = time.monotonic()
        with open(self.hosts, "rb") as old, open(self.peer / "new", "wb") as new:
            left = os.stat(self.hosts).st_size
            while left > 0:
                left -= os.copy_file_range(old.fileno(), new.fileno(), left) or left
            os.fsync(new.fileno())
        os.rename(self.peer / "new", self.peer / "hosts")
        return time.monotonic() - began

    def floor(self):
        """How long the least takes that loses nothing: to read it, to write and sync it anew, and to keep the old one."""
        began = time.monotonic()
        content = self.hosts.read_bytes()
        with open(self.peer / "new", "wb") as new:
            new.write(content + b"#\n")
            new.flush()
            os.fsync(new.fileno())
        (self.peer / "kept").write_bytes(content)
        os.rename(self.peer / "new", self.peer / "hosts")
        return time.monotonic() - began

    def cpu(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory(self, file, key):
        text = pathlib.Path(f"/proc/{self.process.pid}/{file}").read_text()
        return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith(f"{key}:"))

    def settles(self):
        """Waits until the writer has nothing to do any more, however busy this machine is."""
        time.sleep(QUIET)
        for _ in range(30):
            before = self.cpu()
            time.sleep(2)
            if self.cpu() - before <= 1 / TICKS:
                return
        raise AssertionError("the writer finds no rest")

    def rest(self):
        self.settles()
        return self.memory("smaps_rollup", "Pss")

    def peak(self):
        """What the resident set grows by during an update."""
        before = self.memory("status", "VmRSS")
        pathlib.Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")
        self.update()
        self.settles()
        return self.memory("status", "VmHWM") - before

    def writes_for_nothing(self):
        """True if another reason for the same addresses, and an agent that is alive, write anything."""
        before = self.stamp()
        for n in range(20):
            handover.put(self.run, plan(self.last, ["stale", "all_down_kept", "healthy"][n % 3]))
            os.utime(self.run / "alive")
            time.sleep(0.1)
        time.sleep(6)
        return self.stamp() != before


def own_cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def measure(writer):
    """Times and CPU of updates and of what they are compared with, in turn: medians in ms, CPU in ms each."""
    updates, commands, copies, floors, of_copies, before = [], [], [], [], 0.0, writer.cpu()
    for _ in range(ROUNDS):
        updates.append(writer.update())
        time.sleep(0.4)
        commands.append(writer.commands())
        time.sleep(0.1)
        floors.append(writer.floor())
        time.sleep(0.1)
        began = own_cpu()
        copies.append(writer.copy())
        of_copies += own_cpu() - began
        time.sleep(0.1)
    writer.settles()
    of_updates = writer.cpu() - before
    medians = [1000 * statistics.median(each) for each in (updates, commands, copies, floors)]
    return *medians, 1000 * of_updates / ROUNDS, 1000 * of_copies / ROUNDS


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--writer", required=True, type=os.path.abspath)
    options = options.parse_args()
    wrong, rests = [], []
    columns = ("update", "cp", "ratio", "calls", "ratio", "floor", "ratio", "CPU", "of calls", "rest", "peak", "file")
    widths = (8, 8, 6, 8, 6, 8, 6, 8, 8, 9, 9, 9)
    print(" " * 31, *(f"{name:>{width}}" for name, width in zip(columns, widths)))
    for in_place in ("auto", True):
        for lines in (10, 100_000, 1_000_000):
            with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/var/tmp")) as folder:
                writer = Writer(options.writer, pathlib.Path(folder), lines, in_place)
                try:
                    rest = writer.rest()
                    update, *peers, cpu, of_copy = measure(writer)
                    peak, after = writer.peak(), writer.rest()
                    for_nothing = writer.writes_for_nothing()
                finally:
                    writer.process.terminate()
                    writer.process.wait()
            what = f"{lines:9,} lines, {'in place' if in_place is True else 'replaced'}"
            print(
                f"{what:31} {update:5.1f} ms",
                *(f"{peer:5.1f} ms {update / peer:6.2f}" for peer in peers),
                f"{cpu:5.1f} ms {of_copy:5.1f} ms"
                f" {max(rest, after) / MIB:5.1f} MiB {peak / MIB:5.1f} MiB {writer.size / MIB:5.1f} MiB",
                flush=True,
            )
            rests.append(max(rest, after))
            if peak > 2 * writer.size + 4 * MIB:
                wrong.append(f"{what}: an update takes more than twice the file and 4 MiB")
            if for_nothing:
                wrong.append(f"{what}: written although no address changed")
    if max(rests) > min(rests) + 2 * MIB:
        wrong.append("memory at rest grows with the file")
    sys.exit("\n".join(wrong) if wrong else 0)


main()
