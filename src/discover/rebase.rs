//! Times in a file, made those of this boot (pure).
//!
//! One conversion for each type, and none for what has not been looked at: a new field of anything that is kept breaks
//! the build until it has a place here, and a new instant can't be forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::model::ranges::BadAddress;
use crate::model::{
    AddressEntry, Answer, AnswerReason, Boottime, BusinessStatus, CloudFacts, ConnectionStatus, Endpoint, EndpointId,
    EndpointIdentity, EndpointStatus, Freshness, HostName, Inventory, LeftOut, Missing, Now, Plan, Presence,
    SourceKind, Wall, Withdrawal, ZoneEntry, ZoneFacts, ZoneStatus,
};

/// When a file was written, and when it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epoch {
    /// Whether this very boot wrote it.
    pub same_boot: bool,
    /// When it is read.
    pub now: Now,
}

/// Something that a file keeps and that may hold times.
pub trait Rebase {
    /// Makes its times those of this boot.
    fn rebase(&mut self, epoch: Epoch);
}

/// Times of another boot mean nothing here: what was to last begins anew. Those of this boot can only lie behind us,
/// whatever a damaged file says.
impl Rebase for Boottime {
    fn rebase(&mut self, Epoch { same_boot, now }: Epoch) {
        *self = if same_boot { (*self).min(now.boottime) } else { now.boottime };
    }
}

/// Of another boot it is known only by the wall clock.
impl Rebase for Now {
    fn rebase(&mut self, epoch: Epoch) {
        let Self { boottime, wall: _ } = self;
        if epoch.same_boot { boottime.rebase(epoch) } else { *boottime = Boottime::default() }
    }
}

/// Nothing counts as confirmed in this boot that an earlier one was told.
impl Rebase for Freshness {
    fn rebase(&mut self, epoch: Epoch) {
        match self {
            Self::Fresh { at } | Self::Stale { since: at, error: _ } => at.rebase(epoch),
        }
        if !epoch.same_boot {
            let error = "not asked yet since the host booted".to_owned();
            *self = Self::Stale { since: self.confirmed(), error };
        }
    }
}

/// How long ago an earlier boot was told so can't be known: two passes of this boot have to agree before anything is
/// taken for gone. That it is missing stays known.
impl Rebase for Missing {
    fn rebase(&mut self, epoch: Epoch) {
        let Self { first, confirmed, latest } = self;
        if epoch.same_boot {
            [first, confirmed, latest].into_iter().for_each(|at| at.rebase(epoch));
        } else {
            *self = Self::default();
        }
    }
}

impl Rebase for Presence {
    fn rebase(&mut self, epoch: Epoch) {
        match self {
            Self::Configured => {}
            Self::Removed { since } => since.rebase(epoch),
        }
    }
}

impl<T: Rebase> Rebase for Option<T> {
    fn rebase(&mut self, epoch: Epoch) {
        self.iter_mut().for_each(|value| value.rebase(epoch));
    }
}

/// Keys are no times.
impl<K, V: Rebase> Rebase for BTreeMap<K, V> {
    fn rebase(&mut self, epoch: Epoch) {
        self.values_mut().for_each(|value| value.rebase(epoch));
    }
}

/// Field by field, all of them.
macro_rules! by_field {
    ($($type:ident { $($field:ident),+ })+) => {$(
        impl Rebase for $type {
            fn rebase(&mut self, epoch: Epoch) {
                let Self { $($field),+ } = self;
                $($field.rebase(epoch);)+
            }
        }
    )+};
}

by_field! {
    Inventory { endpoints, disowned }
    Endpoint {
        identity, id, domain, names, leaving, priority, zones, probed, proves_itself, presence, sources, cloud,
        missing, not_found, left_out, barred
    }
    EndpointIdentity { id, domain, region }
    CloudFacts { status, business, connection, service_name, region, vpc_id }
    ZoneEntry { names, leaving, addresses, cloud, missing }
    ZoneFacts { status, eni_id, domain }
    AddressEntry { source, given, retired, former }
    Plan { answers, withdrawn, left, unproven, zone_names }
    Answer { addresses, standby, reason }
}

/// What holds no time of a boot.
macro_rules! timeless {
    ($($type:ty),+ $(,)?) => {$(
        impl Rebase for $type {
            fn rebase(&mut self, _: Epoch) {}
        }
    )+};
}

timeless! {
    bool, i32, String, Vec<IpAddr>, BTreeSet<HostName>, BTreeSet<IpAddr>, BTreeSet<SourceKind>, AnswerReason, BadAddress,
    BusinessStatus, ConnectionStatus, EndpointId, EndpointStatus, HostName, LeftOut, SourceKind, Wall, Withdrawal, ZoneStatus,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: Now = Now { boottime: Boottime(Duration::from_secs(50)), wall: Wall(9_000_000) };

    /// An inventory with a time of each kind in it.
    fn kept(secs: u64) -> Inventory {
        serde_json::from_value(serde_json::json!({ "endpoints": { "e": {
            "id": "ep-1", "domain": null, "names": [], "leaving": { "a.example": secs * 1000 }, "priority": 0,
            "probed": true, "proves_itself": false, "presence": { "removed": { "since": secs * 1000 } },
            "sources": { "api": { "fresh": { "at": { "boottime": secs * 1000, "wall": 7 } } } },
            "cloud": null, "missing": { "first": secs * 1000, "confirmed": secs * 1000, "latest": secs * 1000 },
            "zones": { "h": {
                "names": [], "leaving": { "h.example": secs * 1000 }, "cloud": null,
                "missing": { "first": secs * 1000, "confirmed": null },
                "addresses": { "10.0.0.1": { "source": "api", "given": [], "retired": secs * 1000 } },
            } },
        } } }))
        .unwrap()
    }

    fn rebased(secs: u64, same_boot: bool) -> Inventory {
        let mut inventory = kept(secs);
        inventory.rebase(Epoch { same_boot, now: NOW });
        inventory
    }

    #[test]
    fn times_of_this_boot_stay_unless_they_lie_ahead() {
        assert_eq!(rebased(20, true), kept(20));
        assert_eq!(rebased(70, true), kept(50));
    }

    #[test]
    fn no_time_of_another_boot_is_left() {
        let text = serde_json::to_string(&rebased(20, false)).unwrap();
        assert!(!text.contains("20000"), "{text}");
        let inventory = rebased(20, false);
        let endpoint = inventory.endpoints.values().next().unwrap();
        let zone = endpoint.zones.values().next().unwrap();
        let again = |since: &Boottime| assert_eq!(*since, NOW.boottime);
        endpoint.leaving.values().chain(zone.leaving.values()).for_each(again);
        assert_eq!(endpoint.presence, Presence::Removed { since: NOW.boottime });
        assert_eq!(zone.addresses.values().next().unwrap().retired, Some(NOW.boottime));
        assert_eq!((endpoint.missing, zone.missing), (Some(Missing::default()), Some(Missing::default())));
        let confirmed = Now { boottime: Boottime::default(), wall: Wall(7) };
        assert!(endpoint.sources.values().all(|s| s.is_stale() && s.confirmed() == confirmed));
    }
}
