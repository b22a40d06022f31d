//! When a thing that the cloud no longer has goes from what is published (B1).
//!
//! Two passes of the API that agree begin a grace, `gone_grace`. Then one more has to agree that ended after the grace:
//! until it has, what is published stays.
//!
//! The API may be wrong. Where an address still shows a certificate that is verified for the endpoint's own name, the
//! endpoint answers there, whatever the API says, and goes a day later at most. No other success speaks for it: the
//! address of a deleted endpoint may have become another machine's. Nor does one at an address that the API gives to
//! another endpoint by now.

use std::collections::BTreeSet;
use std::iter;
use std::net::IpAddr;
use std::time::Duration;

use super::inputs::Inputs;
use crate::model::{Boottime, Check, Endpoint, EndpointName, Missing, Plan, Presence, SourceKind, TargetKey, Zone};

/// How long an endpoint that proves itself is kept, beyond the grace.
const PUT_OFF_AT_MOST: Duration = Duration::from_secs(24 * 3600);

/// An endpoint, or one zone of it.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) endpoint: (&'a EndpointName, &'a Endpoint),
    /// `None` for the whole endpoint.
    pub(super) zone: Option<&'a Zone>,
}

/// What becomes of a place that two passes lack.
enum Fate {
    /// The grace is not over, or it ended then.
    Goes(Boottime),
    /// The grace is over, and no pass has ended since.
    AskedAgain,
    /// It proves itself: it is kept until then.
    PutOff(Boottime),
}

/// When a place goes of which `missing` is known. `None` while it is not taken for gone.
pub(super) fn goes_at(missing: Option<Missing>, place: Place<'_>, inputs: &Inputs<'_>) -> Option<Boottime> {
    Some(match fate(missing?, place, inputs)? {
        Fate::Goes(at) | Fate::PutOff(at) => at,
        // Not before the API has answered, whenever that is.
        Fate::AskedAgain => inputs.now.boottime.after(PUT_OFF_AT_MOST),
    })
}

/// Endpoints of which a published address would have gone, with them or with its zone, if it did not prove itself.
pub(super) fn put_off(inputs: &Inputs<'_>, plan: &Plan) -> BTreeSet<EndpointName> {
    let published = |address: IpAddr| plan.answers.values().any(|answer| answer.addresses.contains(&address));
    let is_put_off = |(place, missing): (Place<'_>, Option<Missing>)| {
        let fate = missing.and_then(|missing| fate(missing, place, inputs));
        matches!(fate, Some(Fate::PutOff(_))) && place.addresses().any(|(_, address)| published(address))
    };
    let configured = inputs.inventory.endpoints.iter().filter(|(_, e)| e.presence == Presence::Configured);
    configured.filter(|of| places(*of).any(is_put_off)).map(|(name, _)| name.clone()).collect()
}

/// An endpoint and each of its zones, and since when the API lacks them.
fn places<'a>(endpoint: (&'a EndpointName, &'a Endpoint)) -> impl Iterator<Item = (Place<'a>, Option<Missing>)> {
    let zones = endpoint.1.zones.iter().map(move |(zone, entry)| (Place { endpoint, zone: Some(zone) }, entry.missing));
    iter::once((Place { endpoint, zone: None }, endpoint.1.missing)).chain(zones)
}

fn fate(missing: Missing, place: Place<'_>, inputs: &Inputs<'_>) -> Option<Fate> {
    let over = missing.confirmed?.after(inputs.policy.graces.gone);
    let latest = over.after(PUT_OFF_AT_MOST);
    Some(match inputs.now.boottime {
        now if now < over => Fate::Goes(over),
        _ if missing.latest < Some(over) => Fate::AskedAgain,
        now if place.proves_itself(inputs) && now < latest => Fate::PutOff(latest),
        _ => Fate::Goes(over),
    })
}

impl<'a> Place<'a> {
    fn addresses(self) -> impl Iterator<Item = (&'a Zone, IpAddr)> {
        let zones = self.endpoint.1.zones.iter().filter(move |(zone, _)| self.zone.is_none_or(|only| only == *zone));
        zones.flat_map(|(zone, entry)| entry.addresses.keys().map(move |address| (zone, *address)))
    }

    /// Whether the endpoint itself answers at one of its addresses, or has not been asked yet by this life of the
    /// agent.
    fn proves_itself(self, inputs: &Inputs<'_>) -> bool {
        let (name, endpoint) = self.endpoint;
        let answers = |(zone, address): (&Zone, IpAddr)| {
            let key = TargetKey { endpoint: name.clone(), zone: zone.clone(), address };
            let path = inputs.health.targets.get(&key).and_then(|health| health.checks.get(&Check::Path));
            path.is_some_and(|path| !path.state.is_down()) && !is_of_another(&key, inputs)
        };
        endpoint.proves_itself && self.addresses().any(answers)
    }
}

/// True if the API gives this address to another endpoint.
fn is_of_another(key: &TargetKey, inputs: &Inputs<'_>) -> bool {
    let others = inputs.inventory.endpoints.iter().filter(|(name, _)| **name != key.endpoint);
    let mut zones = others.flat_map(|(_, endpoint)| endpoint.zones.values());
    zones.any(|zone| zone.addresses.get(&key.address).is_some_and(|entry| entry.given.contains(&SourceKind::Api)))
}
