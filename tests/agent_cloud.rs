//! The built binary against the stand-in cloud: endpoints found by their id alone, with the keys of the host's role.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use privatelink_sim::cloud::{Cloud, Fault, Service, What, World};
use privatelink_sim::free_address;
use privatelinkd::model::AnswerReason;
use privatelinkd::observe::status::StatusReport;

use crate::agent_rig::{NAME, Rig, until};

/// A config that names the ledger's endpoint, and where the stand-in is. Zone, region, VPC and instance come from
/// metadata.
pub(crate) fn config(rig: &Rig, cloud: &Cloud, probe: &str) -> String {
    let at = cloud.addresses();
    let header = rig.header().replace("metadata_endpoint = \"http://127.0.0.1:9\"\n", "");
    let header = header.replace("zone = \"cn-hangzhou-h\"\ninstance_id = \"i-test\"\n", "").replace("[cloud]\n", "");
    format!(
        "{header}[cloud]\nmetadata_endpoint = \"http://{}\"\napi_endpoint = \"http://{}\"\nresolvers = [\"{}\"]\n\
         refresh_interval = \"2s\"\ndns_interval = \"1s\"\n\
         [[endpoint]]\nname = \"ledger\"\nid = \"{}\"\nprivate_dns = [\"{NAME}\"]\n{probe}",
        at.metadata,
        at.privatelink,
        at.dns,
        World::LEDGER
    )
}

pub(crate) const PROBE: &str = "[endpoint.probe]\nkind = \"tcp\"\nport = 5432\ninterval = \"300ms\"\nfast_interval = \"100ms\"\n\
                     timeout = \"1s\"\nrise = 2\nhold = \"500ms\"\n";

pub(crate) fn enis(cloud: &Cloud) -> Vec<IpAddr> {
    cloud.look(|world| world.endpoints[World::LEDGER].zones.values().filter_map(|z| z.eni_ip).map(IpAddr::V4).collect())
}

async fn started(cloud: &Cloud) -> (Rig, StatusReport) {
    let mut rig = Rig::new("");
    rig.write_config(&config(&rig, cloud, PROBE));
    rig.start();
    let report = rig.settled().await;
    (rig, report)
}

#[tokio::test]
async fn an_endpoint_is_found_by_its_id_and_followed() {
    let cloud = Cloud::start().await.unwrap();
    let (rig, _) = started(&cloud).await;
    let all = enis(&cloud);
    rig.moves_to(NAME, &all).await;
    let report = rig.reports("the API was heard", |r| r.endpoints.values().any(|e| e.cloud.is_some())).await;
    assert!(!rig.log().contains("source api"), "nothing failed and works again: {}", rig.log());
    assert_eq!((report.host.region.as_deref(), report.host.zone.is_some()), (Some("cn-hangzhou"), true));
    let said = report.endpoints.values().next().unwrap().cloud.clone().unwrap();
    assert_eq!((said.status.as_str(), said.connection.as_str()), ("Active", "Connected"));
    assert_eq!(rig.metric("privatelink_connection_status{endpoint=\"ledger\",state=\"Connected\"}").await, Some(1.0));
    let status = "privatelink_zone_status{endpoint=\"ledger\",zone=\"cn-hangzhou-h\",state=\"Connected\"}";
    assert_eq!(rig.metric(status).await, Some(1.0));

    // The interface of one zone gets another address: the old one goes, the new one comes.
    let IpAddr::V4(new) = free_address(5432).unwrap().ip() else { panic!("no IPv4 address") };
    let change = |ip: Ipv4Addr| {
        move |world: &mut World| world.zone_mut(World::LEDGER, "cn-hangzhou-h").unwrap().eni_ip = Some(ip)
    };
    cloud.world(change(new)).await.unwrap();
    rig.moves_to(NAME, &enis(&cloud)).await;

    // The API fails and says so; nothing moves.
    cloud.fault(Fault::new(What::throttle(Some(500))).service(Service::Privatelink));
    let stale =
        |r: &StatusReport| r.problems.iter().any(|p| p.contains("source api is stale") && p.contains("Throttling"));
    rig.reports("the source is stale", stale).await;
    rig.moves_to(NAME, &enis(&cloud)).await;
    cloud.clear_faults(None);
    rig.reports("it works again", |r| r.problems.is_empty()).await;

    // The provider moves a zone: said, and nothing moves.
    let migrating = |world: &mut World| {
        world.zone_mut(World::LEDGER, "cn-hangzhou-i").unwrap().status = "Migrating".into();
    };
    cloud.world(migrating).await.unwrap();
    rig.reports("it is said", |r| r.problems.iter().any(|p| p.contains("moves the zone to another resource"))).await;
    rig.moves_to(NAME, &enis(&cloud)).await;
}

/// It is no endpoint that is gone: it was never there, and that is said at once, with what to compare.
#[tokio::test]
async fn an_id_that_the_api_does_not_have_is_not_found() {
    let cloud = Cloud::start().await.unwrap();
    let mut rig = Rig::new("");
    let other = "ep-bp1nosuchendpoint00001";
    rig.write_config(&config(&rig, &cloud, PROBE).replace(World::LEDGER, other));
    rig.start();
    let not_found = |r: &StatusReport| r.problems.iter().any(|p| p.contains("not found: the API has no endpoint"));
    let report = rig.reports("it is said", not_found).await;
    let said = report.problems.join("\n");
    for part in [other, "cn-hangzhou", "ecs_role STS.…", "no address is known yet"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    let status = "privatelink_endpoint_status{endpoint=\"ledger\",state=\"not_found\"}";
    assert_eq!(rig.metric(status).await, Some(1.0));
    assert_eq!(rig.run(&["status"]).await.code, 1);
    assert!(rig.log().contains("ledger: not found"), "{}", rig.log());

    // The right one, by a reload.
    rig.write_config(&config(&rig, &cloud, PROBE));
    rig.reload().await;
    rig.moves_to(NAME, &enis(&cloud)).await;
    rig.reports("all is well", |r| r.problems.is_empty()).await;
    assert_eq!(rig.metric(status).await, None);
}

/// Attempts so far, as the metrics have them.
async fn requests(rig: &Rig, outcome: &str) -> f64 {
    let series = format!("privatelink_api_requests_total{{action=\"ListVpcEndpoints\",outcome=\"{outcome}\"}}");
    rig.metric(&series).await.unwrap_or(0.0)
}

#[tokio::test]
async fn whose_keys_sign_is_shown_and_follows_the_config() {
    const EXPIRY: &str = "privatelink_credentials_expiry_timestamp_seconds";
    let cloud = Cloud::start().await.unwrap();
    let (rig, _) = started(&cloud).await;
    let asked = |r: &StatusReport| r.credentials.as_ref().is_some_and(|c| c.provider.is_some());
    let told = rig.reports("somebody has keys", asked).await.credentials.unwrap();
    assert_eq!((told.provider.as_deref(), told.failing), (Some("ecs_role"), None));
    assert!(told.key_id.unwrap().starts_with("STS.…"));
    let tried: Vec<_> = told.tried.iter().map(|t| t.provider.as_str()).collect();
    assert_eq!(tried, ["environment", "oidc_role", "cli_config", "credentials_file"]);
    assert!(rig.metric(EXPIRY).await.is_some());
    until("some requests are counted", async || requests(&rig, "ok").await >= 2.0).await;
    // A reload that has nothing to do with it leaves no gap.
    assert_eq!(rig.reload().await.credentials.unwrap().provider.as_deref(), Some("ecs_role"));
    let before = requests(&rig, "ok").await;
    assert!(before >= 2.0);

    // Another provider: keys that may do nothing. What was counted stays counted.
    let (id, secret) = World::POWERLESS_KEY;
    std::fs::write(rig.path("secret"), secret).unwrap();
    std::fs::set_permissions(rig.path("secret"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let file = rig.path("secret").display().to_string();
    let credentials = format!(
        "[cloud.credentials]\nprovider = \"access_key\"\naccess_key_id = \"{id}\"\naccess_key_secret_file = \"{file}\"\n"
    );
    let text = config(&rig, &cloud, PROBE);
    rig.write_config(&text.replace("[[endpoint]]", &format!("{credentials}[[endpoint]]")));
    rig.reload().await;
    let forbidden = "ledger: source api is stale: permission denied: ";
    let remedy = "allow privatelink:ListVpcEndpoints on acs:privatelink:";
    let denied = |r: &StatusReport| r.problems.iter().any(|p| p.starts_with(forbidden) && p.contains(remedy));
    let report = rig.reports("these keys are refused", denied).await;
    let told = report.credentials.clone().unwrap();
    assert_eq!((told.provider.as_deref(), told.key_id.as_deref()), (Some("access_key"), Some("LTAI…0001")));
    assert_eq!((told.tried.as_slice(), told.expires), (&[][..], None));
    until("refusals are counted", async || requests(&rig, "denied").await >= 1.0).await;
    assert!(requests(&rig, "ok").await >= before);
    assert_eq!(rig.metric(EXPIRY).await, None);
    let (_, metrics) = rig.get("/metrics").await.unwrap();
    let status = serde_json::to_string(&report).unwrap();
    let files = rig.files().into_iter().map(|(_, bytes)| String::from_utf8_lossy(&bytes).into_owned());
    for text in files.chain([metrics, status, rig.log()]) {
        assert!(!text.contains(secret));
    }

    // And one that has none.
    let nobody = "[cloud.credentials]\nprovider = \"uri\"\nurl = \"http://127.0.0.1:1/\"\n[[endpoint]]";
    rig.write_config(&text.replace("[[endpoint]]", nobody));
    rig.reload().await;
    let none = "ledger: source api is stale: no credentials: uri: ";
    let lacking = |r: &StatusReport| r.problems.iter().any(|p| p.starts_with(none) && p.contains("attach a RAM role"));
    let report = rig.reports("nobody has keys", lacking).await;
    assert_eq!(report.problems.iter().filter(|p| p.contains("no credentials")).count(), 1, "{:?}", report.problems);
    assert_eq!(report.credentials.unwrap().provider, None);
    rig.moves_to(NAME, &enis(&cloud)).await;
}

/// A host that knows its addresses asks the API at its own phase: what has happened to its role is not known before.
#[tokio::test]
async fn after_a_restart_nothing_is_said_of_an_api_that_was_not_asked() {
    let cloud = Cloud::start().await.unwrap();
    let mut rig = Rig::new("");
    let often = config(&rig, &cloud, PROBE);
    let seldom = often.replace("refresh_interval = \"2s\"\n", "");
    rig.write_config(&seldom);
    rig.start();
    rig.settled().await;
    let asked = |r: &StatusReport| r.credentials.as_ref().is_some_and(|c| c.provider.is_some());
    rig.reports("all is well", |r| r.problems.is_empty() && asked(r)).await;
    until("it says so", async || rig.run(&["status"]).await.out.starts_with("all is well: 1 name, 1 endpoint\n")).await;
    until("it is kept", async || rig.path("state/inventory.json").exists()).await;
    rig.crash().await;
    cloud.world(|world| world.host.role = None).await.unwrap();
    rig.start();
    rig.reports("the addresses are up", |r| r.problems.is_empty() && !asked(r)).await;
    let said = rig.run(&["status"]).await.out;
    assert!(
        said.starts_with("all is well so far: 1 name, 1 endpoint; the cloud's API has not been asked yet\n"),
        "{said}"
    );

    // What was found to fail before is still said.
    rig.write_config(&often);
    rig.reload().await;
    let fails =
        |r: &StatusReport| r.problems.iter().any(|p| p.contains("source api is stale: no credentials: no provider"));
    rig.reports("it fails", fails).await;
    let kept = rig.path("state/inventory.json");
    until("that is kept", async || std::fs::read_to_string(&kept).unwrap_or_default().contains("no credentials")).await;
    rig.crash().await;
    rig.write_config(&seldom);
    rig.start();
    rig.reports("it is said again", |r| fails(r) && !asked(r)).await;
}

#[tokio::test]
async fn what_was_found_serves_while_the_cloud_is_away() {
    let cloud = Cloud::start().await.unwrap();
    let (mut rig, _) = started(&cloud).await;
    let all = enis(&cloud);
    rig.moves_to(NAME, &all).await;
    until("it is kept", async || rig.path("state/inventory.json").exists()).await;
    rig.crash().await;
    let text = config(&rig, &cloud, PROBE);
    // API, DNS and metadata gone; the ENIs serve on.
    for service in [Service::Privatelink, Service::Metadata, Service::Dns] {
        cloud.fault(Fault::new(What::error(503, "ServiceUnavailable")).service(service));
    }
    rig.write_hosts(crate::agent_rig::FOREIGN);
    rig.write_config(&text);
    rig.start();
    rig.moves_to(NAME, &all).await;
    rig.reports("the sources are stale", |r| r.problems.iter().any(|p| p.contains("is stale"))).await;
    rig.moves_to(NAME, &all).await;
}

/// The image of another instance, with everything that its agent left: its cache, its block, its machine id. Only the
/// cloud's ids tell that this is another machine.
#[tokio::test]
async fn the_image_of_another_vpc_is_recognised() {
    let cloud = Cloud::start().await.unwrap();
    let (mut rig, _) = started(&cloud).await;
    let old = enis(&cloud);
    rig.moves_to(NAME, &old).await;
    until("it is kept", async || rig.path("state/inventory.json").exists()).await;
    rig.crash().await;

    let IpAddr::V4(new) = free_address(5432).unwrap().ip() else { panic!("no IPv4 address") };
    let elsewhere = |world: &mut World| {
        world.host.instance_id = "i-bp1anotherinstance".to_owned();
        world.host.vpc_id = "vpc-bp1another".to_owned();
        world.zone_mut(World::LEDGER, "cn-hangzhou-h").unwrap().eni_ip = Some(new);
        world.endpoints.get_mut(World::LEDGER).unwrap().zones.remove("cn-hangzhou-i");
    };
    cloud.world(elsewhere).await.unwrap();
    let faults = [Service::Privatelink, Service::Dns].map(|service| {
        let down = Fault::new(What::error(503, "ServiceUnavailable")).service(service);
        cloud.fault(down)
    });
    rig.start();
    rig.logs("event=cache_foreign").await;
    // Nobody knows where the endpoint is here, and where it was there is worse than nothing.
    rig.moves_to(NAME, &[]).await;
    for fault in faults {
        cloud.clear_faults(Some(&fault));
    }
    rig.moves_to(NAME, &[IpAddr::V4(new)]).await;
}

/// Two passes that lie five minutes apart have to agree, so this takes longer than others.
#[tokio::test]
#[ignore = "takes six minutes; tests/run --full runs it"]
async fn an_endpoint_that_is_really_deleted_goes_and_no_other() {
    let cloud = Cloud::start().await.unwrap();
    let mut rig = Rig::new("");
    let orders = format!(
        "[[endpoint]]\nname = \"orders\"\nid = \"{}\"\nprivate_dns = [\"orders.example.internal\"]\n\
         [endpoint.probe]\nkind = \"tcp\"\nport = 8443\n",
        World::ORDERS
    );
    let text = config(&rig, &cloud, PROBE).replace("[cloud]\n", "[cloud]\ngone_grace = \"20s\"\n");
    rig.write_config(&(text + &orders));
    rig.start();
    let ledger = enis(&cloud);
    rig.moves_to(NAME, &ledger).await;
    let others = rig.points_at("orders.example.internal");
    assert_eq!(others.len(), 2);
    let deleted = tokio::time::Instant::now();
    cloud.world(|world| world.endpoints.remove(World::LEDGER)).await.unwrap();
    // Until their TTL is over, its domain names go on giving its addresses, so that the first pass does not count.
    while !rig.log().contains("event=endpoint_gone") {
        assert_eq!(rig.points_at(NAME), ledger, "it stays until that is certain");
        assert!(deleted.elapsed() < Duration::from_secs(420), "it never was");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let certain = deleted.elapsed();
    assert!(certain >= Duration::from_secs(300), "{certain:?}");
    rig.moves_to(NAME, &[]).await;
    assert!(deleted.elapsed() >= certain + Duration::from_secs(15), "it has its grace");
    println!("withdrawn {} s after it was deleted", deleted.elapsed().as_secs());
    assert_eq!(rig.points_at("orders.example.internal"), others);
}

/// Discovery would look again in ten minutes only: a changed id is asked for at once, and the name leads to the old
/// database until the new one has answered, then to that one alone.
#[tokio::test]
async fn another_id_is_another_endpoint() {
    let cloud = Cloud::start().await.unwrap();
    let mut rig = Rig::new("");
    let text = config(&rig, &cloud, PROBE);
    let text = text.replace("refresh_interval = \"2s\"\ndns_interval = \"1s\"\n", "");
    rig.write_config(&text);
    rig.start();
    rig.settled().await;
    rig.reports("all is well", |r| r.problems.is_empty()).await;
    let old = enis(&cloud);
    let new: Vec<_> = cloud
        .look(|world| world.endpoints[World::ORDERS].zones.values().filter_map(|z| z.eni_ip).map(IpAddr::V4).collect());
    // The API does not know it yet.
    let fault = cloud.fault(Fault::new(What::error(503, "ServiceUnavailable")).service(Service::Privatelink));
    let changed = text.replace(World::LEDGER, World::ORDERS).replace("port = 5432", "port = 8443");
    rig.write_config(&changed);
    rig.reload().await;
    let report = rig.answers_as(AnswerReason::RemovalPending).await;
    assert!(report.problems.iter().any(|p| p.contains("still leads where it did before")), "{:?}", report.problems);
    let before = cloud.counts(World::LEDGER, "cn-hangzhou-h").await;
    assert_eq!(rig.run(&["status"]).await.code, 1);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(rig.points_at(NAME), old);
    let after = cloud.counts(World::LEDGER, "cn-hangzhou-h").await;
    assert_eq!(format!("{before:?}"), format!("{after:?}"), "nothing is sent to the old one any more");
    // A restart instead of a reload changes nothing of that.
    rig.crash().await;
    rig.start();
    rig.answers_as(AnswerReason::RemovalPending).await;
    assert_eq!(rig.points_at(NAME), old);
    cloud.clear_faults(Some(&fault));
    rig.moves_to(NAME, &new).await;
    rig.reports("all is well", |r| r.problems.is_empty()).await;
    for line in rig.log().lines().filter(|line| line.contains("event=answer_changed")) {
        let both = |all: &[IpAddr]| all.iter().any(|ip| line.rsplit("->").next().unwrap().contains(&ip.to_string()));
        assert!(!(both(&old) && both(&new)), "{line}");
    }
}
