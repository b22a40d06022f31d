"""Runs the programs of tests/e2e/portable in the roots that it made. Prints one line a check and the count.

main.py WORK CLOUD SHIPPED KIND=PROGRAM=ROOT[=EMULATOR]…

WORK is a folder for logs and traces, CLOUD the stand-in cloud's program, SHIPPED the shipped configuration. KIND says
what is run where, for people. An EMULATOR is a static program that runs programs of another processor."""

import pathlib
import shutil
import subprocess
import sys

import calls
from job import Cloud, Failed, Job, PROGRAM

counts = {"ok": 0, "FAILED": 0}


def check(title, test):
    try:
        said = test()
        counts["ok"] += 1
        print(f"ok {title}{f': {said}' if said else ''}", flush=True)
    except (Failed, OSError, subprocess.SubprocessError) as failed:
        counts["FAILED"] += 1
        print(f"FAILED {title}\n        {failed}", flush=True)


class Setup:
    def __init__(self, work, cloud, shipped, argument):
        kind, program, root, *emulator = argument.split("=")
        self.work, self.cloud, self.kind, self.program = work, cloud, kind, program
        self.root, self.shipped, self.emulator = pathlib.Path(root), shipped, emulator
        self.inside = []
        if emulator:
            shutil.copy(emulator[0], self.root / "emulator")
            self.inside = ["/emulator"]

    def job(self, before=lambda name: []):
        # Each with a cloud of its own: a zone that one job broke is none of the next one's business.
        cloud = Cloud(self.cloud, self.work)
        return cloud, Job(self.root, self.program, cloud, before, self.inside)

    def commands(self):
        cloud, job = self.job()
        try:
            said = job.run("--version").strip()
            if not said.startswith("privatelinkd "):
                raise Failed(f"--version says {said!r}")
            shutil.copy(self.shipped, job.config)
            job.config.chmod(0o644)
            job.run("check")
            return said
        finally:
            cloud.stop()

    def main_job(self, before=lambda name: []):
        cloud, job = self.job(before)
        try:
            job.main_job()
        finally:
            cloud.stop()

    def traced(self):
        """{call: the traces that have it} of the job under strace."""
        folder = self.work / f"traces-{self.kind.replace(' ', '-')}"
        folder.mkdir()
        self.main_job(lambda name: ["strace", "-f", "-qq", "-o", str(folder / f"{name}.trace")])
        made = calls.made(folder, PROGRAM)
        if len(made) < 40:
            raise Failed(f"expected dozens of calls, found {sorted(made)}")
        return made

    def without(self):
        """The job where the kernel knows no call newer than Linux 4.18."""
        folder = self.work / f"lacking-{self.kind.replace(' ', '-')}"
        folder.mkdir()
        self.main_job(lambda name: ["strace", "-f", "-qq", "-o", str(folder / f"{name}.trace"), "-e",
                                    f"trace={calls.LACKING}", "-e", f"inject={calls.LACKING}:error=ENOSYS"])
        refused = {line.split()[1].split("(")[0] for path in folder.iterdir() for line in path.read_text().splitlines()
                   if line.endswith("(INJECTED)")}
        return f"refused {', '.join(sorted(refused)) or 'none, since none was tried'}"


def strange(made, known):
    lines = calls.unlisted(made, known)
    if lines:
        raise Failed(f"not on the list portable.d/system_calls: {'; '.join(lines)}")
    late = [name for name in calls.newer(known) if name in made]
    return f"{len(made)}, of those after Linux 4.18 {', '.join(late) or 'none'}"


def main():
    work, cloud, shipped, *arguments = sys.argv[1:]
    known = calls.rows()
    for argument in arguments:
        setup = Setup(pathlib.Path(work), cloud, shipped, argument)
        check(f"{setup.kind}: --version, and check of the shipped config", setup.commands)
        check(f"{setup.kind}: finds, probes, writes hosts, answers DNS, and leaves out a zone that is down", setup.main_job)
        # strace sees of an emulated program the emulator's calls.
        if setup.emulator:
            continue

        def listed(setup=setup):
            return strange(setup.traced(), known)

        check(f"{setup.kind}: every system call is on the list", listed)
        check(f"{setup.kind}: the same job where no call newer than Linux 4.18 is known", setup.without)
    missing = sorted(row.name for row in known.values() if row.version > calls.OLDEST and not row.why)

    def explained():
        if missing:
            raise Failed(f"no reason why these do no harm on an older kernel: {missing}")

    check("calls newer than Linux 4.18 have the reason why they do no harm", explained)
    print(f"{counts['ok']} passed, {counts['FAILED']} failed", flush=True)
    return 1 if counts["FAILED"] else 0


sys.exit(main())
