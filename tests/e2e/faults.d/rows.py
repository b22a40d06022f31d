"""What is done to zone a of each endpoint, and what must come of it: the rows of the table, as data."""

from dataclasses import dataclass, field

# The port of a kind, and what is asked of a stand-in that is well.
PORTS = {"matrixone": 6001, "mysql": 3306, "tdengine": 443, "https": 443, "tcp": 5432}
KINDS = tuple(PORTS)


@dataclass
class Row:
    """One endpoint of its own with one fault."""

    kind: str
    # As the table tells it; where it is made: nft, mode, process, sql, link, late, both (zones) or cut; and how.
    fault: str
    where: str
    how: object
    # The verdicts that are right.
    reasons: tuple
    moves: bool = True
    check: str = "path"
    # Further keys of the probe.
    probe: dict = field(default_factory=dict)
    # Seconds for the verdict, so that a hang is a failure. No promise.
    bound: float = 45
    quick: bool = False
    # "standin", or "mariadb": the real one.
    server: str = "standin"
    # The agent starts with the zone well; or "first": for the first time, once the fault is there; "again": once more.
    start: str = ""
    # Set by number().
    number: int = 0

    @property
    def verdict(self):
        reasons = [f"`{r}`" for r in self.reasons] or ["none"]
        text = " or ".join(reasons)
        return text + (" (deep)" if self.check == "deep" else "")

    @property
    def rests(self):
        """A refused secret, and that of a locked account, wait for their file to change."""
        return "auth" in self.reasons or self.fault == "user locked"

    @property
    def endpoint(self):
        return f"r{self.number}-{self.kind}"

    @property
    def name(self):
        return f"{self.endpoint}.faults.example"

    @property
    def client(self):
        """What a client's attempts are, see client.py, where one that knows no more than that meets the fault."""
        if self.where not in ("nft", "link", "process", "late", "both"):
            return None
        if self.where == "late" and self.kind == "tcp":
            return "greeter"
        return self.kind if self.kind in ("tcp", "mysql", "matrixone") else "tls"

    @property
    def word(self):
        """What the agent must tell beside a verdict, or without one."""
        if self.where == "both":
            return {"event": "reason_changed", "name": self.name, "reason": "all_down_kept"}
        # A connection is all that `tcp` looks at.
        if self.where == "late" and self.kind != "tcp":
            return {"event": "target_slow", "endpoint": self.endpoint, "zone": "cn-hangzhou-h"}
        return None

    @property
    def user(self):
        user = f"probe{self.number}"
        return f"acct{self.number}:{user}:readonly" if self.kind == "matrixone" else user

    @property
    def secret(self):
        # Of its own: a refused one is not tried at any other endpoint either.
        return f"5ca1ab1e0faults0{self.number:04}"


STAYS = {"moves": False}
DEEP = {"check": "deep", "bound": 120}
QUICK = {"quick": True}


def served(kind):
    """By a real server where there is one."""
    return {"server": "mariadb"} if kind == "mysql" else {}


PORT = "ip daddr {a} tcp dport {port}"
# Seconds; the client waits for one, and a probe for two.
LATE = 1.5


def network(kind):
    """What the network does to a port."""
    server = served(kind)
    port = PORT
    ways = ("in:" + port, "out:ip saddr {a} tcp sport {port}")
    # Seen by what TCP has to send again, which takes its time.
    lossy = {**server, "bound": 90}
    return [
        Row(kind, "port dropped (nft)", "nft", [f"in:{port} drop"], ("timeout",), quick=True, **server),
        Row(kind, "port rejected with a TCP reset (nft)", "nft", [f"in:{port} reject with tcp reset"], ("refused",),
            quick=True, **server),
        Row(kind, "host unreachable (nft, ICMP)", "nft", [f"in:{port} reject with icmp type host-unreachable"],
            ("unreachable",), **server),
        Row(kind, "40 % of the packets lost, each way (nft)", "nft", [f"{r} numgen random mod 100 < 40 drop" for r in ways],
            ("timeout",), **lossy),
        Row(kind, "6 packets a minute (nft limit)", "nft", [f"in:{port} limit rate over 6/minute burst 1 packets drop"],
            ("timeout",), bound=120, quick=kind == "https", **server),
        Row(kind, "the zone's link is down", "link", None, ("timeout", "unreachable"), quick=True, **server),
    ]


def start(kind):
    """Zone a is out when the agent comes, which has no past to set against that."""
    server = served(kind)
    dropped, reset = [f"in:{PORT} drop"], [f"in:{PORT} reject with tcp reset"]
    before = "before the agent's first start"
    return [
        Row(kind, f"port dropped (nft) {before}", "nft", dropped, ("timeout",), start="first", quick=True, **server),
        Row(kind, f"port rejected with a TCP reset (nft) {before}", "nft", reset, ("refused",), start="first", quick=True,
            **server),
        Row(kind, f"port dropped (nft) {before}, and over its second", "nft", dropped, ("timeout",), start="again",
            quick=True, **server),
    ]


def both(kind):
    server = served(kind)
    reset = ["in:ip daddr {{ {a}, {b} }} tcp dport {port} reject with tcp reset"]
    return Row(kind, "both zones: port rejected with a TCP reset (nft)", "both", reset, ("refused",), moves=False,
               quick=True, **server)


def late(kind):
    server = served(kind)
    # Medians of ten take their time.
    return Row(kind, f"each reply {LATE} s late", "late", LATE, (), moves=False, bound=90, **server)


CUTS = {
    "every packet of this host dropped (nft)": ("timeout",),
    "this host's cable is out": ("timeout", "unreachable"),
    "this host's interface is down": ("unreachable",),
}


def cut(fault, kind):
    """The host alone."""
    server = served(kind)
    return Row(kind, fault, "cut", fault, CUTS[fault], moves=False, quick="nft" in fault, **server)


def dead_meanwhile():
    """Zone a of one endpoint dies while the host is cut off, so its verdict is an old one when the host is back."""
    dropped = next(iter(CUTS))
    return Row("tcp", "the same, and zone a is dead when it is over", "cut", dropped, CUTS[dropped], quick=True)


def process(kind):
    server = served(kind)
    stopped = Row(kind, "server stopped (SIGSTOP)", "process", "stop", ("timeout",), quick=True, **server)
    if kind == "tcp":
        # The kernel goes on accepting.
        stopped = Row(kind, "server stopped (SIGSTOP)", "process", "stop", (), moves=False)
    return [stopped, Row(kind, "server killed", "process", "kill", ("refused",), quick=kind in ("tcp", "mysql"), **server)]


def mode(kind, fault, how, *reasons, **more):
    return Row(kind, fault, "mode", how, reasons, **more)


def certificates(kind, **more):
    return [
        mode(kind, "certificate expired", {"certificate": "expired"}, "tls_expired", **more),
        mode(kind, "certificate of another name", {"certificate": "other_name"}, "tls_name", **more),
        mode(kind, "certificate of an unknown authority", {"certificate": "untrusted"}, "tls_handshake", **more),
    ]


def tcp():
    return [mode("tcp", "handshake never answered (full queue)", "silent", "timeout")]


def https():
    return [
        mode("https", "TLS stalled", "stall_tls", "timeout", quick=True),
        mode("https", "TLS, then silence", "stall_http", "timeout"),
        mode("https", "accepted and reset", "reset", "reset"),
        mode("https", "no TLS", "garbage", "protocol"),
        mode("https", "no HTTP", "garbage_http", "protocol"),
        mode("https", "closed on the request", "hang_up", "reset"),
        mode("https", "502", {"status": 502}, "backend_down", quick=True),
        mode("https", "503", {"status": 503}, "backend_down"),
        mode("https", "404", {"status": 404}, "result"),
        *certificates("https"),
    ]


def tdengine():
    def deep(fault, how, *reasons, **more):
        return mode("tdengine", fault, how, *reasons, **{**DEEP, **more})

    return [
        mode("tdengine", "TLS stalled", "stall_tls", "timeout"),
        mode("tdengine", "accepted and reset", "reset", "reset"),
        mode("tdengine", "no TLS", "garbage", "protocol"),
        *certificates("tdengine"),
        deep("TLS, then silence", "stall_http", "timeout"),
        deep("slow drip", {"drip": {"every_ms": 200}}, "timeout"),
        deep("closed on the request", "hang_up_on_request", "reset"),
        deep("200 with code 11, no database behind it", {"code": 11}, "backend_down", quick=True),
        deep("502", {"refusal": "bad_gateway"}, "backend_down"),
        deep("200 with a page", "not_json", "protocol"),
        deep("half a reply", "truncated_json", "protocol"),
        deep("no rows", "no_rows", "result"),
        deep("503, paused for memory", {"refusal": "paused"}, "overloaded", **STAYS),
        deep("not on the whitelist", {"refusal": "whitelist"}, "not_allowed", **STAYS),
        deep("200 with code 904, no such database", {"code": 904}, "misconfigured", **STAYS),
        deep("200 with code 855, wrong token", {"code": 855}, "auth", **STAYS, quick=True),
        deep("401, wrong token", {"refusal": "bad_token"}, "auth", **STAYS),
    ]


def matrixone():
    def deep(fault, how, *reasons, **more):
        return mode("matrixone", fault, how, *reasons, **{**DEEP, **more})

    def login(fault, how, *reasons, **more):
        return deep(fault, {"login": how}, *reasons, **more)

    return [
        mode("matrixone", "accepted, never greeted", "stall_greeting", "timeout"),
        mode("matrixone", "slow drip", {"drip": {"every_ms": 100}}, "timeout", quick=True),
        mode("matrixone", "accepted and reset", "reset", "reset"),
        mode("matrixone", "closed before the greeting", "hang_up", "reset"),
        mode("matrixone", "half a greeting", "cut_greeting", "reset"),
        mode("matrixone", "greets as another server", "mysql", "protocol"),
        mode("matrixone", "1040 instead of a greeting", "too_many_connections", "overloaded", **STAYS, quick=True),
        deep("greeting, then silence", "stall_login", "timeout", bound=240),
        deep("TLS stalled", "stall_tls", "timeout", bound=240),
        deep("statement never answered", "stall_query", "timeout", bound=240),
        *certificates("matrixone", check="deep", bound=120, probe={"tls": "verify"}),
        login("no compute node (20101)", "no_cn", "backend_down", quick=True),
        login("compute node starting (20101)", "cn_not_ready", "backend_down"),
        deep("no rows", "empty_result", "result"),
        login("compute nodes busy (20508)", "cn_busy", "overloaded", **STAYS),
        login("account suspended", "suspended", "suspended", **STAYS, quick=True),
        login("not on the whitelist", "source_not_authorized", "not_allowed", **STAYS, quick=True),
        login("user locked", "user_locked", "not_allowed", **STAYS),
        login("no such account", "no_tenant", "misconfigured", **STAYS),
        login("wrong password", "wrong_password", "auth", **STAYS, quick=True),
    ]


def mysql():
    def real(fault, how, *reasons, **more):
        return Row("mysql", fault, "sql", how, reasons, **{**DEEP, "server": "mariadb", **more})

    def error(code, text, state=""):
        return {"first_packet": {"code": code, "state": state, "text": text}}

    blocked = "Host 'x' is blocked because of many connection errors; unblock with 'mariadb-admin flush-hosts'"
    verify = {"tls": "verify"}
    return [
        mode("mysql", "accepted, never greeted", "stall_greeting", "timeout"),
        mode("mysql", "slow drip", {"drip": {"every_ms": 100}}, "timeout"),
        mode("mysql", "greeting, then silence", "stall_login", "timeout", bound=120),
        mode("mysql", "TLS stalled", "stall_tls", "timeout", bound=120),
        mode("mysql", "1040 instead of a greeting", error(1040, "Too many connections", "08004"), "overloaded", **STAYS),
        mode("mysql", "1129 instead of a greeting", error(1129, blocked), "blocked", **STAYS, quick=True),
        *certificates("mysql", probe=verify),
        real("replica instead of the primary", ("set global read_only = 1", "set global read_only = 0"), "result",
             probe={"query": "SELECT @@read_only", "expect": "0"}),
        real("too many connections of the user (1226)",
             ("alter user '{user}'@'%' with max_user_connections 1; kill user '{user}'@'%'",
              "alter user '{user}'@'%' with max_user_connections 0"),
             "overloaded", **STAYS),
        real("user locked", ("alter user '{user}'@'%' account lock", "alter user '{user}'@'%' account unlock"),
             "not_allowed", **STAYS),
        real("wrong password",
             ("alter user '{user}'@'%' identified by 'another'", "alter user '{user}'@'%' identified by '{secret}'"),
             "auth", **STAYS, quick=True),
    ]


def all_rows(quick):
    rows = [row for kind in KINDS for row in network(kind) + process(kind)]
    rows += tcp() + https() + tdengine() + matrixone() + mysql()
    for fault in CUTS:
        rows += [cut(fault, kind) for kind in KINDS]
        if fault == next(iter(CUTS)):
            rows.append(dead_meanwhile())
    rows += [row for kind in KINDS for row in start(kind)] + [both(kind) for kind in KINDS]
    rows += [late(kind) for kind in ("mysql", "tcp")]
    rows = [row for row in rows if row.quick or not quick]
    for number, row in enumerate(rows, 10):
        row.number = number
    return rows
