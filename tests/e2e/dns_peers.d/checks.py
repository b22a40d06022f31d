"""Two thousand questions to our stub, NSD and Knot with the same names, and other people's resolvers asking ours.

    checks.py FOLDER BINARY PROGRAMS

Runs in a network namespace of its own. One line a check, "ok" or "FAILED", then the count.
"""

import collections
import fnmatch
import pathlib
import sys

import advised
import asking
import clients
import lab
import queries
import rig
import wire
from differences import ROWS

OURS, NSD, KNOT = "ours", "nsd", "knot"
counts = {"ok": 0, "FAILED": 0}


def check(title, good, why=""):
    word = "ok" if good else "FAILED"
    counts[word] += 1
    print(f"{word} {title}" + ("" if good else f"\n   {why}"), flush=True)


def zones(agent):
    """Zones for the peers, with the serial and the text that our stub says."""
    made = {}
    for name, addresses in queries.NAMES.items():
        asked = [rig.ask(agent.at, wire.message([wire.question(name, kind)])) for kind in (6, 16)]
        soa, text = [wire.read(reply)["answer"][0][4] for reply in asked]
        texts = []
        while text:
            texts.append(text[1 : 1 + text[0]].decode())
            text = text[1 + text[0] :]
        beneath = [other for other in queries.NAMES if other.endswith("." + name)]
        made[name] = rig.zone(name, addresses, soa[2][0], texts, beneath)
    return made


def matching(row, category, peer, what):
    return all(
        fnmatch.fnmatchcase(value, pattern.replace("[", "[[]")) for value, pattern in zip((category, peer, what), row)
    )


def compare(servers):
    """Each difference is in the table, and each row of the table is a difference."""
    listed = queries.every()
    check(f"{len(listed)} questions", len(listed) >= 2000)
    replies = {title: [asking.said(r) for r in of] for title, of in asking.ask_all(servers, listed).items()}
    met, unlisted = collections.Counter(), collections.defaultdict(list)
    same = 0
    for n, (category, transport, packet) in enumerate(listed):
        for peer in (NSD, KNOT):
            differ = asking.differences(replies[OURS][n], replies[peer][n])
            same += not differ
            for what in differ:
                rows = [row for row in ROWS if matching(row, category, peer, what)]
                met.update(rows[:1])
                if not rows:
                    unlisted[category, peer, what].append(f"{transport} {packet.hex()}")
    check(
        f"{same} of {2 * len(listed)} replies are the same, and the others differ as listed",
        not unlisted,
        "\n   ".join(f"{len(packets):3} {key!r}: {packets[0]}" for key, packets in sorted(unlisted.items())),
    )
    for row in ROWS:
        what, why = " | ".join(row[:3]), row[3]
        check(f"listed: {what}, {met[row]} times: {why}", met[row] > 0, "it never occurred: take it out of the table")


def main(folder, binary, root):
    folder = pathlib.Path(folder)
    programs = rig.Programs(root)
    endpoints = "".join(
        rig.endpoint(f"e{n}", addresses, [name]) for n, (name, addresses) in enumerate(queries.NAMES.items())
    )
    running = []
    try:
        agent = rig.Agent(folder / "agent", binary, endpoints=endpoints)
        running.append(agent.start())
        agent.ready(queries.ORDERS)
        made = zones(agent)
        for kind, address in ((rig.Nsd, "127.0.0.2"), (rig.Knot, "127.0.0.3")):
            running.append(kind(folder / kind.program, programs, made, address).start())
        for server in running[1:]:
            server.ready()
        compare(dict(zip((OURS, NSD, KNOT), (server.at for server in running))))
        resolvers = clients.run(check, agent, programs, folder)
        advised.run(check, agent, programs, folder)
        lab.run(check, binary, programs, folder, resolvers)
        check("the agent is still there", agent.process.poll() is None)
    finally:
        for server in running:
            server.stop()
    print(f"{counts['ok']} checks passed, {counts['FAILED']} failed")
    return counts["FAILED"] > 0


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except rig.Failed as error:
        sys.exit(f"FAILED {error}")
