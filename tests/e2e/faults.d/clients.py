"""A process with clients that try every 200 ms, see client.py, and what they met."""

import json
import os
import subprocess

EVERY = 0.2


class Clients:
    """On a host. `way` is how they find an address."""

    def __init__(self, net, host, folder, way, names):
        self.out = os.path.join(folder, "attempts")
        path = os.path.join(folder, "client.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"out": self.out, **way, "names": names}, file)
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "client.py")
        self.process = subprocess.Popen(net.inside(host, "python3", script, path))

    def end(self):
        self.process.terminate()
        self.process.wait()

    def attempts(self):
        """By name, in the order of their begins: (began, ended, answered, zone of the address, zone that answered)."""
        found = {}
        with open(self.out, encoding="utf-8") as file:
            for line in file:
                # The last one may be half a line.
                if line.endswith("]\n"):
                    name, *rest = json.loads(line)
                    found.setdefault(name, []).append(rest)
        return {name: sorted(tries) for name, tries in found.items()}
