//! Many hosts against the one quota of their account (B14), in virtual time: how often all of them together call the
//! API, whatever happens to them, and how soon they learn that an address changed.
//!
//! The table is printed with `cargo test discover_fleet -- --show-output`; privatelinkd-guides(7) shows it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use fastrand::Rng;
use privatelinkd::discover::schedule::{ApiPace, DnsPace, Fleet};
use privatelinkd::model::Boottime;

/// Calls of one action a minute and account (the documented quota).
const QUOTA: u32 = 1_000;
const ENDPOINTS: u32 = 2;
const INTERVAL: Duration = Duration::from_secs(600);
const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

fn at(ms: u64) -> Boottime {
    Boottime(Duration::from_millis(ms))
}

fn ms(at: Boottime) -> u64 {
    u64::try_from(at.0.as_millis()).unwrap()
}

/// What happens to all hosts, at the tenth hour of the fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Story {
    Steady,
    /// Every host restarts within a minute, with its cache.
    Restart,
    /// Every host sees a zone fail within ten seconds.
    ZoneFails,
    /// The API answers nobody for an hour.
    ApiDown,
}

const STORIES: [Story; 4] = [Story::Steady, Story::Restart, Story::ZoneFails, Story::ApiDown];

struct Outcome {
    /// The most calls of one action in any minute from the story on, and the mean before it.
    most: u32,
    mean: f64,
    /// Seconds until a host has asked the API again after the story, sorted.
    learned: Vec<f64>,
    /// Rounds that the API refused because the quota was used up.
    throttled: u32,
}

/// Plays a story to a fleet that says it has `said` hosts.
fn play(hosts: u32, said: u32, story: Story) -> Outcome {
    let fleet = Fleet { hosts: said, endpoints: ENDPOINTS, interval: INTERVAL };
    let stretched = u64::try_from(fleet.stretched().as_millis()).unwrap();
    // Long enough to be out of step before, and to see every host once after.
    let (begins, ends) = (3 * stretched.max(HOUR), 5 * stretched.max(HOUR) + 2 * HOUR);
    let mut rng = Rng::with_seed(u64::from(hosts) << 3 | story as u64);
    // As the hash of a host's identity is.
    let seeds: Vec<u64> = (0..hosts).map(|_| rng.u64(..)).collect();
    let mut paces: Vec<_> = seeds.iter().map(|seed| ApiPace::new(fleet, true, *seed, at(0))).collect();
    let mut due: BinaryHeap<_> = paces.iter().enumerate().map(|(i, p)| Reverse((ms(p.next()), i, false))).collect();
    if matches!(story, Story::Restart | Story::ZoneFails) {
        let within = if story == Story::Restart { MINUTE } else { 10_000 };
        due.extend((0..paces.len()).map(|i| Reverse((begins + rng.u64(0..within), i, true))));
    }
    let minutes = usize::try_from(ends / MINUTE).unwrap() + 1;
    let (mut calls, mut learned, mut throttled) = (vec![0_u32; minutes], vec![None; paces.len()], 0);
    while let Some(Reverse((now, host, happens))) = due.pop() {
        if now >= ends {
            break;
        }
        let pace = &mut paces[host];
        match (happens, story) {
            (true, Story::Restart) => *pace = ApiPace::new(fleet, true, seeds[host], at(now)),
            (true, _) => pace.hurry(at(now)),
            (false, _) if pace.may_begin(at(now)) => {
                let minute = &mut calls[usize::try_from(now / MINUTE).unwrap()];
                let refused = *minute + ENDPOINTS > QUOTA;
                // A round that is refused stops at its first call.
                *minute += if refused { 1 } else { ENDPOINTS };
                throttled += u32::from(refused);
                if refused || (story == Story::ApiDown && (begins..begins + HOUR).contains(&now)) {
                    pace.failed(None, refused, at(now));
                } else {
                    pace.succeeded(at(now));
                    let since = now.checked_sub(begins).filter(|_| story != Story::ApiDown || now >= begins + HOUR);
                    learned[host] = learned[host].or(since);
                }
            }
            // It was put off.
            (false, _) => {}
        }
        due.push(Reverse((ms(pace.next()).max(now + 1), host, false)));
        // An older appointment of this host wakes it once more, and finds it not due.
        if due.len() > paces.len() * 4 {
            due = paces.iter().enumerate().map(|(i, p)| Reverse((ms(p.next()).max(now + 1), i, false))).collect();
        }
    }
    let story_minute = usize::try_from(begins / MINUTE).unwrap();
    // The first interval is the phases' own.
    let before = &calls[usize::try_from(stretched / MINUTE).unwrap()..story_minute];
    let mut learned: Vec<f64> =
        learned.into_iter().flatten().map(|ms| Duration::from_millis(ms).as_secs_f64()).collect();
    learned.sort_by(f64::total_cmp);
    Outcome {
        most: calls[story_minute..].iter().copied().max().unwrap_or(0),
        mean: f64::from(before.iter().sum::<u32>()) / before.len().max(1) as f64,
        learned,
        throttled,
    }
}

fn minutes(sorted: &[f64], share: f64) -> String {
    let index = ((sorted.len() - 1) as f64 * share).round() as usize;
    format!("{:.1}", sorted[index] / 60.0)
}

#[test]
fn a_fleet_that_says_how_large_it_is_keeps_to_a_fifth_of_the_quota() {
    println!(
        "| hosts | what happens | calls a minute, mean | most | of the quota | asked again after, median and longest |"
    );
    println!("|---|---|---|---|---|---|");
    for hosts in [10, 500, 3_000, 50_000] {
        for story in STORIES {
            let Outcome { most, mean, learned, throttled } = play(hosts, hosts, story);
            println!(
                "| {hosts} | {story:?} | {mean:.1} | {most} | {:.1} % | {} min, {} min |",
                f64::from(most) * 100.0 / f64::from(QUOTA),
                minutes(&learned, 0.5),
                minutes(&learned, 1.0)
            );
            assert_eq!(throttled, 0, "{hosts} {story:?}");
            assert!(most <= QUOTA / 5, "{hosts} {story:?}: {most}");
            assert_eq!(learned.len(), hosts as usize, "{hosts} {story:?}: some never asked again");
        }
    }
}

/// Without `fleet_size` the quota is the limit. All are served again soon, and nobody is shut out.
#[test]
fn a_fleet_that_does_not_say_how_large_it_is_gets_by() {
    for story in STORIES {
        let Outcome { most, mean, learned, throttled } = play(3_000, 1, story);
        println!(
            "3000 hosts, fleet_size 1, {story:?}: mean {mean:.0}, most {most} a minute; {throttled} rounds refused; \
             asked again after {} min at most",
            minutes(&learned, 1.0)
        );
        assert_eq!(learned.len(), 3_000);
        // The API's own outage lasts an hour.
        let outage = if story == Story::ApiDown { 3_600.0 } else { 0.0 };
        assert!(learned[2_999] <= outage + 1_500.0, "{story:?}");
    }
}

/// DNS learns of a changed address long before the API does, and asks nobody's quota.
#[test]
fn dns_learns_within_its_interval() {
    let interval = Duration::from_secs(30);
    let mut learned: Vec<f64> = (0..10_000_u64)
        .map(|seed| {
            let mut pace = DnsPace::new(interval, true, seed, at(0));
            let changes = at(3 * HOUR);
            while pace.next() < changes {
                pace.ended(None, pace.next());
            }
            pace.next().since(changes).as_secs_f64()
        })
        .collect();
    learned.sort_by(f64::total_cmp);
    let (median, longest) = (learned[5_000], learned[9_999]);
    println!("DNS at {interval:?}: a changed address is learned after {median:.1} s (median), {longest:.1} s at most");
    assert!((13.0..17.0).contains(&median) && longest <= 33.0);
}
