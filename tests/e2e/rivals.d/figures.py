"""What a client of one steerer met in one scene."""

from dataclasses import dataclass

from clients import EVERY


@dataclass
class Figures:
    """Seconds, but for the counts of moves. `clean` is from the begin to the last bad attempt, `back` from zone a's end
    of illness to the first greeting from it; nothing, where it did not come or there is nothing to come back from."""

    bad: float
    clean: float
    dead: int
    needless: int
    back: object
    attempts: int


class Truth:
    """How well both zones are, of one endpoint: who is ill since when, as the rig made it."""

    def __init__(self):
        self.changes = []

    def ill(self, at, zones):
        self.changes.append((at, zones))

    def is_ill(self, zone, at):
        ill = ""
        for since, zones in self.changes:
            if since > at:
                break
            ill = zones
        return zone in ill

    def through(self, zone, ill, begin, end):
        """Whether it was so for the whole time, so that what is seen 0.2 s late is not held against anybody."""
        return self.is_ill(zone, begin) == ill and self.is_ill(zone, end) == ill


def moves(leads, truth, begin, end):
    """Onto an address that was dead; and off zone a's while that was well."""
    dead = needless = 0
    for (before, old), (at, new) in zip(leads, leads[1:]):
        if old != new and begin <= at <= end:
            dead += truth.through(new, True, before, at)
            needless += new == "b" and truth.through("a", False, before, at)
    return dead, needless


def figures(attempts, told, truth, began, scene):
    """`attempts` are the client's, `told` is where a steerer that hides the address said that it leads."""
    begin, end = began + scene.since, began + scene.end
    counted = [one for one in attempts if begin <= one[0] < end]
    bad = [at for at, _, good, _, _ in counted if not good]
    leads = told or [(at, zone) for at, _, _, zone, _ in attempts if zone]
    dead, needless = moves(leads, truth, begin, end)
    back = None
    if scene.heal is not None:
        healed = began + scene.heal
        back = next((at - healed for at, _, good, _, by in attempts if at >= healed and good and by == "a"), None)
    return Figures(len(bad) * EVERY, bad[-1] - begin if bad else 0.0, dead, needless, back, len(counted))
