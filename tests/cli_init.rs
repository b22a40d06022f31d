//! `privatelinkd init`: the built binary against the stand-in cloud and doubles of both databases, and the draft itself
//! on whatever an API may tell.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use bytes::Bytes;
use privatelink_sim::cloud::{Cloud, Policy, World, Zone};
use privatelink_sim::{HttpsMode, HttpsService, Leaf, Pki};
use privatelinkd::cloud::privatelink::{EndpointRecord, ZoneRecord};
use privatelinkd::config::{Environment, from_texts, only_endpoints};
use privatelinkd::draft::text::draft;
use privatelinkd::draft::{Draft, EndpointFindings, Gateway, Greeting, HttpReply, Kind, Place, PortReply, Ports};
use privatelinkd::model::{Families, ranges};
use proptest::prelude::*;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use crate::agent_rig::{Rig, Said};
use crate::cli_discover::json;
use crate::support::cases;

/// MatrixOne's greeting as its proxy writes it, up to the plugin's name.
const GREETING: &[u8] = b"\x0a8.0.30-MatrixOne-v2.0.3\0\xe8\x03\0\0abcdefgh\0\x8f\xae\x2e\x02\0\x3b\x01\x15\
    \0\0\0\0\0\0\0\0\0\0abcdefghijkl\0mysql_native_password\0";

/// Greets as MatrixOne does and waits for the other side to go.
async fn matrixone(address: SocketAddr) {
    let listener = TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let length = u32::try_from(GREETING.len()).unwrap().to_le_bytes();
            let _ = stream.write_all(&[&length[..3], &[0], GREETING].concat()).await;
            let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
        }
    });
}

/// Answers as TDengine's gateway does to who has no token.
async fn tdengine(address: SocketAddr, leaf: Leaf, body: &'static str) -> HttpsService {
    let service = HttpsService::with_body(address, leaf, Bytes::from_static(body.as_bytes())).await.unwrap();
    service.set(HttpsMode::Status(401)).await.unwrap();
    service
}

const NO_AUTH: &str = r#"{"code":4357,"desc":"no auth info input","timing":1234}"#;
/// What names the gateway's port, as 443 needs root.
const PORT: [&str; 2] = ["--tdengine-port", "8443"];

fn eni(cloud: &Cloud, endpoint: &str) -> IpAddr {
    cloud.look(|world| IpAddr::V4(world.endpoints[endpoint].zones["cn-hangzhou-h"].eni_ip.unwrap()))
}

/// A rig whose config says where the cloud is, and names no endpoint.
async fn rig() -> (Cloud, Rig) {
    let cloud = Cloud::start().await.unwrap();
    let rig = Rig::new("");
    rig.write_config(&place(&cloud));
    (cloud, rig)
}

fn place(cloud: &Cloud) -> String {
    let at = cloud.addresses();
    format!(
        "[cloud]\nmetadata_endpoint = \"http://{}\"\napi_endpoint = \"http://{}\"\nresolvers = [\"{}\"]\n\
         [hosts]\nallowed_ranges = [\"127.0.0.0/8\"]\n",
        at.metadata, at.privatelink, at.dns
    )
}

async fn init(rig: &Rig, more: &[&str]) -> Said {
    rig.run(&[&["init"], &PORT[..], more].concat()).await
}

/// What `check` says of a config.
async fn check(rig: &Rig, text: &str) -> Said {
    std::fs::write(rig.path("drafted.toml"), text).unwrap();
    rig.run(&["check", rig.path("drafted.toml").to_str().unwrap()]).await
}

#[tokio::test]
async fn both_databases_are_recognised_and_the_draft_holds() {
    let (cloud, rig) = rig().await;
    // Nobody of the stand-in's own where the double is to be.
    let free = |world: &mut World| {
        world.endpoints.get_mut(World::ORDERS).unwrap().zones.values_mut().for_each(|zone| zone.serve = None);
    };
    cloud.world(free).await.unwrap();
    let pki = Pki::new("test").unwrap();
    let leaf = pki.leaf(&["*.cloud.taosdata.com"]).unwrap();
    let gateway = tdengine((eni(&cloud, World::ORDERS), 8443).into(), leaf, NO_AUTH).await;
    matrixone((eni(&cloud, World::LEDGER), 6001).into()).await;

    let said = init(&rig, &[]).await;
    assert_eq!(said.code, 0, "{said:?}");
    for part in [
        "# Taken for MatrixOne (sure): 127.",
        " greets as 8.0.30-MatrixOne-v2.0.3.\n",
        "\n[[endpoint]]\nname = \"ledger\"\nid = \"ep-bp1standinledger00001\"\n",
        "\npublish_domain = true\n",
        "# Taken for TDengine (sure): 127.",
        "\n[[endpoint]]\nname = \"orders\"\nid = \"ep-bp1standinorders00001\"\n",
        "# FILL IN private_dns: the private DNS name that the console of TDengine Cloud shows",
        "certificate is for *.cloud.taosdata.com.",
        "# Zone cn-hangzhou-h: 127.",
    ] {
        assert!(said.out.contains(part), "{part:?} is not in\n{}", said.out);
    }
    assert!(said.err.contains("privatelinkd: ledger: MatrixOne (sure)\n"), "{said:?}");
    assert!(said.err.contains("privatelinkd: orders: TDengine (sure); fill in private_dns and probe\n"), "{said:?}");
    let checked = check(&rig, &said.out).await;
    assert_eq!(checked.code, 0, "{checked:?}");

    let seen = gateway.last_request().unwrap();
    assert_eq!(seen.line, "POST /rest/sql");
    assert!(seen.headers.get("authorization").is_none(), "no secret goes there");
    assert_eq!(
        seen.server_name.as_deref(),
        Some("ep-bp1standinorders00001.epsrv-bp1standinorders0001.cn-hangzhou.privatelink.aliyuncs.com")
    );

    let answer = json(&init(&rig, &["--json"]).await);
    assert_eq!((&answer["schema"], &answer["complete"], &answer["written"]), (&1.into(), &true.into(), &Value::Null));
    let kinds: Vec<&str> =
        answer["endpoints"].as_array().unwrap().iter().map(|e| e["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["matrixone", "tdengine"]);
    assert_eq!(answer["config"], said.out);

    // Without a look only the names speak, and they say nothing.
    let blind = init(&rig, &["--no-look"]).await;
    assert!(blind.err.contains("orders: what it is can't be told; fill in private_dns and probe\n"), "{blind:?}");
    assert_eq!(check(&rig, &blind.out).await.code, 0);
}

/// As where a VPC has a range that is nobody's private one: what was found there is neither probed nor published before
/// an admin allows it, and the draft says how.
#[tokio::test]
async fn addresses_outside_of_the_allowed_ranges_are_said_and_filled_in() {
    let (cloud, rig) = rig().await;
    let place = place(&cloud).replace("127.0.0.0/8", "10.0.0.0/8");
    rig.write_config(&place);
    let said = init(&rig, &["--no-look"]).await;
    assert!(
        said.err.contains("ledger: what it is can't be told; fill in private_dns and probe and allowed_ranges\n"),
        "{said:?}"
    );
    assert!(said.out.contains("# FILL IN allowed_ranges: 127.") && said.out.contains("\n#[hosts]\n"), "{said:?}");
    assert_eq!(check(&rig, &said.out).await.code, 0);

    let filled_in = said.out.replace("\n#[hosts]\n#allowed_ranges", "\n[hosts]\nallowed_ranges");
    let config = from_texts(&[("main", &place), ("draft", &filled_in)], &Environment::default()).unwrap().config;
    let allowed = config.hosts.allowed_ranges;
    assert!(allowed.contains(&"10.0.0.0/8".parse().unwrap()), "what was allowed stays so: {allowed:?}");
    for endpoint in [World::LEDGER, World::ORDERS] {
        assert_eq!(ranges::judge(eni(&cloud, endpoint), &allowed), Ok(()));
    }
    assert!(ranges::judge("11.0.0.1".parse().unwrap(), &allowed).is_err());
}

#[tokio::test]
async fn a_certificate_of_the_vendor_is_proof_only_if_it_is_trusted() {
    let (cloud, rig) = rig().await;
    let free = |world: &mut World| {
        world.endpoints.get_mut(World::ORDERS).unwrap().zones.values_mut().for_each(|zone| zone.serve = None);
    };
    cloud.world(free).await.unwrap();
    let pki = Pki::new("test").unwrap();
    let leaf = pki.leaf(&["gw.cloud.taosdata.com"]).unwrap();
    let _gateway = tdengine((eni(&cloud, World::ORDERS), 8443).into(), leaf, "<html>401</html>").await;
    std::fs::write(rig.path("ca.pem"), pki.ca_pem()).unwrap();
    let arguments = ["init", PORT[0], PORT[1]];
    let run = async |roots: &str| {
        let mut command = rig.command(&arguments);
        command.env("SSL_CERT_FILE", rig.path(roots)).stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    let trusted = run("ca.pem").await;
    assert!(trusted.contains("orders: TDengine (sure)"), "{trusted}");
    std::fs::write(rig.path("other.pem"), Pki::new("other").unwrap().ca_pem()).unwrap();
    let untrusted = run("other.pem").await;
    assert!(untrusted.contains("orders: TDengine (likely)"), "{untrusted}");
}

#[tokio::test]
async fn what_is_unknown_is_left_to_fill_in_and_the_draft_holds_all_the_same() {
    let (cloud, rig) = rig().await;
    let many = |world: &mut World| {
        world.api.page_cap = 3;
        let template = world.endpoints[World::LEDGER].clone();
        for n in 0..7 {
            let mut endpoint = template.clone();
            endpoint.name = if n < 5 { "Same Name".into() } else { format!("\"]\n[cloud]\ncolour = {n}") };
            endpoint.description = "two\nlines # and \"quotes\"".into();
            endpoint.zones =
                BTreeMap::from([("cn-hangzhou-h".to_owned(), Zone { status: "Creating".into(), ..Zone::default() })]);
            world.endpoints.insert(format!("ep-many{n}"), endpoint);
        }
        let elsewhere = world.endpoints.get_mut("ep-many6").unwrap();
        elsewhere.connection_status = "ServiceDeleted".into();
    };
    cloud.world(many).await.unwrap();
    let said = init(&rig, &[]).await;
    assert_eq!(said.code, 0, "{said:?}");
    let checked = check(&rig, &said.out).await;
    assert_eq!(checked.code, 0, "{checked:?}");
    for label in ["same-name", "same-name-2", "same-name-5", "cloud-colour-5", "ledger", "orders"] {
        assert!(said.out.contains(&format!("\nname = \"{label}\"\n")), "{label} is not in\n{}", said.out);
    }
    assert!(said.err.contains("ep-many6: left out, it is deleted\n"), "{said:?}");
    assert!(said.err.contains("orders: an HTTPS service (likely); fill in private_dns and probe\n"), "{said:?}");
    assert!(said.out.contains("#kind = \"tcp\"\n#port = 5432\n"), "{said:?}");

    // What the config has already is not drafted again, and its labels are not given again.
    let named = format!("{}[[endpoint]]\nname = \"same-name\"\nid = \"{}\"\n", place(&cloud), World::LEDGER);
    rig.write_config(&named);
    let said = init(&rig, &[]).await;
    assert!(
        said.err.contains(&format!("{}: left out, the config has it already, as \"same-name\"\n", World::LEDGER)),
        "{said:?}"
    );
    assert!(
        !said.out.contains("\nname = \"same-name\"\n") && said.out.contains("\nname = \"same-name-6\"\n"),
        "{said:?}"
    );
}

#[tokio::test]
async fn nothing_is_overwritten() {
    let (cloud, rig) = rig().await;
    let before = std::fs::read(rig.path("config.toml")).unwrap();
    let said = init(&rig, &["--write"]).await;
    assert_eq!((said.code, said.out.as_str()), (1, ""), "{said:?}");
    assert!(said.err.contains("config.toml is there already, and no file is overwritten: "), "{said:?}");
    assert_eq!(std::fs::read(rig.path("config.toml")).unwrap(), before);
    assert_eq!(cloud.calls().len(), 0, "nobody is asked for nothing");
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_said_before_anybody_is_asked() {
    let (cloud, rig) = rig().await;
    let said = Rig::said(rig.command_with("conf.d/endpoints.toml", &["init", "--write"])).await;
    assert!(said.code == 1 && said.err.contains("endpoints.toml can't be written: make its folder first"), "{said:?}");
    assert_eq!(cloud.calls().len(), 0);
}

/// A drop-in says where the cloud is; the config itself is what is to be made.
#[tokio::test]
async fn a_draft_is_written_where_nothing_is() {
    let (cloud, rig) = rig().await;
    std::fs::remove_file(rig.path("config.toml")).unwrap();
    std::fs::create_dir(rig.path("conf.d")).unwrap();
    std::fs::write(rig.path("conf.d/cloud.toml"), place(&cloud)).unwrap();
    let said = init(&rig, &["--write"]).await;
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
    let path = rig.path("config.toml");
    assert!(said.out.starts_with(&format!("{}: written\n  ledger: ", path.display())), "{said:?}");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o640);
    let checked = rig.run(&["check"]).await;
    assert_eq!(checked.code, 0, "{checked:?}");
    let discovered = rig.run(&["discover"]).await;
    assert!(discovered.code == 0 && discovered.out.contains("orders:  found"), "{discovered:?}");

    let written = std::fs::read(&path).unwrap();
    let again = init(&rig, &["--write", "--json"]).await;
    assert_eq!((again.code, again.out.as_str()), (1, ""), "{again:?}");
    assert_eq!(std::fs::read(&path).unwrap(), written);
}

/// As where a package has brought a config: the draft goes beside it, and knows what is in it.
#[tokio::test]
async fn a_draft_can_be_a_drop_in() {
    let (cloud, rig) = rig().await;
    let named = format!("{}[[endpoint]]\nname = \"orders\"\nid = \"{}\"\n", place(&cloud), World::LEDGER);
    rig.write_config(&named);
    std::fs::create_dir(rig.path("conf.d")).unwrap();
    let said = Rig::said(rig.command_with("conf.d/endpoints.toml", &["init", "--write", "--json"])).await;
    assert_eq!(said.code, 0, "{said:?}");
    let answer = json(&said);
    let path = rig.path("conf.d/endpoints.toml");
    assert_eq!(answer["written"], path.to_str().unwrap());
    assert_eq!(answer["config"].as_str().unwrap().as_bytes(), std::fs::read(&path).unwrap());
    let names: Vec<_> = answer["endpoints"].as_array().unwrap().iter().map(|e| e["name"].clone()).collect();
    assert_eq!(names, [Value::Null, "orders-2".into()]);
    assert_eq!(rig.run(&["check"]).await.code, 0);
}

#[tokio::test]
async fn who_cannot_be_asked_is_said() {
    let (cloud, rig) = rig().await;
    cloud.world(|world| world.roles.get_mut(World::ROLE).unwrap().policy = Policy::default()).await.unwrap();
    let said = init(&rig, &[]).await;
    assert_eq!((said.code, said.out.as_str()), (77, ""), "{said:?}");
    assert!(said.err.contains("allow privatelink:ListVpcEndpoints on acs:privatelink:"), "{said:?}");
    cloud.world(|world| world.host.role = None).await.unwrap();
    let said = init(&rig, &[]).await;
    assert!(said.code == 69 && said.err.contains("attach a RAM role"), "{said:?}");
    rig.write_config(&format!("{}[host]\nregion = \"cn-hangzhou\"\nvpc_id = \"vpc-none\"\n", place(&cloud)));
    cloud.world(|world| world.host.role = Some(World::ROLE.into())).await.unwrap();
    cloud
        .world(|world| world.roles.get_mut(World::ROLE).unwrap().policy = Policy::allow(&["privatelink:*"], "*"))
        .await
        .unwrap();
    let said = init(&rig, &[]).await;
    assert_eq!((said.code, said.out.as_str()), (1, ""), "{said:?}");
    assert_eq!(said.err, "privatelinkd: vpc-none in cn-hangzhou has no interface endpoint\n");
    rig.write_config("[cloud]\nmetadata_endpoint = \"http://127.0.0.1:9\"\nresolvers = [\"127.0.0.1:9\"]\n");
    let said = init(&rig, &[]).await;
    assert!(said.code == 69 && said.err.contains("the region is not known: metadata service"), "{said:?}");
}

/// In a network of its own, so that not even a packet to the real metadata service gets anywhere.
#[tokio::test]
async fn no_config_is_needed() {
    let rig = Rig::new("");
    let binary = env!("CARGO_BIN_EXE_privatelinkd");
    let missing = rig.path("missing/config.toml");
    let mut command = std::process::Command::new("unshare");
    command.args(["--net", "--map-root-user", binary, "--config"]).arg(&missing).args(["init", "--no-look"]);
    command.env_clear().env("HOME", rig.path("")).stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    if err.starts_with("unshare:") {
        println!("skipped: no network namespace to be had: {err}");
        return;
    }
    assert_eq!(output.status.code(), Some(69), "{err}");
    assert!(err.contains("the region is not known: metadata service"), "{err}");
    assert!(!missing.exists());
}

fn anything() -> impl Strategy<Value = String> {
    prop_oneof![
        ".{0,60}",
        "[\\PC\n\r\t\u{0}\u{1b}\u{85}\u{2028}\u{2029}\u{202e}\"'#\\[\\]=]{0,40}",
        Just("\"\n[cloud]\napi_endpoint = \"http://evil\"\n#".to_owned()),
        Just("x\u{2028}[hosts]\u{85}publish = false".to_owned()),
        Just("matrixone".to_owned()),
        Just("TDengine\r\n]]".to_owned()),
    ]
}

fn some<T: std::fmt::Debug + Clone>(inner: impl Strategy<Value = T>) -> impl Strategy<Value = Option<T>> {
    proptest::option::of(inner)
}

prop_compose! {
    fn record()(
        id in "ep-[a-z0-9_-]{1,20}",
        (name, description, service) in (some(anything()), some(anything()), some(anything())),
        domain in some("[a-z][a-z0-9]{0,10}\\.[a-z]{2,5}"),
        (status, business, connection) in (some(anything()), some(anything()), some(anything())),
    ) -> EndpointRecord {
        EndpointRecord {
            id: id.parse().unwrap(),
            name,
            description,
            domain: domain.map(|d| d.parse().unwrap()),
            status: status.map(Into::into),
            business: business.map(Into::into),
            connection: connection.map(Into::into),
            region: None,
            vpc_id: None,
            service_name: service,
        }
    }
}

prop_compose! {
    fn zone()(zone in "[a-z0-9-]{1,12}", ip in some(any::<u32>()), eni_id in some(anything())) -> ZoneRecord {
        ZoneRecord {
            zone: zone.parse().unwrap(),
            status: None,
            eni_id,
            ipv4: ip.map(Ipv4Addr::from),
            ipv6: None,
            domain: None,
        }
    }
}

fn heard<T: std::fmt::Debug + Clone>(said: impl Strategy<Value = T>) -> impl Strategy<Value = PortReply<T>> {
    let ip = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    prop_oneof![
        Just(PortReply::NotAsked),
        anything().prop_map(PortReply::Nothing),
        said.prop_map(move |said| PortReply::Said(ip, said)),
    ]
}

fn greeting() -> impl Strategy<Value = Greeting> {
    prop_oneof![
        anything().prop_map(Greeting::MySql),
        Just(Greeting::MySql("8.0.30-MatrixOne-v2.0.3".to_owned())),
        (any::<u16>(), anything()).prop_map(|(number, text)| Greeting::Refusal(number, text)),
    ]
}

fn gateway() -> impl Strategy<Value = Gateway> {
    let answer = (any::<u16>(), any::<bool>()).prop_map(|(status, tdengine)| HttpReply { status, tdengine });
    let answer = prop_oneof![answer.prop_map(Ok), anything().prop_map(Err)];
    (proptest::collection::vec(anything(), 0..3), any::<bool>(), answer).prop_map(|(names, trusted, answer)| Gateway {
        names,
        trusted,
        answer,
    })
}

prop_compose! {
    fn sight()(
        record in record(),
        zones in proptest::collection::vec(zone(), 0..3),
        failed in some(anything()),
        greeting in heard(greeting()),
        gateway in heard(gateway()),
    ) -> EndpointFindings {
        EndpointFindings { record, zones: failed.map_or(Ok(zones), Err), greeting, gateway }
    }
}

fn drafted(sights: &[EndpointFindings], ports: Ports) -> Draft {
    let (region, vpc_id, known, taken) = ("cn-hangzhou", "vpc-1", &BTreeMap::new(), BTreeSet::new());
    let allowed = &from_texts(&[("empty", "")], &Environment::default()).unwrap().config.hosts.allowed_ranges;
    let families = Families { ipv4: true, ipv6: true };
    draft(sights, Place { region, vpc_id, ports, allowed, families, known, taken, complete: true })
}

/// What a line of a draft may be.
fn is_ours(line: &str) -> bool {
    let quoted = |key: &str| {
        let value = line.strip_prefix(key).and_then(|v| v.strip_suffix('"'));
        value.is_some_and(|v| v.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')))
    };
    line.is_empty()
        || line.starts_with('#')
        || ["[[endpoint]]", "publish_domain = true", "[endpoint.probe]", "kind = \"matrixone\""].contains(&line)
        || quoted("name = \"")
        || quoted("id = \"")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases() / 10, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the API and the ports say: the draft holds, and has just what it says it has.
    #[test]
    fn every_draft_holds(sights in proptest::collection::vec(sight(), 0..6), port in 1..u16::MAX) {
        let mut ids = BTreeSet::new();
        let sights: Vec<EndpointFindings> = sights.into_iter().filter(|s| ids.insert(s.record.id.clone())).collect();
        let draft = drafted(&sights, Ports { matrixone: 6001, tdengine: port });
        for line in draft.config.lines() {
            prop_assert!(is_ours(line), "{line:?}");
            prop_assert!(!line.chars().any(char::is_control), "{line:?}");
        }
        prop_assert!(draft.endpoints.is_empty() || only_endpoints(&draft.config));
        let loaded = from_texts(&[("draft", &draft.config)], &Environment::default());
        let loaded = loaded.map_err(|c| TestCaseError::fail(format!("{c}\n{}", draft.config)))?;
        let made: BTreeMap<_, _> = loaded.config.endpoints.iter().map(|(n, e)| (n.clone(), e.id.clone().unwrap())).collect();
        let said: BTreeMap<_, _> = draft.endpoints.iter().filter_map(|e| Some((e.name.clone()?, e.id.clone()))).collect();
        prop_assert_eq!(made, said);
        prop_assert_eq!(draft.endpoints.len(), sights.len());
    }
}

#[test]
fn root_writes_nothing_but_endpoints_for_others() {
    assert!(only_endpoints("# a\n[[endpoint]]\nname = \"a\"\n"));
    for other in ["[hosts]\nallowed_ranges = [\"0.0.0.0/0\"]\n", "hosts.path = \"/etc/passwd\"\n", "[[endpoint]", "x\n"]
    {
        assert!(!only_endpoints(other), "{other:?}");
    }
}

#[test]
fn ranges_that_are_drafted_allow_what_was_found() {
    let found =
        ["11.1.2.3", "100.100.7.9", "127.0.0.9", "10.0.0.1", "2001:db8::7", "fe80::1", "::1", "0.0.0.0", "224.0.0.1"];
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut template = proptest::strategy::ValueTree::current(&sight().new_tree(&mut runner).unwrap());
    template.record.connection = None;
    template.record.status = None;
    let zone = |(n, ip): (usize, &&str)| {
        let ip: IpAddr = ip.parse().unwrap();
        let (ipv4, ipv6) = match ip {
            IpAddr::V4(ip) => (Some(ip), None),
            IpAddr::V6(ip) => (None, Some(ip)),
        };
        let zone = format!("z{n}").parse().unwrap();
        ZoneRecord { zone, status: None, eni_id: None, ipv4, ipv6, domain: None }
    };
    template.zones = Ok(found.iter().enumerate().map(zone).collect());
    let text =
        drafted(&[template.clone()], Ports::DEFAULT).config.replace("\n#[hosts]\n#allowed", "\n[hosts]\nallowed");
    let hosts = from_texts(&[("draft", &text)], &Environment::default()).unwrap().config.hosts;
    for ip in &found[..7] {
        assert_eq!(ranges::judge(ip.parse().unwrap(), &hosts.allowed_ranges), Ok(()), "{ip}\n{text}");
    }
    for ip in ["0.0.0.0", "224.0.0.1", "11.1.3.3", "127.0.1.9", "8.8.8.8"] {
        assert!(ranges::judge(ip.parse().unwrap(), &hosts.allowed_ranges).is_err(), "{ip}");
    }
    // Nothing outside, nothing said.
    template.zones = Ok(vec![zone((0, &"10.0.0.1"))]);
    let inside = drafted(&[template], Ports::DEFAULT);
    assert!(
        !inside.config.contains("allowed_ranges")
            && !inside.endpoints[0].fill_in.contains(&"allowed_ranges".to_owned())
    );
}

/// Where somebody takes the # away, as the draft says, it still holds.
#[test]
fn a_draft_that_was_filled_in_holds() {
    let ip = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    let answer = |tdengine| Ok(HttpReply { status: 401, tdengine });
    let gateway = |tdengine| {
        let names = vec!["gw.example.com".to_owned()];
        PortReply::Said(ip, Gateway { names, trusted: true, answer: answer(tdengine) })
    };
    for (gateway, kind) in
        [(gateway(true), Kind::Tdengine), (gateway(false), Kind::Https), (PortReply::NotAsked, Kind::Unknown)]
    {
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let record = proptest::strategy::ValueTree::current(&record().new_tree(&mut runner).unwrap());
        let record = EndpointRecord {
            name: None,
            description: None,
            service_name: None,
            connection: None,
            status: None,
            ..record
        };
        let sight = EndpointFindings { record, zones: Ok(Vec::new()), greeting: PortReply::NotAsked, gateway };
        let draft = drafted(&[sight], Ports::DEFAULT);
        assert_eq!(draft.endpoints[0].recognised.kind, kind);
        let on = |line: &str| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') => format!("{rest}\n"),
            _ => format!("{line}\n"),
        };
        let filled_in: String = draft.config.lines().map(on).collect();
        let loaded = from_texts(&[("draft", &filled_in)], &Environment::default());
        let loaded = loaded.unwrap_or_else(|c| panic!("{c}\n{filled_in}"));
        assert!(loaded.config.endpoints.values().all(|e| e.probe.is_some()), "{filled_in}");
    }
}
