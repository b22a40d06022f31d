"""The course of one row: its fault, the verdict, the hosts file, the fault's end, the way back."""

import signal

from agent import ZONES, now
from clients import EVERY
from rows import PORTS

# After a name moved, or a verdict that moves none was told, so much longer the fault lasts: nothing else may come of
# it.
AFTER = 3.0
# What a probe cannot see lasts so long: three times what the verdict on silence takes at most.
UNSEEN = 25.0
# For the way back: three successes, and a hold of 5 s. A hang is a failure; no promise.
BACK = 240.0
HOLD = 5.0


class Course:
    """One row on its way. `step` is called again and again until `done`."""

    def __init__(self, row, rig, agent, addresses):
        self.row, self.rig, self.agent = row, rig, agent
        self.a, self.b = addresses
        self.began = self.edge = self.down = self.said = self.left = self.over = self.back = None
        # Of a client that tries every 200 ms, takes zone a's address where it is on offer, and waits for a second.
        self.bad = None
        self.complaints = []
        self.late = self.done = False

    # What is done.

    def begin(self):
        # From before it is there: nothing that comes of it is missed.
        self.began = now()
        self.harm()

    def harm(self):
        row = self.row
        if row.where in ("nft", "both"):
            rules = [rule.format(a=self.a, b=self.b, port=PORTS[row.kind]) for rule in row.how]
            self.rig.net.nft(self.rig.zones(row)[0], f"row{row.number}", rules)
        elif row.where == "mode":
            self.rig.standins["a", row.kind].mode(self.at(), row.how)
        elif row.where == "sql":
            self.rig.mariadb["a"].sql(self.statement(0))
        elif row.where == "process":
            self.rig.own[row.number].signal(signal.SIGSTOP if row.how == "stop" else signal.SIGKILL)
        elif row.where == "link":
            self.rig.link(False)
        elif row.where == "late":
            self.rig.late[row.number].say(at=self.a, delay=row.how)

    def end(self):
        row = self.row
        if row.where in ("nft", "both"):
            self.rig.net.nft_end(self.rig.zones(row)[0], f"row{row.number}")
        elif row.where == "mode":
            self.rig.standins["a", row.kind].mode(self.at(), {"certificate": "good"} if self.is_certificate() else "up")
        elif row.where == "sql":
            self.rig.mariadb["a"].sql(self.statement(1))
        elif row.where == "process" and row.how == "stop":
            self.rig.own[row.number].signal(signal.SIGCONT)
        elif row.where == "process":
            self.rig.restart(row)
        elif row.where == "link":
            self.rig.link(True)
        elif row.where == "late":
            self.rig.late[row.number].say(at=self.a, delay=0)
        self.over = now()

    def at(self):
        return f"{self.a}:{PORTS[self.row.kind]}"

    def is_certificate(self):
        return self.row.kind == "https" and isinstance(self.row.how, dict) and "certificate" in self.row.how

    def statement(self, which):
        return self.row.how[which].format(user=self.row.user, secret=self.row.secret)

    # What is seen.

    @property
    def since(self):
        """What was told before has another cause."""
        return self.began

    def verdict(self):
        """The first verdict on zone a since the fault began."""
        found = self.agent.told("target_down", self.since, endpoint=self.row.endpoint, zone=ZONES[0])
        return found[0] if found else None

    def step(self):
        if self.over is None:
            self.under_way()
        elif not self.done:
            self.on_the_way_back()

    def under_way(self):
        row, t = self.row, now()
        if self.down is None and (told := self.verdict()):
            self.take(*told)
        if self.left is None and self.a not in self.agent.addresses(row.name):
            self.left = next(at for at, names in self.agent.files if at >= self.began and self.a not in names.get(row.name, ()))
        if row.word and self.said is None:
            self.said = next((at for at, _ in self.agent.told(since=self.since, **row.word)), None)
        awaited = [self.down] * bool(row.reasons) + [self.left] * row.moves + [self.said] * bool(row.word)
        ready = None not in awaited and t > (max(awaited) + AFTER if awaited else self.began + UNSEEN)
        late = t > self.began + max(row.bound, UNSEEN + 1)
        if late and not ready and not self.late:
            self.late = True
            self.complain(f"no end within {row.bound:.0f} s: verdict after {ago(self.down, self.began)}, "
                          f"left after {ago(self.left, self.began)}, told after {ago(self.said, self.began)}")
        if (ready or late) and self.all_are_ready():
            self.end()

    def all_are_ready(self):
        """One link is all of theirs: it comes back once the last of them is ready."""
        if self.row.where != "link":
            return True
        self.rig.link_ready.add(self.row.number)
        return self.rig.link_ready >= self.rig.link_rows

    def take(self, at, told):
        self.down = at
        edges = [t for t, _ in self.agent.told("edge_began", self.since, endpoint=self.row.endpoint, zone=ZONES[0]) if t <= at]
        self.edge = edges[-1] if edges else at
        if told["reason"] not in self.row.reasons:
            self.complain(f"expected {self.row.verdict}, found `{told['reason']}` ({told['message']})")
        if told["check"] != self.row.check:
            self.complain(f"expected the {self.row.check} check to tell, found {told['check']}: {told['message']}")

    def on_the_way_back(self):
        row, t = self.row, now()
        if row.moves and self.left is not None:
            if self.a in self.agent.addresses(row.name):
                self.back = next(at for at, names in self.agent.files if at >= self.left and self.a in names.get(row.name, ()))
                self.done = True
                if self.back < self.over and "lost" not in row.fault:
                    self.complain("it came back while the fault lasted")
                elif self.back - self.over < HOLD and self.is_held():
                    self.complain(f"it came back after {self.back - self.over:.1f} s, within the hold")
        elif row.where == "both":
            self.done = bool(self.agent.told("reason_changed", self.over, name=row.name, reason="healthy"))
        elif self.down is None or row.rests:
            # Nothing to come back from; or a secret that is not sent again.
            self.done = True
        else:
            self.done = bool(self.agent.told("target_up", self.over, endpoint=row.endpoint, zone=ZONES[0]))
        if not self.done and t > self.over + BACK:
            self.complain(f"not well again {BACK:.0f} s after the fault's end")
            self.done = True

    def is_held(self):
        """Of what was lost on the way, a part of it may be well before the end."""
        return "lost" not in self.row.fault

    def is_in_order(self):
        return self.left >= self.down - 0.05

    def count_bad(self, attempts):
        """Those begun while the fault lasted. Where no simple client meets the fault, each attempt with zone a's
        address is one; where the name stays, it is the client's own login, or a server for everybody, that fails."""
        row = self.row
        if attempts is not None:
            self.bad = sum(1 for at, _, good, _, _ in attempts if self.began <= at < self.over and not good)
        elif row.where != "cut" and row.moves:
            self.bad = round(((self.left or self.over) - self.began) / EVERY)

    def complain(self, text):
        self.complaints.append(text)

    def judge(self):
        """What must hold of every row, looked at when all is over."""
        row = self.row
        if row.reasons and self.down is None:
            self.complain("no verdict")
        if not row.reasons and self.down is not None:
            self.complain("a verdict where none was possible")
        if row.moves and self.down and self.left and not self.is_in_order():
            self.complain(f"verdict after {ago(self.down, self.began)}, left after {ago(self.left, self.began)}")
        if row.word and self.said is None:
            self.complain(f"not told: {row.word}")
        states = [(at, names[row.name]) for at, names in self.agent.files if row.name in names]
        gone = [at for at, names in self.agent.files if at > self.began and row.name not in names]
        if gone:
            self.complain(f"the hosts file was without the name {gone[0] - self.began:.2f} s after the fault began")
        for address, zone in [(self.b, "b")] + ([] if row.moves else [(self.a, "a")]):
            without = [at for at, has in states if address not in has]
            if without:
                self.complain(f"zone {zone}'s address was not there {without[0] - self.began:.2f} s after the fault began, "
                              f"nor in {len(without) - 1} further states of the hosts file")
        # The file is looked at every few milliseconds; the log has every answer.
        for at, told in self.agent.told("answer_changed", self.began or 0.0, name=row.name):
            if self.b not in told["message"].split(" to ")[-1]:
                self.complain(f"an answer without zone b: {told['message']}")


def ago(t, since):
    return "-" if t is None else f"{t - since:.2f} s"
