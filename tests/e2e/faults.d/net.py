"""Network namespaces of our own: hosts, zones, and a switch between them."""

import subprocess


def run(*command, **more):
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, **more)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()} {more.get('input', '')}")
    return done.stdout


class Net:
    """10.77.0.0/16: hosts have the third byte 0, zones have one each."""

    ZONES = {"a": 1, "b": 2, "l": 3}

    def __init__(self, prefix):
        self.prefix = prefix
        self.spaces = []

    def space(self, name):
        return f"{self.prefix}{name}"

    def inside(self, name, *command):
        return ("ip", "netns", "exec", self.space(name), *command)

    def add(self, name):
        run("ip", "netns", "add", self.space(name))
        self.spaces.append(name)
        run("ip", "-n", self.space(name), "link", "set", "lo", "up")

    def make_switch(self):
        self.add("switch")
        at = self.space("switch")
        run("ip", "-n", at, "link", "add", "bridge", "type", "bridge")
        run("ip", "-n", at, "link", "set", "bridge", "up")

    def plug_in(self, name, addresses):
        """A namespace with a cable to the switch."""
        self.add(name)
        at, switch = self.space(name), self.space("switch")
        run("ip", "-n", at, "link", "add", "eth0", "type", "veth", "peer", "name", f"port-{name}", "netns", switch)
        run("ip", "-n", switch, "link", "set", "dev", f"port-{name}", "master", "bridge", "up")
        batch = "".join(f"addr add {address}/16 dev eth0\n" for address in addresses)
        run("ip", "-n", at, "-batch", "-", input=batch)
        run("ip", "-n", at, "link", "set", "eth0", "up")

    def set(self, name, key, value):
        """A sysctl of the namespace."""
        run(*self.inside(name, "tee", f"/proc/sys/{key}"), input=value)

    def cable(self, name, state):
        run("ip", "-n", self.space("switch"), "link", "set", "dev", f"port-{name}", state)

    def interface(self, name, state):
        run("ip", "-n", self.space(name), "link", "set", "eth0", state)

    def nft(self, name, table, rules):
        """Rules, each behind `in:` or `out:`, as a table of their own."""
        text = f"table inet {table} {{\n"
        for way, hook in (("in", "input"), ("out", "output")):
            of_hook = [rule.partition(":")[2] for rule in rules if rule.startswith(f"{way}:")]
            if of_hook:
                lines = "\n".join(of_hook)
                text += f"chain {way}_ {{\ntype filter hook {hook} priority 0;\n{lines}\n}}\n"
        run(*self.inside(name, "nft", "-f", "-"), input=text + "}\n")

    def nft_end(self, name, table):
        run(*self.inside(name, "nft", "delete", "table", "inet", table))

    def remove(self):
        for name in self.spaces:
            subprocess.run(("ip", "netns", "del", self.space(name)), capture_output=True, check=False)
        self.spaces = []
