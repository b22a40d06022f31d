//! `privatelinkd discover`: the built binary against the stand-in cloud.

use std::net::Ipv4Addr;
use std::process::Stdio;

use privatelink_sim::cloud::{Cloud, DoorMode, Fault, Policy, Service, What, World};
use privatelink_sim::free_address;
use serde_json::Value;

use crate::agent_cloud::{PROBE, config, enis};
use crate::agent_rig::{FOREIGN, NAME, Rig, Said};

const ZONES: &str = "privatelink:ListVpcEndpointZones";

/// A rig whose config names the ledger's endpoint, and no agent.
pub(crate) async fn rig() -> (Cloud, Rig) {
    let cloud = Cloud::start().await.unwrap();
    let rig = Rig::new("");
    rig.write_config(&config(&rig, &cloud, PROBE));
    (cloud, rig)
}

pub(crate) fn json(said: &Said) -> Value {
    serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e}: {said:?}"))
}

/// What `discover` says where it must fail.
async fn refused(rig: &Rig) -> Said {
    let said = rig.run(&["discover"]).await;
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.out.contains("ledger:  not found: "), "{said:?}");
    said
}

#[tokio::test]
async fn an_endpoint_is_shown_with_all_that_was_told_of_it() {
    let (cloud, rig) = rig().await;
    let said = rig.run(&["discover"]).await;
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
    for part in [
        "host: region cn-hangzhou, zone cn-hangzhou-",
        "ledger:  found\n",
        World::LEDGER,
        "com.aliyuncs.privatelink.cn-hangzhou.epsrv-bp1standinledger0001",
        "Active, Normal, Connected",
        "eni-bp1standinledger00h",
        "api, zone_domain, endpoint_domain\n",
        "agent: no agent answers on ",
    ] {
        assert!(said.out.contains(part), "{part:?} is not in\n{}", said.out);
    }
    assert!(!said.out.contains('\x1b'), "no colours on a pipe");
    let answer = json(&rig.run(&["discover", "ledger", "--json"]).await);
    assert_eq!((&answer["schema"], &answer["found"]), (&1.into(), &true.into()));
    let ledger = &answer["endpoints"]["ledger"];
    for (zone, ip) in World::ZONES.iter().zip(enis(&cloud)) {
        let told = &ledger["zones"][zone]["addresses"][ip.to_string()];
        assert_eq!(*told, serde_json::json!(["api", "zone_domain", "endpoint_domain"]), "{answer}");
    }
    assert_eq!((&ledger["cloud"]["connection"], &ledger["agent"]), (&"Connected".into(), &Value::Null));
    assert_eq!(answer["agent"]["answers"], false);
    assert_eq!(rig.hosts(), FOREIGN);
}

#[tokio::test]
async fn what_the_agent_knows_stands_beside_it() {
    let (cloud, mut rig) = rig().await;
    // It will not notice anything by itself: a probe that fails would have it ask.
    let text =
        config(&rig, &cloud, "").replace("\"2s\"", "\"1h\"").replace("dns_interval = \"1s\"", "dns_interval = \"1h\"");
    rig.write_config(&text);
    rig.start();
    rig.settled().await;
    let before = enis(&cloud);
    rig.moves_to(NAME, &before).await;
    rig.reports("all sources were heard", |r| r.endpoints.values().any(|e| e.cloud.is_some() && e.sources.len() == 3))
        .await;
    let same = rig.run(&["discover"]).await;
    assert!(same.code == 0 && same.out.contains("\n  agent    same\n"), "{same:?}");

    let new = free_address(5432).unwrap().ip();
    let change = |ip: Ipv4Addr| {
        move |world: &mut World| world.zone_mut(World::LEDGER, "cn-hangzhou-h").unwrap().eni_ip = Some(ip)
    };
    cloud.world(change(new.to_string().parse().unwrap())).await.unwrap();
    let differs = rig.run(&["discover", "--json"]).await;
    assert_eq!(differs.code, 0);
    let agent = json(&differs)["endpoints"]["ledger"]["agent"].clone();
    let (gone, came) = (before[0], new);
    assert_eq!(agent["same"], false);
    let expected = [
        format!("the agent does not have {came} (cn-hangzhou-h)"),
        format!("the agent has {gone} (cn-hangzhou-h), which was not found now"),
    ];
    assert_eq!(agent["differences"], serde_json::json!(expected));
}

#[tokio::test]
async fn an_endpoint_that_is_not_there_is_an_answer() {
    let (cloud, rig) = rig().await;
    cloud.world(|world| world.endpoints.get_mut(World::LEDGER).unwrap().listed = false).await.unwrap();
    let said = refused(&rig).await;
    assert!(said.out.contains("the API lists no such endpoint in this account and region"), "{said:?}");
    assert_eq!(json(&rig.run(&["discover", "--json"]).await)["found"], false);

    let gone = |world: &mut World| {
        let ledger = world.endpoints.get_mut(World::LEDGER).unwrap();
        (ledger.listed, ledger.connection_status) = (true, "ServiceDeleted".into());
    };
    cloud.world(gone).await.unwrap();
    assert!(refused(&rig).await.out.contains("the provider has deleted the service"));

    let pending = |world: &mut World| {
        let ledger = world.endpoints.get_mut(World::LEDGER).unwrap();
        ledger.connection_status = "Pending".into();
        ledger.zones.values_mut().for_each(|z| (z.eni_ip, z.eni_id, z.status) = (None, None, "Wait".into()));
    };
    cloud.world(pending).await.unwrap();
    let said = refused(&rig).await;
    assert!(said.out.contains("no zone has an address: the provider of the service has not accepted"), "{said:?}");
    assert!(said.out.contains("! cn-hangzhou-h: the zone is being connected"), "{said:?}");
}

#[tokio::test]
async fn what_the_api_refuses_is_said_with_what_to_do() {
    let (cloud, rig) = rig().await;
    // Longer than a person waits.
    let throttle = cloud.fault(Fault::new(What::throttle(Some(60_000))).service(Service::Privatelink));
    let said = refused(&rig).await;
    assert_eq!(said.err, "");
    assert!(
        said.out.contains("! source api: throttled: Throttling.User") && said.out.contains("fleet_size"),
        "{said:?}"
    );
    cloud.clear_faults(Some(&throttle));

    let may = |actions: &'static [&'static str]| {
        move |world: &mut World| {
            world.roles.get_mut(World::ROLE).unwrap().policy = Policy::allow(actions, "*");
        }
    };
    cloud.world(may(&[])).await.unwrap();
    let said = refused(&rig).await;
    assert!(said.out.contains("allow privatelink:ListVpcEndpoints on acs:privatelink:"), "{said:?}");
    cloud.world(may(&["privatelink:ListVpcEndpoints"])).await.unwrap();
    let said = refused(&rig).await;
    assert!(said.out.contains(&format!("allow {ZONES} on acs:privatelink:")), "{said:?}");

    cloud.world(|world| world.host.role = None).await.unwrap();
    let said = refused(&rig).await;
    assert!(said.out.contains("no credentials: ") && said.out.contains("attach a RAM role"), "{said:?}");

    cloud.world(|world| world.doors.metadata = DoorMode::Refused).await.unwrap();
    let said = refused(&rig).await;
    assert!(said.out.contains("host: region unknown") && said.out.contains("! metadata service "), "{said:?}");
    assert!(said.out.contains("[host] region is not set"), "{said:?}");
}

#[tokio::test]
async fn an_api_that_says_when_to_come_again_is_waited_for() {
    const WAITS: &str = "privatelinkd: the API is throttled, asking again in 300 ms\n";
    let (cloud, rig) = rig().await;
    for command in [&["discover"][..], &["plan"], &["init", "--no-look"]] {
        // First the list is throttled, twice, and then the zones.
        for (after, times) in [(0, 2), (1, 1)] {
            let throttle = Fault::new(What::throttle(Some(300))).service(Service::Privatelink);
            let throttle = cloud.fault(throttle.after(after).times(times));
            let said = rig.run(command).await;
            assert_eq!(said.code, 0, "{said:?}");
            assert!(!said.out.is_empty() && !said.out.contains("throttled"), "{said:?}");
            let told = WAITS.repeat(times as usize);
            assert!(said.err.starts_with(&told), "{said:?}");
            assert_eq!(said.err.matches("throttled").count(), times as usize, "{said:?}");
            cloud.clear_faults(Some(&throttle));
        }
    }
}

#[tokio::test]
async fn a_slow_cloud_is_said_to_be_waited_for() {
    let (cloud, rig) = rig().await;
    for command in [&["discover"][..], &["probe"], &["plan"], &["init", "--no-look"]] {
        let late = cloud.fault(Fault::new(What::Delay { ms: 1_000 }).service(Service::Privatelink).times(1));
        let mut command = rig.command(command);
        let output = tokio::task::spawn_blocking(move || command.stdin(Stdio::null()).output()).await.unwrap().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said.matches("privatelinkd: asking the cloud's API").count(), 1, "{said}");
        assert!(output.status.success(), "{said}");
        cloud.clear_faults(Some(&late));
    }
}

#[tokio::test]
async fn only_what_was_asked_for_is_asked() {
    let (cloud, rig) = rig().await;
    let orders = format!(
        "{}[[endpoint]]\nname = \"orders\"\nid = \"{}\"\nprivate_dns = [\"gw-orders.example.com\"]\n",
        config(&rig, &cloud, PROBE),
        World::ORDERS
    );
    rig.write_config(&orders);
    let said = rig.run(&["discover", "orders"]).await;
    assert!(said.code == 0 && said.out.contains("orders:  found") && !said.out.contains("ledger"), "{said:?}");
    let asked = cloud.calls().iter().filter(|c| c.action.starts_with("ListVpc")).count();
    assert_eq!(asked, 2, "{:?}", cloud.calls());
    let said = rig.run(&["discover", "payments"]).await;
    assert_eq!((said.code, said.out.as_str()), (2, ""), "{said:?}");
    assert_eq!(said.err, "privatelinkd: no endpoint \"payments\": the config has ledger, orders\n");
    rig.write_config("[[endpoint]]\nname = 1\n");
    let said = rig.run(&["discover"]).await;
    assert!(said.code == 78 && said.err.contains("config.toml:2:8"), "{said:?}");
}
