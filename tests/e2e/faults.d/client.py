"""`client.py SPEC`: a client of each name, which tries every 200 ms whether its server answers within a second.

SPEC is a JSON file: {"out": FILE, "names": {NAME: {"kind", "a", "b", "port"}}} and one way to find an address:
"hosts", a hosts file; "dns", the [IP, PORT] of a DNS server, whose TTL is kept to; "proxy", an [IP, PORT] a name.
What an answer is, the kind tells: "greeter", a greeting of standin.py; "mysql", a login of the user `client`, without a
password, who leaves politely; "matrixone", a greeting; "tls", the server's part of a handshake; "tcp", the connection.

Where zone a's address is on offer it is the one that is taken: the strictest client, which would rather stay in its
own zone and has no second try. An attempt begins every 200 ms, also while earlier ones are waiting. Until SIGTERM each
is a line in FILE: [name, began, ended, answered, the zone of the address, the zone that answered].
"""

import errno
import heapq
import json
import os
import select
import signal
import socket
import ssl
import struct
import sys
import time
from collections import deque

EVERY, WITHIN = 0.2, 1.0
now = time.monotonic


class Hosts:
    """The file is read again as soon as it is another one, as libc does at each lookup."""

    def __init__(self, spec):
        self.path, self.stamp, self.found = spec["hosts"], None, {}

    def addresses(self, name):
        try:
            stat = os.stat(self.path)
            stamp = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
            if stamp != self.stamp:
                found = {}
                with open(self.path, encoding="utf-8") as file:
                    for line in file:
                        words = line.partition("#")[0].split()
                        for word in words[1:]:
                            found.setdefault(word, set()).add(words[0])
                self.stamp, self.found = stamp, found
        except FileNotFoundError:
            return set()
        return self.found.get(name, set())


class Dns:
    """A resolver that keeps an answer for its TTL and no longer, and has one second for a question."""

    def __init__(self, spec):
        self.at, self.kept, self.ident = tuple(spec["dns"]), {}, 0

    def addresses(self, name):
        until, found = self.kept.get(name, (0.0, set()))
        if now() >= until:
            found, ttl = self.ask(name)
            self.kept[name] = (now() + ttl, found)
        return found

    def ask(self, name):
        self.ident = (self.ident + 1) % 65536
        labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
        query = struct.pack("!HHHHHH", self.ident, 0x0100, 1, 0, 0, 0) + labels + struct.pack("!HH", 1, 1)
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
                asked.settimeout(WITHIN)
                asked.connect(self.at)
                asked.send(query)
                return answer(asked.recv(1500), len(query))
        except OSError:
            return set(), 0


def answer(reply, at):
    """Addresses and the TTL, of a reply whose records all point back to the question for their name."""
    found, ttl = set(), 0
    for _ in range(struct.unpack_from("!H", reply, 6)[0]):
        kind, _, ttl, size = struct.unpack_from("!HHIH", reply, at + 2)
        if kind == 1:
            found.add(socket.inet_ntoa(reply[at + 12 : at + 16]))
        at += 12 + size
    return found, ttl


# Protocol 4.1 with nothing but what a login needs, no password and no plugin's name; and the goodbye.
LOGIN = struct.pack("<IIB23x", 0x8201, 1 << 24, 33) + b"client\0\0"
LOGIN = struct.pack("<I", len(LOGIN) | 1 << 24) + LOGIN
QUIT = b"\1\0\0\0\1"
# Kinds whose client speaks first, or has nothing more to ask.
FIRST = ("tls", "tcp")


def hello():
    """The first bytes of a TLS client, always the same."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="faults.example").do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def is_greeting(said):
    """Protocol 10; an error such as "too many connections" begins otherwise."""
    return said[4:5] == b"\x0a"


def zone_of(kind, said):
    """Where it was said, if that tells: a greeter's words, or a version that ends so."""
    words = said[5:].partition(b"\0")[0] if kind == "mysql" else said.strip() if kind == "greeter" else b""
    return words[-1:].decode() if words[-6:-1] in (b"zone-", b"zone ") else None


class Client:
    def __init__(self, spec):
        self.names, self.proxy = spec["names"], spec.get("proxy")
        self.way = Hosts(spec) if "hosts" in spec else Dns(spec) if "dns" in spec else None
        self.out = open(spec["out"], "w", buffering=1, encoding="utf-8")
        self.hello = hello()
        self.poll = select.epoll()
        # By file descriptor; and in the order of their ends, since all have the same time.
        self.waiting, self.ends = {}, deque()

    def choose(self, name):
        """Where to connect to, and which zone's that is, if that can be told."""
        if self.proxy:
            return tuple(self.proxy[name]), None
        spec, offered = self.names[name], self.way.addresses(name)
        for zone in "ab":
            if spec[zone] in offered:
                return (spec[zone], spec["port"]), zone
        return None, None

    def begin(self, name):
        began = now()
        at, zone = self.choose(name)
        if at is None:
            self.tell(name, began, None, None)
            return
        dialed = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        if dialed.connect_ex(at) not in (0, errno.EINPROGRESS):
            dialed.close()
            self.tell(name, began, zone, None)
            return
        # Errors are told in any case.
        first = self.names[name]["kind"] in FIRST
        self.poll.register(dialed, select.EPOLLOUT if first else select.EPOLLIN)
        self.waiting[dialed.fileno()] = [dialed, name, began, zone, None]
        self.ends.append((began + WITHIN, dialed.fileno(), began))

    def end(self, number, by):
        """`by` is the zone that answered, or nothing if none did."""
        dialed, name, began, zone, _ = self.waiting.pop(number)
        self.poll.unregister(dialed)
        dialed.close()
        self.tell(name, began, zone, by)

    def tell(self, name, began, zone, by):
        json.dump([name, round(began, 4), round(now(), 4), by is not None, zone, by], self.out)
        self.out.write("\n")

    def run(self):
        begun = now()
        # Not all of them at once.
        due = [(begun + EVERY * n / len(self.names), name) for n, name in enumerate(self.names)]
        heapq.heapify(due)
        while True:
            while due[0][0] <= now():
                at, name = heapq.heappop(due)
                self.begin(name)
                heapq.heappush(due, (at + EVERY, name))
            while self.ends and self.ends[0][0] <= now():
                _, number, began = self.ends.popleft()
                # Another attempt may have the number by now.
                if number in self.waiting and self.waiting[number][2] == began:
                    self.end(number, None)
            next_end = self.ends[0][0] if self.ends else due[0][0]
            for number, _ in self.poll.poll(max(min(due[0][0], next_end) - now(), 0.0)):
                try:
                    self.go_on(number)
                except BlockingIOError:
                    pass
                except OSError:
                    self.end(number, None)

    def go_on(self, number):
        attempt = self.waiting[number]
        dialed, name, _, zone, greeted = attempt
        kind = self.names[name]["kind"]
        if kind in FIRST and greeted is None:
            if error := dialed.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(error)
            if kind == "tcp":
                self.end(number, zone)
                return
            dialed.send(self.hello)
            attempt[4] = zone
            self.poll.modify(dialed, select.EPOLLIN)
            return
        said = dialed.recv(4096)
        if kind == "mysql" and greeted is None and is_greeting(said):
            dialed.send(LOGIN)
            attempt[4] = zone_of(kind, said) or zone
        elif kind == "mysql":
            accepted = greeted is not None and said[4:5] == b"\0"
            if accepted:
                dialed.send(QUIT)
            self.end(number, greeted if accepted else None)
        elif kind == "tls":
            self.end(number, zone if said[:1] == b"\x16" else None)
        elif kind == "matrixone":
            self.end(number, zone if is_greeting(said) else None)
        else:
            self.end(number, zone_of(kind, said))


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        client = Client(json.load(file))

    def stop(*_):
        client.out.close()
        os._exit(0)

    signal.signal(signal.SIGTERM, stop)
    client.run()


main()
