"""Cuts the power of a disk after every system call of an update of the hosts file. See ../hosts_power_cut."""

import argparse
import collections
import concurrent.futures
import fcntl
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time

import faults

# EXT4_IOC_SHUTDOWN: from then on nothing gets to the disk. What the journal has by then is written first, or is not.
SHUTDOWN = 0x8004587D
FLUSHED, DROPPED = 1, 2
# Nothing is written because time passes, and nothing that nobody asked for: neither the data of a file before the
# journal says that it is there, nor that of one which is renamed over another.
OPTIONS = "loop,commit=300,noauto_da_alloc,data=writeback"
# After any other call the disk is as it was before that.
CHANGING = {
    "fallocate", "fchmod", "fchown", "fdatasync", "fremovexattr", "fsetxattr", "fsync", "ftruncate", "mkdir", "openat",
    "pwrite64", "rename", "renameat", "renameat2", "rmdir", "unlink", "unlinkat", "utimensat", "write",
}  # fmt: skip
NAIVE = {
    "in place": "open(hosts, 'w').write(new)",
    "rename without sync": "open(hosts + '.new', 'w').write(new); os.rename(hosts + '.new', hosts)",
}


def run(*command):
    subprocess.run([str(part) for part in command], check=True, stdin=subprocess.DEVNULL)


class Disk(faults.World):
    """A world whose files are on a disk of its own, in a file."""

    def __init__(self, agent, folder):
        self.mounted, self.image, self.first = folder / "disk", folder / "image", folder / "first"
        self.mounted.mkdir(parents=True)
        super().__init__(agent, folder, self.mounted)
        with self.first.open("wb") as file:
            file.truncate(8 << 20)
        run("mkfs.ext4", "-q", "-F", "-m", "0", self.first)
        run("mount", "-o", "loop", self.first, self.mounted)
        super().begin("replaced")
        run("umount", self.mounted)

    def begin(self, kind="replaced"):
        self.reboot()
        run("cp", "--sparse=always", self.first, self.image)
        run("mount", "-o", OPTIONS, self.image, self.mounted)
        super().begin(kind)
        run("sync", "-f", self.mounted)

    def reboot(self):
        """What is not on the disk is gone."""
        shutil.rmtree(self.run, ignore_errors=True)
        self.run.mkdir()

    def end(self):
        for _ in range(500):
            if subprocess.run(["umount", self.mounted], stderr=subprocess.DEVNULL).returncode == 0:
                return
            time.sleep(0.01)
        raise AssertionError(f"{self.mounted} stays busy")

    def points(self, kind):
        try:
            return super().points(kind)
        finally:
            self.end()

    def cut_after(self, command, call, number, flags, edits):
        """Runs the command up to and with this call, and cuts the power. False if it never came to that."""
        trace = self.folder / "trace"
        trace.write_text("")
        inject = f"inject={call}:signal=STOP:when={number}"
        strace = ["strace", "-f", "-qq", "-o", trace, "-e", f"trace={call}", "-e", inject, *command]
        over, editor = threading.Event(), None
        if edits:
            editor = threading.Thread(target=self.edit, args=(self.hosts.open("a"), over))
            editor.start()
        process = subprocess.Popen(strace, stdin=subprocess.DEVNULL, stdout=-3, stderr=-3, start_new_session=True)
        stopped = False
        while not stopped and process.poll() is None:
            time.sleep(0.002)
            stopped = "stopped by SIGSTOP" in trace.read_text(errors="replace")
        over.set()
        if editor:
            editor.join()
        root = os.open(self.mounted, os.O_RDONLY)
        fcntl.ioctl(root, SHUTDOWN, struct.pack("I", flags))
        os.close(root)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self.end()
        self.reboot()
        run("mount", "-o", "loop", self.image, self.mounted)
        return stopped

    def cut(self, kind, flags, call, number):
        """What is wrong after a cut there."""
        self.begin(kind)
        # As after a kill, which faults.py knows by that word.
        what = f"SIGKILL and a cut after {call} {number}, the journal {'written' if flags == FLUSHED else 'dropped'}"
        command = [self.agent, "--config", self.config, "hosts", "apply"]
        stopped = self.cut_after(command, call, number, flags, True)
        try:
            return self.never(stopped, what, []) + self.check(what, None, True)
        finally:
            self.end()

    def naive(self, code, call, number):
        """True if a writer that takes no care leaves something else than the old or the new file."""
        self.begin()
        program = f"import os; hosts, new = {str(self.hosts)!r}, {faults.NEW!r}\n{code}"
        self.cut_after([sys.executable, "-S", "-c", program], call, number, FLUSHED, False)
        try:
            return not self.hosts.exists() or self.hosts.read_text() not in (faults.OLD, faults.NEW)
        finally:
            self.end()


def disks(agent, folder, wanted):
    """As many disks, or as many as can be mounted at once."""
    mounted = []
    try:
        while len(mounted) < wanted:
            disk = Disk(agent, folder / str(len(mounted)))
            disk.begin()
            mounted.append(disk)
    except subprocess.CalledProcessError as error:
        if error.cmd[0] != "mount":
            raise
    for disk in mounted:
        disk.end()
    return mounted


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--agent", required=True, type=os.path.abspath)
    options = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="hosts-power-cut-"))
    began = time.monotonic()
    # Each needs a loop device, of which a system has few.
    free = disks(options.agent, folder, min(4 * (os.cpu_count() or 1), 8))
    workers = len(free)
    if workers < 2:
        shutil.rmtree(folder)
        print(f"skipped: of two disks in files {workers} can be mounted at once: no more loop devices here")
        return 3
    jobs = []
    for kind in faults.KINDS:
        points = [(call, number) for call, number, _ in free[0].points(kind) if call in CHANGING]
        jobs += [(kind, flags, *point) for flags in (FLUSHED, DROPPED) for point in points]
    controls = [(code, call, 1) for code in NAIVE.values() for call in ("write", "close", "exit_group", "rename")]

    def do(job):
        # No more jobs run at once than there are disks.
        disk = free.pop()
        try:
            return disk.naive(*job) if job[0] in NAIVE.values() else disk.cut(*job)
        finally:
            free.append(disk)

    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        wrong = [each for result in pool.map(do, jobs) for each in result]
        torn = collections.Counter(code for (code, *_), is_torn in zip(controls, pool.map(do, controls)) if is_torn)
    for each in wrong:
        print(f"FAILED {each}")
    for name, code in NAIVE.items():
        print(f"a naive writer, {name}: torn at {torn[code]} points")
        if not torn[code]:
            wrong.append(name)
            print(f"FAILED {name}: no cut shows that it takes no care")
    shutil.rmtree(folder)
    print(f"{len(jobs)} cuts tried in {time.monotonic() - began:.0f} s, {len(wrong)} failed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
