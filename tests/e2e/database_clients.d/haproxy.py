"""What HAProxy's mysql-check says of the MatrixOne front end."""

import os
import socket
import subprocess
import time
from contextlib import contextmanager

from standin import sql_error

CONFIG = """\
global
    stats socket {socket} mode 600
defaults
    mode tcp
    timeout connect 2s
    timeout server 2s
    timeout check 2s
backend greeting
    option mysql-check
    server eni {ip}:{port} check inter 100ms rise 1 fall 1
backend login
    option mysql-check user haproxy
    server eni {ip}:{port} check inter 100ms rise 1 fall 1
"""


def ask(path, command):
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(path)
        client.sendall(command.encode() + b"\n")
        return b"".join(iter(lambda: client.recv(65536), b"")).decode()


def statuses(path):
    """The check_status of each backend's server, and its code, as "L7STS 1040"."""
    lines = ask(path, "show stat").lstrip("# ").splitlines()
    names = lines[0].split(",")
    rows = [dict(zip(names, line.split(","))) for line in lines[1:] if line]
    told = {row["pxname"]: (row["check_status"], row["check_code"]) for row in rows if row["svname"] == "eni"}
    # A star is a check on its way.
    return {
        name: f"L7STS {code}" if status.endswith("L7STS") else status.lstrip("* ")
        for name, (status, code) in told.items()
    }


@contextmanager
def running(standin):
    path = os.path.join(standin.work, "haproxy.sock")
    config = os.path.join(standin.work, "haproxy.cfg")
    with open(config, "w", encoding="utf-8") as file:
        file.write(CONFIG.format(socket=path, ip=standin.ip, port=standin.port))
    process = subprocess.Popen(["haproxy", "-db", "-f", config], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        for _ in range(100):
            if os.path.exists(path):
                break
            if process.poll() is not None:
                raise AssertionError(process.stdout.read().decode())
            time.sleep(0.05)
        yield path
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def until(path, expected):
    found = None
    for _ in range(100):
        found = statuses(path)
        if found == expected:
            return
        time.sleep(0.05)
    raise AssertionError(f"expected {expected}, found {found}")


def health_checks(standin):
    # Without a delimiter, a user of account sys; HAProxy sends no password.
    standin.control("PATCH", "databases/matrixone/users", {"sys:haproxy:public": ""})
    with running(standin) as path:
        for mode, greeting, login in [
            ("up", "L7OK", "L7OK"),
            ({"login": "no_cn"}, "L7OK", "L7STS 20101"),
            ({"login": "wrong_password"}, "L7OK", "L7STS 1045"),
            ({"login": "access_error_twice"}, "L7OK", "L7STS 1045"),
            ("too_many_connections", "L7STS 1040", "L7STS 1040"),
            ({"first_packet": sql_error(1129, "Host is blocked", "")}, "L7STS 1129", "L7STS 1129"),
            # It looks for no protocol's number.
            ("old_protocol", "L7OK", "L7OK"),
            ("refused", "L4CON", "L4CON"),
            ("stall_greeting", "L7TOUT", "L7TOUT"),
            ("up", "L7OK", "L7OK"),
        ]:
            standin.mode(mode)
            try:
                until(path, {"greeting": greeting, "login": login})
            except AssertionError as error:
                raise AssertionError(f"{mode}: {error}") from None
    counts = standin.counts()
    # The check without a user leaves after the greeting; no proxy takes that for a broken handshake.
    if not counts["heartbeats"] or not counts["logins"] or counts["clear_passwords"]:
        raise AssertionError(counts)


SCENES = [("HAProxy: mysql-check with a user and without, well and with each fault", health_checks)]
