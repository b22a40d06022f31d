"""A small DNS server over UDP: answers A queries and notes the name of every query that it gets.

names.py FILE ADDRESS… -- NAME=IP,IP…

Appends one name a line to FILE. A name that it has gets an authoritative answer without TTL, every other is refused.
Addresses that this host does not have yet are waited for.
"""

import selectors
import socket
import struct
import sys
import time

split = sys.argv.index("--")
file, addresses = sys.argv[1], sys.argv[2:split]
names = dict(pair.split("=") for pair in sys.argv[split + 1 :])


def listen(address):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    server = socket.socket(family, socket.SOCK_DGRAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    while True:
        try:
            server.bind((address, 53))
            return server
        except OSError:
            time.sleep(0.1)


def answer(query):
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]])
        at += 1 + query[at]
    name = b".".join(labels).decode().lower()
    kind = struct.unpack(">H", query[at + 1 : at + 3])[0]
    question = query[12 : at + 5]
    with open(file, "a", encoding="utf-8") as log:
        print(name, file=log)
    ips = names[name].split(",") if name in names else []
    flags = 0x8400 if ips else 0x8005
    if kind != 1:
        ips = []
    records = b"".join(b"\xc0\x0c\0\x01\0\x01\0\0\0\0\0\x04" + socket.inet_aton(ip) for ip in ips)
    head = struct.pack(">HHHHHH", struct.unpack(">H", query[:2])[0], flags, 1, len(ips), 0, 0)
    return head + question + records


selector = selectors.DefaultSelector()
for address in addresses:
    selector.register(listen(address), selectors.EVENT_READ)
while True:
    for key, _ in selector.select():
        query, client = key.fileobj.recvfrom(4096)
        key.fileobj.sendto(answer(query), client)
