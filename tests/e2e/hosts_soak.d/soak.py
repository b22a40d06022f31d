"""Editors and the hosts writer at one file, while plans change a hundred times a second. See ../hosts_soak."""

import argparse
import collections
import concurrent.futures
import itertools
import multiprocessing
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

import editors
import handover

NAME = "db.example.com"
BEGIN, END = "# BEGIN privatelinkd", "# END privatelinkd"
FOREIGN = "127.0.0.1 localhost\n# a line of others\n10.9.9.9 other.example.net\n"
# Between two plans, in seconds.
PACE = 0.01
# So many of the lines that were changed, as a part of all, may have come back beside what replaced them: see B8.
MOST_AGAIN = 0.5
# So many former lines of ours at most, as a part of the edits, may stay and keep a dead address: who is killed right
# after a write has kept no record of it, and the service knows of what a command wrote only if it saw that. See B8.
MOST_OURS = {"and commands": 0.01, "killed, ended": 0.01}
# All has to be at rest so long after the last edit, in seconds: a displaced file that somebody has open is waited for
# a minute.
PATIENCE = 120


def address(number):
    return f"10.{number // 62500 % 50}.{number // 250 % 250}.{1 + number % 250}"


def split(text):
    """The lines of others, and those of our block without its comments."""
    ours, theirs, inside = [], [], False
    for line in text.splitlines():
        if line.startswith(BEGIN):
            inside = True
        elif line.startswith(END):
            inside = False
        elif inside:
            ours += [] if line.startswith("#") else [line]
        else:
            theirs.append(line)
    return theirs, ours


class World:
    """A folder with a hosts file, plans that change, and who writes the block: one of the kinds below."""

    def __init__(self, program, folder):
        self.program, self.folder = program, folder
        self.hosts, self.run = folder / "etc/hosts", folder / "run"
        for name in ("etc", "run", "config"):
            (folder / name).mkdir(parents=True)
        self.hosts.write_text(FOREIGN)
        self.config = folder / "config/config.toml"
        self.config.write_text(
            f'[host]\nrun_dir = "{self.run}"\nstate_dir = "{folder}/agent"\n'
            f'[hosts]\npath = "{self.hosts}"\nrun_dir = "{folder}/run-hosts"\nstate_dir = "{folder}/state"\n'
            f'[[endpoint]]\nname = "db"\naddresses = {{ z = "10.0.0.1" }}\nprivate_dns = ["{NAME}"]\n'
            'probe = { kind = "tcp", port = 5432 }\n'
        )
        self.over, self.plans, self.seen = threading.Event(), 0, set()
        self.hand_over()
        (self.run / "alive").touch()

    def hand_over(self):
        self.plans += 1
        handover.put(self.run, handover.of({NAME: [address(self.plans)]}))
        if self.plans % 500 == 0:
            (self.run / "alive").touch()

    def change_plans(self):
        due = time.monotonic()
        while not self.over.is_set():
            self.hand_over()
            due += PACE
            time.sleep(max(0, due - time.monotonic()))

    def repeat(self, work):
        while not self.over.is_set():
            work()

    def look(self):
        """Notes which plans get into the file."""
        while not self.over.wait(0.004):
            try:
                self.seen.update(split(self.hosts.read_text())[1])
            except FileNotFoundError:
                pass

    def start(self):
        log = open(self.folder / "log", "ab")
        command = [self.program, "--config", self.config, "hosts", "run"]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def beside(self):
        return sorted(each.name for each in self.hosts.parent.iterdir() if each.name != "hosts")

    def is_at_rest(self):
        return split(self.hosts.read_text())[1] == [f"{address(self.plans)} {NAME}"] and not self.beside()

    def rests(self):
        """Waits until nothing is left to be done, and a while longer."""
        end, since = time.monotonic() + PATIENCE, None
        while since is None or time.monotonic() < since + 3:
            if time.monotonic() > end:
                return False
            since = (since or time.monotonic()) if self.is_at_rest() else None
            time.sleep(0.05)
        return True


def alone(world):
    """The service."""
    writer = world.start()
    yield 0, None
    yield
    writer.terminate()
    assert writer.wait(30) == 0, "the writer failed"


def with_commands(world):
    """The service, and an admin who has `hosts apply` in a loop: more rewrites than the service allows itself."""
    writer = world.start()
    command = [world.program, "--config", world.config, "hosts", "apply"]
    # It may find another at work for longer than it waits, or the file changed in each of its attempts, and says so.
    yield 12, lambda: subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    yield
    writer.terminate()
    assert writer.wait(30) == 0, "the writer failed"


def ended(world):
    """The service, killed or ended every now and then, and started again."""
    writer = world.start()
    signals = itertools.cycle((signal.SIGKILL, signal.SIGTERM, signal.SIGKILL))
    pauses = itertools.cycle((0.31, 0.57, 0.23, 1.01, 2.9))

    def again():
        nonlocal writer
        time.sleep(next(pauses))
        writer.send_signal(next(signals))
        writer.wait(30)
        writer = world.start()

    yield 1, again
    yield
    writer.terminate()
    assert writer.wait(30) == 0, "the writer failed"


def nobody(_world):
    """No block at all: whether the editors themselves lose anything."""
    yield 0, None
    yield


def naive(world):
    """Reads, puts the block in, renames: what a script would do."""

    def write():
        theirs = [line for line in world.hosts.read_text().splitlines() if not line.endswith((BEGIN, END, NAME))]
        block = [BEGIN, f"{address(world.plans)} {NAME}", END]
        new = world.hosts.with_name("hosts.naive")
        new.write_text("".join(f"{line}\n" for line in theirs + block))
        new.rename(world.hosts)
        time.sleep(PACE)

    yield 1, write
    yield


KINDS = {
    "the service": alone,
    "and commands": with_commands,
    "killed, ended": ended,
    "without us": nobody,
    "naive": naive,
}
CONTROLS = ("without us", "naive")


def soak(kind, program, folder, edits, seed):
    """What was lost, and figures."""
    world = World(program, folder)
    steps = KINDS[kind](world)
    hands, work = next(steps)
    loops = [world.change_plans, world.look] + hands * [lambda: world.repeat(work)]
    threads = [threading.Thread(target=each) for each in loops]
    for thread in threads:
        thread.start()
    began = time.monotonic()
    try:
        crowd = editors.Crowd(world.hosts, folder / "turn", edits, seed)
        while not crowd.is_done():
            time.sleep(0.01)
        took = time.monotonic() - began
    finally:
        world.over.set()
        for thread in threads:
            thread.join()
    lines, gone = crowd.outcome()
    wrong = [] if kind in CONTROLS or world.rests() else [f"is never at rest: {world.beside()}"]
    next(steps)
    next(steps, None)
    there = collections.Counter(split(world.hosts.read_text())[0])
    again = [f"there again: {line} ({style})" for line, style in gone.items() if there[line] > 0]
    # As privatelinkd promises no more: see B8.
    wrong += again if len(again) > len(gone) * MOST_AGAIN else []
    lost = missing(there, lines)
    ours = [f"left of ours: {line}" for line in there if line.endswith(f" {NAME}") or line.startswith(f"# {NAME}: ")]
    wrong += ours if len(ours) > edits * MOST_OURS.get(kind, 0) else []
    wrong += lost + unknown(there, lines, gone, ours)
    figures = {
        "edits": edits, "lost": len(lost), "changed": len(gone), "there again": len(again), "left of ours": len(ours),
        "plans/s": round(world.plans / took), "plans seen": len(world.seen), "seconds": round(time.monotonic() - began),
    }  # fmt: skip
    return wrong, figures


def missing(there, lines):
    wanted = {**dict.fromkeys(FOREIGN.splitlines(), "from before"), **lines}
    return [f"lost: {line} ({style})" for line, style in wanted.items() if there[line] == 0]


def unknown(there, lines, gone, ours):
    twice = [f"{count} times: {line}" for line, count in there.items() if count > 1]
    known = {*lines, *gone, *FOREIGN.splitlines()}
    return twice + [f"by nobody: {line}" for line in there if line not in known and f"left of ours: {line}" not in ours]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--agent", required=True, type=os.path.abspath)
    parser.add_argument("--edits", required=True, type=int)
    parser.add_argument("--seed", default=1, type=int)
    parser.add_argument("--keep", action="store_true", help="the files, to look at")
    parser.add_argument("--only", choices=KINDS)
    options = parser.parse_args()
    multiprocessing.set_start_method("fork")
    kinds = [kind for kind in KINDS if options.only in (None, kind)]
    ours = [kind for kind in kinds if kind not in CONTROLS]
    # The controls need no more than a few.
    many = {kind: (options.edits if kind in ours else min(options.edits, 1000)) // 3 for kind in kinds}
    folder = pathlib.Path(tempfile.mkdtemp(prefix="hosts-soak-"))
    failed = 0
    jobs = [(kind, options.agent, folder / re.sub(r"\W+", "-", kind), many[kind], options.seed) for kind in kinds]
    with concurrent.futures.ProcessPoolExecutor(len(jobs)) as pool:
        results = list(pool.map(soak, *zip(*jobs)))
    for kind, (wrong, figures) in zip(kinds, results):
        good = bool(figures["lost"]) if kind == "naive" else not wrong
        failed += not good
        for each in wrong[:20] if kind != "naive" else []:
            print(f"{kind}: {each}")
        print(f"{'ok' if good else 'FAILED'} {kind:14}", *(f"{what} {value}" for what, value in figures.items()))
    if not options.keep:
        subprocess.run(["rm", "-rf", folder], check=True)
    else:
        print(folder)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
