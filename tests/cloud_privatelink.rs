//! Lists in pages, and parsers that survive whatever comes.

use privatelinkd::cloud::openapi::api_hosts::Hosts;
use privatelinkd::cloud::openapi::refusal::{self, LONGEST_RETRY_AFTER};
use privatelinkd::cloud::openapi::{CallError, Malformed};
use privatelinkd::cloud::privatelink::parse::{self, Page};
use privatelinkd::cloud::privatelink::{Filter, PrivateLink};
use privatelinkd::cloud::reply::Reply;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::cloud_rig::{Answer, Seen, Server, client, hurry, json, keys};
use crate::support::{cases, damaged};

fn privatelink(server: &Server) -> PrivateLink {
    PrivateLink { client: client(Hosts::new(server.origin(), Vec::new())), region: "cn-hangzhou".to_owned() }
}

/// Two endpoints on two pages, each with a zone.
fn cloud(seen: &Seen, _: usize) -> Answer {
    let page = |id: &str, next: &str| {
        json(200, &format!(r#"{{"TotalCount":2,"NextToken":"{next}","Endpoints":[{{"EndpointId":"{id}"}}]}}"#))
    };
    match (seen.header("x-acs-action"), seen.param("NextToken")) {
        ("ListVpcEndpoints", None) => page("ep-a", "p/2=="),
        ("ListVpcEndpoints", Some("p%2F2%3D%3D")) => page("ep-b", ""),
        ("ListVpcEndpointZones", None) => {
            json(200, r#"{"Zones":[{"ZoneId":"cn-hangzhou-h","EniIp":"10.0.1.15","ZoneStatus":"connected"}]}"#)
        }
        _ => json(400, r#"{"Code":"InvalidParameter"}"#),
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_is_read_to_its_end() {
    hurry();
    let server = Server::start(cloud).await;
    let privatelink = privatelink(&server);
    let filter = Filter { vpc_id: Some("vpc-1"), id: None };
    let listing = privatelink.endpoints(&keys("LTAI"), filter).await.unwrap();
    assert!(listing.complete);
    assert_eq!(listing.items.iter().map(|e| e.id.as_str()).collect::<Vec<_>>(), ["ep-a", "ep-b"]);
    let first = "POST /?EndpointType=Interface&MaxResults=50&RegionId=cn-hangzhou&VpcId=vpc-1 HTTP/1.1";
    assert_eq!(server.seen()[0].line, first);
    let zones = privatelink.zones(&keys("LTAI"), &listing.items[0].id).await.unwrap();
    assert_eq!(zones.items[0].ipv4, Some([10, 0, 1, 15].into()));
}

#[tokio::test(start_paused = true)]
async fn a_page_token_that_repeats_ends_the_list() {
    hurry();
    let server = Server::start(|_, _| json(200, r#"{"NextToken":"again","Endpoints":[]}"#)).await;
    let error = privatelink(&server).endpoints(&keys("LTAI"), Filter::default()).await.unwrap_err();
    assert_eq!(error, CallError::Malformed(Malformed::RepeatedToken));
    assert_eq!(server.seen().len(), 2);
}

const ENDPOINTS: &str = r#"{"RequestId":"R","MaxResults":50,"NextToken":"abc","TotalCount":1,"Endpoints":[{
    "EndpointId":"ep-hp33b2e43fays7s8","EndpointName":"orders","EndpointStatus":"Active","Bandwidth":1024,
    "EndpointDomain":"ep-hp33b2e43fays7s8.epsrv-hp3x.cn-huhehaote.privatelink.aliyuncs.com","ResourceOwner":false,
    "EndpointBusinessStatus":"Normal","ConnectionStatus":"Connected","ZoneAffinityEnabled":"true"}]}"#;
const ZONES: &str = r#"{"TotalCount":"2","NextToken":null,"Zones":[{"ZoneId":"cn-huhehaote-a","EniIp":"10.0.1.15",
    "ZoneStatus":"Connected","EniId":"eni-1","ZoneIpv6Address":"false"},{"ZoneId":"cn-huhehaote-b","EniIp":"10.0.2.15",
    "ZoneStatus":"Migrating","ZoneIpv6Address":"2408:4005::1"}]}"#;
const REFUSAL: &str = r#"{"RequestId":"R","HostId":"h","Code":"Forbidden.RAM","Message":"no",
    "AccessDeniedDetail":{"AuthAction":"privatelink:ListVpcEndpoints"}}"#;
const XML: &str = "<Error><RequestId>R</RequestId><Code>Throttling</Code><Message>a &amp; b</Message></Error>";

fn replies() -> impl Strategy<Value = Vec<u8>> {
    let whole = proptest::sample::select(vec![ENDPOINTS, ZONES, REFUSAL, XML]);
    let random = proptest::collection::vec(any::<u8>(), 0..300);
    prop_oneof![8 => whole.prop_flat_map(|text| damaged(text.as_bytes().to_vec())), 1 => random]
}

#[test]
fn no_reply_is_too_odd() {
    let config = ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() };
    let headers = (0..600u16, proptest::option::of("\\PC{0,20}"), any::<bool>());
    let mut runner = TestRunner::new(config);
    runner
        .run(&(replies(), headers), |(body, (status, retry_after, xml))| {
            check_page(parse::endpoints(&body), body.len())?;
            check_page(parse::zones(&body), body.len())?;
            let content_type = xml.then(|| "text/xml;charset=utf-8".to_owned());
            let refusal =
                refusal::read(&Reply { status, content_type, date: None, retry_after, body: body.into() }, &[]);
            prop_assert!(refusal.to_string().lines().count() <= 1, "{refusal}");
            prop_assert!(refusal.message.chars().count() <= 500);
            if let refusal::Class::Throttled { retry_after: Some(wait) } = refusal.class {
                prop_assert!(!wait.is_zero() && wait <= LONGEST_RETRY_AFTER);
            }
            Ok(())
        })
        .unwrap();
}

/// Nothing is made up: an item takes at least the bytes of its id.
fn check_page<T>(page: Result<Page<T>, Malformed>, length: usize) -> Result<(), TestCaseError> {
    if let Ok(page) = page {
        prop_assert!((page.items.len() + page.unusable) * 2 <= length);
        prop_assert!(page.next.is_none_or(|token| !token.is_empty() && token.len() <= length));
    }
    Ok(())
}
