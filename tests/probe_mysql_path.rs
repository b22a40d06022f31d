//! The path check of MySQL where no login can be used, and waits that end: its verdict is the greeting (B7).

use std::future::Future;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use privatelinkd::health::{Pace, Sparing};
use privatelinkd::model::{Check, Failure, FailureReason as R, MysqlTls, ProbeKind, Timings};
use privatelinkd::probe::{AnyProber, FleetSize, Prober, Probers};
use privatelinkd::sys::clock::Clock;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, advance, pause, resume, sleep};

use crate::agent_rig::{NAME, Rig};
use crate::probe_mysql::{
    CAPS, OK, PASSWORD, Peer, REFUSED, Server, contains, deep, greeting, healthy, mysql, sealed, spec, switch, tls,
    verify,
};
use crate::probe_tcp::{HASTY, PATIENT, probers, reason};

const DECLINE: &[u8] = b"privatelinkd-declines\0";
const PLUGIN_AUTH: u32 = 0x0008_0000;

fn native() -> Vec<u8> {
    greeting("8.0.36", CAPS, "mysql_native_password")
}

/// Lets time pass for timers alone.
pub(crate) async fn wait(time: Duration) {
    pause();
    advance(time).await;
    resume();
}

/// A server that answers each login with these packets, the last of them a refusal, and each decline with a refusal.
async fn refusing(packets: &[&[u8]]) -> Server {
    let packets: Vec<Vec<u8>> = packets.iter().map(|packet| packet.to_vec()).collect();
    Server::start(move |mut peer| {
        let packets = packets.clone();
        async move {
            peer.say(0, &native()).await;
            let mut heard = Vec::new();
            while let Some((number, packet)) = peer.hear().await {
                let decline = contains(&packet, DECLINE);
                heard.push(packet);
                let answer = packets.get(heard.len() - 1).filter(|_| !decline).map_or(REFUSED, Vec::as_slice);
                peer.say(number + 1, answer).await;
                if answer[0] == 0xff {
                    break;
                }
            }
            heard
        }
    })
    .await
}

fn is_sparing(prober: &AnyProber) -> bool {
    prober.pace() == Pace::Sparing(Sparing { apart: Duration::from_millis(100) })
}

#[tokio::test]
async fn without_a_usable_login_the_greeting_is_the_verdict_at_a_gentle_pace() {
    let crowded: &[u8] = b"\xff\xca\x04#42000User 'probe' has exceeded the 'max_user_connections' resource";
    let table: [(&[&[u8]], R, &str); 5] = [
        (&[REFUSED], R::Auth, "1045"),
        (&[&switch("caching_sha2_password"), b"\x01\x04", REFUSED], R::Auth, "the server wants the password in clear"),
        (&[&switch("client_ed25519"), REFUSED], R::Misconfigured, "the user logs in by \"client_ed25519\""),
        (&[b"\xff\x2e\x0c#HY000Account is locked."], R::NotAllowed, "3118"),
        (&[crowded], R::Overloaded, "1226"),
    ];
    for (packets, why, said) in table {
        let server = refusing(packets).await;
        let prober = mysql(server.address(), Check::Path);
        assert_eq!(prober.pace(), Pace::Scheduled);
        for probes in 1..=3 {
            let timings = prober.probe(PATIENT).await.unwrap();
            assert!(timings.answer.is_some() && timings.login.is_none());
            assert_eq!(server.connections(), probes, "a greeting each");
            assert!(is_sparing(&prober));
            let remark = prober.remark().unwrap();
            let refused = matches!(said, "1045" | "3118") && probes > 1;
            let why = if refused { format!("{why}: not tried again until") } else { format!("{why}: {said}") };
            for part in [&*why, said, "only its greeting is looked at"] {
                assert!(remark.contains(part), "{part} in {remark}");
            }
        }
        server.stop();
        sleep(Duration::from_millis(20)).await;
        assert_eq!(reason(prober.probe(PATIENT).await), R::Refused, "a dead zone is seen");
    }
}

#[tokio::test]
async fn a_login_that_works_again_is_used_again() {
    let server = refusing(&[&switch("caching_sha2_password"), b"\x01\x04", REFUSED]).await;
    let prober = mysql(server.address(), Check::Path);
    let declines = async || server.heard(server.connections()).await.last().unwrap().concat();
    prober.probe(PATIENT).await.unwrap();
    assert!(contains(&declines().await, b"acct"));
    for (after, tries) in [(30, false), (31, true), (30, false), (31, true)] {
        wait(Duration::from_secs(after)).await;
        prober.probe(PATIENT).await.unwrap();
        assert_eq!(contains(&declines().await, b"acct"), tries, "after {after} s more");
    }
}

#[tokio::test]
async fn a_fleet_makes_ten_declines_a_second_at_most() {
    let server = refusing(&[REFUSED]).await;
    let probers = Probers::for_fleet(Clock::System, FleetSize::new(3000));
    let prober = probers.prober(&deep(server.address(), ProbeKind::Mysql(spec(MysqlTls::Preferred))), Check::Path);
    prober.probe(PATIENT).await.unwrap();
    assert_eq!(prober.pace(), Pace::Sparing(Sparing { apart: Duration::from_secs(300) }));
}

#[tokio::test]
async fn a_failing_init_connect_is_no_reason_to_leave() {
    let hangs_up: &[u8] = b"\xff\xa0\x04#08S01Aborted connection 7 to db: 'x' (init_connect command failed)";
    let server = Server::start(move |mut peer| async move {
        peer.say(0, &native()).await;
        let Some((number, login)) = peer.hear().await else { return vec![] };
        if contains(&login, DECLINE) {
            peer.say(number + 1, REFUSED).await;
            return vec![login];
        }
        peer.say(number + 1, OK).await;
        if peer.hear().await.is_some() {
            peer.say(1, hangs_up).await;
        }
        vec![login]
    })
    .await;
    let failure = mysql(server.address(), Check::Deep).probe(PATIENT).await.unwrap_err();
    assert_eq!(failure.reason, R::Misconfigured, "{failure}");
    let prober = mysql(server.address(), Check::Path);
    for _ in 0..3 {
        prober.probe(PATIENT).await.unwrap();
    }
    assert!(prober.remark().unwrap().contains("misconfigured: 1184"), "{:?}", prober.remark());
    assert!(is_sparing(&prober));
}

#[tokio::test]
async fn a_greeting_without_named_methods_is_good_enough() {
    let server = Server::start(|mut peer| async move {
        let mut greeting = greeting("5.1.73", CAPS & !PLUGIN_AUTH, "");
        greeting.pop();
        peer.say(0, &greeting).await;
        peer.serve(1, OK).await
    })
    .await;
    for check in [Check::Path, Check::Deep] {
        mysql(server.address(), check).probe(PATIENT).await.unwrap();
    }
    let heard = server.heard(2).await;
    assert!(heard.iter().all(|packets| !contains(&packets[0], b"mysql_native_password")), "which has no names");
}

#[tokio::test]
async fn a_greeting_that_no_login_can_follow_is_left_politely() {
    for caps in [CAPS & !0x8000, CAPS & !0x200] {
        let server = Server::scripted(greeting("4.0.30", caps, ""), &[REFUSED]).await;
        let prober = mysql(server.address(), Check::Path);
        prober.probe(PATIENT).await.unwrap();
        assert!(prober.remark().unwrap().contains("misconfigured: \"4.0.30\" lacks the login of MySQL 4.1"));
        assert!(contains(&server.heard(1).await[0][0], DECLINE));
    }
    // So is what is meant for a greeting.
    let server = Server::scripted(b"\x0a8.0.36\0".to_vec(), &[REFUSED]).await;
    assert_eq!(reason(mysql(server.address(), Check::Path).probe(PATIENT).await), R::Protocol);
    assert!(contains(&server.heard(1).await[0][0], DECLINE));
}

/// A server that refuses every login, and declines only when it is let.
async fn holding(greeting: Vec<u8>) -> (Server, Arc<Notify>) {
    let go = Arc::new(Notify::new());
    let wait_for = go.clone();
    let server = Server::start(move |mut peer| {
        let (greeting, go) = (greeting.clone(), wait_for.clone());
        async move {
            peer.say(0, &greeting).await;
            let Some((number, login)) = peer.hear().await else { return vec![] };
            if contains(&login, DECLINE) {
                go.notified().await;
            }
            peer.say(number + 1, REFUSED).await;
            vec![login]
        }
    })
    .await;
    (server, go)
}

#[tokio::test]
async fn what_is_declined_time_and_again_is_asked_at_a_gentle_pace_whatever_the_verdict() {
    let mysql = |tls| ProbeKind::Mysql(spec(tls));
    let matrixone = || ProbeKind::Matrixone(spec(MysqlTls::Preferred));
    let table = [
        (native(), mysql(MysqlTls::Required), Check::Path, R::TlsHandshake),
        (native(), mysql(MysqlTls::Required), Check::Deep, R::TlsHandshake),
        (native(), matrixone(), Check::Path, R::Protocol),
        (native(), matrixone(), Check::Deep, R::Protocol),
        (b"\x0a8.0.36\0".to_vec(), mysql(MysqlTls::Preferred), Check::Path, R::Protocol),
    ];
    for (greeting, kind, check, expected) in table {
        let (server, go) = holding(greeting).await;
        let prober = probers().prober(&deep(server.address(), kind), check);
        assert_eq!(prober.pace(), Pace::Scheduled);
        assert_eq!(reason(prober.probe(PATIENT).await), expected);
        assert!(is_sparing(&prober), "{expected} {check}: {:?}", prober.pace());
        // Its refusal is awaited, and no second one asked for.
        let held = prober.probe(PATIENT).await.unwrap_err();
        assert_eq!(held.reason, R::Local, "{held}");
        assert_eq!(server.connections(), 1, "{expected} {check}");
        go.notify_one();
        server.heard(1).await;
        sleep(Duration::from_millis(50)).await;
        assert_eq!(reason(prober.probe(PATIENT).await), expected);
        assert_eq!(server.connections(), 2);
    }
}

#[tokio::test]
async fn a_bad_certificate_is_looked_at_at_a_gentle_pace_until_it_is_a_good_one() {
    let (acceptor, trust) = tls("elsewhere.example.com");
    let (server, _) = sealed(acceptor).await;
    for check in [Check::Path, Check::Deep] {
        let target = deep(server.address(), ProbeKind::Mysql(spec(verify(trust.clone()))));
        let prober = probers().prober(&target, check);
        assert_eq!(reason(prober.probe(PATIENT).await), R::TlsName);
        assert!(is_sparing(&prober), "{check}");
    }
}

/// A server that refuses our login, freezes when it should refuse a decline, and goes on like this.
async fn freezing(thawed: bool) -> Server {
    let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    Server::start(move |mut peer| {
        let connection = count.fetch_add(1, Ordering::SeqCst);
        async move {
            if connection < 2 || thawed {
                peer.say(0, &native()).await;
            }
            while let Some((number, packet)) = peer.hear().await {
                if connection != 1 && packet.len() > 1 {
                    peer.say(number + 1, REFUSED).await;
                }
            }
            vec![]
        }
    })
    .await
}

#[tokio::test]
async fn a_server_that_freezes_before_it_refuses_is_greeted_again_after_five_minutes() {
    for thawed in [false, true] {
        let server = freezing(thawed).await;
        let prober = mysql(server.address(), Check::Path);
        for _ in 0..2 {
            prober.probe(PATIENT).await.unwrap();
        }
        for _ in 0..2 {
            assert_eq!(reason(prober.probe(HASTY).await), R::Local);
            wait(Duration::from_secs(149)).await;
        }
        assert_eq!(server.connections(), 2);
        wait(Duration::from_secs(2)).await;
        sleep(Duration::from_millis(50)).await;
        let outcome = prober.probe(if thawed { PATIENT } else { HASTY }).await;
        assert_eq!(server.connections(), 3);
        if thawed {
            outcome.unwrap();
        } else {
            assert_eq!(outcome, Err(Failure::new(R::Timeout, "no greeting after 200ms").met_on_the_way()));
        }
    }
}

#[tokio::test]
async fn delayed_refusals_are_awaited_one_at_a_time_and_said() {
    let (server, go) = holding(native()).await;
    let prober = mysql(server.address(), Check::Path);
    // Our own login's refusal, then a decline whose refusal is late: the verdict does not wait for it.
    prober.probe(PATIENT).await.unwrap();
    let started = Instant::now();
    prober.probe(PATIENT).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(3));
    for _ in 0..3 {
        let held = prober.probe(PATIENT).await.unwrap_err();
        assert_eq!(held.reason, R::Local, "says nothing of the server: {held}");
        assert_eq!(server.connections(), 2, "no second one");
    }
    assert!(!prober.remark().unwrap().contains("delays refused logins"));
    wait(Duration::from_secs(5)).await;
    sleep(Duration::from_millis(20)).await;
    let advice = "the server delays refused logins: give a probe user";
    assert!(prober.remark().unwrap().contains(advice), "{:?}", prober.remark());
    go.notify_one();
    server.heard(2).await;
    sleep(Duration::from_millis(50)).await;
    go.notify_one();
    prober.probe(PATIENT).await.unwrap();
    assert_eq!(server.connections(), 3);
    sleep(Duration::from_millis(50)).await;
    assert!(!prober.remark().unwrap().contains(advice), "a prompt one ends it");
}

/// A load balancer in front of a dead server: some connections are accepted and stay silent, all others work.
async fn half_dead(silent: std::ops::Range<usize>) -> Server {
    let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    Server::start(move |mut peer| {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let silent = silent.contains(&number);
        async move {
            if silent {
                while peer.hear().await.is_some() {}
                return vec![];
            }
            peer.say(0, &native()).await;
            peer.serve(1, OK).await
        }
    })
    .await
}

#[tokio::test]
async fn a_connection_that_is_never_greeted_is_given_up_for_a_new_one() {
    for check in [Check::Path, Check::Deep] {
        let server = half_dead(0..3).await;
        let prober = mysql(server.address(), check);
        for (connections, rest) in [(1, 15), (2, 30), (3, 60)] {
            assert_eq!(
                prober.probe(HASTY).await,
                Err(Failure::new(R::Timeout, "no greeting after 200ms").met_on_the_way())
            );
            wait(Duration::from_secs(15)).await;
            server.heard(connections).await;
            // The attempt has ended between two probes, and the server is left alone.
            let resting = prober.probe(PATIENT).await.unwrap_err();
            assert_eq!(resting.reason, R::Local, "{resting}");
            let Pace::Resting(left) = prober.pace() else { panic!("{:?}", prober.pace()) };
            assert!(left > Duration::from_secs(rest - 5) && left <= Duration::from_secs(rest), "{left:?}");
            assert_eq!(server.connections(), connections);
            wait(left).await;
            assert_eq!(prober.pace(), Pace::Scheduled);
        }
        prober.probe(PATIENT).await.unwrap();
    }
}

/// A server that answers the logins of these connections, and holds all others back.
async fn answering(answered: std::ops::Range<usize>) -> Server {
    let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    Server::start(move |mut peer| {
        let answered = answered.contains(&count.fetch_add(1, Ordering::SeqCst));
        async move {
            peer.say(0, &native()).await;
            if answered {
                return peer.serve(1, OK).await;
            }
            let mut heard = vec![];
            while let Some((_, packet)) = peer.hear().await {
                heard.push(packet);
            }
            heard
        }
    })
    .await
}

#[tokio::test]
async fn a_login_without_an_answer_is_given_up_after_a_minute() {
    let server = answering(0..1).await;
    let prober = mysql(server.address(), Check::Deep);
    // It is a right one.
    prober.probe(PATIENT).await.unwrap();
    assert_eq!(prober.probe(HASTY).await, Err(Failure::new(R::Timeout, "no answer to the login after 200ms")));
    wait(Duration::from_secs(50)).await;
    sleep(Duration::from_millis(50)).await;
    assert_eq!(reason(prober.probe(HASTY).await), R::Timeout);
    assert_eq!(server.connections(), 2);
    wait(Duration::from_secs(10)).await;
    server.heard(2).await;
    assert_eq!(reason(prober.probe(HASTY).await), R::Timeout);
    assert_eq!(server.connections(), 3);
}

#[tokio::test]
async fn a_login_that_may_be_wrong_and_is_not_answered_says_nothing_of_the_server() {
    for check in [Check::Path, Check::Deep] {
        let server = answering(0..0).await;
        let (probers, target) = (probers(), deep(server.address(), ProbeKind::Mysql(spec(MysqlTls::Preferred))));
        let prober = probers.prober(&target, check);
        let held = "the server may delay logins that may be wrong: no answer to one that was never accepted after ";
        for _ in 0..3 {
            let late = prober.probe(HASTY).await.unwrap_err();
            assert!(late.reason == R::Local && late.detail.starts_with(held), "{late}");
        }
        // Nor does it to the other check, which waits for its turn.
        let waiting = probers.prober(&target, if check == Check::Path { Check::Deep } else { Check::Path });
        assert_eq!(reason(waiting.probe(HASTY).await), R::Local);
        drop(waiting);
        assert_eq!(server.connections(), 1);
        wait(Duration::from_secs(60)).await;
        server.heard(1).await;
        // It rests: each further one would be counted. The path check goes on by the greeting.
        let outcome = prober.probe(PATIENT).await;
        if check == Check::Path {
            outcome.unwrap();
            assert!(is_sparing(&prober));
            assert!(prober.remark().unwrap().contains(held), "{:?}", prober.remark());
        } else {
            assert_eq!(reason(outcome), R::Local);
            assert_eq!(server.connections(), 1);
        }
    }
}

#[tokio::test]
async fn a_password_whose_time_is_over_ends_the_logins_even_if_that_is_said_in_the_session() {
    let server = Server::start(move |mut peer| async move {
        peer.say(0, &native()).await;
        let Some((_, login)) = peer.hear().await else { return vec![] };
        peer.say(2, OK).await;
        if peer.hear().await.is_some() {
            peer.say(1, b"\xff\x1c\x07#HY000You must reset your password").await;
        }
        vec![login]
    })
    .await;
    let prober = mysql(server.address(), Check::Deep);
    let first = prober.probe(PATIENT).await.unwrap_err();
    assert!(first.to_string().starts_with("auth: 1820"), "{first}");
    let again = prober.probe(PATIENT).await.unwrap_err();
    assert!(again.to_string().starts_with("auth: not tried again until "), "{again}");
    assert!(!again.detail.contains("slow tr"), "{again}");
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_kept_connection_that_hangs_is_given_up_for_a_new_one() {
    let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let server = Server::start(move |mut peer| {
        let first = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
        async move {
            peer.say(0, &native()).await;
            if !first {
                return peer.serve(1, OK).await;
            }
            let login = peer.hear().await.unwrap().1;
            peer.say(2, OK).await;
            while peer.hear().await.is_some() {}
            vec![login]
        }
    })
    .await;
    let prober = mysql(server.address(), Check::Path);
    prober.probe(PATIENT).await.unwrap();
    assert_eq!(prober.probe(HASTY).await, Err(Failure::new(R::Timeout, "no answer to a ping after 200ms")));
    wait(Duration::from_secs(15)).await;
    let timings = prober.probe(PATIENT).await.unwrap();
    assert_eq!(server.connections(), 2);
    assert!(timings.total > Duration::ZERO);
}

#[tokio::test]
async fn a_statement_without_a_result_is_given_up_after_a_minute() {
    let server = Server::scripted(native(), &[OK]).await;
    let prober = mysql(server.address(), Check::Deep);
    let late = prober.probe(Duration::from_secs(2)).await.unwrap_err();
    assert_eq!(late, Failure::new(R::Timeout, "no result of the statement after 2s"));
    wait(Duration::from_secs(60)).await;
    let heard = server.heard(1).await;
    assert_eq!(heard[0].last().unwrap(), b"\x01", "a goodbye");
}

/// `[[endpoint]]` over two servers, with a password that they refuse.
pub(crate) fn two_zones(rig: &Rig, ips: [IpAddr; 2]) -> String {
    let [h, i] = ips;
    let password = rig.path("db.pw");
    format!(
        "[[endpoint]]\nname = \"db\"\naddresses = {{ cn-hangzhou-h = \"{h}\", cn-hangzhou-i = \"{i}\" }}\n\
         private_dns = [\"{NAME}\"]\n[endpoint.probe]\nkind = \"mysql\"\nuser = \"probe\"\npassword_file = \"{}\"\n\
         interval = \"300ms\"\nfast_interval = \"100ms\"\ntimeout = \"1s\"\nrise = 2\nfall = 3\nhold = \"500ms\"\n",
        password.display()
    )
}

#[tokio::test]
async fn failing_over_needs_no_password() {
    let servers = [refusing(&[REFUSED]).await, refusing(&[REFUSED]).await];
    let [h, i] = servers.each_ref().map(|server| server.address().ip());
    let mut rig = Rig::new("");
    std::fs::write(rig.path("db.pw"), PASSWORD).unwrap();
    std::fs::set_permissions(rig.path("db.pw"), std::fs::Permissions::from_mode(0o600)).unwrap();
    rig.configure(&two_zones(&rig, [h, i]));
    rig.start();
    rig.moves_to(NAME, &[h, i]).await;
    // Both are known to answer, and that the password is wrong is said.
    let report = rig
        .reports("the refused password", |report| {
            let said = |text: &str| report.problems.iter().any(|problem| problem.contains(text));
            said("is down: auth: ") && said("only its greeting is looked at")
        })
        .await;
    assert!(report.problems.iter().any(|problem| problem.contains("1045")), "{report:?}");
    let before = servers.each_ref().map(Server::connections);
    assert!(before.iter().sum::<usize>() <= 6, "{before:?}");
    servers[0].stop();
    // It is looked at once a minute.
    let mut waited = 0;
    while rig.points_at(NAME) != [i] {
        assert!(waited < 120, "the name never left the dead zone: {}", rig.log());
        waited += 1;
        sleep(Duration::from_secs(1)).await;
    }
    assert!(servers[1].connections() <= before[1] + 6, "{before:?}, then {}", servers[1].connections());
}

/// A server that refuses every login, or all but those of users that exist.
async fn changing(welcomes: Arc<AtomicBool>) -> Server {
    Server::start(move |mut peer| {
        let welcomes = welcomes.clone();
        async move {
            peer.say(0, &native()).await;
            let Some((number, login)) = peer.hear().await else { return vec![] };
            if contains(&login, DECLINE) || !welcomes.load(Ordering::SeqCst) {
                peer.say(number + 1, REFUSED).await;
                return vec![login];
            }
            peer.say(number + 1, OK).await;
            peer.answer(vec![login]).await
        }
    })
    .await
}

#[tokio::test]
async fn a_password_that_is_written_anew_is_tried_at_once_on_each_host_of_a_large_fleet() {
    let welcomes = Arc::new(AtomicBool::new(false));
    let servers = [changing(welcomes.clone()).await, changing(welcomes.clone()).await];
    let mut rig = Rig::new("");
    std::fs::write(rig.path("db.pw"), "an old one").unwrap();
    std::fs::set_permissions(rig.path("db.pw"), std::fs::Permissions::from_mode(0o600)).unwrap();
    // Without a login each host greets a server every fifty minutes.
    let header = rig.header().replace("[host]\n", "[host]\nfleet_size = 30000\n");
    let endpoint = two_zones(&rig, servers.each_ref().map(|server| server.address().ip()));
    rig.write_config(&(header + &endpoint + "depth = \"none\"\n"));
    rig.start();
    let greets =
        |problems: &[String]| problems.iter().any(|problem| problem.contains("only its greeting is looked at"));
    rig.reports("the refused password", |report| greets(&report.problems)).await;
    welcomes.store(true, Ordering::SeqCst);
    std::fs::write(rig.path("db.pw"), PASSWORD).unwrap();
    rig.reports("all is well", |report| report.problems.is_empty()).await;
}

#[tokio::test]
async fn a_healthy_server_is_pinged_as_ever() {
    let server = healthy().await;
    let prober = mysql(server.address(), Check::Path);
    prober.probe(PATIENT).await.unwrap();
    assert_eq!((prober.pace(), prober.remark()), (Pace::Scheduled, None));
}

/// A server whose first connection is logged in and pinged until it hangs; what later ones meet is another's to say.
async fn hanging<L, F>(hangs: Arc<AtomicBool>, later: L) -> Server
where
    L: Fn(Peer<TcpStream>) -> F + Copy + Send + Sync + 'static,
    F: Future<Output = Vec<Vec<u8>>> + Send + 'static,
{
    let first = Arc::new(AtomicBool::new(true));
    Server::start(move |mut peer| {
        let (hangs, is_first) = (hangs.clone(), first.swap(false, Ordering::Relaxed));
        async move {
            if !is_first {
                return later(peer).await;
            }
            peer.say(0, &native()).await;
            while let Some((number, _)) = peer.hear().await {
                if hangs.load(Ordering::Relaxed) {
                    std::future::pending::<()>().await;
                }
                peer.say(number + 1, OK).await;
            }
            Vec::new()
        }
    })
    .await
}

/// One probe after the other, 500 ms apart, each with 2 s, as within an edge.
async fn edge(prober: &AnyProber) -> [Result<Timings, Failure>; 3] {
    let probe = async |begins: u64| {
        sleep(Duration::from_millis(begins)).await;
        prober.probe(Duration::from_secs(2)).await
    };
    let (first, second, third) = tokio::join!(probe(0), probe(520), probe(1000));
    [first, second, third]
}

async fn greeted(mut peer: Peer<TcpStream>) -> Vec<Vec<u8>> {
    peer.say(0, &native()).await;
    let heard = peer.hear().await.map(|(_, packet)| packet);
    peer.say(2, REFUSED).await;
    heard.into_iter().collect()
}

#[tokio::test]
async fn a_late_ping_is_hedged_by_one_greeting_politely_left() {
    let hangs = Arc::new(AtomicBool::new(false));
    let server = hanging(hangs.clone(), greeted).await;
    let prober = mysql(server.address(), Check::Path);
    prober.probe(PATIENT).await.unwrap();
    prober.probe(PATIENT).await.unwrap();
    hangs.store(true, Ordering::Relaxed);
    let [pinged, hedged, later] = edge(&prober).await;
    assert_eq!(pinged.unwrap_err().to_string(), "timeout: no answer to a ping after 2s");
    let hedged = hedged.unwrap();
    assert!(hedged.answer.is_some() && hedged.login.is_none() && hedged.total < Duration::from_secs(1));
    assert_eq!(reason(later), R::Timeout, "one an edge");
    assert_eq!(server.connections(), 2);
    assert!(contains(&server.heard(1).await.concat().concat(), DECLINE));
    // The next edge has its own.
    wait(Duration::from_secs(3)).await;
    let [_, hedged, _] = edge(&prober).await;
    assert!(hedged.is_ok());
}

#[tokio::test]
async fn the_silence_of_a_hedge_counts_and_one_connection_is_all_there_is() {
    let hangs = Arc::new(AtomicBool::new(false));
    let silent = |peer: Peer<TcpStream>| async move {
        let _kept = peer;
        std::future::pending().await
    };
    let server = hanging(hangs.clone(), silent).await;
    let prober = mysql(server.address(), Check::Path);
    prober.probe(PATIENT).await.unwrap();
    hangs.store(true, Ordering::Relaxed);
    let began = Instant::now();
    let failed = edge(&prober).await.map(|outcome| outcome.unwrap_err().to_string());
    let ping = "timeout: no answer to a ping after 2s";
    assert_eq!(failed, [ping, "timeout: no greeting after 2s", ping]);
    assert!(began.elapsed() < Duration::from_secs(5), "three failures in the time of a check that may overlap");
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_greeting_that_comes_in_time_is_the_verdict_though_the_refusal_does_not() {
    let late = |mut peer: Peer<TcpStream>| async move {
        sleep(Duration::from_millis(1500)).await;
        peer.say(0, &native()).await;
        peer.hear().await;
        std::future::pending().await
    };
    let hangs = Arc::new(AtomicBool::new(false));
    let server = hanging(hangs.clone(), late).await;
    let prober = mysql(server.address(), Check::Path);
    prober.probe(PATIENT).await.unwrap();
    hangs.store(true, Ordering::Relaxed);
    let [_, hedged, _] = edge(&prober).await;
    assert!(hedged.unwrap().answer.unwrap() > Duration::from_secs(1));
    // So it is where the greeting is all that is looked at, since the login was refused.
    let first = Arc::new(AtomicBool::new(true));
    let server = Server::start(move |peer| {
        let is_first = first.swap(false, Ordering::Relaxed);
        async move { if is_first { greeted(peer).await } else { late(peer).await } }
    })
    .await;
    let prober = mysql(server.address(), Check::Path);
    prober.probe(PATIENT).await.unwrap();
    let looked_at = prober.probe(Duration::from_secs(2)).await.unwrap();
    assert!(looked_at.answer.unwrap() > Duration::from_secs(1));
}

#[tokio::test]
async fn a_server_without_room_for_connections_is_not_hedged_again() {
    let hangs = Arc::new(AtomicBool::new(false));
    let full = |mut peer: Peer<TcpStream>| async move {
        peer.say(0, b"\xff\x10\x04#08004Too many connections").await;
        Vec::new()
    };
    let server = hanging(hangs.clone(), full).await;
    let prober = mysql(server.address(), Check::Path);
    prober.probe(PATIENT).await.unwrap();
    hangs.store(true, Ordering::Relaxed);
    let [_, hedged, _] = edge(&prober).await;
    assert_eq!(reason(hedged), R::Overloaded);
    wait(Duration::from_secs(3)).await;
    let [_, hedged, _] = edge(&prober).await;
    assert_eq!((reason(hedged), server.connections()), (R::Timeout, 2));
}

#[tokio::test]
async fn a_deep_login_of_our_own_that_is_under_way_is_no_failure_of_the_path() {
    let connections = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let server = Server::start(move |mut peer| {
        let connections = connections.clone();
        async move {
            peer.say(0, &native()).await;
            if connections.fetch_add(1, Ordering::Relaxed) == 0 {
                return peer.serve(1, OK).await;
            }
            std::future::pending().await
        }
    })
    .await;
    let shared = probers();
    let target = deep(server.address(), ProbeKind::Mysql(spec(MysqlTls::Preferred)));
    let [path, deep] = [Check::Path, Check::Deep].map(|check| shared.prober(&target, check));
    deep.probe(PATIENT).await.unwrap();
    assert_eq!(deep.probe(HASTY).await.unwrap_err().to_string(), "timeout: no answer to the login after 200ms");
    let failed = path.probe(HASTY).await.unwrap_err().to_string();
    assert_eq!(failed, "local: an earlier handshake with this server not finished after 200ms");
}
