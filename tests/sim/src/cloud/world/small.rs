//! The default world.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::{
    AccessKey, Api, Certificates, Databases, Doors, Endpoint, Host, Names, OidcProvider, OidcToken, Policy, Role,
    Serve, User, World, Zone,
};
use crate::cloud::stamp::Stamp;
use crate::https::HttpsMode;
use crate::tcp::TcpMode;

impl World {
    /// The zones of the small VPC.
    pub const ZONES: [&'static str; 2] = ["cn-hangzhou-h", "cn-hangzhou-i"];
    /// The endpoint whose ENIs answer HTTPS on port 8443.
    pub const ORDERS: &'static str = "ep-bp1standinorders00001";
    /// The endpoint whose ENIs accept TCP on port 5432.
    pub const LEDGER: &'static str = "ep-bp1standinledger00001";
    /// The access key of user `agent`, who may read PrivateLink and assume role `agent`.
    pub const KEY: (&'static str, &'static str) = ("LTAI5tStandInAgent000001", "standin-secret-of-agent-0001");
    /// The access key of user `nobody`, who may do nothing.
    pub const POWERLESS_KEY: (&'static str, &'static str) =
        ("LTAI5tStandInNobody00001", "standin-secret-of-nobody-001");
    /// The role that may read PrivateLink: the host's, and the one for AssumeRole.
    pub const ROLE: &'static str = "agent";
    /// The OIDC provider that role `agent` trusts.
    pub const OIDC: &'static str = "standin";
    /// A token of that provider which lasts.
    pub const OIDC_TOKEN: &'static str = "standin.oidc.token";

    /// Two endpoints, each with an ENI in each of two zones, at these addresses: `orders` in the first and second
    /// zone, then `ledger`.
    #[must_use]
    pub fn small(enis: [Ipv4Addr; 4]) -> Self {
        let [orders_h, orders_i, ledger_h, ledger_i] = enis;
        let https = Serve::Https { port: 8443, mode: HttpsMode::Up };
        let tcp = Serve::Tcp { port: 5432, mode: TcpMode::Up };
        let orders = endpoint(("orders", "gw-orders.example.com"), [orders_h, orders_i], &https);
        let ledger = endpoint(("ledger", "ledger-db.example.internal"), [ledger_h, ledger_i], &tcp);
        let host = Host { role: Some(Self::ROLE.to_owned()), ..Host::default() };
        Self {
            region: "cn-hangzhou".to_owned(),
            account: "1234567890123456".to_owned(),
            users: users(),
            roles: roles(),
            oidc_providers: oidc_providers(),
            sessions: BTreeMap::new(),
            endpoints: BTreeMap::from([(Self::ORDERS.to_owned(), orders), (Self::LEDGER.to_owned(), ledger)]),
            databases: Databases::default(),
            host,
            names: Names::default(),
            api: Api::default(),
            faults: BTreeMap::new(),
            doors: Doors::default(),
            certificates: Certificates::default(),
            clock_offset_ms: 0,
        }
    }
}

fn endpoint((name, private_dns): (&str, &str), ips: [Ipv4Addr; 2], serve: &Serve) -> Endpoint {
    let zone = |(zone, ip): (&str, Ipv4Addr)| {
        let letter = zone.chars().last().unwrap_or('x');
        let made = Zone {
            eni_id: Some(format!("eni-bp1standin{name}00{letter}")),
            eni_ip: Some(ip),
            vswitch_id: format!("vsw-bp1standin000000000{letter}"),
            serve: Some(serve.clone()),
            ..Zone::default()
        };
        (zone.to_owned(), made)
    };
    Endpoint {
        name: name.to_owned(),
        vpc_id: Host::default().vpc_id,
        service_id: format!("epsrv-bp1standin{name}0001"),
        security_groups: BTreeMap::from([("sg-bp1standin000000001".to_owned(), "Attached".to_owned())]),
        tags: BTreeMap::from([("made-by".to_owned(), "privatelink-sim".to_owned())]),
        private_dns: vec![private_dns.to_owned()],
        zones: World::ZONES.into_iter().zip(ips).map(zone).collect(),
        ..Endpoint::default()
    }
}

fn reader() -> Policy {
    let actions = [
        "privatelink:ListVpcEndpoints",
        "privatelink:GetVpcEndpointAttribute",
        "privatelink:ListVpcEndpointZones",
        "privatelink:ListVpcEndpointSecurityGroups",
    ];
    Policy::allow(&actions, "acs:privatelink:*:*:vpcendpoint/*")
}

fn users() -> BTreeMap<String, User> {
    let user = |(id, secret): (&str, &str), policy| {
        let key = AccessKey { secret: secret.to_owned(), active: true };
        User { keys: BTreeMap::from([(id.to_owned(), key)]), policy }
    };
    let mut agent = reader();
    agent.statements.extend(Policy::allow(&["sts:AssumeRole"], "acs:ram::*:role/*").statements);
    BTreeMap::from([
        ("agent".to_owned(), user(World::KEY, agent)),
        ("nobody".to_owned(), user(World::POWERLESS_KEY, Policy::default())),
    ])
}

fn roles() -> BTreeMap<String, Role> {
    let trust = ["ecs.aliyuncs.com", "acs:ram::*:user/agent", "acs:ram::*:oidc-provider/standin"];
    let trust: BTreeSet<String> = trust.into_iter().map(str::to_owned).collect();
    let agent = Role { trust, policy: reader(), ..Role::default() };
    // Exists, and trusts nobody.
    BTreeMap::from([(World::ROLE.to_owned(), agent), ("closed".to_owned(), Role::default())])
}

fn oidc_providers() -> BTreeMap<String, OidcProvider> {
    let token = |subject: &str, expires| OidcToken { subject: subject.to_owned(), expires };
    // The end of 2099, and 2001.
    let (lasting, past) = (Stamp::from_millis(4_102_444_799_000), Stamp::from_millis(1_000_000_000_000));
    let tokens = BTreeMap::from([
        (World::OIDC_TOKEN.to_owned(), token("system:serviceaccount:default:agent", lasting)),
        ("standin.oidc.expired".to_owned(), token("system:serviceaccount:default:agent", past)),
    ]);
    let issuer = "https://oidc.standin.invalid".to_owned();
    BTreeMap::from([(World::OIDC.to_owned(), OidcProvider { issuer, tokens })])
}
