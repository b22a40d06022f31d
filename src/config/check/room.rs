//! Whether all names fit into what they are published by. What only discovery tells can't be known here: each name has
//! one address at least, and is likely to have one in each of three zones.

use std::collections::BTreeMap;

use super::Desk;
use super::endpoint::Draft;
use super::hosts::HostsDraft;
use super::section::Bad;
use crate::model::limits::{BLOCK_BYTES, HANDOVER_BYTES, entry_bytes};
use crate::model::{HostName, ZoneId};

/// Of an address in text, at least: `10.0.0.1`.
const SHORTEST_ADDRESS: usize = 8;
/// Of an address in text, as they mostly are: `192.168.12.34`.
const USUAL_ADDRESS: usize = 13;
/// Zones of an endpoint, as there mostly are.
const USUAL_ZONES: usize = 3;
/// Of a reason's word, at least: `fixed`.
const SHORTEST_REASON: usize = 5;
/// Of a name's part of a hand-over beside the name and its addresses: `"":{"addresses":[],"reason":"fixed"},`.
const BESIDE_NAME: usize = 37;
/// Of an address's part of a hand-over beside the address: its quotes and a comma.
const BESIDE_ADDRESS: usize = 3;

const FEWER: &str = "fewer or shorter names; endpoints may be split between hosts";
const BY_DNS: &str = "fewer or shorter names, or dns.publish in place of hosts.publish";

/// How long the addresses of a name are in text.
struct Lengths {
    at_least: Vec<usize>,
    likely: Vec<usize>,
}

/// Complains of more names than fit into a hand-over or, where they are published that way, into the hosts file; warns
/// of names that will hardly fit.
pub(super) fn names(drafts: &[Draft], hosts: &HostsDraft, desk: &mut Desk<'_>) {
    let (mut handover, mut block, mut likely_block) = (0, 0, 0);
    let all = lengths(drafts);
    for (name, Lengths { at_least, likely }) in &all {
        let name = name.as_str().len();
        handover += BESIDE_NAME + name + at_least.iter().map(|a| a + BESIDE_ADDRESS).sum::<usize>();
        block += entry_bytes(name, SHORTEST_REASON, at_least.iter().copied());
        likely_block += entry_bytes(name, SHORTEST_REASON, likely.iter().copied());
    }
    let most = usize::try_from(HANDOVER_BYTES).unwrap_or(usize::MAX);
    let bad = |what: &str, most: usize, found: String, help: &str| Bad {
        expected: format!("names that fit into {what} of at most {most} bytes"),
        found: format!("{} names that {found}", all.len()),
        help: Some(help.to_owned()),
        at: drafts.iter().rfind(|d| d.enabled).and_then(|d| d.at.clone()),
    };
    if handover > most {
        desk.complain("endpoint", bad("a hand-over", most, format!("take {handover} at least"), FEWER));
    } else if hosts.config.publish && block > BLOCK_BYTES {
        desk.complain("endpoint", bad("a block", BLOCK_BYTES, format!("take {block} at least"), BY_DNS));
    } else if hosts.config.publish && likely_block > BLOCK_BYTES {
        let found = format!("take about {likely_block} with {USUAL_ZONES} zones: the last ones would be refused");
        desk.warn("endpoint", bad("a block", BLOCK_BYTES, found, BY_DNS));
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
