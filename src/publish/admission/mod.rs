//! Which names and addresses of a plan are let in. Pure; every publisher goes by it, so that all say the same.
//!
//! The hosts writer trusts its own config and nothing that the agent wrote. It judges name by name, never plan by plan,
//! and address by address: a bad address is left out and costs its name nothing else. Only where none is left the name
//! keeps its last admitted answer. Absence removes nothing (B1): a name goes when the plan withdraws it, or once the
//! config has lacked it for `removal_grace`.

mod domain;
pub mod refusal;
mod room;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use self::domain::Tails;
pub use self::refusal::Refusal;
use self::room::Room;
use crate::config::OwnDomains;
use crate::model::limits::{ADDRESSES_A_NAME, CapCounts, Capped};
use crate::model::ranges;
use crate::model::{Answer, Boottime, EndpointId, Families, Handover, HostName, LeftOut, Plan};

/// What the config says of names and addresses that may be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdmissionRules {
    /// Names that may be published.
    pub names: BTreeSet<HostName>,
    /// Endpoints whose own domain, and whose zones' domains, may be published too; and what is known of these.
    pub own_domains: BTreeMap<EndpointId, OwnDomains>,
    /// Addresses outside are refused.
    pub allowed_ranges: Vec<IpNet>,
    /// Addresses of other families are left out.
    pub families: Families,
    /// How long a name that left the config stays; [`Duration::MAX`] while it isn't sure that it left.
    pub removal_grace: Duration,
}

/// Lets no name in, and none that is in go.
impl Default for AdmissionRules {
    fn default() -> Self {
        Self {
            names: BTreeSet::new(),
            own_domains: BTreeMap::new(),
            allowed_ranges: Vec::new(),
            families: Families { ipv4: true, ipv6: true },
            removal_grace: Duration::MAX,
        }
    }
}

impl AdmissionRules {
    /// Takes no name away that earlier rules let in, for as long as the agent refuses the config and so goes on
    /// with that name (B13).
    pub fn hold_on_to(&mut self, earlier: &Self) {
        self.names.extend(earlier.names.iter().cloned());
        for (id, own) in &earlier.own_domains {
            self.own_domains.entry(id.clone()).or_insert_with(|| own.clone());
        }
        // And none that was on its way out already: an editor may have emptied the file first.
        self.removal_grace = Duration::MAX;
    }

    /// True for a name of the config, and for what may be the domain, or a zone's, of an endpoint that publishes these.
    #[must_use]
    pub fn has_name(&self, name: &HostName) -> bool {
        self.names.contains(name) || domain::find(name, &self.own_domains).is_some()
    }

    /// True if [`Self::admit`] would refuse a name of this hand-over because the config lacks it.
    #[must_use]
    pub fn lacks_a_name_of(&self, handover: &Handover, last: &LastAdmitted) -> bool {
        handover.plan.keys().any(|name| !self.may_have(name, last))
    }

    /// A name that is on its way out may still move.
    fn may_have(&self, name: &HostName, last: &LastAdmitted) -> bool {
        self.has_name(name) || last.lacking.contains_key(name)
    }

    /// Judges a hand-over (or, without one, only the passage of time) on top of what was admitted last.
    #[must_use]
    pub fn admit(&self, handover: Option<&Handover>, last: &LastAdmitted, now: Boottime) -> Admission {
        let withdrawn = handover.iter().flat_map(|handover| &handover.withdrawn);
        let wanted = Wanted {
            answers: handover.map(|handover| &handover.plan),
            withdrawn: withdrawn.map(|withdrawn| &withdrawn.name).collect(),
        };
        let next = self.without_what_goes(&wanted, last, now);
        let room = Room::taken_by(&next.answers);
        self.admit_into(next, room, &wanted)
    }

    /// Judges a plan as [`Self::admit`] does, for a publisher that keeps no block that names might have no room in.
    #[must_use]
    pub fn admit_without_block(&self, plan: &Plan, last: &LastAdmitted, now: Boottime) -> Admission {
        let wanted = Wanted { answers: Some(&plan.answers), withdrawn: plan.withdrawn.keys().collect() };
        let next = self.without_what_goes(&wanted, last, now);
        self.admit_into(next, Room::endless(), &wanted)
    }

    fn admit_into(&self, mut next: LastAdmitted, mut room: Room, wanted: &Wanted<'_>) -> Admission {
        let mut refused = BTreeMap::new();
        let mut tails = Tails::admitted(&next.answers, &self.own_domains);
        // Who is there already comes before newcomers, whatever room that takes.
        let answers = wanted.answers.into_iter().flatten();
        let (known, new): (Vec<_>, Vec<_>) = answers.partition(|(name, _)| next.answers.contains_key(*name));
        let (mut left_out, mut capped) = (BTreeMap::new(), CapCounts::default());
        for (name, answer) in known.into_iter().chain(new) {
            let fitting = self.judge(name, answer, &next).and_then(|(answer, what)| {
                self.judge_domain(name, &mut tails)?;
                room.put(name, next.answers.get(name), &answer).map(|()| (answer, what))
            });
            match fitting {
                Ok((answer, what)) => {
                    capped.add(Capped::Addresses, what.addresses as u64);
                    if !what.is_empty() {
                        left_out.insert(name.clone(), what);
                    }
                    next.answers.insert(name.clone(), answer);
                }
                Err(refusal) => drop(refused.insert(name.clone(), refusal)),
            }
        }
        let next_deadline = next.lacking.values().map(|since| since.after(self.removal_grace)).min();
        Admission { admitted: next, refused, left_out, capped, next_deadline }
    }

    /// What was admitted last, but for what the plan withdraws and what the config has lacked for long enough.
    fn without_what_goes(&self, wanted: &Wanted<'_>, last: &LastAdmitted, now: Boottime) -> LastAdmitted {
        let mut next = last.clone();
        for name in &wanted.withdrawn {
            // A name that the plan has too is wanted: never empty by accident.
            if wanted.answers.is_none_or(|answers| !answers.contains_key(*name)) {
                next.answers.remove(*name);
            }
        }
        next.lacking.retain(|name, _| next.answers.contains_key(name) && !self.has_name(name));
        for name in next.answers.keys().filter(|n| !self.has_name(n)) {
            next.lacking.entry(name.clone()).or_insert(now);
        }
        // The grace is for what may come back. What no room was ever meant for would keep out what is wanted.
        let overfull = self.removal_grace != Duration::MAX && Room::taken_by(&next.answers).is_overfull();
        let grace = if overfull { Duration::ZERO } else { self.removal_grace };
        next.answers.retain(|name, _| next.lacking.get(name).is_none_or(|since| now.since(*since) < grace));
        next.lacking.retain(|name, _| next.answers.contains_key(name));
        next
    }

    /// An endpoint's own names all end alike. A name of the config itself may end as it likes.
    fn judge_domain(&self, name: &HostName, tails: &mut Tails) -> Result<(), Refusal> {
        match domain::find(name, &self.own_domains).filter(|_| !self.names.contains(name)) {
            Some(domain) => tails.admit(domain).map_err(|tail| Refusal::OtherDomain { tail }),
            None => Ok(()),
        }
    }

    fn judge(&self, name: &HostName, answer: &Answer, admitted: &LastAdmitted) -> Result<(Answer, LeftOut), Refusal> {
        if !self.may_have(name, admitted) {
            return Err(Refusal::UnknownName);
        }
        let Answer { addresses, standby, reason } = answer;
        let mut left_out = LeftOut::default();
        let mut seen: BTreeSet<IpAddr> = BTreeSet::new();
        let mut good = |all: &[IpAddr]| {
            let mut good = all.to_vec();
            good.retain(|address| match ranges::judge(*address, &self.allowed_ranges) {
                Ok(()) => self.families.has(*address) && seen.insert(*address),
                Err(why) => {
                    left_out.add_bad(*address, why);
                    false
                }
            });
            good
        };
        let (mut addresses, mut standby) = (good(addresses), good(standby));
        if addresses.is_empty() {
            return Err(left_out.bad.map_or(Refusal::NoAddress, |(address, why, _)| Refusal::Address { address, why }));
        }
        left_out.addresses = keep_within_cap(&mut addresses, &mut standby, admitted.answers.get(name));
        Ok((Answer { addresses, standby, reason: *reason }, left_out))
    }
}

/// What of a plan is judged. Without a plan only time passes.
struct Wanted<'p> {
    /// By name; `None` without a plan.
    answers: Option<&'p BTreeMap<HostName, Answer>>,
    /// Names that must go.
    withdrawn: Vec<&'p HostName>,
}

/// Leaves out what is over the cap: standby addresses first, newcomers before what is published already, and of those
/// the numerically last. Says how many.
fn keep_within_cap(addresses: &mut Vec<IpAddr>, standby: &mut Vec<IpAddr>, published: Option<&Answer>) -> usize {
    let over = (addresses.len() + standby.len()).saturating_sub(ADDRESSES_A_NAME);
    if over == 0 {
        return 0;
    }
    let known =
        |address: &IpAddr| published.is_some_and(|p| p.addresses.contains(address) || p.standby.contains(address));
    let rank = |second| move |address: &IpAddr| (second, !known(address), *address);
    let mut ranked: Vec<_> = addresses.iter().map(rank(false)).chain(standby.iter().map(rank(true))).collect();
    ranked.sort_unstable();
    let kept: BTreeSet<IpAddr> = ranked.into_iter().take(ADDRESSES_A_NAME).map(|(.., address)| address).collect();
    addresses.retain(|address| kept.contains(address));
    standby.retain(|address| kept.contains(address));
    over
}

/// What was admitted up to now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LastAdmitted {
    /// By name. The addresses of each are never empty, and none of its standby addresses repeats one.
    pub answers: BTreeMap<HostName, Answer>,
    /// Names of it that the config lacks, and since when this process has seen that.
    pub lacking: BTreeMap<HostName, Boottime>,
}

/// What [`AdmissionRules::admit`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// What is admitted from now on.
    pub admitted: LastAdmitted,
    /// Names of the hand-over whose answer was refused; what was admitted of them before stays.
    pub refused: BTreeMap<HostName, Refusal>,
    /// What was left out of answers that were admitted otherwise.
    pub left_out: BTreeMap<HostName, LeftOut>,
    /// What there was too much of.
    pub capped: CapCounts,
    /// When a name will have been lacking for the whole grace.
    pub next_deadline: Option<Boottime>,
}

#[cfg(test)]
mod tests;
