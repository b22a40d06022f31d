//! What came to the servers, to the API and to the names, counted.

use std::collections::BTreeMap;

use super::super::history::{Ms, SECOND, Spot};
use super::super::world::Arrival;

/// Everything that is to be judged of one scenario. Times are in milliseconds since its story began.
#[derive(Debug, Default)]
pub(super) struct Tally {
    logins: BTreeMap<Spot, Vec<Ms>>,
    connections: BTreeMap<Spot, Vec<Ms>>,
    calls: Vec<Ms>,
    moves: Vec<Move>,
}

/// A host takes the zone in question out of its answer, or takes it in again.
#[derive(Debug, Clone, Copy)]
struct Move {
    at: Ms,
    host: usize,
    back: bool,
}

/// The most that came within so long, anywhere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Peaks {
    pub(super) second: usize,
    pub(super) ten_seconds: usize,
    pub(super) minute: usize,
}

/// How hosts moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Moved {
    /// How many of them.
    pub(super) hosts: usize,
    /// The most within a second.
    pub(super) second: usize,
    /// From when the story says so to the last one.
    pub(super) slowest: Ms,
}

impl Tally {
    pub(super) fn arrived(&mut self, arrival: Arrival, at: Ms) {
        match arrival {
            Arrival::Connection(spot) => self.connections.entry(spot).or_default().push(at),
            Arrival::Login(spot) => self.logins.entry(spot).or_default().push(at),
            Arrival::Call => self.calls.push(at),
        }
    }

    pub(super) fn moved(&mut self, host: usize, back: bool, at: Ms) {
        self.moves.push(Move { at, host, back });
    }

    pub(super) fn logins(&self) -> Peaks {
        peaks(&self.logins)
    }

    pub(super) fn connections(&self) -> Peaks {
        peaks(&self.connections)
    }

    /// The most calls of an action within any minute.
    pub(super) fn calls(&self) -> usize {
        most(&self.calls, 60 * SECOND)
    }

    /// Who moved so, from then on and before `until`; of each host the first time.
    pub(super) fn moves(&self, back: bool, from: Ms, until: Ms) -> Moved {
        let mut first = BTreeMap::new();
        for one in self.moves.iter().filter(|one| one.back == back && (from..until).contains(&one.at)) {
            first.entry(one.host).or_insert(one.at);
        }
        let mut times: Vec<Ms> = first.values().copied().collect();
        times.sort_unstable();
        let slowest = times.last().map_or(0, |last| last - from);
        Moved { hosts: times.len(), second: most(&times, SECOND), slowest }
    }
}

fn peaks(all: &BTreeMap<Spot, Vec<Ms>>) -> Peaks {
    let of = |window| all.values().map(|times| most(times, window)).max().unwrap_or_default();
    Peaks { second: of(SECOND), ten_seconds: of(10 * SECOND), minute: of(60 * SECOND) }
}

/// The most of these, which are in order, within any span of that length.
fn most(times: &[Ms], window: Ms) -> usize {
    let mut first = 0;
    let mut most = 0;
    for (n, at) in times.iter().enumerate() {
        while times.get(first).is_some_and(|early| early + window <= *at) {
            first += 1;
        }
        most = most.max(n + 1 - first);
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_within_a_window_is_found_wherever_it_lies() {
        assert_eq!(most(&[], SECOND), 0);
        assert_eq!(most(&[0, 999, 1000, 1001, 1999, 5000], SECOND), 3);
        assert_eq!(most(&[7, 7, 7, 2000], SECOND), 3);
    }

    #[test]
    fn servers_are_not_added_up_and_of_a_host_the_first_move_counts() {
        let spot = |zone| Spot { endpoint: 0, zone };
        let mut tally = Tally::default();
        for at in 0..10 {
            tally.arrived(Arrival::Login(spot(at % 2)), at as Ms);
            tally.arrived(Arrival::Call, at as Ms * 10 * SECOND);
        }
        assert_eq!(tally.logins(), Peaks { second: 5, ten_seconds: 5, minute: 5 });
        assert_eq!((tally.connections(), tally.calls()), (Peaks::default(), 6));
        for (host, back, at) in [(1, false, 100), (2, false, 900), (1, true, 5000), (1, false, 9000)] {
            tally.moved(host, back, at);
        }
        assert_eq!(tally.moves(false, 50, 20_000), Moved { hosts: 2, second: 2, slowest: 850 });
        assert_eq!(tally.moves(true, 50, 5000), Moved::default());
    }
}
