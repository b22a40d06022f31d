//! The agent from outside: names follow the services' health, whatever ends it ends it cleanly, and it starts right.

use nix::sys::signal::Signal;
use privatelink_sim::TcpMode;
use privatelinkd::model::{AnswerReason, Verdict};
use privatelinkd::observe::status::{State, StatusReport};

use crate::agent_rig::{FOREIGN, NAME, Pair, Rig, endpoint, until};

#[tokio::test]
async fn a_block_is_written_and_everybody_says_so() {
    let pair = Pair::start().await;
    let rig = Rig::started(&pair.endpoint("db", NAME)).await;
    rig.moves_to(NAME, &pair.ips()).await;
    rig.answers_as(AnswerReason::Healthy).await;
    let status = rig.run(&["status"]).await;
    assert_eq!((status.code, status.err.as_str()), (0, ""), "{status:?}");
    assert!(status.out.starts_with("all is well: 1 name, 1 endpoint\n"), "{}", status.out);
    let json = rig.run(&["status", "--json"]).await;
    assert_eq!(json.code, 0);
    assert_eq!(serde_json::from_str::<StatusReport>(&json.out).unwrap().state, State::Ok);
    assert_eq!(rig.get("/readyz").await.unwrap(), (200, "ok\n".to_owned()));
    assert_eq!(rig.get("/healthz").await.unwrap(), (200, "ok\n".to_owned()));
    assert_eq!(rig.metric("privatelink_hosts_in_sync").await, Some(1.0));
}

#[tokio::test]
async fn a_name_leaves_a_dead_zone_and_returns_when_it_is_earned() {
    let pair = Pair::start().await;
    let [a, b] = pair.ips();
    let rig = Rig::started(&pair.endpoint("db", NAME)).await;
    for mode in [TcpMode::Refused, TcpMode::Silent] {
        rig.moves_to(NAME, &[a, b]).await;
        pair.set(0, mode).await;
        rig.moves_to(NAME, &[b]).await;
        rig.answers_as(AnswerReason::FailedOver).await;
        let status = rig.run(&["status"]).await;
        assert_eq!(status.code, 1);
        let why = format!("  - db: {a} in cn-hangzhou-h is down: ");
        assert!(status.out.contains(&why) && status.out.contains("failed_over"), "{}", status.out);
        pair.set(0, TcpMode::Up).await;
        // Up by `rise`, and then on hold for a while: the name must not be there before.
        rig.reports("on hold", |r| {
            r.endpoints.values().flat_map(|e| e.zones.values().flatten()).any(|(_, x)| x.hold_ms.is_some())
        })
        .await;
        rig.moves_to(NAME, &[a, b]).await;
        rig.answers_as(AnswerReason::Healthy).await;
    }
}

#[tokio::test]
async fn when_all_die_the_name_stays() {
    let pair = Pair::start().await;
    let mut rig = Rig::started(&pair.endpoint("db", NAME)).await;
    let before = rig.hosts();
    pair.set(0, TcpMode::Refused).await;
    pair.set(1, TcpMode::Refused).await;
    rig.answers_as(AnswerReason::AllDownKept).await;
    // Either both, or the one that died last and was seen up after the other was decided upon: never nothing.
    assert!(!rig.points_at(NAME).is_empty());
    if rig.points_at(NAME) == pair.ips() {
        assert_eq!(rig.hosts(), before, "a change of reason alone rewrites nothing");
    }
    assert_eq!(rig.run(&["status"]).await.code, 1);
    // The next agent finds it so, and says it once more.
    let kept = rig.path("state/plan.json");
    until("the plan is kept", async || std::fs::read_to_string(&kept).is_ok_and(|p| p.contains("all_down_kept"))).await;
    rig.crash().await;
    std::fs::remove_file(rig.path("log")).unwrap();
    rig.start();
    rig.logs("ERROR").await;
    let first = format!("{NAME}: no zone answers, the name stays on ");
    rig.reports("status begins with it", |r| r.problems.first().is_some_and(|p| p.starts_with(&first))).await;
    let log = rig.log();
    let errors: Vec<_> = log.lines().filter(|line| line.contains("ERROR")).collect();
    let [error] = errors.as_slice() else { panic!("{log}") };
    assert!(error.contains(NAME) && pair.ips().iter().all(|ip| error.contains(&format!("{ip} in "))), "{error}");
}

#[tokio::test]
async fn each_way_to_stop_leaves_the_block() {
    let pair = Pair::start().await;
    let mut rig = Rig::started(&pair.endpoint("db", NAME)).await;
    let hosts = rig.hosts();
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let begun = tokio::time::Instant::now();
        let status = rig.end(signal).await;
        println!("{signal}: ended after {:?}", begun.elapsed());
        assert_eq!(status.code(), Some(0), "{signal}");
        assert!(rig.log().ends_with("stopping; what is published stays event=stopping\n"), "its last words");
        assert_eq!(rig.hosts(), hosts);
        std::fs::remove_file(rig.path("log")).unwrap();
        rig.start();
        rig.settled().await;
    }
    rig.crash().await;
    assert_eq!(rig.hosts(), hosts);
    assert!(rig.path("run/status.sock").exists(), "nobody could clear up");
    // What half-done writes leave behind goes with the next start.
    std::fs::write(rig.path("etc/.hosts.privatelinkd.tmp"), "half").unwrap();
    std::fs::remove_file(rig.path("log")).unwrap();
    rig.start();
    rig.settled().await;
    assert_eq!(rig.hosts(), hosts);
    assert_eq!(rig.run(&["status"]).await.code, 0);
    assert!(!rig.log().contains("ERROR"), "{}", rig.log());
}

#[tokio::test]
async fn the_cached_plan_is_asserted_although_nothing_answers() {
    let pair = Pair::start().await;
    let [a, b] = pair.ips();
    pair.set(0, TcpMode::Refused).await;
    let mut rig = Rig::started(&pair.endpoint("db", NAME)).await;
    rig.moves_to(NAME, &[b]).await;
    rig.answers_as(AnswerReason::FailedOver).await;
    // No decision waits for the disk.
    let kept = rig.path("state/plan.json");
    until("the plan is kept", async || std::fs::read_to_string(&kept).is_ok_and(|p| p.contains("failed_over"))).await;
    rig.crash().await;
    // A boot: /run is empty, the block is gone, and nobody answers.
    pair.set(1, TcpMode::Silent).await;
    pair.set(0, TcpMode::Silent).await;
    rig.write_hosts(FOREIGN);
    for dir in ["run", "run-hosts", "state-hosts"] {
        std::fs::remove_dir_all(rig.path(dir)).unwrap();
    }
    let begun = tokio::time::Instant::now();
    rig.start();
    until("the block is there", async || !rig.points_at(NAME).is_empty()).await;
    println!("from the start of the process to the block: {:?}", begun.elapsed());
    assert_eq!(rig.points_at(NAME), [b], "the cached subset, not what the config gives");
    rig.answers_as(AnswerReason::AllDownKept).await;
    assert_eq!(rig.points_at(NAME), [b]);
    pair.set(0, TcpMode::Up).await;
    rig.moves_to(NAME, &[a]).await;
}

#[tokio::test]
async fn the_state_of_another_machine_is_not_asserted() {
    let pair = Pair::start().await;
    pair.set(0, TcpMode::Refused).await;
    let other = endpoint("other", "other.example.internal", &pair.ips());
    for part in ["instance_id", "machine_id"] {
        let mut rig = Rig::started(&(pair.endpoint("db", NAME) + &other)).await;
        rig.moves_to(NAME, &pair.ips()[1..]).await;
        rig.moves_to("other.example.internal", &pair.ips()[1..]).await;
        rig.answers_as(AnswerReason::FailedOver).await;
        assert_eq!(rig.end(Signal::SIGTERM).await.code(), Some(0));
        let mut known = true;
        for file in ["state/plan.json", "state/inventory.json"] {
            let mut state: serde_json::Value = serde_json::from_slice(&std::fs::read(rig.path(file)).unwrap()).unwrap();
            known = state["identity"][part].is_string();
            state["identity"][part] = "elsewhere".into();
            std::fs::write(rig.path(file), state.to_string()).unwrap();
        }
        if !known {
            // A machine without a machine id differs from none by it.
            continue;
        }
        pair.set(1, TcpMode::Silent).await;
        rig.configure(&pair.endpoint("db", NAME));
        rig.start();
        rig.logs("state on disk is another machine's").await;
        rig.moves_to("other.example.internal", &[]).await;
        rig.moves_to(NAME, &pair.ips()).await;
        let report = rig.report().await.unwrap();
        assert!(report.events.iter().any(|e| e.event == "cache_foreign"), "{:?}", report.events);
        assert!(rig.log().contains("(unprobed)"), "published afresh");
        pair.set(1, TcpMode::Up).await;
    }
}

#[tokio::test]
async fn state_that_cannot_be_used_is_kept_aside_and_the_block_serves() {
    let pair = Pair::start().await;
    let [a, b] = pair.ips();
    pair.set(0, TcpMode::Refused).await;
    let mut rig = Rig::started(&pair.endpoint("db", NAME)).await;
    rig.moves_to(NAME, &[b]).await;
    for bad in ["no JSON at all \u{0}", "", "{\"format\":1,\"boot", "{\"format\":99,\"content\":{}}"] {
        rig.answers_as(AnswerReason::FailedOver).await;
        rig.crash().await;
        for file in ["state/plan.json", "state/inventory.json", "state-hosts/block.json"] {
            std::fs::write(rig.path(file), bad).unwrap();
        }
        std::fs::remove_dir_all(rig.path("run")).unwrap();
        std::fs::remove_file(rig.path("log")).unwrap();
        rig.start();
        rig.settled().await;
        for file in ["state/plan.json.unusable", "state/inventory.json.unusable", "state-hosts/block.json.unusable"] {
            assert_eq!(std::fs::read_to_string(rig.path(file)).unwrap(), bad, "{file}");
        }
        rig.logs("kept aside").await;
        assert_eq!(rig.points_at(NAME), [b], "{bad:?}: {a} is dead, and the block knew");
        assert!(!rig.log().contains("event=answer_changed"), "{}", rig.log());
    }
}

#[tokio::test]
async fn a_block_that_somebody_takes_out_comes_back() {
    let pair = Pair::start().await;
    let rig = Rig::started(&pair.endpoint("db", NAME)).await;
    rig.moves_to(NAME, &pair.ips()).await;
    let whole = rig.hosts();
    let cut = whole[..whole.len() - 30].to_vec();
    let edited = String::from_utf8_lossy(&whole[FOREIGN.len()..]).replace(&pair.ips()[1].to_string(), "127.9.9.9");
    for damaged in [FOREIGN.to_vec(), cut, [FOREIGN, edited.as_bytes()].concat()] {
        rig.write_hosts(&damaged);
        rig.moves_to(NAME, &pair.ips()).await;
    }
    let report = rig.reports("the conflict is told", |r| r.publishers["hosts"].conflict).await;
    assert_eq!(report.names[&NAME.parse().unwrap()].verdicts["hosts"], Verdict::Conflict);
    let status = rig.run(&["status"]).await;
    assert_eq!(status.code, 1);
    assert!(status.out.contains("somebody keeps removing our block"), "{}", status.out);
}
