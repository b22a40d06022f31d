"""Editors of a hosts file that take turns among themselves, by a lock that the writer of the block doesn't know.

Each edit adds a line that is nowhere else, or changes one that the same editor added before. What an editor does within
its turn is what the programs of its kind do: they read, wait for a moment, and write.
"""

import fcntl
import multiprocessing
import os
import random
import subprocess
import time

# The longest that an editor waits within its turn for the file that it has open to be displaced, in seconds.
PATIENCE = 0.3


def rename(hosts, change, pause):
    """vim, Ansible, hostctl: another file, which takes the name."""
    new = change(hosts.read_text())
    pause()
    other = hosts.with_name("hosts.edited")
    other.write_text(new)
    pause()
    other.rename(hosts)


def rewrite(hosts, change, pause):
    """`cp` and `>`: emptied first, then written."""
    new = change(hosts.read_text())
    pause()
    with hosts.open("w") as file:
        pause()
        file.write(new)


def in_place(hosts, change, pause):
    """Overwritten from its beginning, and cut to its length afterwards."""
    with hosts.open("r+") as file:
        new = change(file.read())
        pause()
        file.seek(0)
        file.write(new)
        file.flush()
        pause()
        file.truncate()


def sed(hosts, change, pause):
    """`sed -i` itself."""
    script = change(None)
    pause()
    subprocess.run(["sed", "-i", script, hosts], check=True)


def sort(hosts, change, pause):
    """`sort -u`: our lines part from their markers."""
    new = change(hosts.read_text())
    done = subprocess.run(["sort", "-u"], input=new, stdout=subprocess.PIPE, text=True, check=True)
    pause()
    with hosts.open("w") as file:
        file.write(done.stdout)


def append(hosts, change, pause):
    """`>>`"""
    with hosts.open("a") as file:
        pause()
        file.write(change(""))


def late(hosts, change, pause):
    """`>>` by who has the file open until it is displaced, if that happens soon."""
    with hosts.open("a") as file:
        end = time.monotonic() + PATIENCE
        inode = os.fstat(file.fileno()).st_ino
        while time.monotonic() < end:
            try:
                if hosts.stat().st_ino != inode:
                    break
            except FileNotFoundError:
                pass
            time.sleep(0.0005)
        pause()
        file.write(change(""))


STYLES = {each.__name__: each for each in (rename, rewrite, in_place, sed, sort, append, late)}
# What changes a line of the file that it reads; the others only add.
CHANGING = ("rename", "rewrite", "in_place", "sed")


class Editor:
    """One of them. `lines` is what has to be there in the end, each with the style that wrote it."""

    def __init__(self, number, seed):
        self.number, self.random = number, random.Random(seed)
        self.lines, self.gone, self.made = {}, {}, 0

    def edit(self, hosts):
        name = self.random.choice(list(STYLES))
        self.made += 1
        line = f"10.{100 + self.number}.{self.made // 250}.{1 + self.made % 250} e{self.made}.{name}.example.net"
        old = None
        if name in CHANGING and self.lines and self.random.random() < 0.3:
            old = self.random.choice(list(self.lines))
        changed = []

        def change(text):
            if text is None:
                # What sed finds it changes, and adds its line in any case; so it is asked beforehand.
                found = old if old is not None and f"{old}\n" in hosts.read_text() else None
                changed.append(found)
                return f"s/^{found}$/{line}/" if found else f"$a {line}"
            if old is not None and f"{old}\n" in text:
                changed.append(old)
                return text.replace(f"{old}\n", f"{line}\n")
            newline = "" if text == "" or text.endswith("\n") else "\n"
            return f"{text}{newline}{line}\n"

        STYLES[name](hosts, change, lambda: time.sleep(self.random.choice((0, 0, 0.001, 0.004, 0.015))))
        for each in changed:
            if each is not None:
                self.gone[each] = f"{self.lines.pop(each)}, changed by {name}"
        self.lines[line] = name

    def rest(self):
        time.sleep(self.random.choice((0, 0.002, 0.01, 0.04)))


def work(number, seed, hosts, lock, count, results):
    editor = Editor(number, seed)
    with open(lock, "w") as turn:
        for _ in range(count):
            fcntl.flock(turn, fcntl.LOCK_EX)
            editor.edit(hosts)
            fcntl.flock(turn, fcntl.LOCK_UN)
            editor.rest()
    results.put((editor.lines, editor.gone))


class Crowd:
    """Some editors at work."""

    def __init__(self, hosts, lock, edits, seed, editors=3):
        self.results, self.found = multiprocessing.Queue(), []
        shares = [edits // editors + (n < edits % editors) for n in range(editors)]
        self.processes = [
            multiprocessing.Process(target=work, args=(n, f"{seed}.{n}", hosts, lock, share, self.results), daemon=True)
            for n, share in enumerate(shares)
        ]
        for process in self.processes:
            process.start()

    def is_done(self):
        """An editor whose results nobody takes does not end."""
        assert all(process.exitcode in (None, 0) for process in self.processes), "an editor failed"
        while not self.results.empty():
            self.found.append(self.results.get(timeout=60))
        return len(self.found) == len(self.processes)

    def outcome(self):
        """The lines that have to be there, and those that have to be gone."""
        lines, gone = {}, {}
        for some, others in self.found:
            lines.update(some)
            gone.update(others)
        return lines, gone
