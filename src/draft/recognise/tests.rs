use std::net::IpAddr;

use super::*;
use crate::cloud::privatelink::record::EndpointRecord;
use crate::draft::findings::HttpReply;

const IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

fn record(name: &str) -> EndpointRecord {
    EndpointRecord {
        id: "ep-1".parse().unwrap(),
        name: Some(name.to_owned()),
        description: None,
        domain: None,
        status: None,
        business: None,
        connection: None,
        region: None,
        vpc_id: None,
        service_name: None,
    }
}

fn sight(name: &str, greeting: PortReply<Greeting>, gateway: PortReply<Gateway>) -> EndpointFindings {
    EndpointFindings { record: record(name), zones: Ok(Vec::new()), greeting, gateway }
}

fn nothing<T>() -> PortReply<T> {
    PortReply::Nothing("10.0.0.1:1: refused: connect: Connection refused".to_owned())
}

fn mysql(version: &str) -> PortReply<Greeting> {
    PortReply::Said(IP, Greeting::MySql(version.to_owned()))
}

fn gateway(name: &str, trusted: bool, status: u16, tdengine: bool) -> PortReply<Gateway> {
    PortReply::Said(IP, Gateway { names: vec![name.to_owned()], trusted, answer: Ok(HttpReply { status, tdengine }) })
}

#[test]
fn what_is_said_counts_for_more_than_what_it_is_called() {
    use Certainty::{Guess, Likely, Sure};
    use Kind::{Https, Matrixone, Tdengine, Unknown};
    const VENDOR: &str = "*.cloud.taosdata.com";
    let mo = "8.0.30-MatrixOne-v2.0.3";
    let full = || PortReply::Said(IP, Greeting::Refusal(1040, "Too many connections".to_owned()));
    for (name, greeting, gateway, kind, certainty) in [
        ("ledger", mysql(mo), nothing(), Matrixone, Sure),
        ("my-tdengine", mysql(mo), nothing(), Matrixone, Sure),
        ("MatrixOne prod", nothing(), nothing(), Matrixone, Guess),
        ("matrixone", full(), nothing(), Matrixone, Likely),
        ("matrixone", mysql("8.0.36"), nothing(), Unknown, Sure),
        ("ledger", full(), nothing(), Unknown, Sure),
        ("ledger", mysql("10.11.6-MariaDB"), nothing(), Unknown, Sure),
        ("ledger", PortReply::Said(IP, Greeting::Other), nothing(), Unknown, Sure),
        ("orders", nothing(), gateway("gw.example.com", true, 401, true), Tdengine, Sure),
        ("orders", nothing(), gateway(VENDOR, true, 404, false), Tdengine, Sure),
        ("orders", nothing(), gateway(VENDOR, false, 401, false), Tdengine, Likely),
        ("taosdata", nothing(), gateway("gw.example.com", true, 403, false), Tdengine, Likely),
        ("taosdata", nothing(), gateway("gw.example.com", true, 404, false), Tdengine, Guess),
        ("TDengine", nothing(), nothing(), Tdengine, Guess),
        ("orders", nothing(), gateway("gw.example.com", true, 401, false), Https, Likely),
        ("orders", nothing(), nothing(), Unknown, Sure),
        ("orders", PortReply::NotAsked, PortReply::NotAsked, Unknown, Sure),
        // Somebody's name for it, and what it says.
        ("matrixone", nothing(), gateway("gw.example.com", true, 401, true), Tdengine, Sure),
    ] {
        let sight = sight(name, greeting, gateway);
        let found = recognise(&sight);
        assert_eq!((found.kind, found.certainty), (kind, certainty), "{sight:?}");
        let asked = sight.greeting != PortReply::NotAsked;
        assert_eq!(found.why.is_empty(), !asked, "{found:?}");
    }
}

#[test]
fn service_and_description_are_hints_too() {
    let mut sight = sight("db", nothing(), nothing());
    sight.record.service_name = Some("com.aliyuncs.privatelink.cn-hangzhou.matrixone".to_owned());
    assert_eq!(recognise(&sight).why, ["its service is \"com.aliyuncs.privatelink.cn-hangzhou.matrixone\""]);
    sight.record.service_name = None;
    sight.record.description = Some("our TDengine\ngateway".to_owned());
    assert_eq!(recognise(&sight).kind, Kind::Tdengine);
}
