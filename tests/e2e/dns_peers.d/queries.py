"""Two thousand questions, the same each time: [(category, transport, packet)].

A category is what a row of the table of differences speaks of: all of its packets are of one kind.
"""

import random
import struct

from wire import message, name, opt, question, record

ORDERS, LEDGER, NESTED, WIDE = (
    "gw-orders.cloud.taosdata.com",
    "ledger.db.example.com",
    "replica.eu.ledger.db.example.com",
    "wide.example.com",
)
NAMES = {
    ORDERS: ["10.0.1.15", "10.0.2.15"],
    LEDGER: ["10.1.1.2", "fc00::2"],
    NESTED: ["fc00::9"],
    WIDE: [f"10.9.{n // 250}.{n % 250}" for n in range(60)],
}
APEXES = list(NAMES)
SMALL = [ORDERS, LEDGER, NESTED]
BENEATH = ["x.", "a.b.c.", "_tcp.", "*.", "xn--bcher-kva.", "a" * 63 + ".", "with space."]
OUTSIDE = [
    "example.com",
    "com",
    "",
    "www.example.org",
    "db.example.com",
    "xgw-orders.cloud.taosdata.com",
    "localhost",
    "1.0.0.127.in-addr.arpa",
]
# Between a published name and one beneath it.
BETWEEN = "eu.ledger.db.example.com"
DATA = [1, 2, 5, 6, 12, 13, 15, 16, 17, 28, 29, 33, 35, 37, 39, 44, 48, 52, 64, 65, 99, 257, 32769, 65280]
SIGNED = [46, 47, 50, 51]
COOKIE, NSID, SUBNET, PADDING, KEEPALIVE = (
    b"\0\x0a\0\x08ABCDEFGH",
    b"\0\3\0\0",
    b"\0\x08\0\x07\0\1\x18\0\x0a\1\2",
    b"\0\x0c\0\4\0\0\0\0",
    b"\0\x0b\0\0",
)


def scrambled(text, rng):
    return "".join(c.upper() if rng.random() < 0.5 else c for c in text)


def one(owner, kind, cls=1, **more):
    return message([question(owner, kind, cls)], **more)


def usual(rng):
    for owner in APEXES:
        for kind in DATA:
            if owner == WIDE and kind in (1, 28):
                continue
            yield "type", one(owner, kind)
            yield "type, EDNS", one(owner, kind, additional=[opt()])
        for kind in SIGNED:
            yield "type of DNSSEC", one(owner, kind, additional=[opt(flags=0x8000)])
    for owner in SMALL:
        for kind in (1, 28, 6, 2, 15):
            for _ in range(6):
                yield "mixed case", one(scrambled(owner, rng), kind)
                yield "mixed case, beneath", one(scrambled("X." + owner, rng), kind)
        for flags in (0, 0x0100, 0x0010, 0x0020, 0x0130):
            yield "flags RD, AD, CD", one(owner, 1, flags=flags)
            yield "flags RD, AD, CD, with EDNS", one(owner, 1, flags=flags, additional=[opt()])
        yield "DS", one(owner, 43)
        yield "DS, EDNS", one(owner, 43, additional=[opt(flags=0x8000)])
        for kind in (128, 200, 248, 254, 253):
            yield "meta type", one(owner, kind)
        yield "type 0", one(owner, 0)
        yield "type 65535", one(owner, 65535)
        yield "type OPT in the question", one(owner, 41)
        yield "type TSIG in the question", one(owner, 250)
        yield "type TKEY in the question", one(owner, 249)
        yield "ANY", one(owner, 255)
        yield "ANY, EDNS", one(owner, 255, additional=[opt()])
        yield "ANY beneath", one("x." + owner, 255)
    yield "ANY outside", one("example.org", 255)
    yield "ANY between", one(BETWEEN, 255)


def places():
    for owner in APEXES:
        for label in BENEATH:
            for kind in (1, 28, 16, 6, 65):
                yield "beneath", one(label + owner, kind)
                yield "beneath, EDNS", one(label + owner, kind, additional=[opt(flags=0x8000)])
    for kind in DATA:
        yield "between", one(BETWEEN, kind)
        yield "between, EDNS", one(BETWEEN, kind, additional=[opt()])
    for owner in OUTSIDE:
        for kind in (1, 28, 6, 2, 16, 48):
            yield "outside", one(owner, kind)
            yield "outside, EDNS", one(owner, kind, additional=[opt()])
        yield "outside, DS", one(owner, 43)
    yield "DS beneath", one("x." + ORDERS, 43)
    yield "DS between", one(BETWEEN, 43)
    # 255 bytes, and one more.
    head = ".".join("a" * 63 for _ in range(3))
    fits = 255 - 3 * 64 - len(name(ORDERS)) - 1
    yield "longest name", one(f"{head}.{'b' * fits}.{ORDERS}", 1)
    deep = ".".join("a" for _ in range((255 - len(name(ORDERS))) // 2))
    yield "most labels", one(f"{deep}.{ORDERS}", 1)
    yield "most labels outside", one(".".join("a" for _ in range(127)), 1)
    for owner in SMALL:
        yield "name of odd bytes", one(name(r"a")[:-1] + b"\3\0\xff." + name(owner), 1)


def edns(rng):
    for owner in SMALL + ["x." + ORDERS, "example.org"]:
        where = "" if owner in SMALL else ", not there"
        for size in (0, 1, 511, 512, 513, 1231, 1232, 1233, 4096, 65535):
            yield f"EDNS size{where}", one(owner, 1, additional=[opt(size)])
        yield f"EDNS DO{where}", one(owner, 1, additional=[opt(flags=0x8000)])
        for flags in (1, 0x4000, 0x7FFF, 0xFFFF):
            yield f"EDNS, flags of the future{where}", one(owner, 1, additional=[opt(flags=flags)])
        for version in (1, 2, 255):
            yield f"EDNS of another version{where}", one(owner, 1, additional=[opt(version=version)])
        yield f"EDNS NSID{where}", one(owner, 1, additional=[opt(options=NSID)])
        yield f"EDNS cookie{where}", one(owner, 1, additional=[opt(options=COOKIE)])
        yield f"EDNS subnet{where}", one(owner, 1, additional=[opt(options=SUBNET)])
        yield f"EDNS padding{where}", one(owner, 1, additional=[opt(options=PADDING)])
        yield f"EDNS keepalive{where}", one(owner, 1, additional=[opt(options=KEEPALIVE)])
        for code in (4, 26, 300, 65001, 65535):
            yield f"EDNS option unknown{where}", one(
                owner, 1, additional=[opt(options=struct.pack("!HH", code, 3) + b"abc")]
            )
        yield f"EDNS several options{where}", one(owner, 1, additional=[opt(options=NSID * 2 + b"\xfd\xe9\0\2hi")])
    for owner in SMALL:
        yield "two OPT records", one(owner, 1, additional=[opt(), opt()])
        yield "OPT of another owner", one(owner, 1, additional=[opt(owner=name("x"))])
        yield "OPT as an answer", one(owner, 1, answers=[opt()])
        yield "OPT as an authority", one(owner, 1, authority=[opt()])
        yield "OPT cut off", one(owner, 1, additional=[opt(options=b"\0\3\0\0")[:-2]])
        yield "OPT longer than the message", one(owner, 1, additional=[opt(length=9)])
        yield "OPT with an option longer than itself", one(owner, 1, additional=[opt(options=b"\0\3\0\x09ab")])
        yield "OPT with an option that is cut off", one(owner, 1, additional=[opt(options=b"\0\3\0\4ab")])
        yield "OPT with half an option", one(owner, 1, additional=[opt(options=b"\0\3")])
        yield "cookie of a wrong length", one(owner, 1, additional=[opt(options=b"\0\x0a\0\3abc")])
        yield "EDNS of another version, type AXFR", one(owner, 252, additional=[opt(version=1)])
    for _ in range(30):
        yield "EDNS of another version, random flags", one(
            ORDERS, 1, additional=[opt(rng.randrange(65536), rng.randrange(1, 256), rng.choice((0, 0x8000)))]
        )


def cut():
    """More than a datagram holds."""
    for kind in (1,):
        yield "cut", one(WIDE, kind)
        for size in (0, 512, 600, 900):
            yield "cut, EDNS", one(WIDE, kind, additional=[opt(size)])
        for size in (1232, 4096, 65535):
            yield "not cut, EDNS", one(WIDE, kind, additional=[opt(size)])
    yield "ANY, cut", one(WIDE, 255)


def kinds():
    """Other operations and classes."""
    for owner in SMALL + ["x." + ORDERS, "example.org"]:
        where = "" if owner in SMALL else ", not ours"
        for opcode in (1, 2, 3, 6, 7, 15):
            yield f"opcode of nobody{where}", one(owner, 1, flags=opcode << 11)
        yield f"NOTIFY{where}", one(owner, 6, flags=4 << 11 | 0x0400)
        yield f"UPDATE{where}", message(
            [question(owner, 6)], authority=[record(owner, 1, 5, b"\x0a\0\0\1")], flags=5 << 11
        )
        yield f"UPDATE of nothing{where}", message([question(owner, 6)], flags=5 << 11)
        yield f"AXFR by UDP{where}", one(owner, 252)
        yield f"IXFR by UDP{where}", message(
            [question(owner, 251)], authority=[record(owner, 6, 1, name("a") + name("b") + bytes(20))]
        )
        for cls in (3, 4, 254):
            yield f"class CH, HS, NONE{where}", one(owner, 1, cls)
        yield f"class ANY{where}", one(owner, 1, 255)
        for cls in (0, 2, 256, 65535):
            yield f"class of nobody{where}", one(owner, 1, cls)
    yield "version.bind", one("version.bind", 16, 3)
    yield "id.server", one("id.server", 16, 3)
    yield "hostname.bind", one("hostname.bind", 16, 3)


def junk(rng):
    for owner in SMALL:
        whole = one(owner, 1)
        for end in range(12):
            yield "less than a header", whole[:end]
        yield "header alone", whole[:12]
        for end in range(13, len(whole)):
            yield "question cut off", whole[:end]
        with_opt = one(owner, 1, additional=[opt()])
        for end in range(len(whole), len(with_opt)):
            yield "OPT record cut off", with_opt[:end]
        for tail in (b"\0", b"abc", bytes(12), b"\xff" * 40):
            yield "bytes at the end", whole + tail
            yield "bytes at the end, EDNS", with_opt + tail
        yield "a reply", one(owner, 1, flags=0x8000)
        yield "a reply", one(owner, 1, flags=0x8400, answers=[record(owner, 1, 5, b"\x0a\0\0\1")])
        yield "a reply that is NOTIFY", one(owner, 6, flags=0x8000 | 4 << 11)
        for bit in (0x0400, 0x0080, 0x0040):
            yield "AA, RA or Z set", one(owner, 1, flags=0x0100 | bit)
        yield "TC set", one(owner, 1, flags=0x0300)
        for code in (1, 5, 15):
            yield "a code in the query", one(owner, 1, flags=0x0100 | code)
        yield "no question", message([])
        yield "no question, EDNS", message([], additional=[opt()])
        yield "two questions", message([question(owner, 1), question(owner, 28)])
        yield "two questions, the same", message([question(owner, 1)] * 2)
        yield "two questions, EDNS", message([question(owner, 1), question(owner, 28)], additional=[opt()])
        for counts in ([2, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 1], [1, 0, 0, 2], [255, 255, 255, 255]):
            yield "counts of what is not there", message([question(owner, 1)], counts=counts)
        yield "count of questions 0", message([question(owner, 1)], counts=[0, 0, 0, 0])
        yield "an answer in the query", one(owner, 1, answers=[record(owner, 1, 5, b"\x0a\0\0\1")])
        yield "an authority in the query", one(owner, 1, authority=[record(owner, 1, 5, b"\x0a\0\0\1")])
        yield "an additional record in the query", one(owner, 1, additional=[record(owner, 1, 5, b"\x0a\0\0\1")])
        yield "TSIG of nobody", one(
            owner,
            1,
            additional=[
                name("key.example.com")
                + struct.pack("!HHIH", 250, 255, 0, 0x3A)
                + name("hmac-sha256.")
                + struct.pack("!HIHH", 0, 1_795_000_000, 300, 32)
                + bytes(32)
                + struct.pack("!HHH", 0x1234, 0, 0)
            ],
        )
        yield "pointer to the header", message([b"\xc0\x00" + struct.pack("!HH", 1, 1)])
        yield "pointer to itself", message([b"\xc0\x0c" + struct.pack("!HH", 1, 1)])
        yield "label and pointer to itself", message([b"\3abc\xc0\x0c" + struct.pack("!HH", 1, 1)])
        yield "pointer beyond the end", message([b"\xc0\xff" + struct.pack("!HH", 1, 1)])
        yield "pointer to a name that comes later", message([b"\xc0\x12" + struct.pack("!HH", 1, 1)], tail=name(owner))
        for kind in (0x40, 0x41, 0x80):
            yield "label of another kind", message([bytes([kind]) + b"abc" + name(owner) + struct.pack("!HH", 1, 1)])
        yield "name of 256 bytes", one(too_long(owner), 1)
        yield "name of 300 bytes", one(too_long(owner, 45), 1)
        yield "name without a root", message([name(owner)[:-1] + struct.pack("!HH", 1, 1)])
    for _ in range(120):
        yield "noise", struct.pack("!HHHHHH", 0x1234, rng.randrange(65536) & 0x7FFF, 1, 0, 0, 0) + rng.randbytes(
            rng.randrange(60)
        )
    for _ in range(40):
        packet = bytearray(one(rng.choice(SMALL), 1, additional=[opt()]))
        packet[rng.randrange(4, len(packet))] ^= 1 << rng.randrange(8)
        yield "a bit turned", bytes(packet)


def too_long(owner, more=0):
    """A name of 256 bytes, and so many more."""
    rest = 256 + more - len(name(owner))
    labels = b""
    while rest > 0:
        length = min(63, rest - 1)
        # No label may be empty.
        length -= 1 if rest - length - 1 == 1 else 0
        labels += bytes([length]) + b"a" * length
        rest -= length + 1
    return labels + name(owner)


def streams(rng):
    """By TCP what is answered otherwise there, and some of all."""
    for owner in APEXES:
        for kind in (1, 28, 6, 2, 16, 15, 65):
            yield "TCP", one(owner, kind)
            yield "TCP, EDNS", one(owner, kind, additional=[opt(512)])
    for owner in SMALL + ["example.org"]:
        where = "" if owner in SMALL else ", not ours"
        yield f"AXFR{where}", one(owner, 252)
        yield f"IXFR{where}", message(
            [question(owner, 251)], authority=[record(owner, 6, 1, name("a") + name("b") + bytes(20))]
        )
        yield f"NOTIFY by TCP{where}", one(owner, 6, flags=4 << 11 | 0x0400)
        yield f"UPDATE by TCP{where}", message([question(owner, 6)], flags=5 << 11)
    for owner in SMALL:
        yield "ANY by TCP", one(owner, 255)
        yield "keepalive by TCP", one(owner, 1, additional=[opt(options=KEEPALIVE)])
        yield "beneath, by TCP", one("x." + owner, 1)
        yield "outside, by TCP", one("example.org", 1)
        yield "bytes at the end, by TCP", one(owner, 1) + b"abc"
        yield "question cut off, by TCP", one(owner, 1)[:-3]
        yield "a reply by TCP", one(owner, 1, flags=0x8000)
        yield "less than a header, by TCP", one(owner, 1)[:7]


def every(count=2000):
    rng = random.Random(2026)
    listed = [(c, "udp", p) for part in (usual(rng), places(), edns(rng), cut(), kinds(), junk(rng)) for c, p in part]
    listed += [(c, "tcp", p) for c, p in streams(rng)]
    # The rest: usual ones at random.
    while len(listed) < count:
        owner = scrambled(rng.choice(SMALL), rng)
        more = [] if rng.random() < 0.5 else [opt(rng.choice((512, 1232, 4096)), flags=rng.choice((0, 0x8000)))]
        listed.append(
            (
                "random",
                "udp",
                one(owner, rng.choice((1, 28, 6, 2, 16, 65, 15)), flags=rng.choice((0, 0x0100)), additional=more),
            )
        )
    # Each with an id of its own.
    return [(c, t, struct.pack("!H", n) + p[2:] if len(p) > 1 else p) for n, (c, t, p) in enumerate(listed)]
