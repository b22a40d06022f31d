"""Floods, handshakes and fuzzed packets at a real agent with a stub.

flood.py FOLDER AGENT PROGRAMS [--quick]
"""

import multiprocessing
import os
import pathlib
import random
import re
import socket
import statistics
import struct
import sys
import threading
import time
import urllib.request

import queries
import rig
import services
import wire

# Of this run alone: another may be at work in another folder.
NETWORK = f"127.{64 + os.getpid() % 150}.{os.getpid() // 150 % 250}"
METRICS = 20000 + os.getpid() % 10000
NAME, ZONES = "db.example.com", (f"{NETWORK}.11", f"{NETWORK}.12")
PORT, HTTPS_PORT = 6001, 30000 + os.getpid() % 2000
STUB, CONTROL = (f"{NETWORK}.1", 5354), (f"{NETWORK}.2", 5354)
TARGETS, HANDSHAKES_A_SECOND = 60, 400
# What is aimed at, and what this test takes for broken on whatever machine.
AIM_MS, GROSS_MS, AIM_ANSWER_MS, GROSS_ANSWER_MS, GROSS_GROWTH_KIB = 50, 1000, 5, 250, 4096
WATCHDOG_S = 4.0
# The writer rewrites the hosts file once a second at most, and each fault makes it do so twice.
CYCLE_S = 2.2


def percentiles(values, scale=1e3):
    if not values:
        return "none"
    ordered = sorted(v * scale for v in values)
    return f"{statistics.median(ordered):.1f} / {ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]:.1f} / {ordered[-1]:.1f}"


class Beats:
    """The service manager's side of the watchdog: when each sign of life came."""

    def __init__(self, folder):
        self.path = folder / "notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        self.times = []
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        while True:
            said = self.socket.recv(4096)
            if b"WATCHDOG=1" in said:
                self.times.append(time.monotonic())

    def late(self, since):
        """By how much each came later than the one before promised."""
        times = [t for t in self.times if t >= since]
        return [b - a - WATCHDOG_S / 2 for a, b in zip(times, times[1:])]


class Watch:
    """When the hosts file and the stub changed last, by processes of their own that look again and again."""

    def __init__(self, hosts, at):
        self.pipe, told = multiprocessing.Pipe(duplex=False)
        looks = ((watch_hosts, hosts), (watch_stub, at))
        self.processes = [multiprocessing.Process(target=look, args=(of, told), daemon=True) for look, of in looks]
        for process in self.processes:
            process.start()

    def until(self, wanted, seconds=30):
        """{publisher: when it came to say so}."""
        seen, end = {}, time.monotonic() + seconds
        while len(seen) < 2:
            if not self.pipe.poll(max(0, end - time.monotonic())):
                raise rig.Failed(f"gave up waiting for {wanted}, seen {seen}")
            who, when, found = self.pipe.recv()
            if found == wanted:
                seen[who] = when
        return seen

    def stop(self):
        for process in self.processes:
            process.terminate()


def of_hosts(path):
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    return {line.split()[0] for line in lines if not line.startswith("#") and NAME in line.split()}


def watch_hosts(path, told):
    before = None
    while True:
        found = of_hosts(path)
        if found is not None and found != before:
            before = found
            told.send(("hosts", time.monotonic(), found))
        time.sleep(0.001)


def watch_stub(at, told):
    """Asks every 2 ms, whether or not there was an answer: a flood loses some."""
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.connect(at)
    query, before, next_one = wire.message([wire.question(NAME, 1)]), None, time.monotonic()
    while True:
        client.settimeout(max(0.0005, next_one - time.monotonic()))
        try:
            found = {socket.inet_ntoa(r[4]) for r in wire.read(client.recv(4096))["answer"]}
            if found != before:
                before = found
                told.send(("stub", time.monotonic(), found))
        except TimeoutError:
            pass
        except ConnectionRefusedError:
            # The agent ended, which is for others to judge.
            return
        if time.monotonic() >= next_one:
            client.send(query)
            next_one = time.monotonic() + 0.002


def metrics(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        return answer.read().decode()


def lateness(text):
    return [float(v) for v in re.findall(r"^privatelink_probe_late_seconds\{[^}]*\} ([\d.e+-]+)", text, re.M)]


class Flood:
    """dnsperf without a limit, and clients that open connections and close or keep them."""

    def __init__(self, programs, folder, at, seconds):
        rng = random.Random(6)
        words = [f"{NAME} A", f"{NAME} AAAA", f"{NAME} TXT", f"{NAME} SOA", f"{NAME} ANY", f"{NAME} MX"] * 20
        words += [f"{rng.getrandbits(40):x}.{NAME} A" for _ in range(100)]
        words += [f"{rng.getrandbits(40):x}.example.org A" for _ in range(100)]
        rng.shuffle(words)
        (folder / "flood").write_text("\n".join(words) + "\n")
        self.output = folder / f"flood-{at[0]}.log"
        self.output.unlink(missing_ok=True)
        arguments = [
            "-s",
            at[0],
            "-p",
            at[1],
            "-d",
            folder / "flood",
            "-l",
            seconds + 60,
            "-c",
            8,
            "-q",
            2000,
            "-t",
            1,
            "-e",
        ]
        self.dnsperf = programs.start("dnsperf", arguments, self.output)
        self.connects = multiprocessing.Value("L", 0)
        self.connecting = [
            multiprocessing.Process(target=connect, args=(at, self.connects, keep), daemon=True) for keep in (0, 200)
        ]
        self.began = time.monotonic()
        for process in self.connecting:
            process.start()

    def stop(self):
        took = time.monotonic() - self.began
        # It prints its count then.
        self.dnsperf.send_signal(2)
        self.dnsperf.wait(20)
        for process in self.connecting:
            process.terminate()
            process.join()
        done = int(re.search(r"Queries completed:\s+(\d+)", self.output.read_text())[1])
        return done / took, self.connects.value / took


def connect(at, count, keep):
    kept = []
    while True:
        try:
            stream = socket.create_connection(at, timeout=0.2)
            with count.get_lock():
                count.value += 1
            kept.append(stream)
            if len(kept) > keep:
                kept.pop(0).close()
        except OSError:
            time.sleep(0.001)


def phase(title, agent, parts, seconds):
    """One zone fails and comes back, again and again; what that took, and what else was late."""
    watched, greeter, beats, flood = parts
    started = flood() if flood else None
    time.sleep(0.5)
    began, late, delays, rests_until = time.monotonic(), [], {"hosts": [], "stub": []}, 0
    try:
        while time.monotonic() < began + seconds:
            time.sleep(max(0, rests_until - time.monotonic()))
            rests_until = time.monotonic() + CYCLE_S
            while greeter.closed.poll():
                greeter.closed.recv()
            greeter.well.value = 0
            seen = watched.until({ZONES[1]})
            # The third failure decides (`fall`).
            deciding = [greeter.closed.recv() for _ in range(3)][2]
            for who, when in seen.items():
                delays[who].append(when - deciding)
            late += lateness(metrics(agent.metrics))
            greeter.well.value = 1
            watched.until(set(ZONES))
            late += lateness(metrics(agent.metrics))
    finally:
        rates = started.stop() if started else (0, 0)
    beat = beats.late(began)
    print(
        f"{title:<22}{rates[0] / 1000:<8.1f}{rates[1]:<9.0f}{len(delays['hosts']):<8}{percentiles(late):<22}{percentiles(delays['hosts']):<24}"
        f"{percentiles(delays['stub']):<24}{percentiles(beat)}",
        flush=True,
    )
    return {"probe": late, "hosts": delays["hosts"], "stub": delays["stub"], "watchdog": beat}


def start_agent(folder, binary, endpoints, beats, metrics_port):
    environment = {"NOTIFY_SOCKET": str(beats.path), "WATCHDOG_USEC": str(int(WATCHDOG_S * 1e6))}
    os.environ.update(environment)
    agent = rig.Agent(
        folder,
        binary,
        endpoints=endpoints,
        address=STUB[0],
        port=STUB[1],
        metrics=metrics_port,
        # A zone leaves and returns every second here, which damping is there to end.
        more='[log]\nlevel = "warn"\n[steering]\nflap_penalty = 0',
    )
    config = folder / "config.toml"
    config.write_text(config.read_text().replace("[hosts]\n", '[hosts]\nreassert_interval = "1s"\n'))
    agent.start()
    for word in environment:
        del os.environ[word]
    return agent


def floods(folder, binary, programs, seconds):
    probe = f'probe = {{ kind = "matrixone", port = {PORT}, interval = "250ms", fast_interval = "50ms", timeout = "1s", rise = 1, hold = "0s", tls = "off" }}\n'
    endpoint = f'\n[[endpoint]]\nname = "db"\naddresses = {{ cn-hangzhou-h = "{ZONES[0]}", cn-hangzhou-i = "{ZONES[1]}" }}\nprivate_dns = ["{NAME}"]\n{probe}'
    greeters = [services.Greeter((zone, PORT)) for zone in ZONES]
    beats = Beats(folder)
    agent = start_agent(folder / "agent", binary, endpoint, beats, METRICS)
    control = rig.Nsd(folder / "nsd", programs, {NAME: rig.zone(NAME, ZONES)}, *CONTROL).start()
    watched = None
    try:
        agent.ready(NAME)
        control.ready()
        rig.until("both zones are published", lambda: of_hosts(agent.folder / "hosts") == set(ZONES))
        watched = Watch(agent.folder / "hosts", STUB)
        watched.until(set(ZONES))
        print("milliseconds, median / 99 of 100 / most")
        print(
            f"{'':<22}{'kq/s':<8}{'conn/s':<9}{'faults':<8}{'probe late':<22}{'decision to hosts file':<24}{'decision to stub':<24}watchdog late"
        )
        parts = lambda flood: (watched, greeters[0], beats, flood)
        quiet = phase("quiet", agent, parts(None), seconds)
        other = phase(
            "flood at another (NSD)", agent, parts(lambda: Flood(programs, folder, CONTROL, seconds)), seconds
        )
        ours = phase("flood at the stub", agent, parts(lambda: Flood(programs, folder, STUB, seconds)), seconds)
        check("the agent is still there", agent.process.poll() is None)
    finally:
        for part in [agent, control, *greeters, watched]:
            if part:
                part.stop()
    for what in quiet:
        medians = [statistics.median(one[what]) * 1e3 if one[what] else 0 for one in (quiet, other, ours)]
        mosts = [max(one[what], default=0) * 1e3 for one in (quiet, other, ours)]
        more = medians[2] - medians[0]
        aim = f"{what}: {more:+.1f} ms by the flood in the median, {mosts[2] - mosts[0]:+.1f} at most (at another: {medians[1] - medians[0]:+.1f}, {mosts[1] - mosts[0]:+.1f}); aim +{AIM_MS}"
        check(aim, more <= GROSS_MS, f"expected at most +{GROSS_MS} ms in the median")


def answer_times(at, seconds, pipe):
    """One question a millisecond, each awaited."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        pass
    query, times, lost = wire.message([wire.question("gw.example.com", 1)]), [], 0
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.connect(at)
    client.settimeout(1)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.perf_counter()
        client.send(query)
        try:
            client.recv(4096)
            times.append(time.perf_counter() - began)
        except TimeoutError:
            lost += 1
        time.sleep(0.001)
    pipe.send((times, lost))


def measured(at, seconds):
    mine, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=answer_times, args=(at, seconds, theirs), daemon=True)
    process.start()
    return mine.recv()


def storm(folder, binary, seconds):
    """Answers while the agent shakes hands, in full each time."""
    gateway = services.Gateway(HTTPS_PORT, folder)
    interval = f"{TARGETS * 1000 // HANDSHAKES_A_SECOND}ms"
    zones = ", ".join(f'"{NETWORK}.{n + 101}"' for n in range(TARGETS))
    probed = (
        f'\n[[endpoint]]\nname = "gw"\naddresses = {{ cn-hangzhou-h = [{zones}] }}\nprivate_dns = ["other.example.com"]\n'
        f'probe = {{ kind = "https", port = {HTTPS_PORT}, server_name = "gw.example.com", ca_file = "{folder}/ca.pem", interval = "{interval}", fast_interval = "{interval}" }}\n'
    )
    plain = rig.endpoint("plain", ["127.0.0.9"], ["gw.example.com"])
    found = {}
    try:
        for title, endpoints in (("quiet", plain), ("storm", plain + probed)):
            agent = rig.Agent(
                folder / f"agent-{title}",
                binary,
                endpoints=endpoints,
                address=STUB[0],
                port=STUB[1],
                metrics=METRICS,
                more='[log]\nlevel = "warn"',
            ).start()
            try:
                agent.ready("gw.example.com")
                time.sleep(2)
                before = gateway.count.value
                times, lost = measured(STUB, seconds)
                rate = (gateway.count.value - before) / seconds
            finally:
                agent.stop()
            found[title] = times
            if title == "storm":
                check(f"{rate:.0f} full handshakes a second", rate > 20, "expected a storm")
            print(
                f"answers in {title:<6} {rate:5.0f} handshakes/s, {len(times)} answers, {lost} lost, ms: {percentiles(times)}"
            )
    finally:
        gateway.stop()
    p99 = {title: sorted(times)[len(times) * 99 // 100] * 1e3 for title, times in found.items()}
    more = p99["storm"] - p99["quiet"]
    check(
        f"99 of 100 answers: {more:+.1f} ms by the handshakes; aim +{AIM_ANSWER_MS}",
        more <= GROSS_ANSWER_MS,
        f"expected at most +{GROSS_ANSWER_MS} ms",
    )


def damaged(rng, packet):
    packet = bytearray(packet)
    for _ in range(rng.choice((0, 1, 1, 2, 5))):
        at = rng.randrange(len(packet) + 1)
        kind = rng.randrange(5)
        if kind == 0:
            del packet[at:]
        elif kind == 1:
            packet[at:at] = rng.randbytes(rng.randrange(30))
        elif kind == 2 and len(packet) > 12:
            packet[rng.randrange(4, 12)] = rng.randrange(4)
        elif at < len(packet):
            packet[at] = rng.choice((0, 0xC0, 0x3F, 0x40, 0xFF, rng.randrange(256)))
    return bytes(packet)


def rss_kib(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1])


def fuzz(folder, binary, count):
    """Packets of every broken kind through the real sockets."""
    endpoints = "".join(rig.endpoint(f"e{n}", a, [name]) for n, (name, a) in enumerate(queries.NAMES.items()))
    agent = rig.Agent(
        folder / "agent-fuzz", binary, endpoints=endpoints, address=STUB[0], port=STUB[1], metrics=METRICS
    ).start()
    seed = random.getrandbits(32)
    rng, seeds = random.Random(seed), [packet for _, _, packet in queries.every()]
    try:
        agent.ready(queries.ORDERS)
        sizes, answered = [], 0
        for _ in range(4):
            answered += by_udp(rng, seeds, count // 5) + by_tcp(rng, seeds, count // 20)
            # Connections that were left open are over.
            time.sleep(0.5)
            sizes.append(rss_kib(agent.process.pid))
        good = rig.ask(STUB, wire.message([wire.question(queries.ORDERS, 1)]))
        check(
            f"{count} fuzzed packets (seed {seed}), {answered} answered: it still answers",
            good is not None and agent.process.poll() is None,
        )
        growth = sizes[-1] - sizes[0]
        check(
            f"and has grown by {growth} KiB from the first quarter to the last: {sizes}",
            growth <= GROSS_GROWTH_KIB,
            f"expected at most {GROSS_GROWTH_KIB}",
        )
        log = (agent.folder / "log").read_text()
        check("and nothing panicked", "panick" not in log, log[-2000:])
    finally:
        agent.stop()


def by_udp(rng, seeds, count):
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    client.connect(STUB)
    client.settimeout(0.02)
    answered = 0
    for n in range(count):
        client.send(damaged(rng, rng.choice(seeds))[:65000])
        if n % 64 == 63:
            answered += received(client)
    client.close()
    return answered


def received(client):
    """All that is there, and a moment more."""
    count = 0
    try:
        while client.recv(65535):
            count += 1
    except TimeoutError:
        pass
    return count


def by_tcp(rng, seeds, count):
    answered = 0
    while count > 0:
        client = socket.create_connection(STUB, timeout=0.05)
        packets = [damaged(rng, rng.choice(seeds)) for _ in range(min(count, 20))]
        count -= len(packets)
        frames = b"".join(struct.pack("!H", len(p)) + p for p in packets)
        # Lengths that promise more than comes, too.
        frames = frames if rng.random() < 0.8 else damaged(rng, frames)
        try:
            client.sendall(frames)
            client.shutdown(socket.SHUT_WR)
            while client.recv(65535):
                answered += 1
        except OSError:
            pass
        client.close()
    return answered


counts = {"ok": 0, "FAILED": 0}


def check(title, good, why=""):
    word = "ok" if good else "FAILED"
    counts[word] += 1
    print(f"{word} {title}" + ("" if good else f"\n   {why}"), flush=True)


def main(folder, binary, root, *options):
    quick = "--quick" in options
    folder, programs = pathlib.Path(folder), rig.Programs(root)
    floods(folder, binary, programs, 11 if quick else 25)
    storm(folder, binary, 4 if quick else 20)
    fuzz(folder, binary, 20_000 if quick else 100_000)
    print(f"{counts['ok']} checks passed, {counts['FAILED']} failed")
    return counts["FAILED"] > 0


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except rig.Failed as error:
        sys.exit(f"FAILED {error}")
