//! From what is known to what is published: pure, total and deterministic.
//!
//! [`steer`] looks at each published name by itself. It gathers the name's candidates (every address of every endpoint
//! that carries the name), gives each a standing, decides which of them belong into the
//! answer (`answer`), and names the reason (`reason`). The previous plan is its only memory.
//!
//! What a decision has to hold are the promises B1 to B6, B16 and B17 of the crate. Who is dead is told by `evidence`,
//! who may be published and what is preferred by `answer`, what a first start may leave sooner by `unproven`, what the
//! cloud no longer has by `gone`. Between equals nothing moves.
//!
//! An overload moves nothing, except that a fleet is shed from one that lasts, by a rule of its own (`shed`): a
//! preference for what does better, which never empties an answer and takes no target for dead.

mod answer;
mod candidate;
mod charge;
mod evidence;
mod gone;
mod host_hash;
mod inputs;
mod outage;
mod reason;
mod shed;
mod slow;
mod unproven;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::model::{Answer, AnswerReason, EndpointName, EventKind, HostName, Now, Outage, Plan, Withdrawal};
use candidate::Candidates;
pub use inputs::{Inputs, Steered};

/// Decides.
#[must_use]
pub fn steer(inputs: &Inputs<'_>) -> Steered {
    let names = candidate::gather(inputs);
    let mut plan = Plan::default();
    let mut turns = Vec::new();
    for (name, candidates) in &names {
        let previous = inputs.previous.and_then(|plan| Some((plan.answers.get(name)?, plan.left.get(name))));
        if candidates.missing && inputs.previous.is_some() && previous.is_none() {
            // It went, or never was: a boot, which forgets when that was confirmed, does not bring it back.
            continue;
        }
        let Some(chosen) = answer::choose(candidates, previous.map(|(a, _)| a.addresses.as_slice()), inputs) else {
            // Neither an address now nor one before.
            continue;
        };
        let left = reason::left(candidates, &chosen, previous);
        let reason = reason::reason(candidates, &chosen, &left, inputs);
        let unproven = unproven::remaining(candidates, &chosen.addresses, previous.is_none());
        turns.extend(chosen.wake);
        plan.answers.insert(name.clone(), Answer { addresses: chosen.addresses, standby: chosen.standby, reason });
        if candidates.pinned {
            plan.zone_names.insert(name.clone());
        }
        if !left.is_empty() {
            plan.left.insert(name.clone(), left);
        }
        if !unproven.is_empty() {
            plan.unproven.insert(name.clone(), unproven);
        }
    }
    plan.withdrawn = withdrawn(inputs, &plan.answers);
    let is_out = |(name, answer): &(&HostName, &Answer)| names.get(*name).is_some_and(|c| outage::is_out(c, answer));
    let out: BTreeSet<HostName> = plan.answers.iter().filter(is_out).map(|(name, _)| name.clone()).collect();
    let before = |name: &HostName| inputs.previous.and_then(|plan| plan.answers.get(name)).map(|answer| answer.reason);
    let begins = out.iter().filter(|name| before(name) != Some(AnswerReason::AllDownKept));
    Steered {
        events: changes(inputs.previous, &told(&names, begins), &plan),
        wake_at: names.values().filter_map(|c| candidate::next_change(c, inputs)).chain(turns).min(),
        ask: lost(inputs.previous, &names, &plan),
        outstayed: names
            .iter()
            .filter(|(name, c)| outstays(name, c, &plan, inputs.now))
            .map(|(n, _)| n.clone())
            .collect(),
        put_off: gone::put_off(inputs, &plan),
        out,
        plan,
    }
}

/// A name that had an answer and has none any more is withdrawn, and stays so until it gets one again: absence alone
/// would remove nothing. Names leave the inventory only after their grace.
fn withdrawn(inputs: &Inputs<'_>, answers: &BTreeMap<HostName, Answer>) -> BTreeMap<HostName, Withdrawal> {
    let Some(previous) = inputs.previous else { return BTreeMap::new() };
    let gone = candidate::gone(inputs);
    let why = |name: &HostName| if gone.contains(name) { Withdrawal::Gone } else { Withdrawal::Removed };
    let lost = previous.answers.keys().map(|n| (n.clone(), why(n)));
    let known = previous.withdrawn.iter().map(|(n, w)| (n.clone(), *w));
    lost.chain(known).filter(|(n, _)| !answers.contains_key(n)).collect()
}

fn outstays(name: &HostName, candidates: &Candidates, plan: &Plan, now: Now) -> bool {
    let published = plan.answers.get(name).map(|a| a.addresses.as_slice()).unwrap_or_default();
    let over = |c: &candidate::Candidate| c.former.is_some_and(|until| until <= now.boottime);
    candidates.list.iter().any(|c| over(c) && published.contains(&c.key.address))
}

/// What the addresses of these names say, which are out.
#[must_use]
pub fn outages<'a>(inputs: &Inputs<'_>, names: impl Iterator<Item = &'a HostName>) -> BTreeMap<HostName, Outage> {
    told(&candidate::gather(inputs), names)
}

fn told<'a>(
    candidates: &BTreeMap<HostName, Candidates>,
    names: impl Iterator<Item = &'a HostName>,
) -> BTreeMap<HostName, Outage> {
    names.filter_map(|name| Some((name.clone(), outage::outage(candidates.get(name)?)))).collect()
}

fn changes(previous: Option<&Plan>, outages: &BTreeMap<HostName, Outage>, plan: &Plan) -> Vec<EventKind> {
    let empty = Plan::default();
    let previous = previous.unwrap_or(&empty);
    let answers = plan.answers.iter().filter_map(|(name, new)| {
        let old = previous.answers.get(name);
        let outage = outages.get(name).cloned();
        let name = name.clone();
        match old {
            Some(old) if old.addresses == new.addresses => (old.reason != new.reason)
                .then_some(EventKind::ReasonChanged { name, from: old.reason, to: new.reason, outage }),
            old => Some(EventKind::AnswerChanged {
                name,
                from: old.map(|a| a.addresses.clone()).unwrap_or_default(),
                to: new.addresses.clone(),
                reason: new.reason,
                outage,
            }),
        }
    });
    let withdrawn = plan.withdrawn.iter().filter(|(name, _)| !previous.withdrawn.contains_key(*name));
    let withdrawn = withdrawn.map(|(name, why)| EventKind::NameWithdrawn { name: name.clone(), why: *why });
    answers.chain(withdrawn).collect()
}

fn lost(previous: Option<&Plan>, names: &BTreeMap<HostName, Candidates>, plan: &Plan) -> BTreeSet<EndpointName> {
    let Some(previous) = previous else { return BTreeSet::new() };
    let lost = names.iter().flat_map(|(name, c)| {
        let old = previous.answers.get(name);
        let new = plan.answers.get(name).filter(|new| new.reason == AnswerReason::FailedOver);
        let had = move |a: &IpAddr| old.is_some_and(|old| old.addresses.contains(a));
        let lacks = move |a: &IpAddr| new.is_some_and(|new| !new.addresses.contains(a));
        let gone = c.list.iter().map(|c| &c.key).filter(move |key| had(&key.address) && lacks(&key.address));
        gone.map(|key| key.endpoint.clone())
    });
    lost.collect()
}

#[cfg(test)]
mod tests;
