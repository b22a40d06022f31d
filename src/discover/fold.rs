//! From what the sources said to the next inventory: what is let in of it, and what that changes (pure).

use super::merge::Round;
use super::{merge, sieve};
use crate::config::Config;
use crate::model::limits::{CapCounts, Capped};
use crate::model::{EventKind, Inventory, Now};

/// What a round came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Folded {
    /// What there is now.
    pub inventory: Inventory,
    /// What happened.
    pub events: Vec<EventKind>,
    /// What was refused because there was too much of it.
    pub capped: CapCounts,
}

/// Folds a round into the inventory. What it says passes the sieve first.
#[must_use]
pub fn fold(previous: &Inventory, config: &Config, mut round: Round, now: Now) -> Folded {
    let allowed = &config.hosts.allowed_ranges;
    let mut capped = CapCounts::default();
    for (name, said) in &mut round {
        for (kind, said) in said {
            let Ok(found) = said else { continue };
            sieve::let_in(found, *kind, previous.endpoints.get(name), allowed);
            capped.add(Capped::Addresses, found.left_out.addresses as u64);
            capped.add(Capped::Zones, found.left_out.zones as u64);
        }
    }
    let (mut inventory, events) = merge(previous, &config.endpoints, &round, config.graces(), now);
    sieve::bar_all(&mut inventory, allowed);
    Folded { inventory, events, capped }
}

/// What of a recalled inventory may be used under this config.
#[must_use]
pub fn recalled(mut inventory: Inventory, config: &Config) -> Inventory {
    sieve::cut(&mut inventory);
    sieve::bar_all(&mut inventory, &config.hosts.allowed_ranges);
    inventory
}
