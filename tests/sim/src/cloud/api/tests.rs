//! The API's answers, without a socket or a clock.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::signature::Claim;
use super::*;
use crate::cloud::world::{Effect, Fault, LastToken, Policy, Tokens, World};

const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// A stand-in whose time the test tells.
struct Rig {
    state: State,
    now: Stamp,
    nonce: u32,
}

/// With what a request is signed.
struct Keys<'a>(&'a str, &'a str, Option<&'a str>);

const AGENT: Keys<'static> = Keys(World::KEY.0, World::KEY.1, None);

impl Rig {
    fn new() -> Self {
        let enis = [1, 2, 3, 4].map(|last| Ipv4Addr::new(127, 9, 0, last));
        Self { state: State::new(World::small(enis), 7), now: Stamp::from_millis(1_767_323_045_000), nonce: 0 }
    }

    fn request(&mut self, keys: &Keys<'_>, action: &str, parameters: &[(&str, &str)]) -> Request {
        self.nonce += 1;
        let pairs: Vec<String> = parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let version = if sts::ACTIONS.contains(&action) { sts::VERSION } else { privatelink::VERSION };
        let mut headers = vec![
            ("host", "127.0.0.1:8080".to_owned()),
            ("x-acs-action", action.to_owned()),
            ("x-acs-content-sha256", EMPTY.to_owned()),
            ("x-acs-date", self.now.iso()),
            ("x-acs-signature-nonce", format!("nonce-{}", self.nonce)),
            ("x-acs-version", version.to_owned()),
        ];
        headers.extend(keys.2.map(|token| ("x-acs-security-token", token.to_owned())));
        headers.sort();
        let headers: Vec<_> = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let mut request = Request {
            method: "POST".to_owned(),
            path: "/".to_owned(),
            query: pairs.join("&"),
            headers,
            body: Vec::new(),
        };
        sign(&mut request, keys);
        request
    }

    fn send(&mut self, request: &Request) -> Reply {
        let service =
            if sts::ACTIONS.contains(&openapi::action(request).as_str()) { Service::Sts } else { Service::Privatelink };
        answer(&mut self.state, service, request, self.now)
    }

    fn ask(&mut self, keys: &Keys<'_>, action: &str, parameters: &[(&str, &str)]) -> Reply {
        let request = self.request(keys, action, parameters);
        self.send(&request)
    }

    fn zones(&mut self) -> Reply {
        self.ask(&AGENT, "ListVpcEndpointZones", &[("RegionId", "cn-hangzhou"), ("EndpointId", World::ORDERS)])
    }

    fn list(&mut self, more: &[(&str, &str)]) -> Reply {
        let parameters: Vec<_> = [("RegionId", "cn-hangzhou")].iter().chain(more).copied().collect();
        self.ask(&AGENT, "ListVpcEndpoints", &parameters)
    }

    fn metadata(&mut self, method: &str, path: &str, header: Option<(&str, &str)>) -> Reply {
        let headers = header.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
        let request = Request { method: method.to_owned(), path: path.to_owned(), headers, ..Request::default() };
        answer(&mut self.state, Service::Metadata, &request, self.now)
    }
}

fn sign(request: &mut Request, keys: &Keys<'_>) {
    request.headers.retain(|(name, _)| name != "authorization");
    let names: Vec<&str> = request.headers.iter().map(|(name, _)| name.as_str()).collect();
    let unsigned = format!("ACS3-HMAC-SHA256 Credential={},SignedHeaders={}", keys.0, names.join(";"));
    let authorization = |signature: &str| ("authorization".to_owned(), format!("{unsigned},Signature={signature}"));
    let mut probe = request.clone();
    probe.headers.push(authorization("unknown"));
    let claim = Claim::read(&probe).unwrap().unwrap();
    request.headers.push(authorization(&claim.signature(keys.1)));
}

fn text(body: &Reply) -> String {
    String::from_utf8(body.body.clone()).unwrap()
}

fn code(reply: &Reply) -> (u16, String) {
    (reply.status, reply.value()["Code"].as_str().unwrap_or("ok").to_owned())
}

fn expect(reply: &Reply, status: u16, expected: &str) {
    assert_eq!(code(reply), (status, expected.to_owned()), "{}", text(reply));
}

#[test]
fn lists_endpoints_with_their_fields() {
    let mut rig = Rig::new();
    let reply = rig.list(&[]);
    assert_eq!(reply.status, 200);
    let value = reply.value();
    assert_eq!(value["TotalCount"], 2);
    assert!(value.get("NextToken").is_none());
    let orders = &value["Endpoints"][1];
    assert_eq!(orders["EndpointId"], World::ORDERS);
    let domain = "ep-bp1standinorders00001.epsrv-bp1standinorders0001.cn-hangzhou.privatelink.aliyuncs.com";
    assert_eq!(orders["EndpointDomain"], domain);
    assert_eq!(orders["ServiceName"], "com.aliyuncs.privatelink.cn-hangzhou.epsrv-bp1standinorders0001");
    assert_eq!(orders["ZoneAffinityEnabled"], false);
    assert_eq!(orders["Tags"], json!([{ "Key": "made-by", "Value": "privatelink-sim" }]));
    assert!(orders.get("Zones").is_none());
}

#[test]
fn filters_endpoints() {
    let mut rig = Rig::new();
    for (name, value, expected) in [
        ("VpcId", "vpc-bp1standin0000000001", 2),
        ("VpcId", "vpc-other", 0),
        ("EndpointId", World::LEDGER, 1),
        ("EndpointName", "orders", 1),
        ("EndpointType", "Reverse", 0),
        ("EndpointStatus", "Active", 2),
        ("ConnectionStatus", "Disconnected", 0),
        ("Tag.1.Key", "made-by", 2),
        ("Tag.1.Key", "other", 0),
    ] {
        assert_eq!(rig.list(&[(name, value)]).value()["TotalCount"], expected, "{name}={value}");
    }
}

#[test]
fn shows_zones_and_attributes() {
    let mut rig = Rig::new();
    let value = rig.zones().value();
    let zone = &value["Zones"][1];
    assert_eq!(zone["ZoneId"], "cn-hangzhou-i");
    assert_eq!(zone["EniIp"], "127.9.0.2");
    assert_eq!(zone["ZoneStatus"], "Connected");
    assert_eq!(zone["ZoneIpv6Address"], "false");
    let domain =
        "ep-bp1standinorders00001-cn-hangzhou-i.epsrv-bp1standinorders0001.cn-hangzhou.privatelink.aliyuncs.com";
    assert_eq!(zone["ZoneDomain"], domain);

    let about = [("RegionId", "cn-hangzhou"), ("EndpointId", World::ORDERS)];
    let value = rig.ask(&AGENT, "GetVpcEndpointAttribute", &about).value();
    assert_eq!(value["Payer"], "Endpoint");
    assert_eq!(value["ZonePrivateIpAddressCount"], 1);
    assert!(value.get("Tags").is_none());
    let value = rig.ask(&AGENT, "ListVpcEndpointSecurityGroups", &about).value();
    assert_eq!(value["SecurityGroups"][0]["SecurityGroupStatus"], "Attached");
}

#[test]
fn gives_pages() {
    let mut rig = Rig::new();
    let first = rig.list(&[("MaxResults", "1")]).value();
    let token = first["NextToken"].as_str().unwrap().to_owned();
    let second = rig.list(&[("MaxResults", "1"), ("NextToken", &token)]).value();
    assert_ne!(first["Endpoints"][0]["EndpointId"], second["Endpoints"][0]["EndpointId"]);
    assert!(second.get("NextToken").is_none());
    assert_eq!(second["TotalCount"], 2);

    expect(&rig.list(&[("NextToken", "made-up")]), 400, "InvalidParameter.NextToken");
    let other = rig.list(&[("EndpointType", "Interface"), ("NextToken", &token)]);
    expect(&other, 400, "InvalidParameter.NextToken");
    for wrong in ["0", "1001", "-1", "x"] {
        expect(&rig.list(&[("MaxResults", wrong)]), 400, "InvalidParameter.MaxResults");
    }

    rig.state.world.api.most_results = 50;
    expect(&rig.list(&[("MaxResults", "51")]), 400, "InvalidParameter.MaxResults");
    rig.state.world.api.last_token = LastToken::Empty;
    assert_eq!(rig.list(&[]).value()["NextToken"], "");
    rig.state.world.api.last_token = LastToken::Null;
    assert_eq!(rig.list(&[]).value()["NextToken"], Value::Null);
    rig.state.world.api.page_cap = 1;
    assert!(rig.list(&[]).value()["NextToken"].is_string());
}

#[test]
fn refuses_calls_that_are_none() {
    let mut rig = Rig::new();
    expect(&rig.ask(&AGENT, "ListVpcEndpoints", &[]), 400, "MissingParameter");
    expect(&rig.ask(&AGENT, "ListVpcEndpoints", &[("RegionId", "cn-beijing")]), 404, "InvalidRegionId.NotFound");
    expect(&rig.ask(&AGENT, "DeleteVpcEndpoint", &[]), 404, "InvalidAction.NotFound");
    let unknown = [("RegionId", "cn-hangzhou"), ("EndpointId", "ep-unknown")];
    expect(&rig.ask(&AGENT, "ListVpcEndpointZones", &unknown), 400, "EndpointNotFound");
    expect(&rig.ask(&AGENT, "GetVpcEndpointAttribute", &unknown), 400, "EndpointNotFound");

    let mut version = rig.request(&AGENT, "ListVpcEndpoints", &[]);
    version.headers.iter_mut().filter(|(name, _)| name == "x-acs-version").for_each(|(_, v)| *v = "2015-01-01".into());
    expect(&rig.send(&version), 400, "NoSuchVersion");
    let request = rig.request(&AGENT, "AssumeRole", &[]);
    expect(&answer(&mut rig.state, Service::Privatelink, &request, rig.now), 400, "NoSuchVersion");

    rig.state.world.endpoints.get_mut(World::ORDERS).unwrap().listed = false;
    expect(&rig.zones(), 400, "EndpointNotFound");
    assert_eq!(rig.list(&[]).value()["TotalCount"], 1);
}

#[test]
fn refuses_wrong_signatures() {
    let mut rig = Rig::new();
    let region = [("RegionId", "cn-hangzhou")];
    let unknown = rig.ask(&Keys("LTAIunknown", "x", None), "ListVpcEndpoints", &region);
    expect(&unknown, 404, "InvalidAccessKeyId.NotFound");
    let wrong = rig.ask(&Keys(World::KEY.0, "wrong", None), "ListVpcEndpoints", &region);
    expect(&wrong, 400, "SignatureDoesNotMatch");
    assert!(wrong.value()["Message"].as_str().unwrap().contains("server string to sign is:ACS3-HMAC-SHA256\n"));
    assert!(wrong.value()["Recommend"].as_str().unwrap().contains("q=SignatureDoesNotMatch"));

    let mut changed = rig.request(&AGENT, "ListVpcEndpoints", &region);
    changed.query.push_str("&VpcId=vpc-1");
    expect(&rig.send(&changed), 400, "SignatureDoesNotMatch");

    let mut none = rig.request(&AGENT, "ListVpcEndpoints", &region);
    none.headers.retain(|(name, _)| name != "authorization");
    expect(&rig.send(&none), 400, "MissingParameter");

    rig.state.world.users.get_mut("agent").unwrap().keys.get_mut(World::KEY.0).unwrap().active = false;
    expect(&rig.zones(), 400, "InvalidAccessKeyId.Inactive");
}

#[test]
fn refuses_stale_dates_and_used_nonces() {
    let mut rig = Rig::new();
    let request = rig.request(&AGENT, "ListVpcEndpoints", &[("RegionId", "cn-hangzhou")]);
    let signed = rig.now;
    for (off, expected) in [(900_001, 400), (-900_001, 400), (900_000, 200)] {
        rig.now = signed.shifted(off);
        assert_eq!(rig.send(&request).status, expected, "{off}");
    }
    expect(&rig.send(&request), 400, "SignatureNonceUsed");
    rig.now = signed.shifted(-900_001);
    let stale = rig.send(&request);
    expect(&stale, 400, "InvalidTimeStamp.Expired");
    // A client can learn the cloud's time from it.
    assert!(stale.headers.contains(&("date".to_owned(), rig.now.http_date())));

    // A wrong signature uses no nonce up: who doesn't know the secret can't block who does.
    rig.now = signed;
    let mut request = rig.request(&AGENT, "ListVpcEndpoints", &[("RegionId", "cn-hangzhou")]);
    sign(&mut request, &Keys(World::KEY.0, "wrong", None));
    assert_eq!(rig.send(&request).status, 400);
    sign(&mut request, &AGENT);
    assert_eq!(rig.send(&request).status, 200);
}

#[test]
fn asks_ram() {
    let mut rig = Rig::new();
    let nobody = Keys(World::POWERLESS_KEY.0, World::POWERLESS_KEY.1, None);
    let region = [("RegionId", "cn-hangzhou")];
    let denied = rig.ask(&nobody, "ListVpcEndpoints", &region);
    expect(&denied, 403, "Forbidden.RAM");
    let detail = &denied.value()["AccessDeniedDetail"];
    assert_eq!(detail["AuthAction"], "privatelink:ListVpcEndpoints");
    assert_eq!(detail["NoPermissionType"], "ImplicitDeny");

    let arn = rig.state.world.endpoint_arn(World::ORDERS);
    let agent = rig.state.world.users.get_mut("agent").unwrap();
    agent.policy = agent.policy.clone().and(Effect::Deny, &["privatelink:*"], &arn);
    let denied = rig.zones();
    expect(&denied, 403, "Forbidden.RAM");
    assert_eq!(denied.value()["AccessDeniedDetail"]["NoPermissionType"], "ExplicitDeny");
    assert_eq!(rig.list(&[]).status, 200);
    assert_eq!(rig.state.calls(0).last().unwrap().caller.as_deref(), Some("acs:ram::1234567890123456:user/agent"));
}

#[test]
fn throttles_over_quota() {
    let mut rig = Rig::new();
    rig.state.world.api.quota_calls = 2;
    rig.state.world.api.quota_retry_after_ms = Some(1500);
    assert_eq!((rig.list(&[]).status, rig.list(&[]).status), (200, 200));
    let third = rig.list(&[]);
    expect(&third, 400, "Throttling.User");
    assert!(third.headers.contains(&("x-acs-retry-after".to_owned(), "1500".to_owned())));
    assert_eq!(rig.zones().status, 200, "another action has a quota of its own");
    rig.now = rig.now.shifted(60_000);
    assert_eq!(rig.list(&[]).status, 200);
}

fn assume(rig: &mut Rig, keys: &Keys<'_>, more: &[(&str, &str)]) -> Reply {
    let arn = rig.state.world.role_arn(World::ROLE);
    let mut parameters = vec![("RoleArn", arn.as_str()), ("RoleSessionName", "test")];
    parameters.extend(more);
    rig.ask(keys, "AssumeRole", &parameters)
}

#[test]
fn assumes_roles() {
    let mut rig = Rig::new();
    let value = assume(&mut rig, &AGENT, &[("DurationSeconds", "900")]).value();
    let credentials = &value["Credentials"];
    assert_eq!(credentials["Expiration"], rig.now.shifted(900_000).iso());
    let part = |name: &str| credentials[name].as_str().unwrap().to_owned();
    let (key, secret, token) = (part("AccessKeyId"), part("AccessKeySecret"), part("SecurityToken"));
    assert!(key.starts_with("STS."));
    let region = [("RegionId", "cn-hangzhou")];
    let with = |token| Keys(&key, &secret, token);
    assert_eq!(rig.ask(&with(Some(&token)), "ListVpcEndpoints", &region).status, 200);
    let who = rig.ask(&with(Some(&token)), "GetCallerIdentity", &[]).value();
    assert_eq!(who["Arn"], "acs:ram::1234567890123456:assumed-role/agent/test");
    assert_eq!(who["IdentityType"], "AssumedRoleUser");

    expect(&rig.ask(&with(None), "ListVpcEndpoints", &region), 400, "MissingSecurityToken");
    expect(&rig.ask(&with(Some("CAISmadeup")), "ListVpcEndpoints", &region), 400, "InvalidSecurityToken.Malformed");
    let stolen = Keys(World::KEY.0, World::KEY.1, Some(&token));
    expect(&rig.ask(&stolen, "ListVpcEndpoints", &region), 400, "InvalidSecurityToken.MismatchWithAccessKey");
    rig.now = rig.now.shifted(900_000);
    expect(&rig.ask(&with(Some(&token)), "ListVpcEndpoints", &region), 400, "InvalidSecurityToken.Expired");
}

#[test]
fn refuses_roles() {
    let mut rig = Rig::new();
    let closed = rig.state.world.role_arn("closed");
    let name = ("RoleSessionName", "test");
    expect(&rig.ask(&AGENT, "AssumeRole", &[("RoleArn", &closed), name]), 403, "NoPermission");
    let absent = rig.state.world.role_arn("absent");
    expect(&rig.ask(&AGENT, "AssumeRole", &[("RoleArn", &absent), name]), 404, "EntityNotExist.Role");
    expect(&rig.ask(&AGENT, "AssumeRole", &[("RoleArn", "role"), name]), 400, "InvalidParameter.RoleArn");
    expect(&assume(&mut rig, &AGENT, &[("DurationSeconds", "60")]), 400, "InvalidParameter.DurationSeconds");
    expect(&assume(&mut rig, &AGENT, &[("DurationSeconds", "3601")]), 400, "InvalidParameter.DurationSeconds");
    expect(&assume(&mut rig, &AGENT, &[("Policy", "nonsense")]), 400, "InvalidParameter.PolicyGrammar");
    let nobody = Keys(World::POWERLESS_KEY.0, World::POWERLESS_KEY.1, None);
    expect(&assume(&mut rig, &nobody, &[]), 403, "NoPermission");
}

#[test]
fn narrows_a_session_by_its_policy() {
    let mut rig = Rig::new();
    let policy = Policy::allow(&["privatelink:ListVpcEndpoints"], "*");
    let expires = rig.now.shifted(1000);
    let key = rig.state.open_session((World::ROLE, "narrow"), Some(policy), expires);
    let session = rig.state.world.sessions[&key].clone();
    let keys = Keys(&key, &session.secret, Some(&session.token));
    assert_eq!(rig.ask(&keys, "ListVpcEndpoints", &[("RegionId", "cn-hangzhou")]).status, 200);
    let about = [("RegionId", "cn-hangzhou"), ("EndpointId", World::ORDERS)];
    expect(&rig.ask(&keys, "ListVpcEndpointZones", &about), 403, "Forbidden.RAM");
}

#[test]
fn exchanges_oidc_tokens_without_a_signature() {
    let mut rig = Rig::new();
    let (role, provider) = (rig.state.world.role_arn(World::ROLE), rig.state.world.oidc_arn(World::OIDC));
    let mut ask = |token: &str, provider: &str| {
        let query = format!(
            "Action=AssumeRoleWithOIDC&Version=2015-04-01&Format=JSON&RoleArn={role}&OIDCProviderArn={provider}\
             &RoleSessionName=test&OIDCToken={token}"
        );
        let request = Request { method: "POST".to_owned(), path: "/".to_owned(), query, ..Request::default() };
        answer(&mut rig.state, Service::Sts, &request, rig.now)
    };
    let good = ask(World::OIDC_TOKEN, &provider);
    assert!(good.value()["Credentials"]["SecurityToken"].is_string(), "{}", text(&good));
    expect(&ask("made-up", &provider), 400, "AuthenticationFail.OIDCToken.Invalid");
    expect(&ask("standin.oidc.expired", &provider), 400, "AuthenticationFail.OIDCToken.Expired");
    expect(&ask(World::OIDC_TOKEN, "acs:ram::1:oidc-provider/x"), 404, "EntityNotExist.OIDCProvider");
    let call = rig.state.calls(0).remove(0);
    assert!(!call.parameters.contains_key("OIDCToken"));
    assert!(call.parameters.contains_key("RoleArn"));
}

#[test]
fn metadata_with_and_without_tokens() {
    let mut rig = Rig::new();
    let ttl = "x-aliyun-ecs-metadata-token-ttl-seconds";
    let path = "/latest/meta-data/zone-id";
    assert_eq!(text(&rig.metadata("GET", path, None)), "cn-hangzhou-h");
    let token = text(&rig.metadata("PUT", "/latest/api/token", Some((ttl, "60"))));
    let with = Some(("x-aliyun-ecs-metadata-token", token.as_str()));
    rig.state.world.host.tokens = Tokens::Required;
    assert_eq!(rig.metadata("GET", path, None).status, 403);
    assert_eq!(rig.metadata("GET", path, with).status, 200);
    assert_eq!(rig.metadata("GET", path, Some(("x-aliyun-ecs-metadata-token", "made-up"))).status, 401);
    for wrong in ["0", "21601", "x"] {
        assert_eq!(rig.metadata("PUT", "/latest/api/token", Some((ttl, wrong))).status, 400);
    }
    rig.now = rig.now.shifted(60_000);
    assert_eq!(rig.metadata("GET", path, with).status, 401);
    rig.state.world.host.tokens = Tokens::Unsupported;
    assert_eq!(rig.metadata("PUT", "/latest/api/token", Some((ttl, "60"))).status, 404);
    assert_eq!(rig.metadata("GET", path, None).status, 200);
    assert_eq!(rig.metadata("GET", "/latest/meta-data/nonsense", None).status, 404);
    rig.state.world.host.metadata.insert("zone-id".to_owned(), None);
    assert_eq!(rig.metadata("GET", path, None).status, 404);
}

#[test]
fn metadata_gives_and_renews_the_roles_credentials() {
    let mut rig = Rig::new();
    let path = "/latest/meta-data/ram/security-credentials/";
    assert_eq!(text(&rig.metadata("GET", path, None)), "agent");
    let fetch = |rig: &mut Rig| rig.metadata("GET", &format!("{path}agent"), None).value();
    let first = fetch(&mut rig);
    assert_eq!(first["Code"], "Success");
    rig.now = rig.now.shifted(4 * 3_600_000);
    assert_eq!(fetch(&mut rig)["AccessKeyId"], first["AccessKeyId"]);
    rig.now = rig.now.shifted(3_600_000);
    let second = fetch(&mut rig);
    assert_ne!(second["AccessKeyId"], first["AccessKeyId"]);
    let part = |name: &str| second[name].as_str().unwrap().to_owned();
    let (key, secret, token) = (part("AccessKeyId"), part("AccessKeySecret"), part("SecurityToken"));
    let keys = Keys(&key, &secret, Some(&token));
    assert_eq!(rig.ask(&keys, "ListVpcEndpoints", &[("RegionId", "cn-hangzhou")]).status, 200);

    rig.state.world.host.role_code = "Failed".to_owned();
    assert_eq!(fetch(&mut rig)["Code"], "Failed");
    rig.state.world.host.role = None;
    assert_eq!(rig.metadata("GET", path, None).status, 404);
}

#[test]
fn faults_of_content() {
    let mut rig = Rig::new();
    let list = |what| Fault::new(what).action("ListVpcEndpointZones").times(1);
    let mut zones = |what| {
        rig.state.world.add_fault(list(what));
        rig.zones()
    };
    assert_eq!(zones(What::EmptyList).value()["Zones"], json!([]));
    let partial = zones(What::PartialList { keep: 1 }).value();
    assert_eq!((partial["Zones"].as_array().unwrap().len(), &partial["TotalCount"]), (1, &json!(2)));
    let patched = zones(What::Patch { at: "/Zones/0/EniIp".to_owned(), value: Some(json!("nonsense")) }).value();
    assert_eq!(patched["Zones"][0]["EniIp"], "nonsense");
    let patched = zones(What::Patch { at: "/Zones/0".to_owned(), value: None }).value();
    assert_eq!(patched["Zones"][0]["ZoneId"], "cn-hangzhou-i");
    assert_eq!(zones(What::RepeatToken).value()["NextToken"], "repeated");
    assert!(zones(What::Huge { bytes: 1 << 20 }).body.len() > 1 << 20);
    expect(&zones(What::throttle(Some(7))), 400, "Throttling.User");
    expect(&zones(What::error(503, "ServiceUnavailable")), 503, "ServiceUnavailable");
    let xml = zones(What::Error { status: 500, code: "InternalError".into(), message: "a < b".into(), xml: true });
    assert!(text(&xml).contains("<Code>InternalError</Code><Message>a &lt; b</Message>"));
    assert_eq!(zones(What::Status { status: 502, body: "bad gateway".to_owned() }).status, 502);
    assert_eq!(zones(What::Hang).delivery.how, How::Never);
    assert_eq!(rig.zones().delivery, Delivery::default());
    let outcomes: Vec<_> = rig.state.calls(0).into_iter().map(|call| call.outcome).collect();
    assert_eq!(outcomes[6..], ["Throttling.User", "ServiceUnavailable", "InternalError", "status", "hang", "ok"]);
    assert!(rig.state.world.faults.is_empty());
}

#[test]
fn faults_strike_whom_they_name() {
    let mut rig = Rig::new();
    rig.state.world.add_fault(Fault::new(What::error(500, "InternalError")).endpoint(World::LEDGER).after(1));
    let zones = |rig: &mut Rig, id| {
        rig.ask(&AGENT, "ListVpcEndpointZones", &[("RegionId", "cn-hangzhou"), ("EndpointId", id)]).status
    };
    let statuses =
        [World::ORDERS, World::LEDGER, World::LEDGER, World::LEDGER, World::ORDERS].map(|id| zones(&mut rig, id));
    assert_eq!(statuses, [200, 200, 500, 500, 200]);
}

#[test]
fn a_fault_hides_no_wrong_signature() {
    let mut rig = Rig::new();
    rig.state.world.add_fault(Fault::new(What::throttle(None)));
    let wrong = rig.ask(&Keys(World::KEY.0, "wrong", None), "ListVpcEndpoints", &[("RegionId", "cn-hangzhou")]);
    expect(&wrong, 400, "SignatureDoesNotMatch");
}

#[test]
fn remembers_calls() {
    let mut rig = Rig::new();
    rig.list(&[]);
    rig.zones();
    let calls = rig.state.calls(1);
    assert_eq!(calls.len(), 1);
    let call = &calls[0];
    assert_eq!((call.number, call.action.as_str(), call.outcome.as_str()), (2, "ListVpcEndpointZones", "ok"));
    assert_eq!(call.key.as_deref(), Some(World::KEY.0));
    assert_eq!(call.nonce.as_deref(), Some("nonce-2"));
    let nonces: BTreeSet<_> = rig.state.calls(0).into_iter().map(|call| call.nonce).collect();
    assert_eq!(nonces.len(), 2);
}

#[test]
fn a_world_survives_json() {
    let world = Rig::new().state.world;
    let json = serde_json::to_value(&world).unwrap();
    assert_eq!(serde_json::from_value::<World>(json).unwrap(), world);
}

/// Numbers without a pattern, the same at every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % most as u64).unwrap()
    }

    fn damage(&mut self, text: &mut String) {
        const BITS: [&str; 12] = ["%", "&", "=", "+", ";", ",", " ", "\u{0}", "中", "Signature=", "-1", ".."];
        let mut chars: Vec<char> = text.chars().collect();
        let at = self.below(chars.len() + 1);
        match self.below(3) {
            0 => chars.truncate(at),
            1 if at < chars.len() => drop(chars.remove(at)),
            _ => drop(chars.splice(at..at, BITS[self.below(BITS.len())].chars())),
        }
        *text = chars.into_iter().collect();
    }
}

#[test]
fn answers_whatever_comes_and_lets_nothing_damaged_pass() {
    let mut rig = Rig::new();
    rig.state.world.api.quota_calls = 0;
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for _ in 0..20_000 {
        let about = [("RegionId", "cn-hangzhou"), ("EndpointId", World::ORDERS), ("MaxResults", "1")];
        let whole = rig.request(&AGENT, "ListVpcEndpointZones", &about);
        let mut request = whole.clone();
        for _ in 0..=dice.below(3) {
            match dice.below(5) {
                0 => dice.damage(&mut request.method),
                1 => dice.damage(&mut request.path),
                2 => dice.damage(&mut request.query),
                3 => request.body.push(b'x'),
                _ => {
                    let at = dice.below(request.headers.len());
                    let (name, value) = &mut request.headers[at];
                    let text = if dice.below(4) == 0 { name } else { value };
                    dice.damage(text);
                }
            }
        }
        let service = [Service::Privatelink, Service::Sts, Service::Metadata][dice.below(3)];
        let reply = answer(&mut rig.state, service, &request, rig.now);
        // Damage that means the same, such as a `&` at the end, may pass.
        let same = request.query_parameters() == whole.query_parameters() && request.body == whole.body;
        assert!(reply.status != 200 || same, "{request:?}");
    }
}
