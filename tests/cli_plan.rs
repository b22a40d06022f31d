//! `privatelinkd plan`: what the agent would do, and that it does nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use privatelink_sim::TcpMode;
use privatelink_sim::cloud::{Cloud, Fault, Serve, Service, What, World};

use crate::agent_cloud::{PROBE, config, enis};
use crate::agent_rig::{FOREIGN, NAME, until};
use crate::cli_discover::{json, rig};

/// Everything beneath a folder: bytes, and when it was changed.
type Tree = BTreeMap<PathBuf, (Vec<u8>, SystemTime)>;

fn tree(folder: &Path) -> Tree {
    let mut all = Tree::new();
    let modified = |path: &Path| std::fs::symlink_metadata(path).unwrap().modified().unwrap();
    all.insert(folder.to_owned(), (Vec::new(), modified(folder)));
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            all.extend(tree(&path));
        } else {
            all.insert(path.clone(), (std::fs::read(&path).unwrap_or_default(), modified(&path)));
        }
    }
    all
}

async fn refuse(cloud: &Cloud, zone: &'static str) {
    let change = move |world: &mut World| {
        world.zone_mut(World::LEDGER, zone).unwrap().serve = Some(Serve::Tcp { port: 5432, mode: TcpMode::Refused });
    };
    cloud.world(change).await.unwrap();
}

#[tokio::test]
async fn a_host_without_an_agent_sees_what_one_would_do() {
    let (cloud, rig) = rig().await;
    let before = tree(&rig.path(""));
    let said = rig.run(&["plan"]).await;
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
    for ip in enis(&cloud) {
        assert!(said.out.contains(&format!("\n+{ip} {NAME}\n")), "{}", said.out);
    }
    for part in ["healthy", "all is well", "path   up", "nothing was written", "agent: no agent answers on "] {
        assert!(said.out.contains(part), "{part:?} is not in\n{}", said.out);
    }

    refuse(&cloud, "cn-hangzhou-h").await;
    let answer = json(&rig.run(&["plan", "--json"]).await);
    let name = &answer["names"][NAME];
    assert_eq!((&name["reason"], &name["agent"]), (&"failed_over".into(), &serde_json::Value::Null), "{answer}");
    assert_eq!(name["addresses"], serde_json::json!([{"address": enis(&cloud)[1], "zone": "cn-hangzhou-i"}]));
    let down = &answer["checks"][0];
    assert_eq!((&down["zone"], &down["verdict"]), (&"cn-hangzhou-h".into(), &"down".into()), "{answer}");
    assert_eq!((&down["check"], &down["reason"]), (&"path".into(), &"refused".into()), "{answer}");
    assert!(answer["hosts"]["diff"].as_str().unwrap().contains(&format!("\n+{} {NAME}\n", enis(&cloud)[1])));

    // With nothing left the name goes where it may go all the same.
    refuse(&cloud, "cn-hangzhou-i").await;
    let answer = json(&rig.run(&["plan", "--json"]).await);
    assert_eq!(answer["names"][NAME]["reason"], "all_down_kept", "{answer}");
    assert_eq!(tree(&rig.path("")), before, "nothing is written");
    assert_eq!(rig.hosts(), FOREIGN);
}

/// One endpoint is dead and another works: that is no fault of this host's, and it takes a second success to know.
#[tokio::test]
async fn a_dead_endpoint_beside_a_live_one_is_no_local_fault() {
    let (cloud, rig) = rig().await;
    let dead = "[[endpoint]]\nname = \"dead\"\naddresses = { cn-hangzhou-h = \"127.0.0.1\" }\n\
                private_dns = [\"dead.example.internal\"]\n";
    let probe = PROBE.replace("5432", "9");
    rig.write_config(&format!("{}{dead}{probe}", config(&rig, &cloud, PROBE)));
    let answer = json(&rig.run(&["plan", "--json"]).await);
    assert_eq!(answer["names"]["dead.example.internal"]["reason"], "all_down_kept", "{answer}");
    assert_eq!(answer["names"][NAME]["reason"], "healthy", "{answer}");
}

#[tokio::test]
async fn beside_a_running_agent_it_finds_nothing_to_change() {
    let (cloud, mut rig) = rig().await;
    rig.start();
    rig.settled().await;
    rig.moves_to(NAME, &enis(&cloud)).await;
    rig.answers_as(privatelinkd::model::AnswerReason::Healthy).await;
    let said = rig.run(&["plan"]).await;
    assert!(said.code == 0 && said.out.contains("all is well  same\n"), "{said:?}");
    assert!(said.out.ends_with("etc/hosts: nothing would change\n"), "{said:?}");
}

#[tokio::test]
async fn what_an_earlier_agent_knew_counts_as_it_would_at_a_start() {
    let (cloud, mut rig) = rig().await;
    rig.start();
    rig.settled().await;
    let all = enis(&cloud);
    rig.moves_to(NAME, &all).await;
    until("it is kept", async || rig.path("state/inventory.json").exists()).await;
    rig.crash().await;
    let text = config(&rig, &cloud, PROBE);
    rig.write_config(&text);
    for service in [Service::Privatelink, Service::Metadata, Service::Dns] {
        cloud.fault(Fault::new(What::error(503, "ServiceUnavailable")).service(service));
    }
    let before = tree(&rig.path(""));
    let said = rig.run(&["plan"]).await;
    assert!(said.code == 0 && said.out.contains("stale"), "{said:?}");
    assert!(said.out.contains("! endpoint ledger: source api: "), "{said:?}");
    assert!(said.out.contains("nothing would change") || !said.out.contains(&format!("\n-{}", all[0])), "{said:?}");
    assert_eq!(tree(&rig.path("")), before, "nothing is written");

    // What can't be used stays where it is.
    std::fs::write(rig.path("state/plan.json"), "{").unwrap();
    let before = tree(&rig.path(""));
    let said = rig.run(&["plan"]).await;
    assert!(said.code == 0 && said.out.contains("plan.json") && said.out.contains("left there"), "{said:?}");
    assert_eq!(tree(&rig.path("")), before, "nothing is written");
}

#[tokio::test]
async fn what_the_writer_would_refuse_is_said() {
    let (cloud, rig) = rig().await;
    rig.write_config(&config(&rig, &cloud, PROBE).replace("127.0.0.0/8", "10.0.0.0/8"));
    let said = rig.run(&["plan"]).await;
    assert!(said.code == 0 && said.out.contains("is left out: it is a loopback address"), "{said:?}");
    assert!(said.out.contains("nothing would change"), "{said:?}");
    rig.write_config(&config(&rig, &cloud, PROBE).replace("[hosts]\n", "[hosts]\npublish = false\n"));
    let said = rig.run(&["plan"]).await;
    assert!(said.code == 0 && said.out.contains("not published to"), "{said:?}");
}

/// What an API that refuses everything leaves: names without an address, and one reason for all of them.
#[tokio::test]
async fn names_without_an_address_are_shown_with_one_reason_for_all() {
    let (cloud, rig) = rig().await;
    let orders = "[[endpoint]]\nname = \"orders\"\nid = \"ORDERS\"\nprivate_dns = [\"orders.example.internal\"]\n";
    let orders = orders.replace("ORDERS", World::ORDERS);
    rig.write_config(&format!("{}{orders}{PROBE}", config(&rig, &cloud, PROBE)));
    cloud.fault(Fault::new(What::error(403, "Forbidden.RAM")).service(Service::Privatelink));
    let said = rig.run(&["plan"]).await;
    let once = "! endpoints ledger, orders: source api: permission denied: Forbidden.RAM (status 403)";
    assert_eq!((said.out.matches("source api").count(), said.out.contains(once)), (1, true), "{said:?}");
    for name in [NAME, "orders.example.internal"] {
        let row = said.out.lines().find(|line| line.starts_with(name)).unwrap();
        assert!(row.contains("no address yet  unresolved  no source has told one"), "{row}");
    }
    assert!(!said.out.contains("\n\n\n") && !said.out.contains("all is well"), "{said:?}");
    let answer = json(&rig.run(&["plan", "--json"]).await);
    assert_eq!(answer["unresolved"], serde_json::json!([NAME, "orders.example.internal"]), "{answer}");

    let said = rig.run(&["probe"]).await;
    assert!(said.code == 1 && said.out.contains(once), "what has no address says why: {said:?}");
    let answer = json(&rig.run(&["probe", "--json"]).await);
    assert_eq!(answer["problems"].as_array().unwrap().len(), 1, "{answer}");
    cloud.clear_faults(None);
    let answer = json(&rig.run(&["plan", "--json"]).await);
    assert_eq!(answer["unresolved"], serde_json::json!([]), "{answer}");
}

#[tokio::test]
async fn a_config_without_an_endpoint_is_told_what_comes_next() {
    let (cloud, rig) = rig().await;
    let text = config(&rig, &cloud, PROBE);
    rig.write_config(&text[..text.find("[[endpoint]]").unwrap()]);
    for command in ["discover", "probe", "plan"] {
        let said = rig.run(&[command]).await;
        let next = "! the configuration names no endpoint: `sudo privatelinkd init` drafts one\n";
        assert!(said.code == 0 && said.out.contains(next), "{said:?}");
    }
}
