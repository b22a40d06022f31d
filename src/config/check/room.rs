//! Whether all names fit into the block of the hosts file. What only discovery tells can't be known here: each name has
//! one address at least, and is likely to have one in each of three zones.
//!
//! What fits into a block fits into a hand-over, too: that may be twice as long, and takes less than twice as much for
//! a name, which it has once and not once an address.

use std::collections::BTreeMap;

use super::context::{Bad, CheckContext};
use super::endpoint::Draft;
use super::hosts::HostsDraft;
use crate::model::limits::{BLOCK_BYTES, entry_bytes};
use crate::model::{HostName, ZoneId};

/// Of an address in text, at least: `10.0.0.1`.
const SHORTEST_ADDRESS: usize = 8;
/// Of an address in text, as they mostly are: `192.168.12.34`.
const USUAL_ADDRESS: usize = 13;
/// Zones of an endpoint, as there mostly are.
const USUAL_ZONES: usize = 3;
/// Of a reason's word, at least: `fixed`.
const SHORTEST_REASON: usize = 5;

/// How long the addresses of a name are in text.
struct Lengths {
    at_least: Vec<usize>,
    likely: Vec<usize>,
}

/// Where names are published by the hosts file: complains of more than fit into its block, and warns of names that will
/// hardly fit. The stub has room for those of every config.
pub(super) fn names(drafts: &[Draft], hosts: &HostsDraft, context: &CheckContext<'_>) {
    if !hosts.config.publish {
        return;
    }
    let (mut at_least, mut likely) = (0, 0);
    let all = lengths(drafts);
    for (name, lengths) in &all {
        let name = name.as_str().len();
        at_least += entry_bytes(name, SHORTEST_REASON, lengths.at_least.iter().copied());
        likely += entry_bytes(name, SHORTEST_REASON, lengths.likely.iter().copied());
    }
    let bad = |found: String| {
        let at = drafts.iter().rfind(|d| d.enabled).and_then(|d| d.at.clone());
        let expected = format!("names that fit into a block of at most {BLOCK_BYTES} bytes");
        let help = "fewer or shorter names, or dns.publish in place of hosts.publish";
        Bad::found_at(&at, expected, format!("{} names that {found}", all.len())).help(help)
    };
    if at_least > BLOCK_BYTES {
        context.complain("endpoint", bad(format!("take {at_least} at least")));
    } else if likely > BLOCK_BYTES {
        let found = format!("take about {likely} with {USUAL_ZONES} zones: the last ones would be refused");
        context.warn("endpoint", bad(found));
    }
}

fn lengths(drafts: &[Draft]) -> BTreeMap<&HostName, Lengths> {
    let mut all = BTreeMap::new();
    for draft in drafts.iter().filter(|d| d.enabled) {
        let fixed = |zone: Option<&ZoneId>| {
            let zones = draft.addresses.iter().filter(move |(z, _)| zone.is_none_or(|zone| zone == *z));
            zones.flat_map(|(_, all)| all).map(|a| a.value.to_string().len()).collect::<Vec<_>>()
        };
        let mut add = |name, fixed: Vec<usize>, zones: usize| {
            let (mut at_least, mut likely) = (fixed.clone(), fixed);
            if draft.discovered {
                at_least.resize(at_least.len().max(1), SHORTEST_ADDRESS);
                likely.resize(likely.len().max(zones), USUAL_ADDRESS);
            }
            all.insert(name, Lengths { at_least, likely });
        };
        draft.names.iter().for_each(|name| add(&name.value, fixed(None), USUAL_ZONES));
        for (zone, names) in &draft.zones {
            names.iter().for_each(|name| add(&name.value, fixed(Some(&zone.value)), 1));
        }
    }
    all
}
