//! What the stub knows: the published names, as DNS sees them. Pure.
//!
//! Each published name is a zone of its own with one node, its apex. So the stub is authoritative for exactly what is
//! published: a name beneath does not exist, and a name elsewhere is for other servers. A configured name of which no
//! address is known yet is ours all the same: what the public DNS says of it would be kept, and lead elsewhere.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use hickory_server::proto::rr::{LowerName, Name};

use crate::model::{Answer, AnswerReason, HostName, Wall};

/// One published name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its A records.
    pub v4: Vec<Ipv4Addr>,
    /// Its AAAA records.
    pub v6: Vec<Ipv6Addr>,
    /// Why it is answered so.
    pub reason: AnswerReason,
    /// Since when for that reason, as far as this process knows.
    pub since: Wall,
    /// When anything about it changed last.
    pub changed: Wall,
}

impl Node {
    /// What it is of an answer; what has not changed keeps its times.
    fn new(answer: &Answer, before: Option<&Arc<Self>>, now: Wall) -> Arc<Self> {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for address in &answer.addresses {
            match address {
                IpAddr::V4(a) => v4.push(*a),
                IpAddr::V6(a) => v6.push(*a),
            }
        }
        let reason = answer.reason;
        match before {
            Some(b) if (&b.v4, &b.v6, b.reason) == (&v4, &v6, reason) => Arc::clone(b),
            Some(b) if b.reason == reason => Arc::new(Self { v4, v6, reason, since: b.since, changed: now }),
            _ => Arc::new(Self { v4, v6, reason, since: now, changed: now }),
        }
    }
}

/// Every published name.
#[derive(Debug, Clone, Default)]
pub struct Zones {
    nodes: HashMap<LowerName, Arc<Node>>,
    /// Names between a published name and another one beneath it: they have no records, and yet exist (RFC 8020,
    /// section 2): to deny them would deny what lies beneath.
    between: HashSet<LowerName>,
    /// Configured names without an answer.
    unresolved: HashSet<LowerName>,
    /// How long clients may keep an answer, in seconds.
    ttl: u32,
}

/// Where a name lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'z> {
    /// It is published.
    Apex(&'z Arc<Node>),
    /// It exists and has no records.
    Between(Above<'z>),
    /// It does not exist.
    Beneath(Above<'z>),
    /// It is a configured name without an answer, or lies beneath one.
    Unresolved,
    /// It is none of ours.
    Elsewhere,
}

/// The published name above another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Above<'z> {
    /// What is published.
    pub node: &'z Arc<Node>,
    /// How many labels its name has.
    pub labels: usize,
}

impl Zones {
    /// What comes after these when the `answers` are in force, and `configured` are the names that should have one.
    #[must_use]
    pub fn next(
        &self,
        (answers, configured): (&BTreeMap<HostName, Answer>, &BTreeSet<HostName>),
        ttl: Duration,
        now: Wall,
    ) -> Self {
        let node = |(name, answer)| {
            let name = dns_name(name)?;
            let node = Node::new(answer, self.nodes.get(&name), now);
            Some((name, node))
        };
        let nodes: HashMap<LowerName, Arc<Node>> = answers.iter().filter_map(node).collect();
        let between = nodes.keys().flat_map(|name| between(name, &nodes)).collect();
        let unresolved = configured.iter().filter(|name| !answers.contains_key(*name)).filter_map(dns_name).collect();
        Self { nodes, between, unresolved, ttl: u32::try_from(ttl.as_secs()).unwrap_or(u32::MAX >> 1) }
    }

    /// How long clients may keep an answer, in seconds.
    #[must_use]
    pub fn ttl(&self) -> u32 {
        self.ttl
    }

    /// The published names, in no order.
    pub fn nodes(&self) -> impl Iterator<Item = (&LowerName, &Arc<Node>)> {
        self.nodes.iter()
    }

    /// The configured names without an answer, in no order.
    pub fn unresolved(&self) -> impl Iterator<Item = &LowerName> {
        self.unresolved.iter()
    }

    /// The published name itself.
    #[must_use]
    pub fn node(&self, name: &LowerName) -> Option<&Arc<Node>> {
        self.nodes.get(name)
    }

    /// Where a name lies.
    #[must_use]
    pub fn place(&self, name: &LowerName) -> Place<'_> {
        if let Some(node) = self.nodes.get(name) {
            return Place::Apex(node);
        }
        let ours = |name: &LowerName| self.nodes.contains_key(name) || self.unresolved.contains(name);
        let nearest = std::iter::once(name.clone()).chain(ancestors(name)).find(ours);
        match self.above(name) {
            _ if nearest.is_some_and(|name| self.unresolved.contains(&name)) => Place::Unresolved,
            Some(above) if self.between.contains(name) => Place::Between(above),
            Some(above) => Place::Beneath(above),
            None => Place::Elsewhere,
        }
    }

    /// The nearest published name above this one.
    #[must_use]
    pub fn above(&self, name: &LowerName) -> Option<Above<'_>> {
        ancestors(name).find_map(|ancestor| {
            let node = self.nodes.get(&ancestor)?;
            Some(Above { node, labels: usize::from(ancestor.num_labels()) })
        })
    }
}

/// The names above, from the nearest to the last before the root.
fn ancestors(name: &LowerName) -> impl Iterator<Item = LowerName> {
    let up = |name: &LowerName| Some(name.base_name()).filter(|above| !above.is_root());
    std::iter::successors(Some(name.clone()).filter(|n| !n.is_root()).and_then(|n| up(&n)), up)
}

/// The names between this one and the nearest published one above it; none if there is none.
fn between(name: &LowerName, nodes: &HashMap<LowerName, Arc<Node>>) -> Vec<LowerName> {
    let mut above: Vec<LowerName> = ancestors(name).collect();
    let published = above.iter().position(|ancestor| nodes.contains_key(ancestor));
    above.truncate(published.unwrap_or(0));
    above
}

/// A published name as a fully qualified one. Every [`HostName`] is one that DNS can carry.
fn dns_name(name: &HostName) -> Option<LowerName> {
    let mut name = Name::from_ascii(name.as_str()).ok()?;
    name.set_fqdn(true);
    Some(name.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(addresses: &[&str], reason: AnswerReason) -> Answer {
        let addresses = addresses.iter().map(|a| a.parse().unwrap()).collect();
        Answer { addresses, standby: Vec::new(), reason }
    }

    fn zones(names: &[&str]) -> Zones {
        let answers = names.iter().map(|n| (n.parse().unwrap(), answer(&["10.0.0.1"], AnswerReason::Healthy)));
        Zones::default().next((&answers.collect(), &BTreeSet::new()), Duration::from_secs(5), Wall(1))
    }

    fn name(text: &str) -> LowerName {
        Name::from_ascii(text).unwrap().into()
    }

    #[test]
    fn a_name_is_found_whatever_its_case_and_nothing_above_it_is_ours() {
        let zones = zones(&["db.example.com", "x.y.db.example.com"]);
        assert!(matches!(zones.place(&name("DB.example.COM.")), Place::Apex(_)));
        assert!(matches!(zones.place(&name("a.b.db.example.com.")), Place::Beneath(above) if above.labels == 3));
        assert!(matches!(zones.place(&name("y.db.example.com.")), Place::Between(above) if above.labels == 3));
        assert!(matches!(zones.place(&name("z.x.y.db.example.com.")), Place::Beneath(above) if above.labels == 5));
        for outside in ["example.com.", "com.", ".", "db.example.net.", "xdb.example.com."] {
            assert_eq!(zones.place(&name(outside)), Place::Elsewhere, "{outside}");
        }
    }

    /// A published name beneath one that has no answer is answered, and so is what lies around both.
    #[test]
    fn a_configured_name_without_an_answer_is_not_elsewhere() {
        let answers = [("x.db.example.com".parse().unwrap(), answer(&["10.0.0.1"], AnswerReason::Healthy))].into();
        let configured = ["db.example.com", "x.db.example.com"].map(|n| n.parse().unwrap()).into();
        let zones = Zones::default().next((&answers, &configured), Duration::from_secs(5), Wall(1));
        for unresolved in ["db.example.com.", "DB.example.com.", "y.db.example.com."] {
            assert_eq!(zones.place(&name(unresolved)), Place::Unresolved, "{unresolved}");
        }
        assert!(matches!(zones.place(&name("x.db.example.com.")), Place::Apex(_)));
        assert!(matches!(zones.place(&name("y.x.db.example.com.")), Place::Beneath(_)));
        assert_eq!(zones.place(&name("example.com.")), Place::Elsewhere);
        assert_eq!(zones.unresolved().count(), 1);
    }

    #[test]
    fn times_move_only_with_what_they_speak_of() {
        let of = |a: Answer| -> BTreeMap<HostName, Answer> { [("db.example.com".parse().unwrap(), a)].into() };
        let (ttl, none) = (Duration::from_secs(5), BTreeSet::new());
        let times = |zones: &Zones| {
            let node = zones.node(&name("db.example.com.")).unwrap();
            (node.since.0, node.changed.0)
        };
        let one = Zones::default().next((&of(answer(&["10.0.0.1"], AnswerReason::Healthy)), &none), ttl, Wall(1));
        let same = one.next((&of(answer(&["10.0.0.1"], AnswerReason::Healthy)), &none), ttl, Wall(2));
        assert_eq!((times(&one), times(&same)), ((1, 1), (1, 1)));
        let more = same.next((&of(answer(&["10.0.0.1", "fc00::1"], AnswerReason::Healthy)), &none), ttl, Wall(3));
        assert_eq!(times(&more), (1, 3));
        let moved = more.next((&of(answer(&["fc00::1"], AnswerReason::FailedOver)), &none), ttl, Wall(4));
        assert_eq!(times(&moved), (4, 4));
        assert!(moved.next((&BTreeMap::new(), &none), ttl, Wall(5)).node(&name("db.example.com.")).is_none());
    }
}
