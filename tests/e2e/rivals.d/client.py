"""`client.py SPEC`: a client of each name, which tries every 200 ms whether its server greets within a second.

SPEC is a JSON file: {"out": FILE, "names": {NAME: {"kind", "a", "b", "port"}}} and one way to find an address:
"hosts", a hosts file; "dns", the [IP, PORT] of a DNS server, whose TTL is kept to; "proxy", an [IP, PORT] a name.

Where zone a's address is on offer it is the one that is taken: the strictest client, which would rather stay in its
own zone and has no second try. An attempt begins every 200 ms, also while earlier ones are waiting. Until SIGTERM each
is a line in FILE: [name, began, ended, greeted, the zone of the address, the zone that greeted].
"""

import errno
import heapq
import json
import os
import select
import signal
import socket
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


def greeted_by(kind, said):
    """The zone that a greeting is from, or nothing if it is none."""
    if kind == "mysql":
        # Protocol 10; an error such as "too many connections" begins otherwise. The version ends with the zone.
        version = said[5:].partition(b"\0")[0]
        return version[-1:].decode() if said[4:5] == b"\x0a" and version[:-1].endswith(b"-zone-") else None
    return said[16:17].decode() if said.startswith(b"hello from zone ") else None


class Client:
    def __init__(self, spec):
        self.names, self.proxy = spec["names"], spec.get("proxy")
        self.way = Hosts(spec) if "hosts" in spec else Dns(spec) if "dns" in spec else None
        self.out = open(spec["out"], "w", encoding="utf-8")
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
        # The server speaks first; errors are told in any case.
        self.poll.register(dialed, select.EPOLLIN)
        self.waiting[dialed.fileno()] = (dialed, name, began, zone)
        self.ends.append((began + WITHIN, dialed.fileno(), began))

    def end(self, number, said):
        dialed, name, began, zone = self.waiting.pop(number)
        self.poll.unregister(dialed)
        dialed.close()
        self.tell(name, began, zone, greeted_by(self.names[name]["kind"], said))

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
                    self.end(number, b"")
            next_end = self.ends[0][0] if self.ends else due[0][0]
            for number, _ in self.poll.poll(max(min(due[0][0], next_end) - now(), 0.0)):
                self.read(number)

    def read(self, number):
        try:
            said = self.waiting[number][0].recv(4096)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        self.end(number, said)


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        client = Client(json.load(file))

    def stop(*_):
        client.out.close()
        os._exit(0)

    signal.signal(signal.SIGTERM, stop)
    client.run()


main()
