"""`standin.py SPECS`: what greets in a zone, until killed.

SPECS is a JSON list of {"at": [IP, PORT], "zone": Z}, a server that greets with its zone and then holds the connection,
or with "to", the socket of a MariaDB server, one that hands everything on to it. It says `ready`, and then takes lines
{"at": IP, "delay": SECONDS}: so much later comes whatever is said to a client. Each is answered with `ok`.
"""

import asyncio
import json
import sys

# Whoever is stopped has a kernel that goes on accepting for a while, so the queue must not be what ends that.
BACKLOG = 4096
DELAYS = {}


async def hand_on(reader, writer, at=None):
    """Until either side ends. Only what goes to the client, who has `at`, is late."""
    try:
        while said := await reader.read(65536):
            if at and DELAYS.get(at):
                await asyncio.sleep(DELAYS[at])
            writer.write(said)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


def greeter(spec):
    at, zone = spec["at"][0], spec["zone"]

    async def greet(reader, writer):
        try:
            if DELAYS.get(at):
                await asyncio.sleep(DELAYS[at])
            writer.write(f"hello from zone {zone}\n".encode())
            while await reader.read(1024):
                pass
        except OSError:
            pass
        finally:
            writer.close()

    return greet


def relay(spec):
    async def connected(reader, writer):
        try:
            from_server, to_server = await asyncio.open_unix_connection(spec["to"])
        except OSError:
            writer.close()
            return
        await asyncio.gather(hand_on(reader, to_server), hand_on(from_server, writer, spec["at"][0]))

    return connected


async def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        specs = json.load(file)
    for spec in specs:
        await asyncio.start_server((relay if spec.get("to") else greeter)(spec), *spec["at"], backlog=BACKLOG)
    print("ready", flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        told = json.loads(line)
        DELAYS[told["at"]] = told["delay"]
        print("ok", flush=True)


asyncio.run(main())
