"""Looks names up as fast as it can, and notes each lookup that fails, as an application would see it.

lookups.py FOLDER hosts NAME=IP,IP…          by the C library, which reads the hosts file
lookups.py FOLDER stub SERVER NAME=IP,IP…    asks a DNS server as the C library's resolver does: 5 s, twice

A lookup fails that finds no address, or one that is not among the name's. FOLDER gets `KIND.count`, the number of
lookups, and `KIND.misses`, a line each.
"""

import os
import random
import socket
import struct
import sys
import time

folder, kind = sys.argv[1], sys.argv[2]
rest = sys.argv[3:]
server = (rest.pop(0), 53) if kind == "stub" else None
names = {name: set(ips.split(",")) for name, ips in (pair.split("=") for pair in rest)}
ATTEMPTS, TIMEOUT = 2, 5


def by_hosts(name):
    return {entry[4][0] for entry in socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)}


def question(name):
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack(">HHHHHH", random.getrandbits(16), 0x0100, 1, 0, 0, 0) + labels + b"\0\0\1\0\1"


def addresses_in(reply, length):
    """The addresses of the answer to a question of this length; names in it are pointers."""
    flags, _, answers = struct.unpack(">HHH", reply[2:8])
    if flags & 0x020F:
        raise OSError(f"answered with flags {flags:#x}")
    found, at = set(), length
    for _ in range(answers):
        while reply[at] and reply[at] < 0xC0:
            at += 1 + reply[at]
        at += 2 if reply[at] >= 0xC0 else 1
        record, _, _, size = struct.unpack(">HHIH", reply[at : at + 10])
        at += 10
        if record == 1:
            found.add(socket.inet_ntoa(reply[at : at + size]))
        at += size
    return found


def by_stub(name):
    query, said = question(name), []
    for _ in range(ATTEMPTS):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(TIMEOUT)
            try:
                sock.connect(server)
                sock.send(query)
                while True:
                    reply = sock.recv(4096)
                    if reply[:2] == query[:2]:
                        return addresses_in(reply, len(query))
            except OSError as error:
                said.append(str(error) or "timeout")
    raise OSError("; ".join(said))


def note(count):
    with open(f"{folder}/{kind}.part", "w", encoding="ascii") as file:
        file.write(str(count))
    os.rename(f"{folder}/{kind}.part", f"{folder}/{kind}.count")


look = by_stub if kind == "stub" else by_hosts
count, noted = 0, time.monotonic()
while True:
    for name, good in names.items():
        why = ""
        try:
            found = look(name)
            if not found or not found <= good:
                why = f"found {sorted(found)}"
        except OSError as error:
            why = str(error)
        if why:
            with open(f"{folder}/{kind}.misses", "a", encoding="utf-8") as misses:
                print(time.strftime("%T"), name, why, file=misses)
        count += 1
    if time.monotonic() > noted + 0.2:
        note(count)
        noted = time.monotonic()
