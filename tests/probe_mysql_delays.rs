//! MySQL servers that hold refusals back (`connection_control`): one connection waits, the greeting stays the verdict,
//! it is said, and nobody moves.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use nix::sys::signal::Signal;
use privatelinkd::model::{Check, FailureReason as R};
use privatelinkd::probe::Prober;
use tokio::time::{Instant, sleep};

use crate::agent_rig::{NAME, Rig};
use crate::connection_control::{Guarded, NOBODY};
use crate::probe_mysql::{CAPS, PASSWORD, REFUSED, SSL, Server, greeting, mysql};
use crate::probe_mysql_path::{two_zones, wait};
use crate::probe_tcp::PATIENT;

const ADVICE: &str = "the server delays refused logins: give a probe user";
/// Our user.
const OURS: &str = "acct:probe:readonly";
const MINUTE: Duration = Duration::from_secs(60);

/// Until what waits for a timer, or for a packet, has gone on.
async fn settle() {
    sleep(Duration::from_millis(50)).await;
}

#[tokio::test]
async fn the_path_goes_on_by_greeting_with_one_connection_that_waits() {
    let server = Guarded::start(3).await;
    let prober = mysql(server.address(), Check::Path);
    // Once a minute, as the pace has it where there is no login.
    for minute in 0..12 {
        let started = Instant::now();
        let timings = prober.probe(PATIENT).await.unwrap();
        assert!(timings.answer.is_some() && timings.login.is_none());
        assert!(started.elapsed() < Duration::from_secs(1), "the verdict waits for no refusal: minute {minute}");
        let remark = prober.remark().unwrap();
        let failed = server.failed(NOBODY);
        // The first that is held back is known to be once it is answered.
        assert_eq!(remark.contains(ADVICE), minute > 4, "minute {minute}, {failed} failures: {remark}");
        wait(MINUTE).await;
        settle().await;
    }
    // The first login was ours, whose secret rests now.
    assert_eq!((server.failed(OURS), server.failed(NOBODY)), (1, 11));
    assert_eq!((server.most_waiting(), server.logins()), (1, 12));
}

#[tokio::test]
async fn while_a_refusal_is_awaited_no_second_connection_is_opened() {
    let server = Guarded::start(3).await;
    let prober = mysql(server.address(), Check::Path);
    prober.probe(PATIENT).await.unwrap();
    // As a server is that has refused us for hours.
    server.has_failed(NOBODY, 200);
    prober.probe(PATIENT).await.unwrap();
    assert_eq!(server.connections(), 2);
    for minute in 0..3 {
        wait(MINUTE).await;
        settle().await;
        let held = prober.probe(PATIENT).await.unwrap_err();
        assert_eq!(held.reason, R::Local, "it says nothing of the server: {held}");
        assert!(prober.remark().unwrap().contains(ADVICE), "minute {minute}");
        assert_eq!((server.connections(), server.waiting()), (2, 1), "minute {minute}");
    }
    // 198 s, and it has come.
    wait(MINUTE).await;
    settle().await;
    assert_eq!((server.failed(NOBODY), server.waiting()), (201, 0));
    prober.probe(PATIENT).await.unwrap();
    assert_eq!((server.connections(), server.most_waiting()), (3, 1));
}

#[tokio::test]
async fn refusals_that_outlast_all_patience_do_not_pile_up() {
    let server = Guarded::start(3).await;
    let prober = mysql(server.address(), Check::Path);
    prober.probe(PATIENT).await.unwrap();
    // Held back for more than two days each: the server's threads wait on, whoever hangs up.
    server.has_failed(NOBODY, 200_000);
    let mut reasons = Vec::new();
    for _ in 0..24 * 60 {
        reasons.extend(prober.probe(PATIENT).await.err().map(|failure| failure.reason));
        wait(MINUTE).await;
        tokio::task::yield_now().await;
    }
    assert!(reasons.iter().all(|reason| *reason == R::Local), "nothing that moves a name: {reasons:?}");
    assert!(server.waiting() <= 9, "{} threads of the server wait after a day", server.waiting());
}

#[tokio::test]
async fn what_no_longer_holds_them_back_is_noticed_with_the_next_one() {
    let server = Guarded::start(1).await;
    let prober = mysql(server.address(), Check::Path);
    for _ in 0..4 {
        prober.probe(PATIENT).await.unwrap();
        wait(MINUTE).await;
        settle().await;
    }
    assert!(prober.remark().unwrap().contains(ADVICE));
    server.set_threshold(0);
    prober.probe(PATIENT).await.unwrap();
    let remark = prober.remark().unwrap();
    assert!(!remark.contains(ADVICE) && remark.contains("only its greeting is looked at"), "{remark}");
}

#[tokio::test]
async fn a_held_back_answer_to_our_own_login_is_awaited_on_its_one_connection() {
    let server = Guarded::start(3).await;
    server.welcomes(true);
    // Somebody else on this host has tried our user.
    server.has_failed(OURS, 10);
    let prober = mysql(server.address(), Check::Path);
    let late = prober.probe(Duration::from_secs(2)).await.unwrap_err();
    assert_eq!(late.reason, R::Local, "it moves no name: {late}");
    assert!(late.to_string().contains("the server may delay logins that may be wrong"), "{late}");
    assert_eq!(prober.probe(Duration::from_millis(100)).await.unwrap_err().reason, R::Local);
    wait(Duration::from_secs(6)).await;
    let timings = prober.probe(PATIENT).await.unwrap();
    assert!(timings.login.is_some());
    assert_eq!((server.connections(), server.failed(OURS)), (1, 0), "a success ends the row");
    assert_eq!(prober.remark(), None);
    drop(prober);
    settle().await;
    let prompt = mysql(server.address(), Check::Path).probe(PATIENT).await.unwrap();
    assert!(prompt.login.unwrap() < Duration::from_secs(1));
}

#[tokio::test]
async fn the_agent_says_it_moves_nobody_and_recovers_with_a_user() {
    let servers = [Guarded::start(1).await, Guarded::start(1).await];
    // Many hosts share our address, and each has declined for a while.
    servers.iter().for_each(|server| server.has_failed(NOBODY, 30));
    let [h, i] = servers.each_ref().map(|server| server.address().ip());
    let mut rig = Rig::new("");
    let password = rig.path("db.pw");
    std::fs::write(&password, "an old one").unwrap();
    std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o600)).unwrap();
    rig.configure(&two_zones(&rig, [h, i]));
    rig.start();
    rig.moves_to(NAME, &[h, i]).await;
    // Without a login each is looked at once a minute.
    let advised = async || {
        let report = rig.report().await;
        report.is_some_and(|report| report.problems.iter().any(|problem| problem.contains(ADVICE)))
    };
    let mut looks = 0;
    while !advised().await {
        assert!(looks < 300, "never said what to do: {}", rig.log());
        looks += 1;
        assert_eq!(rig.points_at(NAME), [h, i], "{}", rig.log());
        sleep(Duration::from_millis(500)).await;
    }
    assert!(servers.iter().all(|server| server.most_waiting() <= 1), "one connection a server");
    servers.iter().for_each(|server| server.welcomes(true));
    // The answer to the right password is held back no more: what was counted of our user is the wrong one.
    servers.iter().for_each(|server| server.has_failed("probe", 0));
    std::fs::write(&password, PASSWORD).unwrap();
    rig.reports("all is well", |report| report.problems.is_empty()).await;
    assert_eq!(rig.points_at(NAME), [h, i]);
}

#[tokio::test]
async fn an_agent_that_is_told_to_stop_ends_the_handshakes_it_is_in() {
    let server = Server::start(|mut peer| async move {
        sleep(Duration::from_millis(300)).await;
        peer.say(0, &greeting("8.0.36", CAPS & !SSL, "mysql_native_password")).await;
        let heard = peer.hear().await;
        if let Some((number, _)) = heard {
            peer.say(number + 1, REFUSED).await;
        }
        heard.into_iter().map(|(_, login)| login).collect()
    })
    .await;
    let mut rig = Rig::new("");
    let (password, address) = (rig.path("db.pw"), server.address());
    std::fs::write(&password, PASSWORD).unwrap();
    std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o600)).unwrap();
    rig.configure(&two_zones(&rig, [address.ip(), "127.0.0.9".parse().unwrap()]));
    rig.start();
    while server.connections() == 0 {
        sleep(Duration::from_millis(5)).await;
    }
    assert!(rig.end(Signal::SIGTERM).await.success(), "{}", rig.log());
    let heard = server.heard(1).await;
    assert!(heard.iter().all(|packets| packets.len() == 1), "the greeting was answered: {heard:?}");
}
