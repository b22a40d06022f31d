"""What is done to the zones, to the host and to the steerers: scenes as data, each at an endpoint of its own."""

from dataclasses import dataclass

from rows import PORTS, Row

KINDS = ("tcp", "mysql")
# Silence, so that only a timeout tells.
DROPPED = ("in:ip daddr {a} tcp dport {port} drop",)
RESET = ("in:ip daddr {a} tcp dport {port} reject with tcp reset",)
LOSSY = ("in:ip daddr {a} tcp dport {port} numgen random mod 100 < 40 drop",
         "out:ip saddr {a} tcp sport {port} numgen random mod 100 < 40 drop")
# Of a reply that is late; the client waits for a second, a probe at our defaults for two.
SLOW = 1.5
# The hosts: all scenes that leave the host and its steerers alone are on the first.
MAIN, CUT, KILL, KILL_AWAY = "h", "c", "k", "w"


@dataclass
class Scene:
    """`course` has (seconds after the begin, what is done). `where` says how zone a is broken."""

    title: str
    where: str
    course: list
    how: object = ()
    host: str = MAIN
    # From when attempts count.
    since: float = 0.0
    # How long after the end of the course they count.
    watch: float = 0.0
    # Which aims it is held to.
    aims: tuple = ()
    kinds: tuple = KINDS

    @property
    def heal(self):
        """When zone a is well for good; nothing if it was never ill."""
        mends = [at for at, what in self.course if what == "mend"]
        return mends[-1] if mends else None

    @property
    def end(self):
        return max([at for at, _ in self.course] or [0.0]) + self.watch


class Place(Row):
    """One scene for one kind: an endpoint, with the addresses that everybody steers between."""

    # Each is itself alone.
    __hash__, __eq__ = object.__hash__, object.__eq__

    def __init__(self, scene, kind, number):
        super().__init__(kind, scene.title, scene.where, scene.how, ())
        self.scene, self.number = scene, number
        self.a, self.b = f"10.77.{3 if scene.where == 'link' else 1}.{number}", f"10.77.2.{number}"
        self.port = PORTS[kind]

    @property
    def name(self):
        return f"{self.endpoint}.rivals.example"

    @property
    def client(self):
        """What its client expects."""
        return "greeter" if self.kind == "tcp" else self.kind

    @property
    def rules(self):
        return {zone: [rule.format(a=getattr(self, zone), port=self.port) for rule in self.how] for zone in "ab"}


def flapping(seconds):
    """Five seconds ill, five well."""
    course = []
    for n in range(int(seconds / 10)):
        course += [(10.0 * n, "break"), (10.0 * n + 5, "mend")]
    return course


def all_scenes(quick):
    lasts, watch = (13.0, 20.0) if quick else (40.0, 80.0)
    once = [(0.0, "break"), (lasts, "mend")]
    back = ("back", "dead")
    scenes = [
        Scene("nothing", "none", [], watch=lasts + watch, aims=("quiet",)),
        Scene("port dropped", "nft", once, DROPPED, watch=watch, aims=back),
        Scene("port rejected with a TCP reset", "nft", once, RESET, watch=watch, aims=back),
        Scene("server stopped (SIGSTOP)", "process", once, watch=watch, aims=back),
        Scene("steerer killed (-9) and started again", "none", [(5.0, "kill"), (5.0 + lasts / 2, "again")], host=KILL,
              watch=watch - 5, aims=("alive",)),
    ]
    if quick:
        return scenes
    late = lasts / 2 + 5
    return [
        *scenes[:3],
        Scene("the zone's link is down", "link", once, watch=watch, aims=back),
        scenes[3],
        Scene("40 % of the packets lost, each way", "nft", once, LOSSY, watch=watch, aims=("back",)),
        Scene("each reply 1.5 s late", "slow", once, SLOW, watch=watch, aims=back),
        Scene("flapping, 5 s dropped and 5 s well", "nft", flapping(120), DROPPED, watch=45.0, aims=("flapping",)),
        Scene("flapping, 5 s reset and 5 s well", "nft", flapping(120), RESET, watch=45.0, aims=("flapping",)),
        Scene("both zones reset, then well", "nft", [(0.0, "break both"), (20.0, "mend")], RESET, watch=watch,
              aims=back),
        Scene("this host cut off from everything", "none", [(0.0, "cut"), (20.0, "uncut")], host=CUT, watch=watch,
              aims=("still",)),
        scenes[4],
        Scene("steerer killed while zone a is dropped, and started again", "nft",
              [(0.0, "break"), (late, "kill"), (late + 20, "again"), (late + 35, "mend")], DROPPED, host=KILL_AWAY,
              since=late, watch=45.0, aims=("alive", *back)),
    ]


def places(scenes):
    found = []
    for scene in scenes:
        for kind in scene.kinds:
            found.append(Place(scene, kind, 10 + len(found)))
    return found
