"""DNS messages: written byte by byte, so that broken ones can be, and read back whole."""

import struct

TYPES = {
    1: "A",
    2: "NS",
    5: "CNAME",
    6: "SOA",
    12: "PTR",
    13: "HINFO",
    15: "MX",
    16: "TXT",
    28: "AAAA",
    33: "SRV",
    35: "NAPTR",
    39: "DNAME",
    41: "OPT",
    43: "DS",
    46: "RRSIG",
    47: "NSEC",
    48: "DNSKEY",
    52: "TLSA",
    64: "SVCB",
    65: "HTTPS",
    249: "TKEY",
    250: "TSIG",
    251: "IXFR",
    252: "AXFR",
    253: "MAILB",
    254: "MAILA",
    255: "ANY",
    257: "CAA",
}
CODES = {
    0: "NOERROR",
    1: "FORMERR",
    2: "SERVFAIL",
    3: "NXDOMAIN",
    4: "NOTIMP",
    5: "REFUSED",
    9: "NOTAUTH",
    16: "BADVERS",
}
OPTIONS = {3: "NSID", 10: "COOKIE", 11: "KEEPALIVE", 12: "PADDING"}
FLAGS = {0x8000: "qr", 0x0400: "aa", 0x0200: "tc", 0x0100: "rd", 0x0080: "ra", 0x0040: "z", 0x0020: "ad", 0x0010: "cd"}


def name(text):
    """A name on the wire; labels are not longer than 63 bytes."""
    labels = [label.encode("latin-1") for label in text.split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def question(text, kind, cls=1):
    owner = text if isinstance(text, bytes) else name(text)
    return owner + struct.pack("!HH", kind, cls)


def opt(size=1232, version=0, flags=0, options=b"", owner=b"\0", length=None):
    length = len(options) if length is None else length
    return owner + struct.pack("!HHBBHH", 41, size, 0, version, flags, length) + options


def record(owner, kind, ttl, data, cls=1):
    return name(owner) + struct.pack("!HHIH", kind, cls, ttl, len(data)) + data


def message(
    questions=(), additional=(), answers=(), authority=(), *, flags=0x0100, counts=None, tail=b"", ident=0x1234
):
    """`counts` says something else than what is there."""
    parts = [questions, answers, authority, additional]
    counts = counts or [len(part) for part in parts]
    return struct.pack("!HHHHHH", ident, flags, *counts) + b"".join(b"".join(part) for part in parts) + tail


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, form):
        values = struct.unpack_from("!" + form, self.data, self.at)
        self.at += struct.calcsize("!" + form)
        return values

    def bytes(self, count):
        piece = self.data[self.at : self.at + count]
        if len(piece) < count:
            raise ValueError("a message that is cut off")
        self.at += count
        return piece

    def name(self):
        """Labels in the case in which they were sent."""
        labels, back, seen = [], None, 0
        while True:
            length = self.bytes(1)[0]
            if length >= 0xC0:
                target = (length & 0x3F) << 8 | self.bytes(1)[0]
                back = self.at if back is None else back
                seen += 1
                if target >= self.at or seen > 60:
                    raise ValueError("a pointer that leads nowhere")
                self.at = target
            elif length > 63:
                raise ValueError("a label of another kind")
            elif length == 0:
                break
            else:
                labels.append(self.bytes(length))
        self.at = self.at if back is None else back
        return b".".join(labels) + b"."

    def data_of(self, kind, length):
        """Record data, with its names written out."""
        end = self.at + length
        if kind in (2, 5, 12):
            data = self.name().lower()
        elif kind == 6:
            data = (self.name().lower(), self.name().lower(), self.take("IIIII"))
        else:
            data = self.bytes(length)
        if self.at != end:
            raise ValueError("record data of another length than said")
        return data

    def record(self):
        owner = self.name()
        kind, cls, ttl, length = self.take("HHIH")
        return owner, kind, cls, ttl, self.data_of(kind, length)


def option_codes(options):
    """`EDE 20`: of that one the code that it tells."""
    reader = Reader(options)
    while reader.at < len(options):
        code, length = reader.take("HH")
        value = reader.bytes(length)
        yield f"EDE {struct.unpack('!H', value[:2])[0]}" if code == 15 else code


def read(data):
    """A reply as what there is to compare, each by its name."""
    reader = Reader(data)
    ident, flags, *counts = reader.take("HHHHHH")
    questions = []
    for _ in range(counts[0]):
        questions.append((reader.name(), *reader.take("HH")))
    sections = [[reader.record() for _ in range(count)] for count in counts[1:]]
    if reader.at != len(data):
        raise ValueError("bytes after the message")
    edns = [r for r in sections[2] if r[1] == 41]
    sections[2] = [r for r in sections[2] if r[1] != 41]
    code = flags & 15
    said = {"edns": "none"}
    if edns:
        _, _, size, ttl, options = edns[0]
        code |= ttl >> 24 << 4
        does = " do" if ttl & 0x8000 else ""
        said["edns"] = f"{size}{does}" + (f" version {ttl >> 16 & 255}" if ttl >> 16 & 255 else "")
        said["edns"] += "".join(f" {OPTIONS.get(code, code)}" for code in option_codes(options))
        said["edns"] += " twice" if len(edns) > 1 else ""
    said["id"] = f"{ident:04x}"
    said["rcode"] = CODES.get(code, str(code))
    said["opcode"] = str(flags >> 11 & 15)
    said["flags"] = " ".join(word for bit, word in FLAGS.items() if flags & bit)
    said["question"] = " ".join(f"{owner.decode('latin-1')} {kind} {cls}" for owner, kind, cls in questions)
    for title, section in zip(("answer", "authority", "additional"), sections):
        # Owners in whatever case: they mean the same.
        said[title] = sorted((owner.lower(), *rest) for owner, *rest in section)
    return said


def summary(section):
    """`A*2`."""
    kinds = [TYPES.get(r[1], str(r[1])) for r in section]
    return " ".join(f"{kind}*{kinds.count(kind)}" for kind in sorted(set(kinds))) or "-"
