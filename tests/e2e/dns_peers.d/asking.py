"""Many questions to several servers at once."""

import selectors
import socket
import struct
import time

import wire

# NSD sends at most 100 errors in a second of the clock.
TOGETHER, APART = 90, 1.05


def open_socket(at, transport, packet):
    """A client that has sent its packet; None if that could not be."""
    kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
    client = socket.socket(socket.AF_INET, kind)
    client.settimeout(2)
    client.connect(at)
    client.sendall(packet if transport == "udp" else struct.pack("!H", len(packet)) + packet)
    client.setblocking(False)
    return client


def whole(transport, data):
    """The first message of what came."""
    if transport == "udp":
        return data
    if len(data) < 2 or len(data) < 2 + struct.unpack("!H", data[:2])[0]:
        return None
    return data[2 : 2 + struct.unpack("!H", data[:2])[0]]


def ask_all(servers, queries):
    """{server: [reply or None]}, in the order of the queries. Who says nothing is asked twice."""
    replies = {title: [None] * len(queries) for title in servers}
    for patience in (APART, 2):
        unanswered = [(title, n) for n in range(len(queries)) for title in servers if replies[title][n] is None]
        for begin in range(0, len(unanswered), TOGETHER * len(servers)):
            ask_some(unanswered[begin : begin + TOGETHER * len(servers)], servers, queries, (replies, patience))
    return replies


def ask_some(some, servers, queries, into):
    replies, patience = into
    selector = selectors.DefaultSelector()
    began = time.monotonic()
    for title, n in some:
        _, transport, packet = queries[n]
        client = open_socket(servers[title], transport, packet)
        selector.register(client, selectors.EVENT_READ, (title, n, transport, bytearray()))
    # To open them takes its time on a busy machine.
    end = time.monotonic() + patience
    while selector.get_map() and time.monotonic() < end:
        for key, _ in selector.select(max(0, end - time.monotonic())):
            receive(selector, key, replies)
    for key in list(selector.get_map().values()):
        key.fileobj.close()
    selector.close()
    time.sleep(max(0, began + APART - time.monotonic()))


def receive(selector, key, replies):
    title, n, transport, data = key.data
    try:
        piece = key.fileobj.recv(65535)
    except OSError:
        piece = b""
    data += piece
    reply = whole(transport, bytes(data))
    if reply is not None and piece:
        replies[title][n] = reply
    if reply is not None or not piece:
        selector.unregister(key.fileobj)
        key.fileobj.close()


def said(reply):
    """What a reply says, for people and tables."""
    if reply is None:
        return {"reply": "none"}
    try:
        return {"reply": "one", **wire.read(reply)}
    except (ValueError, struct.error) as error:
        return {"reply": f"broken: {error}"}


def differences(ours, theirs):
    """Each as `rcode REFUSED/NOTAUTH`, `flags qr aa/qr`: ours, then theirs.

    Another rcode is one difference: what follows from it (no AA, no records) is not told again.
    """
    if ours["reply"] != theirs["reply"]:
        return ["reply " + "/".join(one["reply"] if one["reply"] != "one" else one["rcode"] for one in (ours, theirs))]
    differ = [field for field in ours if ours[field] != theirs.get(field)]
    if "rcode" in differ:
        differ = [field for field in differ if field in ("id", "opcode", "question", "rcode")]
    return [difference(field, ours, theirs) for field in differ]


def difference(field, ours, theirs):
    mine, other = ours[field], theirs[field]
    if field in ("answer", "authority", "additional"):
        mine, other = wire.summary(mine), wire.summary(other)
    if field == "question":
        mine, other = ("echoed" if one else "left out" for one in (mine, other))
    return f"{field} {mine}/{other if mine != other else 'another'}"
