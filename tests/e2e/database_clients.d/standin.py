"""The stand-ins, switched over their control, and what the checks have in common."""

import json
import os
import subprocess
import urllib.request

LEDGER = "ep-bp1standinledger00001"
NAME = "ledger-db.example.internal"
ZONE = f"endpoints/{LEDGER}/zones/cn-hangzhou-h"


def equal(found, expected, what=""):
    if found != expected:
        raise AssertionError(f"{what}: expected {expected!r}, found {found!r}")


def contains(found, *parts):
    for part in parts:
        if part not in found:
            raise AssertionError(f"expected {part!r} in {found!r}")


def refused(call, kind, *parts):
    """The exception of that kind that a call ends in, if its text has these parts."""
    try:
        found = call()
    except kind as error:
        contains(str(error), *parts)
        return error
    raise AssertionError(f"expected {kind}, found {found!r}")


def sql_error(code, text, state="HY000"):
    return {"code": code, "state": state, "text": text}


class Standin:
    """One ENI of the stand-in cloud, which leads to one database."""

    def __init__(self, work, kind, port):
        self.work = work
        self.ca = os.path.join(work, "ca.pem")
        with open(os.path.join(work, "sim.json"), encoding="utf-8") as file:
            said = json.load(file)
        self.control_url = f"http://{said['addresses']['control']}/control/"
        self.accounts = said["databases"][kind]
        self.kind = kind
        self.ip = said["endpoints"][LEDGER]["zones"]["cn-hangzhou-h"]["eni_ip"]
        self.port = port

    def control(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.control_url + path, data, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def reset(self):
        """As at the start, with counts of zero."""
        self.control("POST", "reset", {})
        self.mode("up")

    def mode(self, mode):
        self.control("PATCH", ZONE, {"serve": {"kind": self.kind, "port": self.port, "mode": mode}})

    def counts(self):
        return self.control("GET", "counts")[LEDGER]["cn-hangzhou-h"]

    def run(self, *command, **more):
        """Runs a program; its code, output and errors."""
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **more)
        return done.returncode, done.stdout, done.stderr
