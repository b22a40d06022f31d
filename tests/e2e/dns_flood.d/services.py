"""What the agent probes: each in a process of its own, so that nobody waits for another's turn."""

import multiprocessing
import socket
import ssl
import struct
import threading
import time

HELLO = (
    b"\x0a8.0.30-MatrixOne-v3.0.9\0"
    + struct.pack("<I", 7)
    + b"saltsalt\0"
    + struct.pack("<HBHHB", 0xA20F, 45, 2, 0x0019, 21)
    + bytes(10)
    + b"saltsaltsalt\0mysql_native_password\0"
)


class Greeter:
    """A front end that greets, or closes without a word; it tells when it closed."""

    def __init__(self, at):
        self.listener = socket.create_server(at, backlog=64)
        self.well = multiprocessing.Value("b", 1)
        self.closed, told = multiprocessing.Pipe(duplex=False)
        self.process = multiprocessing.Process(target=self.serve, args=(told,), daemon=True)
        self.process.start()

    def serve(self, told):
        while True:
            stream, _ = self.listener.accept()
            if self.well.value:
                stream.sendall(struct.pack("<I", len(HELLO)) + HELLO)
                threading.Thread(target=drain, args=(stream,), daemon=True).start()
            else:
                told.send(time.monotonic())
                stream.close()

    def stop(self):
        self.process.terminate()
        self.process.join()
        self.listener.close()


def drain(stream):
    """Until the other side closes."""
    with stream:
        stream.settimeout(5)
        try:
            while stream.recv(4096):
                pass
        except OSError:
            pass


class Gateway:
    """HTTPS that answers every request with 200, and resumes no session."""

    def __init__(self, port, folder):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        self.context.options |= ssl.OP_NO_TICKET
        self.context.num_tickets = 0
        self.listener = socket.create_server(("0.0.0.0", port), backlog=1024)
        self.count = multiprocessing.Value("L", 0)
        self.process = multiprocessing.Process(target=self.serve, daemon=True)
        self.process.start()

    def serve(self):
        for _ in range(16):
            threading.Thread(target=self.work, daemon=True).start()
        threading.Event().wait()

    def work(self):
        while True:
            stream, _ = self.listener.accept()
            stream.settimeout(5)
            try:
                with self.context.wrap_socket(stream, server_side=True) as tls:
                    with self.count.get_lock():
                        self.count.value += 1
                    tls.recv(4096)
                    tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            except OSError:
                stream.close()

    def stop(self):
        self.process.terminate()
        self.process.join()
        self.listener.close()
