//! `hosts remove` and `reset`, as an admin uses them: with a running agent and without.
use std::borrow::Cow;

use nix::sys::signal::Signal;
use privatelinkd::observe::status::StatusReport;
use privatelinkd::publish::hosts::adopt;
use privatelinkd::publish::hosts::file::MAX_FILE;

use crate::agent_rig::{FOREIGN, NAME, Pair, Rig, until};

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

const TOLD: &str = "taken out by `hosts remove` since 20";

#[tokio::test]
async fn the_block_is_out_when_the_command_returns_and_everybody_says_why() {
    let pair = Pair::start().await;
    let mut rig = Rig::started(&pair.endpoint("db", NAME)).await;
    let said = rig.run(&["hosts", "remove"]).await;
    let path = rig.path("etc/hosts");
    let done = "the block is taken out, and stays out until `privatelinkd hosts apply`\n";
    assert_eq!((said.code, said.out, said.err), (0, format!("{}: {done}", path.display()), String::new()));
    assert_eq!(rig.hosts(), FOREIGN);

    let removed =
        |r: &StatusReport| !r.names.is_empty() && r.names.values().all(|n| n.verdicts["hosts"].label() == "removed");
    let report = rig.reports("the verdict", removed).await;
    assert!(!report.publishers["hosts"].in_sync);
    let problem = format!("{} is not in sync: {TOLD}", path.display());
    assert!(report.problems.iter().any(|p| p.starts_with(&problem)), "{:?}", report.problems);
    let (code, body) = rig.get("/readyz").await.unwrap();
    assert!(code == 503 && body.contains(&problem), "{code}: {body}");
    assert_eq!(rig.metric("privatelink_hosts_in_sync").await, Some(0.0));
    assert_eq!(rig.metric("privatelink_hosts_conflicts_total").await, Some(0.0));
    assert_eq!(rig.run(&["status"]).await.code, 1);
    for (arguments, code) in [(&["hosts", "show"], 1), (&["hosts", "diff"], 0)] {
        let said = rig.run(arguments).await;
        assert!(said.code == code && said.out.is_empty() && said.err.contains(TOLD), "{arguments:?}: {said:?}");
    }
    let shown = json(&rig.run(&["hosts", "show", "--json"]).await.out);
    assert!(shown["text"].is_null() && shown["removed_since"].as_str().unwrap().starts_with("20"), "{shown}");
    let plan = rig.run(&["plan"]).await;
    assert!(plan.out.contains(TOLD) && plan.out.contains("nothing would change"), "{plan:?}");

    // Again is no fault, and a restart changes nothing.
    let again = rig.run(&["hosts", "remove", "--json"]).await;
    assert_eq!((again.code, &json(&again.out)["changed"]), (0, &false.into()), "{again:?}");
    rig.crash().await;
    rig.start();
    rig.reports("still out", removed).await;
    assert_eq!(rig.hosts(), FOREIGN);

    let apply = rig.run(&["hosts", "apply"]).await;
    assert!(apply.code == 0 && apply.out.contains(&format!("  {NAME}: published\n")), "{apply:?}");
    assert_eq!(rig.points_at(NAME), pair.ips());
    rig.settled().await;
    assert_eq!(rig.get("/readyz").await.unwrap().0, 200);
    assert!(!rig.log().contains("somebody keeps removing"), "root is no conflict");
}

#[tokio::test]
async fn without_an_agent_the_command_does_it_itself() {
    let pair = Pair::start().await;
    let mut rig = Rig::started(&pair.endpoint("db", NAME)).await;
    rig.end(Signal::SIGTERM).await;
    assert_eq!(rig.points_at(NAME), pair.ips());
    // A config that can't be used holds nobody who wants to let go, where a writer has left its last good policy.
    let mut writer = rig.command(&["hosts", "run"]).stderr(std::process::Stdio::null()).spawn().unwrap();
    until("it is kept", async || rig.path("state-hosts/policy.json").exists()).await;
    writer.kill().unwrap();
    writer.wait().unwrap();
    let config = std::fs::read_to_string(rig.path("config.toml")).unwrap();
    rig.write_config(&format!("{config}[nonsense]\nx = \n"));
    let said = rig.run(&["hosts", "remove"]).await;
    assert!(said.code == 0 && said.out.contains("the block is taken out"), "{said:?}");
    assert!(said.err.contains("going by the last good policy"), "{said:?}");
    assert_eq!(rig.hosts(), FOREIGN);
    let beside = std::fs::read_dir(rig.path("etc")).unwrap().count();
    assert_eq!(beside, 1, "nothing is left beside it");
    rig.write_config(&config);

    // From the last known good, without any agent; apply ends the order even if there is nothing to publish.
    let apply = rig.run(&["hosts", "apply"]).await;
    assert_eq!((apply.code, rig.points_at(NAME)), (0, pair.ips().to_vec()), "{apply:?}");

    // Half a block of which nobody knows what is ours: said, and the order stands.
    let broken = b"a\n# END privatelinkd\nb\n# BEGIN privatelinkd\n# BEGIN privatelinkd\n";
    rig.write_hosts(broken);
    let said = rig.run(&["hosts", "remove"]).await;
    assert!(said.code == 1 && said.err.contains("markers") && said.err.contains("the order stands"), "{said:?}");
    assert_eq!(rig.hosts(), broken);
    assert!(rig.path("admin/hosts.removed").exists());
}

#[tokio::test]
async fn where_there_was_no_hosts_file_there_is_none_again() {
    let pair = Pair::start().await;
    let mut rig = Rig::new(&pair.endpoint("db", NAME));
    std::fs::remove_file(rig.path("etc/hosts")).unwrap();
    rig.start();
    rig.settled().await;
    for is_running in [true, false] {
        assert_eq!(rig.points_at(NAME), pair.ips());
        assert!(rig.path("state-hosts/hosts.made").exists());
        if !is_running {
            rig.end(Signal::SIGTERM).await;
        }
        let said = rig.run(&["hosts", "remove"]).await;
        assert!(said.code == 0 && said.out.contains("the block is taken out"), "{said:?}");
        until("it is gone", async || !rig.path("etc/hosts").exists()).await;
        until("it is settled", async || std::fs::read_dir(rig.path("etc")).unwrap().count() == 0).await;
        assert!(!rig.path("state-hosts/hosts.made").exists());
        assert_eq!(rig.run(&["hosts", "apply"]).await.code, 0);
    }
    // What somebody wrote into it meanwhile is his, and so is the file, also without that line.
    let ours = String::from_utf8(rig.hosts()).unwrap();
    rig.write_hosts(format!("{ours}10.9.9.9 theirs\n").as_bytes());
    assert_eq!(rig.run(&["hosts", "remove"]).await.code, 0);
    assert_eq!(rig.hosts(), b"10.9.9.9 theirs\n");
    assert!(!rig.path("state-hosts/hosts.made").exists());
    rig.write_hosts(b"");
    assert_eq!(rig.run(&["hosts", "remove"]).await.code, 0);
    assert_eq!(rig.hosts(), b"");
}

/// A process that holds the writer's lock and never follows: the wait is bounded, and says what stands.
#[tokio::test]
async fn a_writer_that_does_not_follow_is_named() {
    let pair = Pair::start().await;
    let mut rig = Rig::started(&pair.endpoint("db", NAME)).await;
    rig.signal(Signal::SIGSTOP);
    let said = rig.run(&["hosts", "remove"]).await;
    rig.signal(Signal::SIGCONT);
    assert_eq!(said.code, 69, "{said:?}");
    assert!(said.err.contains("the running hosts writer (pid ") && said.err.contains("the order stands"), "{said:?}");
    until("it follows once it can", async || rig.hosts() == FOREIGN).await;
    rig.end(Signal::SIGTERM).await;
}

#[tokio::test]
async fn who_may_not_order_is_told() {
    if privatelinkd::sys::identity::effective_uid() != 0 {
        println!("skipped: changing the user takes root");
        return;
    }
    let rig = Rig::new("");
    let mut command = rig.command(&["hosts", "remove"]);
    std::os::unix::process::CommandExt::uid(&mut command, 65_534);
    let path = rig.path("");
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let said = Rig::said(command).await;
    assert_eq!(said.code, 77, "{said:?}");
    assert!(!rig.path("admin").exists());
}

#[tokio::test]
async fn a_reset_leaves_nothing_and_what_starts_after_it_is_a_new_machine() {
    let pair = Pair::start().await;
    let mut rig = Rig::started(&pair.endpoint("db", NAME)).await;
    let refused = rig.run(&["reset"]).await;
    assert_eq!(refused.code, 69, "{refused:?}");
    assert!(refused.err.contains("nothing is reset: stop the services first"), "{refused:?}");
    assert_eq!(rig.points_at(NAME), pair.ips());
    assert_eq!(rig.run(&["hosts", "remove"]).await.code, 0);
    assert_eq!(rig.run(&["hosts", "apply"]).await.code, 0);
    assert_eq!(rig.run(&["hosts", "remove"]).await.code, 0);
    rig.end(Signal::SIGTERM).await;
    std::fs::write(rig.path("state-hosts/hosts.conflict.7"), "late").unwrap();
    std::fs::write(rig.path("state/theirs"), "not ours").unwrap();

    let said = rig.run(&["reset", "--json"]).await;
    assert_eq!(said.code, 0, "{said:?}");
    let done = json(&said.out);
    let theirs = rig.path("state/theirs").display().to_string();
    assert_eq!(done["stays"], serde_json::json!([theirs]));
    std::fs::remove_file(theirs).unwrap();
    for folder in ["run", "state", "run-hosts", "state-hosts", "admin"] {
        let left = std::fs::read_dir(rig.path(folder)).unwrap().map(|e| e.unwrap().file_name()).collect::<Vec<_>>();
        assert!(left.is_empty(), "{folder}: {left:?}");
    }
    assert_eq!(rig.hosts(), FOREIGN);
    assert_eq!(std::fs::read_dir(rig.path("etc")).unwrap().count(), 1);
    let again = rig.run(&["reset"]).await;
    assert_eq!(again.code, 0, "{again:?}");

    let before = rig.log().len();
    rig.start();
    rig.settled().await;
    assert_eq!(rig.points_at(NAME), pair.ips());
    assert_eq!(std::fs::read(rig.path("state-hosts/hosts.orig")).unwrap(), FOREIGN);
    assert!(!rig.log()[before..].contains("cache"), "nothing of before is found: {}", &rig.log()[before..]);
}

/// Two lines that were taken over, of which somebody changed the second since; it is the fifth of the file.
fn taken_over() -> Vec<u8> {
    let by_hand = [FOREIGN, b"\n10.9.9.9 db.example.internal\n10.9.9.8 db.example.internal\n"].concat();
    let adopted = adopt::adopt(&by_hand, [&NAME.parse().unwrap()]).file.into_owned();
    let at = adopted.windows(8).position(|bytes| bytes == b"10.9.9.8").unwrap();
    [&adopted[..at], b"10.9.9.7", &adopted[at + 8..]].concat()
}

const CHANGED: &str = "line 5: somebody changed it since names of ours were taken out of it, and it stays as it is";

#[tokio::test]
async fn lines_that_are_given_back_count_and_those_that_can_not_be_are_told() {
    let rig = Rig::new("");
    rig.write_hosts(&taken_over());
    let said = rig.run(&["hosts", "remove"]).await;
    let path = rig.path("etc/hosts").display().to_string();
    let done = format!(
        "{path}: there was no block, and stays out until `privatelinkd hosts apply`\n{path}: 1 line as before\n"
    );
    assert_eq!((said.code, said.out), (0, done));
    assert_eq!(said.err, format!("privatelinkd: {path}: {CHANGED}\n"));
    assert!(String::from_utf8_lossy(&rig.hosts()).contains("\n10.9.9.9 db.example.internal\n"));
    for (hosts, given_back) in [(Cow::from(rig.hosts()), 0), (taken_over().into(), 1)] {
        rig.write_hosts(&hosts);
        let said = rig.run(&["hosts", "remove", "--json"]).await;
        let told = json(&said.out);
        assert_eq!((&told["changed"], &told["given_back"]), (&(given_back > 0).into(), &given_back.into()), "{told}");
        assert_eq!(told["changed_since"], serde_json::json!([5]));
        assert!(said.err.ends_with(&format!("{CHANGED}\n")), "{said:?}");
    }

    rig.write_hosts(&taken_over());
    let told = json(&rig.run(&["reset", "--json"]).await.out);
    assert_eq!((&told["hosts"], &told["given_back"][&path]), (&serde_json::json!([]), &1.into()), "{told}");
    assert_eq!(told["notices"], serde_json::json!([format!("{path}: {CHANGED}")]));
}

/// What an update displaced that somebody goes on writing into, what nobody can fold in, and what is no journal.
#[tokio::test]
async fn a_reset_leaves_no_displaced_file_and_says_what_stays() {
    use std::io::Write as _;

    let rig = Rig::new("");
    let mut open = std::fs::File::create(rig.path("etc/.hosts.privatelinkd.7")).unwrap();
    open.write_all(&[FOREIGN, b"\n10.1.1.1 late\n"].concat()).unwrap();
    std::fs::File::create(rig.path("etc/.hosts.privatelinkd.8")).unwrap().set_len(4 * MAX_FILE).unwrap();
    std::fs::create_dir(rig.path("state-hosts")).unwrap();
    std::fs::write(rig.path("state-hosts/hosts.journal"), "none").unwrap();
    std::fs::write(rig.path("state-hosts/hosts.journal.unusable"), "an earlier one").unwrap();
    let said = rig.run(&["reset", "--json"]).await;
    assert_eq!(said.code, 0, "{said:?}");
    let told = json(&said.out);
    let kept = rig.path("etc/.hosts.privatelinkd.8.kept");
    assert_eq!(told["stays"], serde_json::json!([kept]));
    let notices: Vec<_> = told["notices"].as_array().unwrap().iter().filter_map(|what| what.as_str()).collect();
    let given_up = format!("it is kept as {}", kept.display());
    assert_eq!(notices.iter().filter(|what| what.ends_with(&given_up)).count(), 1, "{told}");
    assert!(notices.iter().any(|what| what.contains("what he writes from now on is lost")), "{told}");
    for unusable in ["hosts.journal.unusable", "hosts.journal.unusable-1"] {
        let unusable = rig.path("state-hosts").join(unusable).display().to_string();
        assert!(told["deleted"].as_array().unwrap().contains(&unusable.into()), "{told}");
    }
    assert!(String::from_utf8_lossy(&rig.hosts()).contains("\n10.1.1.1 late\n"));
    let mut left: Vec<_> =
        std::fs::read_dir(rig.path("etc")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    left.sort();
    assert_eq!(left, [".hosts.privatelinkd.8.kept", "hosts"]);
    assert_eq!(std::fs::read_dir(rig.path("state-hosts")).unwrap().count(), 0);

    let again = rig.run(&["reset"]).await;
    let stays = format!("{} stays: it is an edit that could not be folded into the hosts file\n", kept.display());
    assert!(again.code == 0 && again.err.ends_with(&stays), "{again:?}");
    // What can't be finished is not forgotten.
    std::fs::create_dir(rig.path("state-hosts/hosts.journal")).unwrap();
    std::fs::write(rig.path("state-hosts/block.json"), "kept").unwrap();
    let refused = rig.run(&["reset"]).await;
    assert!(refused.code != 0 && refused.err.contains("nothing is forgotten"), "{refused:?}");
    let kept = ["block.json", "block.json.unusable"].map(|name| rig.path("state-hosts").join(name).exists());
    assert!(kept.contains(&true), "{refused:?}");
}
