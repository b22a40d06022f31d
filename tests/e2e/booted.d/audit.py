"""Looks at the hosts file and the receipt again and again while somebody hands over hostile plans.

audit.py FILE_WITH_SECRET NAME…

Complains in /run/audit/complaints about anything in the block that is not one of the names with an address of the
allowed range, about any change outside the block, and about the secret. (A file, because the journal has every command line.)
"""

import ipaddress
import re
import sys
import time

with open(sys.argv[1], "rb") as secret_file:
    SECRET = secret_file.read().strip()
NAMES = set(sys.argv[2:])
ALLOWED = ipaddress.ip_network("10.99.0.0/16")
BLOCK = re.compile(rb"(?ms)^# BEGIN privatelinkd \(managed by [^\n]*\)\n(.*?)^# END privatelinkd\n")
REASON = re.compile(r"# ([^\s:]+)(?:: [a-z_]+(?: at [0-9TZ:-]+)?)?")


def read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""


def wrong_lines(block):
    for line in block.decode("utf-8", "replace").splitlines():
        comment = REASON.fullmatch(line)
        if comment and comment[1] in NAMES:
            continue
        address, _, name = line.partition(" ")
        try:
            if name in NAMES and ipaddress.ip_address(address) in ALLOWED:
                continue
        except ValueError:
            pass
        yield f"line {line!r}"


def look(foreign):
    hosts = read("/etc/hosts")
    blocks = BLOCK.findall(hosts)
    if len(blocks) > 1:
        yield f"{len(blocks)} blocks"
    for block in blocks:
        yield from wrong_lines(block)
    if BLOCK.sub(b"", hosts) != foreign:
        yield f"outside the block: {BLOCK.sub(b'', hosts)!r}"
    for path in ("/etc/hosts", "/run/privatelinkd-hosts/receipt.json"):
        if SECRET in read(path):
            yield f"the secret is in {path}"


foreign = BLOCK.sub(b"", read("/etc/hosts"))
looks = 0
while True:
    for complaint in look(foreign):
        with open("/run/audit/complaints", "a", encoding="utf-8") as file:
            print(time.strftime("%T"), complaint, file=file)
    looks += 1
    with open("/run/audit/looks", "w", encoding="ascii") as file:
        file.write(str(looks))
    time.sleep(0.005)
