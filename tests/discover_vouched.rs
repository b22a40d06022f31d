//! Which of an endpoint's addresses are sent a secret, as the answers about it come in.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use privatelinkd::config::from_toml;
use privatelinkd::discover::{FoundZone, Round, SourceAnswer, merge};
use privatelinkd::model::{Boottime, Check, Inventory, Now, SourceKind, Wall, Zone};
use privatelinkd::probe::TargetSet;
use privatelinkd::probe::runner::{Probes, Probing};

/// What the API says of the one endpoint.
fn said(found: SourceAnswer) -> Round {
    [("e".parse().unwrap(), [(SourceKind::Api, Ok(found))].into())].into()
}

fn has(addresses: &[&str]) -> SourceAnswer {
    let zone =
        (Zone::Known("h".parse().unwrap()), FoundZone::from_addresses(addresses.iter().map(|a| a.parse().unwrap())));
    SourceAnswer { zones: [zone].into(), ..SourceAnswer::default() }
}

/// The last address is kept when the API lacks it, but it may be somebody else's by now (B1).
#[test]
fn what_the_last_successful_discovery_lacks_is_sent_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "s3cret\n").unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    let file = secret.display();
    for (probe, checks_without) in [
        (
            format!("kind = \"matrixone\", user = \"acc:probe:role\", password_file = \"{file}\""),
            Some(vec![Check::Path]),
        ),
        (format!("kind = \"tdengine\", token_file = \"{file}\""), Some(vec![Check::Path])),
        (format!("kind = \"mysql\", user = \"probe\", password_file = \"{file}\""), Some(vec![Check::Path])),
        (format!("kind = \"https\", headers = {{ authorization = {{ file = \"{file}\" }} }}"), None),
        ("kind = \"https\"".to_owned(), Some(vec![Check::Path])),
        ("kind = \"tcp\", port = 1".to_owned(), Some(vec![Check::Path])),
    ] {
        let text = format!(
            "[[endpoint]]\nname = \"e\"\nid = \"ep-1\"\nprivate_dns = [\"db.example.com\"]\nprobe = {{ {probe} }}\n"
        );
        let config = from_toml(&text).unwrap_or_else(|e| panic!("{probe}: {e}"));
        let (graces, endpoint) = (config.graces(), config.endpoints.values().next().unwrap());
        let spec = endpoint.probe.clone().unwrap();
        let probing = Probing { identity: endpoint.identity(), spec: spec.clone() };
        let probes: Probes = [("e".parse().unwrap(), probing)].into();
        let all: Vec<Check> = spec.checks().map(|(check, _)| check).collect();
        let mut inventory = Inventory::default();
        let mut minutes = 0;
        let mut checks = |found: SourceAnswer| {
            minutes += 10;
            let now = Now { boottime: Boottime(Duration::from_secs(minutes * 60)), wall: Wall(0) };
            inventory = merge(&inventory, &config.endpoints, &said(found), graces, now).0;
            assert!(inventory.endpoints.values().all(|e| e.has_addresses()), "{probe}");
            let target = TargetSet::from_inventory(&inventory, &probes).targets.into_values().next()?;
            let checks: Vec<Check> = target.probe.checks().map(|(check, _)| check).collect();
            assert!(checks == all || target.probe.kind.secret().is_none(), "{probe}");
            Some(checks)
        };
        let known = has(&["10.0.0.1"]);
        assert_eq!(checks(known.clone()), Some(all.clone()), "{probe}");
        let gone = SourceAnswer { gone: true, ..SourceAnswer::default() };
        for lacking in [SourceAnswer::default(), has(&[]), gone.clone(), gone.clone(), gone] {
            assert_eq!(checks(lacking.clone()), checks_without, "{probe}: {lacking:?}");
        }
        assert_eq!(checks(known), Some(all), "{probe}");
    }
}
