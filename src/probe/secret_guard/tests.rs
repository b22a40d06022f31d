use super::*;
use crate::model::FailureReason;

fn secrets(fleet: u32) -> SecretGuard {
    SecretGuard::new(Clock::tokio(), FleetSize::new(fleet))
}

fn no() -> Failure {
    Failure::new(FailureReason::Auth, "no")
}

async fn turn<'a>(secrets: &'a SecretGuard, secret: &FileSecret) -> Turn<'a> {
    secrets.wait_for_turn(secret, 4 * SECOND).await.unwrap()
}

fn secret(text: &str, path: &str, written: u64) -> FileSecret {
    FileSecret { secret: Secret::new(text.into()), path: path.into(), written: Wall(written) }
}

#[tokio::test(start_paused = true)]
async fn a_refused_secret_waits_for_its_file_wherever_it_is_used() {
    let refused = secrets(1);
    tokio::time::advance(std::time::Duration::from_secs(10)).await;
    let old = secret("old", "/a", 5_000);
    let said = Failure::new(FailureReason::Auth, "1045: check password failed");
    assert!(turn(&refused, &old).await.note_refused(&old, &said, LoginResult::Wrong));
    let said = refused.check(&secret("old", "/a", 5_000)).unwrap_err();
    assert_eq!(said.to_string(), "auth: not tried again until /a changes: 1045: check password failed");
    assert!(refused.check(&secret("old", "/b", 9_000)).is_err(), "another file with the same secret");
    assert!(refused.check(&secret("new", "/a", 5_000)).is_ok(), "another secret, whenever it was written");
    assert!(refused.check(&secret("old", "/a", 10_001)).is_ok(), "written since");
}

#[tokio::test(start_paused = true)]
async fn a_file_from_the_future_is_not_tried_for_ever() {
    let refused = secrets(1);
    let old = secret("old", "/a", 5_000);
    assert!(turn(&refused, &old).await.note_refused(&old, &no(), LoginResult::Wrong));
    assert!(refused.check(&secret("old", "/a", 5_000)).is_err());
    assert!(refused.check(&secret("old", "/a", 5_001)).is_ok());
}

const SECOND: Duration = Duration::from_secs(1);

/// What becomes of many who want to send one secret at one instant, each to a server of its own that needs so long for
/// its answer: how many did, and how long it took.
async fn at_once(servers: &[(Duration, bool)]) -> (u32, Duration) {
    let secrets = secrets(1);
    let (sent, started) = (Mutex::new(0), Instant::now());
    let one = |(takes, right): (Duration, bool)| {
        let (secrets, sent) = (&secrets, &sent);
        async move {
            let secret = secret("s", "/a", 1);
            let Ok(turn) = secrets.wait_for_turn(&secret, 4 * SECOND).await else { return };
            *sent.lock().unwrap() += 1;
            tokio::time::sleep(takes).await;
            if right {
                turn.note_accepted();
            } else {
                turn.note_refused(&secret, &no(), LoginResult::Wrong);
            }
        }
    };
    let mut all: Vec<_> = servers.iter().map(|server| Box::pin(one(*server))).collect();
    std::future::poll_fn(|context| {
        all.retain_mut(|one| one.as_mut().poll(context).is_pending());
        if all.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    let sent = *sent.lock().unwrap();
    (sent, started.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_wrong_secret_is_sent_once_by_many_at_one_instant() {
    assert_eq!(at_once(&[(SECOND, false); 500]).await, (1, SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_right_one_is_held_up_once() {
    assert_eq!(at_once(&[(SECOND, true); 500]).await, (500, 2 * SECOND));
    // One that has been accepted needs no turns.
    let secrets = secrets(1);
    let known = secret("s", "/a", 1);
    secrets.wait_for_turn(&known, SECOND).await.unwrap().note_accepted();
    let _held =
        [secrets.wait_for_turn(&known, SECOND).await.unwrap(), secrets.wait_for_turn(&known, SECOND).await.unwrap()];
    // Until it is refused.
    turn(&secrets, &known).await.note_refused(&known, &no(), LoginResult::Wrong);
    let written = secret("s", "/a", u64::MAX);
    let _turn = secrets.wait_for_turn(&written, 20 * SECOND).await.unwrap();
    let next = tokio::time::timeout(SECOND, secrets.wait_for_turn(&written, SECOND)).await;
    assert!(next.is_err(), "the file was written anew: it takes turns again");
}

#[tokio::test(start_paused = true)]
async fn who_keeps_an_answer_back_holds_nobody_up_for_long() {
    // Half of the 4 s allowed; then all others go on.
    let mut servers = vec![(3600 * SECOND, true)];
    servers.extend([(SECOND, true); 20]);
    assert_eq!(at_once(&servers).await.0, 21);
    let mut servers = vec![(3600 * SECOND, false)];
    servers.extend([(SECOND, false); 20]);
    assert_eq!(at_once(&servers).await.0, 2, "one more for a server that does not answer, and not twenty");
}

#[tokio::test(start_paused = true)]
async fn a_turn_without_a_word_passes_to_one() {
    let secrets = secrets(1);
    let known = secret("s", "/a", 1);
    let turn = secrets.wait_for_turn(&known, 20 * SECOND).await.unwrap();
    let soon = || tokio::time::timeout(SECOND, secrets.wait_for_turn(&known, 20 * SECOND));
    assert!(soon().await.is_err());
    drop(turn);
    let turn = soon().await.unwrap().unwrap();
    assert!(soon().await.is_err());
    let _other = secrets.wait_for_turn(&secret("other", "/a", 1), SECOND).await.unwrap();
    // One whose turn has lapsed takes no other's away.
    tokio::time::advance(11 * SECOND).await;
    let _next = soon().await.unwrap().unwrap();
    drop(turn);
    assert!(soon().await.is_err());
}

const MINUTE: u64 = 60;

/// At which seconds a secret that is always refused is sent, by ten targets that ask five hundred times.
async fn sent_at(secrets: &SecretGuard, secret: &FileSecret, seconds: u64, word: LoginResult) -> Vec<u64> {
    let (mut sent, step) = (Vec::new(), seconds / 500);
    for second in (0..seconds).step_by(usize::try_from(step).unwrap()) {
        for _target in 0..10 {
            let Ok(turn) = secrets.wait_for_turn(secret, 4 * SECOND).await else { continue };
            sent.push(second);
            turn.note_refused(secret, &no(), word);
        }
        tokio::time::advance(Duration::from_secs(step)).await;
    }
    sent
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_was_accepted_before_is_tried_three_times_and_never_sooner_than_the_fleet_allows() {
    for fleet in [1, 60, 1000] {
        let window = (u64::from(fleet) * 10).max(10 * MINUTE);
        let mut firsts = 0;
        for _ in 0..8 {
            let (secrets, known) = (secrets(fleet), secret("s", "/a", 1));
            turn(&secrets, &known).await.note_accepted();
            let sent = sent_at(&secrets, &known, 8 * window, LoginResult::Wrong).await;
            assert_eq!(sent.len(), 4, "{fleet}: {sent:?}");
            for (n, pair) in sent.windows(2).enumerate() {
                assert!(pair[1] - pair[0] <= (window << n) + window / 50, "{fleet}: {sent:?}");
            }
            firsts += sent[1] - sent[0];
            let said = secrets.check(&known).unwrap_err();
            assert_eq!(said.to_string(), "auth: not tried again until /a changes: no");
        }
        // Drawn from all of the window: half of it in the mean.
        assert!((window / 2..15 * window / 2).contains(&firsts), "{fleet}: {firsts}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_was_never_accepted_or_whose_account_is_closed_is_not_tried_again() {
    let (secrets, known) = (secrets(1), secret("s", "/a", 1));
    assert_eq!(sent_at(&secrets, &known, 120 * MINUTE, LoginResult::Unsure).await, [0]);
    let other = secret("other", "/a", 1);
    turn(&secrets, &other).await.note_accepted();
    assert_eq!(sent_at(&secrets, &other, 120 * MINUTE, LoginResult::Closed).await, [0]);
    // In the midst of its tries, too.
    let third = secret("third", "/a", 1);
    turn(&secrets, &third).await.note_accepted();
    turn(&secrets, &third).await.note_refused(&third, &no(), LoginResult::Wrong);
    assert!(
        secrets.check(&third).unwrap_err().detail.starts_with("not tried again until /a changes, save 3 slow tries")
    );
    tokio::time::advance(Duration::from_secs(10 * MINUTE)).await;
    assert_eq!(sent_at(&secrets, &third, 120 * MINUTE, LoginResult::Closed).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_try_that_is_accepted_opens_the_way_for_all() {
    let (secrets, known) = (secrets(1), secret("s", "/a", 1));
    turn(&secrets, &known).await.note_accepted();
    turn(&secrets, &known).await.note_refused(&known, &no(), LoginResult::Wrong);
    assert!(secrets.check(&known).is_err());
    tokio::time::advance(Duration::from_secs(10 * MINUTE)).await;
    // One that never gets to send it leaves it to the next, later.
    turn(&secrets, &known).await.give_back_unused();
    assert!(secrets.check(&known).unwrap_err().detail.contains("save 3 slow tries"));
    tokio::time::advance(Duration::from_secs(10 * MINUTE)).await;
    let one = turn(&secrets, &known).await;
    assert!(secrets.wait_for_turn(&known, SECOND).await.is_err(), "one target tries");
    one.check(&known).unwrap();
    one.note_accepted();
    let _all = [turn(&secrets, &known).await, turn(&secrets, &known).await];
}

#[tokio::test(start_paused = true)]
async fn a_word_that_may_be_wrong_is_confirmed_by_one_that_is_sent_later() {
    let (secrets, known) = (secrets(1), secret("s", "/a", 1));
    turn(&secrets, &known).await.note_accepted();
    // Two wait in one pool while the password changes; a third is accepted.
    let [a, b, c] = [turn(&secrets, &known).await, turn(&secrets, &known).await, turn(&secrets, &known).await];
    assert!(!a.note_refused(&known, &no(), LoginResult::Unsure));
    assert!(!b.note_refused(&known, &no(), LoginResult::Unsure));
    c.note_accepted();
    let next = turn(&secrets, &known).await;
    let waits = tokio::time::timeout(SECOND, secrets.wait_for_turn(&known, SECOND)).await;
    assert!(waits.is_err(), "one asks, and the others wait");
    next.note_accepted();
    let [a, b] = [turn(&secrets, &known).await, turn(&secrets, &known).await];
    assert!(!a.note_refused(&known, &no(), LoginResult::Unsure), "the doubt is over");
    b.note_accepted();
    // Twice in a row is true.
    assert!(turn(&secrets, &known).await.note_refused(&known, &no(), LoginResult::Unsure));
    assert!(secrets.check(&known).is_err());
}

#[tokio::test(start_paused = true)]
async fn an_answer_from_before_a_refusal_does_not_clear_it() {
    let (secrets, known) = (secrets(1), secret("s", "/a", 1));
    turn(&secrets, &known).await.note_accepted();
    let [early, late] = [turn(&secrets, &known).await, turn(&secrets, &known).await];
    assert!(late.note_refused(&known, &no(), LoginResult::Wrong), "for a password one word is enough");
    assert!(early.check(&known).is_err(), "who still waits does not send it");
    early.note_accepted();
    assert!(secrets.check(&known).is_err());
}
