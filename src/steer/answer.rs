//! Which candidates make the answer.
//!
//! First the *pool*: who may be published at all. Then the *choice*: priorities, drains and preferences pick from the
//! pool. A suspect, an address that is down but not yet disproved, stays in the pool as if it were healthy, so that
//! no preference moves a name before the evidence does.

use std::net::IpAddr;

use super::Inputs;
use super::candidate::{Candidate, Candidates, Standing};
use super::shed::{self, Shed};
use super::slow;
use crate::model::{Answers, Prefer};

/// The outcome for one name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) addresses: Vec<IpAddr>,
    pub(super) standby: Vec<IpAddr>,
    /// A drained address is used because nothing else is healthy.
    pub(super) drained_but_needed: bool,
    /// Some candidate is left out because of a drain.
    pub(super) drained: bool,
    /// What this host keeps away from because it is overloaded.
    pub(super) shed: Shed,
}

/// `None` if there is neither a candidate nor anything published.
///
/// What is published is itself an input (a suspect stays only if it is published), so a choice that leaves an address
/// out can enable another one. The decision is followed to where it stands still, so that it takes one step instead of
/// several in a row. Each further round can only lose published addresses that preferences left out, so few rounds do.
pub(super) fn choose(candidates: &Candidates, published: Option<&[IpAddr]>, inputs: &Inputs<'_>) -> Option<Chosen> {
    const ROUNDS: usize = 8;
    let mut chosen = choose_once(candidates, published, inputs)?;
    for _ in 0..ROUNDS {
        let next = choose_once(candidates, Some(&chosen.addresses), inputs)?;
        if next == chosen {
            break;
        }
        chosen = next;
    }
    Some(chosen)
}

fn choose_once(candidates: &Candidates, published: Option<&[IpAddr]>, inputs: &Inputs<'_>) -> Option<Chosen> {
    let pool = pool(&candidates.list, published, inputs);
    if pool.is_empty() {
        // Nothing of what we know may be published: the last set stays (B1).
        let kept = published.filter(|p| !p.is_empty())?;
        return Some(Chosen { addresses: kept.to_vec(), ..Chosen::default() });
    }
    let mut choice = pool.clone();
    keep_if_any(&mut choice, |c| !c.drained);
    let mut shed = shed::of(candidates, published, inputs);
    leave(&mut choice, &shed);
    if let Some(first) = choice.iter().map(|c| c.priority).min() {
        choice.retain(|c| c.priority == first);
    }
    if candidates.steering.prefer == Prefer::LocalZone {
        let slow = slow::of(&choice, published, inputs);
        leave(&mut choice, &slow);
        shed = shed.and(slow);
        keep_if_any(&mut choice, |c| c.local);
    }
    if candidates.steering.answers == Answers::One {
        keep_one(&mut choice, published);
    }
    let addresses = unique(choice.iter().map(|c| c.key.address));
    let rest = pool.iter().filter(|c| c.serves() && !c.is_retired() && !addresses.contains(&c.key.address));
    Some(Chosen {
        standby: unique(rest.map(|c| c.key.address)),
        drained_but_needed: choice.iter().any(|c| c.drained),
        drained: candidates.list.iter().any(|c| c.drained && !is_sick(c) && !addresses.contains(&c.key.address)),
        shed,
        addresses,
    })
}

/// Who may be published.
fn pool<'a>(list: &'a [Candidate], published: Option<&[IpAddr]>, inputs: &Inputs<'_>) -> Vec<&'a Candidate> {
    let is_published = |c: &Candidate| published.is_some_and(|p| p.contains(&c.key.address));
    let present = |c: &&Candidate| c.leaves_at.is_none_or(|at| at > inputs.now.boottime);
    let list: Vec<_> = list.iter().filter(present).collect();
    let firm = |c: &Candidate| match c.standing {
        Standing::Trusted | Standing::Up => !c.is_retired(),
        Standing::Holding(_) => !c.is_retired() && is_published(c),
        _ => false,
    };
    // Recovery is earned by rise and hold, unless nothing else is healthy, or may be.
    let hope = list.iter().any(|c| c.standing == Standing::Unknown && is_published(c) && !c.is_retired());
    let mut good: Vec<_> = list.iter().copied().filter(|c| firm(c)).collect();
    for lesser in [|s| matches!(s, Standing::Holding(_)), |s| s == Standing::Recovering] as [fn(Standing) -> bool; 2] {
        if good.is_empty() && !hope {
            good = list.iter().copied().filter(|c| !c.is_retired() && lesser(c.standing)).collect();
        }
    }
    let is_good = |c: &Candidate| good.iter().any(|g| g.key == c.key);
    let stays = |c: &Candidate| {
        is_good(c)
            || match c.standing {
                _ if c.is_retired() => {
                    is_published(c) && !good.iter().any(|other| c.yields_to(other, inputs.now.boottime))
                }
                Standing::Unknown => is_published(c) || published.is_none(),
                Standing::Down | Standing::Recovering => {
                    is_published(c) && !good.iter().any(|other| c.is_disproved_by(other))
                }
                _ => false,
            }
    };
    let pool: Vec<_> = list.iter().copied().filter(|c| stays(c)).collect();
    if pool.is_empty() && !published.is_some_and(|p| list.iter().any(|c| p.contains(&c.key.address))) {
        // Nothing good, and what is published (if anything) is no candidate any more: whatever there is.
        let live: Vec<_> = list.iter().copied().filter(|c| !c.is_retired()).collect();
        return if published.is_none() || !live.is_empty() { live } else { pool };
    }
    pool
}

/// True if a drain is not what keeps it out.
fn is_sick(c: &Candidate) -> bool {
    matches!(c.standing, Standing::Down | Standing::Recovering)
}

/// Leaves out what this host keeps away from, as long as something else serves.
fn leave(choice: &mut Vec<&Candidate>, shed: &Shed) {
    let is_left = |c: &Candidate| shed.left.contains(&c.key);
    if choice.iter().any(|c| c.serves() && !is_left(c)) {
        choice.retain(|c| !is_left(c));
    }
}

/// Keeps the matching ones if there are any.
fn keep_if_any(list: &mut Vec<&Candidate>, keep: impl Fn(&Candidate) -> bool) {
    if list.iter().any(|c| keep(c)) {
        list.retain(|c| keep(c));
    }
}

/// Keeps the address that is published already, else the first.
fn keep_one(list: &mut Vec<&Candidate>, published: Option<&[IpAddr]>) {
    let of = |wanted: &IpAddr| list.iter().position(|c| c.key.address == *wanted);
    let at = published.unwrap_or_default().iter().find_map(of).unwrap_or(0);
    list.swap(0, at);
    list.truncate(1);
}

fn unique(addresses: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
    let mut seen = Vec::new();
    for a in addresses {
        if !seen.contains(&a) {
            seen.push(a);
        }
    }
    seen
}
