use super::*;
use crate::model::Timings;

const FALL: u32 = 3;

fn at(ms: u64) -> Boottime {
    Boottime(Duration::from_millis(ms))
}

fn success(ms: u64, retransmissions: u32) -> Observation {
    Observation { started: at(ms), ended: at(ms), outcome: Ok(Timings { retransmissions, ..Timings::default() }) }
}

fn failure(ms: u64, retransmissions: u32) -> Observation {
    let failure = Failure::new(FailureReason::Timeout, "x").with_retransmissions(retransmissions);
    Observation { started: at(ms), ended: at(ms), outcome: Err(failure) }
}

fn seen(counter: &mut LossCounter, ms: u64, retransmissions: u32) -> Option<Failure> {
    counter.observe(&success(ms, retransmissions), None, at(ms), FALL)
}

/// What one probe meets when each packet is lost with this probability each way.
fn drawn(rng: &mut fastrand::Rng, each_way: f64, ms: u64) -> Observation {
    let lost = |rng: &mut fastrand::Rng| rng.f64() < each_way || rng.f64() < each_way;
    // Two packets fit a timeout of 2 s, the second a second after the first.
    match (lost(rng), lost(rng)) {
        (false, _) => success(ms, 0),
        (true, false) => success(ms, 1),
        (true, true) => failure(ms, 1),
    }
}

#[test]
fn one_lost_packet_does_nothing_but_hurry_four_probes() {
    let mut counter = LossCounter::default();
    for hour in 0..100 {
        let ms = hour * 3_600_000;
        assert_eq!(seen(&mut counter, ms, 1), None);
        for more in 1..=4 {
            assert!(counter.suspects());
            assert_eq!(seen(&mut counter, ms + 500 * more, 0), None);
        }
        assert!(!counter.suspects() && !counter.is_losing());
    }
}

#[test]
fn successes_that_took_retransmissions_become_failures_that_say_so() {
    let mut counter = LossCounter::default();
    for n in 0..7 {
        assert_eq!(seen(&mut counter, n, 1), None);
    }
    let failure = seen(&mut counter, 7, 1).unwrap();
    let said = "timeout: packets are lost: in 8 of the latest 8 probes TCP had to send again, or nothing came";
    assert_eq!(failure.to_string(), said);
    assert_eq!(seen(&mut counter, 8, 0), None, "a clean success is none");
    for n in 9..23 {
        assert!(counter.is_losing(), "{n}");
        seen(&mut counter, n, 0);
    }
    assert!(!counter.is_losing(), "half empty");
    assert_eq!(seen(&mut counter, 23, 1), None);
}

#[test]
fn a_tail_loss_probe_hurries_the_next_probe_and_counts_for_nothing() {
    let mut counter = LossCounter::default();
    for n in 0..100 {
        let timings = Timings { tail_loss_probe: true, ..Timings::default() };
        let observation = Observation { outcome: Ok(timings), ..success(n, 0) };
        assert_eq!(counter.observe(&observation, None, at(n), FALL), None);
        assert!(counter.suspects() && !counter.is_losing());
    }
    seen(&mut counter, 100, 0);
    assert!(!counter.suspects());
}

#[test]
fn no_sooner_than_fall_failures() {
    for fall in 1..=10 {
        let mut counter = LossCounter::default();
        seen(&mut counter, 0, 1);
        for n in 1..=fall {
            assert!(!counter.is_losing());
            counter.observe(&failure(n.into(), 3), None, at(n.into()), fall);
        }
        assert!(counter.is_losing());
    }
}

#[test]
fn an_outage_that_ends_was_no_loss() {
    let mut counter = LossCounter::default();
    for n in 0..20 {
        counter.observe(&failure(n, 1), None, at(n), FALL);
        assert!(!counter.is_losing(), "nothing was heard");
    }
    assert_eq!(seen(&mut counter, 20, 1), None);
    for n in 21..25 {
        assert!(!counter.is_losing() && counter.suspects());
        assert_eq!(seen(&mut counter, n, 0), None);
    }
    assert!(!counter.suspects());
}

/// Also where a part of it was not counted, since a sibling showed loss as well.
#[test]
fn nothing_of_an_outage_counts_after_it() {
    for sibling in 0..6 {
        let mut counter = LossCounter::default();
        for n in 0..16 {
            if n == sibling {
                counter.note_sibling_loss(at(n * 1000));
            }
            counter.observe(&failure(n * 1000, 1), None, at(n * 1000), FALL);
        }
        assert!(counter.suspects() && !counter.is_losing());
        assert_eq!(seen(&mut counter, 16_000, 0), None);
        assert!(!counter.suspects(), "a sibling showed loss after {sibling} s");
    }
}

/// The probes of a short outage overlap, and some end after what was begun when it was over.
#[test]
fn results_count_in_the_order_in_which_their_probes_began() {
    let mut counter = LossCounter::default();
    let mut observe = |began: u64, ends: u64, outcome: Observation, oldest: Option<u64>| {
        let observation = Observation { started: at(began), ended: at(ends), ..outcome };
        counter.observe(&observation, oldest.map(at), at(ends), FALL);
        (counter.suspects(), counter.is_losing())
    };
    observe(0, 2000, failure(0, 1), Some(500));
    observe(500, 2500, failure(0, 1), Some(1000));
    assert_eq!(observe(2000, 2501, success(0, 0), Some(1000)), (true, false));
    assert_eq!(observe(1000, 3000, failure(0, 1), None), (false, false), "three in a row were an outage");
    // Where something got through in between it was loss.
    observe(10_000, 12_000, failure(0, 1), Some(10_500));
    observe(11_000, 12_001, success(0, 1), Some(10_500));
    observe(10_500, 12_500, failure(0, 1), Some(11_500));
    assert_eq!(observe(11_500, 13_500, failure(0, 1), None), (true, true));
}

#[test]
fn failures_without_retransmissions_say_nothing() {
    let mut counter = LossCounter::default();
    seen(&mut counter, 0, 1);
    for n in 1..100 {
        let refused = Observation { outcome: Err(Failure::new(FailureReason::Refused, "x")), ..failure(n, 0) };
        counter.observe(&refused, None, at(n), FALL);
    }
    assert!(counter.suspects() && !counter.is_losing());
}

#[test]
fn silence_counts_only_where_there_are_signs_of_loss() {
    let mut counter = LossCounter::default();
    for n in 0..100 {
        counter.observe(&failure(n, 0), None, at(n), FALL);
    }
    assert!(!counter.suspects());
    seen(&mut counter, 100, 2);
    counter.observe(&failure(101, 0), None, at(101), FALL);
    assert!(!counter.is_losing());
    counter.observe(&failure(102, 0), None, at(102), FALL);
    assert!(counter.is_losing());
}

#[test]
fn a_siblings_loss_is_this_hosts_for_ten_seconds_before_and_after() {
    let mut counter = LossCounter::default();
    for n in 0..9 {
        seen(&mut counter, n, 2);
    }
    assert!(counter.is_losing());
    counter.note_sibling_loss(at(9_999));
    assert!(!counter.is_losing() && !counter.suspects());
    for n in 0..9 {
        assert_eq!(seen(&mut counter, 10_000 + n * 1000, 2), None);
    }
    assert!(!counter.suspects());
    for n in 0..3 {
        seen(&mut counter, 19_999 + n, 2);
    }
    assert!(counter.is_losing());
    counter.note_sibling_loss(at(30_001));
    assert!(counter.is_losing(), "what was found out before stays so");
}

#[test]
fn four_packets_in_ten_are_noticed_within_some_seven_probes() {
    let mut took: Vec<u64> = Vec::new();
    for seed in 0..1000 {
        let (mut rng, mut counter) = (fastrand::Rng::with_seed(seed), LossCounter::default());
        let noticed = (1..).find(|n| {
            counter.observe(&drawn(&mut rng, 0.4, *n), None, at(*n), FALL);
            counter.is_losing()
        });
        took.extend(noticed);
    }
    took.sort_unstable();
    assert!(took[500] <= 8 && took[950] <= 15, "half within {}, 95 % within {}", took[500], took[950]);
}

#[test]
fn a_packet_in_fifty_each_way_does_nothing_for_two_months() {
    const PROBES: u64 = 60 * 24 * 3600 / 5;
    let (mut rng, mut counter) = (fastrand::Rng::with_seed(1), LossCounter::default());
    for n in 0..PROBES {
        counter.observe(&drawn(&mut rng, 0.02, n), None, at(n), FALL);
        assert!(!counter.is_losing(), "after {n} probes");
    }
}
