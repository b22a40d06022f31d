//! Where a host stands among all of a fleet when they do something one after the other.

use crate::model::HostFacts;

/// The same for this host and target at any time: at or above 0, below 1, and spread evenly over the hosts.
pub(super) fn host_hash(host: &HostFacts, target: &str) -> f64 {
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    let machine = || format!("{}\n{}", part(&host.identity.machine_id), part(&host.hostname));
    let host = host.instance_id.clone().unwrap_or_else(machine);
    let digest = ring::digest::digest(&ring::digest::SHA256, format!("{host}\n{target}").as_bytes());
    let first = digest.as_ref().iter().take(4).fold(0_u32, |sum, byte| (sum << 8) | u32::from(*byte));
    f64::from(first) / 4_294_967_296.0
}
