//! Overload that lasts: hosts leave one after the other, so that a fleet is shed and never shifted.
//!
//! An overload is no reason to move a name (B4): hosts take their load along. Two kinds of it are as good as an
//! outage once they last, and for these there is a rule of its own, which search and tests go by:
//!
//! 1. **What counts.** *No compute node* (MatrixOne's 20508) counts against an endpoint as a whole, since its zones
//!    lead to the same nodes: each of its targets whose deep check is known fails it by nothing else, three times in
//!    turn at least. A *whole adapter* (TDengine's `memory exceeds threshold`) counts against one target, by any check,
//!    from the 60th second on, three failures in turn at least.
//! 2. **Where to.** Another address of the same name, of another endpoint in the first case, that is up and of its
//!    endpoint as the config has it: the same check passed there three times in turn, none of the latest three took
//!    more than twice its median before and more than 500 ms above it, and the latest of them began after the overload
//!    here. In the first case failures here and successes there alternated in time: three of each, one after the other.
//! 3. **When.** A host leaves once `hash(host, target) < elapsed / 5 min`, and only if the hash is below 0.5: at most
//!    half of the hosts leave, within 2.5 minutes. Elapsed counts from when 1 held here (the third failure, the 60th
//!    second), the third success in turn there, or the sixth of those that alternate, whichever was last. Any failure
//!    there ends its successes: all stop, those who left stay where they are, and elapsed begins anew with the next
//!    three.
//! 4. **Back.** Who left returns once the target is up again and `hash(host, target) < elapsed / 5 min`, counted from
//!    when it came up, or from the first success after a later failure. Once successes have gone on for 5 min the
//!    overload is forgotten: who leaves for another reason later returns as ever. After a restart of the agent, which
//!    forgets overloads, no host returns before the deep check has been judged (`answer`).
//!
//! `hash` is the first four bytes of SHA-256 over `host LF target`, as a part of 2^32; the host is its instance id,
//! else its machine id and its host name (hosts that one image made may share the former); the target is the endpoint's
//! label in the first case and `label/zone/address` in the second.
//! What is left is not taken for dead: it is a preference, like a drain. An overloaded address is used before none
//! (B1), no connection is closed, and zones' own names never leave.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use super::candidate::{Candidate, CandidateState, Candidates};
use super::host_hash::host_hash;
use super::inputs::Inputs;
use crate::model::{
    Boottime, Check, CheckHealth, CheckState, EndpointName, Load, OVERLOAD_RAMP, Overload, OverloadRun, TargetKey,
};

/// No host whose hash is not below leaves.
pub(super) const MOST: f64 = 0.5;
/// An adapter may refuse every client for so long.
const PATIENCE: Duration = Duration::from_secs(60);
/// Failures here and successes there.
const IN_TURN: usize = 3;

/// What this host keeps away from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Shed {
    /// The targets.
    pub(super) left: BTreeSet<TargetKey>,
    /// When that next changes by itself.
    pub(super) wake: Option<Boottime>,
}

/// What counts as one, and where else the name could lead.
struct Group<'a> {
    /// For the hash.
    target: String,
    kind: Overload,
    members: Vec<&'a Candidate>,
    others: Vec<&'a Candidate>,
}

/// How a group stands.
enum Pressure {
    /// Overloaded, and another target could serve: since when all of that is so.
    Outward(Boottime),
    /// Overloaded, and no other target is seen to do better; or no longer, and not up yet.
    Stuck,
    /// Over, since when.
    Over(Boottime),
}

/// Decides for one name.
pub(super) fn decide(candidates: &Candidates, published: Option<&[IpAddr]>, inputs: &Inputs<'_>) -> Shed {
    let mut shed = Shed::default();
    // Nearly always no target ever was.
    if candidates.pinned || !candidates.list.iter().any(|c| runs(c).next().is_some()) {
        return shed;
    }
    let now = inputs.now.boottime;
    for group in groups(&candidates.list) {
        let pressure = pressure(&group);
        let hash = host_hash(inputs.host, &group.target);
        let in_use = published.is_none_or(|p| group.members.iter().any(|c| p.contains(&c.key.address)));
        let leaves = match (pressure, in_use) {
            (Pressure::Outward(since), true) if hash < MOST => {
                reached(since.after(OVERLOAD_RAMP.mul_f64(hash)), now, &mut shed)
            }
            (Pressure::Outward(_) | Pressure::Stuck | Pressure::Over(_), true) => false,
            // Who left stays away, whatever the others do now.
            (Pressure::Outward(_) | Pressure::Stuck, false) => true,
            (Pressure::Over(since), false) => !reached(since.after(OVERLOAD_RAMP.mul_f64(hash)), now, &mut shed),
        };
        if leaves {
            shed.left.extend(group.members.iter().map(|c| c.key.clone()));
        }
    }
    shed
}

/// Whether it is time; if not, it will be.
pub(super) fn reached(turn: Boottime, now: Boottime, shed: &mut Shed) -> bool {
    if turn > now {
        shed.wake = shed.wake.into_iter().chain([turn]).min();
    }
    turn <= now
}

fn groups(list: &[Candidate]) -> Vec<Group<'_>> {
    let own: Vec<_> = list.iter().filter(|c| !c.is_retired()).collect();
    let mut endpoints: BTreeMap<&EndpointName, Vec<&Candidate>> = BTreeMap::new();
    for &c in &own {
        endpoints.entry(&c.key.endpoint).or_default().push(c);
    }
    let others = |is_own: &dyn Fn(&Candidate) -> bool| own.iter().copied().filter(|c| !is_own(c)).collect::<Vec<_>>();
    let wholes = endpoints.into_iter().map(|(name, members)| Group {
        target: name.to_string(),
        kind: Overload::NoComputeNode,
        members,
        others: others(&|c| c.key.endpoint == *name),
    });
    let singles = own.iter().copied().map(|one| Group {
        target: one.key.to_string(),
        kind: Overload::WholeAdapter,
        members: vec![one],
        others: others(&|c| c.key.address == one.key.address),
    });
    wholes.chain(singles).filter(|group| group.runs().next().is_some()).collect()
}

/// The runs of overload of its checks, over or not.
fn runs(c: &Candidate) -> impl Iterator<Item = (Check, &CheckHealth, OverloadRun)> {
    let checks = c.health.iter().flat_map(|health| health.checks.iter());
    checks.filter_map(|(check, health)| Some((*check, health, health.load.overload?)))
}

impl Group<'_> {
    /// The runs of overload of its kind.
    fn runs(&self) -> impl Iterator<Item = (Check, &CheckHealth, OverloadRun)> {
        self.members.iter().flat_map(|c| runs(c)).filter(|(_, _, run)| run.kind == self.kind)
    }
}

/// Of a group that was overloaded at some time.
fn pressure(group: &Group<'_>) -> Pressure {
    if group.runs().any(|(_, _, run)| run.lasts) {
        // Else some of it still serves, or it has not lasted.
        let Some((check, here)) = overloaded(group) else { return Pressure::Stuck };
        let there = group.others.iter().filter_map(|c| serves(c, check, here, group.kind)).min();
        return there.map_or(Pressure::Stuck, |there| Pressure::Outward(there.max(since(here.1))));
    }
    let is_up = |health: &CheckHealth| health.state.is_up();
    // What only begins to answer again is not up yet: who left waits for it.
    if group.runs().any(|(_, health, _)| !is_up(health) && health.successes_in_a_row > 0) {
        return Pressure::Stuck;
    }
    let up = group.runs().map(|(_, health, _)| health).filter(|health| is_up(health));
    let since = up.map(|health| health.since.boottime.max(health.successes.map_or(Boottime::default(), |s| s.first)));
    // Down by something else by now: who left does not return to that, and who stayed goes by what is down.
    since.max().map_or(Pressure::Stuck, Pressure::Over)
}

/// The check by which the whole group has been overloaded for long enough, and the member that was last to be.
fn overloaded<'a>(group: &Group<'a>) -> Option<(Check, (&'a Load, OverloadRun))> {
    let lasting = |c: &'a Candidate, check: Check| {
        let load = &c.check(check)?.load;
        let run = load.overload.filter(|run| run.kind == group.kind && run.lasts && run.third.is_some())?;
        Some((load, run))
    };
    [Check::Path, Check::Deep].into_iter().find_map(|check| {
        // One that is dead besides says nothing of the others.
        let tells = |c: &&&'a Candidate| c.standing != CandidateState::Down || lasting(c, check).is_some();
        let asked = group.members.iter().filter(tells);
        let known = |health: &CheckHealth| health.state != CheckState::Unknown || health.load.overload.is_some();
        let asked = asked.filter(|c| c.check(check).is_some_and(known));
        let all = asked.map(|c| lasting(c, check)).collect::<Option<Vec<_>>>()?;
        all.into_iter().max_by_key(|(_, run)| since(*run)).map(|last| (check, last))
    })
}

/// Since when a run has lasted long enough to count.
fn since(run: OverloadRun) -> Boottime {
    let third = run.third.unwrap_or(run.first);
    match run.kind {
        Overload::WholeAdapter => third.max(run.first.after(PATIENCE)),
        Overload::NoComputeNode | Overload::Passing => third,
    }
}

/// Since when this other one has been seen to do better, if it has.
fn serves(c: &Candidate, check: Check, (load, run): (&Load, OverloadRun), kind: Overload) -> Option<Boottime> {
    let theirs = c.check(check)?;
    let passing_since = theirs.load.passing_since?;
    let younger = theirs.last_success_started.is_some_and(|started| started >= run.first);
    let better = c.standing == CandidateState::Up && !c.drained && younger && !theirs.load.slow;
    let counts_since = match kind {
        Overload::NoComputeNode => passing_since.max(alternate(&load.starts, &theirs.load.starts)?),
        Overload::WholeAdapter | Overload::Passing => passing_since,
    };
    better.then_some(counts_since)
}

/// Since when three of each have come one after the other, whichever began.
fn alternate(failures: &[Boottime], successes: &[Boottime]) -> Option<Boottime> {
    let mut all: Vec<_> = failures.iter().map(|at| (at, false)).chain(successes.iter().map(|at| (at, true))).collect();
    all.sort_unstable();
    all.dedup_by_key(|(_, success)| *success);
    all.get(2 * IN_TURN - 1).map(|(at, _)| **at)
}

#[cfg(test)]
mod tests;
