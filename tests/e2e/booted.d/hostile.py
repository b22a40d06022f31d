"""An agent that means ill: runs as the agent's user and hands the writer everything but a plan.

hostile.py attack NAME…     every kind of plan.json and alive, one after the other; NAMEs are the config's
hostile.py good NAME ADDRESS  one good plan with that one answer changed

The plan that is there at the start is the model for those that are right in all but one thing: only the digest is the
hostile agent's own, SHA-256 over the compact JSON of [plan, withdrawn], cut to 16 bytes.
"""

import hashlib
import json
import os
import shutil
import socket
import sys
import threading
import time

FOLDER = "/run/privatelinkd"
PLAN, ALIVE = f"{FOLDER}/plan.json", f"{FOLDER}/alive"
# Where the attack keeps its model for later.
KEPT = f"{FOLDER}/model.json"
SECRETS = ["/etc/shadow", "/root/secret", "/run/secret"]
# Long enough for the writer to see it: it is told of changes, and looks again by itself every few seconds.
HOLD = 0.2
WITHIN = "10.99.7.7"


def clear(path):
    """Whatever it is."""
    try:
        if os.path.isdir(path) and not os.path.islink(path):
            os.chmod(path, 0o700)
            shutil.rmtree(path)
        else:
            os.unlink(path)
    except FileNotFoundError:
        pass


def put(content, path=PLAN, mode=0o644):
    beside = f"{path}.hostile"
    clear(beside)
    with open(beside, "wb") as file:
        file.write(content)
    os.chmod(beside, mode)
    if os.path.isdir(path) and not os.path.islink(path):
        clear(path)
    os.rename(beside, path)


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def answer(addresses, reason="healthy", **more):
    return {"addresses": addresses, **more, "reason": reason}


class Model:
    """Hand-overs after the model of the one that was there."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            self.good = json.load(file)

    def plan(self, answers=None, withdrawn=None, **other):
        answers = self.good["plan"] if answers is None else answers
        answers = dict(sorted(answers.items()))
        withdrawn = withdrawn or []
        digest = hashlib.sha256(compact([answers, withdrawn]).encode("utf-8", "surrogatepass")).hexdigest()[:32]
        parts = {**self.good, "digest": digest, "plan": answers, "withdrawn": withdrawn, **other}
        return compact(parts).encode("utf-8", "surrogatepass")


def bad_contents(model, names):
    """(what, content) of files that are files, and right in all but one thing."""
    name = names[0]
    good = model.plan()
    evil = ["\n10.99.6.6 evil.example", "\r10.99.6.6 evil.example", "#", " # ", "\x00", "\u2028", "\t", "\\", "*", "../",
            "\n# END privatelinkd\n10.99.6.6 evil.example\n# BEGIN privatelinkd", "%n%s", "\x1b[2J", "a" * 300]
    for bytes_ in evil:
        for spot in (name + bytes_, bytes_ + name, name[:3] + bytes_ + name[3:]):
            yield f"name {spot!r}", model.plan({spot: answer([WITHIN])})
            yield f"withdrawn {spot!r}", model.plan(withdrawn=[{"name": spot, "why": "gone"}])
        yield f"address {bytes_!r}", model.plan({name: answer([WITHIN + bytes_])})
        yield f"standby {bytes_!r}", model.plan({name: answer([WITHIN], standby=[WITHIN + bytes_])})
        yield f"reason {bytes_!r}", model.plan({name: answer([WITHIN], reason="healthy" + bytes_)})
        yield f"why {bytes_!r}", model.plan(withdrawn=[{"name": name, "why": "gone" + bytes_}])
        yield f"boot id {bytes_!r}", model.plan(boot_id=bytes_)
        yield f"identity {bytes_!r}", model.plan(identity={"machine_id": bytes_, "region": bytes_})
        yield f"digest {bytes_!r}", model.plan(digest="0" * (32 - len(bytes_)) + bytes_)
        yield f"key {bytes_!r}", model.plan(**{bytes_: bytes_})
    for other in ("evil.example", "localhost", "gw.cloud.example", "x." + name, "metadata", "1.2.3.4", "::1", ""):
        yield f"foreign name {other!r}", model.plan({other: answer([WITHIN]), name: answer([WITHIN])})
    for address in ("8.8.8.8", "10.98.0.1", "127.0.0.1", "0.0.0.0", "255.255.255.255", "169.254.169.254", "224.0.0.1",
                    "100.100.2.136", "100.100.100.200", "::1", "::ffff:10.99.1.1", "fe80::1", "fc00::1", "10.99.1",
                    "10.99.1.1/8", "010.99.1.1", "0x0a630101", "174260481", "10.99.1.1 8.8.8.8"):
        yield f"address {address!r}", model.plan({name: answer([address])})
        yield f"address {address!r} beside a good one", model.plan({name: answer([WITHIN, address])})
        yield f"standby {address!r}", model.plan({name: answer([WITHIN], standby=[address])})
    yield "no address", model.plan({name: answer([])})
    yield "10000 addresses", model.plan({name: answer([f"10.99.{i // 250}.{i % 250}" for i in range(10_000)])})
    yield "5000 names", model.plan({f"n{i}.example": answer([WITHIN]) for i in range(5_000)})
    yield "all withdrawn as foreign", model.plan({}, [{"name": n, "why": "foreign_cache"} for n in names])
    yield "another boot", model.plan({name: answer([WITHIN])}, boot_id="0" * 36)
    yield "another machine", model.plan({name: answer([WITHIN])}, identity={"machine_id": "0" * 32})
    yield "another format", model.plan(format=2)
    yield "a format that is no number", model.plan(format="1")
    yield "a huge format", good.replace(b'"format":1', b'"format":1' + b"0" * 400)
    yield "another digest", model.plan({name: answer(["10.99.1.2"])}, digest="0" * 32)
    yield "a key twice", good[:-1] + b',"plan":{}}'
    yield "deep", b"[" * 200_000
    yield "deep after the format", b'{"format":1,"plan":' + b'{"a":' * 40_000
    yield "no JSON", b"\xff\xfe\x00\x00" * 1000
    yield "a byte order mark", b"\xef\xbb\xbf" + good
    yield "lone surrogates", model.plan({"\ud800": answer([WITHIN])})
    yield "nothing", b""
    yield "white space", b" " * 262_144
    yield "one byte too many", good + b" " * (262_145 - len(good))
    yield "zeros", b"\0" * 200_000
    for length in range(0, len(good), max(1, len(good) // 40)):
        yield f"cut after {length} bytes", good[:length]


def bad_kinds(model):
    """(what, function that puts it at a path)"""
    good = model.plan()

    def fifo(path):
        os.mkfifo(path, 0o666)

    def served_fifo(path):
        os.mkfifo(path, 0o666)
        os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))

    def folder(path):
        os.mkdir(path)

    def full_folder(path):
        os.mkdir(path)
        with open(f"{path}/plan.json", "wb") as file:
            file.write(good)

    def hard_link(path):
        put(good, f"{FOLDER}/other")
        os.link(f"{FOLDER}/other", path)

    def stolen_link(path):
        # Refused by the kernel (fs.protected_hardlinks) on most systems.
        try:
            os.link("/run/secret", path)
        except OSError:
            pass

    def sock(path):
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path)

    def sparse(path):
        with open(path, "wb") as file:
            file.truncate(1 << 30)

    def closed(path):
        put(good, path, mode=0)

    def link(target):
        return lambda path: os.symlink(target, path)

    yield from {"fifo": fifo, "fifo that was written to": served_fifo, "folder": folder, "full folder": full_folder,
                "hard link": hard_link, "hard link to a secret": stolen_link, "socket": sock, "huge": sparse,
                "closed": closed}.items()
    for target in [*SECRETS, "/dev/zero", "/dev/urandom", "/proc/kmsg", "/proc/self/environ", PLAN, FOLDER, "nowhere",
                   "/proc/self/fd/0", "/etc/hosts"]:
        yield f"symlink to {target}", link(target)


def growing(model, seconds):
    """A plan that never ends, while it is read."""
    clear(PLAN)
    until = time.monotonic() + seconds
    with open(PLAN, "wb", buffering=0) as file:
        file.write(model.plan()[:-1])
        while time.monotonic() < until:
            file.write(b" " * 512)
            if file.tell() > 300_000:
                file.truncate(100)
                file.seek(100)


def flickering(model, seconds):
    """Good and bad ones, files, links and folders, as fast as it goes: what was looked at is not what is read."""
    good = model.plan()
    until = time.monotonic() + seconds
    turn = 0
    while time.monotonic() < until:
        turn += 1
        beside = f"{FOLDER}/beside"
        clear(beside)
        if turn % 3 == 0:
            os.symlink(SECRETS[turn % len(SECRETS)], beside)
        elif turn % 3 == 1:
            put(good, beside)
        else:
            os.mkfifo(beside)
        clear(PLAN)
        os.rename(beside, PLAN)


def flood(seconds):
    """So many events that queues overflow."""
    until = time.monotonic() + seconds
    turn = 0
    while time.monotonic() < until:
        turn += 1
        with open(f"{FOLDER}/flood-{turn % 1000}", "wb"):
            pass
    for entry in os.listdir(FOLDER):
        if entry.startswith("flood-"):
            os.unlink(f"{FOLDER}/{entry}")


def closed_folder(model):
    """The folder is the agent's: it may close it, and even put another owner's files out of reach."""
    put(model.plan())
    for mode in (0, 0o300, 0o700):
        os.chmod(FOLDER, mode)
        time.sleep(HOLD)
    os.chmod(FOLDER, 0o755)


def attack(names):
    model = Model(PLAN)
    shutil.copy(PLAN, KEPT)
    tried = 0
    for what, make in bad_kinds(model):
        for path in (PLAN, ALIVE):
            clear(path)
            make(path)
            time.sleep(HOLD)
            tried += 1
        clear(ALIVE)
    put(b"", ALIVE)
    for times in ((0, 0), (1 << 33, 1 << 33), (-(1 << 31), -(1 << 31))):
        os.utime(ALIVE, times)
        time.sleep(HOLD)
        tried += 1
    contents = list(bad_contents(model, names))
    # Among so many the writer need not see each; but each again and again, in another order, in threads' own time.
    stop = threading.Event()

    def touch():
        while not stop.wait(0.05):
            try:
                os.utime(ALIVE)
            except OSError:
                pass

    toucher = threading.Thread(target=touch)
    toucher.start()
    for _, content in contents:
        put(content)
        time.sleep(0.04)
        tried += 1
    stop.set()
    toucher.join()
    growing(model, 2)
    flickering(model, 2)
    flood(1)
    closed_folder(model)
    put(model.plan())
    print(f"{tried} hand-overs")


def good(name, address):
    model = Model(KEPT)
    put(model.plan({**model.good["plan"], name: answer([address])}))


if sys.argv[1] == "attack":
    attack(sys.argv[2:])
else:
    good(*sys.argv[2:])
