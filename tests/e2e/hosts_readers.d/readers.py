"""Readers of /etc/hosts, all the time, while it is rewritten a thousand times. See ../hosts_readers."""

import argparse
import collections
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time

import handover

HERE = pathlib.Path(__file__).parent
ALL, H, I, OTHERS = "db.example.com", "db-h.example.com", "db-i.example.com", "other.example.net"
NAMES = (ALL, H, I, OTHERS)
# Go reads the file again after five seconds at the earliest, c-ares and nscd sooner.
PATIENCE = 20
passed, failed = 0, 0


def check(what, good, detail=""):
    global passed, failed
    passed, failed = passed + good, failed + (not good)
    print(f"ok     {what}" if good else f"FAILED {what}: {detail}", flush=True)


def answers(number):
    """All as long as each other, so that the size tells nothing."""
    h = f"10.1{number // 250 % 100:02}.10{number % 10}.{100 + number % 150}"
    i = f"10.2{number % 50:02}.{100 + number % 150}.100"
    return {ALL: [h, i], H: [h], I: [i]}


class Writer:
    def __init__(self, program, folder):
        self.folder, self.number, self.inodes = folder, 0, set()
        for name in ("run", "config"):
            (folder / name).mkdir()
        config = folder / "config/config.toml"
        config.write_text(
            f'[host]\nrun_dir = "{folder}/run"\n[hosts]\nrun_dir = "{folder}/run-hosts"\nstate_dir = "{folder}/state"\n'
            f'[[endpoint]]\nname = "db"\naddresses = {{ h = "10.0.0.1", i = "10.0.0.2" }}\nprivate_dns = ["{ALL}"]\n'
            f'probe = {{ kind = "tcp", port = 5432 }}\n[[endpoint.zone]]\nid = "h"\nprivate_dns = ["{H}"]\n'
            f'[[endpoint.zone]]\nid = "i"\nprivate_dns = ["{I}"]\n'
        )
        self.command = [program, "--config", config, "hosts", "apply"]

    def rewrite(self, times):
        for _ in range(times):
            self.number += 1
            handover.put(self.folder / "run", handover.of(answers(self.number), zone_names=[H, I]))
            done = subprocess.run(self.command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
            assert done.returncode == 0 and "written" in done.stdout, done.stdout + done.stderr
            self.inodes.add(os.stat("/etc/hosts").st_ino)

    def expected(self):
        return {**answers(self.number), OTHERS: ["10.9.9.9"]}


class Reader:
    """A program that looks all names up without end."""

    def __init__(self, title, command):
        self.title, self.found, self.missed, self.lookups = title, {}, [], 0
        self.process = subprocess.Popen(
            ["nice", "-n", "19", *map(str, command)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.changes = collections.Counter()
        self.thread = threading.Thread(target=self.listen)
        self.thread.start()

    def listen(self):
        for line in self.process.stdout:
            kind, *rest = line.split()
            if kind == "found":
                self.found[rest[0]] = sorted(rest[1].split(","))
                self.changes[rest[0]] += 1
            elif kind == "lookups":
                self.lookups = int(rest[0])
            else:
                self.missed.append(line.strip())

    def sees(self, expected):
        """After how many seconds it sees this; None if it doesn't."""
        began = time.monotonic()
        expected = {name: sorted(addresses) for name, addresses in expected.items()}
        while time.monotonic() < began + PATIENCE:
            if self.found == expected:
                return time.monotonic() - began
            time.sleep(0.01)
        return None

    def end(self):
        self.process.stdin.close()
        self.thread.join()
        self.process.wait()


def judge(reader, expected):
    after = reader.sees(expected)
    reader.end()
    good = reader.process.returncode == 0 and reader.lookups > 0 and not reader.missed
    check(f"{reader.title}: none of {reader.lookups} lookups misses a name", good, f"{reader.missed[:5]}")
    seen = f"({'never' if after is None else f'after {after:.1f} s'}, {reader.changes[ALL]} answers)"
    check(f"{reader.title}: the last change is seen, by every name {seen}", after is not None, str(reader.found))


def make(title, command, env=None):
    made = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=env)
    check(f"{title}: the program is made", made.returncode == 0, made.stderr)
    return made.returncode == 0


def programs(folder, fetched):
    """(title, command) of each that can be had."""
    source = HERE / "reader.c"
    if not shutil.which("gcc"):
        print("skipped: glibc, musl and c-ares, since there is no C compiler")
        return
    if make("glibc", ["gcc", "-O1", "-o", folder / "glibc", source]):
        yield "glibc", [folder / "glibc", *NAMES]
    specs = next(fetched.glob("usr/lib/*-linux-musl/musl-gcc.specs"), None)
    if not specs:
        print("skipped: musl, which is not to be had")
    elif make("musl", ["gcc", "-O1", "-static", "-specs", specs, "-o", folder / "musl", source]):
        yield "musl", [folder / "musl", *NAMES]
    cares = next(fetched.glob("usr/lib/*/libcares.a"), None)
    if not cares:
        print("skipped: c-ares, which is not to be had")
    elif make("c-ares", ["gcc", "-DCARES", "-I", fetched / "usr/include", "-o", folder / "cares", source, cares]):
        yield "c-ares", [folder / "cares", *NAMES]
    if not shutil.which("go"):
        print("skipped: Go, which is not on this system")
        return
    env = dict(os.environ, GOCACHE=fetched / "go-cache", CGO_ENABLED="0", GO111MODULE="off", HOME=str(folder))
    if make("Go", ["go", "build", "-o", folder / "go", HERE / "reader.go"], env):
        yield "Go", [folder / "go", *NAMES]


def in_box(how, base, command):
    """In a mount namespace of its own, which has the host's /etc, or one of its own with the host's hosts file."""
    mounts = {
        "folder": f"mount --bind {base}/host /etc",
        "asking": f"mount --bind {base}/asking /etc",
        "file": f"mount --bind {base}/box /etc; mount --bind {base}/host/hosts /etc/hosts",
    }
    return ["unshare", "--mount", "sh", "-ec", mounts[how] + '; exec "$@"', "box", *command]


def service(title, folder, fetched, place, options, socket):
    """The process of a service, which runs once its socket is there; None if it is not to be had."""
    program = next((found for root in (fetched, pathlib.Path("/")) for found in root.glob(place)), None)
    if not program:
        print(f"skipped: {title}, which is not to be had")
        return None
    socket = pathlib.Path(socket)
    log = open(folder / f"{title}.log", "wb")
    process = subprocess.Popen([program, *options], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    end = time.monotonic() + 10
    while time.monotonic() < end and process.poll() is None and not socket.exists():
        time.sleep(0.05)
    runs = process.poll() is None and socket.exists()
    check(f"{title}: it runs", runs, (folder / f"{title}.log").read_text(errors="replace"))
    return process


def nscd(folder, fetched):
    pathlib.Path("/run/nscd").mkdir(exist_ok=True)
    config = folder / "nscd.conf"
    # As Debian has it.
    config.write_text("paranoia no\nenable-cache hosts yes\npositive-time-to-live hosts 3600\ncheck-files hosts yes\n")
    return service("nscd", folder, fetched, "usr/sbin/nscd", ["-d", "-f", config], "/run/nscd/socket")


def resolved(folder, fetched):
    # It makes its own folder in this one.
    pathlib.Path("/run/systemd").mkdir(exist_ok=True)
    program = "lib/systemd/systemd-resolved"
    return service("systemd-resolved", folder, fetched, program, [], "/run/systemd/resolve/io.systemd.Resolve")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--agent", required=True, type=os.path.abspath)
    parser.add_argument("--folder", required=True, type=pathlib.Path)
    parser.add_argument("--fetched", required=True, type=pathlib.Path)
    parser.add_argument("--rewrites", default=1000, type=int)
    options = parser.parse_args()
    folder = options.folder
    found = list(programs(folder, options.fetched))
    writer = Writer(options.agent, folder)
    writer.rewrite(1)
    readers = [Reader(*each) for each in found]
    if found:
        glibc = found[0][1]
        readers.append(Reader("glibc in a container that has the folder", in_box("folder", folder.parent, glibc)))
        stale = Reader("glibc in a container that has the file", in_box("file", folder.parent, glibc))
        assert stale.sees(writer.expected()) is not None, "the container never saw the file"
    if found and (resolving := resolved(folder, options.fetched)):
        readers.append(Reader("glibc by systemd-resolved", in_box("asking", folder.parent, glibc)))
    began = time.monotonic()
    writer.rewrite(options.rewrites)
    took = time.monotonic() - began
    print(f"        {options.rewrites} rewrites in {took:.0f} s")
    for reader in readers:
        judge(reader, writer.expected())
    if found:
        judge_stale(stale)
    if found and resolving:
        check("systemd-resolved: it still runs", resolving.poll() is None)
        resolving.terminate()
        resolving.wait()
    if found and (process := nscd(folder, options.fetched)):
        reader = Reader("glibc by nscd", found[0][1])
        reader.sees(writer.expected())
        writer.rewrite(100)
        judge(reader, writer.expected())
        process.terminate()
        process.wait()
        asked = (folder / "nscd.log").read_text(errors="replace").count(f"({ALL})")
        check(f"nscd: it was asked ({asked} times for the name of all zones)", asked > 0)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


def judge_stale(reader):
    reader.end()
    good = reader.lookups > 0 and not reader.missed and set(reader.changes.values()) == {1}
    check(f"{reader.title}: it stays as it was at the start, as the manual says", good, str(reader.changes))


if __name__ == "__main__":
    sys.exit(main())
