"""Notes the name of every DNS query to ADDRESS that crosses the loopback interface, whoever asks and whoever answers.

overheard.py FILE ADDRESS

Appends one name a line to FILE; `tcp` for a connection.
"""

import socket
import sys

file, address = sys.argv[1], socket.inet_aton(sys.argv[2])
ALL = 0x0003  # ETH_P_ALL
packets = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ALL))
packets.bind(("lo", 0))


def name_of(packet):
    head = (packet[0] & 15) * 4
    if packet[0] >> 4 != 4 or packet[16:20] != address or packet[head + 2 : head + 4] != b"\0\x35":
        return None
    if packet[9] != 17:
        return "tcp"
    labels, at = [], head + 8 + 12
    while packet[at]:
        labels.append(packet[at + 1 : at + 1 + packet[at]])
        at += 1 + packet[at]
    return b".".join(labels).decode().lower()


while True:
    name = name_of(packets.recv(65536))
    if name:
        with open(file, "a", encoding="utf-8") as log:
            print(name, file=log)
