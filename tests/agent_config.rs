//! Config changes under a running agent (B13), and folders and ports that it can't have.

use std::net::TcpListener;
use std::time::Duration;

use privatelink_sim::{TcpMode, free_address};
use privatelinkd::model::AnswerReason;
use privatelinkd::observe::status::{AddressReport, AddressState, StatusReport};

use crate::agent_rig::{NAME, Pair, Rig, endpoint, until};

const OTHER: &str = "other.example.internal";

#[tokio::test]
async fn a_good_reload_is_followed_and_leaves_the_unchanged_alone() {
    let (pair, other) = (Pair::start().await, Pair::start().await);
    let db = pair.endpoint("db", NAME);
    let rig = Rig::started(&db).await;
    let probes = "privatelink_probes_total{endpoint=\"db\",zone=\"cn-hangzhou-h\",check=\"path\"}";
    until("some probes", async || rig.metric(probes).await.is_some_and(|n| n >= 3.0)).await;
    let (before, since) = (rig.metric(probes).await, since(&rig.report().await.unwrap()));
    let started = rig.report().await.unwrap().started.at;

    rig.configure(&(db.clone() + &other.endpoint("other", OTHER)));
    let report = rig.reload().await;
    assert!(report.config.last_reload_ok && report.config.complaints.is_empty());
    rig.moves_to(OTHER, &other.ips()).await;
    rig.moves_to(NAME, &pair.ips()).await;
    let report = rig.report().await.unwrap();
    assert_eq!(self::since(&report), since, "its history goes on");
    assert_eq!(report.started.at, started);
    assert!(rig.metric(probes).await >= before, "its counters go on");

    // A changed name: the new one is there at once, the old one stays for the grace.
    rig.configure(&(db + &other.endpoint("other", "new.example.internal")));
    rig.reload().await;
    rig.moves_to("new.example.internal", &other.ips()).await;
    rig.moves_to(OTHER, &other.ips()).await;
}

/// When each address of the endpoint `db` came up, as wall time.
fn since(report: &StatusReport) -> Vec<Option<String>> {
    let zones = report.endpoints[&"db".parse().unwrap()].zones.values();
    zones.flatten().map(|(_, a): (_, &AddressReport)| a.since.as_ref().map(|w| w.at.clone())).collect()
}

#[tokio::test]
async fn a_broken_config_leaves_the_old_one_in_force() {
    let pair = Pair::start().await;
    let db = pair.endpoint("db", NAME);
    let rig = Rig::started(&db).await;
    let loaded = "privatelink_config_last_reload_successful";
    assert_eq!(rig.metric(loaded).await, Some(1.0));
    rig.configure(&db.replace("port = 5432", "port = \"many\"\ncolour = 1"));
    let report = rig.reload().await;
    assert!(!report.config.last_reload_ok);
    assert_eq!(report.config.complaints.len(), 2, "{:?}", report.config.complaints);
    let status = rig.run(&["status"]).await;
    assert_eq!(status.code, 1);
    assert!(status.out.contains("the config was refused, an older one is in force: "), "{}", status.out);
    assert!(status.out.contains("colour"), "{}", status.out);
    assert_eq!(rig.metric(loaded).await, Some(0.0));
    assert_eq!(rig.get("/readyz").await.unwrap().0, 200);
    rig.moves_to(NAME, &pair.ips()).await;

    rig.configure(&db);
    assert!(rig.reload().await.config.complaints.is_empty());
    assert_eq!(rig.metric(loaded).await, Some(1.0));
    assert_eq!(rig.run(&["status"]).await.code, 0);
}

#[tokio::test]
async fn a_start_on_a_broken_config_takes_the_one_that_was_accepted_last() {
    const LOADED: &str = "privatelink_config_last_reload_successful";
    let (pair, other) = (Pair::start().await, Pair::start().await);
    let first = pair.endpoint("db", NAME);
    let mut rig = Rig::started(&first).await;
    // Another one was accepted since.
    let both = first.clone() + &other.endpoint("other", OTHER);
    rig.configure(&both);
    rig.reload().await;
    rig.moves_to(OTHER, &other.ips()).await;
    until("it is kept", async || {
        std::fs::read_to_string(rig.path("state/config.json")).is_ok_and(|kept| kept.contains(OTHER))
    })
    .await;
    rig.crash().await;
    let hosts = rig.hosts();

    rig.configure(&first.replace("port = 5432", "port = \"many\"\ncolour = 1"));
    rig.start();
    let report = rig.reports("it runs", |r| r.names.len() == 2).await;
    assert!(!report.config.last_reload_ok && report.config.complaints.len() == 2, "{:?}", report.config);
    assert_eq!(report.config.paths, [rig.path("state/config.json")]);
    rig.logs("started on the config that was accepted at 2").await;
    // In the order of the file, with its place.
    let place = format!("{}:", rig.path("config.toml").display());
    rig.logs(&format!("config refused, an older one is in force; complaints: 2, the first: {place}")).await;
    let status = rig.run(&["status"]).await;
    assert!(
        status.code == 1 && status.out.contains(&format!("the config was refused, an older one is in force: {place}")),
        "{status:?}"
    );
    assert_eq!(rig.metric(LOADED).await, Some(0.0));
    assert_eq!(rig.hosts(), hosts, "nothing was taken away");
    // It does its work: a zone dies, the name moves.
    pair.set(0, TcpMode::Refused).await;
    rig.moves_to(NAME, &pair.ips()[1..]).await;
    pair.set(0, TcpMode::Up).await;

    // A second start like this still has it; then somebody mends the config.
    rig.crash().await;
    rig.start();
    rig.reports("it runs again", |r| r.names.len() == 2).await;
    rig.configure(&both);
    let report = rig.reload().await;
    assert!(report.config.last_reload_ok && report.config.complaints.is_empty());
    assert_eq!(report.config.paths, [rig.path("config.toml")]);
    assert_eq!(rig.metric(LOADED).await, Some(1.0));
    rig.reports("all is well", |r| r.problems.is_empty()).await;
}

#[tokio::test]
async fn without_a_config_to_fall_back_on_nothing_runs() {
    let pair = Pair::start().await;
    let mut rig = Rig::started(&pair.endpoint("db", NAME)).await;
    until("it is kept", async || rig.path("state/config.json").exists()).await;
    rig.crash().await;
    let (hosts, kept) = (rig.hosts(), std::fs::read_to_string(rig.path("state/config.json")).unwrap());
    rig.configure("colour = 1\n");
    let another = kept.replacen("\"machine_id\":\"", "\"machine_id\":\"0", 1);
    assert_ne!(another, kept);
    for (kept, why) in [
        (another.as_str(), "expected a configuration of this machine, found another one's (machine id differs)"),
        ("{}", "config.json.unusable"),
    ] {
        std::fs::write(rig.path("state/config.json"), kept).unwrap();
        let run = rig.run(&["run", "--all-in-one"]).await;
        assert_eq!(run.code, 78);
        assert!(run.err.contains("colour") && run.err.contains(why), "{}", run.err);
    }
    assert!(!rig.path("state/config.json").exists());
    assert_eq!(rig.run(&["run", "--all-in-one"]).await.code, 78);
    assert_eq!(rig.hosts(), hosts);
}

#[tokio::test]
async fn what_a_kept_config_lacks_is_told() {
    let pair = Pair::start().await;
    let headers = "headers = { x-token = \"hunter2-and-more\" }";
    let db = pair.endpoint("db", NAME).replace("kind = \"tcp\"", &format!("kind = \"https\"\n{headers}"));
    let mut rig = Rig::new(&db);
    rig.start();
    until("it is kept", async || rig.path("state/config.json").exists()).await;
    rig.moves_to(NAME, &pair.ips()).await;
    rig.crash().await;
    assert!(!std::fs::read_to_string(rig.path("state/config.json")).unwrap().contains("hunter2"));
    rig.configure(&(db + "colour = 1\n"));
    rig.start();
    let lack = "endpoint db: no probe, because what stands in the config itself and may be secret is not kept";
    let report = rig.reports("it runs", |r| r.config.without == [lack]).await;
    assert!(report.problems.contains(&lack.to_owned()));
    rig.moves_to(NAME, &pair.ips()).await;
}

#[tokio::test]
async fn a_change_that_nobody_loads_is_reported() {
    let pair = Pair::start().await;
    let db = pair.endpoint("db", NAME);
    let rig = Rig::started(&db).await;
    assert!(!rig.report().await.unwrap().config.changed_on_disk);
    rig.configure(&(db + "# a remark\n"));
    rig.reports("the change is seen", |r| r.config.changed_on_disk).await;
    let status = rig.run(&["status"]).await;
    assert_eq!(status.code, 1);
    assert!(status.out.contains("the config changed on disk and is not loaded"), "{}", status.out);
    assert!(!rig.reload().await.config.changed_on_disk);
}

#[tokio::test]
async fn a_name_that_leaves_the_config_stays_for_the_grace() {
    let (pair, other) = (Pair::start().await, Pair::start().await);
    let mut rig = Rig::new("");
    let short = |grace: &str, endpoints: &str| rig.header().replace("\"10m\"", grace) + endpoints;
    let both = pair.endpoint("db", NAME) + &other.endpoint("other", OTHER);
    let (long, soon) = (short("\"10m\"", &both), short("\"1s\"", &pair.endpoint("db", NAME)));
    let held = short("\"10m\"", &pair.endpoint("db", NAME));
    rig.write_config(&long);
    rig.start();
    rig.settled().await;
    rig.write_config(&held);
    rig.reload().await;
    rig.reports("the removal is pending", |r| {
        r.names.get(&OTHER.parse().unwrap()).is_some_and(|n| n.reason == AnswerReason::RemovalPending)
    })
    .await;
    assert_eq!(rig.points_at(OTHER), other.ips());
    rig.write_config(&soon);
    rig.reload().await;
    rig.moves_to(OTHER, &[]).await;
    rig.moves_to(NAME, &pair.ips()).await;
    rig.logs(&format!("{OTHER}: withdrawn (no longer in the config)")).await;
    let report = rig.report().await.unwrap();
    assert!(report.withdrawn.contains_key(&OTHER.parse().unwrap()));
    assert!(!report.endpoints.contains_key(&"other".parse().unwrap()));
}

#[tokio::test]
async fn what_cannot_change_is_refused_and_what_can_takes_effect() {
    let pair = Pair::start().await;
    let mut rig = Rig::started(&pair.endpoint("db", NAME)).await;
    let config = rig.header() + &pair.endpoint("db", NAME);
    rig.write_config(&config.replace("/state\"", "/elsewhere\""));
    let report = rig.reload().await;
    assert_eq!(
        report.config.complaints,
        ["host.state_dir (config.toml:6) can't change while the agent runs: restart it"]
    );

    let old = rig.metrics;
    rig.metrics = free_address(9965).unwrap();
    rig.configure(&pair.endpoint("db", NAME));
    assert!(rig.reload().await.config.last_reload_ok);
    until("the new listener answers", async || rig.get("/healthz").await.is_some_and(|(code, _)| code == 200)).await;
    until("the old address is free", async || TcpListener::bind(old).is_ok()).await;

    let quiet = rig.header().replace("\"info\"", "\"error\"") + &pair.endpoint("db", NAME);
    rig.write_config(&quiet);
    rig.reload().await;
    let before = rig.log();
    pair.set(0, TcpMode::Refused).await;
    rig.answers_as(AnswerReason::FailedOver).await;
    assert_eq!(rig.log(), before, "nothing of it is an error");
    rig.configure(&pair.endpoint("db", NAME));
    rig.reload().await;
    pair.set(0, TcpMode::Up).await;
    rig.logs("up again").await;
}

#[tokio::test]
async fn a_replaced_address_leaves_when_the_new_one_answers() {
    let (pair, other) = (Pair::start().await, Pair::start().await);
    let ([a, b], [c, _]) = (pair.ips(), other.ips());
    other.set(0, TcpMode::Refused).await;
    let rig = Rig::started(&pair.endpoint("db", NAME)).await;
    rig.moves_to(NAME, &[a, b]).await;
    // The ENI of the first zone has another address from now on; both zones' old ones still work.
    rig.configure(&endpoint("db", NAME, &[c, b]));
    rig.reload().await;
    rig.moves_to(NAME, &[b]).await;
    other.set(0, TcpMode::Up).await;
    rig.moves_to(NAME, &[c, b]).await;
    // Now both at once: the old ones serve until a new one answers.
    let third = Pair::start().await;
    third.set(0, TcpMode::Refused).await;
    third.set(1, TcpMode::Refused).await;
    rig.configure(&third.endpoint("db", NAME));
    rig.reload().await;
    rig.reports("the new ones are judged", |r| {
        let zones = r.endpoints.values().flat_map(|e| e.zones.values().flatten());
        zones.filter(|(ip, x)| third.ips().contains(ip) && x.state == AddressState::Down).count() == 2
    })
    .await;
    assert_eq!(rig.points_at(NAME), [c, b]);
    third.set(1, TcpMode::Up).await;
    rig.moves_to(NAME, &third.ips()[1..]).await;
}

#[tokio::test]
async fn a_taken_port_degrades_and_is_tried_again() {
    let pair = Pair::start().await;
    let mut rig = Rig::new(&pair.endpoint("db", NAME));
    let squatter = TcpListener::bind(rig.metrics).unwrap();
    rig.start();
    rig.settled().await;
    rig.moves_to(NAME, &pair.ips()).await;
    rig.logs("can't listen: expected").await;
    drop(squatter);
    until("the port is taken over", async || rig.get("/healthz").await.is_some_and(|(code, _)| code == 200)).await;
}

#[tokio::test]
async fn folders_that_cannot_be_had_are_told_and_the_rest_works() {
    let pair = Pair::start().await;
    let mut rig = Rig::new("");
    std::fs::write(rig.path("file"), "no folder\n").unwrap();
    let config = rig.header() + &pair.endpoint("db", NAME);

    // Without state the names are published all the same.
    rig.write_config(&config.replace("/state\"", "/file/state\""));
    rig.start();
    rig.settled().await;
    rig.moves_to(NAME, &pair.ips()).await;
    rig.logs("state not saved, it is tried again: ").await;
    // Once there is a place for it, it is saved, though nothing else changes.
    std::fs::remove_file(rig.path("file")).unwrap();
    until("the state is saved", async || {
        ["plan.json", "inventory.json"].iter().all(|file| rig.path("file/state").join(file).exists())
    })
    .await;
    rig.logs("state is saved again").await;
    rig.crash().await;
    std::fs::remove_dir_all(rig.path("file")).unwrap();
    std::fs::write(rig.path("file"), "no folder\n").unwrap();

    // Without the run folder nothing can be handed over, and there is no status; metrics and the block remain.
    let hosts = rig.hosts();
    rig.write_config(&config.replace("/run\"", "/file/run\""));
    rig.start();
    rig.logs("hosts: not written: ").await;
    rig.logs("status.sock: can't listen: ").await;
    until("metrics answer", async || rig.get("/healthz").await.is_some_and(|(code, _)| code == 200)).await;
    let (code, why) = rig.get("/readyz").await.unwrap();
    assert_eq!(code, 503, "{why}");
    assert_eq!(rig.hosts(), hosts);
    assert_eq!(rig.run(&["status"]).await.code, 69);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(rig.is_running());
}
