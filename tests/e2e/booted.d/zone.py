"""One zone of one endpoint: accepts connections on ADDRESS-PORT and closes them."""

import socket
import sys

address, port = sys.argv[1].rsplit("-", 1)
server = socket.create_server((address, int(port)), backlog=64)
while True:
    server.accept()[0].close()
