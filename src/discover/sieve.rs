//! What of a source's answer is let in (pure).
//!
//! A bad address is left out and costs nothing else. Where there is too much, what is known stays and newcomers are
//! refused, in numeric order: a resolver that gives another part of a large set each time must not carry the inventory
//! from one part to the next. Then what the answer lacks proves nothing either. An answer that is not too large by
//! itself is the whole truth of its source, though: what it lacks makes room, so that two sources can replace all that
//! they give.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::merge::MOST_FORMER;
use super::source::{FoundZone, SourceAnswer};
use crate::model::limits::{ADDRESSES_A_NAME, ZONES_AN_ENDPOINT};
use crate::model::ranges::{self, BadAddress};
use crate::model::{Endpoint, Inventory, SourceKind, Zone, ZoneEntry};

/// Addresses of one endpoint, those included that no source gives any more: as many again as may be in use, so that all
/// of them can be replaced. Those of a former endpoint have a bound of their own.
const WITH_RETIRED: usize = 2 * ADDRESSES_A_NAME;

/// What an address is to an endpoint that is let in beside others; the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum RangeVerdict {
    InUse,
    Retired,
    New,
}

/// Why an address that this source gives may not be probed, if so. What the config itself gives is probed also outside
/// of `allowed_ranges`.
fn bar(address: IpAddr, source: SourceKind, allowed: &[IpNet]) -> Option<BadAddress> {
    let why = ranges::judge(address, allowed).err()?;
    (why != BadAddress::Outside || source != SourceKind::Fixed).then_some(why)
}

/// Takes out of an answer what is not let in, and notes it there.
pub(super) fn let_in(found: &mut SourceAnswer, kind: SourceKind, known: Option<&Endpoint>, allowed: &[IpNet]) {
    cap_zones(found, known);
    refuse_bad(found, kind, allowed);
    cap_addresses(found, kind, known);
}

fn cap_zones(found: &mut SourceAnswer, known: Option<&Endpoint>) {
    // What is in no zone takes no zone's place.
    let is_known = |zone: &Zone| *zone == Zone::Unknown || known.is_some_and(|e| e.zones.contains_key(zone));
    let there = known.map_or(0, |e| e.zones.keys().filter(|zone| **zone != Zone::Unknown).count());
    let mut room = ZONES_AN_ENDPOINT.saturating_sub(there);
    let before = found.zones.len();
    // In the order of their ids.
    found.zones.retain(|zone, _| {
        let stays = is_known(zone) || room > 0;
        room -= usize::from(stays && !is_known(zone));
        stays
    });
    found.left_out.zones = before - found.zones.len();
}

fn refuse_bad(found: &mut SourceAnswer, kind: SourceKind, allowed: &[IpNet]) {
    let SourceAnswer { zones, left_out, keeps, .. } = found;
    for FoundZone { addresses, .. } in zones.values_mut() {
        let Some(all) = addresses else { continue };
        let before = all.len();
        all.retain(|address| match bar(*address, kind, allowed) {
            None => true,
            Some(why) => {
                left_out.add_bad(*address, why);
                false
            }
        });
        if all.is_empty() && before > 0 {
            // None is left: the last ones stay.
            *addresses = None;
            *keeps |= kind == SourceKind::EndpointDomain;
        }
    }
}

fn cap_addresses(found: &mut SourceAnswer, kind: SourceKind, known: Option<&Endpoint>) {
    let entries = || known.into_iter().flat_map(|e| e.zones.values()).flat_map(|z| &z.addresses);
    let given = || found.zones.values().filter_map(|z| z.addresses.as_ref()).flatten().copied();
    let said: BTreeSet<IpAddr> = given().collect();
    let all: BTreeSet<IpAddr> = entries().map(|(ip, _)| *ip).collect();
    let others = entries().filter(|(_, a)| a.given.iter().any(|k| *k != kind)).map(|(ip, _)| *ip);
    let others: BTreeSet<IpAddr> = others.collect();
    let own = entries().filter(|(_, a)| !a.former).count();
    let new = said.difference(&all).count();
    if others.union(&said).count() <= ADDRESSES_A_NAME && own + new <= WITH_RETIRED {
        return;
    }
    let live: BTreeSet<IpAddr> = entries().filter(|(_, a)| a.retired.is_none()).map(|(ip, _)| *ip).collect();
    // Where it is too large, or retired ones take its room, an answer is not let in as it is.
    let whole = said.len() <= ADDRESSES_A_NAME && own + new <= WITH_RETIRED;
    let stay = live.iter().filter(|ip| !whole || others.contains(ip) || said.contains(ip)).count();
    let standing = |ip: &IpAddr| match (live.contains(ip), all.contains(ip)) {
        (true, _) => RangeVerdict::InUse,
        (false, true) => RangeVerdict::Retired,
        (false, false) => RangeVerdict::New,
    };
    let mut ranked: Vec<(RangeVerdict, IpAddr)> = said.iter().map(|ip| (standing(ip), *ip)).collect();
    ranked.sort_unstable();
    let mut room = ADDRESSES_A_NAME.saturating_sub(stay);
    let mut room_for_new = WITH_RETIRED.saturating_sub(own);
    ranked.retain(|(standing, _)| {
        let stays = match standing {
            RangeVerdict::InUse => return true,
            RangeVerdict::Retired => room > 0,
            RangeVerdict::New => room > 0 && room_for_new > 0,
        };
        room -= usize::from(stays);
        room_for_new -= usize::from(stays && *standing == RangeVerdict::New);
        stays
    });
    let kept: BTreeSet<IpAddr> = ranked.into_iter().map(|(_, ip)| ip).collect();
    found.zones.values_mut().filter_map(|z| z.addresses.as_mut()).for_each(|a| a.retain(|ip| kept.contains(ip)));
    found.left_out.addresses = said.len() - kept.len();
    found.keeps |= found.left_out.addresses > 0 && !whole;
}

/// Notes which addresses of an inventory may not be probed as things stand: `allowed_ranges` may have changed since
/// they were let in.
pub(super) fn bar_all(inventory: &mut Inventory, allowed: &[IpNet]) {
    for endpoint in inventory.endpoints.values_mut() {
        let entries = endpoint.zones.values().flat_map(|z| &z.addresses);
        let barred = entries.filter_map(|(ip, entry)| Some((*ip, bar(*ip, entry.source, allowed)?)));
        endpoint.barred = barred.collect();
    }
}

/// Cuts an inventory that was read from a file down to what may be in one.
pub(super) fn cut(inventory: &mut Inventory) {
    for endpoint in inventory.endpoints.values_mut() {
        let surplus: Vec<Zone> = endpoint.zones.keys().skip(ZONES_AN_ENDPOINT + 1).cloned().collect();
        surplus.iter().for_each(|zone| drop(endpoint.zones.remove(zone)));
        let (mut in_use, mut retired, mut former) = (ADDRESSES_A_NAME, ADDRESSES_A_NAME, MOST_FORMER);
        for ZoneEntry { addresses, .. } in endpoint.zones.values_mut() {
            addresses.retain(|_, entry| {
                let room = match (entry.retired, entry.former) {
                    (None, _) => &mut in_use,
                    (Some(_), false) => &mut retired,
                    (Some(_), true) => &mut former,
                };
                let stays = *room > 0;
                *room = room.saturating_sub(1);
                stays
            });
        }
    }
}
