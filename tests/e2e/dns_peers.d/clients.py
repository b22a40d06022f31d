"""Resolvers that people have, each asking our stub as its own kind does.

What is lacking here is told, and is no failure: the two servers beside us are the test.
"""

import os
import pathlib
import shutil
import subprocess
import time

import queries

HERE = pathlib.Path(__file__).parent
ORDERS, LEDGER = queries.ORDERS, queries.LEDGER
V4 = sorted(queries.NAMES[ORDERS])
BOTH = sorted(queries.NAMES[LEDGER])
WIDE = sorted(queries.NAMES[queries.WIDE])


def said(command, **more):
    """The words of its output in order, or what went wrong."""
    try:
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=60, **more)
    except (OSError, subprocess.TimeoutExpired) as error:
        return [str(error)]
    return (
        sorted(done.stdout.split()) if done.returncode == 0 else [f"code {done.returncode}", done.stdout, done.stderr]
    )


class Client:
    """`ask` makes a command of a name; its output is addresses. `small`: it starts at once."""

    def __init__(self, check, title, ask, *, env=None, by_tcp=True, reads_hosts=False, small=False):
        self.check, self.title, self.ask, self.env = check, title, ask, env
        self.by_tcp, self.reads_hosts, self.small = by_tcp, reads_hosts, small

    def resolves(self, name, expected, how="", *, times=1, within=60.0):
        """All `times` take no longer than `within` each."""
        wrong = []
        for _ in range(times):
            began = time.monotonic()
            found = said(self.ask(name), env=self.env)
            took = time.monotonic() - began
            if found != sorted(expected) or took > within:
                wrong.append(f"{found} after {took:.1f} s")
        self.check(f"{self.title}: {name}{how}", not wrong, f"expected {sorted(expected)}, found {wrong}")

    def all(self):
        self.resolves(ORDERS, V4)
        self.resolves(ORDERS.upper(), V4, " in capitals")
        self.resolves(LEDGER, BOTH)
        if self.by_tcp:
            self.resolves(queries.WIDE, WIDE, ", which does not fit a datagram")


def diggers(check, agent, programs):
    for title in ("dig", "kdig"):
        path = programs.path(title)
        each = f'for kind in A AAAA; do "{path}" @{agent.at[0]} +short "$0" $kind || exit; done'
        Client(check, title, lambda name, each=each: ["sh", "-c", each, name], env=programs.env).all()
        for options in ("", "+tcp", "+dnssec", "+noedns", "+bufsize=512", "+edns=0"):
            command = [path, f"@{agent.at[0]}", "+norecurse", *options.split(), ORDERS]
            done = subprocess.run(command, capture_output=True, text=True, env=programs.env)
            good = (
                done.returncode == 0
                and all(a in done.stdout for a in V4)
                and "WARNING" not in done.stdout + done.stderr
            )
            check(f"{title} {options}: an answer, and no warning", good, done.stdout + done.stderr)


def compiled(check, programs, folder):
    """The same program with each libc, and Go's own resolver."""
    source = HERE / "lookup.c"
    gcc = shutil.which("gcc") or shutil.which("cc")
    # Unpacked for us, or this system's own.
    roots = (programs.root, pathlib.Path("/"))
    specs = next((found for root in roots for found in root.glob("usr/lib/*-linux-musl/musl-gcc.specs")), None)
    if not gcc:
        print("skipped: glibc and musl, since there is no C compiler")
        return
    for title, options in (("glibc", []), ("musl", ["-static", "-specs", specs] if specs else None)):
        if options is None:
            print("skipped: musl, which is not to be had")
            continue
        path = folder / title
        made = subprocess.run([gcc, "-o", path, source, *options], capture_output=True, text=True)
        check(f"{title}: the program is made", made.returncode == 0, made.stderr)
        if made.returncode == 0:
            # musl asks nothing by TCP before 1.2.4, and 1.2.3 is what there is.
            ask = lambda name, path=path: [path, name]
            yield Client(check, title, ask, by_tcp=title != "musl", reads_hosts=True, small=True)
    if shutil.which("go"):
        # What it makes of its own library is kept beside the programs.
        env = dict(os.environ, GOCACHE=programs.root / "go-cache", CGO_ENABLED="0", GO111MODULE="off")
        command = ["go", "build", "-o", folder / "go", HERE / "lookup.go"]
        made = subprocess.run(command, capture_output=True, text=True, env=env)
        check("Go: the program is made", made.returncode == 0, made.stderr)
        if made.returncode == 0:
            yield Client(check, "Go", lambda name: [folder / "go", name], reads_hosts=True, small=True)
    else:
        print("skipped: Go, which is not on this system")


def runtimes(check):
    if shutil.which("java"):
        java = ["java", "-Xshare:auto", HERE / "Lookup.java"]
        yield Client(check, "Java", lambda name: [*java, name], reads_hosts=True)
    else:
        print("skipped: Java, which is not on this system")
    if shutil.which("node"):
        for title, way in (("getaddrinfo", "lookup"), ("c-ares", "resolve")):
            ask = lambda name, way=way: ["node", HERE / "lookup.js", way, name]
            yield Client(check, f"Node, {title}", ask, reads_hosts=way == "lookup")
    else:
        print("skipped: Node and its c-ares, which is not on this system")
    python = "import socket, sys; print(*{a[4][0] for a in socket.getaddrinfo(sys.argv[1], 6001)})"
    yield Client(check, "Python", lambda name: ["python3", "-c", python, name], reads_hosts=True)


def run(check, agent, programs, folder):
    """Gives them, for other questions."""
    diggers(check, agent, programs)
    found = [*compiled(check, programs, folder), *runtimes(check)]
    for client in found:
        client.all()
    return found
