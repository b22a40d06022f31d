"""Runs the hosts writer on files of its own, floods what it watches, and reads its CPU time. See ../writer_cost."""

import argparse
import multiprocessing
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import handover

LARGE = 8192
TICKS = os.sysconf("SC_CLK_TCK")


def name(n):
    return f"n{n:05}.db.example.com"


def plan(names, last):
    return handover.of({name(n): [f"10.0.{n % 250}.{last}"] for n in range(names)})


def quiet(_run, _count):
    time.sleep(3600)


def touch_alive(run, count):
    alive = run / "alive"
    while True:
        os.utime(alive)
        count.value += 1


def rewrite(plans):
    def loop(run, count):
        while True:
            handover.put(run, plans[count.value % len(plans)])
            count.value += 1

    return loop


class Writer:
    """A writer at work in a folder."""

    def __init__(self, program, folder):
        self.run, self.hosts = folder / "run", folder / "etc/hosts"
        for each in (self.run, folder / "etc", folder / "config"):
            each.mkdir()
        self.hosts.write_text("127.0.0.1 localhost\n")
        names = ", ".join(f'"{name(n)}"' for n in range(LARGE))
        config = folder / "config/config.toml"
        config.write_text(
            f'[host]\nrun_dir = "{self.run}"\n[hosts]\npath = "{self.hosts}"\nrun_dir = "{folder}/run-hosts"\n'
            f'state_dir = "{folder}/state"\n[[endpoint]]\nname = "db"\naddresses = {{ z = "10.0.0.1" }}\n'
            f"private_dns = [{names}]\nprobe = {{ kind = \"tcp\", port = 5432 }}\n"
        )
        (self.run / "alive").touch()
        handover.put(self.run, plan(1, 1))
        self.log = open(folder / "log", "wb")
        self.process = subprocess.Popen([program, "--config", config, "hosts", "run"], stderr=self.log, stdout=self.log)
        self.waits_for(f"10.0.0.1 {name(0)}\n")

    def waits_for(self, line):
        end = time.monotonic() + 30
        while line not in self.hosts.read_text():
            assert time.monotonic() < end and self.process.poll() is None, f"no {line!r}; see {self.log.name}"
            time.sleep(0.05)

    def cpu(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def files(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def window(self, loop, seconds):
        """% of a core, rewrites a second, rounds of the loop a second, most open files."""
        count = multiprocessing.Value("Q", 0, lock=False)
        flood = multiprocessing.Process(target=loop, args=(self.run, count), daemon=True)
        flood.start()
        time.sleep(1)
        began, cpu, rounds = time.monotonic(), self.cpu(), count.value
        inodes, files, last = 0, 0, os.stat(self.hosts).st_ino
        while time.monotonic() < began + seconds:
            time.sleep(0.02)
            now, files = os.stat(self.hosts).st_ino, max(files, self.files())
            inodes, last = inodes + (now != last), now
        passed = time.monotonic() - began
        percent, rounds = 100 * (self.cpu() - cpu) / passed, (count.value - rounds) / passed
        flood.kill()
        flood.join()
        return percent, inodes / passed, rounds, files


def limits(unit):
    text = pathlib.Path(unit).read_text()
    return [int(re.search(rf"^{key}=(\d+)", text, re.M)[1]) for key in ("CPUQuota", "LimitNOFILE")]


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--writer", required=True)
    options.add_argument("--unit", required=True)
    options.add_argument("--quick", action="store_true")
    options = options.parse_args()
    seconds = 8 if options.quick else 30
    small, large = ([plan(names, last) for last in (1, 2, 3)] for names in (1, LARGE))
    loops = {
        "quiet": quiet,
        "alive touched": touch_alive,
        "plan rewritten, 1 name": rewrite(small),
        "plan rewritten, unreadable": rewrite([b"{"]),
        "plan rewritten, large": rewrite(large),
    }
    quota, most_files = limits(options.unit)
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        writer = Writer(options.writer, pathlib.Path(folder))
        print(f"{'':28} {'% of a core':>11} {'rewrites/s':>10} {'loops/s':>9} {'files':>5}")
        try:
            for what, loop in loops.items():
                percent, rewrites, rounds, files = writer.window(loop, seconds)
                print(f"{what:28} {percent:11.1f} {rewrites:10.2f} {rounds:9.0f} {files:5}", flush=True)
                if percent > quota / 2 or files > most_files / 2:
                    failed.append(what)
        finally:
            writer.process.terminate()
            writer.process.wait()
    print(f"the unit has CPUQuota={quota}% and LimitNOFILE={most_files}")
    sys.exit(f"too much: {', '.join(failed)}" if failed else 0)


main()
