//! The built binary against the stand-in cloud: endpoints found by their id alone, with the keys of the host's role.

use std::net::{IpAddr, Ipv4Addr};

use privatelink_sim::cloud::{Cloud, Fault, Service, What, World};
use privatelink_sim::free_address;
use privatelinkd::observe::status::Report;

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

async fn started(cloud: &Cloud) -> (Rig, Report) {
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
    let stale = |r: &Report| r.problems.iter().any(|p| p.contains("source api is stale") && p.contains("Throttling"));
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
