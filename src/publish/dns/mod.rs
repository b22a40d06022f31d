//! The other way to publish: a stub DNS server for those whom the hosts file does not reach, such as containers.
//!
//! [`zone`] turns the admitted answers into names, [`answer`] says what is answered, [`reference`](mod@reference) is
//! that as a DNS server, [`wire`] holds its usual replies ready, and [`server`] moves bytes between those and the
//! sockets, on threads of its own. They share the [`Published`] answers and the [`Counters`] with the agent and nothing
//! else, so that neither holds up the other.

pub mod answer;
pub mod counters;
pub mod forwarders;
pub mod question;
pub mod reference;
pub mod server;
pub mod wire;
pub mod zone;

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use hickory_server::proto::op::ResponseCode;
use tokio::sync::watch;

pub use counters::Counters;

use self::reference::{Reference, Written};
use self::wire::Images;
use self::zone::Zones;
use super::Publisher;
use super::admission::{Admission, AdmissionRules, LastAdmitted, refusal};
use crate::model::{HANDOVER_FORMAT, HostName, Plan, PublishErrorKind, Receipt, Receipts, Verdict};
use crate::sys::blocking::blocking;
use crate::sys::clock::Clock;

/// What the stub answers from: replaced as a whole.
#[derive(Debug, Clone, Default)]
pub struct Published {
    /// Answers everything.
    pub reference: Reference,
    /// Answers the usual.
    pub images: Images,
    /// The resolvers that are asked for names of others; without any these are refused.
    pub forward: Vec<SocketAddr>,
}

impl Published {
    /// What comes after this when these names are in force, and others are asked of `forward`.
    #[must_use]
    pub fn next(&self, zones: Zones, forward: Vec<SocketAddr>) -> Self {
        let reference = Reference::new(Arc::new(zones));
        let images = self.images.next(&reference, forward.is_empty());
        Self { reference, images, forward }
    }

    /// Whether another resolver is to be asked this, which got no answer here.
    #[must_use]
    pub fn is_for_others(&self, query: &[u8], reply: &Written) -> bool {
        !self.forward.is_empty() && reply.code == ResponseCode::Refused && self.reference.is_elsewhere(query)
    }
}

/// What the stub and the agent share.
pub type Answers = Arc<ArcSwap<Published>>;

/// How the stub publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct How {
    /// What the hosts writer would admit.
    pub rules: AdmissionRules,
    /// How long clients may keep an answer.
    pub ttl: Duration,
    /// Who is asked for names of others.
    pub forward: Vec<SocketAddr>,
}

/// Publishes by way of the stub: makes its answers of each plan.
///
/// A plan is admitted by the rules of the hosts writer, so that both always say the same: addresses outside of
/// `hosts.allowed_ranges` are served no more than they are written. Only which names there may be is not judged here,
/// since no other user's file lies between, nor how many: there is no block that every lookup has to read.
#[derive(Debug)]
pub struct DnsPublisher {
    how: How,
    /// The names that should have an answer.
    configured: BTreeSet<HostName>,
    clock: Clock,
    admitted: LastAdmitted,
    /// The plan that `answers` were made of; `None` before the first, and after a fault.
    made_of: Option<Arc<Plan>>,
    answers: Answers,
    /// What is served of which plan.
    served: watch::Sender<Option<Receipt>>,
}

impl DnsPublisher {
    /// Makes one that serves `answers`, and tells which plan they are of. What `answers` holds already goes on being
    /// served.
    #[must_use]
    pub fn new(how: How, clock: Clock, (answers, served): (Answers, watch::Sender<Option<Receipt>>)) -> Self {
        let configured = how.rules.names.clone();
        Self { how, configured, clock, admitted: LastAdmitted::default(), made_of: None, answers, served }
    }

    /// Lets in what may be served, and says what became of each name.
    fn admit(&mut self, plan: &Plan) -> Receipt {
        let rules = &mut self.how.rules;
        rules.names.extend(plan.answers.keys().cloned());
        let now = self.clock.now();
        let Admission { admitted, refused, left_out, .. } =
            rules.admit_without_block(plan, &self.admitted, now.boottime);
        self.admitted = admitted;
        let served = self.admitted.answers.keys().map(|name| (name.clone(), Verdict::Published));
        let not_served = refused.keys().map(|name| (name.clone(), Verdict::Refused));
        Receipt {
            format: HANDOVER_FORMAT,
            digest: Some(plan.digest()),
            at: now.wall,
            names: served.chain(not_served).collect(),
            error: (!refused.is_empty()).then_some(PublishErrorKind::Refused),
            error_detail: refusal::in_one_sentence(&refused),
            left_out: left_out.into_iter().map(|(name, what)| (name, what.to_string())).collect(),
            ..Receipt::default()
        }
    }
}

impl Publisher for DnsPublisher {
    const NAME: &'static str = Receipts::DNS;

    async fn publish(&mut self, plan: Option<Arc<Plan>>) -> io::Result<()> {
        let Some(plan) = plan.filter(|plan| self.made_of.as_ref() != Some(plan)) else { return Ok(()) };
        self.made_of = None;
        let receipt = self.admit(&plan);
        let (answers, admitted) = (Arc::clone(&self.answers), self.admitted.answers.clone());
        let (ttl, forward, now) = (self.how.ttl, self.how.forward.clone(), self.clock.now().wall);
        let configured = self.configured.clone();
        // A hundred thousand names take a second.
        let render = move || {
            let before = answers.load();
            let zones = before.reference.zones().next((&admitted, &configured), ttl, now);
            answers.store(Arc::new(before.next(zones, forward)));
        };
        blocking(render).await;
        self.served.send_replace(Some(receipt));
        self.made_of = Some(plan);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use hickory_server::proto::rr::{LowerName, Name};
    use ipnet::IpNet;

    use super::*;
    use crate::model::Families;
    use crate::model::{Answer, AnswerReason};

    fn plan(addresses: &[&str]) -> Arc<Plan> {
        let addresses = addresses.iter().map(|a| a.parse().unwrap()).collect();
        let answer = Answer { addresses, standby: Vec::new(), reason: AnswerReason::Healthy };
        Arc::new(Plan { answers: [("db.example.com".parse().unwrap(), answer)].into(), ..Plan::default() })
    }

    fn served(answers: &Answers) -> Vec<IpAddr> {
        let name: LowerName = Name::from_ascii("db.example.com.").unwrap().into();
        let published = answers.load();
        let Some(node) = published.reference.zones().node(&name) else { return Vec::new() };
        node.v4.iter().map(|a| IpAddr::from(*a)).chain(node.v6.iter().map(|a| IpAddr::from(*a))).collect()
    }

    fn publisher() -> (DnsPublisher, Answers, watch::Sender<Option<Receipt>>) {
        let allowed: IpNet = "10.0.0.0/8".parse().unwrap();
        let families = Families { ipv4: true, ipv6: false };
        let rules = AdmissionRules { allowed_ranges: vec![allowed], families, ..AdmissionRules::default() };
        let (answers, served_plan) = (Answers::default(), watch::Sender::default());
        let how = How { rules, ttl: Duration::from_secs(5), forward: Vec::new() };
        let shared = (Arc::clone(&answers), served_plan.clone());
        (DnsPublisher::new(how, Clock::System, shared), answers, served_plan)
    }

    /// Neither the room in a hand-over nor that in the block of the hosts file binds the stub.
    #[tokio::test]
    async fn every_name_of_a_plan_is_served_that_the_hosts_file_would_have_no_room_for() {
        let (mut publisher, answers, served_plan) = publisher();
        let long = ["x".repeat(60), "y".repeat(60), "z".repeat(60)].join(".");
        let answer = plan(&["10.0.0.1"]).answers.values().next().unwrap().clone();
        let name = |n: usize| format!("n{n:05}.{long}").parse().unwrap();
        let large = Plan { answers: (0..12_000).map(|n| (name(n), answer.clone())).collect(), ..Plan::default() };
        let digest = large.digest();
        publisher.publish(Some(Arc::new(large))).await.unwrap();
        assert_eq!(served_plan.borrow().as_ref().unwrap().digest, Some(digest));
        let last: LowerName = Name::from_ascii(format!("n11999.{long}.")).unwrap().into();
        assert!(answers.load().reference.zones().node(&last).is_some());
    }

    #[tokio::test]
    async fn what_the_hosts_policy_refuses_is_not_served_either() {
        let (mut publisher, answers, served_plan) = publisher();
        let ok: Vec<IpAddr> = vec!["10.0.0.1".parse().unwrap()];

        publisher.publish(Some(plan(&["8.8.8.8"]))).await.unwrap();
        assert_eq!(served(&answers), Vec::<IpAddr>::new());
        let first = plan(&["10.0.0.1", "10.0.0.1"]);
        publisher.publish(Some(Arc::clone(&first))).await.unwrap();
        assert_eq!(served(&answers), ok);
        assert_eq!(served_plan.borrow().as_ref().unwrap().digest, Some(first.digest()));
        let told = served_plan.subscribe();
        publisher.publish(Some(Arc::new(Plan::clone(&first)))).await.unwrap();
        publisher.publish(None).await.unwrap();
        assert!(!told.has_changed().unwrap(), "an equal plan is not made anew");
        publisher.publish(Some(plan(&["9.9.9.9", "8.8.8.8"]))).await.unwrap();
        assert_eq!(served(&answers), ok, "the last admitted answer stays where none is left");
        publisher.publish(Some(plan(&["10.0.0.1", "8.8.8.8"]))).await.unwrap();
        assert_eq!(served(&answers), ok, "a bad address costs itself alone");
        publisher.publish(Some(Arc::default())).await.unwrap();
        assert_eq!(served(&answers), ok, "absence removes nothing");
        let withdrawn = [("db.example.com".parse().unwrap(), crate::model::Withdrawal::Removed)].into();
        publisher.publish(Some(Arc::new(Plan { withdrawn, ..Plan::default() }))).await.unwrap();
        assert_eq!(served(&answers), Vec::<IpAddr>::new());
    }
}
