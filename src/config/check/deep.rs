//! The deep check: how far it goes and how often, so that a whole fleet stays gentle (B7).

use std::time::Duration;

use super::context::Located;
use super::read;
use super::section::Section;
use crate::model::{DeepSpec, Depth, Schedule};

/// How the words of `depth` are meant.
const DEPTHS: [(&str, Option<Depth>); 3] =
    [("none", None), ("login", Some(Depth::Login)), ("query", Some(Depth::Query))];

const SHORTEST: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(50);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(120);

/// All hosts together log in to a server this often a second at most, at an edge, too.
const LOGINS_A_SECOND: u32 = 10;
/// At an edge the checks of one host are this many times closer.
const HASTE: u32 = 12;

/// What of the rest of a probe its deep check depends on.
pub(super) struct Around {
    /// `deep_interval` where none is written.
    pub(super) interval: Duration,
    /// `[host] fleet_size`.
    pub(super) fleet_size: u32,
    /// The path check's rhythm, if it could be read.
    pub(super) path: Option<Schedule>,
}

/// What a kind can say of its login.
pub(super) struct SecretUse {
    /// Whether there is a secret, so that a deep check is the default.
    pub(super) has_secret: bool,
    /// What is needed to log in, if it lacks.
    pub(super) lacks: Option<&'static str>,
    /// Keys that only a check of [`Depth::Query`] reads.
    pub(super) of_query: [&'static str; 2],
}

/// The deep check, if there is one. The outer `None` if something was wrong.
pub(super) fn deep(section: &mut Section<'_>, around: &Around, means: &SecretUse) -> Option<Option<DeepSpec>> {
    let depth = depth(section, means);
    let interval = section.value_or("deep_interval", Some(around.interval), |n| read::duration(n, SHORTEST..=DAY));
    let timeout = section.value("deep_timeout", |n| read::duration(n, SHORTEST_TIMEOUT..=LONGEST_TIMEOUT));
    let schedule = schedule(interval?, timeout?, around.path?, around.fleet_size);
    Some(depth?.map(|depth| DeepSpec { depth, schedule }))
}

fn depth(section: &mut Section<'_>, means: &SecretUse) -> Option<Option<Depth>> {
    let written = section.has("depth");
    let depth = match section.read("depth", |n| read::word(n, &DEPTHS)) {
        Some(depth) => depth,
        None if written => return None,
        None => {
            let value = means.has_secret.then_some(Depth::Query);
            section.show_derived("depth", &read::quoted_word(&DEPTHS, &value), "\"query\" if a secret is given");
            Located { value, at: None }
        }
    };
    if let Some(lacks) = means.lacks.filter(|_| depth.value.is_some()) {
        section.complain("depth", depth.bad(lacks, "none"));
        return None;
    }
    if depth.value != Some(Depth::Query) {
        for name in means.of_query.iter().filter(|name| section.has(name)) {
            let help = "nothing is asked: give a secret, and no other `depth`";
            let expected = format!("\"query\" beside `{name}`");
            section.report_conflict("depth", expected, &read::quoted_word(&DEPTHS, &depth.value), help);
        }
    }
    Some(depth.value)
}

/// Between two logins of one host.
pub(super) fn apart(fleet_size: u32) -> Duration {
    Duration::from_secs(1) * fleet_size / LOGINS_A_SECOND
}

/// The rhythm of a deep check.
fn schedule(interval: Duration, timeout: Duration, path: Schedule, fleet_size: u32) -> Schedule {
    let apart = apart(fleet_size);
    let interval = interval.max(apart);
    // Never slower than the settled rhythm, even where that is very fast.
    let fast_interval = (interval / HASTE).max(path.fast_interval).max(apart).min(interval);
    Schedule { interval, fast_interval, timeout, rise: path.rise, fall: path.fall }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleet_logs_in_ten_times_a_second_at_most() {
        const S: Duration = Duration::from_secs(1);
        let path = Schedule { interval: 5 * S, fast_interval: S / 2, timeout: 2 * S, rise: 3, fall: 4 };
        let of = |interval, hosts| {
            let deep = schedule(interval, 15 * S, path, hosts);
            assert_eq!((deep.timeout, deep.rise, deep.fall), (15 * S, 3, 4));
            (deep.interval, deep.fast_interval)
        };
        assert_eq!(of(60 * S, 1), (60 * S, 5 * S));
        assert_eq!(of(60 * S, 600), (60 * S, 60 * S));
        assert_eq!(of(60 * S, 3_000), (300 * S, 300 * S));
        assert_eq!(of(300 * S, 1_000), (300 * S, 100 * S));
        assert_eq!(of(S, 1), (S, S / 2));
    }
}
