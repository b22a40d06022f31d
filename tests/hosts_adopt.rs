//! Names of ours in lines of others: told, taken over, and given back byte for byte, by the writer and by hand.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use nix::sys::signal::Signal;
use privatelink_sim::TcpMode;
use privatelinkd::model::{AnswerReason, HostName, Verdict};
use privatelinkd::observe::status::State;
use privatelinkd::publish::hosts::unadopt::{self, Unadopted};
use privatelinkd::publish::hosts::{HostsPolicy, block, removed, shadow};
use privatelinkd::sys::clock::Clock;
use privatelinkd::sys::in_force::Projection;
use tokio::sync::watch;

use crate::agent_rig::{self, NAME, Pair, Rig};
use crate::hosts_rig::{FOREIGN, Host, plan, until};

fn name(name: &str) -> HostName {
    name.parse().unwrap()
}

fn append(path: &Path, bytes: &[u8]) {
    std::fs::File::options().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

/// No line of others names it, and our block does.
fn is_ours(host: &Host) -> bool {
    let file = std::fs::read(host.hosts()).unwrap();
    shadow::shadowed(&file, [&name("a.x")]).is_empty() && host.text().contains("\n10.0.0.1 a.x\n")
}

fn is_told(host: &Host, what: &str) -> bool {
    host.receipt().is_some_and(|receipt| receipt.notices.iter().any(|notice| notice.what.contains(what)))
}

#[tokio::test]
async fn the_writer_takes_over_what_is_there_and_what_comes_later() {
    let host = Host::new();
    let by_hand = [FOREIGN, b"\n10.9.9.9 a.x\n10.9.9.9  other A.X. \t# by hand\r\n10.9.9.9 b.x"].concat();
    std::fs::write(host.hosts(), &by_hand).unwrap();
    let adopting = HostsPolicy { adopt: true, ..host.policy() };
    let (settings, policies) = watch::channel(Arc::new(adopting.clone()));
    let writer = host.start_with(Projection::new(policies, Arc::clone));
    host.hand_over(&plan(&[("a.x", &["10.0.0.1"])]));
    until("taken over", || is_ours(&host)).await;
    until("told", || is_told(&host, "taken out of lines 4, 5,")).await;
    assert!(host.text().contains("\n10.9.9.9 b.x\n"), "a name without an answer keeps its only line");
    assert_eq!(host.receipt().unwrap().names[&name("a.x")], Verdict::Published);

    append(&host.hosts(), b"10.8.8.8 a.x\n");
    until("taken over, too", || is_ours(&host) && host.text().contains("10.8.8.8 a.x")).await;
    // It is off now, and says what gives the lines back.
    settings.send_replace(Arc::new(HostsPolicy { adopt: false, ..adopting }));
    until("told", || is_told(&host, "`privatelinkd hosts unadopt` gives them back")).await;
    until("told that it is off", || is_told(&host, "hosts.adopt is off now")).await;
    assert!(is_ours(&host));
    append(&host.hosts(), b"10.7.7.7 a.x\n");
    until("shadowed", || host.receipt().unwrap().names[&name("a.x")] == Verdict::Shadowed).await;
    writer.stop().await;

    let done = unadopt::once(&Arc::new(host.policy()), Clock::System).unwrap();
    assert_eq!(done, Unadopted { lines: 3, changed: Vec::new() });
    let file = std::fs::read(host.hosts()).unwrap();
    assert_eq!(*block::strip(&file, None).unwrap(), [&by_hand[..], b"\n10.8.8.8 a.x\n10.7.7.7 a.x\n"].concat());
    let left = std::fs::read_dir(host.dir.path().join("etc")).unwrap().count();
    assert_eq!(left, 1, "nothing stays beside the hosts file");
}

/// `hosts remove` leaves what would be there without us.
#[tokio::test]
async fn what_was_taken_over_comes_back_while_root_keeps_the_block_out() {
    let host = Host::new();
    let by_hand = [FOREIGN, b"\n10.9.9.9 a.x\n10.9.9.9  other a.x"].concat();
    std::fs::write(host.hosts(), &by_hand).unwrap();
    let adopting = HostsPolicy { adopt: true, ..host.policy() };
    let admin = adopting.admin_dir.clone();
    let writer = host.start_with(Projection::new(watch::channel(Arc::new(adopting)).1, Arc::clone));
    host.hand_over(&plan(&[("a.x", &["10.0.0.1"])]));
    until("taken over", || is_ours(&host)).await;
    removed::order(&admin).unwrap();
    until("as it was", || std::fs::read(host.hosts()).unwrap() == by_hand).await;
    removed::take_back(&admin).unwrap();
    until("taken over again", || is_ours(&host)).await;
    writer.stop().await;
}

/// Another agent keeps its own line there.
#[tokio::test]
async fn who_puts_a_line_back_each_time_is_a_conflict_and_the_file_does_not_grow() {
    let host = Host::new();
    let adopting = HostsPolicy { adopt: true, ..host.policy() };
    let writer = host.start_with(Projection::new(watch::channel(Arc::new(adopting)).1, Arc::clone));
    host.hand_over(&plan(&[("a.x", &["10.0.0.1"])]));
    until("published", || is_ours(&host)).await;
    let mut sizes = BTreeSet::new();
    for _ in 0..4 {
        assert!(!host.receipt().is_some_and(|receipt| receipt.in_conflict));
        append(&host.hosts(), b"10.9.9.9 a.x\n");
        until("taken over", || is_ours(&host) && host.text().contains("10.9.9.9")).await;
        sizes.insert(host.text().len());
    }
    until("a conflict", || host.receipt().is_some_and(|r| r.in_conflict && r.conflicts == 1)).await;
    assert_eq!(sizes.len(), 1, "{}", host.text());
    writer.stop().await;
}

/// Every address that a resolver that merges all lines of a name, as the C library's does, gives for it.
fn resolved(file: &[u8], name: &str) -> Vec<IpAddr> {
    let lines = file.split(|b| *b == b'\n').map(|line| line.split(|b| *b == b'#').next().unwrap());
    let lines = lines.map(|line| String::from_utf8_lossy(line).into_owned());
    let mut found = Vec::new();
    for line in lines {
        let mut words = line.split_whitespace();
        let address = words.next().and_then(|word| word.parse::<IpAddr>().ok());
        found.extend(address.filter(|_| words.any(|word| word.eq_ignore_ascii_case(name))));
    }
    found.dedup();
    found
}

/// What the C library itself gives, in a mount namespace where this is /etc/hosts; `None` if there is none to be had.
fn by_getent(file: &Path, name: &str) -> Option<Vec<IpAddr>> {
    let script = "mount --make-rprivate / && mount --bind \"$1\" /etc/hosts && getent -s files hosts \"$2\"";
    let output = Command::new("unshare").args(["-m", "sh", "-c", script, "sh"]).arg(file).arg(name).output().ok()?;
    if !output.status.success() {
        println!("skipped: getent: {}", String::from_utf8_lossy(&output.stderr));
        return None;
    }
    let text = String::from_utf8(output.stdout).unwrap();
    Some(text.lines().map(|line| line.split_whitespace().next().unwrap().parse().unwrap()).collect())
}

fn resolves_to(rig: &Rig, name: &str, addresses: &[IpAddr]) {
    assert_eq!(resolved(&rig.hosts(), name), addresses, "{}", String::from_utf8_lossy(&rig.hosts()));
    if let Some(mut found) = by_getent(&rig.path("etc/hosts"), name) {
        found.dedup();
        assert_eq!(found, addresses, "as getent sees it");
    }
}

/// The vendors' guides have everybody write `{IP} {private DNS}` by hand: that line keeps the dead address alive.
#[tokio::test]
async fn from_the_line_of_the_vendors_guide_to_the_live_address_and_back() {
    let pair = Pair::start().await;
    let [first, second] = pair.ips();
    let mut rig = Rig::new(&pair.endpoint("db", NAME));
    let by_hand = [
        agent_rig::FOREIGN,
        format!("\n{first} {NAME}\n# BEGIN ANSIBLE MANAGED BLOCK\n{first}  other.example {NAME} # \u{e9}\r\n")
            .as_bytes(),
        format!("# END ANSIBLE MANAGED BLOCK\n{second} another.example").as_bytes(),
    ]
    .concat();
    rig.write_hosts(&by_hand);
    rig.start();
    rig.answers_as(AnswerReason::Healthy).await;

    // It is told, with the line and what to do.
    rig.reports("shadowed", |report| report.problems.iter().any(|problem| problem.contains("is shadowed"))).await;
    let (status, (code, ready)) = (rig.run(&["status"]).await, rig.get("/readyz").await.unwrap());
    assert_eq!((status.code, code), (1, 503), "{status:?} {ready}");
    for says in [&status.out, &ready] {
        assert!(says.contains(&format!("{NAME} is shadowed: another line for it (line 4) ")), "{says}");
        assert!(says.contains("`privatelinkd hosts adopt` takes the name out"), "{says}");
        assert!(says.contains("line 6 stands in a block of Ansible (blockinfile), from line 5 on"), "{says}");
    }
    pair.set(0, TcpMode::Refused).await;
    rig.moves_to(NAME, &[second]).await;
    assert_eq!(resolved(&rig.hosts(), NAME)[0], first, "the dead one is found first");

    let before = rig.hosts();
    let dry = rig.run(&["hosts", "adopt", "--dry-run"]).await;
    assert!(dry.code == 1 && dry.out.contains(&format!("\n-{first} {NAME}\n")), "{dry:?}");
    assert!(dry.out.contains("\n+# privatelinkd took this line over (") && rig.hosts() == before, "{dry:?}");
    let json: serde_json::Value =
        serde_json::from_str(&rig.run(&["hosts", "adopt", "--dry-run", "--json"]).await.out).unwrap();
    assert_eq!(json["text"].as_str().unwrap().replace('\r', "\\r"), dry.out);
    let adopt = rig.run(&["hosts", "adopt"]).await;
    assert!(adopt.code == 0 && adopt.out.contains(&format!("  {NAME}: published\n")), "{adopt:?}");
    assert!(adopt.err.contains("taken out of lines 4, 6,") && adopt.err.contains("Ansible"), "{adopt:?}");
    let again = rig.run(&["hosts", "adopt", "--dry-run"]).await;
    assert_eq!((again.code, again.out.as_str()), (0, ""), "{again:?}");
    resolves_to(&rig, NAME, &[second]);
    resolves_to(&rig, "other.example", &[first]);
    pair.set(0, TcpMode::Up).await;
    rig.reports("all is well", |report| report.state == State::Ok).await;
    assert_eq!(rig.get("/readyz").await.unwrap().0, 200);

    // And back, also without an agent.
    rig.end(Signal::SIGTERM).await;
    std::fs::remove_dir_all(rig.path("state-hosts")).unwrap();
    let (adopted, dry) = (rig.hosts(), rig.run(&["hosts", "unadopt", "--dry-run"]).await);
    assert!(dry.code == 1 && dry.out.contains(&format!("\n+{first} {NAME}\n")) && rig.hosts() == adopted, "{dry:?}");
    let unadopt = rig.run(&["hosts", "unadopt"]).await;
    assert!(unadopt.code == 0 && unadopt.out.ends_with("hosts: 2 lines as before\n"), "{unadopt:?}");
    assert_eq!(*block::strip(&rig.hosts(), None).unwrap(), by_hand);
    let nothing: serde_json::Value = serde_json::from_str(&rig.run(&["hosts", "unadopt", "--json"]).await.out).unwrap();
    assert_eq!((&nothing["given_back"], &nothing["changed_since"]), (&0.into(), &serde_json::json!([])));
}

#[tokio::test]
async fn what_can_not_be_taken_over_or_given_back_says_why() {
    let pair = Pair::start().await;
    let mut rig = Rig::new(&pair.endpoint("db", NAME));
    let nothing = rig.run(&["hosts", "adopt"]).await;
    assert!(nothing.code == 69 && nothing.err.contains("nothing to publish yet"), "{nothing:?}");
    rig.write_hosts(format!("10.9.9.9 {NAME}\n").as_bytes());
    let (header, endpoint) = (rig.header(), pair.endpoint("db", NAME));
    let with = |what: &str| header.replace("[hosts]\n", &format!("[hosts]\n{what}\n")) + &endpoint;
    rig.write_config(&with("adopt = true"));
    rig.start();
    let taken = async || rig.hosts().starts_with(b"# privatelinkd took this line over (");
    agent_rig::until("taken over", taken).await;
    rig.reports("all is well", |report| report.state == State::Ok).await;
    let refused = rig.run(&["hosts", "unadopt"]).await;
    assert!(refused.code == 1 && refused.err.contains("hosts.adopt is true"), "{refused:?}");

    rig.write_config(&with("adopt = false"));
    rig.reload().await;
    rig.logs("hosts.adopt is off now").await;
    let edited = String::from_utf8(rig.hosts()).unwrap().replace("10.9.9.9", "10.9.9.8");
    rig.write_hosts(edited.as_bytes());
    let left = rig.run(&["hosts", "unadopt"]).await;
    assert!(left.code == 1 && left.err.contains("line 1: somebody changed it since"), "{left:?}");
    assert_eq!(rig.hosts(), edited.as_bytes());
    rig.write_config(&with("publish = false"));
    let idle = rig.run(&["hosts", "adopt"]).await;
    assert!(idle.code == 1 && idle.err.contains("hosts.publish is false"), "{idle:?}");
    assert_eq!(rig.hosts(), edited.as_bytes());
}
