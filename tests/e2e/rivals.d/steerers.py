"""Who steers the names: two agents of ours, HAProxy, gdnsd, and a hosts file that nobody touches."""

import os
import socket
import subprocess
import threading
import time

import agent as ours
from agent import now

OURS = ("privatelinkd", "privatelinkd, fast")
FAST = {"interval": "1s", "fast_interval": "200ms", "timeout": "500ms", "rise": 2, "hold": "1s"}


class Steerer:
    """One on a host. `way` is how a client of it finds an address, `leads` what it told of itself, oldest first."""

    def __init__(self, rig, host, places, label):
        self.rig, self.host, self.places, self.label = rig, host, places, label
        self.folder = os.path.join(rig.work, f"{host}-{label.replace(', ', '-')}")
        os.makedirs(self.folder)
        self.leads = {}
        self.process = None

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        return self.path(name)

    def launch(self, *command):
        with open(self.path("log"), "ab") as log:
            self.process = subprocess.Popen(self.rig.net.inside(self.host, *command), stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, env=self.rig.rival_env)

    def start(self):
        raise NotImplementedError

    def kill(self):
        self.process.kill()
        self.process.wait()

    def again(self):
        self.start()

    def end(self):
        if self.process:
            self.kill()

    def trouble(self):
        with open(self.path("log"), encoding="utf-8", errors="replace") as file:
            return f"{self.label} on {self.host}: {file.read()[-2000:]}"


class Ours(Steerer):
    """The agent, with a metrics port of its own; a client reads its hosts file."""

    def __init__(self, rig, host, places, label):
        super().__init__(rig, host, places, label)
        self.agent = None
        self.way = {"hosts": f"{self.folder}/host-{host}/etc/hosts"}

    def start(self):
        parts = [f'[metrics]\nlisten = "127.0.0.1:{9965 + OURS.index(self.label)}"\n']
        for place in self.places:
            place.probe = FAST if self.label == OURS[1] else {}
            parts.append(ours.endpoint(place, (place.a, place.b), self.folder, None))
        self.agent = ours.Agent(self.rig.net, self.host, self.rig.agent, self.folder, parts)

    def ready(self):
        return all(self.agent.addresses(place.name) == {place.a, place.b} for place in self.places) and \
            len({(e["endpoint"], e["zone"]) for _, e in self.agent.told("target_up")}) == 2 * len(self.places)

    def kill(self):
        self.agent.process.kill()
        self.agent.process.wait()

    def again(self):
        self.agent.launch()

    def end(self):
        if self.agent:
            self.agent.end()

    def trouble(self):
        return f"{self.label} on {self.host}: {self.agent.log_tail()}"


class Haproxy(Steerer):
    """Tuned: it looks every second, and a broken connection to zone a is made anew to zone b. All connections go there
    through zone a as long as that is up: `balance first`."""

    HEAD = """\
global
    stats socket {folder}/stats mode 600
    maxconn 8000
defaults
    mode tcp
    balance first
    timeout connect 300ms
    timeout check 500ms
    timeout client 20s
    timeout server 20s
    timeout client-fin 1s
    timeout server-fin 1s
    retries 3
    option redispatch 1
    default-server check inter 1s fastinter 200ms fall 2 rise 2 on-marked-down shutdown-sessions
"""
    CHECK = {
        "tcp": "    option tcp-check\n    tcp-check connect\n    tcp-check expect string hello\n",
        "mysql": "    option mysql-check user haproxy\n",
    }

    def __init__(self, rig, host, places, label):
        super().__init__(rig, host, places, label)
        at = rig.host_address(host)
        self.way = {"proxy": {place.name: [at, 10000 + place.number] for place in places}}
        text = self.HEAD.format(folder=self.folder)
        for place in places:
            text += (f"listen {place.name}\n    bind {at}:{10000 + place.number}\n{self.CHECK[place.kind]}"
                     f"    server a {place.a}:{place.port}\n    server b {place.b}:{place.port}\n")
        self.config = self.write("haproxy.cfg", text)
        self.leads = {place.name: [] for place in places}
        self.ended = False
        threading.Thread(target=self.watch, daemon=True).start()

    def start(self):
        self.launch(self.rig.program("haproxy"), "-db", "-f", self.config)

    def statuses(self):
        """By name, which servers are up."""
        with socket.socket(socket.AF_UNIX) as asked:
            asked.settimeout(2)
            asked.connect(self.path("stats"))
            asked.sendall(b"show stat\n")
            told = b"".join(iter(lambda: asked.recv(65536), b"")).decode()
        found = {}
        for line in told.splitlines():
            fields = line.split(",")
            if fields[1:2] in (["a"], ["b"]):
                found.setdefault(fields[0], {})[fields[1]] = fields[17]
        return found

    def watch(self):
        while not self.ended:
            try:
                at = now()
                for name, of in self.statuses().items():
                    up = [zone for zone in "ab" if of[zone].startswith("UP")]
                    if up:
                        self.leads[name].append((at, up[0]))
            except (OSError, KeyError):
                pass
            time.sleep(0.2)

    def ready(self):
        try:
            found = self.statuses()
        except OSError:
            return False
        return all(found[place.name] == {"a": "UP", "b": "UP"} for place in self.places)

    def end(self):
        self.ended = True
        super().end()


class Gdnsd(Steerer):
    """Tuned: the shortest interval that leaves a check a second, two failures, two successes, a TTL of 2 s, which it
    halves by itself while zone a is down."""

    def __init__(self, rig, host, places, label):
        super().__init__(rig, host, places, label)
        at = rig.host_address(host)
        self.way = {"dns": [at, 5353]}
        for part in ("zones", "run", "state"):
            os.makedirs(self.path(part))
        types = "".join(f"  {kind} => {{ plugin => tcp_connect, port => {port}, interval => 2, timeout => 1, "
                        "up_thresh => 2, ok_thresh => 2, down_thresh => 2 }\n"
                        for kind, port in {p.kind: p.port for p in places}.items())
        resources = "".join(f"  {place.endpoint} => {{ service_types => [ {place.kind} ], primary => {place.a}, "
                            f"secondary => {place.b} }}\n" for place in places)
        self.write("config", f"options => {{\n listen => {at}:5353\n udp_threads => 1\n tcp_threads => 1\n"
                   f" min_ttl => 1\n run_dir => {self.folder}/run\n state_dir => {self.folder}/state\n}}\n"
                   f"service_types => {{\n{types}}}\nplugins => {{ simplefo => {{\n{resources}}} }}\n")
        records = "".join(f"{place.endpoint} 2 DYNA simplefo!{place.endpoint}\n" for place in places)
        self.write("zones/rivals.example", "@ SOA ns admin 1 7200 1800 259200 60\n@ NS ns\nns A 127.0.0.1\n" + records)

    def start(self):
        self.launch(self.rig.program("gdnsd"), "-c", self.folder, "start")

    def ready(self):
        # Its first round of checks ends before it serves. Clients tell.
        return self.process.poll() is None


class Static(Steerer):
    """What somebody copied from the console."""

    def __init__(self, rig, host, places, label):
        super().__init__(rig, host, places, label)
        self.way = {"hosts": self.write("hosts", "".join(f"{address} {place.name}\n" for place in places
                                                         for address in (place.a, place.b)))}

    def start(self):
        pass

    def ready(self):
        return True

    def kill(self):
        pass

    def trouble(self):
        return f"{self.label} on {self.host}: nothing to say"


STEERERS = {OURS[0]: Ours, OURS[1]: Ours, "HAProxy": Haproxy, "gdnsd": Gdnsd, "static file": Static}
