//! What a fleet of some size has been promised, in numbers of the manual and of `src/promises.md` alone, and what of it
//! does not hold. It shares no code with the rules: it is told the true number of hosts, whatever their config says.

use super::super::history::{Ms, SECOND};
use super::super::world::QUOTA;
use super::tally::{Moved, Peaks};

/// Logins a second at one server.
const LOGINS: f64 = 10.0;
/// The logins of so many seconds come beside, within a second, ten and a minute, when a silent zone answers again:
/// those that were on their way, whose connections TCP opens as it sends again. It does so 1, 3, 7 and 15 s after they
/// began, by when they are over: who began in the latest second comes within one, who began in the two before within
/// two, and so on.
const LATE: [f64; 3] = [4.0, 15.0, 15.0];
/// Hosts that return to a zone in a second: each adds 10 ms to the time that they share, a minute at most.
const RETURNS: f64 = 100.0;
const LONGEST: f64 = 60.0;
/// An overloaded target is left over five minutes, by the first half of the hosts.
const RAMP: f64 = 300.0;
/// Each host looks at each address so often, and at an edge.
const INTERVAL: f64 = 5.0;
const FAST: f64 = 0.5;
/// Calls of the API a minute by a fleet with nothing amiss.
const STEADY: f64 = 100.0;
/// The hold.
const HOLD: f64 = 5.0;
/// Settled logins of each host.
const DEEP: f64 = 60.0;

/// What was seen.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Figures {
    pub(super) logins: Peaks,
    pub(super) connections: Peaks,
    /// Within a minute.
    pub(super) calls: usize,
    pub(super) left: Moved,
    pub(super) back: Moved,
}

/// What moves hosts off the zone, or back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Course {
    /// Nothing: they stay.
    Nobody,
    /// The path check fails, or succeeds again.
    Path,
    /// The login does.
    Login,
    /// A lasting overload begins, or is over.
    Overload,
    /// Hosts that are new find it.
    Install,
    /// An admin drains the zone at all hosts at one instant, or the drain ends.
    Drain,
}

/// A fleet of so many.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fleet(pub(super) usize);

impl Fleet {
    #[expect(clippy::cast_precision_loss, reason = "a number of hosts")]
    fn hosts(self) -> f64 {
        self.0 as f64
    }

    /// Within so many seconds all hosts return to a zone.
    fn spread(self) -> f64 {
        (self.hosts() / RETURNS).min(LONGEST)
    }

    /// Between two logins of a host at an edge, at least.
    fn apart(self) -> f64 {
        self.hosts() / LOGINS
    }

    /// The settled pace, with its jitter.
    fn deep(self) -> f64 {
        DEEP.max(self.apart()) * 1.1
    }

    /// Seconds after which everybody who leaves has left, and the most that leave in a second.
    fn leaves(self, course: Course) -> (f64, f64) {
        let hosts = self.hosts();
        match course {
            Course::Nobody => (0.0, 0.0),
            // A probe, three failures of it, and the proof of a sibling.
            Course::Path => (INTERVAL * 1.1 + 4.0, hosts / (INTERVAL * 0.9)),
            Course::Login => (self.deep() + 2.0 * self.apart().max(5.0) + 2.0 * self.apart() + 5.0, LOGINS),
            // Six that alternate, and then the ramp.
            Course::Overload => (7.0 * self.deep() + RAMP / 2.0, hosts / RAMP),
            // As the admin says.
            Course::Drain | Course::Install => (1.0, hosts),
        }
    }

    /// The same for the way back.
    fn returns(self, course: Course) -> (f64, f64) {
        let hosts = self.hosts();
        let a_second = hosts / self.spread().max(1.0);
        match course {
            Course::Nobody => (0.0, 0.0),
            // A login that succeeds just before the path's hold is over, after it failed on the way, has a hold of its
            // own.
            Course::Path => (15.0 + HOLD + 2.0 * self.spread(), a_second),
            Course::Login => (self.deep() + self.apart() + 15.0 + self.spread(), a_second),
            Course::Overload => (self.deep() + self.apart() + RAMP / 2.0 + 5.0, hosts / RAMP),
            Course::Drain => (10.0 + self.spread(), a_second),
            // Those whom the account's quota is too small for wait for their turn.
            Course::Install if self.0 > QUOTA => (hosts * 60.0 / STEADY + 10.0, hosts),
            Course::Install => (5.0, hosts),
        }
    }

    /// What does not hold, in sentences.
    pub(super) fn judge(self, figures: &Figures, (leaves, returns): (Course, Course)) -> Vec<String> {
        let Figures { logins, connections, calls, left, back } = *figures;
        let mut broken = Vec::new();
        let mut check = |found: usize, bound: f64, what: &str| {
            #[expect(clippy::cast_precision_loss, reason = "a count")]
            if found as f64 > bound {
                broken.push(format!("{found} {what}, at most {bound:.0} promised"));
            }
        };
        let late = if returns == Course::Path { LATE } else { [0.0; 3] };
        let bound = |seconds: f64, late: f64| by_chance(LOGINS * (seconds + late));
        check(logins.second, bound(1.0, late[0]), "logins at a server within a second");
        check(logins.ten_seconds, bound(10.0, late[1]), "logins at a server within ten seconds");
        check(logins.minute, bound(60.0, late[2]), "logins at a server within a minute");
        let fast = self.hosts() * (1.0 / FAST);
        check(connections.second, fast + by_chance(LOGINS), "new connections at a server within a second");
        #[expect(clippy::cast_precision_loss, reason = "a count")]
        let quota = QUOTA as f64;
        // Nobody who knows no address waits for the others.
        let share = if returns == Course::Install { quota.max(self.hosts()) } else { quota / 5.0 };
        check(calls, share, "calls of the API within a minute");
        for (moved, course, (within, a_second), how) in
            [(left, leaves, self.leaves(leaves), "left"), (back, returns, self.returns(returns), "returned")]
        {
            broken.extend(self.moved(moved, course, how));
            broken.extend(in_time(moved, (within, a_second), how));
        }
        broken
    }

    fn moved(self, moved: Moved, course: Course, how: &str) -> Option<String> {
        let (found, all) = (moved.hosts, self.0);
        let text = match course {
            Course::Nobody => (found > 0).then_some("nobody was to"),
            Course::Path | Course::Login | Course::Drain | Course::Install => (found != all).then_some("all were to"),
            #[expect(clippy::cast_precision_loss, reason = "a count")]
            Course::Overload => {
                let half = self.hosts() / 2.0;
                let odd = found as f64 > half + 5.0 * (half / 2.0).sqrt();
                (odd || found == 0).then_some("half at most were to, and some")
            }
        };
        text.map(|text| format!("{found} of {all} hosts {how}; {text}"))
    }
}

fn in_time(moved: Moved, (within, a_second): (f64, f64), how: &str) -> Vec<String> {
    #[expect(clippy::cast_precision_loss, reason = "a count, and a time of some minutes")]
    let (slowest, second) = (moved.slowest as f64 / SECOND as f64, moved.second as f64);
    let late = (slowest > within).then(|| format!("the last host {how} after {slowest:.1} s, promised {within:.1} s"));
    let bound = by_chance(a_second);
    let herd = (second > bound).then(|| format!("{second} hosts {how} in one second, at most {bound:.0} promised"));
    late.into_iter().chain(herd).collect()
}

/// The most that a window may show where hosts that know nothing of each other come at random, so many on average: of
/// ten million windows one has more.
fn by_chance(mean: f64) -> f64 {
    mean + 5.0 * mean.sqrt() + 5.0
}

/// A time of the story, as it is told.
pub(super) fn seconds(at: Ms) -> String {
    format!("{}.{}", at / SECOND, at % SECOND / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAY: (Course, Course) = (Course::Nobody, Course::Nobody);

    fn peaks(second: usize, minute: usize) -> Peaks {
        Peaks { second, ten_seconds: minute / 6, minute }
    }

    #[test]
    fn a_gentle_fleet_breaks_nothing() {
        let figures =
            Figures { logins: peaks(20, 600), connections: peaks(300, 4000), calls: 200, ..Figures::default() };
        assert_eq!(Fleet(300).judge(&figures, STAY), Vec::<String>::new());
        let moved = Moved { hosts: 300, second: 70, slowest: 8000 };
        let figures = Figures { left: moved, back: Moved { slowest: 17_000, ..moved }, ..figures };
        assert_eq!(Fleet(300).judge(&figures, (Course::Path, Course::Path)), Vec::<String>::new());
        let left = Moved { hosts: 160, second: 4, slowest: 400_000 };
        let figures = Figures { left, back: left, ..Figures::default() };
        let broken = Fleet(300).judge(&figures, (Course::Overload, Course::Overload));
        assert_eq!(broken, ["the last host returned after 400.0 s, promised 251.0 s"]);
    }

    #[test]
    fn every_bound_can_be_broken() {
        let logins = Peaks { second: 31, ten_seconds: 156, minute: 728 };
        let figures = Figures { logins, connections: peaks(700, 0), calls: 201, ..Figures::default() };
        let broken = Fleet(300).judge(&figures, STAY);
        assert_eq!(broken.len(), 5, "{broken:?}");
        let herd = Moved { hosts: 299, second: 299, slowest: 60_000 };
        for course in [Course::Path, Course::Login, Course::Drain, Course::Overload, Course::Nobody] {
            let figures = Figures { left: herd, back: herd, ..Figures::default() };
            let broken = Fleet(300).judge(&figures, (course, course));
            assert!(broken.iter().any(|text| text.contains("hosts left; ")), "{course:?}: {broken:?}");
            assert!(broken.iter().any(|text| text.contains("hosts returned in one second")), "{course:?}: {broken:?}");
        }
    }

    #[test]
    fn the_bounds_of_returns_are_those_of_the_manual() {
        assert_eq!(Fleet(50).returns(Course::Path), (21.0, 50.0));
        assert_eq!(Fleet(300).returns(Course::Path), (26.0, 100.0));
        assert_eq!(Fleet(60_000).returns(Course::Path), (140.0, 1000.0));
    }
}
