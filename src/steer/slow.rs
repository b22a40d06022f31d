//! Addresses that answer, and much more slowly than a sibling. No name moves for that alone (B4): what is healthy is
//! published, slow or not. But where a preference chooses among healthy addresses (`prefer`), it does not choose a slow
//! one as long as another of the same priority is up and not slow.
//!
//! Hosts leave and return one after the other, at most half of them, as from an overload that lasts (`shed`): elapsed
//! counts from when the address became slow, and from when it stopped to be.

use std::net::IpAddr;

use super::candidate::Candidate;
use super::host_hash::host_hash;
use super::inputs::Inputs;
use super::shed::{MOST, Shed, reached};
use crate::model::{Boottime, OVERLOAD_RAMP, Slowness};

/// Decides for what is left of one name's pool before its preference chooses.
pub(super) fn decide(choice: &[&Candidate], published: Option<&[IpAddr]>, inputs: &Inputs<'_>) -> Shed {
    let mut shed = Shed::default();
    for c in choice {
        let Some(slow) = slowness(c) else { continue };
        let hash = host_hash(inputs.host, &c.key.to_string());
        let turn = |since: Boottime| since.after(OVERLOAD_RAMP.mul_f64(hash));
        let in_use = published.is_none_or(|p| p.contains(&c.key.address));
        let better = |other: &&Candidate| {
            other.key.address != c.key.address && other.serves() && slowness(other).is_none_or(|s| s.until.is_some())
        };
        let leaves = match (slow.until, in_use) {
            (None, true) if hash < MOST && choice.iter().any(better) => {
                reached(turn(slow.since), inputs.now.boottime, &mut shed)
            }
            (None | Some(_), true) => false,
            (None, false) => true,
            (Some(until), false) => !reached(turn(until), inputs.now.boottime, &mut shed),
        };
        if leaves {
            shed.left.insert(c.key.clone());
        }
    }
    shed
}

/// Of its slowest check.
fn slowness(c: &Candidate) -> Option<Slowness> {
    let checks = c.health.iter().flat_map(|health| health.checks.values());
    checks.filter_map(|check| check.slow).max_by_key(|slow| (slow.until.is_none(), slow.until, slow.median))
}
