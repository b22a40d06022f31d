use proptest::prelude::*;

use super::*;
use crate::model::{Check, Span, Timings, Wall};

const MS: Duration = Duration::from_millis(1);

fn rules() -> Rules {
    let schedule = Schedule { interval: 5000 * MS, fast_interval: 500 * MS, timeout: 2000 * MS, rise: 3, fall: 3 };
    Rules { check: Check::Path, schedule, hold: 30_000 * MS, in_flight: 3, returns: Returns::default() }
}

fn at(ms: u64) -> Now {
    Now { boottime: Boottime(Duration::from_millis(ms)), wall: Wall(ms) }
}

fn seen(started: u64, ended: u64, reason: Option<FailureReason>) -> Observation {
    let outcome = match reason {
        None => Ok(Timings { total: Duration::from_millis(ended - started), ..Timings::default() }),
        Some(r) => Err(Failure::new(r, "x")),
    };
    Observation { started: at(started).boottime, ended: at(ended).boottime, outcome }
}

/// Begins and ends a probe at once.
fn probe(t: &mut Tracker, ms: u64, reason: Option<FailureReason>) -> Step {
    t.begin(at(ms), Duration::ZERO);
    t.observe(&seen(ms, ms, reason), at(ms))
}

use FailureReason::{Auth, Local, Refused, Timeout};

#[test]
fn from_unknown_one_success_is_up_and_fall_failures_are_down() {
    let mut t = Tracker::new(rules(), at(0));
    assert_eq!(probe(&mut t, 1, None).signal, Some(Signal::CameUp { recovered: false }));
    assert_eq!(t.health().state, CheckState::Up { hold_until: None });

    let mut t = Tracker::new(rules(), at(0));
    assert!(matches!(probe(&mut t, 1, Some(Refused)).signal, Some(Signal::EdgeBegan(_))));
    assert_eq!(probe(&mut t, 2, Some(Refused)).signal, None);
    assert!(matches!(probe(&mut t, 3, Some(Refused)).signal, Some(Signal::WentDown(_))));
    assert_eq!(t.health().state, CheckState::Down { decided: Some(at(3).boottime) });
}

#[test]
fn an_edge_is_fast_and_ends_with_a_success_or_the_verdict() {
    let mut t = Tracker::new(rules(), at(0));
    assert_eq!(probe(&mut t, 0, None).next, Next::Regular(5000 * MS));
    assert_eq!(probe(&mut t, 5000, Some(Refused)).next, Next::Edge(500 * MS));
    assert_eq!(probe(&mut t, 5500, None).next, Next::Regular(5000 * MS));
    probe(&mut t, 10_500, Some(Refused));
    probe(&mut t, 11_000, Some(Refused));
    assert_eq!(probe(&mut t, 11_500, Some(Refused)).next, Next::Regular(5000 * MS));
}

#[test]
fn a_silent_target_is_probed_every_fast_interval_with_at_most_fall_in_flight() {
    let mut t = Tracker::new(rules(), at(0));
    probe(&mut t, 0, None);
    assert_eq!(t.begin(at(5000), Duration::ZERO), Next::Edge(500 * MS));
    assert_eq!(t.begin(at(5500), Duration::ZERO), Next::Edge(500 * MS));
    assert_eq!(t.begin(at(6000), Duration::ZERO), Next::OnAnswer);
    assert!(!t.may_begin());
    assert_eq!(t.observe(&seen(5000, 7000, Some(Timeout)), at(7000)).next, Next::Edge(Duration::ZERO));
    t.begin(at(7000), Duration::ZERO);
    t.observe(&seen(5500, 7500, Some(Timeout)), at(7500));
    let step = t.observe(&seen(6000, 8000, Some(Timeout)), at(8000));
    assert!(matches!(step.signal, Some(Signal::WentDown(_))));
    assert_eq!(t.health().state, CheckState::Down { decided: Some(at(8000).boottime) });
    assert_eq!(step.next, Next::OnAnswer, "down and unanswered: no more hedging");
}

#[test]
fn a_late_success_ends_the_edge_and_older_failures_count_no_more() {
    let mut t = Tracker::new(rules(), at(0));
    probe(&mut t, 0, None);
    t.begin(at(5000), Duration::ZERO);
    t.begin(at(5500), Duration::ZERO);
    let step = t.observe(&seen(5500, 5501, None), at(5501));
    assert_eq!(step.next, Next::Regular(4999 * MS), "the straggler is no reason to hurry");
    let step = t.observe(&seen(5000, 7000, Some(Timeout)), at(7000));
    assert_eq!(step.signal, None);
    assert_eq!(t.health().failing_since, None);
}

#[test]
fn recovery_takes_rise_and_then_hold() {
    let mut t = Tracker::new(rules(), at(0));
    for ms in 1..=3 {
        probe(&mut t, ms, Some(Refused));
    }
    assert_eq!(probe(&mut t, 10, None).signal, Some(Signal::Answers));
    assert_eq!(t.health().successes_in_a_row, 1);
    assert_eq!(probe(&mut t, 11, None).signal, None);
    assert_eq!(probe(&mut t, 12, None).signal, Some(Signal::CameUp { recovered: true }));
    assert_eq!(t.health().state, CheckState::Up { hold_until: Some(at(32_512).boottime) });
}

/// It may have died a moment before its hold is over.
#[test]
fn a_hold_ends_with_a_success_that_began_at_its_end() {
    let returned = || {
        let mut t = Tracker::new(rules(), at(0));
        (1..=3).for_each(|ms| drop(probe(&mut t, ms, Some(Refused))));
        (10..=12).for_each(|ms| drop(probe(&mut t, ms, None)));
        t
    };
    let mut t = returned();
    // No sooner, and asked just then.
    assert_eq!(probe(&mut t, 29_000, None).next, Next::Edge(1012 * MS));
    assert_eq!(t.health().state, CheckState::Up { hold_until: Some(at(32_512).boottime) });
    assert_eq!(t.begin(at(30_012), Duration::ZERO), Next::Edge(500 * MS));
    t.observe(&seen(30_012, 30_013, None), at(30_013));
    assert_eq!(t.health().state, CheckState::Up { hold_until: None });
    // Silence: what is known to fail does not come in.
    let mut t = returned();
    probe(&mut t, 29_000, None);
    t.begin(at(30_012), Duration::ZERO);
    t.observe(&seen(30_012, 32_012, Some(Timeout)), at(32_012));
    assert_eq!(t.health().state, CheckState::Up { hold_until: Some(at(32_512).boottime) });
    assert_eq!(t.health().successes_in_a_row, 0);
}

#[test]
fn a_recovery_from_what_moved_nobody_is_no_return() {
    let mut t = Tracker::new(rules(), at(0));
    probe(&mut t, 0, None);
    (1..=3).for_each(|s| drop(probe(&mut t, s * 1000, Some(Auth))));
    assert_eq!(t.health().state, CheckState::Down { decided: None });
    (4..=6).for_each(|s| drop(probe(&mut t, s * 1000, None)));
    assert_eq!(t.health().state, CheckState::Up { hold_until: None });
    // What had moved a name before that is held, whatever it failed by since.
    (7..=9).for_each(|s| drop(probe(&mut t, s * 1000, Some(Refused))));
    (10..=12).for_each(|s| drop(probe(&mut t, s * 1000, Some(Auth))));
    assert_eq!(t.health().state, CheckState::Down { decided: None });
    (13..=15).for_each(|s| drop(probe(&mut t, s * 1000, None)));
    assert_eq!(t.health().state, CheckState::Up { hold_until: Some(at(47_500).boottime) });
}

#[test]
fn an_outage_that_ends_was_no_lossy_link() {
    let mut t = Tracker::new(rules(), at(0));
    let silent = |t: &mut Tracker, ms: u64| {
        t.begin(at(ms), Duration::ZERO);
        let silence = Failure::new(Timeout, "x").with_retransmissions(1);
        t.observe(&Observation { started: at(ms).boottime, ended: at(ms).boottime, outcome: Err(silence) }, at(ms));
    };
    probe(&mut t, 0, None);
    (1..=9).for_each(|s| silent(&mut t, s * 1000));
    assert!(matches!(t.health().state, CheckState::Down { decided: Some(_) }));
    (10..=12).for_each(|s| drop(probe(&mut t, s * 1000, None)));
    assert!(matches!(t.health().state, CheckState::Up { .. }), "after `rise` successes and no more");
}

/// While it has to show that nothing is lost any more it answers, as it would on hold.
#[test]
fn a_link_that_lost_packets_is_on_hold_from_the_last_success_of_rise_on() {
    let lossy = |t: &mut Tracker, ms: u64| {
        t.begin(at(ms), Duration::ZERO);
        let outcome = Ok(Timings { retransmissions: 2, ..Timings::default() });
        t.observe(&Observation { outcome, ..seen(ms, ms, None) }, at(ms));
    };
    let lost = || {
        let mut t = Tracker::new(rules(), at(0));
        probe(&mut t, 0, None);
        (1..=5).for_each(|s| lossy(&mut t, s * 1000));
        assert!(matches!(t.health().state, CheckState::Down { decided: Some(_) }));
        t
    };
    let mut t = lost();
    // Fifteen clean ones empty the counter by half.
    (1..=14).for_each(|n| drop(probe(&mut t, 6000 + 500 * n, None)));
    assert!(t.health().state.is_down());
    assert_eq!(probe(&mut t, 13_500, None).signal, Some(Signal::CameUp { recovered: true }));
    assert_eq!(t.health().state, CheckState::Up { hold_until: Some(at(40_000).boottime) }, "thirty since the third");
    let mut t = lost();
    (1..=10).for_each(|n| drop(probe(&mut t, 6000 + 500 * n, None)));
    probe(&mut t, 11_300, Some(Local));
    (11..=15).for_each(|n| drop(probe(&mut t, 6000 + 500 * n, None)));
    assert_eq!(
        t.health().state,
        CheckState::Up { hold_until: Some(at(44_000).boottime) },
        "nor while we could not ask"
    );
}

#[test]
fn what_passed_before_this_host_could_not_ask_says_nothing_of_the_time_until_then() {
    let mut t = Tracker::new(rules(), at(0));
    let successes = |t: &Tracker| t.health().successes.map(|run| (run.first, run.last));
    let span = |first: u64, last: u64| Some((at(first).boottime, at(last).boottime));
    (1..=3).for_each(|s| drop(probe(&mut t, s * 1000, None)));
    assert_eq!(successes(&t), span(1000, 3000));
    (1..=2).for_each(|_| assert!(t.begin(at(4000), Duration::ZERO) != Next::OnAnswer));
    t.observe(&seen(4000, 9000, Some(Local)), at(9000));
    assert_eq!(successes(&t), span(1000, 3000));
    probe(&mut t, 9001, None);
    assert_eq!(successes(&t), span(9000, 9001));
    // One that began before says it again only later.
    t.observe(&seen(4000, 9500, Some(Local)), at(9500));
    assert_eq!(successes(&t), span(9000, 9001));
    probe(&mut t, 9501, None);
    assert_eq!(successes(&t), span(9500, 9501));
}

#[test]
fn a_login_that_is_refused_ends_what_was_decided_on_the_way_to_it() {
    let deep = Rules { check: Check::Deep, ..rules() };
    for (on_the_way, decided_still) in [(true, false), (false, true)] {
        let mut t = Tracker::new(deep, at(0));
        for s in 1..=3 {
            let silence = Failure::new(Timeout, "x");
            let outcome = Err(if on_the_way { silence.met_on_the_way() } else { silence });
            t.begin(at(s * 1000), Duration::ZERO);
            t.observe(&Observation { outcome, ..seen(s * 1000, s * 1000, None) }, at(s * 1000));
        }
        assert!(matches!(t.health().state, CheckState::Down { decided: Some(_) }));
        probe(&mut t, 4000, Some(Auth));
        let is_decided = matches!(t.health().state, CheckState::Down { decided: Some(_) });
        assert_eq!(is_decided, decided_still, "on the way: {on_the_way}");
    }
}

#[test]
fn the_first_of_the_latest_failures_that_decide_is_known() {
    let mut t = Tracker::new(rules(), at(0));
    let decisive = |t: &mut Tracker, s: u64, reason| {
        probe(t, s * 1000, reason);
        t.health().decisive.map(|at| at.0.as_secs())
    };
    let told: Vec<_> = (1..=5).map(|s| decisive(&mut t, s, Some(Refused))).collect();
    assert_eq!(told, [None, None, Some(1), Some(2), Some(3)]);
    assert_eq!(decisive(&mut t, 6, None), Some(3), "over, and not forgotten");
    assert_eq!(decisive(&mut t, 7, Some(Refused)), None, "a run of its own");
    assert_eq!(decisive(&mut t, 8, Some(Auth)), None);
}

#[test]
fn a_success_whose_packets_were_lost_at_first_begins_a_run_of_its_own() {
    let mut t = Tracker::new(rules(), at(0));
    (1..=3).for_each(|s| drop(probe(&mut t, s * 1000, None)));
    t.begin(at(4000), Duration::ZERO);
    let outcome = Ok(Timings { retransmissions: 1, ..Timings::default() });
    t.observe(&Observation { outcome, ..seen(4000, 5000, None) }, at(5000));
    probe(&mut t, 6000, None);
    let run = t.health().successes.map(|run| (run.first, run.last));
    assert_eq!(run, Some((at(4000).boottime, at(6000).boottime)));
    assert_eq!(t.health().successes_in_a_row, 5, "they are successes all the same");
}

#[test]
fn an_address_that_this_host_forbids_counts_as_dead_once_that_lasts() {
    let mut t = Tracker::new(rules(), at(0));
    let outcome = |t: &mut Tracker, ms: u64, outcome: Failure| {
        t.begin(at(ms), Duration::ZERO);
        t.observe(&Observation { started: at(ms).boottime, ended: at(ms).boottime, outcome: Err(outcome) }, at(ms))
            .signal
    };
    let forbidden = || Failure::new(Local, "connect: EACCES").forbidden();
    probe(&mut t, 0, None);
    for ms in 1..=2 {
        assert_eq!(outcome(&mut t, ms, forbidden()), None, "it may pass");
    }
    // What else this host lacks is neither more of it nor the end of it.
    assert_eq!(outcome(&mut t, 3, Failure::new(Local, "connect: EMFILE")), None);
    assert!(matches!(outcome(&mut t, 4, forbidden()), Some(Signal::EdgeBegan(_))));
    assert_eq!(outcome(&mut t, 5, forbidden()), None);
    assert!(matches!(outcome(&mut t, 6, forbidden()), Some(Signal::WentDown(_))));
    assert_eq!(t.health().state, CheckState::Down { decided: Some(at(6).boottime) });
    let mut t = Tracker::new(rules(), at(0));
    probe(&mut t, 0, None);
    for n in 0..100 {
        let ours = if n % 3 == 2 { None } else { Some(forbidden()) };
        let signal = ours.and_then(|failure| outcome(&mut t, 1 + n, failure));
        assert_eq!(signal, None);
        if n % 3 == 2 {
            probe(&mut t, 1 + n, None);
        }
    }
}

#[test]
fn what_was_proved_when_it_was_called_for_stays_known_until_the_next_call_is_answered() {
    let mut t = Tracker::new(rules(), at(0));
    let proved = |t: &Tracker| t.health().proved.map(|at| at.0.as_millis());
    probe(&mut t, 1, None);
    assert_eq!(proved(&t), None, "nobody has called");
    t.begin(at(2), Duration::ZERO);
    t.call_for_proof(at(3));
    t.observe(&seen(2, 4, None), at(4));
    assert_eq!(proved(&t), None, "begun before");
    for ms in [5, 6] {
        probe(&mut t, ms, None);
        assert_eq!(proved(&t), Some(5));
    }
    t.call_for_proof(at(7));
    probe(&mut t, 8, Some(Refused));
    assert_eq!(proved(&t), Some(5));
    probe(&mut t, 9, None);
    assert_eq!(proved(&t), Some(9));
}

#[test]
fn logins_that_are_called_for_are_as_far_apart_as_the_fleet_is_large() {
    let returns = Returns { apart: 7000 * MS, ..Returns::default() };
    let mut t = Tracker::new(Rules { check: Check::Deep, returns, ..rules() }, at(0));
    probe(&mut t, 10_000, None);
    assert_eq!(t.call_for_proof(at(11_000)), 7000 * MS, "at random within as much");
    assert_eq!(
        (t.wait_before_called_probe(at(11_000)), t.wait_before_called_probe(at(17_000))),
        (6000 * MS, Duration::ZERO)
    );
    let mut path = Tracker::new(Rules { returns, ..rules() }, at(0));
    probe(&mut path, 10_000, None);
    assert_eq!(
        (path.call_for_proof(at(11_000)), path.wait_before_called_probe(at(11_000))),
        (Duration::ZERO, Duration::ZERO)
    );
}

#[test]
fn the_latest_runs_are_told_from_start_to_start() {
    let span = |first, last| Some(Span { first: at(first).boottime, last: at(last).boottime });
    let mut t = Tracker::new(rules(), at(0));
    let runs = |t: &Tracker| (t.health().successes, t.health().moving);
    assert_eq!(runs(&t), (None, None));
    for (ms, reason) in
        [(1, None), (2, None), (3, Some(Refused)), (4, Some(Auth)), (5, Some(Local)), (6, Some(Timeout))]
    {
        probe(&mut t, ms, reason);
    }
    assert_eq!(
        runs(&t),
        (span(1, 2), span(6, 6)),
        "a run ends with a failure that no other zone mends, and not with a fault of our own"
    );
    probe(&mut t, 7, None);
    assert_eq!(runs(&t), (span(7, 7), span(6, 6)), "a run that is over is remembered");
    probe(&mut t, 8, Some(Refused));
    assert_eq!(runs(&t), (span(7, 7), span(8, 8)));
}

#[test]
fn what_no_zone_mends_is_down_without_a_decision() {
    let mut t = Tracker::new(rules(), at(0));
    for ms in 1..=5 {
        probe(&mut t, ms, Some(Auth));
    }
    assert_eq!(t.health().state, CheckState::Down { decided: None });
    for ms in 6..=8 {
        probe(&mut t, ms, Some(Refused));
    }
    assert_eq!(t.health().state, CheckState::Down { decided: Some(at(8).boottime) });
}

#[test]
fn a_fault_of_our_own_is_no_failure_of_the_target() {
    let mut t = Tracker::new(rules(), at(0));
    probe(&mut t, 0, None);
    for ms in 1..=10 {
        assert_eq!(probe(&mut t, ms, Some(Local)).signal, None);
    }
    assert_eq!(t.health().state, CheckState::Up { hold_until: None });
    assert_eq!(t.health().shown.stats.failures[&Local], 10);
}

#[test]
fn a_lossy_link_falls_although_never_fall_in_a_row() {
    let mut t = Tracker::new(rules(), at(0));
    probe(&mut t, 0, None);
    let mut fell_after = None;
    for i in 1..200_u64 {
        let reason = (i % 3 == 0).then_some(Timeout);
        probe(&mut t, i * 5000, reason);
        if matches!(t.health().state, CheckState::Down { decided: Some(_) }) {
            fell_after = Some(i);
            break;
        }
    }
    assert!(fell_after.is_some_and(|i| i < 40), "{fell_after:?}");
}

#[test]
fn a_rare_loss_never_takes_a_target_down() {
    let mut t = Tracker::new(rules(), at(0));
    for i in 0..10_000_u64 {
        probe(&mut t, i * 5000, (i % 12 == 11).then_some(Timeout));
        assert!(matches!(t.health().state, CheckState::Up { .. }));
    }
}

proptest! {
    /// Whatever the order of arrival, the same results give the same runs.
    #[test]
    fn the_fold_does_not_depend_on_the_order_of_arrival(
        (outcomes, order) in prop::collection::vec(0..4_u8, 1..40).prop_flat_map(|v| {
            let order = Just((0..v.len()).collect::<Vec<_>>()).prop_shuffle();
            (Just(v), order)
        })
    ) {
        let reason = |o: u8| [None, Some(Refused), Some(Auth), Some(Local)][o as usize];
        let (mut sorted, mut shuffled) = (ResultHistory::default(), ResultHistory::default());
        for (i, o) in outcomes.iter().enumerate() {
            sorted.insert(&seen(i as u64, 1000, reason(*o)));
        }
        for i in order {
            shuffled.insert(&seen(i as u64, 1000, reason(outcomes[i])));
        }
        prop_assert_eq!(sorted.present_run(), shuffled.present_run());
        prop_assert_eq!(sorted.latest_successes(), shuffled.latest_successes());
        prop_assert_eq!(sorted.latest_moving(), shuffled.latest_moving());
    }

    /// Down needs a full run or a full bucket; up from down needs `rise`; nothing panics; waits are bounded.
    #[test]
    fn any_history_keeps_the_rules(outcomes in prop::collection::vec((0..4_u8, 0..6000_u64), 1..200)) {
        let mut t = Tracker::new(rules(), at(0));
        let mut ms = 0;
        for (o, gap) in outcomes {
            ms += gap;
            let before = t.health();
            let step = probe(&mut t, ms, [None, Some(Refused), Some(Auth), Some(Local)][o as usize]);
            let after = t.health();
            match (before.state, after.state) {
                (CheckState::Down { .. }, CheckState::Up { .. }) => prop_assert!(after.successes_in_a_row >= 3),
                (_, CheckState::Unknown) => prop_assert_eq!(before.state, CheckState::Unknown),
                (CheckState::Up { .. }, CheckState::Down { .. }) => prop_assert!(o == 1 || o == 2),
                _ => {}
            }
            if let Next::Regular(d) | Next::Edge(d) = step.next {
                prop_assert!(d <= rules().schedule.interval);
            }
        }
    }
}

#[test]
fn a_run_of_failures_keeps_its_beginning_however_long() {
    let mut t = Tracker::new(rules(), at(0));
    probe(&mut t, 1, Some(Refused));
    probe(&mut t, 2, None);
    for ms in 3..500 {
        probe(&mut t, ms, Some(Refused));
        assert_eq!(t.health().failing_since, Some(at(3).boottime), "after {ms} ms");
    }
    probe(&mut t, 500, None);
    assert_eq!(t.health().failing_since, None);
    probe(&mut t, 501, Some(Refused));
    assert_eq!(t.health().failing_since, Some(at(501).boottime));
}

/// Sparing attempts: ends a probe at once and tells when the next one is due.
fn spare(t: &mut Tracker, ms: u64, reason: Option<FailureReason>, apart: u64) -> Next {
    t.set_pace(Pace::Sparing(Sparing { apart: Duration::from_millis(apart) }), at(ms));
    probe(t, ms, reason).next
}

#[test]
fn attempts_that_leave_a_trace_are_few_while_all_is_well_and_fast_within_an_edge() {
    let mut t = Tracker::new(rules(), at(0));
    assert_eq!(spare(&mut t, 0, None, 100), Next::Regular(60_000 * MS));
    assert_eq!(t.begin(at(60_000), Duration::ZERO), Next::Regular(60_000 * MS), "an unanswered one is no edge");
    assert_eq!(t.observe(&seen(60_000, 60_001, None), at(60_001)).next, Next::Regular(59_999 * MS));
    for ms in [120_000, 120_500] {
        assert_eq!(spare(&mut t, ms, Some(Refused), 100), Next::Edge(500 * MS), "{ms}");
    }
    // Down: every five seconds for two minutes, then once a minute.
    assert_eq!(spare(&mut t, 121_000, Some(Refused), 100), Next::Regular(5000 * MS));
    assert_eq!(spare(&mut t, 240_900, Some(Refused), 100), Next::Regular(5000 * MS));
    assert_eq!(spare(&mut t, 241_000, Some(Refused), 100), Next::Regular(60_000 * MS));
    // A sibling's trouble is another two minutes of hope.
    assert_eq!(t.call_for_proof(at(250_000)), 100 * MS);
    assert_eq!(t.wait_before_called_probe(at(250_000)), Duration::ZERO, "what does not answer has no trace of ours");
    assert_eq!(spare(&mut t, 250_000, Some(Refused), 100), Next::Regular(5000 * MS));
    // Proving itself.
    for ms in [255_000, 255_500] {
        assert_eq!(spare(&mut t, ms, None, 100), Next::Edge(500 * MS), "{ms}");
    }
    assert_eq!(spare(&mut t, 256_000, None, 100), Next::Regular(60_000 * MS));
}

#[test]
fn attempts_of_a_fleet_that_leave_a_trace_are_as_far_apart_as_the_fleet_is_large() {
    const HOSTS_3000: u64 = 300_000;
    let mut t = Tracker::new(rules(), at(0));
    assert_eq!(spare(&mut t, 0, None, HOSTS_3000), Next::Regular(300_000 * MS));
    // A sibling fell: at a random time within as much, and not before this one's turn.
    assert_eq!(t.call_for_proof(at(100_000)), 300_000 * MS);
    assert_eq!(t.wait_before_called_probe(at(100_000)), 200_000 * MS);
    // What gets no answer leaves no trace.
    assert_eq!(spare(&mut t, 300_000, Some(Refused), HOSTS_3000), Next::Edge(500 * MS));
    // What answers with the wrong thing does.
    assert_eq!(spare(&mut t, 300_500, Some(FailureReason::TlsName), HOSTS_3000), Next::Edge(300_000 * MS));
}

#[test]
fn what_rests_is_not_probed_before_the_time_for_any_reason() {
    let mut t = Tracker::new(rules(), at(0));
    t.set_pace(Pace::Resting(15_000 * MS), at(1000));
    assert_eq!(probe(&mut t, 1000, Some(Timeout)).next, Next::Edge(15_000 * MS));
    assert_eq!((t.call_for_proof(at(5000)), t.wait_before_called_probe(at(5000))), (Duration::ZERO, 11_000 * MS));
    t.set_pace(Pace::Scheduled, at(16_000));
    assert_eq!(t.wait_before_called_probe(at(16_000)), Duration::ZERO);
}

#[test]
fn what_passed_before_a_fault_of_our_own_is_no_run_with_what_passes_after() {
    let mut t = Tracker::new(rules(), at(0));
    for ms in [1000, 2000] {
        probe(&mut t, ms, None);
    }
    let run = |t: &Tracker| t.health().successes.map(|run| (run.first, run.last));
    let span = |first, last| Some((at(first).boottime, at(last).boottime));
    assert_eq!(run(&t), span(1000, 2000));
    t.begin(at(3000), Duration::ZERO);
    t.observe(&seen(3000, 400_000, Some(Local)), at(400_000));
    assert_eq!(run(&t), span(1000, 2000));
    probe(&mut t, 400_500, None);
    probe(&mut t, 401_000, None);
    assert_eq!(run(&t), span(400_000, 401_000));
    assert_eq!(t.health().successes_in_a_row, 4, "the verdict goes on");
}

#[test]
fn after_a_failure_that_moves_nobody_the_next_ones_have_to_be_decided_anew() {
    let mut t = Tracker::new(rules(), at(0));
    for ms in [1, 2, 3] {
        probe(&mut t, ms, Some(Refused));
    }
    let decided = |t: &Tracker| match t.health().state {
        CheckState::Down { decided } => decided,
        _ => None,
    };
    assert!(t.health().moving.is_some());
    probe(&mut t, 4, Some(Auth));
    assert_eq!(decided(&t), Some(at(3).boottime), "who was left stays out");
    for ms in [5, 6] {
        assert_eq!(probe(&mut t, ms, Some(Refused)).signal, None);
        assert_eq!(t.health().moving, None, "and is charged with nothing yet");
    }
    assert!(matches!(probe(&mut t, 7, Some(Refused)).signal, Some(Signal::WentDown(_))));
    assert_eq!(decided(&t), Some(at(7).boottime));
    assert!(t.health().moving.is_some());
}
