"""A resolver on loopback for tests/e2e/crowd, and the servers behind the addresses that it gives.

    resolver.py DNS_PORT TCP_PORT ENDPOINTS MANY

Of the names ep-N.crowd.example every second one is never answered, ep-1's has MANY addresses (over TCP, since they are
too many for a datagram), the others have one each, where a server listens. Prints "ready".
"""
import selectors
import socket
import struct
import sys

DNS_PORT, TCP_PORT, ENDPOINTS, MANY = map(int, sys.argv[1:5])


def address(n):
    return bytes([127, 77, n >> 8, n & 255])


def records(n):
    if n == 1:
        return [bytes([127, 78, i >> 8, i & 255]) for i in range(1, MANY + 1)]
    return [address(n)]


def reply(query, datagram):
    """None if nobody answers."""
    label = query[13:13 + query[12]].decode()
    n = int(label.rpartition('-')[2])
    if n % 2 == 0:
        return None
    end = query.index(b'\0', 12) + 5
    kind, = struct.unpack('!H', query[end - 4:end - 2])
    found = records(n) if kind == 1 else []
    truncated = datagram and len(found) > 20
    if truncated:
        found = []
    head = query[:2] + struct.pack('!5H', 0x8380 if truncated else 0x8180, 1, len(found), 0, 0)
    return head + query[12:end] + b''.join(b'\xc0\x0c\0\1\0\1\0\0\0\x05\0\4' + a for a in found)


def whole(stream, size):
    data = b''
    while len(data) < size:
        more = stream.recv(size - len(data))
        if not more:
            raise ConnectionError
        data += more
    return data


udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
udp.bind(('127.0.0.1', DNS_PORT))
tcp = socket.create_server(('127.0.0.1', DNS_PORT))
selector = selectors.DefaultSelector()
selector.register(udp, selectors.EVENT_READ, 'udp')
selector.register(tcp, selectors.EVENT_READ, 'tcp')
for n in range(3, ENDPOINTS + 1, 2):
    server = socket.create_server((socket.inet_ntoa(address(n)), TCP_PORT))
    selector.register(server, selectors.EVENT_READ, 'server')
print('ready', flush=True)
while True:
    for key, _ in selector.select():
        if key.data == 'udp':
            query, peer = udp.recvfrom(4096)
            answer = reply(query, True)
            if answer:
                udp.sendto(answer, peer)
        elif key.data == 'tcp':
            stream, _ = tcp.accept()
            with stream:
                stream.settimeout(5)
                try:
                    answer = reply(whole(stream, struct.unpack('!H', whole(stream, 2))[0]), False)
                    if answer:
                        stream.sendall(struct.pack('!H', len(answer)) + answer)
                except (ConnectionError, TimeoutError):
                    pass
        else:
            key.fileobj.accept()[0].close()
