//! What the VPC's resolver answers. No I/O, no clock.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::api::{About, Delivery, How, names, strike};
use super::stamp::Stamp;
use super::state::{Call, Remembered, State};
use super::world::{Endpoint, Rcode, Service, What, World, Zone};

/// The types of questions that have answers.
pub(crate) const A: u16 = 1;
pub(crate) const AAAA: u16 = 28;

/// A question.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    /// The name, in lower case and without its last dot.
    pub(crate) name: String,
    /// The type's number.
    pub(crate) kind: u16,
    /// Who asks.
    pub(crate) from: IpAddr,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) rcode: Rcode,
    pub(crate) addresses: Vec<IpAddr>,
    /// Of the addresses, or of there being none.
    pub(crate) ttl: u32,
    pub(crate) delivery: Delivery,
}

/// Answers a question at `now`, and remembers it as a call.
pub(crate) fn resolve(state: &mut State, question: &Question, now: Stamp) -> Answer {
    let world = &mut state.world;
    let action = format!("{} {}", kind_name(question.kind), question.name);
    let endpoint = world.endpoints.keys().find(|id| question.name.starts_with(id.as_str())).cloned();
    let about = About { service: Service::Dns, action: &action, endpoint: endpoint.as_deref(), key: None };
    let struck = strike(&mut world.faults, &about);
    let mut answer = remembered(state, question, now);
    for what in &struck {
        spoil(&mut answer, what);
    }
    let outcome = match answer.rcode {
        _ if answer.delivery.how == How::Never => "hang",
        Rcode::NoError if answer.addresses.is_empty() => "nodata",
        Rcode::NoError => "ok",
        Rcode::FormErr => "formerr",
        Rcode::ServFail => "servfail",
        Rcode::NxDomain => "nxdomain",
        Rcode::NotImp => "notimp",
        Rcode::Refused => "refused",
    };
    state.ledger.record(Call {
        number: 0,
        at: now,
        service: Service::Dns,
        action,
        caller: None,
        key: None,
        nonce: None,
        host: None,
        parameters: BTreeMap::from([("from".to_owned(), question.from.to_string())]),
        status: answer.rcode.number(),
        outcome: outcome.to_owned(),
        faults: names(&struck),
    });
    answer
}

impl Rcode {
    pub(crate) fn number(self) -> u16 {
        match self {
            Self::NoError => 0,
            Self::FormErr => 1,
            Self::ServFail => 2,
            Self::NxDomain => 3,
            Self::NotImp => 4,
            Self::Refused => 5,
        }
    }
}

fn kind_name(kind: u16) -> String {
    match kind {
        A => "A".to_owned(),
        AAAA => "AAAA".to_owned(),
        other => format!("TYPE{other}"),
    }
}

fn spoil(answer: &mut Answer, what: &What) {
    match what {
        What::Rcode { rcode } => {
            answer.rcode = *rcode;
            answer.addresses.clear();
        }
        What::EmptyList => answer.addresses.clear(),
        What::PartialList { keep } => answer.addresses.truncate(*keep),
        What::Delay { ms } => answer.delivery.delay += Duration::from_millis(*ms),
        // Nothing else can happen to a datagram.
        What::Hang | What::HangUp | What::Reset => answer.delivery.how = How::Never,
        _ => {}
    }
}

/// The truth, or what the resolver holds for it.
fn remembered(state: &mut State, question: &Question, now: Stamp) -> Answer {
    let (world, memory) = (&state.world, &mut state.ledger.remembered);
    let zone = world.names.askers.get(&question.from).unwrap_or(&world.host.zone_id);
    let key = (question.name.clone(), question.kind, zone.clone());
    if let Some(kept) = memory.get(&key).filter(|kept| world.names.cached && kept.until > now) {
        let left = kept.until.apart(now).as_millis().div_ceil(1000);
        return answer(Some((kept.exists, kept.addresses.clone())), u32::try_from(left).unwrap_or(u32::MAX));
    }
    let Some(found) = look_up(world, &question.name, zone) else { return answer(None, 0) };
    let found = found.map(|mut addresses| {
        addresses.retain(|ip| if ip.is_ipv4() { question.kind == A } else { question.kind == AAAA });
        addresses
    });
    let (exists, addresses) = (found.is_some(), found.unwrap_or_default());
    let ttl = if addresses.is_empty() { world.names.negative_ttl } else { world.names.ttl };
    if world.names.cached {
        let until = now.plus(Duration::from_secs(ttl.into()));
        memory.insert(key, Remembered { addresses: addresses.clone(), exists, until });
    }
    answer(Some((exists, addresses)), ttl)
}

fn answer(found: Option<(bool, Vec<IpAddr>)>, ttl: u32) -> Answer {
    let (rcode, addresses) = match found {
        None => (Rcode::Refused, Vec::new()),
        Some((false, _)) => (Rcode::NxDomain, Vec::new()),
        Some((true, addresses)) => (Rcode::NoError, addresses),
    };
    Answer { rcode, addresses, ttl, delivery: Delivery::default() }
}

/// The addresses of a name. None where the resolver isn't responsible, and none within where there is no such name.
fn look_up(world: &World, name: &str, asker: &str) -> Option<Option<Vec<IpAddr>>> {
    if let Some(fixed) = world.names.fixed.get(name) {
        return Some(Some(fixed.clone()));
    }
    let ours = format!("{}.privatelink.aliyuncs.com", world.region);
    let within = name.strip_suffix(&ours)?;
    if within.is_empty() {
        return Some(Some(Vec::new()));
    }
    within.strip_suffix('.')?;
    // Before the connection stands, and after, the names don't exist.
    let mut connected = world.endpoints.iter().filter(|(_, endpoint)| endpoint.connected());
    Some(connected.find_map(|(id, endpoint)| of_endpoint(endpoint, (id, &world.region), name, asker)))
}

fn of_endpoint(endpoint: &Endpoint, (id, region): (&str, &str), name: &str, asker: &str) -> Option<Vec<IpAddr>> {
    let zones = endpoint.zones.iter().filter(|(_, zone)| zone.connected() && !addresses(zone).is_empty());
    let found: Vec<IpAddr> = if endpoint.domain(id, region).eq_ignore_ascii_case(name) {
        let near = |zone: &str| endpoint.zone_affinity && zone == asker;
        let any_near = zones.clone().any(|(zone, _)| near(zone));
        zones.filter(|(zone, _)| !any_near || near(zone)).flat_map(|(_, zone)| addresses(zone)).collect()
    } else {
        let named = |zone: &str| endpoint.zone_domain(id, zone, region).eq_ignore_ascii_case(name);
        zones.filter(|(zone, _)| named(zone)).flat_map(|(_, zone)| addresses(zone)).collect()
    };
    (!found.is_empty()).then_some(found)
}

fn addresses(zone: &Zone) -> Vec<IpAddr> {
    zone.eni_ip.map(IpAddr::from).into_iter().chain(zone.eni_ipv6.map(IpAddr::from)).collect()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::cloud::world::Fault;

    const DOMAIN: &str = "ep-bp1standinorders00001.epsrv-bp1standinorders0001.cn-hangzhou.privatelink.aliyuncs.com";
    const ZONE: &str =
        "ep-bp1standinorders00001-cn-hangzhou-i.epsrv-bp1standinorders0001.cn-hangzhou.privatelink.aliyuncs.com";
    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn state() -> State {
        State::new(World::small([1, 2, 3, 4].map(|last| Ipv4Addr::new(127, 9, 0, last))), 1)
    }

    fn ask(state: &mut State, name: &str, kind: u16, seconds: i64) -> (Rcode, Vec<String>, u32) {
        let question = Question { name: name.to_owned(), kind, from: HERE };
        let answer = resolve(state, &question, Stamp::from_millis(seconds * 1000));
        (answer.rcode, answer.addresses.iter().map(ToString::to_string).collect(), answer.ttl)
    }

    fn found(addresses: &[&str], ttl: u32) -> (Rcode, Vec<String>, u32) {
        (Rcode::NoError, addresses.iter().map(|&ip| ip.to_owned()).collect(), ttl)
    }

    #[test]
    fn knows_endpoints_and_zones() {
        let mut state = state();
        assert_eq!(ask(&mut state, DOMAIN, A, 0), found(&["127.9.0.1", "127.9.0.2"], 60));
        assert_eq!(ask(&mut state, ZONE, A, 0), found(&["127.9.0.2"], 60));
        assert_eq!(ask(&mut state, DOMAIN, AAAA, 0), found(&[], 10));
        assert_eq!(ask(&mut state, DOMAIN, 16, 0), found(&[], 10));
        let absent = "ep-x.cn-hangzhou.privatelink.aliyuncs.com";
        assert_eq!(ask(&mut state, absent, A, 0), (Rcode::NxDomain, vec![], 10));
        for foreign in ["example.com", "cn-beijing.privatelink.aliyuncs.com", "xcn-hangzhou.privatelink.aliyuncs.com"] {
            assert_eq!(ask(&mut state, foreign, A, 0).0, Rcode::Refused, "{foreign}");
        }
        let zone = state.world.zone_mut(World::ORDERS, "cn-hangzhou-i").unwrap();
        zone.eni_ipv6 = Some("fd00::2".parse().unwrap());
        assert_eq!(ask(&mut state, DOMAIN, AAAA, 0), found(&["fd00::2"], 60));
    }

    #[test]
    fn follows_statuses() {
        let mut state = state();
        state.world.zone_mut(World::ORDERS, "cn-hangzhou-i").unwrap().status = "Disconnected".to_owned();
        assert_eq!(ask(&mut state, DOMAIN, A, 0), found(&["127.9.0.1"], 60));
        assert_eq!(ask(&mut state, ZONE, A, 0).0, Rcode::NxDomain);
        state.world.endpoints.get_mut(World::ORDERS).unwrap().connection_status = "Pending".to_owned();
        assert_eq!(ask(&mut state, DOMAIN, A, 0).0, Rcode::NxDomain);
    }

    #[test]
    fn prefers_the_askers_zone_where_told_to() {
        let mut state = state();
        state.world.endpoints.get_mut(World::ORDERS).unwrap().zone_affinity = true;
        assert_eq!(ask(&mut state, DOMAIN, A, 0), found(&["127.9.0.1"], 60));
        assert_eq!(ask(&mut state, ZONE, A, 0), found(&["127.9.0.2"], 60));
        state.world.names.askers.insert(HERE, "cn-hangzhou-i".to_owned());
        assert_eq!(ask(&mut state, DOMAIN, A, 0), found(&["127.9.0.2"], 60));
        state.world.names.askers.insert(HERE, "cn-hangzhou-k".to_owned());
        assert_eq!(ask(&mut state, DOMAIN, A, 0), found(&["127.9.0.1", "127.9.0.2"], 60));
    }

    #[test]
    fn keeps_answers_for_their_ttl_where_told_to() {
        let mut state = state();
        state.world.names.cached = true;
        assert_eq!(ask(&mut state, ZONE, A, 0), found(&["127.9.0.2"], 60));
        state.world.zone_mut(World::ORDERS, "cn-hangzhou-i").unwrap().eni_ip = Some(Ipv4Addr::new(127, 9, 0, 9));
        assert_eq!(ask(&mut state, ZONE, A, 59), found(&["127.9.0.2"], 1));
        assert_eq!(ask(&mut state, ZONE, A, 60), found(&["127.9.0.9"], 60));
    }

    #[test]
    fn lies_where_told_to() {
        let mut state = state();
        state.world.names.fixed.insert(ZONE.to_owned(), vec!["192.0.2.1".parse().unwrap()]);
        assert_eq!(ask(&mut state, ZONE, A, 0), found(&["192.0.2.1"], 60));
        let fault = |what| Fault::new(what).service(Service::Dns).times(1);
        state.world.add_fault(fault(What::PartialList { keep: 1 }));
        assert_eq!(ask(&mut state, DOMAIN, A, 0), found(&["127.9.0.1"], 60));
        state.world.add_fault(fault(What::Rcode { rcode: Rcode::ServFail }));
        assert_eq!(ask(&mut state, DOMAIN, A, 0).0, Rcode::ServFail);
        state.world.add_fault(fault(What::Hang).endpoint(World::ORDERS));
        ask(&mut state, DOMAIN, A, 0);
        let outcomes: Vec<_> = state.calls(0).into_iter().map(|call| call.outcome).collect();
        assert_eq!(outcomes, ["ok", "ok", "servfail", "hang"]);
        assert_eq!(state.calls(0)[3].action, format!("A {DOMAIN}"));
    }
}
