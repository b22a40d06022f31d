"""Kills an update of the hosts file at every system call, and makes every call fail. See ../hosts_faults."""

import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

FOREIGN = "127.0.0.1 localhost\n# a line of others\n10.9.9.9 other.example.com\n"
BLOCK = (
    "# BEGIN privatelinkd (managed by privatelinkd: changes in here are overwritten)\n"
    "# db.example.com: healthy\n10.0.0.{} db.example.com\n# END privatelinkd\n"
)
OLD, NEW = FOREIGN + BLOCK.format(1), FOREIGN + BLOCK.format(2)
# In place, where the lines of others behind the block move: the file gets longer, or shorter.
TAIL = "10.9.9.10 behind.example.com\n# and another line of others\n"
SHORT = FOREIGN + BLOCK.format(2) + TAIL
LONG = SHORT.replace("10.0.0.2 db", "10.0.0.2 db.example.com\n10.0.0.3 db")
# What is written how: the file before and after, and the addresses.
KINDS = {
    "replaced": (OLD, NEW, ["10.0.0.2"], "false"),
    "in place, longer": (SHORT, LONG, ["10.0.0.2", "10.0.0.3"], "true"),
    "in place, shorter": (LONG, SHORT, ["10.0.0.2"], "true"),
}
EDIT = "10.8.8.8 added.by.an.editor\n"
ERRORS = ["ENOSPC", "EIO", "EROFS", "EINTR", "EDQUOT", "EPERM"]
ALWAYS = "1+"
# Calls that touch files, beside fcntl where it is about a lease; of the others (memory, signals) no file system makes
# one fail, and a file is closed whatever close says.
OF_FILES = {
    "access", "chmod", "fallocate", "fchmod", "fchown", "fdatasync", "fgetxattr", "flistxattr",
    "flock", "fremovexattr", "fsetxattr", "fstat", "fsync", "ftruncate", "getdents64", "lseek", "lstat", "mkdir",
    "newfstatat", "open", "openat", "pread64", "pwrite64", "read", "readlink", "rename", "renameat", "renameat2", "rmdir",
    "stat", "statx", "unlink", "unlinkat", "utimensat", "write",
}  # fmt: skip
# With an editor beside it a run may have one or two of these less than without, by how the heap falls out. Nothing
# outside of the program tells a kill there from one at the next call, which is a point of its own.
OF_HEAP = "brk"
# So many points may fall out for it, all told.
MOST_WITHOUT = 4


class World:
    """Files of its own, put back to the start for each point."""

    def __init__(self, agent, folder, disk=None):
        """What outlives a reboot is on the disk."""
        self.agent, self.folder, disk, self.without = agent, folder, disk or folder, 0
        self.etc, self.run, self.state = disk / "etc", folder / "run-hosts", disk / "state"
        self.hosts, self.config = self.etc / "hosts", folder / "config/config.toml"
        (folder / "config").mkdir(parents=True)
        (folder / "run").mkdir()

    def begin(self, kind):
        self.kind = kind
        self.old, self.new, addresses, in_place = KINDS[kind]
        folder = self.folder
        self.config.write_text(
            f'[host]\nrun_dir = "{folder}/run"\nstate_dir = "{folder}/agent"\n'
            f'[hosts]\npath = "{self.hosts}"\nrun_dir = "{self.run}"\nstate_dir = "{self.state}"\n'
            f"in_place = {in_place}\n"
            '[[endpoint]]\nname = "db"\naddresses = { z = "10.0.0.2" }\nprivate_dns = ["db.example.com"]\n'
            'probe = { kind = "tcp", port = 5432 }\n'
        )
        for each in (self.etc, self.run, self.state):
            shutil.rmtree(each, ignore_errors=True)
            each.mkdir()
        self.hosts.write_text(self.old)
        (self.state / "hosts.orig").write_text(FOREIGN)
        (self.state / "block.json").write_text(
            json.dumps({"format": 1, "entries": {"db.example.com": {"addresses": addresses, "reason": "healthy"}}})
        )

    def apply(self, *strace, limit=None):
        def prepare():
            if limit is not None:
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        command = [*strace, self.agent, "--config", self.config, "hosts", "apply"]
        return subprocess.run(
            command, preexec_fn=prepare, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
        )

    def points(self, kind):
        """Each system call of a clean run from the first touch of the lock on: its name, which one of its thread it is (so
        strace counts them), whether a file system or a lease can make it fail."""
        self.begin(kind)
        trace = self.folder / "trace"
        done = self.apply("strace", "-f", "-qq", "-o", str(trace))
        assert done.returncode == 0 and self.hosts.read_text() == self.new, f"a clean run fails: {done.stderr}"
        counts, points, begun = collections.Counter(), [], False
        for line in trace.read_text(errors="replace").splitlines():
            call = re.match(r"(\d+) +([a-z0-9_]+)\(", line)
            if call is None:
                continue
            thread, name = call[1], call[2]
            counts[thread, name] += 1
            begun = begun or "hosts.lock" in line
            if begun and name not in ("execve", "exit_group"):
                fails = name in OF_FILES or "F_SETLEASE" in line or "F_SETSIG" in line
                points.append((thread, name, counts[thread, name], fails))
        # Of the thread that parses the command line none comes so late; but a fault at one that it has, too, would hit
        # it long before: some of the memory that goes when all is done.
        parser = {thread for thread, _ in counts} - {thread for thread, *_ in points}
        return [
            (name, number, fails)
            for _, name, number, fails in points
            if all(counts[thread, name] < number for thread in parser)
        ]

    def left(self):
        """What is there that should not be."""
        beside = {each.name for each in self.etc.iterdir()} - {"hosts"}
        records = {each.name for each in self.run.iterdir()} - {"hosts.lock"}
        state = {each.name for each in self.state.iterdir()} - {"block.json", "hosts.orig"}
        return sorted(beside | records | state)

    def check(self, what, done, edited):
        """What is wrong after a fault, in sentences. Somebody may have edited the file meanwhile."""
        wrong = []
        there = self.hosts.read_text()
        whole = self.whole(self.old, edited) + self.whole(self.new, edited)
        # What is killed while it writes in place is finished by the next run.
        if there not in whole and not (self.kind != "replaced" and what.startswith("SIGKILL")):
            wrong.append(f"neither the old nor the new file: {there!r}")
        if done and done.returncode == 0 and there not in self.whole(self.new, edited):
            wrong.append("it says that it wrote what is not there")
        again = self.apply()
        if again.returncode != 0:
            wrong.append(f"the next run fails: {again.stderr.strip()}")
        lines = collections.Counter(self.hosts.read_text().splitlines())
        expected = collections.Counter((self.new + EDIT if edited else self.new).splitlines())
        if lines != expected:
            wrong.append(f"lost {sorted(expected - lines)}, found {sorted(lines - expected)}")
        # A temporary file of the state folder goes when the writer starts.
        left = [name for name in self.left() if not re.fullmatch(r"\.block\.json\.privatelinkd-[0-9a-f]{16}\.tmp", name)]
        if left:
            wrong.append(f"left behind: {left}")
        return [f"{self.kind}: {what}: {each}" for each in wrong]

    def whole(self, content, edited):
        """The file with this content, without the edit or with it, before the block or behind it."""
        folded = content.replace("# BEGIN", EDIT + "# BEGIN")
        return [content] + ([content + EDIT, folded] if edited else [])

    def injecting(self, calls, fault, limit=None):
        """Runs it with a fault. What came of it, and these calls as strace saw them."""
        # Not into a file, which would have the limit, too.
        done = self.apply("strace", "-f", "-qq", "-e", f"trace={calls}", "-e", f"inject={fault}", limit=limit)
        return done, done.stderr.splitlines()

    def fault(self, kind, fault, call, number):
        self.begin(kind)
        action = "signal=KILL" if fault == "SIGKILL" else f"error={fault}"
        over = threading.Event()
        editor = threading.Thread(target=self.edit, args=(self.hosts.open("a"), over))
        editor.start()
        try:
            done, seen = self.injecting(call, f"{call}:{action}:when={number}")
        finally:
            over.set()
            editor.join()
        what = f"{fault} at {call} {number}"
        if fault == "SIGKILL":
            happened = done.returncode == -signal.SIGKILL
            if not happened and call == OF_HEAP and len(seen) < number:
                self.without += 1
                return self.check(what, done, True)
        else:
            injected = [line for line in seen if "(INJECTED)" in line]
            many = bool(injected) if number == ALWAYS else len(injected) == 1
            happened = many and all(f" = -1 {fault} " in line for line in injected)
        return self.never(happened, what, seen) + self.check(what, done, True)

    def never(self, happened, what, seen):
        return [] if happened else [f"{what}: it never happened; the last calls: {seen[-3:]}"]

    def edit(self, held, over):
        """Writes into the file that he has open once that is displaced, or when it is over without."""
        with held:
            while not over.wait(0.001) and os.fstat(held.fileno()).st_ino == self.inode():
                pass
            held.write(EDIT)
            held.flush()
            os.fsync(held.fileno())

    def inode(self):
        return self.hosts.stat().st_ino

    def short_write(self, kind, limit):
        self.begin(kind)
        done, seen = self.injecting("fallocate,write", "fallocate:error=EOPNOTSUPP", limit=limit)
        what = f"short write of {limit} bytes"
        # What is left of it fails when it is tried.
        short = [line for line in seen if (call := re.search(r", (\d+)\) += (\d+)$", line)) and call[1] != call[2]]
        refused = [line for line in seen if " EFBIG " in line]
        wrong = self.never(len(short) == len(refused) == 1, what, seen)
        wrong += [] if done.returncode != 0 else [f"{what}: they are enough"]
        return wrong + self.check(what, done, False)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--agent", required=True, type=os.path.abspath)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hosts-faults-") as folder:
        began = time.monotonic()
        # Most of the time they wait: a command waits a second after it has folded an edit in.
        workers = 8 * (os.cpu_count() or 1)
        free = [World(options.agent, pathlib.Path(folder) / str(n)) for n in range(workers)]
        jobs = []
        for kind, (_, new, *_) in KINDS.items():
            points = free[0].points(kind)
            jobs += [(kind, "SIGKILL", call, number) for call, number, _ in points]
            jobs += [(kind, error, call, number) for error in ERRORS for call, number, fails in points if fails]
            # A file system without leases: nobody can tell who has a file open.
            jobs += [(kind, "EACCES", "fcntl", ALWAYS)]
            jobs += [(kind, "short write", limit) for limit in range(1, len(new), 37)]

        def run(job):
            # No more jobs run at once than there are worlds.
            world = free.pop()
            try:
                return world.short_write(job[0], job[2]) if job[1] == "short write" else world.fault(*job)
            finally:
                free.append(world)

        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            wrong = [each for result in pool.map(run, jobs) for each in result]
    without = sum(world.without for world in free)
    if without > MOST_WITHOUT:
        wrong.append(f"{without} runs lack a call of {OF_HEAP}, expected at most {MOST_WITHOUT}")
    for each in wrong:
        print(f"FAILED {each}")
    for (kind, fault), count in collections.Counter(job[:2] for job in jobs).items():
        print(f"{kind:18} {fault:12} {count:5} points")
    print(f"{len(jobs) - without} points tried in {time.monotonic() - began:.0f} s, {len(wrong)} failed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
