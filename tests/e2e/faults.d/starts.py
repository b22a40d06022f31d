"""An agent that starts beside a zone that is out: for the first time, or once more."""

from agent import ZONES, now
from course import AFTER, Course

# For the first word of the hosts file, and for the verdict after the second start.
BOUND = 60.0


class Start(Course):
    """A row whose fault is there before its agent is. Its times count from the first word of the hosts file."""

    again = None

    def begin(self):
        """It is there already."""

    @property
    def since(self):
        return self.agent.began

    def step(self):
        if self.began is not None:
            super().step()
        elif self.agent.addresses(self.row.name):
            self.began = next(at for at, names in self.agent.files if self.row.name in names)
        elif now() > self.since + BOUND:
            raise RuntimeError(f"{self.row.name} is not published:\n" + self.agent.log_tail())

    def all_are_ready(self):
        return self.again is None or self.again.is_over(self)

    def is_held(self):
        """Who has never worked comes in with the first success."""
        return False

    def is_in_order(self):
        """Three probes that are not answered take more than a second longer than one. Refusals come so fast that either
        may be seen first."""
        return "timeout" not in self.row.reasons or self.left < self.down


class Again:
    """The agent ends and starts again once all its names have left zone a, and comes to its verdicts once more. That no
    name shows zone a meanwhile is looked at as ever."""

    def __init__(self, agent, courses):
        self.agent, self.waiting = agent, set(courses)
        self.at = None

    def is_over(self, course):
        self.waiting.discard(course)
        if self.waiting:
            return False
        if self.at is None:
            self.agent.stop()
            self.at = now()
            self.agent.launch()
        told = self.agent.told("target_down", self.at, endpoint=course.row.endpoint, zone=ZONES[0])
        if not told and now() > self.at + BOUND:
            course.complain("no verdict after the second start")
            return True
        return bool(told) and now() > told[0][0] + AFTER


def start(rig, host, rows):
    """The courses of an agent's rows: each fault first, then the agent."""
    courses = [Start(row, rig, None, rig.addresses(row)) for row in rows]
    for course in courses:
        course.harm()
    agent = rig.start_agent(host, rows)
    again = Again(agent, courses) if rows[0].start == "again" else None
    for course in courses:
        course.agent, course.again = agent, again
    rig.start_clients(agent, rows)
    return courses
