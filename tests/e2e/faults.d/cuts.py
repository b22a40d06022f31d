"""This host cut off from everything: no name moves, whichever way it is cut, and none afterwards either."""

from agent import ZONES, now

# After the verdicts on all addresses the cut lasts so much longer.
AFTER = 8.0
BOUND = 60.0
BACK = 240.0


class Cut:
    """One host with an endpoint of each kind."""

    def __init__(self, fault, host, rig, agent, courses):
        self.fault, self.host, self.rig, self.agent, self.courses = fault, host, rig, agent, courses
        self.began = self.decided = self.over = self.well = None
        # Those whose zone a dies meanwhile.
        self.dying = [course for course in courses if course.row.moves]
        self.complaints = []
        self.done = False

    def begin(self):
        self.switch(False)
        self.began = now()

    def switch(self, on):
        net = self.rig.net
        if "nft" in self.fault:
            if on:
                net.nft_end(self.host, "cut")
            else:
                net.nft(self.host, "cut", ["in:drop", "out:drop"])
        elif "cable" in self.fault:
            net.cable(self.host, "up" if on else "down")
        else:
            net.interface(self.host, "up" if on else "down")

    def downs(self):
        return {(e["endpoint"], e["zone"]) for _, e in self.agent.told("target_down", self.began)}

    def held(self):
        return {e["name"] for _, e in self.agent.told("reason_changed", self.began, reason="local_fault_held")}

    def step(self):
        t = now()
        if self.decided is None:
            every = {(c.row.endpoint, zone) for c in self.courses for zone in ZONES}
            if self.downs() >= every and self.held() >= {c.row.name for c in self.courses}:
                self.decided = t
            elif t > self.began + BOUND:
                self.complaints.append(f"held: {sorted(self.held())}, down: {sorted(self.downs())}")
                self.decided = t
        elif self.over is None and t > self.decided + AFTER:
            for course in self.dying:
                self.rig.standins["a", course.row.kind].mode(course.at(), "refused")
            self.switch(True)
            self.over = now()
        elif self.over is not None and not self.done:
            ups = {(e["endpoint"], e["zone"]) for _, e in self.agent.told("target_up", self.over)}
            wanted = self.downs() - {(c.row.endpoint, ZONES[0]) for c in self.dying}
            staying = [c.row.endpoint for c in self.dying if c.a in self.agent.addresses(c.row.name)]
            if ups >= wanted and not staying:
                self.well, self.done = t, True
            elif t > self.over + BACK:
                self.complaints.append(f"not well again: {sorted(wanted - ups)}, not left: {staying}")
                self.done = True

    def judge(self):
        for course in self.courses:
            row = course.row
            course.began, course.over = self.began, self.over
            downs = self.agent.told("target_down", self.began, endpoint=row.endpoint, zone=ZONES[0])
            if downs:
                course.take(*downs[0])
            for at, told in self.agent.told("target_down", self.began, endpoint=row.endpoint):
                if told["reason"] not in row.reasons:
                    course.complain(f"expected {row.verdict}, found `{told['reason']}` ({told['message']})")
            for at, names in self.agent.files:
                if course in self.dying and self.began < at < self.over and course.a not in names.get(row.name, ()):
                    course.complain(f"it left {at - self.began:.1f} s after the cut began, while it lasted")
            course.complaints += self.complaints
            course.judge()
