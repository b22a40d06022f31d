use super::*;

const HOUR: u64 = 3600 * 1000;

fn wish(config: &str, greeting: &str) -> Wish {
    Wish {
        server: "10.0.0.1:3306".parse().unwrap(),
        config: config.to_owned(),
        mode: "preferred",
        greeting: greeting.to_owned(),
        counts: true,
    }
}

fn broken(lack: bool) -> End {
    End::Broken { lack, detail: "alert".to_owned() }
}

fn all(configs: &[&str]) -> BTreeSet<String> {
    configs.iter().map(|config| (*config).to_owned()).collect()
}

/// Where its own way is the only one that any prober wants.
fn begin(book: &mut TlsBook, wish: &Wish, now: u64) -> Advice {
    book.begin(wish, &all(&[&wish.config]), Wall(now))
}

fn reason(advice: Option<Advice>) -> (&'static str, FailureReason) {
    match advice {
        Some(Err(Objection::Plain(failure))) => ("plain", failure.reason),
        Some(Err(Objection::Stop(failure))) => ("stop", failure.reason),
        other => panic!("{other:?}"),
    }
}

/// How many handshakes break off at this time if each does that is begun.
fn all_break_at(book: &mut TlsBook, wish: &Wish, wanted: &BTreeSet<String>, now: u64) -> usize {
    let mut count = 0;
    while let Ok(note) = book.begin(wish, wanted, Wall(now)) {
        book.note_end(wish, note, &broken(false));
        count += 1;
        assert!(count < 100);
    }
    count
}

fn all_break(book: &mut TlsBook, wish: &Wish) -> usize {
    all_break_at(book, wish, &all(&[&wish.config]), 0)
}

#[test]
fn two_may_break_off_whoever_begins_them_and_however_often_we_start() {
    let (mut book, both) = (TlsBook::default(), all(&["x", "y"]));
    let (a, b) = (wish("x", "g"), wish("y", "g"));
    assert_eq!(book.begin(&a, &both, Wall(0)), Ok(Note::Open));
    book.note_end(&a, Note::Open, &broken(false));
    let mut book = TlsBook::read(&serde_json::to_vec(&book).unwrap()).unwrap();
    assert_eq!(all_break_at(&mut book, &b, &both, 1), 1);
    assert_eq!(all_break_at(&mut book, &a, &both, 2), 0);
    // A week later, too.
    assert_eq!(all_break_at(&mut book, &b, &both, 7 * 24 * HOUR), 0);
    let Some(Err(Objection::Stop(failure))) = book.settled_advice(&a, Wall(7 * 24 * HOUR)) else { panic!("stopped") };
    assert_eq!(failure.to_string(), "tls_handshake: not tried again before a login succeeds: alert");
}

#[test]
fn a_login_another_greeting_and_another_config_give_a_new_budget() {
    let mut book = TlsBook::default();
    assert_eq!(all_break(&mut book, &wish("x", "g")), 2);
    assert!(book.has_broken(wish("x", "g").server));
    book.note_login(wish("x", "g").server);
    assert_eq!(all_break(&mut book, &wish("x", "g")), 2);
    assert_eq!(all_break(&mut book, &wish("x", "h")), 2);
    assert_eq!(all_break(&mut book, &wish("y", "h")), 2);
    assert_eq!(all_break(&mut book, &wish("y", "h")), 0);
    // Back again within a day is no change, in neither direction.
    assert_eq!(all_break(&mut book, &wish("x", "h")), 0);
    assert_eq!(all_break(&mut book, &wish("y", "h")), 0);
}

#[test]
fn two_configs_that_take_turns_for_a_week_get_a_budget_each() {
    let mut book = TlsBook::default();
    let mut count = 0;
    for hour in 0..7 * 24 {
        for config in ["x", "y"] {
            count += all_break_at(&mut book, &wish(config, "g"), &all(&[config]), hour * HOUR);
        }
    }
    assert_eq!(count, 4);
    // Once one has not been wanted for a day, it may have been mended meanwhile.
    for hour in 0..25 {
        assert_eq!(all_break_at(&mut book, &wish("x", "g"), &all(&["x"]), (7 * 24 + hour) * HOUR), 0);
    }
    assert_eq!(all_break_at(&mut book, &wish("y", "g"), &all(&["y"]), 8 * 24 * HOUR + HOUR), 2);
}

#[test]
fn what_fails_in_a_new_way_stops_nothing_that_goes_well_in_another() {
    let (mut book, agent, command) = (TlsBook::default(), wish("x", "g"), wish("y", "g"));
    let _ = begin(&mut book, &agent, 0);
    book.note_end(&agent, Note::Open, &End::Completed);
    assert_eq!(all_break(&mut book, &command), 2);
    assert_eq!(begin(&mut book, &agent, 0), Ok(Note::Proven));
    // Where TLS has gone well in all ways and ceases to, the server has changed: two in total.
    let mut book = TlsBook::default();
    for wish in [&agent, &command] {
        let _ = begin(&mut book, wish, 0);
        book.note_end(wish, Note::Open, &End::Completed);
    }
    assert_eq!(all_break(&mut book, &agent) + all_break(&mut book, &command), 2);
}

#[test]
fn a_server_that_greets_otherwise_each_time_gets_no_end_of_budgets() {
    let mut book = TlsBook::default();
    let count: usize = (0..50).map(|n| all_break(&mut book, &wish("x", &n.to_string()))).sum();
    assert_eq!(count, usize::from(BUDGET) * MOST_GREETINGS);
    let more = begin(&mut book, &wish("x", "another"), 0);
    assert_eq!(reason(Some(more)), ("stop", FailureReason::Local), "what we don't keep moves no name");
}

#[test]
fn what_our_library_lacks_lets_a_login_go_plain_unless_tls_was_ever_completed() {
    let (mut book, wish) = (TlsBook::default(), wish("x", "g"));
    assert_eq!(begin(&mut book, &wish, 0), Ok(Note::Open));
    book.note_end(&wish, Note::Open, &broken(true));
    assert_eq!(reason(book.settled_advice(&wish, Wall(0))), ("plain", FailureReason::Misconfigured));
    book.note_login(wish.server);
    assert_eq!(
        reason(book.settled_advice(&wish, Wall(0))),
        ("plain", FailureReason::Misconfigured),
        "it still lacks it"
    );

    let mut book = TlsBook::default();
    let _ = begin(&mut book, &wish, 0);
    book.note_end(&wish, Note::Open, &End::Completed);
    assert_eq!(book.settled_advice(&wish, Wall(0)), Some(Ok(Note::Proven)));
    book.note_end(&wish, Note::Proven, &broken(true));
    assert_eq!(reason(book.settled_advice(&wish, Wall(0))), ("stop", FailureReason::Misconfigured));
}

#[test]
fn that_tls_was_completed_outlasts_greetings_and_configs() {
    let (mut book, first) = (TlsBook::default(), wish("x", "g"));
    let _ = begin(&mut book, &first, 0);
    book.note_end(&first, Note::Open, &End::Completed);
    for n in 0..20 {
        all_break(&mut book, &wish(&n.to_string(), &n.to_string()));
    }
    assert!(book.was_completed(first.server));
    assert!(!book.was_completed("10.0.0.2:3306".parse().unwrap()));
}

#[test]
fn what_nobody_broke_off_costs_nothing_and_who_is_killed_has_broken_off() {
    let (mut book, wish) = (TlsBook::default(), wish("x", "g"));
    for _ in 0..10 {
        assert_eq!(begin(&mut book, &wish, 0), Ok(Note::Open));
        book.note_end(&wish, Note::Open, &End::Lost);
    }
    // Killed in the middle of each.
    for _ in 0..2 {
        assert_eq!(begin(&mut book, &wish, 0), Ok(Note::Open));
    }
    assert_eq!(reason(Some(begin(&mut book, &wish, 0))), ("stop", FailureReason::TlsHandshake));
}

#[test]
fn where_nobody_counts_what_is_never_ended_being_killed_costs_nothing() {
    let (mut book, wish) = (TlsBook::default(), Wish { counts: false, ..wish("x", "g") });
    for _ in 0..10 {
        assert_eq!(begin(&mut book, &wish, 0), Ok(Note::New));
    }
    assert_eq!(all_break(&mut book, &wish), 2);
}

#[test]
fn of_two_books_the_higher_counts_hold() {
    let (mut ours, mut theirs, wish) = (TlsBook::default(), TlsBook::default(), wish("x", "g"));
    let _ = begin(&mut theirs, &wish, 5);
    theirs.note_end(&wish, Note::Open, &End::Completed);
    all_break(&mut ours, &wish);
    assert!(theirs.is_proven(wish.server, wish.mode));
    theirs.merge(&ours);
    assert!(!theirs.is_proven(wish.server, wish.mode), "what has ceased to go well");
    assert!(theirs.has_broken(wish.server) && theirs.was_completed(wish.server));
    ours.merge(&theirs);
    assert!(ours.was_completed(wish.server));
    assert_eq!(all_break(&mut ours, &wish), 0);
}

#[test]
fn there_are_bounds_and_who_did_tls_is_forgotten_last() {
    let mut book = TlsBook::default();
    for n in 0..100 {
        let _ = begin(&mut book, &wish(&n.to_string(), "g"), n);
    }
    assert_eq!(book.servers.values().map(|standing| standing.ways.len()).max(), Some(MOST_WAYS));
    let mut book = TlsBook::default();
    let server = |n: u32| SocketAddr::from((std::net::Ipv4Addr::from(n), 3306));
    for n in 0..=u32::try_from(MOST_SERVERS).unwrap() {
        let wish = Wish { server: server(n), ..wish("x", "g") };
        let _ = begin(&mut book, &wish, u64::from(n));
        book.note_end(&wish, Note::Open, if n == 0 { &End::Completed } else { &End::Lost });
    }
    assert_eq!(book.servers.len(), MOST_SERVERS);
    assert!(book.was_completed(server(0)) && !book.servers.contains_key(&server(1)));
}
