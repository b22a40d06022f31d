"""A resolver for names of others, as a VPC has: what it does not know does not exist, and recursion is offered."""

import socket
import threading

import wire

A, CNAME, NXDOMAIN = 1, 5, 3


class Upstream:
    """`names` has {name: address}, `aliases` {name: name}. By UDP, from a thread, until the process ends."""

    def __init__(self, address, names, aliases):
        self.names, self.aliases = names, aliases
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, 53))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            query, client = self.socket.recvfrom(4096)
            self.socket.sendto(self.answer(query), client)

    def answer(self, query):
        reader = wire.Reader(query)
        ident, *_ = reader.take("HHHHHH")
        owner = reader.name().decode("latin-1")
        kind, _ = reader.take("HH")
        # A resolver follows an alias to its end.
        name = end = owner.rstrip(".").lower()
        records = []
        if name in self.aliases:
            end = self.aliases[name]
            records.append(wire.record(name, CNAME, 60, wire.name(end)))
        if end in self.names and kind == A:
            records.append(wire.record(end, A, 60, socket.inet_aton(self.names[end])))
        code = 0 if end in self.names else NXDOMAIN
        qr, rd, ra = 0x8000, 0x0100, 0x0080
        return wire.message([wire.question(owner, kind)], answers=records, flags=qr | rd | ra | code, ident=ident)
